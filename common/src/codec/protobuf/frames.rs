//! What servers send.

use alloc::boxed::Box;
use alloc::string::String;

use super::commands::unsubscribe;
use super::fields::{Decoder, Failure, Fields};
use super::values::{contract_id, encode_payload, position};
use crate::code::{CloseCode, ErrorCode};
use crate::codec::wire::{Encode, Reader, Value, Writer};
use crate::codec::{DecodeErrorKind, to_milliseconds};
use crate::contract::ContractHash;
use crate::frame::{
    Alarm, Answer, Called, Connected, ContractDigest, ContractId, Disconnect, ErrorInfo, HistoryPage,
    Idempotency, Member, Movement, PresenceList, Publication, Published, Push, Refreshed, Reply, ServerFrame,
    SubscribeOutcome, Subscribed, Unsubscribe, Unsubscribed,
};
use crate::{Bytes, Limits};

pub(in crate::codec) fn decode_frame(message: &Bytes, part: &[u8]) -> Result<ServerFrame, DecodeErrorKind> {
    let mut reader = Reader::new(part);
    let mut id = 0;
    let mut body = None;
    while let Some((number, value)) = reader.field()? {
        match (number, value) {
            (1, Value::Varint(value)) => id = u32::try_from(value).map_err(|_| DecodeErrorKind::Range)?,
            // A field of a newer protocol may stand behind the body: it must not take the body's place.
            (2..=18, Value::Length(value)) => body = Some((number, value)),
            _ => {}
        }
    }
    let Some((number, body)) = body else { return Ok(unknown_frame(id)) };
    let decoder = Decoder::new(message);
    let fields = &decoder.fields(body);
    let frame = if id == 0 {
        ServerFrame::Push(match number {
            2 => Push::Publication(publication(fields)),
            5 => Push::Subscribed(subscribed(fields)),
            6 => Push::Unsubscribed(unsubscribed(fields)),
            13 => Push::Join(movement(fields)),
            14 => Push::Leave(movement(fields)),
            15 => Push::RefreshDue,
            16 => Push::Disconnect(disconnect(fields)),
            18 => Push::Alarm(Box::new(alarm(fields))),
            _ => Push::Unknown,
        })
    } else {
        let answer = match number {
            3 => {
                let result = Err(error(fields));
                return checked(&decoder, ServerFrame::Reply(Reply { id, result }));
            }
            4 => Answer::Connected(Box::new(connected(fields))),
            5 => Answer::Subscribed(subscribed(fields)),
            6 => Answer::Unsubscribed(unsubscribe(fields)),
            7 => Answer::Published(Published { position: fields.nested(1, position) }),
            8 => Answer::History(history_page(fields)),
            9 => Answer::Presence(presence_list(fields)),
            10 => Answer::Called(Called { payload: fields.payload(1), more: fields.flag(3) }),
            11 => Answer::Cancelled,
            12 => Answer::Refreshed(Refreshed { token_ttl: fields.duration(1) }),
            17 => Answer::Acknowledged,
            _ => Answer::Unknown,
        };
        ServerFrame::Reply(Reply { id, result: Ok(answer) })
    };
    checked(&decoder, frame)
}

fn checked(decoder: &Decoder<'_>, frame: ServerFrame) -> Result<ServerFrame, DecodeErrorKind> {
    match decoder.failure() {
        None => Ok(frame),
        // A server that says what can't be is as broken as one whose bytes can't be read.
        Some(Failure::Request(_)) => Err(DecodeErrorKind::Field),
        Some(Failure::Frame(error)) => Err(error),
    }
}

