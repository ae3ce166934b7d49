//! What clients send.

use super::fields::{Decoder, Failure, Fields};
use super::values::{contract_id, position};
use crate::Bytes;
use crate::codec::DecodeErrorKind;
use crate::codec::wire::{Field, Reader, WIRE_LENGTH, WIRE_VARINT};
use crate::compose::{self, Client, Subscriptions};
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

pub(in crate::codec) fn encode_command(Command { id, request }: &Command) -> Bytes {
    let id = *id;
    match request {
        Request::Connect(Connect { token, client, version, contract, subscriptions }) => {
            let contract = contract.as_ref().map(|contract| (contract.name.as_str(), contract.hash));
            let mut restored = Subscriptions::default();
            for Subscribe { channel, number, position } in subscriptions {
                restored.push(channel, *number, position.as_ref());
            }
            compose::connect(id, Client { token, client, version, contract }, &restored)
        }
        Request::Subscribe(Subscribe { channel, number, position }) => {
            compose::subscribe(id, channel, *number, position.as_ref())
        }
        Request::Unsubscribe(Unsubscribe { channel, number }) => compose::unsubscribe(id, channel, *number),
        Request::Publish(Publish { channel, payload, key }) => {
            compose::publish(id, channel, payload.into(), key)
        }
        Request::History(history) => compose::history(id, history),
        Request::Presence(Presence { channel, counts_only }) => compose::presence(id, channel, *counts_only),
        Request::Call(Call { name, payload, key }) => compose::call(id, name, payload.into(), key),
        Request::Cancel(Cancel { command }) => compose::cancel(id, *command),
        Request::Refresh(Refresh { token }) => compose::refresh(id, token),
        Request::Acknowledge(Acknowledge { alarm, received_only }) => {
            compose::acknowledge(id, alarm, *received_only)
        }
        Request::Invalid(_) | Request::Unknown => compose::nothing(id),
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

fn subscribe(fields: &Fields<'_>) -> Subscribe {
    Subscribe { channel: fields.channel(1), number: fields.narrow(2), position: fields.nested(3, position) }
}

pub(super) fn unsubscribe(fields: &Fields<'_>) -> Unsubscribe {
    Unsubscribe { channel: fields.channel(1), number: fields.narrow(2) }
}

fn publish(fields: &Fields<'_>) -> Publish {
    Publish { channel: fields.channel(1), payload: fields.payload(2), key: fields.text(4) }
}

fn history(fields: &Fields<'_>) -> History {
    History {
        channel: fields.channel(1),
        since: fields.nested(2, position),
        limit: fields.narrow(3),
        reverse: fields.flag(4),
    }
}

fn presence(fields: &Fields<'_>) -> Presence {
    Presence { channel: fields.channel(1), counts_only: fields.flag(2) }
}

fn call(fields: &Fields<'_>) -> Call {
    Call { name: fields.text(1), payload: fields.payload(2), key: fields.text(4) }
}

fn acknowledge(fields: &Fields<'_>) -> Acknowledge {
    Acknowledge { alarm: fields.text(1), received_only: fields.flag(2) }
}
