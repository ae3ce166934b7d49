//! `wirehub.v1.protobuf`: the messages of `proto/wirehub.proto`, written and read by hand.
//!
//! Unknown fields and wire types that do not fit a known field are passed over, as Protocol Buffers asks for.

use std::time::Duration;

use bytes::Bytes;

use super::wire::{Encode, Reader, Value, Writer};
use super::{DecodeError, DecodeErrorKind};
use crate::code::{CloseCode, ErrorCode};
use crate::contract::ContractHash;
use crate::frame::{
    Answer, Call, Called, Cancel, Command, Connect, Connected, ContractDigest, ContractId, Disconnect,
    ErrorInfo, History, HistoryPage, Member, Movement, Position, Presence, PresenceList, Publication,
    Publish, Published, Push, Refresh, Reply, Request, ServerFrame, Subscribe, SubscribeOutcome, Subscribed,
    Unsubscribe, Unsubscribed,
};
use crate::{ChannelName, Content, Limits, Payload};

pub(super) fn encode_command(command: &Command) -> Bytes {
    Writer::delimited(command)
}

pub(super) fn encode_frame(frame: &ServerFrame) -> Bytes {
    Writer::delimited(frame)
}

pub(super) fn decode_command(message: &Bytes, part: &[u8]) -> Result<Command, DecodeError> {
    let mut reader = Reader::new(message, part);
    let mut command = Command { id: 0, request: Request::Unknown };
    while let Some((number, value)) = reader.field()? {
        let body = match (number, value) {
            (1, Value::Varint(id)) => {
                command.id = narrow(id)?;
                continue;
            }
            (_, Value::Length(body)) => reader.nested(body),
            _ => continue,
        };
        let request = match number {
            2 => connect(body).map(Request::Connect),
            3 => subscribe(body).map(Request::Subscribe),
            4 => unsubscribed(body).map(|(end, _)| Request::Unsubscribe(end)),
            5 => publish(body).map(Request::Publish),
            6 => history(body).map(Request::History),
            7 => presence(body).map(Request::Presence),
            8 => call(body).map(Request::Call),
            9 => cancel(body).map(Request::Cancel),
            10 => refresh(body).map(Request::Refresh),
            _ => continue,
        };
        command.request = request.or_else(Invalid::into_request)?;
    }
    Ok(command)
}