fn unknown_frame(id: u32) -> ServerFrame {
    if id == 0 {
        ServerFrame::Push(Push::Unknown)
    } else {
        ServerFrame::Reply(Reply { id, result: Ok(Answer::Unknown) })
    }
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
                    Ok(Answer::Connected(body)) => out.message(4, &**body),
                    Ok(Answer::Subscribed(body)) => out.message(5, body),
                    Ok(Answer::Unsubscribed(body)) => out.message(6, body),
                    Ok(Answer::Published(body)) => out.message(7, body),
                    Ok(Answer::History(body)) => out.message(8, body),
                    Ok(Answer::Presence(body)) => out.message(9, body),
                    Ok(Answer::Called(body)) => out.message(10, body),
                    Ok(Answer::Cancelled) => out.message(11, &Empty),
                    Ok(Answer::Refreshed(body)) => out.message(12, body),
                    Ok(Answer::Acknowledged) => out.message(17, &Empty),
                    Ok(Answer::Unknown) => {}
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

/// Stands for one that is not there, in a frame that nobody will get.
const NO_ERROR: ErrorInfo = ErrorInfo { code: ErrorCode::INTERNAL, message: String::new(), temporary: false };

fn error(fields: &Fields<'_>) -> ErrorInfo {
    let code = u16::try_from(fields.number(1)).ok().and_then(ErrorCode::new);
    let code = fields.required(code, ErrorCode::INTERNAL);
    ErrorInfo { code, message: fields.text(2), temporary: fields.flag(3) }
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

fn connected(fields: &Fields<'_>) -> Connected {
    Connected {
        session: fields.text(1),
        user: fields.text(2),
        limits: fields.nested(3, limits).unwrap_or(Limits::NONE),
        contract: fields.nested(4, contract_digest),
        subscriptions: fields.each(5, subscribe_outcome),
        idempotency: fields.nested(6, idempotency),
        call_idempotency: fields.nested(8, idempotency),
        token_ttl: fields.duration(7),
    }
}

impl Encode for Idempotency {
    fn encode(&self, out: &mut Writer) {
        out.bytes(1, self.scope.as_bytes());
        out.uint(2, to_milliseconds(self.window).into());
        out.uint(3, self.clock);
    }
}

fn idempotency(fields: &Fields<'_>) -> Idempotency {
    Idempotency { scope: fields.text(1), window: fields.duration(2), clock: fields.number(3) }
}

impl Encode for Limits {
    fn encode(&self, out: &mut Writer) {
        out.uint(1, self.message_bytes.into());
        out.uint(2, self.channels.into());
        out.uint(3, self.calls.into());
        out.uint(4, to_milliseconds(self.ping_interval).into());
        out.uint(5, to_milliseconds(self.reconnect_window).into());
    }
}

fn limits(fields: &Fields<'_>) -> Limits {
    Limits {
        message_bytes: fields.narrow(1),
        channels: fields.narrow(2),
        calls: fields.narrow(3),
        ping_interval: fields.duration(4),
        reconnect_window: fields.duration(5),
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

fn contract_digest(fields: &Fields<'_>) -> ContractDigest {
    let none = ContractId { name: String::new(), hash: ContractHash::default() };
    let id = fields.required(fields.nested(1, contract_id), none);
    ContractDigest { id, items: fields.each(2, contract_id) }
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

fn subscribe_outcome(fields: &Fields<'_>) -> SubscribeOutcome {
    let subscribed = fields.nested(3, subscribed).map(Ok);
    let result = subscribed.or_else(|| fields.nested(4, error).map(Err));
    let result = fields.required(result, Err(NO_ERROR));
    SubscribeOutcome { channel: fields.channel(1), number: fields.narrow(2), result }
}

impl Encode for Subscribed {
    fn encode(&self, out: &mut Writer) {
        out.bytes(1, self.channel.as_str().as_bytes());
        out.uint(2, self.number.into());
        if let Some(position) = &self.position {
            out.message(3, position);
        }
        out.uint(4, self.complete.into());
        for publication in &self.recovered {
            out.message(5, publication);
        }
    }
}

fn subscribed(fields: &Fields<'_>) -> Subscribed {
    Subscribed {
        channel: fields.channel(1),
        number: fields.narrow(2),
        position: fields.nested(3, position),
        complete: fields.flag(4),
        recovered: fields.each(5, publication),
    }
}

impl Encode for Unsubscribed {
    fn encode(&self, out: &mut Writer) {
        out.bytes(1, self.channel.as_str().as_bytes());
        out.uint(2, self.number.into());
        out.message(3, &self.error);
    }
}

fn unsubscribed(fields: &Fields<'_>) -> Unsubscribed {
    let Unsubscribe { channel, number } = unsubscribe(fields);
    let error = fields.nested(3, error);
    let error = fields.required(error, NO_ERROR);
    Unsubscribed { channel, number, error }
}

impl Encode for Published {
    fn encode(&self, out: &mut Writer) {
        if let Some(position) = &self.position {
            out.message(1, position);
        }
    }
}

impl Encode for HistoryPage {
    fn encode(&self, out: &mut Writer) {
        out.message(1, &self.position);
        for publication in &self.publications {
            out.message(2, publication);
        }
    }
}

fn history_page(fields: &Fields<'_>) -> HistoryPage {
    HistoryPage {
        position: fields.nested(1, position).unwrap_or_default(),
        publications: fields.each(2, publication),
    }
}

impl Encode for PresenceList {
    fn encode(&self, out: &mut Writer) {
        for member in &self.members {
            out.message(1, member);
        }
        out.uint(2, self.sessions.into());
        out.uint(3, self.users.into());
    }
}

fn presence_list(fields: &Fields<'_>) -> PresenceList {
    PresenceList { members: fields.each(1, member), sessions: fields.narrow(2), users: fields.narrow(3) }
}

impl Encode for Member {
    fn encode(&self, out: &mut Writer) {
        out.bytes(1, self.session.as_bytes());
        out.bytes(2, self.user.as_bytes());
        out.bytes(3, self.info.as_bytes());
    }
}

fn member(fields: &Fields<'_>) -> Member {
    Member { session: fields.text(1), user: fields.text(2), info: fields.text(3) }
}

impl Encode for Called {
    fn encode(&self, out: &mut Writer) {
        encode_payload(out, 1, &self.payload);
        out.uint(3, self.more.into());
    }
}

impl Encode for Refreshed {
    fn encode(&self, out: &mut Writer) {
        out.uint(1, to_milliseconds(self.token_ttl).into());
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

fn publication(fields: &Fields<'_>) -> Publication {
    Publication {
        channel: fields.channel(1),
        payload: fields.payload(2),
        time: fields.number(4),
        publisher: fields.nested(5, member),
        offset: fields.number(6),
    }
}

impl Encode for Movement {
    fn encode(&self, out: &mut Writer) {
        out.bytes(1, self.channel.as_str().as_bytes());
        out.message(2, &self.member);
    }
}

fn movement(fields: &Fields<'_>) -> Movement {
    Movement { channel: fields.channel(1), member: fields.nested(2, member).unwrap_or_default() }
}

impl Encode for Disconnect {
    fn encode(&self, out: &mut Writer) {
        out.uint(1, self.code.number().into());
        out.bytes(2, self.reason.as_bytes());
        out.optional(3, self.retry_after.map(u64::from));
    }
}

fn disconnect(fields: &Fields<'_>) -> Disconnect {
    let code = u16::try_from(fields.number(1)).ok().and_then(CloseCode::new);
    Disconnect {
        code: fields.required(code, CloseCode::NORMAL),
        reason: fields.text(2),
        retry_after: fields.optional(3).map(|_| fields.narrow(3)),
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

fn alarm(fields: &Fields<'_>) -> Alarm {
    Alarm {
        id: fields.text(1),
        channel: fields.channel(2),
        payload: fields.payload(3),
        time: fields.number(5),
        ttl: fields.duration(6),
        withdrawn: fields.flag(7),
    }
}
