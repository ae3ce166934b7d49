//! The protocol's messages as values. PROTOCOL.md says what they mean; [`Codec`](crate::Codec) puts them into bytes.
//!
//! A field is declared once, here. `#[message]` derives from its number and type both codecs, the checks, and the method of the
//! message's [view](crate::view). CONTRIBUTING.md lists the other places of a new field.
//!
//! A client sends [`Command`]s; a server sends [`ServerFrame`]s: a [`Reply`] to a command, or a [`Push`] that
//! nobody asked for.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use wirehub_derive::message;

use crate::code::{CloseCode, ErrorCode};
use crate::contract::ContractHash;
use crate::{Bytes, ChannelName, Limits, Payload};

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Names the command in its reply; the client counts it up from 1. A command with id 0 gets no reply.
    pub id: u32,
    /// What is asked.
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
    /// Read who is in a channel.
    Presence(Presence),
    /// Call a procedure of the server.
    Call(Call),
    /// Give up on a call in flight.
    Cancel(Cancel),
    /// Hand in a new token.
    Refresh(Refresh),
    /// Confirm an alarm.
    Acknowledge(Acknowledge),
    /// A piece of a command that is too large for one WebSocket message.
    Part(Part),
    /// A request that can be read, but asks for what can't be, such as a channel with an impossible name: why,
    /// for people. The server answers it with [`ErrorCode::BAD_REQUEST`].
    Invalid(String),
    /// A request of a newer protocol: this side can read that it is there, and has to refuse it.
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
    /// The subscriptions to make at once.
    #[field(5)]
    pub subscriptions: Vec<Subscribe>,
    /// What the client calls itself towards the server alone, the same in all its connections: up to 64 bytes that nobody can
    /// guess. By it the server knows an anonymous client again.
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
    /// The hash over all its items.
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
    /// Where to recover from.
    #[field(3)]
    pub position: Option<Position>,
}

/// A place in a channel's history.
#[message(view)]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Position {
    /// The offset of the last publication that was received; 0 before the first.
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
    /// The number of the subscription that ends; an older number than the one in force changes nothing.
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
    /// The idempotency key; empty for none. A repeat that the server remembers gets the first one's answer: see
    /// [`Idempotency`].
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
    /// Read what comes after (reversed: before) this place; without one, from the beginning (reversed: the end).
    #[field(2)]
    pub since: Option<Position>,
    /// At most so many publications; 0 asks for the position alone.
    #[field(3, always)]
    pub limit: u32,
    /// Newest first.
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
    /// Only how many they are, not who.
    #[field(2)]
    pub counts_only: bool,
    /// Go on behind the member with this session: the last one of the list before. Empty for the beginning.
    #[field(3)]
    pub after: String,
}

/// See [`Request::Call`].
#[message]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The procedure.
    #[field(1, always)]
    pub name: String,
    /// Its request.
    #[field(2)]
    pub payload: Payload,
    /// The idempotency key; empty for none. A repeat that the server remembers is not carried out again and gets the first
    /// one's answer: see [`Connected::call_idempotency`].
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
    /// The client has got it; nobody has acknowledged it yet.
    #[field(2)]
    pub received_only: bool,
}

/// What a server sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerFrame {
    /// The answer to a command.
    Reply(Reply),
    /// What comes unasked.
    Push(Push),
    /// A piece of a frame that is too large for one WebSocket message.
    Part(Part),
}

/// A piece of a command or of a server's frame that is larger than one WebSocket message may be. The pieces of one
/// stream come in order and belong to one frame, until nothing is left of it; other frames may come between them. An
/// [`Assembler`](crate::Assembler) puts them together.
#[message(view, shares)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Tells frames apart whose parts come at the same time: there are at most
    /// [`Assembler::STREAMS`](crate::Assembler::STREAMS) of them in one direction.
    #[field(1)]
    pub stream: u32,
    /// The next bytes of the frame, without its delimiter. In JSON a text: its cuts are between characters.
    #[field(3)]
    pub data: Bytes,
    /// How many bytes of the frame follow in later parts; 0 for the last one.
    #[field(2)]
    pub left: u64,
}

