//! The messages of `proto/wirehub.proto` for `prost`, the reference for our own codec.
//!
//! Members of a `oneof` are optional messages here, which is the same on the wire.

use std::time::Duration;

use prost::Message;

use wirehub_common::frame::{self, Push, ReplyBody, Request, ServerFrame as Frame};
use wirehub_common::{Limits as FrameLimits, Payload};

/// Declares the messages for `prost`, and the same as data for the comparison with the `.proto` file.
macro_rules! messages {
    ($($message:ident { $([$($kind:tt)+] $field:ident: $type:ty = $number:tt;)* })*) => {
        $(
            #[derive(Clone, PartialEq, Message)]
            pub(crate) struct $message {
                $(#[prost($($kind)+, tag = $number)] pub(crate) $field: $type,)*
            }
        )*

        /// Each message with its fields.
        pub(crate) const MESSAGES: &[(&str, &[FieldRow])] = &[$((
            stringify!($message),
            &[$(FieldRow {
                name: stringify!($field),
                kind: stringify!($($kind)+),
                rust_type: stringify!($type),
                number: $number,
            },)*],
        ),)*];
    };
}

/// One field of the declaration here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FieldRow {
    pub(crate) name: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) rust_type: &'static str,
    pub(crate) number: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum Content {
    Json = 0,
    Bytes = 1,
    Custom = 2,
    Attachment = 3,
}

