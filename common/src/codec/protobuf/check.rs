//! What a message has to be. A frame is held against a table as a whole before anything of it is read: a broken one has no
//! effect then, and reading has no errors. [`shapes`](super::shapes) has the tables.

use super::shapes::OUTCOME;
use crate::code::{CloseCode, ErrorCode};
use crate::codec::DecodeErrorKind;
use crate::codec::wire::{Reader, WIRE_LENGTH, WIRE_VARINT};
use crate::{ChannelName, ChannelNameError, Content, Limits, utf8};

/// What a command or a server's frame is in.
pub(crate) struct Envelope<'a> {
    /// 0 for what comes unasked, or wants no answer.
    pub(crate) id: u32,
    /// The number of the body's field; 0 for none that is known.
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
        // A field of a newer protocol may stand behind the body: it must not take the body's place.
        if (2..=last.into()).contains(&field.number) && field.wire == WIRE_LENGTH {
            (envelope.number, envelope.body) = (field.number as u8, field.part);
        }
    }
    reader.end()?;
    Ok(envelope)
}

/// What is wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It can be read, but names a channel that can't be.
    Channel(ChannelNameError),
    /// It can be read, but has a payload of no known content.
    Content,
    /// It can't be read.
    Frame(DecodeErrorKind),
}

impl From<DecodeErrorKind> for Fault {
    fn from(kind: DecodeErrorKind) -> Self {
        Self::Frame(kind)
    }
}

/// Holds a message against one of the shapes, and all that is nested in it.
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
    // It has one of the two.
    if shape == OUTCOME && seen & 0b1100 == 0 {
        return Err(DecodeErrorKind::Field.into());
    }
    Ok(())
}

/// What each field of a message has to be, from the first.
pub(crate) type Shape = [u8; 8];

/// The shape of a message by its fields: their numbers, the rules of their types, and whether each is required.
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

// What stands there, in the low seven bits.
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
/// Any number of them.
pub(super) const LIST: u8 = 0x20;
const NESTED: u8 = 0x1f;
/// Without the field the message has no meaning.
const REQUIRED: u8 = 0x80;
