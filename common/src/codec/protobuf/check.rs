//! The check of messages. A frame is compared with a table as a whole before any of its values is read. So a broken frame has
//! no effect, and reading has no errors. [`shapes`](super::shapes) contains the tables.

use super::shapes::OUTCOME;
use crate::code::{CloseCode, ErrorCode};
use crate::codec::DecodeErrorKind;
use crate::codec::wire::{Reader, WIRE_LENGTH, WIRE_VARINT};
use crate::{ChannelName, ChannelNameError, Content, Limits, utf8};

/// The envelope of a command or of a server's frame.
pub(crate) struct Envelope<'a> {
    /// 0 for a push, and for a command without a reply.
    pub(crate) id: u32,
    /// The number of the body's field; 0 if there is no known one.
    pub(crate) number: u8,
    pub(crate) body: &'a [u8],
}

/// Reads an envelope whose bodies have numbers up to `last`.
pub(crate) fn envelope(part: &[u8], last: u8) -> Result<Envelope<'_>, DecodeErrorKind> {
    let mut reader = Reader::new(part);
    let mut envelope = Envelope { id: 0, number: 0, body: &[] };
    while let Some(field) = reader.field() {
        if field.number == 1 && field.wire == WIRE_VARINT {
            envelope.id = u32::try_from(field.value).map_err(|_| DecodeErrorKind::Range)?;
        }
        // A field of a newer protocol may follow the body. It must not be taken for the body.
        if (2..=last.into()).contains(&field.number) && field.wire == WIRE_LENGTH {
            (envelope.number, envelope.body) = (field.number as u8, field.part);
        }
    }
    reader.end()?;
    Ok(envelope)
}

/// The fault of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The message is readable, but its channel name is invalid.
    Channel(ChannelNameError),
    /// The message is readable, but the content tag of its payload is unknown.
    Content,
    /// The message is unreadable.
    Frame(DecodeErrorKind),
}

impl From<DecodeErrorKind> for Fault {
    fn from(kind: DecodeErrorKind) -> Self {
        Self::Frame(kind)
    }
}

/// Compares a message, and every message nested in it, with its shape.
pub(crate) fn message(shapes: &[Shape], shape: u8, part: &[u8]) -> Result<(), Fault> {
    let Some(rules) = shapes.get(usize::from(shape)) else { return Ok(()) };
    let mut seen = 0_u8;
    let mut entries = 0_usize;
    let mut reader = Reader::new(part);
    while let Some(field) = reader.field() {
        let index = field.number.wrapping_sub(1);
        let Some(rule) = rules.get(index as usize) else { continue };
        let rule = rule & !REQUIRED;
        if rule == FREE || field.wire != if rule < TEXT { WIRE_VARINT } else { WIRE_LENGTH } {
            continue;
        }
        seen |= 1_u8.wrapping_shl(index);
        let code = u16::try_from(field.value).unwrap_or_default();
        let is_good = match rule {
            NARROW => u32::try_from(field.value).map(|_| true).map_err(|_| DecodeErrorKind::Range)?,
            CONTENT => Content::from_number(field.value).map(|_| true).ok_or(Fault::Content)?,
            ERROR_CODE => ErrorCode::new(code).is_some(),
            CLOSE_CODE => CloseCode::new(code).is_some(),
            TEXT | CHANNEL => {
                let text = utf8::text(field.part).ok_or(DecodeErrorKind::Utf8)?;
                if rule == CHANNEL {
                    ChannelName::check(text).map_err(Fault::Channel)?;
                }
                true
            }
            _ => {
                entries = entries.saturating_add((rule & LIST != 0).into());
                if entries > Limits::REPEATED {
                    return Err(DecodeErrorKind::TooMany.into());
                }
                message(shapes, rule & NESTED, field.part)?;
                true
            }
        };
        if !is_good {
            return Err(DecodeErrorKind::Field.into());
        }
    }
    reader.end()?;
    for (index, rule) in (0..).zip(rules) {
        if rule & REQUIRED != 0 && seen.wrapping_shr(index) & 1 == 0 {
            return Err(match rule & !REQUIRED {
                CHANNEL => Fault::Channel(ChannelNameError::Empty),
                _ => DecodeErrorKind::Field.into(),
            });
        }
    }
    // An outcome has one of the two: the success or the error.
    if shape == OUTCOME && seen & 0b1100 == 0 {
        return Err(DecodeErrorKind::Field.into());
    }
    Ok(())
}

/// The rule for each field of a message, in the order of the fields' numbers, from 1.
pub(crate) type Shape = [u8; 8];

/// The shape of a message with these fields. Each has a number, the rules of its type, and `true` if it is required.
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "what is wrong does not compile")]
pub(crate) const fn shape(fields: &[(u32, &[u8], bool)]) -> Shape {
    let mut shape = [FREE; 8];
    let mut free = 0;
    let mut field = 0;
    while field < fields.len() {
        let (number, rules, required) = fields[field];
        let first = number as usize - 1;
        assert!(first >= free, "two fields have the same number, or they are not in its order");
        free = first + rules.len();
        assert!(free <= shape.len(), "a message has eight fields at most: widen `Shape`, and `seen` with it");
        let mut rule = 0;
        while rule < rules.len() {
            shape[first + rule] = rules[rule];
            rule += 1;
        }
        if required {
            shape[first] |= REQUIRED;
        }
        field += 1;
    }
    shape
}

// The rules, in the low seven bits.
/// Anything.
pub(super) const FREE: u8 = 0;
/// A number of 32 bits.
pub(super) const NARROW: u8 = 1;
pub(super) const CONTENT: u8 = 2;
pub(super) const ERROR_CODE: u8 = 3;
pub(super) const CLOSE_CODE: u8 = 4;
pub(super) const TEXT: u8 = 5;
pub(super) const CHANNEL: u8 = 6;
/// A message of the shape in the low five bits.
pub(super) const MESSAGE: u8 = 0x40;
/// Any number of such messages.
pub(super) const LIST: u8 = 0x20;
const NESTED: u8 = 0x1f;
/// A message without the field is invalid.
const REQUIRED: u8 = 0x80;
