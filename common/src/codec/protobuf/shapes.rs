//! The shapes of all messages, in tables: what each field has to be, from the first.

use super::check::{
    CHANNEL, CLOSE_CODE, CONTENT, ERROR_CODE, FREE, LIST, MESSAGE, NARROW, REQUIRED, Shape, TEXT,
};

// What servers send, by the numbers of the bodies' fields.
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
pub(crate) const PART: u8 = 19;

/// What may come unasked.
pub(crate) const PUSHES: u32 = 1 << PUBLICATION
    | 1 << SUBSCRIBED
    | 1 << UNSUBSCRIBED
    | 1 << JOIN
    | 1 << LEAVE
    | 1 << REFRESH_DUE
    | 1 << DISCONNECT
    | 1 << ALARM
    | 1 << PART;

/// What may answer a command.
pub(crate) const ANSWERS: u32 = 1 << ERROR
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

// The messages that are no bodies.
pub(crate) const ANSWER_TO_UNSUBSCRIBE: u8 = 1;
const MEMBER: u8 = 20;
const POSITION: u8 = 21;
const LIMITS: u8 = 22;
const CONTRACT: u8 = 23;
const CONTRACT_ID: u8 = 24;
pub(super) const OUTCOME: u8 = 25;
const IDEMPOTENCY: u8 = 26;

const NAME: u8 = CHANNEL | REQUIRED;

/// What servers send. Nothing is nested in itself.
pub(crate) const FRAMES: &[Shape] = &table::<27>(&[
    (ANSWER_TO_UNSUBSCRIBE, &[NAME, NARROW]),
    (PUBLICATION, &[NAME, CONTENT, FREE, FREE, MESSAGE | MEMBER]),
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
    (SUBSCRIBED, &[NAME, NARROW, MESSAGE | POSITION]),
    (UNSUBSCRIBED, &[NAME, NARROW, MESSAGE | ERROR | REQUIRED]),
    (PUBLISHED, &[MESSAGE | POSITION]),
    (HISTORY, &[MESSAGE | POSITION, MESSAGE | LIST | PUBLICATION]),
    (PRESENCE, &[MESSAGE | LIST | MEMBER, NARROW, NARROW]),
    (CALLED, &[CONTENT]),
    (REFRESHED, &[NARROW]),
    (JOIN, &[NAME, MESSAGE | MEMBER]),
    (LEAVE, &[NAME, MESSAGE | MEMBER]),
    (DISCONNECT, &[CLOSE_CODE | REQUIRED, TEXT, NARROW]),
    (ALARM, &[TEXT, NAME, CONTENT, FREE, FREE, NARROW]),
    (PART, &[NARROW]),
    (MEMBER, &[TEXT, TEXT, TEXT]),
    (POSITION, &[FREE, TEXT]),
    (LIMITS, &[NARROW, NARROW, NARROW, NARROW, NARROW, NARROW]),
    (CONTRACT, &[MESSAGE | CONTRACT_ID | REQUIRED, MESSAGE | LIST | CONTRACT_ID]),
    (CONTRACT_ID, &[TEXT]),
    (OUTCOME, &[NAME, NARROW, MESSAGE | SUBSCRIBED, MESSAGE | ERROR]),
    (IDEMPOTENCY, &[TEXT, NARROW]),
]);

// What clients send, by the numbers of the bodies' fields.
pub(super) const CONNECT: u8 = 2;
pub(super) const SUBSCRIBE: u8 = 3;
pub(super) const UNSUBSCRIBE: u8 = 4;
pub(super) const PUBLISH: u8 = 5;
pub(super) const READ_HISTORY: u8 = 6;
pub(super) const READ_PRESENCE: u8 = 7;
pub(super) const CALL: u8 = 8;
pub(super) const CANCEL: u8 = 9;
pub(super) const REFRESH: u8 = 10;
pub(super) const ACKNOWLEDGE: u8 = 11;
pub(super) const READ_PART: u8 = 12;

const SINCE: u8 = 13;
const ID: u8 = 14;

/// What clients send. Nothing is nested in itself.
pub(super) const COMMANDS: &[Shape] = &table::<15>(&[
    (CONNECT, &[TEXT, TEXT, TEXT, MESSAGE | ID, MESSAGE | LIST | SUBSCRIBE, TEXT]),
    (SUBSCRIBE, &[NAME, NARROW, MESSAGE | SINCE]),
    (UNSUBSCRIBE, &[NAME, NARROW]),
    (PUBLISH, &[NAME, CONTENT, FREE, TEXT]),
    (READ_HISTORY, &[NAME, MESSAGE | SINCE, NARROW]),
    (READ_PRESENCE, &[NAME, FREE, TEXT]),
    (CALL, &[TEXT, CONTENT, FREE, TEXT]),
    (CANCEL, &[NARROW]),
    (REFRESH, &[TEXT]),
    (ACKNOWLEDGE, &[TEXT]),
    (READ_PART, &[NARROW]),
    (SINCE, &[FREE, TEXT]),
    (ID, &[TEXT]),
]);

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "what is wrong does not compile")]
const fn table<const ROWS: usize>(messages: &[(u8, &[u8])]) -> [Shape; ROWS] {
    let mut shapes = [[FREE; 8]; ROWS];
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
