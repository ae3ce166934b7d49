//! What each view has: the fields of its counterpart in [`frame`](crate::frame), by the same names.

#![allow(missing_docs, clippy::missing_errors_doc, reason = "the counterparts' fields have docs")]

use core::time::Duration;

use super::{
    Alarm, Called, Connected, ContractDigest, ContractId, Disconnect, Error, HistoryPage, Idempotency,
    Member, Movement, Part, Payload, Position, PresenceList, Publication, Published, Refreshed,
    SubscribeOutcome, Subscribed, Unsubscribed,
};
use crate::Limits;
use crate::code::{CloseCode, ErrorCode};
use crate::contract::ContractHash;

impl<'a> Publication<'a> {
    pub fn channel(self) -> &'a str {
        self.0.text(1)
    }
    pub fn payload(self) -> Payload<'a> {
        Payload::of(self.0, 2)
    }
    pub fn time(self) -> u64 {
        self.0.number(4)
    }
    pub fn publisher(self) -> Option<Member<'a>> {
        self.0.message(5).map(Member)
    }
    pub fn offset(self) -> u64 {
        self.0.number(6)
    }
}

impl<'a> Member<'a> {
    pub fn session(self) -> &'a str {
        self.0.text(1)
    }
    pub fn user(self) -> &'a str {
        self.0.text(2)
    }
    pub fn info(self) -> &'a str {
        self.0.text(3)
    }
}

impl<'a> Error<'a> {
    pub fn code(self) -> ErrorCode {
        u16::try_from(self.0.number(1)).ok().and_then(ErrorCode::new).unwrap_or(ErrorCode::INTERNAL)
    }
    pub fn message(self) -> &'a str {
        self.0.text(2)
    }
    pub fn temporary(self) -> bool {
        self.0.flag(3)
    }
}

impl<'a> Connected<'a> {
    pub fn session(self) -> &'a str {
        self.0.text(1)
    }
    pub fn user(self) -> &'a str {
        self.0.text(2)
    }
    pub fn limits(self) -> Limits {
        let Some(limits) = self.0.message(3) else { return Limits::NONE };
        Limits {
            message_bytes: limits.narrow(1),
            channels: limits.narrow(2),
            calls: limits.narrow(3),
            ping_interval: limits.duration(4),
            reconnect_window: limits.duration(5),
            batch_bytes: limits.narrow(6),
        }
    }
    pub fn contract(self) -> Option<ContractDigest<'a>> {
        self.0.message(4).map(ContractDigest)
    }
    pub fn subscriptions(self) -> impl Iterator<Item = SubscribeOutcome<'a>> {
        self.0.messages(5).map(SubscribeOutcome)
    }
    pub fn idempotency(self) -> Option<Idempotency<'a>> {
        self.0.message(6).map(Idempotency)
    }
    pub fn token_ttl(self) -> Duration {
        self.0.duration(7)
    }
    pub fn call_idempotency(self) -> Option<Idempotency<'a>> {
        self.0.message(8).map(Idempotency)
    }
}

impl<'a> Idempotency<'a> {
    pub fn scope(self) -> &'a str {
        self.0.text(1)
    }
    pub fn window(self) -> Duration {
        self.0.duration(2)
    }
    pub fn clock(self) -> u64 {
        self.0.number(3)
    }
}

impl<'a> ContractDigest<'a> {
    pub fn id(self) -> ContractId<'a> {
        ContractId(self.0.message(1).unwrap_or_default())
    }
    pub fn items(self) -> impl Iterator<Item = ContractId<'a>> {
        self.0.messages(2).map(ContractId)
    }
}

impl<'a> ContractId<'a> {
    pub fn name(self) -> &'a str {
        self.0.text(1)
    }
    pub fn hash(self) -> ContractHash {
        ContractHash(self.0.fixed64(2))
    }
}

