//! A payload as fields of a JSON object, for the HTTP API, webhooks and `--json`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use wirehub_common::{Content, Payload};

/// The fields of a payload: at most one is present, and an attachment has `head` and `bytes`.
///
/// Serialized, it may be flattened into a larger object. Deserialized, it has to be the whole object: serde buffers flattened
/// fields, and a [`RawValue`] can't be read from that buffer. Larger requests declare the fields themselves.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JsonPayload {
    /// JSON, unchanged.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub data: Option<Box<RawValue>>,
    /// The head of an attachment: JSON, unchanged.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub head: Option<Box<RawValue>>,
    /// Bytes, in base64: of an attachment, or by themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<String>,
    /// The contract's own encoding, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom: Option<String>,
}

/// The reason why [`JsonPayload`] has no payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum JsonPayloadError {
    /// More than one of the fields is present.
    Several,
    /// There is a head without bytes.
    HeadAlone,
    /// A field is not base64 of the standard alphabet with padding.
    NotBase64,
}

impl JsonPayload {
    /// The payload for a reader that does not distinguish bytes from the contract's own encoding: `data` if it is JSON,
    /// `head` and `bytes` of an attachment, otherwise `bytes`.
    pub fn data_or_bytes(payload: &Payload) -> Self {
        let fields = Self::by_content(payload);
        if fields.data.is_some() || fields.head.is_some() {
            return fields;
        }
        Self { bytes: Some(BASE64.encode(&payload.data)), ..Self::default() }
    }

    /// The payload in the field of its content. Without a payload, no field is present.
    pub fn by_content(payload: &Payload) -> Self {
        let Payload { content, data } = payload;
        match content {
            Content::Json => Self { data: json(data), ..Self::default() },
            Content::Attachment => {
                let (head, bytes) = payload.attachment_parts().unwrap_or((&[], data));
                Self { head: json(head), bytes: Some(BASE64.encode(bytes)), ..Self::default() }
            }
            Content::Bytes => Self { bytes: Some(BASE64.encode(data)), ..Self::default() },
            Content::Custom => Self { custom: Some(BASE64.encode(data)), ..Self::default() },
        }
    }

    /// The payload, if there is one.
    ///
    /// # Errors
    /// Each [`JsonPayloadError`].
    pub fn payload(self) -> Result<Option<Payload>, JsonPayloadError> {
        let decode = |text: String| BASE64.decode(text).map_err(|_| JsonPayloadError::NotBase64);
        match (self.data, self.head, self.bytes, self.custom) {
            (None, None, None, None) => Ok(None),
            (Some(data), None, None, None) => Ok(Some(Payload::json(String::from(Box::<str>::from(data))))),
            (None, None, Some(bytes), None) => decode(bytes).map(Payload::bytes).map(Some),
            (None, Some(head), Some(bytes), None) => {
                Ok(Some(Payload::attachment(head.get(), decode(bytes)?)))
            }
            (None, None, None, Some(custom)) => decode(custom).map(Payload::custom).map(Some),
            (None, Some(_), None, None) => Err(JsonPayloadError::HeadAlone),
            _ => Err(JsonPayloadError::Several),
        }
    }
}

fn json(data: &[u8]) -> Option<Box<RawValue>> {
    serde_json::from_slice(data).ok()
}

/// Distinguishes `null`, which is a value, from a missing field.
pub(crate) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_returns_unchanged() {
        for payload in [
            Payload::json("null"),
            Payload::json("{\"a\": 1.0}"),
            Payload::bytes("\u{0}"),
            Payload::custom("x"),
            Payload::attachment("{\"a\": 1.0}", "\u{0}"),
            Payload::attachment("null", ""),
        ] {
            let text = serde_json::to_string(&JsonPayload::by_content(&payload)).unwrap();
            let fields: JsonPayload = serde_json::from_str(&text).unwrap();
            assert_eq!(fields.payload(), Ok(Some(payload)));
        }
        let text = serde_json::to_string(&JsonPayload::by_content(&Payload::default())).unwrap();
        assert_eq!(text, "{}");
        assert_eq!(serde_json::from_str::<JsonPayload>(&text).unwrap().payload(), Ok(None));
    }

    #[test]
    fn what_is_not_json_is_read_as_bytes() {
        for (payload, text) in [
            (Payload::json("{\"a\": 1.0}"), r#"{"data":{"a": 1.0}}"#),
            (Payload::json("null"), r#"{"data":null}"#),
            (Payload::json("{"), r#"{"bytes":"ew=="}"#),
            (Payload::default(), r#"{"bytes":""}"#),
            (Payload::bytes("ab"), r#"{"bytes":"YWI="}"#),
            (Payload::custom("ab"), r#"{"bytes":"YWI="}"#),
            (Payload::attachment("[1]", "ab"), r#"{"head":[1],"bytes":"YWI="}"#),
            (Payload::attachment("{", "ab"), r#"{"bytes":"AQAAAHthYg=="}"#),
        ] {
            assert_eq!(serde_json::to_string(&JsonPayload::data_or_bytes(&payload)).unwrap(), text);
        }
    }

    #[test]
    fn two_payloads_and_wrong_base64_are_refused() {
        for (text, error) in [
            (r#"{"data":1,"bytes":""}"#, JsonPayloadError::Several),
            (r#"{"data":null,"custom":""}"#, JsonPayloadError::Several),
            (r#"{"data":1,"head":1,"bytes":""}"#, JsonPayloadError::Several),
            (r#"{"head":1,"custom":""}"#, JsonPayloadError::Several),
            (r#"{"head":null}"#, JsonPayloadError::HeadAlone),
            (r#"{"bytes":"?"}"#, JsonPayloadError::NotBase64),
            (r#"{"head":1,"bytes":"?"}"#, JsonPayloadError::NotBase64),
            (r#"{"custom":"YWI"}"#, JsonPayloadError::NotBase64),
        ] {
            let fields: JsonPayload = serde_json::from_str(text).unwrap();
            assert_eq!(fields.payload(), Err(error), "{text}");
        }
    }
}
