//! The differences between the JSON form of frames and the Rust types: payloads are inlined, codes are numbers, times are
//! milliseconds, hashes are hexadecimal digits.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::to_milliseconds;
use crate::code::{CloseCode, ErrorCode};
use crate::contract::ContractHash;
use crate::frame::{ErrorInfo, SubscribeOutcome, Subscribed};
use crate::{Bytes, ChannelName, Content, Limits, Payload, attachment};

/// The data of a payload: a JSON payload unchanged, an [`AttachmentShape`], any other payload as base64 text.
pub(crate) type Data = Option<Box<RawValue>>;

/// An attachment. The head is JSON, the bytes are base64.
#[derive(Serialize, Deserialize)]
struct AttachmentShape<'a> {
    #[serde(borrow)]
    head: &'a RawValue,
    bytes: String,
}

/// A payload as the fields `content` and `data`.
pub(crate) fn write_payload(Payload { content, data }: Payload) -> (Content, Data) {
    if content == Content::Json {
        if data.is_empty() {
            return (content, None);
        }
        if let Ok(raw) = serde_json::from_slice(&data) {
            return (content, Some(raw));
        }
    }
    if content == Content::Attachment
        && let Some((head, bytes)) = attachment::split(&data)
        && let Ok(head) = serde_json::from_slice(head)
    {
        let shape = AttachmentShape { head, bytes: BASE64.encode(bytes) };
        return (content, serde_json::value::to_raw_value(&shape).ok());
    }
    // Data without the form of its content is tagged as bytes.
    let content = if content == Content::Custom { content } else { Content::Bytes };
    (content, serde_json::value::to_raw_value(&BASE64.encode(&data)).ok())
}

/// The payload in the fields `content` and `data`.
pub(crate) fn read_payload(content: Content, data: &Data) -> Result<Payload, &'static str> {
    let raw = data.as_ref().map_or("", |raw| raw.get());
    let data = match content {
        Content::Json => Bytes::copy_from_slice(raw.as_bytes()),
        Content::Attachment => {
            const NO_ATTACHMENT: &str = "`data` must be an object with `head`, any JSON, and `bytes`, text in base64, where \
                `content` is attachment";
            let AttachmentShape { head, bytes } = serde_json::from_str(raw).map_err(|_| NO_ATTACHMENT)?;
            let bytes = BASE64.decode(bytes).map_err(|_| NO_ATTACHMENT)?;
            return Ok(Payload::attachment(head.get(), bytes));
        }
        Content::Bytes | Content::Custom => {
            const NOT_BASE64: &str = "`data` must be text in base64 where `content` is bytes or custom";
            let text: String = serde_json::from_str(raw).map_err(|_| NOT_BASE64)?;
            BASE64.decode(text).map_err(|_| NOT_BASE64)?.into()
        }
    };
    Ok(Payload { content, data })
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

/// The data of a part. In JSON it is a text, a piece of a line.
pub(crate) mod text_bytes {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::Bytes;

    pub(crate) fn serialize<S: Serializer>(data: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        // `Codec::cut_part` cuts between characters, so the data is text.
        serializer.serialize_str(&String::from_utf8_lossy(data))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        String::deserialize(deserializer).map(Bytes::from)
    }
}

/// A JSON text that is embedded in the frame as a value.
pub(crate) mod json_text {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use serde_json::value::RawValue;

    pub(crate) fn serialize<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
        match serde_json::from_str::<&RawValue>(text) {
            Ok(value) => value.serialize(serializer),
            // The text is no JSON, so it is written as a string.
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
            Self::Attachment => "attachment",
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
            Attachment,
        }
        Name::deserialize(deserializer).map(|name| match name {
            Name::Json => Self::Json,
            Name::Bytes => Self::Bytes,
            Name::Custom => Self::Custom,
            Name::Attachment => Self::Attachment,
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

/// A raw value that is present. `null` is a value, too: it is a payload like any other.
pub(crate) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Data, D::Error> {
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

/// Returns `true` if the value equals the value of an absent field.
pub(crate) fn is_absent<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
