//! `wirehub.v1.protobuf`: the messages of `proto/wirehub.proto`, written and read by hand.
//!
//! Unknown fields and wire types that do not fit a known field are passed over, as Protocol Buffers asks for.

use bytes::Bytes;

use super::wire::Writer;
use super::{DecodeError, DecodeErrorKind};
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
