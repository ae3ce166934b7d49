//! What servers send.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use super::Invalid;
use super::values::{channel, content, contract_id, duration, encode_payload, narrow, position, push, text};
use crate::code::{CloseCode, ErrorCode};
use crate::codec::wire::{Encode, Reader, Value, Writer};
use crate::codec::{DecodeErrorKind, to_milliseconds};
use crate::frame::{
    Alarm, Answer, Called, Connected, ContractDigest, Disconnect, ErrorInfo, HistoryPage, Idempotency,
    Member, Movement, Position, PresenceList, Publication, Published, Push, Refreshed, Reply, ServerFrame,
    SubscribeOutcome, Subscribed, Unsubscribe, Unsubscribed,
};
use crate::{Limits, Payload};

pub(in crate::codec) fn decode_frame(message: &Bytes, part: &[u8]) -> Result<ServerFrame, DecodeErrorKind> {
    let mut reader = Reader::new(message, part);
    let mut id = 0;
    let mut body = None;
    while let Some((number, value)) = reader.field()? {
        match (number, value) {
            (1, Value::Varint(value)) => id = narrow(value)?,
            // A field of a newer protocol may stand behind the body: it must not take the body's place.
            (2..=18, Value::Length(value)) => body = Some((number, value)),
            _ => {}
        }
    }
    let Some((number, body)) = body else { return Ok(unknown_frame(id)) };
    let body = reader.nested(body);
    Ok(if id == 0 {
        ServerFrame::Push(match number {
            2 => Push::Publication(publication(body)?),
            5 => Push::Subscribed(subscribed(body)?),
            6 => {
                let (Unsubscribe { channel, number }, error) = unsubscribed(body)?;
                let error = error.ok_or(DecodeErrorKind::Field)?;
                Push::Unsubscribed(Unsubscribed { channel, number, error })
            }
            13 => Push::Join(movement(body)?),
            14 => Push::Leave(movement(body)?),
            15 => Push::RefreshDue,
            16 => Push::Disconnect(disconnect(body)?),
            18 => Push::Alarm(Box::new(alarm(body)?)),
            _ => Push::Unknown,
        })
    } else {
        let result = match number {
            3 => Err(error(body)?),
            4 => Ok(Answer::Connected(Box::new(connected(body)?))),
            5 => Ok(Answer::Subscribed(subscribed(body)?)),
            6 => Ok(Answer::Unsubscribed(unsubscribed(body)?.0)),
            7 => Ok(Answer::Published(Published { position: one_position(body)? })),
            8 => Ok(Answer::History(history_page(body)?)),
            9 => Ok(Answer::Presence(presence_list(body)?)),
            10 => Ok(Answer::Called(called(body)?)),
            11 => Ok(Answer::Cancelled),
            12 => Ok(Answer::Refreshed(refreshed(body)?)),
            17 => Ok(Answer::Acknowledged),
            _ => Ok(Answer::Unknown),
        };
        ServerFrame::Reply(Reply { id, result })
    })
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

fn error(mut reader: Reader<'_>) -> Result<ErrorInfo, DecodeErrorKind> {
    let (mut code, mut message, mut temporary) = (None, String::new(), false);
    while let Some(field) = reader.field()? {
        match field {
            (1, Value::Varint(value)) => code = u16::try_from(value).ok().and_then(ErrorCode::new),
            (2, Value::Length(value)) => message = text(value)?,
            (3, Value::Varint(value)) => temporary = value != 0,
            _ => {}
        }
    }
    Ok(ErrorInfo { code: code.ok_or(DecodeErrorKind::Field)?, message, temporary })
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
    }
}

