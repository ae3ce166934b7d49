//! The protocol's messages as values. PROTOCOL.md says what they mean; [`Codec`](crate::Codec) puts them into bytes.
//!
//! A client sends [`Command`]s; a server sends [`ServerFrame`]s: a [`Reply`] to a command, or a [`Push`] that
//! nobody asked for.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

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
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "json", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "json", serde(rename_all = "camelCase", default))]
pub struct Connect {
    /// The client's token; empty for an anonymous client.
    #[cfg_attr(feature = "json", serde(skip_serializing_if = "String::is_empty"))]
    pub token: String,
    /// The name of the client program.
    #[cfg_attr(feature = "json", serde(skip_serializing_if = "String::is_empty"))]
    pub client: String,
    /// The version of the client program.
    #[cfg_attr(feature = "json", serde(skip_serializing_if = "String::is_empty"))]
    pub version: String,
    /// The contract that the client was built with, if any.
    #[cfg_attr(feature = "json", serde(skip_serializing_if = "Option::is_none"))]
    pub contract: Option<ContractId>,
    /// The subscriptions to make at once.
    #[cfg_attr(
        feature = "json",
        serde(deserialize_with = "crate::codec::shape::list", skip_serializing_if = "Vec::is_empty")
    )]
    pub subscriptions: Vec<Subscribe>,
    /// What the client calls itself towards the server alone, the same in all its connections: up to 64 bytes that nobody can
    /// guess. By it the server knows an anonymous client again.
    #[cfg_attr(feature = "json", serde(skip_serializing_if = "String::is_empty"))]
    pub instance: String,
}

/// A contract by name and hash.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "json", serde(rename_all = "camelCase"))]
pub struct ContractId {
    /// The contract's name.
    #[cfg_attr(feature = "json", serde(default))]
    pub name: String,
    /// The hash over all its items.
    #[cfg_attr(feature = "json", serde(default))]
    pub hash: ContractHash,
}

/// See [`Request::Subscribe`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "json", serde(rename_all = "camelCase"))]
pub struct Subscribe {
    /// The channel.
    pub channel: ChannelName,
    /// The client's number for this subscription: higher than any it used before on the channel.
    #[cfg_attr(feature = "json", serde(default))]
    pub number: u32,
    /// Where to recover from.
    #[cfg_attr(feature = "json", serde(default, skip_serializing_if = "Option::is_none"))]
    pub position: Option<Position>,
}

/// A place in a channel's history.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "json", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "json", serde(rename_all = "camelCase", default))]
pub struct Position {
    /// The offset of the last publication that was received; 0 before the first.
    pub offset: u64,
    /// The history's epoch.
    pub epoch: String,
}

/// See [`Request::Unsubscribe`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "json", serde(rename_all = "camelCase"))]
pub struct Unsubscribe {
    /// The channel.
    pub channel: ChannelName,
    /// The number of the subscription that ends; an older number than the one in force changes nothing.
    #[cfg_attr(feature = "json", serde(default))]
    pub number: u32,
}

/// See [`Request::Publish`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "json",
    serde(try_from = "crate::codec::shape::PublishShape", into = "crate::codec::shape::PublishShape")
)]
pub struct Publish {
    /// The channel.
    pub channel: ChannelName,
    /// The message.
    pub payload: Payload,
    /// The idempotency key; empty for none. A repeat that the server remembers gets the first one's answer: see
    /// [`Idempotency`].
    pub key: String,
}

/// See [`Request::History`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "json", serde(rename_all = "camelCase"))]
pub struct History {
    /// The channel.
    pub channel: ChannelName,
    /// Read what comes after (reversed: before) this place; without one, from the beginning (reversed: the end).
    #[cfg_attr(feature = "json", serde(default, skip_serializing_if = "Option::is_none"))]
    pub since: Option<Position>,
    /// At most so many publications; 0 asks for the position alone.
    #[cfg_attr(feature = "json", serde(default))]
    pub limit: u32,
    /// Newest first.
    #[cfg_attr(feature = "json", serde(default, skip_serializing_if = "core::ops::Not::not"))]
    pub reverse: bool,
}

