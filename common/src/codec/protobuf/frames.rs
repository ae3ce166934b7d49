//! What servers send.

use alloc::boxed::Box;

use crate::codec::wire::{Encode, Writer};
use crate::codec::{DecodeErrorKind, to_milliseconds};
use crate::frame::{
    Alarm, Called, Connected, ContractDigest, ContractId, Disconnect, ErrorInfo, HistoryPage, Idempotency,
    Member, Movement, Part, Position, PresenceList, Publication, Published, Push, Refreshed, Reply,
    ReplyBody, ServerFrame, SubscribeOutcome, Subscribed, Unsubscribe, Unsubscribed,
};
use crate::view::{self, Body, Frame};
use crate::{Bytes, ChannelName, Limits, Payload};

pub(in crate::codec) fn decode_frame(message: &Bytes, part: &[u8]) -> Result<ServerFrame, DecodeErrorKind> {
    let Frame { id, body } = Frame::new(part)?;
    if let Body::Part(part) = body {
        return Ok(ServerFrame::Part(part.read(message)));
    }
    Ok(if id == 0 {
        ServerFrame::Push(match body {
            Body::Publication(publication) => Push::Publication(publication.read(message)),
            Body::Subscribed(subscribed) => Push::Subscribed(subscribed.read()),
            Body::Unsubscribed(unsubscribed) => Push::Unsubscribed(unsubscribed.read()),
            Body::Join(movement) => Push::Join(movement.read()),
            Body::Leave(movement) => Push::Leave(movement.read()),
            Body::RefreshDue => Push::RefreshDue,
            Body::Disconnect(disconnect) => Push::Disconnect(disconnect.read()),
            Body::Alarm(alarm) => Push::Alarm(Box::new(alarm.read(message))),
            _ => Push::Unknown,
        })
    } else {
        let result = match body {
            Body::Error(error) => Err(error.read()),
            Body::Connected(connected) => Ok(ReplyBody::Connected(Box::new(connected.read()))),
            Body::Subscribed(subscribed) => Ok(ReplyBody::Subscribed(subscribed.read())),
            Body::Unsubscribed(unsubscribed) => {
                let Unsubscribed { channel, number, .. } = unsubscribed.read();
                Ok(ReplyBody::Unsubscribed(Unsubscribe { channel, number }))
            }
            Body::Published(published) => Ok(ReplyBody::Published(published.read())),
            Body::History(page) => Ok(ReplyBody::History(page.read(message))),
            Body::Presence(list) => Ok(ReplyBody::Presence(list.read())),
            Body::Called(called) => Ok(ReplyBody::Called(called.read(message))),
            Body::Cancelled => Ok(ReplyBody::Cancelled),
            Body::Refreshed(refreshed) => Ok(ReplyBody::Refreshed(refreshed.read())),
            Body::Acknowledged => Ok(ReplyBody::Acknowledged),
            _ => Ok(ReplyBody::Unknown),
        };
        ServerFrame::Reply(Reply { id, result })
    })
}

/// A message without fields.
struct Empty;

impl Encode for Empty {
    fn encode(&self, _: &mut Writer) {}
}

impl Encode for ServerFrame {
    fn encode(&self, out: &mut Writer) {
        match self {
            Self::Reply(Reply { id, result }) => {
                out.uint(1, (*id).into());
                match result {
                    Err(error) => out.message(3, error),
                    Ok(ReplyBody::Connected(body)) => out.message(4, &**body),
                    Ok(ReplyBody::Subscribed(body)) => out.message(5, body),
                    Ok(ReplyBody::Unsubscribed(body)) => out.message(6, body),
                    Ok(ReplyBody::Published(body)) => out.message(7, body),
                    Ok(ReplyBody::History(body)) => out.message(8, body),
                    Ok(ReplyBody::Presence(body)) => out.message(9, body),
                    Ok(ReplyBody::Called(body)) => out.message(10, body),
                    Ok(ReplyBody::Cancelled) => out.message(11, &Empty),
                    Ok(ReplyBody::Refreshed(body)) => out.message(12, body),
                    Ok(ReplyBody::Acknowledged) => out.message(17, &Empty),
                    Ok(ReplyBody::Unknown) => {}
                }
            }
            Self::Push(push) => match push {
                Push::Publication(body) => out.message(2, body),
                Push::Subscribed(body) => out.message(5, body),
                Push::Unsubscribed(body) => out.message(6, body),
                Push::Join(body) => out.message(13, body),
                Push::Leave(body) => out.message(14, body),
                Push::RefreshDue => out.message(15, &Empty),
                Push::Disconnect(body) => out.message(16, body),
                Push::Alarm(body) => out.message(18, &**body),
                Push::Unknown => {}
            },
            Self::Part(body) => out.message(19, body),
        }
    }
}

