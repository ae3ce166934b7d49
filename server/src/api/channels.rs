//! Channels: list, presence and history.

#![allow(unused_qualifications, reason = "those that `utoipa::path` makes")]

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use wirehub_common::ChannelName;
use wirehub_common::frame::{HistoryPage, Position};

use super::messages::{self, Read};
use super::problem::Problem;
use super::sessions::Member;
use super::{Path, Query, limit_of, missing_nodes};
use crate::observe::{ChannelSummary, PresenceCounts};
use crate::{Hub, SessionId};

/// A channel with subscribers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Channel {
    name: String,
    /// The number of subscribed sessions.
    subscribers: usize,
    /// The number of messages since the first of these subscribed.
    publications: u64,
    /// True if the channel keeps history.
    history: bool,
}

/// The channels with subscribers, sorted by name.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Channels {
    /// The number of matching channels, on all pages. With several nodes and several pages, a channel counts once for each node
    /// with subscribers.
    count: usize,
    channels: Vec<Channel>,
    /// The `after` for the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    /// The ids of the nodes without an answer: the list lacks their subscribers. Absent if it is complete.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing_nodes: Vec<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListOptions {
    /// Only channels whose names begin with this.
    #[serde(default)]
    prefix: String,
    /// The maximum number of channels, up to 1,000.
    #[param(default = 100, maximum = 1000)]
    limit: Option<usize>,
    /// The `next` of the previous page.
    after: Option<String>,
}

/// The subscribers of a channel.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Presence {
    /// The number of sessions.
    sessions: usize,
    /// The number of users; every anonymous session counts as one.
    users: usize,
    /// The sessions, sorted by id.
    members: Vec<Member>,
    /// The `after` for the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PresenceOptions {
    /// The maximum number of sessions, up to 10,000.
    #[param(default = 10_000, maximum = 10_000)]
    limit: Option<usize>,
    /// The `next` of the previous page.
    after: Option<String>,
}

/// A part of a channel's history.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct History {
    /// The newest position.
    position: messages::Position,
    publications: Vec<Read>,
    /// True if more messages follow: continue from the last offset. A page has at most 1,000 messages and 4 MiB of
    /// payloads.
    more: bool,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ReadOptions {
    /// Return the messages after this offset (with `reverse`: before it). Requires `epoch`.
    offset: Option<u64>,
    /// The epoch of the offset.
    epoch: Option<String>,
    /// The maximum number of messages, up to 1,000.
    #[param(default = 100, maximum = 1000)]
    limit: Option<usize>,
    /// Newest first.
    #[serde(default)]
    reverse: bool,
}

/// List the channels with subscribers on any node.
#[utoipa::path(get, path = "/channels", params(ListOptions), responses(
    (status = OK, body = Channels),
    (status = SERVICE_UNAVAILABLE, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn list(
    State(hub): State<Hub>,
    Query(ListOptions { prefix, limit, after }): Query<ListOptions>,
) -> Result<Json<Channels>, Problem> {
    let after = after.map(|after| ChannelName::new(&after)).transpose().map_err(Problem::bad_request)?;
    let page = hub.channels(&prefix, after.as_ref(), limit_of(limit)).await?;
    let next = page.items.last().filter(|_| page.more).map(|last| last.name.to_string());
    let (count, missing_nodes) = (page.count, missing_nodes(&page));
    let channels =
        page.items.into_iter().map(|ChannelSummary { name, subscribers, publications, .. }| Channel {
            history: hub.namespace(&name).history.is_some(),
            name: name.as_str().into(),
            subscribers,
            publications,
        });
    Ok(Json(Channels { count, channels: channels.collect(), next, missing_nodes }))
}

/// List the subscribers of a channel.
#[utoipa::path(get, path = "/channels/{channel}/presence", params(("channel" = String, Path), PresenceOptions), responses(
    (status = OK, body = Presence),
    (status = SERVICE_UNAVAILABLE, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn presence(
    State(hub): State<Hub>,
    Path(channel): Path<String>,
    Query(PresenceOptions { limit, after }): Query<PresenceOptions>,
) -> Result<Json<Presence>, Problem> {
    let channel = ChannelName::new(&channel).map_err(Problem::bad_request)?;
    let after: Option<SessionId> =
        after.map(|after| after.parse()).transpose().map_err(Problem::bad_request)?;
    let PresenceCounts { sessions, users } = hub.presence_counts(&channel).await?;
    let most = limit.unwrap_or(MAX_MEMBERS).clamp(1, MAX_MEMBERS);
    let page = hub.members(&channel, after, most).await?;
    let members = page.members;
    let next = members.last().filter(|_| page.more).map(|last| last.session.clone());
    let members = members.into_iter().map(Into::into).collect();
    Ok(Json(Presence { sessions, users, members, next }))
}

/// Read a channel's history.
#[utoipa::path(get, path = "/channels/{channel}/history", params(("channel" = String, Path), ReadOptions), responses(
    (status = OK, body = History),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
    (status = GONE, body = Problem, content_type = "application/problem+json"),
    (status = SERVICE_UNAVAILABLE, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn history(
    State(hub): State<Hub>,
    Path(channel): Path<String>,
    Query(options): Query<ReadOptions>,
) -> Result<Json<History>, Problem> {
    let channel = ChannelName::new(&channel).map_err(Problem::bad_request)?;
    let since = match (options.offset, options.epoch) {
        (Some(offset), Some(epoch)) => Some(Position { offset, epoch }),
        (None, None) => None,
        _ => return Err(Problem::bad_request("`offset` and `epoch` belong together: send both or neither")),
    };
    if hub.namespace(&channel).history.is_none() {
        return Err(Problem::not_found(
            "the channel keeps no history: set `history_size` and `history_ttl` for its namespace",
        ));
    }
    let limit = options.limit.unwrap_or(100).min(1000);
    let page = hub.history(&channel, since, limit, options.reverse).await?;
    let HistoryPage { position, publications, more } = page.ok_or_else(|| {
        Problem::new(StatusCode::GONE, "the messages after that position are lost: read from the beginning")
    })?;
    let publications = publications.into_iter().map(Into::into).collect();
    Ok(Json(History { position: position.into(), publications, more }))
}

/// The most members on a page.
const MAX_MEMBERS: usize = 10_000;
