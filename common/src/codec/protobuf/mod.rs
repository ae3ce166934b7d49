//! `wirehub.v1.protobuf`: the messages of `proto/wirehub.proto`, written and read by hand.
//!
//! Unknown fields and wire types that do not fit a known field are passed over, as Protocol Buffers asks for.

use super::wire::Writer;
use crate::Bytes;
use crate::frame::ServerFrame;

pub(crate) mod check;
mod commands;
mod frames;
pub(crate) mod message;
pub(crate) mod shapes;

pub(super) use commands::{decode_command, encode_command};
pub(super) use frames::decode_frame;

pub(super) fn encode_frame(frame: &ServerFrame) -> Bytes {
    Writer::delimited(frame)
}
