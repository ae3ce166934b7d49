//! The payload of a message: bytes, and the kind of their content.

use alloc::boxed::Box;
use core::fmt;

use crate::{Bytes, attachment};

/// The kind of content of a [`Payload`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum Content {
    /// One JSON text (RFC 8259) in UTF-8.
    #[default]
    Json = 0,
    /// Bytes without a further meaning to Wirehub.
    Bytes = 1,
    /// The contract's own encoding.
    Custom = 2,
    /// Bytes with a head, which is one JSON text: see [`attachment`].
    Attachment = 3,
}

impl Content {
    /// The tag with this number on the wire.
    pub const fn from_number(number: u64) -> Option<Self> {
        match number {
            0 => Some(Self::Json),
            1 => Some(Self::Bytes),
            2 => Some(Self::Custom),
            3 => Some(Self::Attachment),
            _ => None,
        }
    }
}

/// Bytes with their [`Content`]. Cloning shares the bytes.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Payload {
    /// The kind of content.
    pub content: Content,
    /// The bytes.
    pub data: Bytes,
}

impl Payload {
    /// A JSON text. It is not checked here: a server refuses a text that is not JSON.
    pub fn json(text: impl Into<Bytes>) -> Self {
        Self { content: Content::Json, data: text.into() }
    }

    /// Plain bytes.
    pub fn bytes(data: impl Into<Bytes>) -> Self {
        Self { content: Content::Bytes, data: data.into() }
    }

    /// Bytes in the contract's own encoding.
    pub fn custom(data: impl Into<Bytes>) -> Self {
        Self { content: Content::Custom, data: data.into() }
    }

    /// Bytes with a head, which is a JSON text. It is not checked here, as in [`json`](Self::json). Both are copied into one
    /// piece of memory.
    pub fn attachment(head: impl AsRef<[u8]>, bytes: impl AsRef<[u8]>) -> Self {
        let data = attachment::join(head.as_ref(), bytes.as_ref());
        Self { content: Content::Attachment, data: data.into() }
    }

    /// The head and the bytes of an attachment; `None` if it is none, or its data is cut short.
    pub fn attachment_parts(&self) -> Option<(&[u8], &[u8])> {
        (self.content == Content::Attachment).then(|| attachment::split(&self.data)).flatten()
    }

    /// Whether there is no payload, as in the default value: an empty text is not JSON.
    pub fn is_absent(&self) -> bool {
        self.content == Content::Json && self.data.is_empty()
    }

    /// The words about a payload that does not have the form of its [`Content`]: its JSON text, or the head of an
    /// attachment, is not exactly one JSON text. Other content has any form.
    #[cfg(feature = "json")]
    pub fn malformed(&self) -> Option<&'static str> {
        match self.content {
            Content::Json if !is_json(&self.data) => {
                Some("the payload is tagged as JSON and is not one JSON text: send it as one, or as bytes")
            }
            Content::Attachment if !self.attachment_parts().is_some_and(|(head, _)| is_json(head)) => Some(
                "the payload is tagged as an attachment and does not begin with a head: send the length of the head \
                 in four bytes, the lowest first, one JSON text of this length, and the bytes",
            ),
            _ => None,
        }
    }

    /// Whether a payload has the form of its content: it is not [malformed](Self::malformed).
    #[cfg(feature = "json")]
    pub fn is_well_formed(&self) -> bool {
        self.malformed().is_none()
    }
}

#[cfg(feature = "json")]
fn is_json(data: &[u8]) -> bool {
    // From a `str`, because the parser does not check that skipped strings are UTF-8.
    core::str::from_utf8(data).is_ok_and(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok())
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({:?})", self.content, self.data)
    }
}

/// A payload that does not fit a message type of a contract.
#[derive(Debug)]
pub struct PayloadError {
    kind: PayloadErrorKind,
    source: Option<Box<dyn core::error::Error + Send + Sync>>,
}

/// The kind of the mismatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PayloadErrorKind {
    /// The payload carries another [`Content`] than that of the message type.
    Content,
    /// The bytes do not decode as the message type.
    Decode,
    /// The value can't be encoded, for instance a map whose keys are not strings as JSON.
    Encode,
    /// It is larger than the server's queues.
    TooLarge,
    /// The channel can't have subscribers: it is not in the contract, or its name is reserved.
    Channel,
}

impl PayloadError {
    /// An error with its cause.
    pub fn new(
        kind: PayloadErrorKind,
        source: impl Into<Option<Box<dyn core::error::Error + Send + Sync>>>,
    ) -> Self {
        Self { kind, source: source.into() }
    }

    /// The kind of the mismatch.
    pub fn kind(&self) -> PayloadErrorKind {
        self.kind
    }
}

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            PayloadErrorKind::Content => {
                "the payload's content tag differs from the contract's: use the one that the contract declares"
            }
            PayloadErrorKind::Decode => {
                "the payload does not decode as the contract's type: build both ends from the same contract"
            }
            PayloadErrorKind::Encode => "the message can't be encoded: change its type",
            PayloadErrorKind::TooLarge => {
                "the message is too large for a subscriber's queue: send a smaller one"
            }
            PayloadErrorKind::Channel => "the channel can't have subscribers: publish in another one",
        })?;
        self.source.as_ref().map_or(Ok(()), |source| write!(f, " ({source})"))
    }
}

impl core::error::Error for PayloadError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(all(test, feature = "json"))]
mod tests {
    use super::*;

    #[test]
    fn a_json_payload_is_exactly_one_json_text_in_utf8() {
        let deep = format!("{}{}", "[".repeat(9999), "]".repeat(9999));
        for text in ["null", "0", r#""""#, "{}", "[1,2]", " {\n} ", r#""\ud800""#, &deep] {
            assert!(Payload::json(text.to_owned()).is_well_formed(), "{text}");
        }
        for bytes in [
            &b""[..],
            b" ",
            b"{}{}",
            b"1,",
            b"'a'",
            b"{a:1}",
            b"\"\xff\"",
            b"\"\n\"",
            b"NaN",
            b"\xef\xbb\xbf1",
        ] {
            assert!(!Payload::json(bytes).is_well_formed(), "{bytes:?}");
            assert!(Payload::bytes(bytes).is_well_formed(), "only JSON is checked");
        }
    }

    #[test]
    fn an_attachment_begins_with_a_head_in_json() {
        let photo = Payload::attachment(r#"{"name":"a.png"}"#, b"\0\xff");
        assert!(photo.is_well_formed());
        assert_eq!(photo.attachment_parts(), Some((&br#"{"name":"a.png"}"#[..], &b"\0\xff"[..])));
        assert!(Payload::attachment("null", "").is_well_formed(), "a head alone");
        let tagged = |data: &'static [u8]| Payload { content: Content::Attachment, data: data.into() };
        for data in
            [&b""[..], b"\x04\0\0", b"\x05\0\0\0null", b"\0\0\0\0{}", b"\x01\0\0\0{}", b"\xff\xff\xff\xff{}"]
        {
            let words = tagged(data).malformed().unwrap();
            assert!(words.contains("length of the head"), "{data:?}");
        }
        assert_eq!(Payload::bytes("\u{2}\0\0\0{}").attachment_parts(), None, "it is tagged as bytes");
    }
}