messages! {
    Command {
        [uint32] id: u32 = 1;
        [message, optional] connect: Option<Connect> = 2;
        [message, optional] subscribe: Option<Subscribe> = 3;
        [message, optional] unsubscribe: Option<Unsubscribe> = 4;
        [message, optional] publish: Option<Publish> = 5;
        [message, optional] history: Option<History> = 6;
        [message, optional] presence: Option<Presence> = 7;
        [message, optional] call: Option<Call> = 8;
        [message, optional] cancel: Option<Cancel> = 9;
        [message, optional] refresh: Option<Refresh> = 10;
        [message, optional] acknowledge: Option<Acknowledge> = 11;
        [message, optional] part: Option<Part> = 12;
    }
    Part {
        [uint32] stream: u32 = 1;
        [uint64] left: u64 = 2;
        [bytes] data: Vec<u8> = 3;
    }
    Connect {
        [string] token: String = 1;
        [string] client: String = 2;
        [string] version: String = 3;
        [message, optional] contract: Option<ContractId> = 4;
        [message, repeated] subscriptions: Vec<Subscribe> = 5;
        [string] instance: String = 6;
    }
    ContractId {
        [string] name: String = 1;
        [fixed64] hash: u64 = 2;
    }
    Subscribe {
        [string] channel: String = 1;
        [uint32] number: u32 = 2;
        [message, optional] position: Option<Position> = 3;
        [uint32] history: u32 = 4;
    }
    Position {
        [uint64] offset: u64 = 1;
        [string] epoch: String = 2;
    }
    Unsubscribe {
        [string] channel: String = 1;
        [uint32] number: u32 = 2;
    }
    Publish {
        [string] channel: String = 1;
        [enumeration = "Content"] content: i32 = 2;
        [bytes] data: Vec<u8> = 3;
        [string] key: String = 4;
    }
    History {
        [string] channel: String = 1;
        [message, optional] since: Option<Position> = 2;
        [uint32] limit: u32 = 3;
        [bool] reverse: bool = 4;
    }
    Presence {
        [string] channel: String = 1;
        [bool] counts_only: bool = 2;
        [string] after: String = 3;
    }
    Call {
        [string] name: String = 1;
        [enumeration = "Content"] content: i32 = 2;
        [bytes] data: Vec<u8> = 3;
        [string] key: String = 4;
    }
    Cancel {
        [uint32] command: u32 = 1;
    }
    Refresh {
        [string] token: String = 1;
    }
    Acknowledge {
        [string] alarm: String = 1;
        [bool] received_only: bool = 2;
    }
    ServerFrame {
        [uint32] id: u32 = 1;
        [message, optional] publication: Option<Publication> = 2;
        [message, optional] error: Option<Error> = 3;
        [message, optional] connected: Option<Connected> = 4;
        [message, optional] subscribed: Option<Subscribed> = 5;
        [message, optional] unsubscribed: Option<Unsubscribed> = 6;
        [message, optional] published: Option<Published> = 7;
        [message, optional] history: Option<HistoryPage> = 8;
        [message, optional] presence: Option<PresenceList> = 9;
        [message, optional] called: Option<Called> = 10;
        [message, optional] cancelled: Option<Cancelled> = 11;
        [message, optional] refreshed: Option<Refreshed> = 12;
        [message, optional] join: Option<Movement> = 13;
        [message, optional] leave: Option<Movement> = 14;
        [message, optional] refresh_due: Option<RefreshDue> = 15;
        [message, optional] disconnect: Option<Disconnect> = 16;
        [message, optional] acknowledged: Option<Acknowledged> = 17;
        [message, optional] alarm: Option<Alarm> = 18;
        [message, optional] part: Option<Part> = 19;
    }
    Error {
        [uint32] code: u32 = 1;
        [string] message: String = 2;
        [bool] temporary: bool = 3;
    }
    Connected {
        [string] session: String = 1;
        [string] user: String = 2;
        [message, optional] limits: Option<Limits> = 3;
        [message, optional] contract: Option<ContractDigest> = 4;
        [message, repeated] subscriptions: Vec<SubscribeOutcome> = 5;
        [message, optional] idempotency: Option<Idempotency> = 6;
        [uint32] token_ttl: u32 = 7;
        [message, optional] call_idempotency: Option<Idempotency> = 8;
    }
    Idempotency {
        [string] scope: String = 1;
        [uint32] window: u32 = 2;
        [uint64] clock: u64 = 3;
    }
    Limits {
        [uint32] message_bytes: u32 = 1;
        [uint32] channels: u32 = 2;
        [uint32] calls: u32 = 3;
        [uint32] ping_interval: u32 = 4;
        [uint32] reconnect_window: u32 = 5;
        [uint32] batch_bytes: u32 = 6;
    }
    ContractDigest {
        [message, optional] id: Option<ContractId> = 1;
        [message, repeated] items: Vec<ContractId> = 2;
    }
    SubscribeOutcome {
        [string] channel: String = 1;
        [uint32] number: u32 = 2;
        [message, optional] subscribed: Option<Subscribed> = 3;
        [message, optional] error: Option<Error> = 4;
    }
    Subscribed {
        [string] channel: String = 1;
        [uint32] number: u32 = 2;
        [message, optional] position: Option<Position> = 3;
        [bool] complete: bool = 4;
        [uint64] recovering: u64 = 5;
    }
    Published {
        [message, optional] position: Option<Position> = 1;
    }
    HistoryPage {
        [message, optional] position: Option<Position> = 1;
        [message, repeated] publications: Vec<Publication> = 2;
        [bool] more: bool = 3;
    }
    PresenceList {
        [message, repeated] members: Vec<Member> = 1;
        [uint32] sessions: u32 = 2;
        [uint32] users: u32 = 3;
        [bool] more: bool = 4;
    }
    Member {
        [string] session: String = 1;
        [string] user: String = 2;
        [string] info: String = 3;
    }
    Called {
        [enumeration = "Content"] content: i32 = 1;
        [bytes] data: Vec<u8> = 2;
        [bool] more: bool = 3;
    }
    Cancelled {}
    Refreshed {
        [uint32] token_ttl: u32 = 1;
    }
    Publication {
        [string] channel: String = 1;
        [enumeration = "Content"] content: i32 = 2;
        [bytes] data: Vec<u8> = 3;
        [uint64] time: u64 = 4;
        [message, optional] publisher: Option<Member> = 5;
        [uint64] offset: u64 = 6;
    }
    Movement {
        [string] channel: String = 1;
        [message, optional] member: Option<Member> = 2;
    }
    Unsubscribed {
        [string] channel: String = 1;
        [uint32] number: u32 = 2;
        [message, optional] error: Option<Error> = 3;
    }
    RefreshDue {}
    Disconnect {
        [uint32] code: u32 = 1;
        [string] reason: String = 2;
        [uint32, optional] retry_after: Option<u32> = 3;
    }
    Acknowledged {}
    Alarm {
        [string] id: String = 1;
        [string] channel: String = 2;
        [enumeration = "Content"] content: i32 = 3;
        [bytes] data: Vec<u8> = 4;
        [uint64] time: u64 = 5;
        [uint32] ttl: u32 = 6;
        [bool] withdrawn: bool = 7;
    }
}

// --- our values as prost's ------------------------------------------------------------------------------------

