//! What a server's frame has to be. A frame is held against a table as a whole before anything of it is read: a broken
//! one has no effect then, and reading has no errors.

use crate::code::{CloseCode, ErrorCode};
use crate::codec::DecodeErrorKind;
use crate::codec::wire::{Reader, WIRE_LENGTH, WIRE_VARINT};
use crate::{ChannelName, Content, Limits, utf8};

/// A frame that is what it has to be.
pub(crate) struct Checked<'a> {
    /// 0 for what comes unasked.
    pub(crate) id: u32,
    /// The number of the body's field; 0 for a body that is not known, or is not known to come so.
    pub(crate) number: u8,
    pub(crate) body: &'a [u8],
}

pub(crate) fn frame(part: &[u8]) -> Result<Checked<'_>, DecodeErrorKind> {
    let mut reader = Reader::new(part);
    let mut frame = Checked { id: 0, number: 0, body: &[] };
    while let Some(field) = reader.field()? {
        match (field.number, field.wire) {
            (1, WIRE_VARINT) => frame.id = u32::try_from(field.value).map_err(|_| DecodeErrorKind::Range)?,
            // A field of a newer protocol may stand behind the body: it must not take the body's place.
            (2..=18, WIRE_LENGTH) => (frame.number, frame.body) = (field.number as u8, field.part),
            _ => {}
        }
    }
    let known = if frame.id == 0 { PUSHES } else { ANSWERS };
    if known.wrapping_shr(frame.number.into()) & 1 == 0 {
        frame.number = 0;
    }
    let is_answer = frame.id != 0 && frame.number == UNSUBSCRIBED;
    message(if is_answer { ANSWER_TO_UNSUBSCRIBE } else { frame.number }, frame.body)?;
    Ok(frame)
}

fn message(shape: u8, part: &[u8]) -> Result<(), DecodeErrorKind> {
    let Some(rules) = SHAPES.get(usize::from(shape)) else { return Ok(()) };
    let mut seen = 0_u8;
    let mut entries = 0_usize;
    let mut reader = Reader::new(part);
    while let Some(field) = reader.field()? {
        let index = field.number.wrapping_sub(1);
        let Some(rule) = rules.get(index as usize) else { continue };
        let rule = rule & !REQUIRED;
        if field.wire != if rule < TEXT { WIRE_VARINT } else { WIRE_LENGTH } {
            continue;
        }
        seen |= 1_u8.wrapping_shl(index);
        let code = u16::try_from(field.value).unwrap_or_default();
        let is_good = match rule {
            NUMBER => true,
            NARROW => u32::try_from(field.value).map(|_| true).map_err(|_| DecodeErrorKind::Range)?,
            CONTENT => Content::from_number(field.value).is_some(),
            ERROR_CODE => ErrorCode::new(code).is_some(),
            CLOSE_CODE => CloseCode::new(code).is_some(),
            TEXT | CHANNEL => {
                let text = utf8::text(field.part).ok_or(DecodeErrorKind::Utf8)?;
                rule == TEXT || ChannelName::check(text).is_ok()
            }
            _ => {
                entries = entries.saturating_add((rule & LIST != 0).into());
                if entries > Limits::REPEATED {
                    return Err(DecodeErrorKind::TooMany);
                }
                message(rule & SHAPE, field.part)?;
                true
            }
        };
        if !is_good {
            return Err(DecodeErrorKind::Field);
        }
    }
    for (index, rule) in (0..).zip(rules) {
        if rule & REQUIRED != 0 && seen.wrapping_shr(index) & 1 == 0 {
            return Err(DecodeErrorKind::Field);
        }
    }
    // It has one of the two.
    if shape == OUTCOME && seen & 0b1100 == 0 {
        return Err(DecodeErrorKind::Field);
    }
    Ok(())
}

// Bodies, by the numbers of their fields.
pub(crate) const PUBLICATION: u8 = 2;
pub(crate) const ERROR: u8 = 3;
pub(crate) const CONNECTED: u8 = 4;
pub(crate) const SUBSCRIBED: u8 = 5;
pub(crate) const UNSUBSCRIBED: u8 = 6;
pub(crate) const PUBLISHED: u8 = 7;
pub(crate) const HISTORY: u8 = 8;
pub(crate) const PRESENCE: u8 = 9;
pub(crate) const CALLED: u8 = 10;
pub(crate) const CANCELLED: u8 = 11;
pub(crate) const REFRESHED: u8 = 12;
pub(crate) const JOIN: u8 = 13;
pub(crate) const LEAVE: u8 = 14;
pub(crate) const REFRESH_DUE: u8 = 15;
pub(crate) const DISCONNECT: u8 = 16;
pub(crate) const ACKNOWLEDGED: u8 = 17;
pub(crate) const ALARM: u8 = 18;