/// See [`Request::Presence`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "json", serde(rename_all = "camelCase"))]
pub struct Presence {
    /// The channel.
    pub channel: ChannelName,
    /// Only how many they are, not who.
    #[cfg_attr(feature = "json", serde(default, skip_serializing_if = "core::ops::Not::not"))]
    pub counts_only: bool,
    /// Go on behind the member with this session: the last one of the list before. Empty for the beginning.
    #[cfg_attr(feature = "json", serde(default, skip_serializing_if = "String::is_empty"))]
    pub after: String,
}

/// See [`Request::Call`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "json",
    serde(try_from = "crate::codec::shape::CallShape", into = "crate::codec::shape::CallShape")
)]
pub struct Call {
    /// The procedure.
    pub name: String,
    /// Its request.
    pub payload: Payload,
    /// The idempotency key; empty for none. A repeat that the server remembers is not carried out again and gets the first
    /// one's answer: see [`Connected::call_idempotency`].
    pub key: String,
}

/// See [`Request::Cancel`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "json", serde(rename_all = "camelCase"))]
pub struct Cancel {
    /// The id of the call's command.
    #[cfg_attr(feature = "json", serde(default))]
    pub command: u32,
}

/// See [`Request::Refresh`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "json", serde(rename_all = "camelCase"))]
pub struct Refresh {
    /// The new token.
    #[cfg_attr(feature = "json", serde(default))]
    pub token: String,
}

/// See [`Request::Acknowledge`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "json", serde(rename_all = "camelCase"))]
pub struct Acknowledge {
    /// The alarm's id.
    #[cfg_attr(feature = "json", serde(default))]
    pub alarm: String,
    /// The client has got it; nobody has acknowledged it yet.
    #[cfg_attr(feature = "json", serde(default, skip_serializing_if = "core::ops::Not::not"))]
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
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "json",
    serde(from = "crate::codec::shape::PartShape", into = "crate::codec::shape::PartShape")
)]
pub struct Part {
    /// Tells frames apart whose parts come at the same time: there are at most
    /// [`Assembler::STREAMS`](crate::Assembler::STREAMS) of them in one direction.
    pub stream: u32,
    /// The next bytes of the frame, without its delimiter. In JSON a text: its cuts are between characters.
    pub data: Bytes,
    /// How many bytes of the frame follow in later parts; 0 for the last one.
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
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "json", serde(rename_all = "camelCase"))]
pub struct ErrorInfo {
    /// Which error: see [`crate::code`].
    pub code: ErrorCode,
    /// What happened and what to do, for people.
    #[cfg_attr(feature = "json", serde(default, skip_serializing_if = "String::is_empty"))]
    pub message: String,
    /// Whether the same command may succeed later.
    #[cfg_attr(feature = "json", serde(default, skip_serializing_if = "core::ops::Not::not"))]
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
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "json", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "json", serde(rename_all = "camelCase", default))]
pub struct Connected {
    /// The session's id: 128 bits of entropy in base64url.
    pub session: String,
    /// The user; empty for an anonymous one.
    #[cfg_attr(feature = "json", serde(skip_serializing_if = "String::is_empty"))]
    pub user: String,
    /// The limits in force.
    #[cfg_attr(feature = "json", serde(default = "crate::codec::shape::no_limits"))]
    pub limits: Limits,
    /// The server's contract, where it differs from the client's.
    #[cfg_attr(feature = "json", serde(skip_serializing_if = "Option::is_none"))]
    pub contract: Option<ContractDigest>,
    /// What came of the subscriptions in the command, in the same order.
    #[cfg_attr(
        feature = "json",
        serde(deserialize_with = "crate::codec::shape::list", skip_serializing_if = "Vec::is_empty")
    )]
    pub subscriptions: Vec<SubscribeOutcome>,
    /// How long the server remembers the keys of publishes; absent where keys have no effect.
    #[cfg_attr(feature = "json", serde(skip_serializing_if = "Option::is_none"))]
    pub idempotency: Option<Idempotency>,
    /// How long the token is valid from now on, in whole milliseconds; 0 for one that does not expire.
    #[cfg_attr(
        feature = "json",
        serde(with = "crate::codec::shape::milliseconds", skip_serializing_if = "Duration::is_zero")
    )]
    pub token_ttl: Duration,
    /// The same as `idempotency` for the keys of calls, which another memory may be for.
    #[cfg_attr(feature = "json", serde(skip_serializing_if = "Option::is_none"))]
    pub call_idempotency: Option<Idempotency>,
}

