//! Looking at channels.

#![allow(unused_qualifications, reason = "those that `utoipa::path` makes")]

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use wirehub_common::ChannelName;
use wirehub_common::frame::{HistoryPage, Position};

use super::messages::{self, Read};
use super::problem::Problem;
use super::sessions::Session;
use super::{Path, Query};
use crate::Hub;

/// A channel that somebody is subscribed to.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Channel {
    name: String,
    /// How many sessions are subscribed.
    subscribers: usize,
}

/// The channels that somebody is subscribed to.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Channels {
    channels: Vec<Channel>,
}

/// Who is subscribed to a channel.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Presence {
    members: Vec<Session>,
}

/// A part of a channel's history.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct History {
    /// The newest place.
    position: messages::Position,
    publications: Vec<Read>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ReadOptions {
    /// Read what comes after this offset (reversed: before it); takes `epoch`, too.
    offset: Option<u64>,
    /// The epoch of the offset.
    epoch: Option<String>,
    /// At most so many; 1,000 at most.
    #[param(default = 100)]
    limit: Option<usize>,
    /// Newest first.
    #[serde(default)]
    reverse: bool,
}

/// List the channels that somebody is subscribed to.
#[utoipa::path(get, path = "/channels", responses((status = OK, body = Channels)))]
pub(super) async fn list(State(hub): State<Hub>) -> Json<Channels> {
    let mut channels: Vec<Channel> = hub
        .channels()
        .into_iter()
        .map(|(name, subscribers)| Channel { name: name.as_str().into(), subscribers })
        .collect();
    channels.sort_by(|a, b| a.name.cmp(&b.name));
    Json(Channels { channels })
}

/// Say who is subscribed to a channel.
#[utoipa::path(get, path = "/channels/{channel}/presence", params(("channel" = String, Path)), responses(
    (status = OK, body = Presence),
    (status = BAD_REQUEST, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn presence(
    State(hub): State<Hub>,
    Path(channel): Path<String>,
) -> Result<Json<Presence>, Problem> {
    let channel = ChannelName::new(&channel).map_err(Problem::bad_request)?;
    let members = hub.presence(&channel).into_iter().map(Into::into).collect();
    Ok(Json(Presence { members }))
}

/// Read a channel's history.
#[utoipa::path(get, path = "/channels/{channel}/history", params(("channel" = String, Path), ReadOptions), responses(
    (status = OK, body = History),
    (status = BAD_REQUEST, body = Problem, content_type = "application/problem+json"),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
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
        _ => return Err(Problem::bad_request("`offset` and `epoch` belong together: give both, or neither")),
    };
    let limit = options.limit.unwrap_or(100).min(1000);
    let page = hub.history(&channel, since, limit, options.reverse).await?;
    let HistoryPage { position, publications } = page.ok_or_else(|| {
        Problem::not_found(
            "the channel keeps no history, or what came after that place is gone: read it from the beginning",
        )
    })?;
    let publications = publications.into_iter().map(Into::into).collect();
    Ok(Json(History { position: position.into(), publications }))
}
