//! The Protocol Buffers wire format: a writer, which can also count without writing, and a reader, which never copies.
//!
//! <https://protobuf.dev/programming-guides/encoding/>

use alloc::vec::Vec;

use super::DecodeErrorKind;
use crate::Bytes;

/// The content of a frame. `encode` is called twice: once to count the bytes, and once to write them.
pub(crate) trait Encode {
    fn encode(&self, out: &mut Writer);
}

/// Writes fields in order. A counting writer keeps only the length.
pub(crate) struct Writer {
    bytes: Option<Vec<u8>>,
    length: usize,
}

impl Writer {
    /// `body`, preceded by its length.
    pub(super) fn delimited(body: &impl Encode) -> Bytes {
        let length = Self::length_of(body);
        let mut out = Self { bytes: Some(Vec::with_capacity(length.saturating_add(5))), length: 0 };
        out.varint(length as u64);
        body.encode(&mut out);
        out.bytes.unwrap_or_default().into()
    }

    /// The beginning of a frame with one field, a message. The result ends before the content of the message's field 3, which
    /// has the length `bytes`; `fields` writes the fields before that one.
    #[cfg(feature = "std")]
    pub(super) fn head(field: u32, bytes: usize, fields: impl Fn(&mut Self)) -> Bytes {
        let write = |out: &mut Self| {
            fields(out);
            out.tag(3, WIRE_LENGTH);
            out.varint(bytes as u64);
        };
        let length_of = |write: &dyn Fn(&mut Self)| {
            let mut counter = Self { bytes: None, length: 0 };
            write(&mut counter);
            counter.length
        };
        let body = length_of(&write).saturating_add(bytes) as u64;
        let before = |out: &mut Self| {
            out.tag(field, WIRE_LENGTH);
            out.varint(body);
        };
        let mut out = Self { bytes: Some(Vec::with_capacity(32)), length: 0 };
        out.varint((length_of(&before) as u64).saturating_add(body));
        before(&mut out);
        write(&mut out);
        out.bytes.unwrap_or_default().into()
    }

    /// A number; 0 is not written.
    pub(super) fn uint(&mut self, field: u32, value: u64) {
        self.optional(field, (value != 0).then_some(value));
    }

    /// A number whose absence differs from 0.
    pub(super) fn optional(&mut self, field: u32, value: Option<u64>) {
        if let Some(value) = value {
            self.tag(field, WIRE_VARINT);
            self.varint(value);
        }
    }

    /// A 64-bit number of eight bytes; 0 is not written.
    pub(super) fn fixed64(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.tag(field, WIRE_FIXED64);
            self.put(&value.to_le_bytes());
        }
    }

    /// Bytes or text; an empty value is not written.
    pub(super) fn bytes(&mut self, field: u32, value: &[u8]) {
        if !value.is_empty() {
            self.tag(field, WIRE_LENGTH);
            self.varint(value.len() as u64);
            self.put(value);
        }
    }

    /// A nested message. An empty one is written, too.
    pub(super) fn message(&mut self, field: u32, body: &impl Encode) {
        self.tag(field, WIRE_LENGTH);
        let length = Self::length_of(body);
        self.varint(length as u64);
        if self.bytes.is_some() {
            body.encode(self);
        } else {
            self.length = self.length.saturating_add(length);
        }
    }

    fn length_of(body: &impl Encode) -> usize {
        let mut counter = Self { bytes: None, length: 0 };
        body.encode(&mut counter);
        counter.length
    }

    fn tag(&mut self, field: u32, wire_type: u8) {
        self.varint(u64::from(field) << 3 | u64::from(wire_type));
    }

    fn varint(&mut self, value: u64) {
        match &mut self.bytes {
            Some(bytes) => push_varint(bytes, value),
            // One byte for each seven bits; 0 has one byte.
            None => self.put_length((70_u32.saturating_sub((value | 1).leading_zeros()) / 7) as usize),
        }
    }

    fn put(&mut self, part: &[u8]) {
        match &mut self.bytes {
            Some(bytes) => bytes.extend_from_slice(part),
            None => self.put_length(part.len()),
        }
    }

    fn put_length(&mut self, length: usize) {
        self.length = self.length.saturating_add(length);
    }
}

/// Writes the fields of a small message in order; nested messages are copied. This takes a fifth of the code size of a
/// [`Writer`], which writes everything directly to its final place.
#[derive(Debug, Default)]
pub(crate) struct Fields(Vec<u8>);

impl Fields {
    /// A number; 0 is not written.
    pub(crate) fn number(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.tag(field, WIRE_VARINT);
            push_varint(&mut self.0, value);
        }
    }

    /// A 64-bit number of eight bytes; 0 is not written.
    pub(crate) fn fixed64(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.tag(field, WIRE_FIXED64);
            self.0.extend_from_slice(&value.to_le_bytes());
        }
    }

    /// Bytes or text; an empty value is not written.
    pub(crate) fn bytes(&mut self, field: u32, value: &[u8]) {
        if !value.is_empty() {
            self.part(field, value);
        }
    }

    /// A nested message. An empty one is written, too.
    pub(crate) fn message(&mut self, field: u32, message: &Self) {
        self.part(field, &message.0);
    }

    /// The message, preceded by its length.
    pub(crate) fn delimited(self) -> Bytes {
        let mut out = Vec::new();
        push_varint(&mut out, self.0.len() as u64);
        out.extend_from_slice(&self.0);
        out.into()
    }

    fn part(&mut self, field: u32, value: &[u8]) {
        self.tag(field, WIRE_LENGTH);
        push_varint(&mut self.0, value.len() as u64);
        self.0.extend_from_slice(value);
    }

    fn tag(&mut self, field: u32, wire_type: u8) {
        push_varint(&mut self.0, u64::from(field) << 3 | u64::from(wire_type));
    }
}

fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) const WIRE_VARINT: u8 = 0;
pub(super) const WIRE_FIXED64: u8 = 1;
pub(crate) const WIRE_LENGTH: u8 = 2;
/// Four bytes. None of our fields has this wire type, but unknown fields may.
const WIRE_FIXED32: u8 = 5;

/// One field of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    pub(crate) number: u32,
    /// The wire type, one of the `WIRE_` numbers.
    pub(crate) wire: u8,
    /// The value of a variable-length number; 0 for every other wire type.
    pub(crate) value: u64,
    /// The content of a field of any other wire type, borrowed from the message.
    pub(crate) part: &'a [u8],
}

/// Returns the fields of one message, one after the other, up to the first fault.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    // The fault is stored here and not returned by each function, because that is faster. Each getter searches the message from
    // its beginning, so this reader takes most of the time that a message costs.
    fault: Option<DecodeErrorKind>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self { rest: message, fault: None }
    }

    /// The next field; `None` at the end, and after a fault.
    pub(super) fn field(&mut self) -> Option<Field<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let tag = self.varint();
        let mut field = Field { number: (tag >> 3) as u32, wire: (tag & 7) as u8, value: 0, part: &[] };
        let length = match field.wire {
            WIRE_VARINT => {
                field.value = self.varint();
                0
            }
            WIRE_LENGTH => self.varint(),
            WIRE_FIXED64 => 8,
            WIRE_FIXED32 => 4,
            _ => {
                self.fail(DecodeErrorKind::Tag);
                0
            }
        };
        if !(8..=u32::MAX.into()).contains(&tag) {
            self.fail(DecodeErrorKind::Tag);
        }
        field.part = self.take(length);
        self.fault.is_none().then_some(field)
    }

    /// Fails if reading ended at a fault and not at the end of the message.
    pub(super) fn end(&self) -> Result<(), DecodeErrorKind> {
        self.fault.map_or(Ok(()), Err)
    }

    #[inline(always)]
    fn take(&mut self, length: u64) -> &'a [u8] {
        // A length beyond the address space is longer than the rest of the message.
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let Some((part, behind)) = self.rest.split_at_checked(length) else {
            self.fail(DecodeErrorKind::Truncated);
            return &[];
        };
        self.rest = behind;
        part
    }

    #[inline(always)]
    fn varint(&mut self) -> u64 {
        // Most numbers have one byte.
        if let Some((&byte, behind)) = self.rest.split_first()
            && byte < 0x80
        {
            self.rest = behind;
            return byte.into();
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> u64 {
        let mut value = 0_u64;
        let mut shift = 0_u32;
        while let Some((&byte, behind)) = self.rest.split_first() {
            self.rest = behind;
            // The tenth byte is the last one, and has room for one bit only.
            if shift == 63 && byte > 1 {
                self.fail(DecodeErrorKind::Varint);
                return 0;
            }
            value |= u64::from(byte & 0x7f).wrapping_shl(shift);
            if byte < 0x80 {
                return value;
            }
            shift = shift.wrapping_add(7);
        }
        self.fail(DecodeErrorKind::Truncated);
        0
    }

    /// Stores the fault, unless there is an earlier one.
    fn fail(&mut self, kind: DecodeErrorKind) {
        self.fault = self.fault.or(Some(kind));
        self.rest = &[];
    }
}

/// Removes one length-delimited frame from the front of a batch.
pub(crate) fn split_delimited<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, DecodeErrorKind> {
    if rest.is_empty() {
        return Ok(None);
    }
    let mut reader = Reader::new(rest);
    let length = reader.varint();
    let part = reader.take(length);
    *rest = reader.rest;
    reader.end().map(|()| Some(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_hold_64_bits_and_no_more() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut bytes = Vec::new();
            push_varint(&mut bytes, value);
            let mut counter = Writer { bytes: None, length: 0 };
            counter.varint(value);
            assert_eq!(counter.length, bytes.len());
            let mut reader = Reader::new(&bytes);
            assert_eq!((reader.varint(), reader.end()), (value, Ok(())));
        }
        let kind = |bytes: &[u8]| {
            let mut reader = Reader::new(bytes);
            reader.varint();
            reader.end().unwrap_err()
        };
        assert_eq!(kind(&[0xff; 9]), DecodeErrorKind::Truncated);
        assert_eq!(kind(&[0xff; 11]), DecodeErrorKind::Varint);
        assert_eq!(
            kind(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]),
            DecodeErrorKind::Varint
        );
    }

    #[test]
    fn groups_and_field_zero_are_refused() {
        for bytes in
            [&[0x00, 0x00][..], &[0x0b], &[0x0c], &[0x0e], &[0x0f], &[0x80, 0x80, 0x80, 0x80, 0x10, 0]]
        {
            let mut reader = Reader::new(bytes);
            assert_eq!((reader.field(), reader.end()), (None, Err(DecodeErrorKind::Tag)), "{bytes:?}");
        }
    }
}