pub(super) fn decode_frame(message: &Bytes, part: &[u8]) -> Result<ServerFrame, DecodeError> {
    let mut reader = Reader::new(message, part);
    let mut id = 0;
    let mut body = None;
    while let Some((number, value)) = reader.field()? {
        match (number, value) {
            (1, Value::Varint(value)) => id = narrow(value)?,
            // A field of a newer protocol may stand behind the body: it must not take the body's place.
            (2..=16, Value::Length(value)) => body = Some((number, value)),
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
            _ => Push::Unknown,
        })
    } else {
        let result = match number {
            3 => Err(error(body)?),
            4 => Ok(Answer::Connected(connected(body)?)),
            5 => Ok(Answer::Subscribed(subscribed(body)?)),
            6 => Ok(Answer::Unsubscribed(unsubscribed(body)?.0)),
            7 => Ok(Answer::Published(Published { position: one_position(body)? })),
            8 => Ok(Answer::History(history_page(body)?)),
            9 => Ok(Answer::Presence(presence_list(body)?)),
            10 => Ok(Answer::Called(called(body)?)),
            11 => Ok(Answer::Cancelled),
            12 => Ok(Answer::Refreshed),
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

/// A request that is a protobuf message but asks for what can't be: answered, where a broken frame ends the connection.
enum Invalid {
    /// Why, for people.
    Request(&'static str),
    Frame(DecodeError),
}

impl Invalid {
    fn into_request(self) -> Result<Request, DecodeError> {
        match self {
            Self::Request(why) => Ok(Request::Invalid(why.into())),
            Self::Frame(error) => Err(error),
        }
    }
}

impl From<DecodeError> for Invalid {
    fn from(error: DecodeError) -> Self {
        match error.kind() {
            DecodeErrorKind::TooMany => Self::Request("a list has too many entries: send it in parts"),
            _ => Self::Frame(error),
        }
    }
}

impl From<DecodeErrorKind> for Invalid {
    fn from(kind: DecodeErrorKind) -> Self {
        Self::Frame(kind.into())
    }
}

impl From<Invalid> for DecodeError {
    fn from(invalid: Invalid) -> Self {
        match invalid {
            Invalid::Request(_) => DecodeErrorKind::Field.into(),
            Invalid::Frame(error) => error,
        }
    }
}

// --- commands -------------------------------------------------------------------------------------------------

impl Encode for Command {
    fn encode(&self, out: &mut Writer) {
        out.uint(1, self.id.into());
        match &self.request {
            Request::Connect(body) => out.message(2, body),
            Request::Subscribe(body) => out.message(3, body),
            Request::Unsubscribe(body) => out.message(4, body),
            Request::Publish(body) => out.message(5, body),
            Request::History(body) => out.message(6, body),
            Request::Presence(body) => out.message(7, body),
            Request::Call(body) => out.message(8, body),
            Request::Cancel(body) => out.message(9, body),
            Request::Refresh(body) => out.message(10, body),
            Request::Invalid(_) | Request::Unknown => {}
        }
    }
}

impl Encode for Connect {
    fn encode(&self, out: &mut Writer) {
        out.bytes(1, self.token.as_bytes());
        out.bytes(2, self.client.as_bytes());
        out.bytes(3, self.version.as_bytes());
        if let Some(contract) = &self.contract {
            out.message(4, contract);
        }
        for subscription in &self.subscriptions {
            out.message(5, subscription);
        }
    }
}

fn connect(mut reader: Reader<'_>) -> Result<Connect, Invalid> {
    let mut connect = Connect::default();
    while let Some(field) = reader.field()? {
        match field {
            (1, Value::Length(value)) => connect.token = text(value)?,
            (2, Value::Length(value)) => connect.client = text(value)?,
            (3, Value::Length(value)) => connect.version = text(value)?,
            (4, Value::Length(value)) => connect.contract = Some(contract_id(reader.nested(value))?),
            (5, Value::Length(value)) => push(&mut connect.subscriptions, subscribe(reader.nested(value))?)?,
            _ => {}
        }
    }
    Ok(connect)
}

impl Encode for ContractId {
    fn encode(&self, out: &mut Writer) {
        out.bytes(1, self.name.as_bytes());
        out.fixed64(2, self.hash.0);
    }
}

fn contract_id(mut reader: Reader<'_>) -> Result<ContractId, DecodeError> {
    let mut id = ContractId { name: String::new(), hash: ContractHash::default() };
    while let Some(field) = reader.field()? {
        match field {
            (1, Value::Length(value)) => id.name = text(value)?,
            (2, Value::Fixed64(value)) => id.hash = ContractHash(value),
            _ => {}
        }
    }
    Ok(id)
}

impl Encode for Subscribe {
    fn encode(&self, out: &mut Writer) {
        out.bytes(1, self.channel.as_str().as_bytes());
        out.uint(2, self.number.into());
        if let Some(position) = &self.position {
            out.message(3, position);
        }
    }
}

fn subscribe(mut reader: Reader<'_>) -> Result<Subscribe, Invalid> {
    let (mut name, mut number, mut from) = (&[][..], 0, None);
    while let Some(field) = reader.field()? {
        match field {
            (1, Value::Length(value)) => name = value,
            (2, Value::Varint(value)) => number = narrow(value)?,
            (3, Value::Length(value)) => from = Some(position(reader.nested(value))?),
            _ => {}
        }
    }
    Ok(Subscribe { channel: channel(name)?, number, position: from })
}

impl Encode for Position {
    fn encode(&self, out: &mut Writer) {
        out.uint(1, self.offset);
        out.bytes(2, self.epoch.as_bytes());
    }
}

fn position(mut reader: Reader<'_>) -> Result<Position, DecodeError> {
    let mut position = Position::default();
    while let Some(field) = reader.field()? {
        match field {
            (1, Value::Varint(value)) => position.offset = value,
            (2, Value::Length(value)) => position.epoch = text(value)?,
            _ => {}
        }
    }
    Ok(position)
}

impl Encode for Unsubscribe {
    fn encode(&self, out: &mut Writer) {
        out.bytes(1, self.channel.as_str().as_bytes());
        out.uint(2, self.number.into());
    }
}

impl Encode for Publish {
    fn encode(&self, out: &mut Writer) {
        out.bytes(1, self.channel.as_str().as_bytes());
        encode_payload(out, 2, &self.payload);
        out.bytes(4, self.key.as_bytes());
    }
}

fn publish(mut reader: Reader<'_>) -> Result<Publish, Invalid> {
    let (mut name, mut payload, mut key) = (&[][..], Payload::default(), String::new());
    while let Some(field) = reader.field()? {
        match field {
            (1, Value::Length(value)) => name = value,
            (2, Value::Varint(value)) => payload.content = content(value)?,
            (3, Value::Length(value)) => payload.data = reader.share(value),
            (4, Value::Length(value)) => key = text(value)?,
            _ => {}
        }
    }
    Ok(Publish { channel: channel(name)?, payload, key })
}

impl Encode for History {
    fn encode(&self, out: &mut Writer) {
        out.bytes(1, self.channel.as_str().as_bytes());
        if let Some(since) = &self.since {
            out.message(2, since);
        }
        out.uint(3, self.limit.into());
        out.uint(4, self.reverse.into());
    }
}

fn history(mut reader: Reader<'_>) -> Result<History, Invalid> {
    let (mut name, mut since, mut limit, mut reverse) = (&[][..], None, 0, false);
    while let Some(field) = reader.field()? {
        match field {
            (1, Value::Length(value)) => name = value,
            (2, Value::Length(value)) => since = Some(position(reader.nested(value))?),
            (3, Value::Varint(value)) => limit = narrow(value)?,
            (4, Value::Varint(value)) => reverse = value != 0,
            _ => {}
        }
    }
    Ok(History { channel: channel(name)?, since, limit, reverse })
}

impl Encode for Presence {
    fn encode(&self, out: &mut Writer) {
        out.bytes(1, self.channel.as_str().as_bytes());
    }
}

fn presence(mut reader: Reader<'_>) -> Result<Presence, Invalid> {
    let mut name = &[][..];
    while let Some(field) = reader.field()? {
        if let (1, Value::Length(value)) = field {
            name = value;
        }
    }
    Ok(Presence { channel: channel(name)? })
}

impl Encode for Call {
    fn encode(&self, out: &mut Writer) {
        out.bytes(1, self.name.as_bytes());
        encode_payload(out, 2, &self.payload);
    }
}

fn call(mut reader: Reader<'_>) -> Result<Call, Invalid> {
    let (mut name, mut payload) = (String::new(), Payload::default());
    while let Some(field) = reader.field()? {
        match field {
            (1, Value::Length(value)) => name = text(value)?,
            (2, Value::Varint(value)) => payload.content = content(value)?,
            (3, Value::Length(value)) => payload.data = reader.share(value),
            _ => {}
        }
    }
    Ok(Call { name, payload })
}

impl Encode for Cancel {
    fn encode(&self, out: &mut Writer) {
        out.uint(1, self.command.into());
    }
}

fn cancel(mut reader: Reader<'_>) -> Result<Cancel, Invalid> {
    let mut cancel = Cancel { command: 0 };
    while let Some(field) = reader.field()? {
        if let (1, Value::Varint(value)) = field {
            cancel.command = narrow(value)?;
        }
    }
    Ok(cancel)
}

impl Encode for Refresh {
    fn encode(&self, out: &mut Writer) {
        out.bytes(1, self.token.as_bytes());
    }
}

fn refresh(mut reader: Reader<'_>) -> Result<Refresh, Invalid> {
    let mut refresh = Refresh { token: String::new() };
    while let Some(field) = reader.field()? {
        if let (1, Value::Length(value)) = field {
            refresh.token = text(value)?;
        }
    }
    Ok(refresh)
}

// --- the server's frames --------------------------------------------------------------------------------------

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
                    Ok(Answer::Connected(body)) => out.message(4, body),
                    Ok(Answer::Subscribed(body)) => out.message(5, body),
                    Ok(Answer::Unsubscribed(body)) => out.message(6, body),
                    Ok(Answer::Published(body)) => out.message(7, body),
                    Ok(Answer::History(body)) => out.message(8, body),
                    Ok(Answer::Presence(body)) => out.message(9, body),
                    Ok(Answer::Called(body)) => out.message(10, body),
                    Ok(Answer::Cancelled) => out.message(11, &Empty),
                    Ok(Answer::Refreshed) => out.message(12, &Empty),
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

fn error(mut reader: Reader<'_>) -> Result<ErrorInfo, DecodeError> {
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
    }
}

fn connected(mut reader: Reader<'_>) -> Result<Connected, DecodeError> {
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
            _ => {}
        }
    }
    Ok(connected)
}