/// The server's memory for the keys of publishes: within it a [`Publish`] may be repeated without doubling the
/// message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "json", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "json", serde(rename_all = "camelCase", default))]
pub struct Idempotency {
    /// Names the memory: another scope is another memory, which knows nothing of this one's keys.
    pub scope: String,
    /// A key is remembered for this long after its first arrival, in whole milliseconds.
    #[cfg_attr(feature = "json", serde(with = "crate::codec::shape::milliseconds"))]
    pub window: Duration,
    /// What the memory's own clock shows, in milliseconds since a moment of its own. How much of the window has passed
    /// is measured by it: a client's clock may stand still while its machine is suspended.
    pub clock: u64,
}

/// A contract with a hash for each of its items, so that a difference can be told by name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "json", serde(rename_all = "camelCase"))]
pub struct ContractDigest {
    /// The contract's name and hash.
    pub id: ContractId,
    /// Each channel pattern and call name with its own hash.
    #[cfg_attr(feature = "json", serde(default, deserialize_with = "crate::codec::shape::list"))]
    pub items: Vec<ContractId>,
}

/// What came of one subscription of a [`Connect`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "json",
    serde(try_from = "crate::codec::shape::OutcomeShape", into = "crate::codec::shape::OutcomeShape")
)]
pub struct SubscribeOutcome {
    /// The channel.
    pub channel: ChannelName,
    /// The subscription's number.
    pub number: u32,
    /// What came of it.
    pub result: Result<Subscribed, ErrorInfo>,
}

/// See [`ReplyBody::Subscribed`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "json", serde(rename_all = "camelCase"))]
pub struct Subscribed {
    /// The channel.
    pub channel: ChannelName,
    /// The subscription's number.
    #[cfg_attr(feature = "json", serde(default))]
    pub number: u32,
    /// Where the subscription begins, in a channel that keeps history: the publication with the next offset comes next.
    #[cfg_attr(feature = "json", serde(default, skip_serializing_if = "Option::is_none"))]
    pub position: Option<Position>,
    /// Whether that is the position that the client gave: nothing is missing.
    #[cfg_attr(feature = "json", serde(default, skip_serializing_if = "core::ops::Not::not"))]
    pub complete: bool,
    /// How many publications there are behind `position` at this moment: they follow from the history, before those that
    /// are published from now on.
    #[cfg_attr(feature = "json", serde(default, skip_serializing_if = "crate::codec::shape::is_zero"))]
    pub recovering: u64,
}

/// See [`ReplyBody::Published`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "json", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "json", serde(rename_all = "camelCase", default))]
pub struct Published {
    /// Where the publication went, in a channel that keeps history.
    #[cfg_attr(feature = "json", serde(skip_serializing_if = "Option::is_none"))]
    pub position: Option<Position>,
}

/// See [`ReplyBody::History`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "json", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "json", serde(rename_all = "camelCase", default))]
pub struct HistoryPage {
    /// The channel's newest position.
    pub position: Position,
    /// The publications that were asked for.
    #[cfg_attr(
        feature = "json",
        serde(deserialize_with = "crate::codec::shape::list", skip_serializing_if = "Vec::is_empty")
    )]
    pub publications: Vec<Publication>,
    /// There are more behind the last one: read on from there.
    #[cfg_attr(feature = "json", serde(skip_serializing_if = "core::ops::Not::not"))]
    pub more: bool,
}

/// See [`ReplyBody::Presence`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "json", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "json", serde(rename_all = "camelCase", default))]
pub struct PresenceList {
    /// One entry for each session, as many of them as the server gives, in an order of its own.
    #[cfg_attr(feature = "json", serde(deserialize_with = "crate::codec::shape::list"))]
    pub members: Vec<Member>,
    /// How many sessions there are.
    #[cfg_attr(feature = "json", serde(skip_serializing_if = "crate::codec::shape::is_zero"))]
    pub sessions: u32,
    /// How many users they belong to; each anonymous session counts as one.
    #[cfg_attr(feature = "json", serde(skip_serializing_if = "crate::codec::shape::is_zero"))]
    pub users: u32,
    /// There are more behind the last member: [read on](Presence::after) from there.
    #[cfg_attr(feature = "json", serde(skip_serializing_if = "core::ops::Not::not"))]
    pub more: bool,
}

