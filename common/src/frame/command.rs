//! The frames of clients.

use alloc::string::String;
use alloc::vec::Vec;

use wirehub_derive::message;

use super::{ContractId, Part, Position};
use crate::{ChannelName, Payload};

/// A client's request, with an id for its reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Names the command in its reply; the client counts it up from 1. A command with id 0 gets no reply.
    pub id: u32,
    /// The request.
    pub request: Request,
}

/// The kinds of [`Command`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// The first command of a connection, once.
    Connect(Connect),
    /// Begin to receive a channel.
    Subscribe(Subscribe),
    /// Stop receiving a channel.
    Unsubscribe(Unsubscribe),
    /// Send a message to a channel.
    Publish(Publish),
    /// Read a channel's history.
    History(History),
    /// Read the members of a channel.
    Presence(Presence),
    /// Call a procedure of the server.
    Call(Call),
    /// Cancel a call in flight.
    Cancel(Cancel),
    /// Hand in a new token.
    Refresh(Refresh),
    /// Confirm an alarm.
    Acknowledge(Acknowledge),
    /// A piece of a command that is too large for one WebSocket message.
    Part(Part),
    /// A readable request that can never be valid, for example one with an impossible channel name. It holds the reason as a
    /// text for people. The server answers it with [`ErrorCode::BAD_REQUEST`](crate::code::ErrorCode::BAD_REQUEST).
    Invalid(String),
    /// A request of a newer protocol. The server refuses it.
    Unknown,
}

/// See [`Request::Connect`].
#[message]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Connect {
    /// The client's token; empty for an anonymous client.
    #[field(1)]
    pub token: String,
    /// The name of the client program.
    #[field(2)]
    pub client: String,
    /// The version of the client program.
    #[field(3)]
    pub version: String,
    /// The contract that the client was built with, if any.
    #[field(4)]
    pub contract: Option<ContractId>,
    /// The initial subscriptions.
    #[field(5)]
    pub subscriptions: Vec<Subscribe>,
    /// The client's own secret identifier: up to 64 unguessable bytes, the same in all of its connections. Only the server sees
    /// it, and uses it to recognize an anonymous client.
    #[field(6)]
    pub instance: String,
}

/// See [`Request::Subscribe`].
#[message]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribe {
    /// The channel.
    #[field(1, required)]
    pub channel: ChannelName,
    /// The client's number for this subscription: higher than any it used before on the channel.
    #[field(2, always)]
    pub number: u32,
    /// The position to recover from.
    #[field(3)]
    pub position: Option<Position>,
    /// Without a position: the number of publications before the newest with which the subscription begins, as far as the
    /// channel's history has them.
    #[field(4)]
    pub history: u32,
}

/// See [`Request::Unsubscribe`].
#[message]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsubscribe {
    /// The channel.
    #[field(1, required)]
    pub channel: ChannelName,
    /// The number of the subscription to end. A number older than that of the subscription in force has no effect.
    #[field(2, always)]
    pub number: u32,
}

/// See [`Request::Publish`].
#[message]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// The channel.
    #[field(1, required)]
    pub channel: ChannelName,
    /// The message.
    #[field(2)]
    pub payload: Payload,
    /// The idempotency key; empty for none. While the server remembers the key, a repeated publish gets the reply to the first
    /// one: see [`Idempotency`](super::Idempotency).
    #[field(4)]
    pub key: String,
}

/// See [`Request::History`].
#[message]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// The channel.
    #[field(1, required)]
    pub channel: ChannelName,
    /// The publications after this position are read (reversed: before it). Without a position, reading begins at the start of
    /// the history (reversed: at its end).
    #[field(2)]
    pub since: Option<Position>,
    /// The maximum number of publications; 0 asks for the position only.
    #[field(3, always)]
    pub limit: u32,
    /// The newest publication comes first.
    #[field(4)]
    pub reverse: bool,
}

/// See [`Request::Presence`].
#[message]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    /// The channel.
    #[field(1, required)]
    pub channel: ChannelName,
    /// The reply has only the numbers of sessions and users, without the members.
    #[field(2)]
    pub counts_only: bool,
    /// The list continues after the member with this session id, the last member of the previous page. Empty for the beginning.
    #[field(3)]
    pub after: String,
}

/// See [`Request::Call`].
#[message]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The name of the procedure.
    #[field(1, always)]
    pub name: String,
    /// Its request.
    #[field(2)]
    pub payload: Payload,
    /// The idempotency key; empty for none. While the server remembers the key, a repeated call is not executed again and is
    /// answered with the replies to the first one: see [`Connected::call_idempotency`](super::Connected::call_idempotency).
    #[field(4)]
    pub key: String,
}

/// See [`Request::Cancel`].
#[message]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancel {
    /// The id of the call's command.
    #[field(1, always)]
    pub command: u32,
}

/// See [`Request::Refresh`].
#[message]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refresh {
    /// The new token.
    #[field(1, always)]
    pub token: String,
}

/// See [`Request::Acknowledge`].
#[message]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledge {
    /// The alarm's id.
    #[field(1, always)]
    pub alarm: String,
    /// The client has received the alarm, but nobody has acknowledged it yet.
    #[field(2)]
    pub received_only: bool,
}