/// What may come unasked.
const PUSHES: u32 = 1 << PUBLICATION
    | 1 << SUBSCRIBED
    | 1 << UNSUBSCRIBED
    | 1 << JOIN
    | 1 << LEAVE
    | 1 << REFRESH_DUE
    | 1 << DISCONNECT
    | 1 << ALARM;

/// What may answer a command.
const ANSWERS: u32 = 1 << ERROR
    | 1 << CONNECTED
    | 1 << SUBSCRIBED
    | 1 << UNSUBSCRIBED
    | 1 << PUBLISHED
    | 1 << HISTORY
    | 1 << PRESENCE
    | 1 << CALLED
    | 1 << CANCELLED
    | 1 << REFRESHED
    | 1 << ACKNOWLEDGED;

// What stands in the table for a field; for a field that is not looked at, `NUMBER`.
/// A number of any size.
const NUMBER: u8 = 0;
/// A number of 32 bits.
const NARROW: u8 = 1;
const CONTENT: u8 = 2;
const ERROR_CODE: u8 = 3;
const CLOSE_CODE: u8 = 4;
const TEXT: u8 = 5;
const CHANNEL: u8 = 6;
/// A message of the shape in the low five bits.
const MESSAGE: u8 = 0x40;
/// Any number of them.
const LIST: u8 = 0x20;
const SHAPE: u8 = 0x1f;
/// Without the field the message has no meaning.
const REQUIRED: u8 = 0x80;

// The messages that are no bodies.
const ANSWER_TO_UNSUBSCRIBE: u8 = 1;
const MEMBER: u8 = 19;
const POSITION: u8 = 20;
const LIMITS: u8 = 21;
const CONTRACT: u8 = 22;
const CONTRACT_ID: u8 = 23;
const OUTCOME: u8 = 24;
const IDEMPOTENCY: u8 = 25;

const NAME: u8 = CHANNEL | REQUIRED;

/// Each message's fields, from the first. Nothing is nested in itself.
const SHAPES: [[u8; 8]; 26] = shapes(&[
    (ANSWER_TO_UNSUBSCRIBE, &[NAME, NARROW]),
    (PUBLICATION, &[NAME, CONTENT, NUMBER, NUMBER, MESSAGE | MEMBER]),
    (ERROR, &[ERROR_CODE | REQUIRED, TEXT]),
    (
        CONNECTED,
        &[
            TEXT,
            TEXT,
            MESSAGE | LIMITS,
            MESSAGE | CONTRACT,
            MESSAGE | LIST | OUTCOME,
            MESSAGE | IDEMPOTENCY,
            NARROW,
            MESSAGE | IDEMPOTENCY,
        ],
    ),
    (SUBSCRIBED, &[NAME, NARROW, MESSAGE | POSITION, NUMBER, MESSAGE | LIST | PUBLICATION]),
    (UNSUBSCRIBED, &[NAME, NARROW, MESSAGE | ERROR | REQUIRED]),
    (PUBLISHED, &[MESSAGE | POSITION]),
    (HISTORY, &[MESSAGE | POSITION, MESSAGE | LIST | PUBLICATION]),
    (PRESENCE, &[MESSAGE | LIST | MEMBER, NARROW, NARROW]),
    (CALLED, &[CONTENT]),
    (REFRESHED, &[NARROW]),
    (JOIN, &[NAME, MESSAGE | MEMBER]),
    (LEAVE, &[NAME, MESSAGE | MEMBER]),
    (DISCONNECT, &[CLOSE_CODE | REQUIRED, TEXT, NARROW]),
    (ALARM, &[TEXT, NAME, CONTENT, NUMBER, NUMBER, NARROW]),
    (MEMBER, &[TEXT, TEXT, TEXT]),
    (POSITION, &[NUMBER, TEXT]),
    (LIMITS, &[NARROW, NARROW, NARROW, NARROW, NARROW]),
    (CONTRACT, &[MESSAGE | CONTRACT_ID | REQUIRED, MESSAGE | LIST | CONTRACT_ID]),
    (CONTRACT_ID, &[TEXT]),
    (OUTCOME, &[NAME, NARROW, MESSAGE | SUBSCRIBED, MESSAGE | ERROR]),
    (IDEMPOTENCY, &[TEXT, NARROW]),
]);

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "what is wrong does not compile")]
const fn shapes(messages: &[(u8, &[u8])]) -> [[u8; 8]; 26] {
    let mut shapes = [[NUMBER; 8]; 26];
    let mut row = 0;
    while row < messages.len() {
        let (shape, fields) = messages[row];
        let mut field = 0;
        while field < fields.len() {
            shapes[shape as usize][field] = fields[field];
            field += 1;
        }
        row += 1;
    }
    shapes
}
