//! What clients send.

use alloc::string::String;

use bytes::Bytes;

use super::Invalid;
use super::frames::unsubscribed;
use super::values::{channel, content, contract_id, encode_payload, narrow, position, push, text};
use crate::Payload;
use crate::codec::DecodeErrorKind;
use crate::codec::wire::{Encode, Reader, Value, Writer};
use crate::frame::{
    Acknowledge, Call, Cancel, Command, Connect, History, Presence, Publish, Refresh, Request, Subscribe,
    Unsubscribe,
};

pub(in crate::codec) fn decode_command(message: &Bytes, part: &[u8]) -> Result<Command, DecodeErrorKind> {
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
            11 => acknowledge(body).map(Request::Acknowledge),
            _ => continue,
        };
        command.request = request.or_else(Invalid::into_request)?;
    }
    Ok(command)
}

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
            Request::Acknowledge(body) => out.message(11, body),
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
        out.uint(2, self.counts_only.into());
    }
}

fn presence(mut reader: Reader<'_>) -> Result<Presence, Invalid> {
    let (mut name, mut counts_only) = (&[][..], false);
    while let Some(field) = reader.field()? {
        match field {
            (1, Value::Length(value)) => name = value,
            (2, Value::Varint(value)) => counts_only = value != 0,
            _ => {}
        }
    }
    Ok(Presence { channel: channel(name)?, counts_only })
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

impl Encode for Acknowledge {
    fn encode(&self, out: &mut Writer) {
        out.bytes(1, self.alarm.as_bytes());
        out.uint(2, self.received_only.into());
    }
}

fn acknowledge(mut reader: Reader<'_>) -> Result<Acknowledge, Invalid> {
    let mut acknowledge = Acknowledge { alarm: String::new(), received_only: false };
    while let Some(field) = reader.field()? {
        match field {
            (1, Value::Length(value)) => acknowledge.alarm = text(value)?,
            (2, Value::Varint(value)) => acknowledge.received_only = value != 0,
            _ => {}
        }
    }
    Ok(acknowledge)
}
