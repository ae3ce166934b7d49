//! The shapes of all messages, in two tables. The fields of each message are declared in [`frame`](crate::frame).

use super::check::{FREE, Shape};
use super::field::{MessageType, Nested};
use crate::Limits;
use crate::frame::{
    Acknowledge, Alarm, Call, Called, Cancel, Connect, Connected, ContractDigest, ContractId, Disconnect,
    ErrorInfo, History, HistoryPage, Idempotency, Member, Movement, Part, Position, Presence, PresenceList,
    Publication, Publish, Published, Refresh, Refreshed, Subscribe, SubscribeOutcome, Subscribed,
    Unsubscribe, Unsubscribed,
};

// The server's frames, by the numbers of the bodies' fields.
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

/// The bodies of pushes, as a set of bits.
pub(crate) const PUSHES: u32 = 1 << PUBLICATION
    | 1 << SUBSCRIBED
    | 1 << UNSUBSCRIBED
    | 1 << JOIN
    | 1 << LEAVE
    | 1 << REFRESH_DUE
    | 1 << DISCONNECT
    | 1 << ALARM
    | 1 << PART;

/// The bodies of replies, as a set of bits.
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

// The client's commands, by the numbers of the bodies' fields.
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

// The other messages, which are no bodies, in either table.
pub(crate) const ANSWER_TO_UNSUBSCRIBE: u8 = 1;
const MEMBER: u8 = 20;
const POSITION: u8 = 21;
const LIMITS: u8 = 22;
const CONTRACT: u8 = 23;
const CONTRACT_ID: u8 = 24;
pub(super) const OUTCOME: u8 = 25;
const IDEMPOTENCY: u8 = 26;
const ROWS: usize = 27;

macro_rules! nested {
    ($($message:ident = $shape:ident,)*) => {$(
        impl Nested for $message {
            const SHAPE: u8 = $shape;
        }
    )*};
}

// No message is nested in itself, directly or through others.
nested! {
    Publication = PUBLICATION,
    ErrorInfo = ERROR,
    Subscribed = SUBSCRIBED,
    Subscribe = SUBSCRIBE,
    Member = MEMBER,
    Position = POSITION,
    Limits = LIMITS,
    ContractDigest = CONTRACT,
    ContractId = CONTRACT_ID,
    SubscribeOutcome = OUTCOME,
    Idempotency = IDEMPOTENCY,
}

/// The shapes of the server's frames.
pub(crate) const FRAMES: &[Shape] = &table(&[
    (ANSWER_TO_UNSUBSCRIBE, Unsubscribe::FIELDS),
    (PUBLICATION, Publication::FIELDS),
    (ERROR, ErrorInfo::FIELDS),
    (CONNECTED, Connected::FIELDS),
    (SUBSCRIBED, Subscribed::FIELDS),
    (UNSUBSCRIBED, Unsubscribed::FIELDS),
    (PUBLISHED, Published::FIELDS),
    (HISTORY, HistoryPage::FIELDS),
    (PRESENCE, PresenceList::FIELDS),
    (CALLED, Called::FIELDS),
    (REFRESHED, Refreshed::FIELDS),
    (JOIN, Movement::FIELDS),
    (LEAVE, Movement::FIELDS),
    (DISCONNECT, Disconnect::FIELDS),
    (ALARM, Alarm::FIELDS),
    (PART, Part::FIELDS),
    (MEMBER, Member::FIELDS),
    (POSITION, Position::FIELDS),
    (LIMITS, Limits::FIELDS),
    (CONTRACT, ContractDigest::FIELDS),
    (CONTRACT_ID, ContractId::FIELDS),
    (OUTCOME, SubscribeOutcome::FIELDS),
    (IDEMPOTENCY, Idempotency::FIELDS),
]);

/// The shapes of the client's commands.
pub(super) const COMMANDS: &[Shape] = &table(&[
    (CONNECT, Connect::FIELDS),
    (SUBSCRIBE, Subscribe::FIELDS),
    (UNSUBSCRIBE, Unsubscribe::FIELDS),
    (PUBLISH, Publish::FIELDS),
    (READ_HISTORY, History::FIELDS),
    (READ_PRESENCE, Presence::FIELDS),
    (CALL, Call::FIELDS),
    (CANCEL, Cancel::FIELDS),
    (REFRESH, Refresh::FIELDS),
    (ACKNOWLEDGE, Acknowledge::FIELDS),
    (READ_PART, Part::FIELDS),
    (POSITION, Position::FIELDS),
    (CONTRACT_ID, ContractId::FIELDS),
]);

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "what is wrong does not compile")]
const fn table(messages: &[(u8, Shape)]) -> [Shape; ROWS] {
    let mut shapes = [[FREE; 8]; ROWS];
    let mut row = 0;
    while row < messages.len() {
        let (shape, fields) = messages[row];
        shapes[shape as usize] = fields;
        row += 1;
    }
    shapes
}
