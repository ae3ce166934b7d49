//! What clients send.

use super::check::{self, Envelope, Fault};
use super::message::Message;
use super::shapes;
use crate::codec::DecodeErrorKind;
use crate::compose::{self, Client, Subscriptions};
use crate::frame::{
    Acknowledge, Call, Cancel, Command, Connect, History, Part, Position, Presence, Publish, Refresh,
    Request, Subscribe, Unsubscribe,
};
use crate::{Bytes, ChannelName, view};

pub(in crate::codec) fn decode_command(message: &Bytes, part: &[u8]) -> Result<Command, DecodeErrorKind> {
    let Envelope { id, number, body } = check::envelope(part, shapes::READ_PART)?;
    // What can be read but asks for what can't be is answered; a broken frame ends the connection.
    let request = match check::message(shapes::COMMANDS, number, body) {
        Ok(()) => read(number, Message::new(body), message),
        Err(Fault::Channel(error)) => Request::Invalid(error.as_str().into()),
        Err(Fault::Content) => {
            Request::Invalid("the content tag is unknown: use json, bytes or custom".into())
        }
        Err(Fault::Frame(DecodeErrorKind::TooMany)) => {
            Request::Invalid("a list has too many entries: send it in parts".into())
        }
        Err(Fault::Frame(error)) => return Err(error),
    };
    Ok(Command { id, request })
}

/// Reads a checked body. `message` is what it is in.
fn read(number: u8, fields: Message<'_>, message: &Bytes) -> Request {
    let text = |number| fields.text(number).into();
    let channel = || ChannelName::checked(fields.text(1));
    match number {
        shapes::CONNECT => Request::Connect(Connect {
            token: text(1),
            client: text(2),
            version: text(3),
            contract: fields.message(4).map(|id| view::ContractId(id).read()),
            subscriptions: fields.messages(5).map(subscribe).collect(),
            instance: text(6),
        }),
        shapes::SUBSCRIBE => Request::Subscribe(subscribe(fields)),
        shapes::UNSUBSCRIBE => {
            Request::Unsubscribe(Unsubscribe { channel: channel(), number: fields.narrow(2) })
        }
        shapes::PUBLISH => Request::Publish(Publish {
            channel: channel(),
            payload: view::Payload::of(fields, 2).read(message),
            key: text(4),
        }),
        shapes::READ_HISTORY => Request::History(History {
            channel: channel(),
            since: fields.message(2).map(position),
            limit: fields.narrow(3),
            reverse: fields.flag(4),
        }),
        shapes::READ_PRESENCE => {
            Request::Presence(Presence { channel: channel(), counts_only: fields.flag(2), after: text(3) })
        }
        shapes::CALL => Request::Call(Call {
            name: text(1),
            payload: view::Payload::of(fields, 2).read(message),
            key: text(4),
        }),
        shapes::CANCEL => Request::Cancel(Cancel { command: fields.narrow(1) }),
        shapes::REFRESH => Request::Refresh(Refresh { token: text(1) }),
        shapes::ACKNOWLEDGE => {
            Request::Acknowledge(Acknowledge { alarm: text(1), received_only: fields.flag(2) })
        }
        shapes::READ_PART => Request::Part(view::Part(fields).read(message)),
        _ => Request::Unknown,
    }
}

fn subscribe(fields: Message<'_>) -> Subscribe {
    Subscribe {
        channel: ChannelName::checked(fields.text(1)),
        number: fields.narrow(2),
        position: fields.message(3).map(position),
    }
}

fn position(fields: Message<'_>) -> Position {
    view::Position(fields).read()
}

pub(in crate::codec) fn encode_command(Command { id, request }: &Command) -> Bytes {
    let id = *id;
    match request {
        Request::Connect(Connect { token, client, version, contract, subscriptions, instance }) => {
            let contract = contract.as_ref().map(|contract| (contract.name.as_str(), contract.hash));
            let mut restored = Subscriptions::default();
            for Subscribe { channel, number, position } in subscriptions {
                restored.push(channel, *number, position.as_ref());
            }
            compose::connect(id, Client { token, client, version, contract, instance }, &restored)
        }
        Request::Subscribe(Subscribe { channel, number, position }) => {
            compose::subscribe(id, channel, *number, position.as_ref())
        }
        Request::Unsubscribe(Unsubscribe { channel, number }) => compose::unsubscribe(id, channel, *number),
        Request::Publish(Publish { channel, payload, key }) => {
            compose::publish(id, channel, payload.into(), key)
        }
        Request::History(history) => compose::history(id, history),
        Request::Presence(Presence { channel, counts_only, after }) => {
            compose::presence(id, channel, *counts_only, after)
        }
        Request::Call(Call { name, payload, key }) => compose::call(id, name, payload.into(), key),
        Request::Cancel(Cancel { command }) => compose::cancel(id, *command),
        Request::Refresh(Refresh { token }) => compose::refresh(id, token),
        Request::Acknowledge(Acknowledge { alarm, received_only }) => {
            compose::acknowledge(id, alarm, *received_only)
        }
        Request::Part(Part { stream, data, left }) => compose::numbered_part(id, *stream, data, *left),
        Request::Invalid(_) | Request::Unknown => compose::nothing(id),
    }
}
