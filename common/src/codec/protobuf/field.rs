//! The types of fields: their encoding, their checks and their decoding. The attribute `message` on the structs in
//! [`frame`](crate::frame) composes messages of them.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::check::{CHANNEL, CLOSE_CODE, CONTENT, ERROR_CODE, FREE, LIST, MESSAGE, NARROW, Shape, TEXT};
use super::message::Message;
use crate::code::{CloseCode, ErrorCode};
use crate::codec::to_milliseconds;
use crate::codec::wire::{Encode, Writer};
use crate::contract::ContractHash;
use crate::{Bytes, ChannelName, Payload, view};

/// A message. `#[message]` implements it.
pub(crate) trait MessageType: Encode + Sized {
    /// The rules of its fields.
    const FIELDS: Shape;
    /// `true` if the value shares bytes with its frame.
    const SHARES: bool;

    /// Reads a checked message. `whole` is the frame around it, for the shared bytes.
    fn read(fields: Message<'_>, whole: &Bytes) -> Self;
}

/// A message that is nested in other messages.
pub(crate) trait Nested: MessageType {
    /// Its place in the tables of [`shapes`](super::shapes).
    const SHAPE: u8;
}

/// The type of a field.
pub(crate) trait FieldType: Sized {
    /// A rule for each number that the field occupies, beginning with its own.
    const RULES: &'static [u8];
    /// `true` if the value shares bytes with its frame.
    const SHARES: bool = false;

    /// Writes the field, unless it is absent.
    fn write(&self, number: u32, out: &mut Writer);
    /// Reads the field of a checked message within the frame `whole`.
    fn read(fields: Message<'_>, number: u32, whole: &Bytes) -> Self;
}

/// Types that occupy one number and can be read without the frame around the message.
macro_rules! fields {
    ($($type:ty: $rule:ident, |$value:ident, $number:ident, $out:ident| $write:expr, |$fields:ident| $read:expr;)*) => {$(
        impl FieldType for $type {
            const RULES: &'static [u8] = &[$rule];

            fn write(&self, $number: u32, $out: &mut Writer) {
                let $value = self;
                $write
            }

            fn read($fields: Message<'_>, $number: u32, _: &Bytes) -> Self {
                $read
            }
        }
    )*};
}

fields! {
    bool: FREE, |flag, number, out| out.uint(number, (*flag).into()), |fields| fields.flag(number);
    u32: NARROW, |value, number, out| out.uint(number, (*value).into()), |fields| fields.narrow(number);
    u64: FREE, |value, number, out| out.uint(number, *value), |fields| fields.number(number);
    Option<u32>: NARROW,
        |value, number, out| out.optional(number, value.map(u64::from)),
        |fields| fields.optional(number).map(|_| fields.narrow(number));
    Duration: NARROW,
        |time, number, out| out.uint(number, to_milliseconds(*time).into()),
        |fields| fields.duration(number);
    String: TEXT, |text, number, out| out.bytes(number, text.as_bytes()), |fields| fields.text(number).into();
    ChannelName: CHANNEL,
        |name, number, out| out.bytes(number, name.as_str().as_bytes()),
        |fields| ChannelName::checked(fields.text(number));
    ErrorCode: ERROR_CODE,
        |code, number, out| out.uint(number, code.number().into()),
        |fields| fields.error_code(number);
    CloseCode: CLOSE_CODE,
        |code, number, out| out.uint(number, code.number().into()),
        |fields| fields.close_code(number);
    ContractHash: FREE,
        |hash, number, out| out.fixed64(number, hash.0),
        |fields| ContractHash(fields.fixed64(number));
}

impl FieldType for Bytes {
    const RULES: &'static [u8] = &[FREE];
    const SHARES: bool = true;

    fn write(&self, number: u32, out: &mut Writer) {
        out.bytes(number, self);
    }

    fn read(fields: Message<'_>, number: u32, whole: &Bytes) -> Self {
        whole.slice_ref(fields.bytes(number))
    }
}

/// The content tag, followed by the data in the next number.
impl FieldType for Payload {
    const RULES: &'static [u8] = &[CONTENT, FREE];
    const SHARES: bool = true;

    fn write(&self, number: u32, out: &mut Writer) {
        out.uint(number, self.content as u64);
        out.bytes(number.saturating_add(1), &self.data);
    }

    fn read(fields: Message<'_>, number: u32, whole: &Bytes) -> Self {
        view::Payload::of(fields, number).read(whole)
    }
}

impl<M: Nested> FieldType for M {
    const RULES: &'static [u8] = &[MESSAGE | M::SHAPE];
    const SHARES: bool = <M as MessageType>::SHARES;

    fn write(&self, number: u32, out: &mut Writer) {
        out.message(number, self);
    }

    fn read(fields: Message<'_>, number: u32, whole: &Bytes) -> Self {
        MessageType::read(fields.message(number).unwrap_or_default(), whole)
    }
}

impl<M: Nested> FieldType for Option<M> {
    const RULES: &'static [u8] = M::RULES;
    const SHARES: bool = <M as MessageType>::SHARES;

    fn write(&self, number: u32, out: &mut Writer) {
        if let Some(message) = self {
            out.message(number, message);
        }
    }

    fn read(fields: Message<'_>, number: u32, whole: &Bytes) -> Self {
        fields.message(number).map(|message| MessageType::read(message, whole))
    }
}

impl<M: Nested> FieldType for Vec<M> {
    const RULES: &'static [u8] = &[MESSAGE | LIST | M::SHAPE];
    const SHARES: bool = <M as MessageType>::SHARES;

    fn write(&self, number: u32, out: &mut Writer) {
        for message in self {
            out.message(number, message);
        }
    }

    fn read(fields: Message<'_>, number: u32, whole: &Bytes) -> Self {
        fields.messages(number).map(|message| MessageType::read(message, whole)).collect()
    }
}

/// The success, or the error in the next number.
impl<T: Nested, E: Nested> FieldType for Result<T, E> {
    const RULES: &'static [u8] = &[MESSAGE | T::SHAPE, MESSAGE | E::SHAPE];
    const SHARES: bool = <T as MessageType>::SHARES || <E as MessageType>::SHARES;

    fn write(&self, number: u32, out: &mut Writer) {
        match self {
            Ok(message) => out.message(number, message),
            Err(error) => out.message(number.saturating_add(1), error),
        }
    }

    fn read(fields: Message<'_>, number: u32, whole: &Bytes) -> Self {
        match fields.message(number) {
            Some(message) => Ok(MessageType::read(message, whole)),
            None => Err(FieldType::read(fields, number.saturating_add(1), whole)),
        }
    }
}
