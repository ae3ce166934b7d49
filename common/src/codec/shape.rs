//! The shapes that frames have in JSON where they differ from the Rust types: payloads are inlined, codes are
//! numbers, times are milliseconds, hashes are hexadecimal digits.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::to_milliseconds;
use crate::code::{CloseCode, ErrorCode};
use crate::contract::ContractHash;
use crate::frame::{
    Alarm, Call, Called, ErrorInfo, Member, Part, Publication, Publish, SubscribeOutcome, Subscribed,
};
use crate::{Bytes, ChannelName, Content, Limits, Payload};

/// A payload beside other fields: a JSON payload stands in `data` as it is, any other as base64 text.
#[derive(Serialize, Deserialize)]
struct PayloadShape {
    #[serde(default, skip_serializing_if = "is_json")]
    content: Content,
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    data: Option<Box<RawValue>>,
}

/// Frames that are a head and a payload, in one object. The head is what serde buffers here, not the payload: a raw
/// value does not survive buffering.
macro_rules! with_payload {
    ($shape:ident, $frame:ident, { $($(#[$attr:meta])* $field:ident: $type:ty,)* }) => {
        #[derive(Serialize, Deserialize)]
        pub(crate) struct $shape {
            $($(#[$attr])* $field: $type,)*
            #[serde(default, skip_serializing_if = "is_json")]
            content: Content,
            #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
            data: Option<Box<RawValue>>,
        }

        impl From<$frame> for $shape {
            fn from(frame: $frame) -> Self {
                let PayloadShape { content, data } = frame.payload.into();
                Self { $($field: frame.$field,)* content, data }
            }
        }

        impl TryFrom<$shape> for $frame {
            type Error = &'static str;

            fn try_from(shape: $shape) -> Result<Self, Self::Error> {
                let payload = PayloadShape { content: shape.content, data: shape.data }.try_into()?;
                Ok(Self { $($field: shape.$field,)* payload })
            }
        }
    };
}

with_payload!(PublishShape, Publish, {
    channel: ChannelName,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    key: String,
});
with_payload!(CallShape, Call, {
    #[serde(default)]
    name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    key: String,
});
with_payload!(CalledShape, Called, {
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    more: bool,
});
with_payload!(PublicationShape, Publication, {
    channel: ChannelName,
    #[serde(default)]
    time: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    publisher: Option<Member>,
    #[serde(default, skip_serializing_if = "is_zero")]
    offset: u64,
});

with_payload!(AlarmShape, Alarm, {
    #[serde(default)]
    id: String,
    channel: ChannelName,
    #[serde(default)]
    time: u64,
    #[serde(default, with = "milliseconds")]
    ttl: Duration,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    withdrawn: bool,
});

impl From<Payload> for PayloadShape {
    fn from(Payload { content, data }: Payload) -> Self {
        if content == Content::Json {
            if data.is_empty() {
                return Self { content, data: None };
            }
            if let Ok(raw) = serde_json::from_slice(&data) {
                return Self { content, data: Some(raw) };
            }
        }
        // No JSON text: what can be said of it is that it is bytes.
        let content = if content == Content::Json { Content::Bytes } else { content };
        Self { content, data: serde_json::value::to_raw_value(&BASE64.encode(&data)).ok() }
    }
}

impl TryFrom<PayloadShape> for Payload {
    type Error = &'static str;

    fn try_from(PayloadShape { content, data }: PayloadShape) -> Result<Self, Self::Error> {
        let raw = data.as_ref().map_or("", |raw| raw.get());
        let data = if content == Content::Json {
            Bytes::copy_from_slice(raw.as_bytes())
        } else {
            const NOT_BASE64: &str = "`data` must be text in base64 where `content` is not json";
            let text: String = serde_json::from_str(raw).map_err(|_| NOT_BASE64)?;
            BASE64.decode(text).map_err(|_| NOT_BASE64)?.into()
        };
        Ok(Self { content, data })
    }
}

/// A piece of a line, as a text.
#[derive(Serialize, Deserialize)]
pub(crate) struct PartShape {
    #[serde(default, skip_serializing_if = "is_zero")]
    stream: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    data: String,
    #[serde(default, skip_serializing_if = "is_zero")]
    left: u64,
}

impl From<Part> for PartShape {
    fn from(Part { stream, data, left }: Part) -> Self {
        // What is cut by `Codec::cut_part` is text.
        Self { stream, data: String::from_utf8_lossy(&data).into_owned(), left }
    }
}

impl From<PartShape> for Part {
    fn from(PartShape { stream, data, left }: PartShape) -> Self {
        Self { stream, data: data.into(), left }
    }
}

/// One of `subscribed` and `error`.
#[derive(Serialize, Deserialize)]
pub(crate) struct OutcomeShape {
    channel: ChannelName,
    #[serde(default)]
    number: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subscribed: Option<Subscribed>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<ErrorInfo>,
}

impl From<SubscribeOutcome> for OutcomeShape {
    fn from(SubscribeOutcome { channel, number, result }: SubscribeOutcome) -> Self {
        let (subscribed, error) = match result {
            Ok(subscribed) => (Some(subscribed), None),
            Err(error) => (None, Some(error)),
        };
        Self { channel, number, subscribed, error }
    }
}

impl TryFrom<OutcomeShape> for SubscribeOutcome {
    type Error = &'static str;

    fn try_from(shape: OutcomeShape) -> Result<Self, Self::Error> {
        let result = match (shape.subscribed, shape.error) {
            (Some(subscribed), None) => Ok(subscribed),
            (None, Some(error)) => Err(error),
            _ => return Err("give one of `subscribed` and `error`"),
        };
        Ok(Self { channel: shape.channel, number: shape.number, result })
    }
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct LimitsShape {
    message_bytes: u32,
    channels: u32,
    calls: u32,
    ping_interval: u32,
    reconnect_window: u32,
    batch_bytes: u32,
}

impl Serialize for Limits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        LimitsShape {
            message_bytes: self.message_bytes,
            channels: self.channels,
            calls: self.calls,
            ping_interval: to_milliseconds(self.ping_interval),
            reconnect_window: to_milliseconds(self.reconnect_window),
            batch_bytes: self.batch_bytes,
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Limits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        LimitsShape::deserialize(deserializer).map(|shape| Self {
            message_bytes: shape.message_bytes,
            channels: shape.channels,
            calls: shape.calls,
            ping_interval: Duration::from_millis(shape.ping_interval.into()),
            reconnect_window: Duration::from_millis(shape.reconnect_window.into()),
            batch_bytes: shape.batch_bytes,
        })
    }
}

/// Times as numbers of milliseconds.
pub(crate) mod milliseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(super::to_milliseconds(*time))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u32::deserialize(deserializer).map(|number| Duration::from_millis(number.into()))
    }
}

/// A JSON text that stands in the frame as the value it is.
pub(crate) mod json_text {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use serde_json::value::RawValue;

    pub(crate) fn serialize<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
        match serde_json::from_str::<&RawValue>(text) {
            Ok(value) => value.serialize(serializer),
            // No JSON text: what can be said of it is that it is a text.
            Err(_) => serializer.serialize_str(text),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(|value| value.get().into())
    }
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Json => "json",
            Self::Bytes => "bytes",
            Self::Custom => "custom",
        })
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Name {
            Json,
            Bytes,
            Custom,
        }
        Name::deserialize(deserializer).map(|name| match name {
            Name::Json => Self::Json,
            Name::Bytes => Self::Bytes,
            Name::Custom => Self::Custom,
        })
    }
}

