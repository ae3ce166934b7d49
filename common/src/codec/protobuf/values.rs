//! What commands and frames have in common.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::Invalid;
use crate::codec::DecodeErrorKind;
use crate::codec::wire::{Encode, Reader, Value, Writer};
use crate::contract::ContractHash;
use crate::frame::{ContractId, Position};
use crate::{ChannelName, Content, Limits, Payload};

impl Encode for ContractId {
    fn encode(&self, out: &mut Writer) {
        out.bytes(1, self.name.as_bytes());
        out.fixed64(2, self.hash.0);
    }
}

pub(super) fn contract_id(mut reader: Reader<'_>) -> Result<ContractId, DecodeErrorKind> {
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

impl Encode for Position {
    fn encode(&self, out: &mut Writer) {
        out.uint(1, self.offset);
        out.bytes(2, self.epoch.as_bytes());
    }
}

pub(super) fn position(mut reader: Reader<'_>) -> Result<Position, DecodeErrorKind> {
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

/// The content tag in `field`, the data in the one after it.
pub(super) fn encode_payload(out: &mut Writer, field: u32, payload: &Payload) {
    out.uint(field, payload.content as u64);
    out.bytes(field.saturating_add(1), &payload.data);
}

pub(super) fn channel(name: &[u8]) -> Result<ChannelName, Invalid> {
    let name = core::str::from_utf8(name).map_err(|_| DecodeErrorKind::Utf8)?;
    ChannelName::new(name).map_err(|error| Invalid::Request(error.as_str()))
}

pub(super) fn text(value: &[u8]) -> Result<String, DecodeErrorKind> {
    core::str::from_utf8(value).map(Into::into).map_err(|_| DecodeErrorKind::Utf8)
}

pub(super) fn content(number: u64) -> Result<Content, Invalid> {
    Content::from_number(number)
        .ok_or(Invalid::Request("the content tag is unknown: use json, bytes or custom"))
}

pub(super) fn narrow(value: u64) -> Result<u32, DecodeErrorKind> {
    u32::try_from(value).map_err(|_| DecodeErrorKind::Range)
}

pub(super) fn duration(milliseconds: u64) -> Result<Duration, DecodeErrorKind> {
    narrow(milliseconds).map(|value| Duration::from_millis(value.into()))
}

pub(super) fn push<T>(list: &mut Vec<T>, entry: T) -> Result<(), DecodeErrorKind> {
    if list.len() >= Limits::REPEATED {
        return Err(DecodeErrorKind::TooMany);
    }
    list.push(entry);
    Ok(())
}
