//! Sessions: list, change their subscriptions, disconnect.

#![allow(unused_qualifications, reason = "those that `utoipa::path` makes")]

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};
use wirehub_common::ChannelName;
use wirehub_common::code::{CloseCode, ErrorCode};
use wirehub_common::frame::{self, ErrorInfo};

use super::problem::Problem;
use super::{Body, MAX_ITEMS, Path, Query, limit_of, missing_nodes};
use crate::observe::ConnectedSession;
use crate::{Hub, SessionId};

/// A session, as other clients see it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Member {
    /// The session's id.
    session: String,
    /// The session's user; absent for an anonymous one.
    #[serde(skip_serializing_if = "String::is_empty")]
    user: String,
    /// The data of the session for everybody with access to presence.
    #[schema(value_type = Option<serde_json::Value>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    info: Option<Box<RawValue>>,
}

/// A connected client.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Session {
    #[serde(flatten)]
    member: Member,
    /// The client's IP address; absent if unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    /// The time of the connection, in milliseconds since 1970-01-01 UTC.
    connected: u64,
    /// The subprotocol.
    #[schema(example = "wirehub.v1.json")]
    subprotocol: String,
    /// The number of subscribed channels.
    channels: u32,
    /// The number of bytes in its queue.
    queue_bytes: usize,
    /// The id of its node, if the server is one of several.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
}

/// Connected clients of all nodes, sorted by session id.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Sessions {
    /// The number of all sessions, also of other users.
    count: usize,
    sessions: Vec<Session>,
    /// The `after` for the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    /// The ids of the nodes without an answer: the list lacks their sessions. Absent if it is complete.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing_nodes: Vec<String>,
}

/// A connected client with its subscriptions.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SessionDetails {
    #[serde(flatten)]
    session: Session,
    /// The subscribed channels, sorted.
    subscriptions: Vec<String>,
    /// The `after` for the next page of subscriptions; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ShowOptions {
    /// The maximum number of subscriptions, up to 1,000.
    #[param(default = 1000, maximum = 1000)]
    limit: Option<usize>,
    /// The `next` of the previous page.
    after: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListOptions {
    /// Only sessions of this user.
    user: Option<String>,
    /// The maximum number of sessions, up to 1,000.
    #[param(default = 100, maximum = 1000)]
    limit: Option<usize>,
    /// The `next` of the previous page.
    after: Option<String>,
}

/// The end of a session.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Disconnect {
    /// The close code, 3000 to 4999. Clients do not reconnect after 3500 to 3999 and 4500 to 4999.
    #[serde(default = "disconnected")]
    #[schema(default = 3506, minimum = 3000, maximum = 4999)]
    code: u16,
    /// For people, at most 123 bytes. Default: the meaning of the code.
    #[serde(default)]
    reason: String,
}

/// The channel to subscribe to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SubscribeTo {
    /// The channel's name.
    #[schema(example = "chat:lobby")]
    channel: String,
}

/// The subscription to end, with a reason.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UnsubscribeFrom {
    /// The channel's name.
    #[schema(example = "chat:lobby")]
    channel: String,
    /// The error code for the client: one of the protocol's, or an application's own from 1000 on.
    #[serde(default = "permission_denied")]
    #[schema(default = 103, minimum = 100)]
    code: u16,
    /// For people, at most 1,000 bytes. If empty, the meaning of the code.
    #[serde(default)]
    message: String,
}

/// The number of sessions concerned.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Reached {
    sessions: usize,
}