impl Serialize for ChannelName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ChannelName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::new(&name).map_err(D::Error::custom)
    }
}

impl Serialize for ContractHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ContractHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let digits = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::from_hex(&digits).ok_or_else(|| D::Error::custom("a contract hash is 16 hexadecimal digits"))
    }
}

macro_rules! code_as_number {
    ($($code:ident, $range:literal;)*) => {$(
        impl Serialize for $code {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_u16(self.number())
            }
        }

        impl<'de> Deserialize<'de> for $code {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(u16::deserialize(deserializer)?).ok_or_else(|| D::Error::custom($range))
            }
        }
    )*};
}

code_as_number! {
    ErrorCode, "an error code is at least 100";
    CloseCode, "a close code is 1000 to 4999";
}

/// A raw value that is there, also where it is `null`: that is a payload like any other.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Deserialize::deserialize(deserializer).map(Some)
}

/// A list within [`Limits::REPEATED`].
pub(crate) fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let entries = Vec::deserialize(deserializer)?;
    if entries.len() > Limits::REPEATED {
        return Err(D::Error::custom("a list has too many entries: send it in parts"));
    }
    Ok(entries)
}

/// For a field whose default as a value is not what its absence stands for.
pub(crate) fn no_limits() -> Limits {
    Limits::NONE
}

fn is_json(content: &Content) -> bool {
    *content == Content::Json
}

pub(crate) fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}
