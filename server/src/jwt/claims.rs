//! The claims of a token, and their mistakes.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};
use wirehub_common::ChannelName;

use crate::Pattern;
use crate::auth::{Authenticated, Refusal, Rights};

/// The claims of a token, for signing.
#[derive(Debug, Serialize)]
pub(super) struct SignedClaims<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) sub: &'a str,
    pub(super) exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) aud: Option<&'a str>,
    #[serde(skip_serializing_if = "RightsClaim::is_empty")]
    pub(super) wirehub: RightsClaim,
}

/// The rights in a token.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct RightsClaim {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscribe: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    publish: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    presence: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    channels: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    info: Option<Value>,
}

impl RightsClaim {
    pub(super) fn of(identity: &Authenticated) -> Self {
        let rights = identity.rights();
        let texts = |patterns: &[Pattern]| patterns.iter().map(ToString::to_string).collect();
        Self {
            subscribe: texts(&rights.subscribe),
            publish: texts(&rights.publish),
            presence: texts(&rights.presence),
            channels: identity.channels().iter().map(ToString::to_string).collect(),
            info: identity.info().and_then(|text| serde_json::from_str(text).ok()),
        }
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The claims that a verifier requires.
pub(super) struct Expected<'a> {
    pub(super) issuer: Option<&'a str>,
    pub(super) audience: Option<&'a str>,
    pub(super) leeway: Duration,
    /// The time since 1970.
    pub(super) now: Duration,
}

impl Expected<'_> {
    /// Returns the identity in claims whose signature has been verified. A refusal names the wrong claim.
    pub(super) fn check(&self, claims: &Map<String, Value>) -> Result<Authenticated, Refusal> {
        let (now, leeway) = (self.now.as_secs_f64(), self.leeway.as_secs_f64());
        let end = date(claims, "exp")?
            .ok_or_else(|| wrong("the token has no `exp`, its expiry: its issuer has to write it"))?;
        let begin = date(claims, "nbf")?;
        date(claims, "iat")?;
        let user = match claims.get("sub") {
            None => "",
            Some(Value::String(user)) => user,
            Some(_) => return Err(wrong_kind("sub", "a text, in quotation marks even if it is a number")),
        };
        let left = end + leeway - now;
        if left <= 0.0 {
            return Err(Refusal::expired());
        }
        if begin.is_some_and(|begin| begin > now + leeway) {
            return Err(wrong("the token is not valid yet (`nbf`): compare the clocks"));
        }
        if let Some(issuer) = self.issuer {
            check_party(claims, "iss", issuer, "the token comes from another issuer (`iss`)")?;
        }
        if let Some(audience) = self.audience {
            check_party(claims, "aud", audience, "the token is for another audience (`aud`)")?;
        }
        // A time beyond the range means that the token never expires.
        let left = Duration::try_from_secs_f64(left).unwrap_or(Duration::MAX);
        let identity = Authenticated::user(user).expires_in(left);
        let identity = identity.checked().map_err(|error| wrong(format!("the token's `sub`: {error}")))?;
        grant(claims, identity)
    }
}

/// A time in seconds since 1970, possibly with a fraction (RFC 7519, section 2: `NumericDate`).
fn date(claims: &Map<String, Value>, name: &str) -> Result<Option<f64>, Refusal> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_f64().filter(|seconds| seconds.is_finite());
    seconds.map(Some).ok_or_else(|| wrong_kind(name, "a number, the seconds since 1970"))
}

/// Checks the issuer or the audience: a text, or a list of texts that contains it.
fn check_party(claims: &Map<String, Value>, name: &str, expected: &str, other: &str) -> Result<(), Refusal> {
    let is_there = match claims.get(name) {
        None => {
            return Err(wrong(format!("the token has no `{name}`: get one for this server")));
        }
        Some(Value::String(one)) => one == expected,
        Some(Value::Array(several)) if several.iter().all(Value::is_string) => {
            several.iter().any(|one| one.as_str() == Some(expected))
        }
        Some(_) => return Err(wrong_kind(name, "a text")),
    };
    if is_there { Ok(()) } else { Err(wrong(format!("{other}: get one for this server"))) }
}

/// Adds the rights in the claim `wirehub`.
fn grant(claims: &Map<String, Value>, identity: Authenticated) -> Result<Authenticated, Refusal> {
    let granted = match claims.get("wirehub") {
        None => return Ok(identity),
        Some(Value::Object(granted)) => granted,
        Some(_) => return Err(wrong_kind("wirehub", "an object, such as {\"subscribe\": [\"chat:*\"]}")),
    };
    if let Some(name) = granted.keys().find(|name| !RIGHTS.contains(&&***name)) {
        let known = RIGHTS.join(", ");
        tracing::debug!("a token's `wirehub` has the unknown key {name:?} (known: {known})");
    }
    let patterns = |name| {
        let texts = texts(granted, name)?.into_iter().enumerate();
        let pattern = |(index, text): (usize, &str)| {
            let words = "is not a pattern of channels: write chat:lobby, chat:* or *";
            text.parse().map_err(|_| wrong(format!("the token's `wirehub.{name}[{index}]` {words}")))
        };
        texts.map(pattern).collect::<Result<Vec<Pattern>, Refusal>>()
    };
    let rights = Rights {
        subscribe: patterns("subscribe")?,
        publish: patterns("publish")?,
        presence: patterns("presence")?,
    };
    let channel = |(index, text): (usize, &str)| {
        let words = "is not a valid channel name: correct it";
        ChannelName::new(text).map_err(|_| wrong(format!("the token's `wirehub.channels[{index}]` {words}")))
    };
    let channels = texts(granted, "channels")?.into_iter().enumerate().map(channel);
    let identity = identity.with_rights(rights).with_channels(channels.collect::<Result<Vec<_>, _>>()?);
    match granted.get("info") {
        None | Some(Value::Null) => Ok(identity),
        Some(info) => identity.with_info(info).map_err(|_| {
            wrong(format!(
                "the token's `wirehub.info` is larger than {} bytes: shorten it",
                Authenticated::MAX_INFO_BYTES
            ))
        }),
    }
}

/// The keys of the claim `wirehub`.
const RIGHTS: [&str; 5] = ["subscribe", "publish", "presence", "channels", "info"];

/// A list of texts in the claim `wirehub`; empty if it is missing.
fn texts<'a>(granted: &'a Map<String, Value>, name: &str) -> Result<Vec<&'a str>, Refusal> {
    let texts = match granted.get(name) {
        None => Some(Vec::new()),
        Some(Value::Array(values)) => values.iter().map(Value::as_str).collect(),
        Some(_) => None,
    };
    texts.ok_or_else(|| wrong_kind(&format!("wirehub.{name}"), "a list of texts, such as [\"chat:lobby\"]"))
}

fn wrong_kind(name: &str, kind: &str) -> Refusal {
    wrong(format!("the token's `{name}` has the wrong type: its issuer has to write {kind}"))
}

fn wrong(words: impl Into<String>) -> Refusal {
    Refusal::invalid().with_message(words)
}
