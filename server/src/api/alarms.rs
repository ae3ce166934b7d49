//! Alarms.

#![allow(unused_qualifications, reason = "those that `utoipa::path` makes")]

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};
use wirehub_common::ChannelName;
use wirehub_hub::unix_time::milliseconds;

use super::messages;
use super::problem::Problem;
use super::{Body, Path, Query};
use crate::Hub;
use crate::alarm::{Alarm, AlarmError, AlarmRecipient, AlarmReport, RecipientPlace};
use crate::json_payload::{JsonPayload, present};

/// A new alarm, with `data` or `bytes`, or with `head` and `bytes`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Raise {
    /// The channel whose message type the payload has. Nobody needs to be subscribed to it.
    #[schema(example = "alarm:fire")]
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
    /// The recipients, at most 100,000 users. Default: everybody.
    #[serde(default)]
    users: Option<Vec<String>>,
    /// The lifetime in milliseconds, up to seven days.
    #[serde(default = "an_hour")]
    #[schema(default = 3_600_000, minimum = 1, maximum = 604_800_000)]
    ttl: u64,
}

/// A raised alarm.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Raised {
    /// The id of the alarm.
    alarm: String,
}

/// An alarm, with the numbers of its recipients by progress.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Summary {
    alarm: String,
    channel: String,
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
    /// The time of the alarm, in milliseconds since 1970-01-01 UTC.
    time: u64,
    /// Its lifetime, in milliseconds.
    ttl: u64,
    #[schema(value_type = Status)]
    state: &'static str,
    /// The recipients that have not connected yet. Unknown for an alarm for everybody.
    waiting: usize,
    /// The recipients that it was sent to and that have not confirmed it.
    sent: usize,
    /// The recipients that have received and not acknowledged it.
    received: usize,
    /// The recipients that have acknowledged it.
    acknowledged: usize,
    /// Those who acknowledged it and are no longer listed: anonymous sessions that have ended, and, an hour after the
    /// end of the alarm, everybody.
    departed: usize,
    /// How often it was sent to recipients beyond the 100,000 that can be listed.
    unlisted: usize,
}

/// Alarms, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Alarms {
    alarms: Vec<Summary>,
}

/// An alarm with its recipients.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Ledger {
    #[serde(flatten)]
    summary: Summary,
    /// Those who have not acknowledged it come first.
    recipients: Vec<Recipient>,
    /// The `after` for the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct LookOptions {
    /// The maximum number of recipients, up to 10,000.
    #[param(default = 10_000, maximum = 10_000)]
    limit: Option<usize>,
    /// The `next` of the previous page. A recipient who acknowledges meanwhile may appear twice.
    after: Option<String>,
}

/// A recipient and its progress.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Recipient {
    /// Absent for an anonymous session.
    #[serde(skip_serializing_if = "String::is_empty")]
    user: String,
    /// The last session of an anonymous client.
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    #[schema(value_type = Progress)]
    progress: &'static str,
    /// The time of this progress, in milliseconds since 1970-01-01 UTC.
    since: u64,
}

/// The state of an alarm.
#[derive(ToSchema)]
#[schema(as = AlarmState, rename_all = "lowercase")]
#[allow(dead_code, reason = "describes the names of the hub's states")]
enum Status {
    Active,
    Expired,
    Withdrawn,
}

/// The progress of an alarm at a recipient.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[allow(dead_code, reason = "describes the names of the hub's progress")]
enum Progress {
    Waiting,
    Sent,
    Received,
    Acknowledged,
}

