//! `wirehub.v1.protobuf`: the messages of `proto/wirehub.proto`, written and read by hand.
//!
//! Unknown fields and wire types that do not fit a known field are passed over, as Protocol Buffers asks for.

use bytes::Bytes;

use super::DecodeErrorKind;
use super::wire::Writer;
use crate::frame::{Command, Request, ServerFrame};

mod commands;
mod frames;
mod values;

pub(super) use commands::decode_command;
pub(super) use frames::decode_frame;

pub(super) fn encode_command(command: &Command) -> Bytes {
    Writer::delimited(command)
}

pub(super) fn encode_frame(frame: &ServerFrame) -> Bytes {
    Writer::delimited(frame)
}

/// A request that is a protobuf message but asks for what can't be: answered, where a broken frame ends the connection.
enum Invalid {
    /// Why, for people.
    Request(&'static str),
    Frame(DecodeErrorKind),
}

impl Invalid {
    fn into_request(self) -> Result<Request, DecodeErrorKind> {
        match self {
            Self::Request(why) => Ok(Request::Invalid(why.into())),
            Self::Frame(error) => Err(error),
        }
    }
}

impl From<DecodeErrorKind> for Invalid {
    fn from(error: DecodeErrorKind) -> Self {
        match error {
            DecodeErrorKind::TooMany => Self::Request("a list has too many entries: send it in parts"),
            _ => Self::Frame(error),
        }
    }
}

impl From<Invalid> for DecodeErrorKind {
    fn from(invalid: Invalid) -> Self {
        match invalid {
            Invalid::Request(_) => DecodeErrorKind::Field,
            Invalid::Frame(error) => error,
        }
    }
}
