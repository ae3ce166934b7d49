//! The frames of servers.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use wirehub_derive::message;

use super::{ContractId, Part, Position, Unsubscribe};
use crate::code::{CloseCode, ErrorCode};
use crate::{ChannelName, Limits, Payload};

/// A message from the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerFrame {
    /// The answer to a command.
    Reply(Reply),
    /// An unsolicited message.
    Push(Push),
    /// A piece of a frame that is too large for one WebSocket message.
    Part(Part),
}

/// The answer to the command with the same id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The command's id.
    pub id: u32,
    /// The result.
    pub result: Result<ReplyBody, ErrorInfo>,
}

/// The reason for a command's failure.
#[message(view)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorInfo {
    /// The code of the error: see [`crate::code`].
    #[field(1, required)]
    pub code: ErrorCode,
    /// A description of the error and of its remedy, for people.
    #[field(2)]
    pub message: String,
    /// `true` if the same command may succeed later.
    #[field(3)]
    pub temporary: bool,
}

impl ErrorInfo {
    /// An error with the message and the `temporary` flag from the table of codes.
    pub fn from_code(code: ErrorCode) -> Self {
        Self { code, message: code.message().into(), temporary: code.is_temporary() }
    }
}

/// The kinds of successful [`Reply`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplyBody {
    /// The reply to [`Request::Connect`](super::Request::Connect). It comes once per connection and is larger than the frequent
    /// replies.
    Connected(Box<Connected>),
    /// The reply to [`Request::Subscribe`](super::Request::Subscribe).
    Subscribed(Subscribed),
    /// The reply to [`Request::Unsubscribe`](super::Request::Unsubscribe).
    Unsubscribed(Unsubscribe),
    /// The reply to [`Request::Publish`](super::Request::Publish).
    Published(Published),
    /// The reply to [`Request::History`](super::Request::History).
    History(HistoryPage),
    /// The reply to [`Request::Presence`](super::Request::Presence).
    Presence(PresenceList),
    /// The reply to [`Request::Call`](super::Request::Call).
    Called(Called),
    /// The reply to [`Request::Cancel`](super::Request::Cancel): the call was asked to stop, or had already ended.
    Cancelled,
    /// The reply to [`Request::Refresh`](super::Request::Refresh).
    Refreshed(Refreshed),
    /// The reply to [`Request::Acknowledge`](super::Request::Acknowledge).
    Acknowledged,
    /// An answer of a newer protocol.
    Unknown,
}

/// See [`ReplyBody::Connected`].
#[message(view)]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Connected {
    /// The session's id: 128 bits of entropy in base64url.
    #[field(1, always)]
    pub session: String,
    /// The user; empty for an anonymous client.
    #[field(2)]
    pub user: String,
    /// The limits in force.
    #[field(3, always, absent = Limits::none)]
    pub limits: Limits,
    /// The server's contract, if it differs from the client's.
    #[field(4)]
    pub contract: Option<ContractDigest>,
    /// The outcomes of the subscriptions in the command, in the same order.
    #[field(5)]
    pub subscriptions: Vec<SubscribeOutcome>,
    /// The server's memory for the keys of publishes; absent if keys have no effect.
    #[field(6)]
    pub idempotency: Option<Idempotency>,
    /// The remaining validity of the token, in whole milliseconds; 0 if it does not expire.
    #[field(7)]
    pub token_ttl: Duration,
    /// The server's memory for the keys of calls, which may differ from `idempotency`.
    #[field(8)]
    pub call_idempotency: Option<Idempotency>,
}

/// The server's memory for the keys of publishes. While it holds a key, a [`Publish`](super::Publish) may be repeated without
/// duplicating the message.
#[message(view)]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Idempotency {
    /// The name of the memory. A memory with another scope does not hold the keys of this one.
    #[field(1, always)]
    pub scope: String,
    /// The time for which a key is remembered after its first arrival, in whole milliseconds.
    #[field(2, always)]
    pub window: Duration,
    /// The present time of the memory's own clock, in milliseconds since an arbitrary moment. The window is measured with this
    /// clock, because a client's clock may stop while its machine is suspended.
    #[field(3, always)]
    pub clock: u64,
}

/// A contract with a hash for each of its items, so that a difference can be reported by the item's name.
#[message(view)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContractDigest {
    /// The contract's name and hash.
    #[field(1, required)]
    pub id: ContractId,
    /// Each channel pattern and call name with its own hash.
    #[field(2, always)]
    pub items: Vec<ContractId>,
}

/// The outcome of one subscription of a [`Connect`](super::Connect).
#[message(view, json = "crate::codec::shape::OutcomeShape")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscribeOutcome {
    /// The channel.
    #[field(1, required)]
    pub channel: ChannelName,
    /// The subscription's number.
    #[field(2, always)]
    pub number: u32,
    /// The result.
    #[field(3)]
    pub result: Result<Subscribed, ErrorInfo>,
}

/// See [`ReplyBody::Subscribed`].
#[message(view)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribed {
    /// The channel.
    #[field(1, required)]
    pub channel: ChannelName,
    /// The subscription's number.
    #[field(2, always)]
    pub number: u32,
    /// The first position of the subscription, in a channel with history. The publication with the next offset comes next.
    #[field(3)]
    pub position: Option<Position>,
    /// `true` if `position` is the position in the client's command, so that no publication is missing.
    #[field(4)]
    pub complete: bool,
    /// The number of publications after `position` at this moment. They follow from the history, before any newer publication.
    #[field(5)]
    pub recovering: u64,
}