impl From<frame::Command> for Command {
    fn from(frame::Command { id, request }: frame::Command) -> Self {
        let mut command = Self { id, ..Self::default() };
        match request {
            Request::Connect(body) => command.connect = Some(body.into()),
            Request::Subscribe(body) => command.subscribe = Some(body.into()),
            Request::Unsubscribe(frame::Unsubscribe { channel, number }) => {
                command.unsubscribe = Some(Unsubscribe { channel: channel.to_string(), number });
            }
            Request::Publish(frame::Publish { channel, payload, key }) => {
                let (content, data) = payload_parts(payload);
                command.publish = Some(Publish { channel: channel.to_string(), content, data, key });
            }
            Request::History(frame::History { channel, since, limit, reverse }) => {
                let since = since.map(Into::into);
                command.history = Some(History { channel: channel.to_string(), since, limit, reverse });
            }
            Request::Presence(frame::Presence { channel, counts_only, after }) => {
                command.presence = Some(Presence { channel: channel.to_string(), counts_only, after });
            }
            Request::Call(frame::Call { name, payload, key }) => {
                let (content, data) = payload_parts(payload);
                command.call = Some(Call { name, content, data, key });
            }
            Request::Cancel(body) => command.cancel = Some(Cancel { command: body.command }),
            Request::Refresh(body) => command.refresh = Some(Refresh { token: body.token }),
            Request::Acknowledge(frame::Acknowledge { alarm, received_only }) => {
                command.acknowledge = Some(Acknowledge { alarm, received_only });
            }
            Request::Part(body) => command.part = Some(body.into()),
            Request::Invalid(_) | Request::Unknown => {}
            newer => panic!("{newer:?} is missing here"),
        }
        command
    }
}

impl From<Frame> for ServerFrame {
    fn from(frame: Frame) -> Self {
        let mut out = Self::default();
        match frame {
            Frame::Reply(frame::Reply { id, result }) => {
                out.id = id;
                match result {
                    Err(error) => out.error = Some(error.into()),
                    Ok(ReplyBody::Connected(body)) => out.connected = Some((*body).into()),
                    Ok(ReplyBody::Subscribed(body)) => out.subscribed = Some(body.into()),
                    Ok(ReplyBody::Unsubscribed(frame::Unsubscribe { channel, number })) => {
                        let channel = channel.to_string();
                        out.unsubscribed = Some(Unsubscribed { channel, number, error: None });
                    }
                    Ok(ReplyBody::Published(body)) => {
                        out.published = Some(Published { position: body.position.map(Into::into) });
                    }
                    Ok(ReplyBody::History(frame::HistoryPage { position, publications, more })) => {
                        let publications = publications.into_iter().map(Into::into).collect();
                        out.history =
                            Some(HistoryPage { position: Some(position.into()), publications, more });
                    }
                    Ok(ReplyBody::Presence(frame::PresenceList { members, sessions, users, more })) => {
                        let members = members.into_iter().map(Into::into).collect();
                        out.presence = Some(PresenceList { members, sessions, users, more });
                    }
                    Ok(ReplyBody::Called(body)) => {
                        let (content, data) = payload_parts(body.payload);
                        out.called = Some(Called { content, data, more: body.more });
                    }
                    Ok(ReplyBody::Cancelled) => out.cancelled = Some(Cancelled {}),
                    Ok(ReplyBody::Refreshed(frame::Refreshed { token_ttl })) => {
                        out.refreshed = Some(Refreshed { token_ttl: milliseconds(token_ttl) });
                    }
                    Ok(ReplyBody::Acknowledged) => out.acknowledged = Some(Acknowledged {}),
                    Ok(ReplyBody::Unknown) => {}
                    Ok(newer) => panic!("{newer:?} is missing here"),
                }
            }
            Frame::Push(push) => match push {
                Push::Publication(body) => out.publication = Some(body.into()),
                Push::Join(body) => out.join = Some(body.into()),
                Push::Leave(body) => out.leave = Some(body.into()),
                Push::Subscribed(body) => out.subscribed = Some(body.into()),
                Push::Unsubscribed(frame::Unsubscribed { channel, number, error }) => {
                    let (channel, error) = (channel.to_string(), Some(error.into()));
                    out.unsubscribed = Some(Unsubscribed { channel, number, error });
                }
                Push::RefreshDue => out.refresh_due = Some(RefreshDue {}),
                Push::Disconnect(frame::Disconnect { code, reason, retry_after }) => {
                    let code = code.number().into();
                    out.disconnect = Some(Disconnect { code, reason, retry_after });
                }
                Push::Alarm(body) => out.alarm = Some((*body).into()),
                Push::Unknown => {}
                newer => panic!("{newer:?} is missing here"),
            },
            Frame::Part(body) => out.part = Some(body.into()),
        }
        out
    }
}

impl From<frame::Part> for Part {
    fn from(frame::Part { stream, data, left }: frame::Part) -> Self {
        Self { stream, left, data: data.into() }
    }
}

impl From<frame::Connect> for Connect {
    fn from(body: frame::Connect) -> Self {
        let frame::Connect { token, client, version, contract, subscriptions, instance } = body;
        let subscriptions = subscriptions.into_iter().map(Into::into).collect();
        Self { token, client, version, contract: contract.map(Into::into), subscriptions, instance }
    }
}

