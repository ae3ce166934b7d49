//! The requests of webhooks, and their answers.

use std::net::IpAddr;
use std::time::Duration;

use axum::http::StatusCode;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use wirehub_common::code::{ERRORS, ErrorCode};
use wirehub_common::frame::ErrorInfo;
use wirehub_common::{ChannelName, Payload};

use crate::auth::{Authenticated, Rights};
use crate::json_payload::{JsonPayload, JsonPayloadError, present};
use crate::outbound::Response;

/// The JSON of a request. Repetitions have the same id.
#[derive(Serialize)]
pub(super) struct WebhookRequest<'a> {
    pub(super) id: &'a str,
    #[serde(flatten)]
    pub(super) body: Body<'a>,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(super) enum Body<'a> {
    Connect {
        token: &'a str,
        client: &'a str,
        version: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        address: Option<IpAddr>,
    },
    Subscribe {
        session: String,
        user: &'a str,
        channel: &'a str,
    },
    Publish {
        session: String,
        user: &'a str,
        channel: &'a str,
        #[serde(skip_serializing_if = "str::is_empty")]
        key: &'a str,
        #[serde(flatten)]
        message: JsonPayload,
    },
    Call {
        session: String,
        user: &'a str,
        call: &'a str,
        #[serde(flatten)]
        message: JsonPayload,
    },
}

impl WebhookRequest<'_> {
    pub(super) fn to_json(&self) -> Result<Bytes, serde_json::Error> {
        serde_json::to_vec(self).map(Bytes::from)
    }
}

/// The payload of an answer, if there is one.
pub(super) fn payload(answer: JsonPayload) -> Result<Option<Payload>, &'static str> {
    answer.payload().map_err(|error| match error {
        JsonPayloadError::Several => "its answer has more than one of `data`, `bytes` and `custom`",
        JsonPayloadError::HeadAlone => "its answer has a `head` without `bytes`",
        JsonPayloadError::NotBase64 => "its answer has invalid base64",
    })
}

/// A positive answer without content.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Empty {}

/// The answer about a client.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Identity {
    user: String,
    /// In seconds.
    expires_in: Option<u64>,
    #[serde(default)]
    subscribe: Vec<String>,
    #[serde(default)]
    publish: Vec<String>,
    #[serde(default)]
    presence: Vec<String>,
    #[serde(default)]
    channels: Vec<String>,
    #[serde(default, deserialize_with = "present")]
    info: Option<Box<RawValue>>,
}

impl Identity {
    pub(super) fn authenticated(self) -> Result<Authenticated, String> {
        let patterns = |texts: Vec<String>| {
            let parse =
                |text: String| text.parse().map_err(|error| format!("its answer has {text:?}: {error}"));
            texts.into_iter().map(parse).collect::<Result<Vec<_>, _>>()
        };
        let channel = |name: String| {
            ChannelName::new(&name).map_err(|error| format!("its answer has the channel {name:?}: {error}"))
        };
        let rights = Rights {
            subscribe: patterns(self.subscribe)?,
            publish: patterns(self.publish)?,
            presence: patterns(self.presence)?,
        };
        let channels: Result<Vec<_>, _> = self.channels.into_iter().map(channel).collect();
        let identity = Authenticated::user(self.user).checked();
        let identity = identity.map_err(|error| format!("`user` in its answer: {error}"))?;
        let mut identity = identity.with_rights(rights).with_channels(channels?);
        if let Some(seconds) = self.expires_in {
            identity = identity.expires_in(Duration::from_secs(seconds));
        }
        match self.info {
            Some(info) => identity.with_info(&info).map_err(|error| format!("`info` in its answer: {error}")),
            None => Ok(identity),
        }
    }
}

/// Interprets an answer. An error means that it is unusable, with the reason.
pub(super) fn parse_answer<T: DeserializeOwned>(answer: &Response) -> Result<Result<T, ErrorInfo>, String> {
    #[derive(Deserialize)]
    struct ErrorAnswer {
        error: Option<ErrorBody>,
    }

    let body = if answer.body.is_empty() { b"{}" } else { &*answer.body };
    let is_passed = answer.status.is_success();
    match serde_json::from_slice(body) {
        Ok(ErrorAnswer { error: Some(error) }) => return error.info().map(Err),
        Ok(ErrorAnswer { error: None }) => {}
        Err(error) if is_passed => return Err(format!("its answer is invalid: {error}")),
        // Not JSON, for instance an error page for people.
        Err(_) => {}
    }
    match answer.status {
        _ if is_passed => {
            serde_json::from_slice(body).map(Ok).map_err(|error| format!("its answer is invalid: {error}"))
        }
        StatusCode::UNAUTHORIZED => Ok(Err(ErrorInfo::from_code(ErrorCode::UNAUTHORIZED))),
        StatusCode::FORBIDDEN => Ok(Err(ErrorInfo::from_code(ErrorCode::PERMISSION_DENIED))),
        StatusCode::TOO_MANY_REQUESTS => Ok(Err(ErrorInfo::from_code(ErrorCode::RATE_LIMITED))),
        status => Err(format!("it answered with status {status}")),
    }
}

/// The reason for a refusal.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ErrorBody {
    code: Code,
    message: Option<String>,
    temporary: Option<bool>,
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "a code of the table, by number or name, or an application's own number from 1000 on"
)]
enum Code {
    Number(u16),
    Name(String),
}