impl Encode for ErrorInfo {
    fn encode(&self, out: &mut Writer) {
        out.uint(1, self.code.number().into());
        out.bytes(2, self.message.as_bytes());
        out.uint(3, self.temporary.into());
    }
}

impl view::Error<'_> {
    /// The error by itself.
    pub fn read(self) -> ErrorInfo {
        ErrorInfo { code: self.code(), message: self.message().into(), temporary: self.temporary() }
    }
}

impl Encode for Connected {
    fn encode(&self, out: &mut Writer) {
        out.bytes(1, self.session.as_bytes());
        out.bytes(2, self.user.as_bytes());
        out.message(3, &self.limits);
        if let Some(contract) = &self.contract {
            out.message(4, contract);
        }
        for outcome in &self.subscriptions {
            out.message(5, outcome);
        }
        if let Some(idempotency) = &self.idempotency {
            out.message(6, idempotency);
        }
        out.uint(7, to_milliseconds(self.token_ttl).into());
        if let Some(idempotency) = &self.call_idempotency {
            out.message(8, idempotency);
        }
    }
}

impl view::Connected<'_> {
    /// The answer by itself.
    pub fn read(self) -> Connected {
        Connected {
            session: self.session().into(),
            user: self.user().into(),
            limits: self.limits(),
            contract: self.contract().map(view::ContractDigest::read),
            subscriptions: self.subscriptions().map(view::SubscribeOutcome::read).collect(),
            idempotency: self.idempotency().map(view::Idempotency::read),
            call_idempotency: self.call_idempotency().map(view::Idempotency::read),
            token_ttl: self.token_ttl(),
        }
    }
}

impl Encode for Idempotency {
    fn encode(&self, out: &mut Writer) {
        out.bytes(1, self.scope.as_bytes());
        out.uint(2, to_milliseconds(self.window).into());
        out.uint(3, self.clock);
    }
}

impl view::Idempotency<'_> {
    /// The memory by itself.
    pub fn read(self) -> Idempotency {
        Idempotency { scope: self.scope().into(), window: self.window(), clock: self.clock() }
    }
}

impl Encode for Limits {
    fn encode(&self, out: &mut Writer) {
        out.uint(1, self.message_bytes.into());
        out.uint(2, self.channels.into());
        out.uint(3, self.calls.into());
        out.uint(4, to_milliseconds(self.ping_interval).into());
        out.uint(5, to_milliseconds(self.reconnect_window).into());
        out.uint(6, self.batch_bytes.into());
    }
}

impl Encode for ContractDigest {
    fn encode(&self, out: &mut Writer) {
        out.message(1, &self.id);
        for item in &self.items {
            out.message(2, item);
        }
    }
}

impl view::ContractDigest<'_> {
    /// The digest by itself.
    pub fn read(self) -> ContractDigest {
        ContractDigest { id: self.id().read(), items: self.items().map(view::ContractId::read).collect() }
    }
}

impl view::ContractId<'_> {
    /// The id by itself.
    pub fn read(self) -> ContractId {
        ContractId { name: self.name().into(), hash: self.hash() }
    }
}

impl Encode for ContractId {
    fn encode(&self, out: &mut Writer) {
        out.bytes(1, self.name.as_bytes());
        out.fixed64(2, self.hash.0);
    }
}

