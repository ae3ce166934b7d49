//! A checked message, read in place: each getter searches the few fields of the message.

use core::time::Duration;

use crate::code::{CloseCode, ErrorCode};
use crate::codec::wire::{Field, Reader, WIRE_FIXED64, WIRE_LENGTH, WIRE_VARINT};
use crate::utf8;

/// A message with [valid](super::check) fields. If a field occurs twice, the last one counts.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Message<'a>(&'a [u8]);

impl<'a> Message<'a> {
    pub(crate) fn new(checked: &'a [u8]) -> Self {
        Self(checked)
    }

    /// A number, if it is present.
    pub(crate) fn optional(self, number: u32) -> Option<u64> {
        self.last(number, WIRE_VARINT).map(|field| field.value)
    }

    /// A number; 0 if it is absent.
    pub(crate) fn number(self, number: u32) -> u64 {
        self.optional(number).unwrap_or_default()
    }

    /// A number of 32 bits. The check has verified its range.
    pub(crate) fn narrow(self, number: u32) -> u32 {
        self.number(number) as u32
    }

    pub(crate) fn flag(self, number: u32) -> bool {
        self.number(number) != 0
    }

    /// A time in milliseconds.
    pub(crate) fn duration(self, number: u32) -> Duration {
        Duration::from_millis(self.narrow(number).into())
    }

    /// A number of eight bytes.
    pub(crate) fn fixed64(self, number: u32) -> u64 {
        let bytes = self.last(number, WIRE_FIXED64).and_then(|field| field.part.first_chunk());
        bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    pub(crate) fn error_code(self, number: u32) -> ErrorCode {
        u16::try_from(self.number(number)).ok().and_then(ErrorCode::new).unwrap_or(ErrorCode::INTERNAL)
    }

    pub(crate) fn close_code(self, number: u32) -> CloseCode {
        u16::try_from(self.number(number)).ok().and_then(CloseCode::new).unwrap_or(CloseCode::NORMAL)
    }

    pub(crate) fn bytes(self, number: u32) -> &'a [u8] {
        self.last(number, WIRE_LENGTH).map_or(&[], |field| field.part)
    }

    pub(crate) fn text(self, number: u32) -> &'a str {
        utf8::text(self.bytes(number)).unwrap_or_default()
    }

    /// A nested message, if it is present.
    pub(crate) fn message(self, number: u32) -> Option<Self> {
        self.last(number, WIRE_LENGTH).map(|field| Self(field.part))
    }

    /// The nested messages of a repeated field.
    pub(crate) fn messages(self, number: u32) -> impl Iterator<Item = Self> {
        let mut reader = Reader::new(self.0);
        core::iter::from_fn(move || {
            loop {
                let field = reader.field()?;
                if is(&field, number, WIRE_LENGTH) {
                    return Some(Self(field.part));
                }
            }
        })
    }

    /// The fields with the numbers from 1 on, each if it is present with its wire type. It takes one search for all of
    /// them.
    pub(crate) fn fields<const N: usize>(self, wires: [u8; N]) -> [Option<Field<'a>>; N] {
        let mut found = [None; N];
        let mut reader = Reader::new(self.0);
        while let Some(field) = reader.field() {
            let index = field.number.wrapping_sub(1) as usize;
            if let (Some(place), Some(wire)) = (found.get_mut(index), wires.get(index))
                && field.wire == *wire
            {
                *place = Some(field);
            }
        }
        found
    }

    fn last(self, number: u32, wire: u8) -> Option<Field<'a>> {
        let mut last = None;
        let mut reader = Reader::new(self.0);
        while let Some(field) = reader.field() {
            if is(&field, number, wire) {
                last = Some(field);
            }
        }
        last
    }
}

fn is(field: &Field<'_>, number: u32, wire: u8) -> bool {
    field.number == number && field.wire == wire
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_a_field_counts_and_another_type_is_passed_over() {
        let message = Message::new(&[0x08, 0x01, 0x08, 0x02, 0x0a, 0x01, b'x', 0x48, 0x07]);
        assert_eq!((message.number(1), message.text(1), message.number(9)), (2, "x", 7));
        assert_eq!((message.optional(2), message.bytes(2)), (None, &[][..]));

        let values =
            |wires| message.fields::<2>(wires).map(|field| field.map(|field| (field.value, field.part)));
        assert_eq!(values([WIRE_VARINT, WIRE_VARINT]), [Some((2, &[][..])), None]);
        assert_eq!(values([WIRE_LENGTH, WIRE_LENGTH]), [Some((0, &b"x"[..])), None]);
    }
}