impl<'a> SubscribeOutcome<'a> {
    pub fn channel(self) -> &'a str {
        self.0.text(1)
    }
    pub fn number(self) -> u32 {
        self.0.narrow(2)
    }
    pub fn result(self) -> Result<Subscribed<'a>, Error<'a>> {
        self.0.message(3).map(Subscribed).ok_or_else(|| Error(self.0.message(4).unwrap_or_default()))
    }
}

impl<'a> Subscribed<'a> {
    pub fn channel(self) -> &'a str {
        self.0.text(1)
    }
    pub fn number(self) -> u32 {
        self.0.narrow(2)
    }
    pub fn position(self) -> Option<Position<'a>> {
        self.0.message(3).map(Position)
    }
    pub fn complete(self) -> bool {
        self.0.flag(4)
    }
    pub fn recovering(self) -> u64 {
        self.0.number(5)
    }
}

impl<'a> Position<'a> {
    pub fn offset(self) -> u64 {
        self.0.number(1)
    }
    pub fn epoch(self) -> &'a str {
        self.0.text(2)
    }
}

/// `error` is absent in the answer to an `unsubscribe`.
impl<'a> Unsubscribed<'a> {
    pub fn channel(self) -> &'a str {
        self.0.text(1)
    }
    pub fn number(self) -> u32 {
        self.0.narrow(2)
    }
    pub fn error(self) -> Error<'a> {
        Error(self.0.message(3).unwrap_or_default())
    }
}

impl<'a> Published<'a> {
    pub fn position(self) -> Option<Position<'a>> {
        self.0.message(1).map(Position)
    }
}

impl<'a> HistoryPage<'a> {
    pub fn position(self) -> Position<'a> {
        Position(self.0.message(1).unwrap_or_default())
    }
    pub fn publications(self) -> impl Iterator<Item = Publication<'a>> {
        self.0.messages(2).map(Publication)
    }
    pub fn more(self) -> bool {
        self.0.flag(3)
    }
}

impl<'a> PresenceList<'a> {
    pub fn members(self) -> impl Iterator<Item = Member<'a>> {
        self.0.messages(1).map(Member)
    }
    pub fn sessions(self) -> u32 {
        self.0.narrow(2)
    }
    pub fn users(self) -> u32 {
        self.0.narrow(3)
    }
    pub fn more(self) -> bool {
        self.0.flag(4)
    }
}

impl<'a> Called<'a> {
    pub fn payload(self) -> Payload<'a> {
        Payload::of(self.0, 1)
    }
    pub fn more(self) -> bool {
        self.0.flag(3)
    }
}

impl Refreshed<'_> {
    pub fn token_ttl(self) -> Duration {
        self.0.duration(1)
    }
}

impl<'a> Part<'a> {
    pub fn stream(self) -> u32 {
        self.0.narrow(1)
    }
    pub fn data(self) -> &'a [u8] {
        self.0.bytes(3)
    }
    pub fn left(self) -> u64 {
        self.0.number(2)
    }
}

impl<'a> Movement<'a> {
    pub fn channel(self) -> &'a str {
        self.0.text(1)
    }
    pub fn member(self) -> Member<'a> {
        Member(self.0.message(2).unwrap_or_default())
    }
}

impl<'a> Disconnect<'a> {
    pub fn code(self) -> CloseCode {
        u16::try_from(self.0.number(1)).ok().and_then(CloseCode::new).unwrap_or(CloseCode::NORMAL)
    }
    pub fn reason(self) -> &'a str {
        self.0.text(2)
    }
    pub fn retry_after(self) -> Option<u32> {
        self.0.optional(3).map(|_| self.0.narrow(3))
    }
}

impl<'a> Alarm<'a> {
    pub fn id(self) -> &'a str {
        self.0.text(1)
    }
    pub fn channel(self) -> &'a str {
        self.0.text(2)
    }
    pub fn payload(self) -> Payload<'a> {
        Payload::of(self.0, 3)
    }
    pub fn time(self) -> u64 {
        self.0.number(5)
    }
    pub fn ttl(self) -> Duration {
        self.0.duration(6)
    }
    pub fn withdrawn(self) -> bool {
        self.0.flag(7)
    }
}
