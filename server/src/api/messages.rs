//! Publishing.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use wirehub_common::frame::{self, Publication};
use wirehub_common::{ChannelName, Content, Payload};

use super::Body;
use super::problem::Problem;
use crate::Hub;
use crate::engine::EngineFuture;

/// A message for everybody: `data` or `bytes`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Broadcast {
    /// Any JSON.
    #[schema(value_type = Option<serde_json::Value>)]
    #[serde(default, deserialize_with = "present")]
    data: Option<Box<RawValue>>,
    /// Bytes, in base64.
    #[serde(default)]
    bytes: Option<String>,
}

/// A message for a channel: `data` or `bytes`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Publish {
    /// The channel's name.
    #[schema(example = "chat:lobby")]
    channel: String,
    /// Any JSON.
    #[schema(value_type = Option<serde_json::Value>)]
    #[serde(default, deserialize_with = "present")]
    data: Option<Box<RawValue>>,
    /// Bytes, in base64.
    #[serde(default)]
    bytes: Option<String>,
    /// A repeat with the same key is not published again and has the same answer.
    #[serde(default)]
    key: String,
}

/// A message for all sessions of one user: `data` or `bytes`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Direct {
    /// The user's name.
    #[schema(example = "ann")]
    user: String,
    /// Any JSON.
    #[schema(value_type = Option<serde_json::Value>)]
    #[serde(default, deserialize_with = "present")]
    data: Option<Box<RawValue>>,
    /// Bytes, in base64.
    #[serde(default)]
    bytes: Option<String>,
}

/// Several messages, for one channel each.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Batch {
    /// At most 1,000.
    publications: Vec<Publish>,
}

/// Where a message went.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Published {
    /// In a channel that keeps history.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<Position>,
}

/// A place in a channel's history.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Position {
    /// From 1, without gaps.
    offset: u64,
    /// Another one after the history was lost.
    epoch: String,
}

/// What came of each message, in the same order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BatchPublished {
    results: Vec<BatchResult>,
}

/// What came of one of several messages.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BatchResult {
    /// Where it went, in a channel that keeps history.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<Position>,
    /// Why it did not go out; absent where it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
}

/// A message as it is read back.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Read {
    /// What it carries, where that is JSON.
    #[schema(value_type = Option<serde_json::Value>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Box<RawValue>>,
    /// What it carries else, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<String>,
    /// When the server accepted it, in milliseconds since 1970-01-01 UTC.
    time: u64,
    /// The session it came from; absent where the server itself published.
    #[serde(skip_serializing_if = "Option::is_none")]
    publisher: Option<super::sessions::Member>,
    /// Its place in the history.
    offset: u64,
}

/// Publish a message in a channel.
#[utoipa::path(post, path = "/publish", request_body = Publish, responses(
    (status = OK, body = Published),
    (status = SERVICE_UNAVAILABLE, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn publish(
    State(hub): State<Hub>,
    Body(publish): Body<Publish>,
) -> Result<Json<Published>, Problem> {
    Ok(Json(accept(&hub, publish)?.await?.into()))
}

/// Publish several messages, each in its channel; one that fails does not stop the others.
#[utoipa::path(post, path = "/batch", request_body = Batch, responses(
    (status = OK, body = BatchPublished),
))]
pub(super) async fn publish_batch(
    State(hub): State<Hub>,
    Body(batch): Body<Batch>,
) -> Result<Json<BatchPublished>, Problem> {
    if batch.publications.len() > MAX_BATCH {
        return Err(Problem::bad_request(format!(
            "a batch has at most {MAX_BATCH} publications: send several"
        )));
    }
    // All are on their way before the first answer is waited for.
    let mut accepted = Vec::with_capacity(batch.publications.len());
    let mut bytes = 0_usize;
    for publish in batch.publications {
        bytes = bytes.saturating_add(publish.bytes());
        accepted.push(accept(&hub, publish));
        // Readers take what they have, or a batch that is larger than their queues would end the fastest.
        if bytes > AT_ONCE_BYTES {
            bytes = 0;
            tokio::time::sleep(PAUSE).await;
        }
    }
    let mut results = Vec::with_capacity(accepted.len());
    for accepted in accepted {
        let published = match accepted {
            Ok(answer) => answer.await.map_err(Problem::from),
            Err(problem) => Err(problem),
        };
        results.push(match published {
            Ok(position) => BatchResult { position: position.map(Into::into), problem: None },
            Err(problem) => BatchResult { position: None, problem: Some(problem) },
        });
    }
    Ok(Json(BatchPublished { results }))
}

