//! The decoding of commands.

use super::check::{self, Envelope, Fault};
use super::field::MessageType;
use super::message::Message;
use super::shapes;
use crate::Bytes;
use crate::codec::DecodeErrorKind;
use crate::codec::wire::{Encode, Writer};
use crate::frame::{Command, Request};

pub(in crate::codec) fn decode_command(message: &Bytes, part: &[u8]) -> Result<Command, DecodeErrorKind> {
    let Envelope { id, number, body } = check::envelope(part, shapes::READ_PART)?;
    // A readable command with an invalid value gets an error as its reply. A broken frame ends the connection.
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

/// Reads a checked body. `message` is the frame that contains it.
fn read(number: u8, body: Message<'_>, message: &Bytes) -> Request {
    match number {
        shapes::CONNECT => Request::Connect(MessageType::read(body, message)),
        shapes::SUBSCRIBE => Request::Subscribe(MessageType::read(body, message)),
        shapes::UNSUBSCRIBE => Request::Unsubscribe(MessageType::read(body, message)),
        shapes::PUBLISH => Request::Publish(MessageType::read(body, message)),
        shapes::READ_HISTORY => Request::History(MessageType::read(body, message)),
        shapes::READ_PRESENCE => Request::Presence(MessageType::read(body, message)),
        shapes::CALL => Request::Call(MessageType::read(body, message)),
        shapes::CANCEL => Request::Cancel(MessageType::read(body, message)),
        shapes::REFRESH => Request::Refresh(MessageType::read(body, message)),
        shapes::ACKNOWLEDGE => Request::Acknowledge(MessageType::read(body, message)),
        shapes::READ_PART => Request::Part(MessageType::read(body, message)),
        _ => Request::Unknown,
    }
}

impl Encode for Command {
    fn encode(&self, out: &mut Writer) {
        out.uint(1, self.id.into());
        match &self.request {
            Request::Connect(body) => out.message(shapes::CONNECT.into(), body),
            Request::Subscribe(body) => out.message(shapes::SUBSCRIBE.into(), body),
            Request::Unsubscribe(body) => out.message(shapes::UNSUBSCRIBE.into(), body),
            Request::Publish(body) => out.message(shapes::PUBLISH.into(), body),
            Request::History(body) => out.message(shapes::READ_HISTORY.into(), body),
            Request::Presence(body) => out.message(shapes::READ_PRESENCE.into(), body),
            Request::Call(body) => out.message(shapes::CALL.into(), body),
            Request::Cancel(body) => out.message(shapes::CANCEL.into(), body),
            Request::Refresh(body) => out.message(shapes::REFRESH.into(), body),
            Request::Acknowledge(body) => out.message(shapes::ACKNOWLEDGE.into(), body),
            Request::Part(body) => out.message(shapes::READ_PART.into(), body),
            Request::Invalid(_) | Request::Unknown => {}
        }
    }
}