/// The answer to the command with the same id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The command's id.
    pub id: u32,
    /// What came of it.
    pub result: Result<ReplyBody, ErrorInfo>,
}

/// Why a command failed.
#[message(view)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorInfo {
    /// Which error: see [`crate::code`].
    #[field(1, required)]
    pub code: ErrorCode,
    /// What happened and what to do, for people.
    #[field(2)]
    pub message: String,
    /// Whether the same command may succeed later.
    #[field(3)]
    pub temporary: bool,
}

impl ErrorInfo {
    /// An error with the words and the `temporary` flag of the table.
    pub fn from_code(code: ErrorCode) -> Self {
        Self { code, message: code.message().into(), temporary: code.is_temporary() }
    }
}

/// The kinds of successful [`Reply`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplyBody {
    /// To [`Request::Connect`]. It comes once to a connection, and is larger than what comes all the time.
    Connected(Box<Connected>),
    /// To [`Request::Subscribe`].
    Subscribed(Subscribed),
    /// To [`Request::Unsubscribe`].
    Unsubscribed(Unsubscribe),
    /// To [`Request::Publish`].
    Published(Published),
    /// To [`Request::History`].
    History(HistoryPage),
    /// To [`Request::Presence`].
    Presence(PresenceList),
    /// To [`Request::Call`].
    Called(Called),
    /// To [`Request::Cancel`]: the call is told to stop, or had already ended.
    Cancelled,
    /// To [`Request::Refresh`].
    Refreshed(Refreshed),
    /// To [`Request::Acknowledge`].
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
    /// The user; empty for an anonymous one.
    #[field(2)]
    pub user: String,
    /// The limits in force.
    #[field(3, always, absent = Limits::none)]
    pub limits: Limits,
    /// The server's contract, where it differs from the client's.
    #[field(4)]
    pub contract: Option<ContractDigest>,
    /// What came of the subscriptions in the command, in the same order.
    #[field(5)]
    pub subscriptions: Vec<SubscribeOutcome>,
    /// How long the server remembers the keys of publishes; absent where keys have no effect.
    #[field(6)]
    pub idempotency: Option<Idempotency>,
    /// How long the token is valid from now on, in whole milliseconds; 0 for one that does not expire.
    #[field(7)]
    pub token_ttl: Duration,
    /// The same as `idempotency` for the keys of calls, which another memory may be for.
    #[field(8)]
    pub call_idempotency: Option<Idempotency>,
}

/// The server's memory for the keys of publishes: within it a [`Publish`] may be repeated without doubling the
/// message.
#[message(view)]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Idempotency {
    /// Names the memory: another scope is another memory, which knows nothing of this one's keys.
    #[field(1, always)]
    pub scope: String,
    /// A key is remembered for this long after its first arrival, in whole milliseconds.
    #[field(2, always)]
    pub window: Duration,
    /// What the memory's own clock shows, in milliseconds since a moment of its own. How much of the window has passed
    /// is measured by it: a client's clock may stand still while its machine is suspended.
    #[field(3, always)]
    pub clock: u64,
}

/// A contract with a hash for each of its items, so that a difference can be told by name.
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

/// What came of one subscription of a [`Connect`].
#[message(view, json = "crate::codec::shape::OutcomeShape")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscribeOutcome {
    /// The channel.
    #[field(1, required)]
    pub channel: ChannelName,
    /// The subscription's number.
    #[field(2, always)]
    pub number: u32,
    /// What came of it.
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
    /// Where the subscription begins, in a channel that keeps history: the publication with the next offset comes next.
    #[field(3)]
    pub position: Option<Position>,
    /// Whether that is the position that the client gave: nothing is missing.
    #[field(4)]
    pub complete: bool,
    /// How many publications there are behind `position` at this moment: they follow from the history, before those that
    /// are published from now on.
    #[field(5)]
    pub recovering: u64,
}

