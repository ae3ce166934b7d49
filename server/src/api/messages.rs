//! Publishing.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use wirehub_common::frame::{self, Publication};
use wirehub_common::{ChannelName, Payload};

use super::Body;
use super::problem::Problem;
use crate::Hub;
use crate::engine::EngineFuture;
use crate::json_payload::{JsonPayload, JsonPayloadError, present};

/// A message for every session, with `data` or `bytes`, or with `head` and `bytes`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Broadcast {
    /// Any JSON.
    #[schema(value_type = Option<serde_json::Value>)]
    #[serde(default, deserialize_with = "present")]
    data: Option<Box<RawValue>>,
    /// The head of an attachment, any JSON, beside its `bytes`.
    #[schema(value_type = Option<serde_json::Value>)]
    #[serde(default, deserialize_with = "present")]
    head: Option<Box<RawValue>>,
    /// Bytes, in base64.
    #[serde(default)]
    bytes: Option<String>,
}

/// A message for a channel, with `data` or `bytes`, or with `head` and `bytes`.
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
    /// The head of an attachment, any JSON, beside its `bytes`.
    #[schema(value_type = Option<serde_json::Value>)]
    #[serde(default, deserialize_with = "present")]
    head: Option<Box<RawValue>>,
    /// Bytes, in base64.
    #[serde(default)]
    bytes: Option<String>,
    /// An idempotency key: a repetition with the same key is not published again and gets the same answer.
    #[serde(default)]
    key: String,
}

/// A message for all sessions of one user, with `data` or `bytes`, or with `head` and `bytes`.
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
    /// The head of an attachment, any JSON, beside its `bytes`.
    #[schema(value_type = Option<serde_json::Value>)]
    #[serde(default, deserialize_with = "present")]
    head: Option<Box<RawValue>>,
    /// Bytes, in base64.
    #[serde(default)]
    bytes: Option<String>,
}

/// Several messages, each for one channel.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Batch {
    /// At most 1,000.
    publications: Vec<Publish>,
}

/// The result of a publication.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Published {
    /// The position, in a channel that keeps history.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<Position>,
}

/// A position in the history of a channel.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Position {
    /// Counts from 1, without gaps.
    offset: u64,
    /// Changes when the history was lost.
    epoch: String,
}

/// The results of the messages, in the same order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BatchPublished {
    results: Vec<BatchResult>,
}

/// The result of one message.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BatchResult {
    /// The position, in a channel that keeps history.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<Position>,
    /// The reason for a failure; absent on success.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
}

/// A message in the history.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Read {
    /// The payload, if it is JSON.
    #[schema(value_type = Option<serde_json::Value>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Box<RawValue>>,
    /// The head, if the payload is an attachment.
    #[schema(value_type = Option<serde_json::Value>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<Box<RawValue>>,
    /// The bytes of an attachment, or any other payload, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<String>,
    /// When the server accepted it, in milliseconds since 1970-01-01 UTC.
    time: u64,
    /// The session that published it; absent for a message of the server itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    publisher: Option<super::sessions::Member>,
    /// Its offset in the history.
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

/// Publish several messages, each in its channel. A failed message does not stop the others.
#[utoipa::path(post, path = "/batch", request_body = Batch, responses(
    (status = OK, body = BatchPublished),
))]
pub(super) async fn publish_batch(
    State(hub): State<Hub>,
    Body(batch): Body<Batch>,
) -> Result<Json<BatchPublished>, Problem> {
    if batch.publications.len() > MAX_BATCH {
        return Err(Problem::bad_request(format!(
            "a batch has at most {MAX_BATCH} publications: send several batches"
        )));
    }
    // Every publication starts before the first result is awaited.
    let mut accepted = Vec::with_capacity(batch.publications.len());
    let mut bytes = 0_usize;
    for publish in batch.publications {
        bytes = bytes.saturating_add(publish.bytes());
        accepted.push(accept(&hub, publish));
        // A pause lets subscribers read. Otherwise a batch larger than their queues would disconnect even the fastest.
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

/// Send a message to every connected session of all nodes. After the status 503 some nodes may have sent it.
#[utoipa::path(post, path = "/broadcast", request_body = Broadcast, responses(
    (status = NO_CONTENT),
    (status = SERVICE_UNAVAILABLE, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn broadcast(
    State(hub): State<Hub>,
    Body(Broadcast { data, head, bytes }): Body<Broadcast>,
) -> Result<axum::http::StatusCode, Problem> {
    hub.broadcast(payload(data, head, bytes)?).await?;
    Ok(axum::http::StatusCode::NO_CONTENT)
}

/// Send a message to all sessions of a user that are subscribed to the user's own channel.
#[utoipa::path(post, path = "/send", request_body = Direct, responses(
    (status = OK, body = Published),
    (status = SERVICE_UNAVAILABLE, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn send_to_user(
    State(hub): State<Hub>,
    Body(Direct { user, data, head, bytes }): Body<Direct>,
) -> Result<Json<Published>, Problem> {
    let accepted = hub.send_to_user(&user, payload(data, head, bytes)?).map_err(Problem::bad_request)?;
    Ok(Json(accepted.await?.into()))
}

impl Publish {
    /// The approximate number of bytes.
    fn bytes(&self) -> usize {
        let json = [&self.data, &self.head].into_iter().flatten();
        let json = json.map(|json| json.get().len()).fold(0, usize::saturating_add);
        json.saturating_add(self.bytes.as_ref().map_or(0, String::len))
    }
}

fn accept(hub: &Hub, publish: Publish) -> Result<EngineFuture<Option<frame::Position>>, Problem> {
    let Publish { channel, data, head, bytes, key } = publish;
    let channel = ChannelName::new(&channel).map_err(Problem::bad_request)?;
    let payload = payload(data, head, bytes)?;
    hub.publish_once(&channel, payload, &key).map_err(Problem::bad_request)
}

/// The payload of a request.
pub(super) fn payload(
    data: Option<Box<RawValue>>,
    head: Option<Box<RawValue>>,
    bytes: Option<String>,
) -> Result<Payload, Problem> {
    match (JsonPayload { data, head, bytes, custom: None }).payload() {
        Ok(Some(payload)) => Ok(payload),
        Ok(None) | Err(JsonPayloadError::Several) => Err(Problem::bad_request(
            "a message has either `data` (any JSON) or `bytes` (in base64): send one of them",
        )),
        Err(JsonPayloadError::HeadAlone) => {
            Err(Problem::bad_request("`head` belongs to `bytes`: send both, or the JSON alone as `data`"))
        }
        Err(JsonPayloadError::NotBase64) => {
            Err(Problem::bad_request("`bytes` is not base64: use the standard alphabet with padding"))
        }
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
        let Publication { payload, time, publisher, offset, .. } = publication;
        let JsonPayload { data, head, bytes, .. } = JsonPayload::data_or_bytes(&payload);
        Self { data, head, bytes, time, publisher: publisher.map(Into::into), offset }
    }
}

/// The bytes of a batch that are published before subscribers get a pause.
const AT_ONCE_BYTES: usize = 64 * 1024;

/// The length of that pause: 64 MB/s is the speed of a reader on a fast network.
const PAUSE: Duration = Duration::from_millis(1);

/// The most publications in a batch.
const MAX_BATCH: usize = 1000;