fn connected(mut reader: Reader<'_>) -> Result<Connected, DecodeErrorKind> {
    let mut connected = Connected { limits: Limits::NONE, ..Connected::default() };
    while let Some(field) = reader.field()? {
        match field {
            (1, Value::Length(value)) => connected.session = text(value)?,
            (2, Value::Length(value)) => connected.user = text(value)?,
            (3, Value::Length(value)) => connected.limits = limits(reader.nested(value))?,
            (4, Value::Length(value)) => connected.contract = Some(contract_digest(reader.nested(value))?),
            (5, Value::Length(value)) => {
                push(&mut connected.subscriptions, subscribe_outcome(reader.nested(value))?)?;
            }
            (6, Value::Length(value)) => connected.idempotency = Some(idempotency(reader.nested(value))?),
            (7, Value::Varint(value)) => connected.token_ttl = duration(value)?,
            _ => {}
        }
    }
    Ok(connected)
}

impl Encode for Idempotency {
    fn encode(&self, out: &mut Writer) {
        out.bytes(1, self.scope.as_bytes());
        out.uint(2, to_milliseconds(self.window).into());
        out.uint(3, self.clock);
    }
}

fn idempotency(mut reader: Reader<'_>) -> Result<Idempotency, DecodeErrorKind> {
    let mut idempotency = Idempotency::default();
    while let Some(field) = reader.field()? {
        match field {
            (1, Value::Length(value)) => idempotency.scope = text(value)?,
            (2, Value::Varint(value)) => idempotency.window = duration(value)?,
            (3, Value::Varint(value)) => idempotency.clock = value,
            _ => {}
        }
    }
    Ok(idempotency)
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

fn limits(mut reader: Reader<'_>) -> Result<Limits, DecodeErrorKind> {
    let mut limits = Limits::NONE;
    while let Some(field) = reader.field()? {
        match field {
            (1, Value::Varint(value)) => limits.message_bytes = narrow(value)?,
            (2, Value::Varint(value)) => limits.channels = narrow(value)?,
            (3, Value::Varint(value)) => limits.calls = narrow(value)?,
            (4, Value::Varint(value)) => limits.ping_interval = duration(value)?,
            (5, Value::Varint(value)) => limits.reconnect_window = duration(value)?,
            _ => {}
        }
    }
    Ok(limits)
}

impl Encode for ContractDigest {
    fn encode(&self, out: &mut Writer) {
        out.message(1, &self.id);
        for item in &self.items {
            out.message(2, item);
        }
    }
}

fn contract_digest(mut reader: Reader<'_>) -> Result<ContractDigest, DecodeErrorKind> {
    let (mut id, mut items) = (None, Vec::new());
    while let Some(field) = reader.field()? {
        match field {
            (1, Value::Length(value)) => id = Some(contract_id(reader.nested(value))?),
            (2, Value::Length(value)) => push(&mut items, contract_id(reader.nested(value))?)?,
            _ => {}
        }
    }
    Ok(ContractDigest { id: id.ok_or(DecodeErrorKind::Field)?, items })
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

fn subscribe_outcome(mut reader: Reader<'_>) -> Result<SubscribeOutcome, DecodeErrorKind> {
    let (mut name, mut number, mut result) = (&[][..], 0, None);
    while let Some(field) = reader.field()? {
        match field {
            (1, Value::Length(value)) => name = value,
            (2, Value::Varint(value)) => number = narrow(value)?,
            (3, Value::Length(value)) => result = Some(Ok(subscribed(reader.nested(value))?)),
            (4, Value::Length(value)) => result = Some(Err(error(reader.nested(value))?)),
            _ => {}
        }
    }
    Ok(SubscribeOutcome { channel: channel(name)?, number, result: result.ok_or(DecodeErrorKind::Field)? })
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

fn subscribed(mut reader: Reader<'_>) -> Result<Subscribed, DecodeErrorKind> {
    let (mut name, mut number, mut at, mut complete, mut recovered) = (&[][..], 0, None, false, Vec::new());
    while let Some(field) = reader.field()? {
        match field {
            (1, Value::Length(value)) => name = value,
            (2, Value::Varint(value)) => number = narrow(value)?,
            (3, Value::Length(value)) => at = Some(position(reader.nested(value))?),
            (4, Value::Varint(value)) => complete = value != 0,
            (5, Value::Length(value)) => push(&mut recovered, publication(reader.nested(value))?)?,
            _ => {}
        }
    }
    Ok(Subscribed { channel: channel(name)?, number, position: at, complete, recovered })
}

impl Encode for Unsubscribed {
    fn encode(&self, out: &mut Writer) {
        out.bytes(1, self.channel.as_str().as_bytes());
        out.uint(2, self.number.into());
        out.message(3, &self.error);
    }
}

/// An `Unsubscribe` and an `Unsubscribed` differ in the error alone.
pub(super) fn unsubscribed(mut reader: Reader<'_>) -> Result<(Unsubscribe, Option<ErrorInfo>), Invalid> {
    let (mut name, mut number, mut why) = (&[][..], 0, None);
    while let Some(field) = reader.field()? {
        match field {
            (1, Value::Length(value)) => name = value,
            (2, Value::Varint(value)) => number = narrow(value)?,
            (3, Value::Length(value)) => why = Some(error(reader.nested(value))?),
            _ => {}
        }
    }
    Ok((Unsubscribe { channel: channel(name)?, number }, why))
}

impl Encode for Published {
    fn encode(&self, out: &mut Writer) {
        if let Some(position) = &self.position {
            out.message(1, position);
        }
    }
}

fn one_position(mut reader: Reader<'_>) -> Result<Option<Position>, DecodeErrorKind> {
    let mut at = None;
    while let Some(field) = reader.field()? {
        if let (1, Value::Length(value)) = field {
            at = Some(position(reader.nested(value))?);
        }
    }
    Ok(at)
}

impl Encode for HistoryPage {
    fn encode(&self, out: &mut Writer) {
        out.message(1, &self.position);
        for publication in &self.publications {
            out.message(2, publication);
        }
    }
}

fn history_page(mut reader: Reader<'_>) -> Result<HistoryPage, DecodeErrorKind> {
    let mut page = HistoryPage::default();
    while let Some(field) = reader.field()? {
        match field {
            (1, Value::Length(value)) => page.position = position(reader.nested(value))?,
            (2, Value::Length(value)) => push(&mut page.publications, publication(reader.nested(value))?)?,
            _ => {}
        }
    }
    Ok(page)
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

fn presence_list(mut reader: Reader<'_>) -> Result<PresenceList, DecodeErrorKind> {
    let mut list = PresenceList::default();
    while let Some(field) = reader.field()? {
        match field {
            (1, Value::Length(value)) => push(&mut list.members, member(reader.nested(value))?)?,
            (2, Value::Varint(value)) => list.sessions = narrow(value)?,
            (3, Value::Varint(value)) => list.users = narrow(value)?,
            _ => {}
        }
    }
    Ok(list)
}

impl Encode for Member {
    fn encode(&self, out: &mut Writer) {
        out.bytes(1, self.session.as_bytes());
        out.bytes(2, self.user.as_bytes());
        out.bytes(3, self.info.as_bytes());
    }
}

fn member(mut reader: Reader<'_>) -> Result<Member, DecodeErrorKind> {
    let mut member = Member::default();
    while let Some(field) = reader.field()? {
        match field {
            (1, Value::Length(value)) => member.session = text(value)?,
            (2, Value::Length(value)) => member.user = text(value)?,
            (3, Value::Length(value)) => member.info = text(value)?,
            _ => {}
        }
    }
    Ok(member)
}

impl Encode for Called {
    fn encode(&self, out: &mut Writer) {
        encode_payload(out, 1, &self.payload);
        out.uint(3, self.more.into());
    }
}

fn called(mut reader: Reader<'_>) -> Result<Called, DecodeErrorKind> {
    let (mut payload, mut more) = (Payload::default(), false);
    while let Some(field) = reader.field()? {
        match field {
            (1, Value::Varint(value)) => payload.content = content(value)?,
            (2, Value::Length(value)) => payload.data = reader.share(value),
            (3, Value::Varint(value)) => more = value != 0,
            _ => {}
        }
    }
    Ok(Called { payload, more })
}

impl Encode for Refreshed {
    fn encode(&self, out: &mut Writer) {
        out.uint(1, to_milliseconds(self.token_ttl).into());
    }
}

fn refreshed(mut reader: Reader<'_>) -> Result<Refreshed, DecodeErrorKind> {
    let mut refreshed = Refreshed::default();
    while let Some(field) = reader.field()? {
        if let (1, Value::Varint(value)) = field {
            refreshed.token_ttl = duration(value)?;
        }
    }
    Ok(refreshed)
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

fn publication(mut reader: Reader<'_>) -> Result<Publication, DecodeErrorKind> {
    let (mut name, mut payload, mut time, mut publisher, mut offset) =
        (&[][..], Payload::default(), 0, None, 0);
    while let Some(field) = reader.field()? {
        match field {
            (1, Value::Length(value)) => name = value,
            (2, Value::Varint(value)) => payload.content = content(value)?,
            (3, Value::Length(value)) => payload.data = reader.share(value),
            (4, Value::Varint(value)) => time = value,
            (5, Value::Length(value)) => publisher = Some(member(reader.nested(value))?),
            (6, Value::Varint(value)) => offset = value,
            _ => {}
        }
    }
    Ok(Publication { channel: channel(name)?, payload, time, publisher, offset })
}

impl Encode for Movement {
    fn encode(&self, out: &mut Writer) {
        out.bytes(1, self.channel.as_str().as_bytes());
        out.message(2, &self.member);
    }
}

fn movement(mut reader: Reader<'_>) -> Result<Movement, DecodeErrorKind> {
    let (mut name, mut who) = (&[][..], Member::default());
    while let Some(field) = reader.field()? {
        match field {
            (1, Value::Length(value)) => name = value,
            (2, Value::Length(value)) => who = member(reader.nested(value))?,
            _ => {}
        }
    }
    Ok(Movement { channel: channel(name)?, member: who })
}

impl Encode for Disconnect {
    fn encode(&self, out: &mut Writer) {
        out.uint(1, self.code.number().into());
        out.bytes(2, self.reason.as_bytes());
        out.optional(3, self.retry_after.map(u64::from));
    }
}

fn disconnect(mut reader: Reader<'_>) -> Result<Disconnect, DecodeErrorKind> {
    let (mut code, mut reason, mut retry_after) = (None, String::new(), None);
    while let Some(field) = reader.field()? {
        match field {
            (1, Value::Varint(value)) => code = u16::try_from(value).ok().and_then(CloseCode::new),
            (2, Value::Length(value)) => reason = text(value)?,
            (3, Value::Varint(value)) => retry_after = Some(narrow(value)?),
            _ => {}
        }
    }
    Ok(Disconnect { code: code.ok_or(DecodeErrorKind::Field)?, reason, retry_after })
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

fn alarm(mut reader: Reader<'_>) -> Result<Alarm, DecodeErrorKind> {
    let (mut id, mut name, mut payload) = (String::new(), &[][..], Payload::default());
    let (mut time, mut ttl, mut withdrawn) = (0, Duration::ZERO, false);
    while let Some(field) = reader.field()? {
        match field {
            (1, Value::Length(value)) => id = text(value)?,
            (2, Value::Length(value)) => name = value,
            (3, Value::Varint(value)) => payload.content = content(value)?,
            (4, Value::Length(value)) => payload.data = reader.share(value),
            (5, Value::Varint(value)) => time = value,
            (6, Value::Varint(value)) => ttl = duration(value)?,
            (7, Value::Varint(value)) => withdrawn = value != 0,
            _ => {}
        }
    }
    Ok(Alarm { id, channel: channel(name)?, payload, time, ttl, withdrawn })
}
