//! Counting messages without decoding them.

use super::Dialect;

/// Counts the messages in the bytes of a subscriber.
#[derive(Debug)]
pub(crate) struct Counter {
    /// Whether a WebSocket message is a batch of messages, each after its length.
    batched: bool,
    header: Vec<u8>,
    /// The remaining bytes of a WebSocket message.
    rest: u64,
    /// The remaining bytes of a message in a batch, or the beginning of its length.
    inner_rest: u64,
    inner_length: (u64, u32),
}

impl Counter {
    pub(crate) fn new(dialect: Dialect) -> Self {
        // The floor forwards the WebSocket messages of its publisher unchanged.
        let batched = dialect == Dialect::Wirehub;
        Self { batched, header: Vec::with_capacity(10), rest: 0, inner_rest: 0, inner_length: (0, 0) }
    }

    /// How many messages end in these bytes.
    pub(crate) fn count(&mut self, mut bytes: &[u8]) -> u64 {
        let mut messages = 0;
        while !bytes.is_empty() {
            if self.rest == 0 {
                let (first, others) = bytes.split_at(1);
                self.header.extend(first);
                bytes = others;
                let Some(length) = self.length() else { continue };
                self.header.clear();
                self.rest = length;
                continue;
            }
            let here = bytes.len().min(usize::try_from(self.rest).unwrap_or(usize::MAX));
            let (payload, others) = bytes.split_at(here);
            bytes = others;
            self.rest -= here as u64;
            messages += if self.batched { self.count_inner(payload) } else { u64::from(self.rest == 0) };
        }
        messages
    }

    /// The length in the header of a WebSocket message, once it is complete.
    fn length(&self) -> Option<u64> {
        let bytes = |count: usize| {
            let bytes = self.header.get(2..2 + count)?;
            Some(bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
        };
        match self.header.get(1)? {
            126 => bytes(2),
            127 => bytes(8),
            length => Some(u64::from(*length)),
        }
    }

    fn count_inner(&mut self, mut payload: &[u8]) -> u64 {
        let mut messages = 0;
        while let Some((first, others)) = payload.split_first() {
            if self.inner_rest == 0 {
                let (length, shift) = &mut self.inner_length;
                *length |= u64::from(first & 0x7f) << *shift;
                *shift += 7;
                if first & 0x80 == 0 {
                    self.inner_rest = *length;
                    self.inner_length = (0, 0);
                }
                payload = others;
                continue;
            }
            let here = payload.len().min(usize::try_from(self.inner_rest).unwrap_or(usize::MAX));
            payload = &payload[here..];
            self.inner_rest -= here as u64;
            messages += u64::from(self.inner_rest == 0);
        }
        messages
    }
}

#[cfg(test)]
mod tests {
    use wirehub_common::frame::{Called, Reply, ReplyBody, ServerFrame};
    use wirehub_common::{Codec, Payload};

    use super::super::unmasked;
    use super::*;

    fn count_in_pieces(dialect: Dialect, bytes: &[u8], size: usize) -> u64 {
        let mut counter = Counter::new(dialect);
        bytes.chunks(size).map(|piece| counter.count(piece)).sum()
    }

    #[test]
    fn messages_are_counted_however_they_are_cut() {
        let lengths = [1, 125, 126, 300, 70_000];
        let plain: Vec<u8> = lengths.iter().flat_map(|&length| unmasked(&vec![7; length])).collect();
        let frame = |length: usize| {
            let answer = ServerFrame::Reply(Reply {
                id: 1,
                result: Ok(ReplyBody::Called(Called {
                    payload: Payload::bytes(vec![7; length]),
                    more: false,
                })),
            });
            Codec::Protobuf.encode_frame(&answer).to_vec()
        };
        let batch: Vec<u8> = [3, 0, 200, 70_000].into_iter().flat_map(frame).collect();
        let batched = [unmasked(&batch), unmasked(&[]), unmasked(&frame(5))].concat();
        for size in [1, 2, 3, 7, 1000, usize::MAX] {
            assert_eq!(count_in_pieces(Dialect::WebSocket, &plain, size), 5);
            assert_eq!(count_in_pieces(Dialect::Wirehub, &batched, size), 5);
        }
    }
}