impl Encode for SubscribeOutcome {
    fn encode(&self, out: &mut Writer) {
        out.bytes(1, self.channel.as_str().as_bytes());
        out.uint(2, self.number.into());
        match &self.result {
            Ok(subscribed) => out.message(3, subscribed),
            Err(error) => out.message(4, error),
        }
    }
}

impl view::SubscribeOutcome<'_> {
    /// The outcome by itself.
    pub fn read(self) -> SubscribeOutcome {
        let result = self.result().map(view::Subscribed::read).map_err(view::Error::read);
        SubscribeOutcome { channel: ChannelName::checked(self.channel()), number: self.number(), result }
    }
}

impl Encode for Subscribed {
    fn encode(&self, out: &mut Writer) {
        out.bytes(1, self.channel.as_str().as_bytes());
        out.uint(2, self.number.into());
        if let Some(position) = &self.position {
            out.message(3, position);
        }
        out.uint(4, self.complete.into());
        out.uint(5, self.recovering);
    }
}

impl view::Subscribed<'_> {
    /// The answer by itself.
    pub fn read(self) -> Subscribed {
        Subscribed {
            channel: ChannelName::checked(self.channel()),
            number: self.number(),
            position: self.position().map(view::Position::read),
            complete: self.complete(),
            recovering: self.recovering(),
        }
    }
}

impl view::Position<'_> {
    /// The position by itself.
    pub fn read(self) -> Position {
        Position { offset: self.offset(), epoch: self.epoch().into() }
    }
}

impl Encode for Position {
    fn encode(&self, out: &mut Writer) {
        out.uint(1, self.offset);
        out.bytes(2, self.epoch.as_bytes());
    }
}

impl Encode for Unsubscribed {
    fn encode(&self, out: &mut Writer) {
        out.bytes(1, self.channel.as_str().as_bytes());
        out.uint(2, self.number.into());
        out.message(3, &self.error);
    }
}

impl view::Unsubscribed<'_> {
    /// The push by itself.
    pub fn read(self) -> Unsubscribed {
        let error = self.error().read();
        Unsubscribed { channel: ChannelName::checked(self.channel()), number: self.number(), error }
    }
}

impl Encode for Unsubscribe {
    fn encode(&self, out: &mut Writer) {
        out.bytes(1, self.channel.as_str().as_bytes());
        out.uint(2, self.number.into());
    }
}

impl Encode for Published {
    fn encode(&self, out: &mut Writer) {
        if let Some(position) = &self.position {
            out.message(1, position);
        }
    }
}

impl view::Published<'_> {
    /// The answer by itself.
    pub fn read(self) -> Published {
        Published { position: self.position().map(view::Position::read) }
    }
}

impl Encode for HistoryPage {
    fn encode(&self, out: &mut Writer) {
        out.message(1, &self.position);
        for publication in &self.publications {
            out.message(2, publication);
        }
        out.uint(3, self.more.into());
    }
}

impl view::HistoryPage<'_> {
    /// The page by itself. `message` is what it is in.
    pub fn read(self, message: &Bytes) -> HistoryPage {
        HistoryPage {
            position: self.position().read(),
            publications: self.publications().map(|publication| publication.read(message)).collect(),
            more: self.more(),
        }
    }
}

impl Encode for PresenceList {
    fn encode(&self, out: &mut Writer) {
        for member in &self.members {
            out.message(1, member);
        }
        out.uint(2, self.sessions.into());
        out.uint(3, self.users.into());
        out.uint(4, self.more.into());
    }
}

impl view::PresenceList<'_> {
    /// The list by itself.
    pub fn read(self) -> PresenceList {
        PresenceList {
            members: self.members().map(view::Member::read).collect(),
            sessions: self.sessions(),
            users: self.users(),
            more: self.more(),
        }
    }
}

impl Encode for Member {
    fn encode(&self, out: &mut Writer) {
        out.bytes(1, self.session.as_bytes());
        out.bytes(2, self.user.as_bytes());
        out.bytes(3, self.info.as_bytes());
    }
}

impl view::Member<'_> {
    /// The member by itself.
    pub fn read(self) -> Member {
        Member { session: self.session().into(), user: self.user().into(), info: self.info().into() }
    }
}