/// List the connected sessions of all nodes.
#[utoipa::path(get, path = "/sessions", params(ListOptions), responses(
    (status = OK, body = Sessions),
    (status = SERVICE_UNAVAILABLE, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn list(
    State(hub): State<Hub>,
    Query(ListOptions { user, limit, after }): Query<ListOptions>,
) -> Result<Json<Sessions>, Problem> {
    let after: Option<SessionId> =
        after.map(|after| after.parse()).transpose().map_err(Problem::bad_request)?;
    let limit = limit_of(limit);
    let (page, count) = if let Some(user) = user {
        let of_user = hub.sessions_of(&user, after, limit);
        // The count is that of everybody.
        let (page, everybody) = tokio::join!(of_user, hub.connected_sessions(None, 1));
        let (mut page, everybody) = (page?, everybody?);
        for node in everybody.missing {
            if !page.missing.contains(&node) {
                page.missing.push(node);
            }
        }
        (page, everybody.count)
    } else {
        let page = hub.connected_sessions(after, limit).await?;
        let count = page.count;
        (page, count)
    };
    let next = page.items.last().filter(|_| page.more).map(|last| last.id.to_string());
    let missing_nodes = missing_nodes(&page);
    let sessions = page.items.into_iter().map(Session::from).collect();
    Ok(Json(Sessions { count, sessions, next, missing_nodes }))
}

/// Show one session.
#[utoipa::path(get, path = "/sessions/{session}", params(("session" = String, Path), ShowOptions), responses(
    (status = OK, body = SessionDetails),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
    (status = SERVICE_UNAVAILABLE, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn show(
    State(hub): State<Hub>,
    Path(session): Path<String>,
    Query(ShowOptions { limit, after }): Query<ShowOptions>,
) -> Result<Json<SessionDetails>, Problem> {
    let id = parse_session(&session)?;
    let after = after.map(|after| ChannelName::new(&after)).transpose().map_err(Problem::bad_request)?;
    let limit = limit.unwrap_or(MAX_ITEMS).clamp(1, MAX_ITEMS);
    let (session, page) = tokio::join!(hub.session(id), hub.subscriptions_of(id, after.as_ref(), limit));
    let (Some(session), Some(page)) = (session?, page?) else { return Err(no_session()) };
    let next = page.items.last().filter(|_| page.more).map(ToString::to_string);
    let subscriptions = page.items.iter().map(ToString::to_string).collect();
    Ok(Json(SessionDetails { session: session.into(), subscriptions, next }))
}

/// Disconnect a session.
#[utoipa::path(post, path = "/sessions/{session}/disconnect", request_body = Disconnect, params(("session" = String, Path)), responses(
    (status = NO_CONTENT),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
    (status = SERVICE_UNAVAILABLE, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn disconnect(
    State(hub): State<Hub>,
    Path(session): Path<String>,
    Body(disconnect): Body<Disconnect>,
) -> Result<StatusCode, Problem> {
    let session = parse_session(&session)?;
    let (code, reason) = disconnect.parse()?;
    if hub.disconnect(session, code, reason).await? { Ok(StatusCode::NO_CONTENT) } else { Err(no_session()) }
}

/// Subscribe a session to a channel, regardless of its rights.
#[utoipa::path(post, path = "/sessions/{session}/subscribe", request_body = SubscribeTo, params(("session" = String, Path)), responses(
    (status = NO_CONTENT),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
    (status = SERVICE_UNAVAILABLE, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn subscribe(
    State(hub): State<Hub>,
    Path(session): Path<String>,
    Body(SubscribeTo { channel }): Body<SubscribeTo>,
) -> Result<StatusCode, Problem> {
    let session = parse_session(&session)?;
    let channel = ChannelName::new(&channel).map_err(Problem::bad_request)?;
    hub.check_channel(&channel).map_err(|error| Problem::bad_request(error.message))?;
    if hub.subscribe_session(session, &channel).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(no_session())
    }
}

/// End a session's subscription.
#[utoipa::path(post, path = "/sessions/{session}/unsubscribe", request_body = UnsubscribeFrom, params(("session" = String, Path)), responses(
    (status = NO_CONTENT),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
    (status = SERVICE_UNAVAILABLE, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn unsubscribe(
    State(hub): State<Hub>,
    Path(session): Path<String>,
    Body(unsubscribe): Body<UnsubscribeFrom>,
) -> Result<StatusCode, Problem> {
    let session = parse_session(&session)?;
    let (channel, error) = unsubscribe.parse()?;
    if hub.unsubscribe_session(session, &channel, error).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(no_session())
    }
}

/// Disconnect all sessions of a user.
#[utoipa::path(post, path = "/users/{user}/disconnect", request_body = Disconnect, params(("user" = String, Path)), responses(
    (status = OK, body = Reached),
    (status = SERVICE_UNAVAILABLE, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn disconnect_user(
    State(hub): State<Hub>,
    Path(user): Path<String>,
    Body(disconnect): Body<Disconnect>,
) -> Result<Json<Reached>, Problem> {
    let (code, reason) = disconnect.parse()?;
    let sessions = hub.disconnect_user(&user, code, reason).await?;
    Ok(Json(Reached { sessions }))
}

/// End the subscriptions of all sessions of a user to a channel.
#[utoipa::path(post, path = "/users/{user}/unsubscribe", request_body = UnsubscribeFrom, params(("user" = String, Path)), responses(
    (status = OK, body = Reached),
    (status = SERVICE_UNAVAILABLE, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn unsubscribe_user(
    State(hub): State<Hub>,
    Path(user): Path<String>,
    Body(unsubscribe): Body<UnsubscribeFrom>,
) -> Result<Json<Reached>, Problem> {
    let (channel, error) = unsubscribe.parse()?;
    let sessions = hub.unsubscribe_user(&user, &channel, &error).await?;
    Ok(Json(Reached { sessions }))
}

impl Disconnect {
    fn parse(self) -> Result<(CloseCode, String), Problem> {
        let Self { code, reason } = self;
        let code = CloseCode::new(code).filter(|code| (3000..5000).contains(&code.number()));
        let code = code.ok_or_else(|| {
            Problem::bad_request("`code` must be 3000 to 4999: see the close codes of the protocol")
        })?;
        if reason.len() > 123 {
            return Err(Problem::bad_request("`reason` has at most 123 bytes: shorten it"));
        }
        Ok((code, if reason.is_empty() { code.message().into() } else { reason }))
    }
}

impl UnsubscribeFrom {
    fn parse(self) -> Result<(ChannelName, ErrorInfo), Problem> {
        let Self { channel, code, message } = self;
        let channel = ChannelName::new(&channel).map_err(Problem::bad_request)?;
        let code = ErrorCode::new(code).ok_or_else(|| {
            Problem::bad_request(
                "`code` must be one of the protocol's errors, from 100 on, or an application's own, from 1000 on",
            )
        })?;
        if message.len() > MAX_MESSAGE {
            return Err(Problem::bad_request(format!(
                "`message` has at most {MAX_MESSAGE} bytes: shorten it"
            )));
        }
        let mut error = ErrorInfo::from_code(code);
        if !message.is_empty() {
            error.message = message;
        }
        Ok((channel, error))
    }
}

impl From<frame::Member> for Member {
    fn from(frame::Member { session, user, info }: frame::Member) -> Self {
        Self { session, user, info: RawValue::from_string(info).ok() }
    }
}

impl From<ConnectedSession> for Session {
    fn from(session: ConnectedSession) -> Self {
        Self {
            member: session.member.into(),
            address: session.address.map(|address| address.to_string()),
            connected: session.opened,
            subprotocol: session.subprotocol.into(),
            channels: session.channels,
            queue_bytes: session.queue_bytes,
            node: session.node.map(|node| node.to_string()),
        }
    }
}

fn parse_session(session: &str) -> Result<SessionId, Problem> {
    session.parse().map_err(Problem::bad_request)
}

fn no_session() -> Problem {
    Problem::not_found("unknown session: it may have ended")
}

fn disconnected() -> u16 {
    CloseCode::DISCONNECTED.number()
}

fn permission_denied() -> u16 {
    ErrorCode::PERMISSION_DENIED.number()
}

/// The most bytes in the message of an error.
const MAX_MESSAGE: usize = 1000;