impl From<frame::ContractId> for ContractId {
    fn from(frame::ContractId { name, hash }: frame::ContractId) -> Self {
        Self { name, hash: hash.0 }
    }
}

impl From<frame::Subscribe> for Subscribe {
    fn from(frame::Subscribe { channel, number, position, history }: frame::Subscribe) -> Self {
        Self { channel: channel.to_string(), number, position: position.map(Into::into), history }
    }
}

impl From<frame::Position> for Position {
    fn from(frame::Position { offset, epoch }: frame::Position) -> Self {
        Self { offset, epoch }
    }
}

impl From<frame::ErrorInfo> for Error {
    fn from(frame::ErrorInfo { code, message, temporary }: frame::ErrorInfo) -> Self {
        Self { code: code.number().into(), message, temporary }
    }
}

impl From<frame::Connected> for Connected {
    fn from(body: frame::Connected) -> Self {
        let frame::Connected {
            session,
            user,
            limits,
            contract,
            subscriptions,
            idempotency,
            token_ttl,
            call_idempotency,
        } = body;
        let contract = contract.map(|frame::ContractDigest { id, items }| ContractDigest {
            id: Some(id.into()),
            items: items.into_iter().map(Into::into).collect(),
        });
        Self {
            session,
            user,
            limits: Some(limits.into()),
            contract,
            subscriptions: subscriptions.into_iter().map(Into::into).collect(),
            idempotency: idempotency.map(Into::into),
            token_ttl: milliseconds(token_ttl),
            call_idempotency: call_idempotency.map(Into::into),
        }
    }
}

impl From<frame::Idempotency> for Idempotency {
    fn from(frame::Idempotency { scope, window, clock }: frame::Idempotency) -> Self {
        Self { scope, window: milliseconds(window), clock }
    }
}

impl From<FrameLimits> for Limits {
    fn from(limits: FrameLimits) -> Self {
        let FrameLimits { message_bytes, channels, calls, ping_interval, reconnect_window, batch_bytes } =
            limits;
        Self {
            message_bytes,
            channels,
            calls,
            ping_interval: milliseconds(ping_interval),
            reconnect_window: milliseconds(reconnect_window),
            batch_bytes,
        }
    }
}

impl From<frame::SubscribeOutcome> for SubscribeOutcome {
    fn from(frame::SubscribeOutcome { channel, number, result }: frame::SubscribeOutcome) -> Self {
        let (subscribed, error) = match result {
            Ok(subscribed) => (Some(subscribed.into()), None),
            Err(error) => (None, Some(error.into())),
        };
        Self { channel: channel.to_string(), number, subscribed, error }
    }
}

impl From<frame::Subscribed> for Subscribed {
    fn from(body: frame::Subscribed) -> Self {
        let frame::Subscribed { channel, number, position, complete, recovering } = body;
        let position = position.map(Into::into);
        Self { channel: channel.to_string(), number, position, complete, recovering }
    }
}

impl From<frame::Member> for Member {
    fn from(frame::Member { session, user, info }: frame::Member) -> Self {
        Self { session, user, info }
    }
}

impl From<frame::Publication> for Publication {
    fn from(body: frame::Publication) -> Self {
        let frame::Publication { channel, payload, time, publisher, offset } = body;
        let (content, data) = payload_parts(payload);
        let publisher = publisher.map(Into::into);
        Self { channel: channel.to_string(), content, data, time, publisher, offset }
    }
}

impl From<frame::Alarm> for Alarm {
    fn from(body: frame::Alarm) -> Self {
        let frame::Alarm { id, channel, payload, time, ttl, withdrawn } = body;
        let (content, data) = payload_parts(payload);
        Self { id, channel: channel.to_string(), content, data, time, ttl: milliseconds(ttl), withdrawn }
    }
}

impl From<frame::Movement> for Movement {
    fn from(frame::Movement { channel, member }: frame::Movement) -> Self {
        Self { channel: channel.to_string(), member: Some(member.into()) }
    }
}

fn milliseconds(time: Duration) -> u32 {
    time.as_millis().try_into().unwrap()
}

fn payload_parts(Payload { content, data }: Payload) -> (i32, Vec<u8>) {
    let content = match content {
        wirehub_common::Content::Json => Content::Json,
        wirehub_common::Content::Bytes => Content::Bytes,
        wirehub_common::Content::Custom => Content::Custom,
        wirehub_common::Content::Attachment => Content::Attachment,
    };
    (content.into(), data.into())
}
