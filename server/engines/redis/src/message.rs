//! The encoding of publications and deliveries.

use bytes::Bytes;
use redis::Value;
use wirehub_common::Codec;
use wirehub_common::frame::{Position, Publication, Push, ServerFrame};

/// A publication as it is stored: a frame without time and offset, which the store gives it.
pub(crate) fn encode(publication: Publication) -> Bytes {
    Codec::Protobuf.encode_frame(&ServerFrame::Push(Push::Publication(publication)))
}

/// A stored publication with its offset and time; `None` if it is damaged.
pub(crate) fn decode(message: &Bytes, offset: u64, time: u64) -> Option<Publication> {
    let frame = Codec::Protobuf.decode_frames(message).next()?.ok()?;
    let ServerFrame::Push(Push::Publication(publication)) = frame else { return None };
    Some(Publication { offset, time, ..publication })
}

/// A delivery of the script that publishes: `p`, offset, time and epoch, each before a space, and the message.
pub(crate) struct DeliveredPublication<'a> {
    pub(crate) offset: u64,
    pub(crate) time: u64,
    pub(crate) epoch: &'a str,
    pub(crate) message: &'a [u8],
}

impl<'a> DeliveredPublication<'a> {
    /// `None` if it is not one.
    pub(crate) fn parse(delivery: &'a [u8]) -> Option<Self> {
        let mut fields = delivery.strip_prefix(b"p")?.splitn(4, |byte| *byte == b' ');
        let mut text = || std::str::from_utf8(fields.next()?).ok();
        let (offset, time, epoch) = (text()?.parse().ok()?, text()?.parse().ok()?, text()?);
        Some(Self { offset, time, epoch, message: fields.next()? })
    }
}

/// The position in an answer: offset, a space, and the epoch, which is empty without history.
pub(crate) fn position(answer: &[u8]) -> Option<Position> {
    let (offset, epoch) = std::str::from_utf8(answer).ok()?.split_once(' ')?;
    Some(Position { offset: offset.parse().ok()?, epoch: epoch.into() })
}

/// The bytes of an answer.
pub(crate) fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.as_bytes()),
        _ => None,
    }
}

/// The number in an answer, written as text or as a number.
pub(crate) fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        other => std::str::from_utf8(bytes(other)?).ok()?.parse().ok(),
    }
}

/// The text in an answer.
pub(crate) fn text(value: &Value) -> Option<String> {
    String::from_utf8(bytes(value)?.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use wirehub_common::{ChannelName, Payload};

    use super::*;

    #[test]
    fn a_delivery_is_read_as_it_was_written() {
        let publication = Publication {
            channel: ChannelName::new("chat").unwrap(),
            payload: Payload::json("[1, 2]".to_owned()),
            time: 0,
            publisher: None,
            offset: 0,
        };
        let message = encode(publication.clone());
        let delivery = [b"p7 99 e.1 ", &message[..]].concat();
        let parsed = DeliveredPublication::parse(&delivery).unwrap();
        assert_eq!((parsed.offset, parsed.time, parsed.epoch), (7, 99, "e.1"));
        let expected = Publication { offset: 7, time: 99, ..publication };
        assert_eq!(decode(&Bytes::copy_from_slice(parsed.message), 7, 99), Some(expected));
        let without_history = [b"p0 99  ", &message[..]].concat();
        assert_eq!(DeliveredPublication::parse(&without_history).unwrap().epoch, "");
        for strange in [&b""[..], b"p", b"p1 2", b"q1 2 3 4", b"px 2 3 4", b"p1 2 3"] {
            assert!(DeliveredPublication::parse(strange).is_none());
        }
        assert_eq!(decode(&Bytes::from_static(b"nonsense"), 1, 1), None);
    }

    #[test]
    fn positions_are_read() {
        assert_eq!(position(b"3 e.1"), Some(Position { offset: 3, epoch: "e.1".into() }));
        assert_eq!(position(b"0 "), Some(Position::default()));
        assert_eq!(position(b"x y"), None);
    }
}