impl Encode for Limits {
    fn encode(&self, out: &mut Writer) {
        out.uint(1, self.message_bytes.into());
        out.uint(2, self.channels.into());
        out.uint(3, self.calls.into());
        out.uint(4, milliseconds(self.ping_interval));
        out.uint(5, milliseconds(self.reconnect_window));
    }
}

fn limits(mut reader: Reader<'_>) -> Result<Limits, DecodeError> {
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

fn contract_digest(mut reader: Reader<'_>) -> Result<ContractDigest, DecodeError> {
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

fn subscribe_outcome(mut reader: Reader<'_>) -> Result<SubscribeOutcome, DecodeError> {
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

fn subscribed(mut reader: Reader<'_>) -> Result<Subscribed, DecodeError> {
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
fn unsubscribed(mut reader: Reader<'_>) -> Result<(Unsubscribe, Option<ErrorInfo>), Invalid> {
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

fn one_position(mut reader: Reader<'_>) -> Result<Option<Position>, DecodeError> {
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

fn history_page(mut reader: Reader<'_>) -> Result<HistoryPage, DecodeError> {
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
    }
}

fn presence_list(mut reader: Reader<'_>) -> Result<PresenceList, DecodeError> {
    let mut list = PresenceList::default();
    while let Some(field) = reader.field()? {
        if let (1, Value::Length(value)) = field {
            push(&mut list.members, member(reader.nested(value))?)?;
        }
    }
    Ok(list)
}

impl Encode for Member {
    fn encode(&self, out: &mut Writer) {
        out.bytes(1, self.session.as_bytes());
        out.bytes(2, self.user.as_bytes());
    }
}

fn member(mut reader: Reader<'_>) -> Result<Member, DecodeError> {
    let mut member = Member::default();
    while let Some(field) = reader.field()? {
        match field {
            (1, Value::Length(value)) => member.session = text(value)?,
            (2, Value::Length(value)) => member.user = text(value)?,
            _ => {}
        }
    }
    Ok(member)
}

impl Encode for Called {
    fn encode(&self, out: &mut Writer) {
        encode_payload(out, 1, &self.payload);
    }
}

fn called(mut reader: Reader<'_>) -> Result<Called, DecodeError> {
    let mut payload = Payload::default();
    while let Some(field) = reader.field()? {
        match field {
            (1, Value::Varint(value)) => payload.content = content(value)?,
            (2, Value::Length(value)) => payload.data = reader.share(value),
            _ => {}
        }
    }
    Ok(Called { payload })
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

fn publication(mut reader: Reader<'_>) -> Result<Publication, DecodeError> {
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

fn movement(mut reader: Reader<'_>) -> Result<Movement, DecodeError> {
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

fn disconnect(mut reader: Reader<'_>) -> Result<Disconnect, DecodeError> {
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

// --- values ---------------------------------------------------------------------------------------------------

/// The content tag in `field`, the data in the one after it.
fn encode_payload(out: &mut Writer, field: u32, payload: &Payload) {
    out.uint(field, payload.content as u64);
    out.bytes(field.saturating_add(1), &payload.data);
}

fn channel(name: &[u8]) -> Result<ChannelName, Invalid> {
    let name = std::str::from_utf8(name).map_err(|_| DecodeErrorKind::Utf8)?;
    ChannelName::new(name).map_err(|error| Invalid::Request(error.as_str()))
}

fn text(value: &[u8]) -> Result<String, DecodeError> {
    std::str::from_utf8(value).map(Into::into).map_err(|_| DecodeErrorKind::Utf8.into())
}

fn content(number: u64) -> Result<Content, Invalid> {
    Content::from_number(number)
        .ok_or(Invalid::Request("the content tag is unknown: use json, bytes or custom"))
}

fn narrow(value: u64) -> Result<u32, DecodeError> {
    u32::try_from(value).map_err(|_| DecodeErrorKind::Range.into())
}

fn duration(milliseconds: u64) -> Result<Duration, DecodeError> {
    narrow(milliseconds).map(|value| Duration::from_millis(value.into()))
}

/// Times on the wire are 32-bit numbers of milliseconds: 49 days stand for all that is longer.
fn milliseconds(duration: Duration) -> u64 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX).into()
}

fn push<T>(list: &mut Vec<T>, entry: T) -> Result<(), DecodeError> {
    if list.len() >= Limits::REPEATED {
        return Err(DecodeErrorKind::TooMany.into());
    }
    list.push(entry);
    Ok(())
}