/// Send a message to every connected session.
#[utoipa::path(post, path = "/broadcast", request_body = Broadcast, responses(
    (status = NO_CONTENT),
))]
pub(super) async fn broadcast(
    State(hub): State<Hub>,
    Body(Broadcast { data, bytes }): Body<Broadcast>,
) -> Result<axum::http::StatusCode, Problem> {
    hub.broadcast(payload(data, bytes)?).map_err(Problem::bad_request)?;
    Ok(axum::http::StatusCode::NO_CONTENT)
}

/// Send a message to all sessions of a user that are subscribed to the user's own channel.
#[utoipa::path(post, path = "/send", request_body = Direct, responses(
    (status = OK, body = Published),
    (status = SERVICE_UNAVAILABLE, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn send_to_user(
    State(hub): State<Hub>,
    Body(Direct { user, data, bytes }): Body<Direct>,
) -> Result<Json<Published>, Problem> {
    let accepted = hub.send_to_user(&user, payload(data, bytes)?).map_err(Problem::bad_request)?;
    Ok(Json(accepted.await?.into()))
}

impl Publish {
    /// About how many bytes it has.
    fn bytes(&self) -> usize {
        let data = self.data.as_ref().map_or(0, |data| data.get().len());
        data.saturating_add(self.bytes.as_ref().map_or(0, String::len))
    }
}

fn accept(hub: &Hub, publish: Publish) -> Result<EngineFuture<Option<frame::Position>>, Problem> {
    let Publish { channel, data, bytes, key } = publish;
    let channel = ChannelName::new(&channel).map_err(Problem::bad_request)?;
    let payload = payload(data, bytes)?;
    hub.publish_once(&channel, payload, &key).map_err(Problem::bad_request)
}

pub(super) fn payload(data: Option<Box<RawValue>>, bytes: Option<String>) -> Result<Payload, Problem> {
    match (data, bytes) {
        (Some(data), None) => Ok(Payload::json(String::from(Box::<str>::from(data)))),
        (None, Some(bytes)) => BASE64.decode(bytes).map(Payload::bytes).map_err(|_| {
            Problem::bad_request("`bytes` is no base64: write bytes in the standard alphabet, padded")
        }),
        _ => Err(Problem::bad_request(
            "a message has either `data`, any JSON, or `bytes`, in base64: give one of them",
        )),
    }
}

impl From<Option<frame::Position>> for Published {
    fn from(position: Option<frame::Position>) -> Self {
        Self { position: position.map(Into::into) }
    }
}

impl From<frame::Position> for Position {
    fn from(frame::Position { offset, epoch }: frame::Position) -> Self {
        Self { offset, epoch }
    }
}

impl From<Publication> for Read {
    fn from(publication: Publication) -> Self {
        let Publication { payload: Payload { content, data }, time, publisher, offset, .. } = publication;
        let (data, bytes) = parts(&Payload { content, data });
        Self { data, bytes, time, publisher: publisher.map(Into::into), offset }
    }
}

/// A payload as the JSON that it is, or in base64.
pub(super) fn parts(Payload { content, data }: &Payload) -> (Option<Box<RawValue>>, Option<String>) {
    let json = (*content == Content::Json).then(|| serde_json::from_slice(data).ok()).flatten();
    let bytes = json.is_none().then(|| BASE64.encode(data));
    (json, bytes)
}

/// `null` is a value, not the lack of one.
pub(super) fn present<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// How many bytes of a batch are published before those who read have their turn.
const AT_ONCE_BYTES: usize = 64 * 1024;

/// How long that is: 64 MB/s is as much as a reader on a fast network takes.
const PAUSE: Duration = Duration::from_millis(1);

/// How many publications a batch has at most.
const MAX_BATCH: usize = 1000;
