//! An estimate of the heap memory of a decoded value. The structs are destructured completely, so that a new field has
//! to be counted before this compiles.

use std::time::Duration;

use wirehub_common::code::{CloseCode, ErrorCode};
use wirehub_common::contract::ContractHash;
use wirehub_common::frame::{
    Acknowledge, Alarm, Call, Called, Cancel, Command, Connect, Connected, ContractDigest, ContractId,
    Disconnect, ErrorInfo, History, HistoryPage, Idempotency, Member, Movement, Part, Position, Presence,
    PresenceList, Publication, Publish, Published, Push, Refresh, Refreshed, Reply, ReplyBody, Request,
    ServerFrame, Subscribe, SubscribeOutcome, Subscribed, Unsubscribe, Unsubscribed,
};
use wirehub_common::{Bytes, ChannelName, Limits, Payload};

pub(crate) trait Heap {
    /// Bytes.
    fn heap(&self) -> usize;
}

/// Structs: the sum over all fields.
macro_rules! heap_of_structs {
    ($($type:ident { $($field:ident),* })*) => {
        $(impl Heap for $type {
            fn heap(&self) -> usize {
                let Self { $($field),* } = self;
                0 $(+ $field.heap())*
            }
        })*
    };
}

heap_of_structs! {
    Command { id, request }
    Connect { token, client, version, contract, subscriptions, instance }
    ContractId { name, hash }
    Subscribe { channel, number, position, history }
    Position { offset, epoch }
    Unsubscribe { channel, number }
    Publish { channel, payload, key }
    History { channel, since, limit, reverse }
    Presence { channel, counts_only, after }
    Call { name, payload, key }
    Cancel { command }
    Refresh { token }
    Acknowledge { alarm, received_only }
    Reply { id, result }
    ErrorInfo { code, message, temporary }
    Connected { session, user, limits, contract, subscriptions, idempotency, token_ttl, call_idempotency }
    Idempotency { scope, window, clock }
    ContractDigest { id, items }
    SubscribeOutcome { channel, number, result }
    Subscribed { channel, number, position, complete, recovering }
    Published { position }
    HistoryPage { position, publications, more }
    PresenceList { members, sessions, users, more }
    Member { session, user, info }
    Called { payload, more }
    Refreshed { token_ttl }
    Publication { channel, payload, time, publisher, offset }
    Movement { channel, member }
    Unsubscribed { channel, number, error }
    Disconnect { code, reason, retry_after }
    Alarm { id, channel, payload, time, ttl, withdrawn }
    Part { stream, data, left }
}

/// Values without heap memory.
macro_rules! no_heap {
    ($($type:ty),*) => {
        $(impl Heap for $type {
            fn heap(&self) -> usize {
                0
            }
        })*
    };
}

no_heap!(bool, u32, u64, Duration, ContractHash, ErrorCode, CloseCode, Limits);

impl Heap for Request {
    fn heap(&self) -> usize {
        match self {
            Self::Connect(body) => body.heap(),
            Self::Subscribe(body) => body.heap(),
            Self::Unsubscribe(body) => body.heap(),
            Self::Publish(body) => body.heap(),
            Self::History(body) => body.heap(),
            Self::Presence(body) => body.heap(),
            Self::Call(body) => body.heap(),
            Self::Cancel(body) => body.heap(),
            Self::Refresh(body) => body.heap(),
            Self::Acknowledge(body) => body.heap(),
            Self::Part(body) => body.heap(),
            Self::Invalid(why) => why.heap(),
            Self::Unknown => 0,
            newer => panic!("{newer:?} is missing here"),
        }
    }
}

impl Heap for ServerFrame {
    fn heap(&self) -> usize {
        match self {
            Self::Reply(reply) => reply.heap(),
            Self::Part(body) => body.heap(),
            Self::Push(Push::Publication(body)) => body.heap(),
            Self::Push(Push::Join(body) | Push::Leave(body)) => body.heap(),
            Self::Push(Push::Subscribed(body)) => body.heap(),
            Self::Push(Push::Unsubscribed(body)) => body.heap(),
            Self::Push(Push::Disconnect(body)) => body.heap(),
            Self::Push(Push::Alarm(body)) => body.heap(),
            Self::Push(Push::RefreshDue | Push::Unknown) => 0,
            newer => panic!("{newer:?} is missing here"),
        }
    }
}

impl Heap for ReplyBody {
    fn heap(&self) -> usize {
        match self {
            Self::Connected(body) => body.heap(),
            Self::Subscribed(body) => body.heap(),
            Self::Unsubscribed(body) => body.heap(),
            Self::Published(body) => body.heap(),
            Self::History(body) => body.heap(),
            Self::Presence(body) => body.heap(),
            Self::Called(body) => body.heap(),
            Self::Refreshed(body) => body.heap(),
            Self::Cancelled | Self::Acknowledged | Self::Unknown => 0,
            newer => panic!("{newer:?} is missing here"),
        }
    }
}

impl Heap for String {
    fn heap(&self) -> usize {
        self.capacity()
    }
}

impl Heap for ChannelName {
    fn heap(&self) -> usize {
        // The text behind an `Arc` has two counters before it.
        self.as_str().len() + 2 * size_of::<usize>()
    }
}

impl Heap for Payload {
    fn heap(&self) -> usize {
        self.data.heap()
    }
}

impl Heap for Bytes {
    fn heap(&self) -> usize {
        self.len()
    }
}

impl<T: Heap> Heap for Box<T> {
    fn heap(&self) -> usize {
        size_of::<T>() + (**self).heap()
    }
}

impl<T: Heap> Heap for Option<T> {
    fn heap(&self) -> usize {
        self.as_ref().map_or(0, Heap::heap)
    }
}

impl<T: Heap, E: Heap> Heap for Result<T, E> {
    fn heap(&self) -> usize {
        self.as_ref().map_or_else(Heap::heap, Heap::heap)
    }
}

impl<T: Heap> Heap for Vec<T> {
    fn heap(&self) -> usize {
        self.capacity() * size_of::<T>() + self.iter().map(Heap::heap).sum::<usize>()
    }
}