impl ErrorBody {
    fn info(self) -> Result<ErrorInfo, String> {
        let (code, text) = match self.code {
            Code::Number(number) => {
                let is_known = |code: &ErrorCode| number >= 1000 || code.name().is_some();
                (ErrorCode::new(number).filter(is_known), number.to_string())
            }
            Code::Name(name) => {
                (ERRORS.iter().find(|row| *row.name == name).map(|row| row.code), format!("{name:?}"))
            }
        };
        let code = code.ok_or_else(|| format!("its answer has the unknown error code {text}"))?;
        let table = ErrorInfo::from_code(code);
        let message = self.message.unwrap_or_else(|| match code.name() {
            Some(_) => table.message,
            None => "the backend refused this".into(),
        });
        Ok(ErrorInfo { code, message, temporary: self.temporary.unwrap_or(table.temporary) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Response {
        let status = StatusCode::from_u16(status).unwrap();
        Response {
            status,
            #[cfg(feature = "jwt")]
            headers: axum::http::HeaderMap::new(),
            body: Bytes::from(body.to_owned()),
        }
    }

    fn json(body: Body<'_>) -> String {
        String::from_utf8(WebhookRequest { id: "1", body }.to_json().unwrap().to_vec()).unwrap()
    }

    #[test]
    fn a_question_is_one_flat_object() {
        assert_eq!(
            json(Body::Connect { token: "t", client: "c", version: "v", address: None }),
            r#"{"id":"1","event":"connect","token":"t","client":"c","version":"v"}"#
        );
        let address = Some("2001:db8::1".parse().unwrap());
        let question = json(Body::Connect { token: "t", client: "c", version: "v", address });
        assert!(question.ends_with(r#""version":"v","address":"2001:db8::1"}"#), "{question}");
        let publish = |payload: Payload, key| {
            let message = JsonPayload::by_content(&payload);
            json(Body::Publish { session: "s".into(), user: "ann", channel: "a", key, message })
        };
        assert_eq!(
            publish(Payload::json("{\"b\": 12345678901234567890,\"a\":1}"), ""),
            r#"{"id":"1","event":"publish","session":"s","user":"ann","channel":"a","data":{"b": 12345678901234567890,"a":1}}"#
        );
        assert!(publish(Payload::bytes("ab"), "k").ends_with(r#""key":"k","bytes":"YWI="}"#));
        assert!(publish(Payload::custom("ab"), "").ends_with(r#""custom":"YWI="}"#));
        assert!(publish(Payload::attachment("[1]", "ab"), "").ends_with(r#""head":[1],"bytes":"YWI="}"#));
        assert!(publish(Payload::default(), "").ends_with(r#""channel":"a"}"#));
        assert!(publish(Payload::json("null"), "").ends_with(r#""data":null}"#));
    }

    #[test]
    fn an_answer_has_at_most_one_payload() {
        let read = |status, body| payload(parse_answer(&answer(status, body)).unwrap().unwrap());
        assert_eq!(read(200, r#"{"custom":"YWI="}"#), Ok(Some(Payload::custom("ab"))));
        assert_eq!(read(200, r#"{"head":1,"bytes":"YWI="}"#), Ok(Some(Payload::attachment("1", "ab"))));
        assert_eq!(read(204, ""), Ok(None));
        for wrong in [r#"{"head":1}"#, r#"{"data":1,"bytes":""}"#, r#"{"bytes":"?"}"#] {
            assert!(read(200, wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_refusal_is_a_code_or_a_status() {
        let no = |status, body| {
            let error = parse_answer::<Empty>(&answer(status, body)).unwrap().err().unwrap();
            (error.code.number(), error.message, error.temporary)
        };
        assert_eq!(
            no(200, r#"{"error":{"code":1001,"message":"full","temporary":true}}"#),
            (1001, "full".into(), true)
        );
        assert_eq!(no(422, r#"{"error":{"code":1001}}"#), (1001, "the backend refused this".into(), false));
        let denied = ErrorCode::PERMISSION_DENIED.message();
        assert_eq!(no(200, r#"{"error":{"code":"PERMISSION_DENIED"}}"#), (103, denied.into(), false));
        assert_eq!(no(200, r#"{"error":{"code":103}}"#), (103, denied.into(), false));
        assert_eq!(no(403, "<html>").0, 103);
        assert_eq!(no(401, "").0, 101);
        assert_eq!((no(429, "").0, no(429, "").2), (111, true));
    }

    #[test]
    fn an_invalid_answer_is_neither_permission_nor_refusal() {
        for (status, body) in [
            (200, "<html>"),
            (200, "[]"),
            (200, "null"),
            (200, r#"{"allow":false}"#),
            (200, r#"{"error":{"code":99}}"#),
            (200, r#"{"error":{"code":999}}"#),
            (200, r#"{"error":{"code":"FULL"}}"#),
            (200, r#"{"error":"no"}"#),
            (200, r#"{"error":{"code":1001,"msg":"full"}}"#),
            (404, ""),
            (302, ""),
            (400, "{}"),
        ] {
            assert!(parse_answer::<Empty>(&answer(status, body)).is_err(), "{status} {body}");
        }
        for body in
            ["{}", r#"{"user":1}"#, r#"{"user":"ann","expire_in":5}"#, r#"{"user":"ann","expires_in":-1}"#]
        {
            assert!(parse_answer::<Identity>(&answer(200, body)).is_err(), "{body}");
        }
        let long = format!(r#"{{"user":"{}"}}"#, "x".repeat(255));
        for body in [&*long, r#"{"user":"all"}"#, r#"{"user":"a\nb"}"#] {
            let identity = parse_answer::<Identity>(&answer(200, body)).unwrap().unwrap();
            assert!(identity.authenticated().unwrap_err().contains("`user`"), "{body}");
        }
        for body in [r#"{"user":"ann","subscribe":["a*b"]}"#, r#"{"user":"ann","channels":["two words"]}"#] {
            let identity = parse_answer::<Identity>(&answer(200, body)).unwrap().unwrap();
            assert!(identity.authenticated().is_err(), "{body}");
        }
    }
}
