//! `wirehub.v1.protobuf`: the messages of `proto/wirehub.proto`, written and read by code of our own. The fields are
//! declared in [`frame`](crate::frame), the types of fields in [`field`], the numbers of messages in [`shapes`].
//!
//! Unknown fields, and known fields with another wire type, are skipped, as Protocol Buffers requires.

use super::wire::Writer;
use crate::Bytes;
use crate::frame::{Command, ServerFrame};

pub(crate) mod check;
mod commands;
pub(crate) mod field;
mod frames;
pub(crate) mod message;
pub(crate) mod shapes;

pub(super) use commands::decode_command;
pub(super) use frames::decode_frame;

/// The beginning of a part whose data has `length` bytes, up to that data.
#[cfg(feature = "std")]
pub(super) fn part_head(stream: u32, left: u64, length: usize) -> Bytes {
    Writer::head(shapes::PART.into(), length, |out| {
        out.uint(1, stream.into());
        out.uint(2, left);
    })
}

pub(super) fn encode_command(command: &Command) -> Bytes {
    Writer::delimited(command)
}

pub(super) fn encode_frame(frame: &ServerFrame) -> Bytes {
    Writer::delimited(frame)
}