/// See [`ReplyBody::Published`].
#[message(view)]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Published {
    /// The position of the publication, in a channel with history.
    #[field(1)]
    pub position: Option<Position>,
}

/// See [`ReplyBody::History`].
#[message(view, shares)]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HistoryPage {
    /// The channel's newest position.
    #[field(1, always)]
    pub position: Position,
    /// The requested publications.
    #[field(2)]
    pub publications: Vec<Publication>,
    /// More publications follow the last one. Continue from there.
    #[field(3)]
    pub more: bool,
}

/// See [`ReplyBody::Presence`].
#[message(view)]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PresenceList {
    /// One entry for each session, up to the server's limit, in an order that the server chooses.
    #[field(1, always)]
    pub members: Vec<Member>,
    /// The number of sessions.
    #[field(2)]
    pub sessions: u32,
    /// The number of users. Each anonymous session counts as one.
    #[field(3)]
    pub users: u32,
    /// More members follow the last one. [Continue](super::Presence::after) from there.
    #[field(4)]
    pub more: bool,
}

/// A session, as other clients see it.
#[message(view)]
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Member {
    /// The session's id.
    #[field(1, always)]
    pub session: String,
    /// The session's user; empty for an anonymous session.
    #[field(2)]
    pub user: String,
    /// The server's public information about the session, as a JSON text; empty if there is none. It is present in presence
    /// lists, joins and leaves, and absent in publications.
    #[field(3, json_text)]
    pub info: String,
}

/// See [`ReplyBody::Called`].
#[message(view, shares)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    /// The procedure's response, or one of several. It is [absent](Payload::is_absent) at the end of a stream of responses.
    #[field(1)]
    pub payload: Payload,
    /// Further responses to the same command, or an error, follow.
    #[field(3)]
    pub more: bool,
}

/// See [`ReplyBody::Refreshed`].
#[message(view)]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Refreshed {
    /// The remaining validity of the new token, in whole milliseconds; 0 if it does not expire.
    #[field(1)]
    pub token_ttl: Duration,
}

/// An unsolicited message from the server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Push {
    /// A message in a channel.
    Publication(Publication),
    /// A member entered a channel: the first session of a user, or an anonymous session.
    Join(Movement),
    /// A member left a channel: the last session of a user, or an anonymous session. A member without a session id stands for
    /// joins and leaves that were dropped for lack of room. Then the client reads the list of members again.
    Leave(Movement),
    /// The server subscribed this session.
    Subscribed(Subscribed),
    /// The server ended a subscription.
    Unsubscribed(Unsubscribed),
    /// The token is about to expire.
    RefreshDue,
    /// The server is about to close the connection.
    Disconnect(Disconnect),
    /// A message that has to be acknowledged. It is boxed because it is rare and larger than the frequent pushes.
    Alarm(Box<Alarm>),
    /// A push of a newer protocol. Clients ignore it.
    Unknown,
}

/// A message that is sent again on every reconnect until it is acknowledged or expires.
#[message(view, shares)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// The alarm's id, for its acknowledgement. It is the same each time the alarm is sent.
    #[field(1, always)]
    pub id: String,
    /// The channel whose message type the payload has. A subscription to it is not needed.
    #[field(2, required)]
    pub channel: ChannelName,
    /// The message.
    #[field(3)]
    pub payload: Payload,
    /// The time at which the alarm was raised, in milliseconds since the Unix epoch by the server's clock.
    #[field(5, always)]
    pub time: u64,
    /// The alarm's time to live, in whole milliseconds.
    #[field(6, always)]
    pub ttl: Duration,
    /// The alarm was withdrawn before it expired. There is no payload.
    #[field(7)]
    pub withdrawn: bool,
}

/// One message in a channel.
#[message(view, shares)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// The channel.
    #[field(1, required)]
    pub channel: ChannelName,
    /// The message.
    #[field(2)]
    pub payload: Payload,
    /// The time at which the server accepted it, in milliseconds since the Unix epoch by the server's clock.
    #[field(4, always)]
    pub time: u64,
    /// The session of the publisher; absent if the server itself published.
    #[field(5)]
    pub publisher: Option<Member>,
    /// The offset in the channel's history, from 1; 0 if the channel keeps no history.
    #[field(6)]
    pub offset: u64,
}

/// See [`Push::Join`] and [`Push::Leave`].
#[message(view)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movement {
    /// The channel.
    #[field(1, required)]
    pub channel: ChannelName,
    /// The member.
    #[field(2, always)]
    pub member: Member,
}

/// See [`Push::Unsubscribed`].
#[message(view)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsubscribed {
    /// The channel.
    #[field(1, required)]
    pub channel: ChannelName,
    /// The number of the subscription that ended.
    #[field(2, always)]
    pub number: u32,
    /// The reason.
    #[field(3, required)]
    pub error: ErrorInfo,
}

/// See [`Push::Disconnect`].
#[message(view)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disconnect {
    /// The close code of the WebSocket.
    #[field(1, required)]
    pub code: CloseCode,
    /// The reason, for people.
    #[field(2)]
    pub reason: String,
    /// The delay before the client reconnects, in milliseconds; absent if the client's own back-off applies.
    #[field(3)]
    pub retry_after: Option<u32>,
}
