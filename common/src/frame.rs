//! The protocol's messages as values. PROTOCOL.md defines their meaning; [`Codec`](crate::Codec) encodes them.
//!
//! A field is declared once, here. `#[message]` derives from its number and type both codecs, the checks, and the method of the
//! message's [view](crate::view). CONTRIBUTING.md lists the other places of a new field.
//!
//! A client sends [`Command`]s; a server sends [`ServerFrame`]s: a [`Reply`] to a command, or an unsolicited [`Push`].

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use wirehub_derive::message;

use crate::code::{CloseCode, ErrorCode};
use crate::contract::ContractHash;
use crate::{Bytes, ChannelName, Limits, Payload};

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
    /// text for people. The server answers it with [`ErrorCode::BAD_REQUEST`].
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

/// A contract by name and hash.
#[message(view)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContractId {
    /// The contract's name.
    #[field(1, always)]
    pub name: String,
    /// The hash of all its items.
    #[field(2, always)]
    pub hash: ContractHash,
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
}

/// A place in a channel's history.
#[message(view)]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Position {
    /// The offset of the last received publication; 0 before the first.
    #[field(1, always)]
    pub offset: u64,
    /// The history's epoch.
    #[field(2, always)]
    pub epoch: String,
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
    /// one: see [`Idempotency`].
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
    /// answered with the replies to the first one: see [`Connected::call_idempotency`].
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

/// A piece of a command or of a server's frame that is larger than the limit of a WebSocket message. The parts of one stream
/// come in order and belong to one frame until the last part has come. Other frames may come between them. An
/// [`Assembler`](crate::Assembler) puts the parts together.
#[message(view, shares)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The stream of the part: it identifies the frame while the parts of several frames are interleaved. There are at most
    /// [`Assembler::STREAMS`](crate::Assembler::STREAMS) streams in one direction.
    #[field(1)]
    pub stream: u32,
    /// The next bytes of the frame, without its delimiter. In JSON this is a text, which is cut between characters only.
    #[field(3)]
    pub data: Bytes,
    /// The number of the frame's bytes in later parts; 0 in the last part.
    #[field(2)]
    pub left: u64,
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
    /// The reply to [`Request::Connect`]. It comes once per connection and is larger than the frequent replies.
    Connected(Box<Connected>),
    /// The reply to [`Request::Subscribe`].
    Subscribed(Subscribed),
    /// The reply to [`Request::Unsubscribe`].
    Unsubscribed(Unsubscribe),
    /// The reply to [`Request::Publish`].
    Published(Published),
    /// The reply to [`Request::History`].
    History(HistoryPage),
    /// The reply to [`Request::Presence`].
    Presence(PresenceList),
    /// The reply to [`Request::Call`].
    Called(Called),
    /// The reply to [`Request::Cancel`]: the call was asked to stop, or had already ended.
    Cancelled,
    /// The reply to [`Request::Refresh`].
    Refreshed(Refreshed),
    /// The reply to [`Request::Acknowledge`].
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

/// The server's memory for the keys of publishes. While it holds a key, a [`Publish`] may be repeated without duplicating the
/// message.
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

/// The outcome of one subscription of a [`Connect`].
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
    /// More members follow the last one. [Continue](Presence::after) from there.
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