/// Raise an alarm: it is sent to its recipients until they acknowledge it.
#[utoipa::path(post, path = "/alarms", request_body = Raise, responses(
    (status = CREATED, body = Raised),
    (status = BAD_REQUEST, body = Problem, content_type = "application/problem+json"),
    (status = CONFLICT, body = Problem, content_type = "application/problem+json"),
    (status = SERVICE_UNAVAILABLE, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn raise(
    State(hub): State<Hub>,
    Body(Raise { channel, data, head, bytes, users, ttl }): Body<Raise>,
) -> Result<(StatusCode, Json<Raised>), Problem> {
    let channel = ChannelName::new(&channel).map_err(Problem::bad_request)?;
    let payload = messages::payload(data, head, bytes)?;
    let ttl = Duration::from_millis(ttl);
    if ttl.is_zero() || ttl > Alarm::MAX_TTL {
        return Err(Problem::bad_request("`ttl` is in milliseconds, from 1 to 604800000 (seven days)"));
    }
    let mut alarm = Alarm::raw(channel, payload).ttl(ttl);
    if let Some(users) = users {
        alarm = alarm.for_users(users);
    }
    match hub.raise(alarm).await {
        Ok(alarm) => Ok((StatusCode::CREATED, Json(Raised { alarm }))),
        Err(error @ (AlarmError::TooMany | AlarmError::NoRoom)) => {
            Err(Problem::new(StatusCode::CONFLICT, error.to_string()))
        }
        Err(AlarmError::Engine(error)) => Err(error.into()),
        Err(error) => Err(Problem::bad_request(error)),
    }
}

/// List the newest 1,000 alarms.
#[utoipa::path(get, path = "/alarms", responses((status = OK, body = Alarms)))]
pub(super) async fn list(State(hub): State<Hub>) -> Json<Alarms> {
    Json(Alarms { alarms: hub.alarms().iter().map(Into::into).collect() })
}

/// Show an alarm with its recipients and their progress.
#[utoipa::path(get, path = "/alarms/{alarm}", params(("alarm" = String, Path), LookOptions), responses(
    (status = OK, body = Ledger),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn look(
    State(hub): State<Hub>,
    Path(alarm): Path<String>,
    Query(LookOptions { limit, after }): Query<LookOptions>,
) -> Result<Json<Ledger>, Problem> {
    let wrong = |_| Problem::bad_request("`after` is invalid: use the `next` of the previous page");
    let after: Option<RecipientPlace> = after.map(|after| after.parse()).transpose().map_err(wrong)?;
    let most = limit.unwrap_or(MAX_RECIPIENTS).clamp(1, MAX_RECIPIENTS);
    let page = hub.alarm_recipients(&alarm, after, most).ok_or_else(unknown)?;
    let next = page.next.map(|place| place.to_string());
    let recipients = page.recipients.iter().map(Into::into).collect();
    Ok(Json(Ledger { summary: (&page.report).into(), recipients, next }))
}

/// Withdraw an alarm.
#[utoipa::path(delete, path = "/alarms/{alarm}", params(("alarm" = String, Path)), responses(
    (status = NO_CONTENT),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
    (status = SERVICE_UNAVAILABLE, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn withdraw(
    State(hub): State<Hub>,
    Path(alarm): Path<String>,
) -> Result<StatusCode, Problem> {
    if hub.withdraw(&alarm).await? { Ok(StatusCode::NO_CONTENT) } else { Err(unknown()) }
}

impl From<&AlarmReport> for Summary {
    fn from(report: &AlarmReport) -> Self {
        let JsonPayload { data, head, bytes, .. } = JsonPayload::data_or_bytes(&report.payload);
        Self {
            alarm: report.id.clone(),
            channel: report.channel.to_string(),
            data,
            head,
            bytes,
            time: milliseconds(report.raised),
            ttl: u64::try_from(report.ttl.as_millis()).unwrap_or(u64::MAX),
            state: report.state.as_str(),
            waiting: report.waiting,
            sent: report.sent,
            received: report.received,
            acknowledged: report.acknowledged,
            departed: report.departed,
            unlisted: report.unlisted,
        }
    }
}

impl From<&AlarmRecipient> for Recipient {
    fn from(recipient: &AlarmRecipient) -> Self {
        Self {
            user: (*recipient.user).into(),
            session: recipient.session.map(|session| session.to_string()),
            progress: recipient.progress.as_str(),
            since: milliseconds(recipient.since),
        }
    }
}

fn unknown() -> Problem {
    Problem::not_found("unknown alarm: it may have ended; see /api/v1/alarms")
}

fn an_hour() -> u64 {
    3_600_000
}

/// The most recipients on a page.
const MAX_RECIPIENTS: usize = 10_000;