impl Encode for Called {
    fn encode(&self, out: &mut Writer) {
        encode_payload(out, 1, &self.payload);
        out.uint(3, self.more.into());
    }
}

impl view::Called<'_> {
    /// The answer by itself. `message` is what it is in.
    pub fn read(self, message: &Bytes) -> Called {
        Called { payload: self.payload().read(message), more: self.more() }
    }
}

impl Encode for Refreshed {
    fn encode(&self, out: &mut Writer) {
        out.uint(1, to_milliseconds(self.token_ttl).into());
    }
}

impl view::Refreshed<'_> {
    /// The answer by itself.
    pub fn read(self) -> Refreshed {
        Refreshed { token_ttl: self.token_ttl() }
    }
}

impl Encode for Publication {
    fn encode(&self, out: &mut Writer) {
        out.bytes(1, self.channel.as_str().as_bytes());
        encode_payload(out, 2, &self.payload);
        out.uint(4, self.time);
        if let Some(publisher) = &self.publisher {
            out.message(5, publisher);
        }
        out.uint(6, self.offset);
    }
}

impl view::Publication<'_> {
    /// The publication by itself. `message` is what it is in.
    pub fn read(self, message: &Bytes) -> Publication {
        Publication {
            channel: ChannelName::checked(self.channel()),
            payload: self.payload().read(message),
            time: self.time(),
            publisher: self.publisher().map(view::Member::read),
            offset: self.offset(),
        }
    }
}

impl Encode for Part {
    fn encode(&self, out: &mut Writer) {
        out.uint(1, self.stream.into());
        out.uint(2, self.left);
        out.bytes(3, &self.data);
    }
}

impl view::Part<'_> {
    /// The part by itself. `message` is what it is in.
    pub fn read(self, message: &Bytes) -> Part {
        Part { stream: self.stream(), data: message.slice_ref(self.data()), left: self.left() }
    }
}

impl Encode for Movement {
    fn encode(&self, out: &mut Writer) {
        out.bytes(1, self.channel.as_str().as_bytes());
        out.message(2, &self.member);
    }
}

impl view::Movement<'_> {
    /// The movement by itself.
    pub fn read(self) -> Movement {
        Movement { channel: ChannelName::checked(self.channel()), member: self.member().read() }
    }
}

impl Encode for Disconnect {
    fn encode(&self, out: &mut Writer) {
        out.uint(1, self.code.number().into());
        out.bytes(2, self.reason.as_bytes());
        out.optional(3, self.retry_after.map(u64::from));
    }
}

impl view::Disconnect<'_> {
    /// The farewell by itself.
    pub fn read(self) -> Disconnect {
        Disconnect { code: self.code(), reason: self.reason().into(), retry_after: self.retry_after() }
    }
}

impl Encode for Alarm {
    fn encode(&self, out: &mut Writer) {
        out.bytes(1, self.id.as_bytes());
        out.bytes(2, self.channel.as_str().as_bytes());
        encode_payload(out, 3, &self.payload);
        out.uint(5, self.time);
        out.uint(6, to_milliseconds(self.ttl).into());
        out.uint(7, self.withdrawn.into());
    }
}

impl view::Alarm<'_> {
    /// The alarm by itself. `message` is what it is in.
    pub fn read(self, message: &Bytes) -> Alarm {
        Alarm {
            id: self.id().into(),
            channel: ChannelName::checked(self.channel()),
            payload: self.payload().read(message),
            time: self.time(),
            ttl: self.ttl(),
            withdrawn: self.withdrawn(),
        }
    }
}

impl view::Payload<'_> {
    /// The payload by itself; it shares its bytes with `message`, which it is in.
    pub fn read(self, message: &Bytes) -> Payload {
        Payload { content: self.content, data: message.slice_ref(self.data) }
    }
}

/// The content tag in `field`, the data in the one after it.
fn encode_payload(out: &mut Writer, field: u32, payload: &Payload) {
    out.uint(field, payload.content as u64);
    out.bytes(field.saturating_add(1), &payload.data);
}