/// A session, as others see it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "json", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "json", serde(rename_all = "camelCase", default))]
pub struct Member {
    /// The session's id.
    pub session: String,
    /// The session's user; empty for an anonymous one.
    #[cfg_attr(feature = "json", serde(skip_serializing_if = "String::is_empty"))]
    pub user: String,
    /// What the server knows of the session and shows to others, a JSON text; empty where there is nothing. Presence, joins
    /// and leaves have it, publications do not.
    #[cfg_attr(
        feature = "json",
        serde(with = "crate::codec::shape::json_text", skip_serializing_if = "String::is_empty")
    )]
    pub info: String,
}

/// See [`ReplyBody::Called`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "json",
    serde(try_from = "crate::codec::shape::CalledShape", into = "crate::codec::shape::CalledShape")
)]
pub struct Called {
    /// The procedure's response, or one of several; [absent](Payload::is_absent) in what ends a stream of responses.
    pub payload: Payload,
    /// Further responses to the same command follow, or an error.
    pub more: bool,
}

/// See [`ReplyBody::Refreshed`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "json", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "json", serde(rename_all = "camelCase", default))]
pub struct Refreshed {
    /// How long the new token is valid from now on, in whole milliseconds; 0 for one that does not expire.
    #[cfg_attr(
        feature = "json",
        serde(with = "crate::codec::shape::milliseconds", skip_serializing_if = "Duration::is_zero")
    )]
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
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "json",
    serde(try_from = "crate::codec::shape::AlarmShape", into = "crate::codec::shape::AlarmShape")
)]
pub struct Alarm {
    /// Names the alarm in its acknowledgement; the same each time it is sent.
    pub id: String,
    /// Which channel's messages it is like. Nobody needs to be subscribed to it.
    pub channel: ChannelName,
    /// The message.
    pub payload: Payload,
    /// When it was raised, in milliseconds since the Unix epoch by the server's clock.
    pub time: u64,
    /// How long it goes on, in whole milliseconds.
    pub ttl: Duration,
    /// It is over before its time; there is no payload.
    pub withdrawn: bool,
}

/// One message in a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "json",
    serde(
        try_from = "crate::codec::shape::PublicationShape",
        into = "crate::codec::shape::PublicationShape"
    )
)]
pub struct Publication {
    /// The channel.
    pub channel: ChannelName,
    /// The message.
    pub payload: Payload,
    /// When the server accepted it, in milliseconds since the Unix epoch by the server's clock.
    pub time: u64,
    /// The session it came from; absent where the server itself published.
    pub publisher: Option<Member>,
    /// Its place in the channel's history, from 1; 0 where the channel keeps none.
    pub offset: u64,
}

/// See [`Push::Join`] and [`Push::Leave`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "json", serde(rename_all = "camelCase"))]
pub struct Movement {
    /// The channel.
    pub channel: ChannelName,
    /// Who it is.
    #[cfg_attr(feature = "json", serde(default))]
    pub member: Member,
}

/// See [`Push::Unsubscribed`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "json", serde(rename_all = "camelCase"))]
pub struct Unsubscribed {
    /// The channel.
    pub channel: ChannelName,
    /// The number of the subscription that ended.
    #[cfg_attr(feature = "json", serde(default))]
    pub number: u32,
    /// Why.
    pub error: ErrorInfo,
}

/// See [`Push::Disconnect`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "json", serde(rename_all = "camelCase"))]
pub struct Disconnect {
    /// The code that the WebSocket will be closed with.
    pub code: CloseCode,
    /// Why, for people.
    #[cfg_attr(feature = "json", serde(default, skip_serializing_if = "String::is_empty"))]
    pub reason: String,
    /// Come back after so many milliseconds; absent where the client's own back-off is right.
    #[cfg_attr(feature = "json", serde(default, skip_serializing_if = "Option::is_none"))]
    pub retry_after: Option<u32>,
}