/// See [`ReplyBody::Published`].
#[message(view)]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Published {
    /// Where the publication went, in a channel that keeps history.
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
    /// The publications that were asked for.
    #[field(2)]
    pub publications: Vec<Publication>,
    /// There are more behind the last one: read on from there.
    #[field(3)]
    pub more: bool,
}

/// See [`ReplyBody::Presence`].
#[message(view)]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PresenceList {
    /// One entry for each session, as many of them as the server gives, in an order of its own.
    #[field(1, always)]
    pub members: Vec<Member>,
    /// How many sessions there are.
    #[field(2)]
    pub sessions: u32,
    /// How many users they belong to; each anonymous session counts as one.
    #[field(3)]
    pub users: u32,
    /// There are more behind the last member: [read on](Presence::after) from there.
    #[field(4)]
    pub more: bool,
}

/// A session, as others see it.
#[message(view)]
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Member {
    /// The session's id.
    #[field(1, always)]
    pub session: String,
    /// The session's user; empty for an anonymous one.
    #[field(2)]
    pub user: String,
    /// What the server knows of the session and shows to others, a JSON text; empty where there is nothing. Presence, joins
    /// and leaves have it, publications do not.
    #[field(3, json_text)]
    pub info: String,
}

/// See [`ReplyBody::Called`].
#[message(view, shares)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    /// The procedure's response, or one of several; [absent](Payload::is_absent) in what ends a stream of responses.
    #[field(1)]
    pub payload: Payload,
    /// Further responses to the same command follow, or an error.
    #[field(3)]
    pub more: bool,
}

/// See [`ReplyBody::Refreshed`].
#[message(view)]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Refreshed {
    /// How long the new token is valid from now on, in whole milliseconds; 0 for one that does not expire.
    #[field(1)]
    pub token_ttl: Duration,
}

/// What comes unasked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Push {
    /// A message in a channel.
    Publication(Publication),
    /// Somebody entered a channel: the first session of a user, or an anonymous one.
    Join(Movement),
    /// Somebody left a channel: the last session of a user, or an anonymous one. A member without a session stands for
    /// joins and leaves that there was no room for: who is there has to be asked for anew.
    Leave(Movement),
    /// The server subscribed this session.
    Subscribed(Subscribed),
    /// The server ended a subscription.
    Unsubscribed(Unsubscribed),
    /// The token is about to expire.
    RefreshDue,
    /// The server is about to close the connection.
    Disconnect(Disconnect),
    /// Something that has to be acknowledged. It is rare, and larger than what comes all the time.
    Alarm(Box<Alarm>),
    /// A push of a newer protocol, to be passed over.
    Unknown,
}

/// A message that is sent again on every reconnect until it is acknowledged or its time is over.
#[message(view, shares)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// Names the alarm in its acknowledgement; the same each time it is sent.
    #[field(1, always)]
    pub id: String,
    /// Which channel's messages it is like. Nobody needs to be subscribed to it.
    #[field(2, required)]
    pub channel: ChannelName,
    /// The message.
    #[field(3)]
    pub payload: Payload,
    /// When it was raised, in milliseconds since the Unix epoch by the server's clock.
    #[field(5, always)]
    pub time: u64,
    /// How long it goes on, in whole milliseconds.
    #[field(6, always)]
    pub ttl: Duration,
    /// It is over before its time; there is no payload.
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
    /// When the server accepted it, in milliseconds since the Unix epoch by the server's clock.
    #[field(4, always)]
    pub time: u64,
    /// The session it came from; absent where the server itself published.
    #[field(5)]
    pub publisher: Option<Member>,
    /// Its place in the channel's history, from 1; 0 where the channel keeps none.
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
    /// Who it is.
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
    /// Why.
    #[field(3, required)]
    pub error: ErrorInfo,
}

/// See [`Push::Disconnect`].
#[message(view)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disconnect {
    /// The code that the WebSocket will be closed with.
    #[field(1, required)]
    pub code: CloseCode,
    /// Why, for people.
    #[field(2)]
    pub reason: String,
    /// Come back after so many milliseconds; absent where the client's own back-off is right.
    #[field(3)]
    pub retry_after: Option<u32>,
}
