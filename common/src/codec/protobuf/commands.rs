//! What clients send.

use super::fields::{Decoder, Failure, Fields};
use super::values::{contract_id, encode_payload, position};
use crate::Bytes;
use crate::codec::DecodeErrorKind;
use crate::codec::wire::{Encode, Field, Reader, WIRE_LENGTH, WIRE_VARINT, Writer};
use crate::frame::{
    Acknowledge, Call, Cancel, Command, Connect, History, Presence, Publish, Refresh, Request, Subscribe,
    Unsubscribe,
};

pub(in crate::codec) fn decode_command(message: &Bytes, part: &[u8]) -> Result<Command, DecodeErrorKind> {
    let mut reader = Reader::new(part);
    let mut id = 0;
    let mut body = None;
    while let Some(Field { number, wire, value, part }) = reader.field()? {
        match (number, wire) {
            (1, WIRE_VARINT) => id = u32::try_from(value).map_err(|_| DecodeErrorKind::Range)?,
            // A field of a newer protocol may stand behind the body: it must not take the body's place.
            (2..=11, WIRE_LENGTH) => body = Some((number, part)),
            _ => {}
        }
    }
    let Some((number, body)) = body else { return Ok(Command { id, request: Request::Unknown }) };
    let decoder = Decoder::new(message);
    let fields = &decoder.fields(body);
    let request = match number {
        2 => Request::Connect(connect(fields)),
        3 => Request::Subscribe(subscribe(fields)),
        4 => Request::Unsubscribe(unsubscribe(fields)),
        5 => Request::Publish(publish(fields)),
        6 => Request::History(history(fields)),
        7 => Request::Presence(presence(fields)),
        8 => Request::Call(call(fields)),
        9 => Request::Cancel(Cancel { command: fields.narrow(1) }),
        10 => Request::Refresh(Refresh { token: fields.text(1) }),
        _ => Request::Acknowledge(acknowledge(fields)),
    };
    // What is a message but asks for what can't be is answered; a broken frame ends the connection.
    let request = match decoder.failure() {
        None => request,
        Some(Failure::Request(why)) => Request::Invalid(why.into()),
        Some(Failure::Frame(DecodeErrorKind::TooMany)) => {
            Request::Invalid("a list has too many entries: send it in parts".into())
        }
        Some(Failure::Frame(error)) => return Err(error),
    };
    Ok(Command { id, request })
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

fn connect(fields: &Fields<'_>) -> Connect {
    Connect {
        token: fields.text(1),
        client: fields.text(2),
        version: fields.text(3),
        contract: fields.nested(4, contract_id),
        subscriptions: fields.each(5, subscribe),
    }
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

fn subscribe(fields: &Fields<'_>) -> Subscribe {
    Subscribe { channel: fields.channel(1), number: fields.narrow(2), position: fields.nested(3, position) }
}

impl Encode for Unsubscribe {
    fn encode(&self, out: &mut Writer) {
        out.bytes(1, self.channel.as_str().as_bytes());
        out.uint(2, self.number.into());
    }
}

pub(super) fn unsubscribe(fields: &Fields<'_>) -> Unsubscribe {
    Unsubscribe { channel: fields.channel(1), number: fields.narrow(2) }
}

impl Encode for Publish {
    fn encode(&self, out: &mut Writer) {
        out.bytes(1, self.channel.as_str().as_bytes());
        encode_payload(out, 2, &self.payload);
        out.bytes(4, self.key.as_bytes());
    }
}

fn publish(fields: &Fields<'_>) -> Publish {
    Publish { channel: fields.channel(1), payload: fields.payload(2), key: fields.text(4) }
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

fn history(fields: &Fields<'_>) -> History {
    History {
        channel: fields.channel(1),
        since: fields.nested(2, position),
        limit: fields.narrow(3),
        reverse: fields.flag(4),
    }
}

impl Encode for Presence {
    fn encode(&self, out: &mut Writer) {
        out.bytes(1, self.channel.as_str().as_bytes());
        out.uint(2, self.counts_only.into());
    }
}

fn presence(fields: &Fields<'_>) -> Presence {
    Presence { channel: fields.channel(1), counts_only: fields.flag(2) }
}

impl Encode for Call {
    fn encode(&self, out: &mut Writer) {
        out.bytes(1, self.name.as_bytes());
        encode_payload(out, 2, &self.payload);
        out.bytes(4, self.key.as_bytes());
    }
}

fn call(fields: &Fields<'_>) -> Call {
    Call { name: fields.text(1), payload: fields.payload(2), key: fields.text(4) }
}

impl Encode for Cancel {
    fn encode(&self, out: &mut Writer) {
        out.uint(1, self.command.into());
    }
}

impl Encode for Refresh {
    fn encode(&self, out: &mut Writer) {
        out.bytes(1, self.token.as_bytes());
    }
}

impl Encode for Acknowledge {
    fn encode(&self, out: &mut Writer) {
        out.bytes(1, self.alarm.as_bytes());
        out.uint(2, self.received_only.into());
    }
}

fn acknowledge(fields: &Fields<'_>) -> Acknowledge {
    Acknowledge { alarm: fields.text(1), received_only: fields.flag(2) }
}
