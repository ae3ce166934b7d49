//! The fields of a message at hand, so that each kind of message is read in a few straight lines.
//!
//! What is wrong is noted for the whole frame, and a value put in the place of the wrong one: whoever began the frame
//! looks at the note in the end, and gives none of it away. That is half the code of looking after each field.

use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;

use crate::codec::DecodeErrorKind;
use crate::codec::wire::{Field, Reader, WIRE_FIXED64, WIRE_LENGTH, WIRE_VARINT};
use crate::{Bytes, ChannelName, Content, Limits, Payload, utf8};

/// Reads one frame.
pub(super) struct Decoder<'a> {
    message: &'a Bytes,
    failure: Cell<Option<Failure>>,
}

/// What is wrong with a frame.
#[derive(Clone, Copy)]
pub(super) enum Failure {
    /// It can be read, but asks for what can't be: why, for people.
    Request(&'static str),
    Frame(DecodeErrorKind),
}

impl<'a> Decoder<'a> {
    /// Reads a frame that lies within `message`.
    pub(super) fn new(message: &'a Bytes) -> Self {
        Self { message, failure: Cell::new(None) }
    }

    /// The fields of the message in `part`, of which the last counts where one is there twice.
    pub(super) fn fields(&'a self, part: &'a [u8]) -> Fields<'a> {
        let mut fields = Fields { decoder: self, part, numbers: [None; SLOTS], parts: [None; SLOTS] };
        let mut reader = Reader::new(part);
        loop {
            match reader.field() {
                Ok(Some(field)) => fields.keep(field),
                Ok(None) => return fields,
                Err(error) => {
                    self.fail(Failure::Frame(error));
                    return fields;
                }
            }
        }
    }

    /// What was wrong first.
    pub(super) fn failure(&self) -> Option<Failure> {
        self.failure.get()
    }

    fn fail(&self, failure: Failure) {
        self.failure.set(self.failure.get().or(Some(failure)));
    }
}

/// A message's fields by their numbers, which are below [`SLOTS`].
pub(super) struct Fields<'a> {
    decoder: &'a Decoder<'a>,
    part: &'a [u8],
    numbers: [Option<u64>; SLOTS],
    parts: [Option<&'a [u8]>; SLOTS],
}

const SLOTS: usize = 9;

impl<'a> Fields<'a> {
    fn keep(&mut self, Field { number, wire, value, part }: Field<'a>) {
        let number = number as usize;
        if wire == WIRE_VARINT
            && let Some(slot) = self.numbers.get_mut(number)
        {
            *slot = Some(value);
        }
        if wire == WIRE_LENGTH
            && let Some(slot) = self.parts.get_mut(number)
        {
            *slot = Some(part);
        }
    }

    /// A number, if it is there.
    pub(super) fn optional(&self, number: usize) -> Option<u64> {
        self.numbers.get(number).copied().flatten()
    }

    /// A number; 0 where it is not there.
    pub(super) fn number(&self, number: usize) -> u64 {
        self.optional(number).unwrap_or_default()
    }

    /// A number of 32 bits.
    pub(super) fn narrow(&self, number: usize) -> u32 {
        u32::try_from(self.number(number)).unwrap_or_else(|_| self.fail(DecodeErrorKind::Range))
    }

    pub(super) fn flag(&self, number: usize) -> bool {
        self.number(number) != 0
    }

    /// A number of eight bytes. Few messages have one: it has no slot.
    pub(super) fn fixed64(&self, number: u32) -> u64 {
        let mut found = 0;
        let mut reader = Reader::new(self.part);
        while let Ok(Some(field)) = reader.field() {
            if field.wire == WIRE_FIXED64 && field.number == number {
                found = field.value;
            }
        }
        found
    }

    pub(super) fn text(&self, number: usize) -> String {
        self.str(number).into()
    }

    pub(super) fn channel(&self, number: usize) -> ChannelName {
        ChannelName::new(self.str(number)).unwrap_or_else(|error| {
            self.decoder.fail(Failure::Request(error.as_str()));
            ChannelName::refused()
        })
    }

    /// A payload: the content tag in `number`, the data in the field after it.
    pub(super) fn payload(&self, number: usize) -> Payload {
        let content = Content::from_number(self.number(number)).unwrap_or_else(|| {
            self.decoder.fail(Failure::Request("the content tag is unknown: use json, bytes or custom"));
            Content::Bytes
        });
        let data = self.part(number.saturating_add(1)).unwrap_or_default();
        Payload { content, data: self.decoder.message.slice_ref(data) }
    }

    /// A nested message, if it is there.
    pub(super) fn nested<T>(&self, number: usize, read: impl Fn(&Fields<'_>) -> T) -> Option<T> {
        self.part(number).map(|part| read(&self.decoder.fields(part)))
    }

    /// The nested messages of a field that may be there any number of times, within [`Limits::REPEATED`].
    pub(super) fn each<T>(&self, number: u32, read: impl Fn(&Fields<'_>) -> T) -> Vec<T> {
        let mut list = Vec::new();
        let mut reader = Reader::new(self.part);
        // A part that can't be read was noted when the fields were.
        while let Ok(Some(field)) = reader.field() {
            if field.wire != WIRE_LENGTH || field.number != number {
                continue;
            }
            if list.len() >= Limits::REPEATED {
                self.fail::<()>(DecodeErrorKind::TooMany);
                break;
            }
            list.push(read(&self.decoder.fields(field.part)));
        }
        list
    }

    fn part(&self, number: usize) -> Option<&'a [u8]> {
        self.parts.get(number).copied().flatten()
    }

    fn str(&self, number: usize) -> &'a str {
        let part = self.part(number).unwrap_or_default();
        utf8::text(part).unwrap_or_else(|| self.fail(DecodeErrorKind::Utf8))
    }

    /// Notes what is wrong, and gives something in its place.
    fn fail<T: Default>(&self, kind: DecodeErrorKind) -> T {
        self.decoder.fail(Failure::Frame(kind));
        T::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_bytes_are_not_copies() {
        let message = Bytes::from_static(&[0x12, 0x02, b'h', b'i']);
        let decoder = Decoder::new(&message);
        let payload = decoder.fields(&message).payload(1);
        assert_eq!(payload.data.as_ptr(), message[2..].as_ptr());
        assert!(decoder.failure().is_none());
    }

    #[test]
    fn what_is_wrong_first_is_told() {
        let message = Bytes::from_static(&[0x0a, 0x01, 0xff, 0x10, 0xff, 0xff, 0xff, 0xff, 0x7f]);
        let decoder = Decoder::new(&message);
        let fields = decoder.fields(&message);
        assert_eq!((fields.text(1).as_str(), fields.narrow(2), fields.number(3)), ("", 0, 0));
        assert!(matches!(decoder.failure(), Some(Failure::Frame(DecodeErrorKind::Utf8))));
    }

    #[test]
    fn a_field_beyond_the_slots_is_passed_over() {
        let message = Bytes::from_static(&[0x48, 0x01, 0x08, 0x02]);
        let decoder = Decoder::new(&message);
        assert_eq!(decoder.fields(&message).number(1), 2);
        assert!(decoder.failure().is_none());
    }
}
