//! Outgoing WebSocket messages: headers and shared bytes, written with few system calls.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::AsyncWrite;
use wirehub_common::Codec;

use super::gather::Gather;

/// The kind of a WebSocket message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Binary,
}

impl From<Codec> for Kind {
    fn from(codec: Codec) -> Self {
        if codec.is_text() { Self::Text } else { Self::Binary }
    }
}

/// Messages that are not completely written. Idle connections have no memory for them.
#[derive(Default)]
pub(super) struct Outgoing {
    queue: Option<Box<OutgoingQueue>>,
}

#[derive(Default)]
struct OutgoingQueue {
    segments: VecDeque<QueuedBytes>,
    bytes: usize,
    begun: bool,
}

thread_local! {
    /// The memory of the last emptied queue, for the next one.
    static REUSABLE_QUEUE: Cell<Option<Box<OutgoingQueue>>> = const { Cell::new(None) };
}

/// A queue with more segments is not kept.
const MAX_REUSABLE_SEGMENTS: usize = 1024;

impl Outgoing {
    /// Adds a message of the pieces that `fill` passes. Without a piece there is no message.
    pub(super) fn queue<R>(&mut self, kind: Kind, fill: impl FnOnce(&mut dyn FnMut(Bytes)) -> R) -> R {
        let queue = self.queue_mut();
        let at = queue.segments.len();
        queue.segments.push_back(QueuedBytes::Header(Header::new(kind, 0)));
        let mut length = 0_usize;
        let filled = fill(&mut |piece| {
            length = length.saturating_add(piece.len());
            queue.segments.push_back(QueuedBytes::Data(piece));
        });
        if length == 0 {
            queue.segments.truncate(at);
        } else if let Some(segment) = queue.segments.get_mut(at) {
            let header = Header::new(kind, length);
            queue.bytes = queue.bytes.saturating_add(length).saturating_add(header.as_slice().len());
            *segment = QueuedBytes::Header(header);
        }
        self.release_empty_queue();
        filled
    }

    /// Adds a message without content.
    pub(super) fn queue_empty(&mut self, kind: Kind) {
        self.queue_mut().push_back(QueuedBytes::Header(Header::new(kind, 0)));
    }

    /// Adds a pong, before every message that has not begun.
    pub(super) fn queue_pong(&mut self, payload: &[u8]) {
        let frame = QueuedBytes::control(PONG, payload);
        let queue = self.queue_mut();
        if queue.begun {
            queue.push_back(frame);
        } else {
            queue.bytes = queue.bytes.saturating_add(frame.as_slice().len());
            queue.segments.push_front(frame);
        }
    }

    /// Adds a ping.
    pub(super) fn queue_ping(&mut self) {
        self.queue_mut().push_back(QueuedBytes::control(PING, &[]));
    }

    /// Adds a close, behind everything. Nothing may follow it.
    pub(super) fn queue_close(&mut self, payload: &[u8]) {
        self.queue_mut().push_back(QueuedBytes::control(CLOSE, payload));
    }

    /// `true` if a message is partly written.
    pub(super) fn is_begun(&self) -> bool {
        self.queue.as_ref().is_some_and(|queue| queue.begun)
    }

    /// The bytes that are not written.
    pub(super) fn bytes(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.bytes)
    }

    /// Writes everything.
    pub(super) fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while let Some(queue) = &mut self.queue {
            let mut gather = Gather::new();
            for segment in &queue.segments {
                if gather.is_full() {
                    break;
                }
                gather.push(segment.as_slice());
            }
            let written = ready!(gather.poll_write(stream, cx))?;
            drop(gather);
            queue.advance(written);
            self.release_empty_queue();
        }
        Poll::Ready(Ok(()))
    }

    /// Writes the queued messages, and then the gathered pieces. Gathered pieces are copied only if the stream does not take
    /// them.
    pub(super) fn poll_write_through<S: AsyncWrite + Unpin>(
        &mut self,
        gather: &Gather<'_>,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.poll_write(stream, cx)?.is_pending() {
            self.keep(gather, 0);
            return Poll::Pending;
        }
        if gather.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let written = match gather.poll_write(stream, cx)? {
            Poll::Ready(written) => written,
            Poll::Pending => 0,
        };
        self.keep(gather, written);
        // The rest waits for the stream.
        self.poll_write(stream, cx)
    }

    /// Queues the gathered pieces without the first `written` bytes.
    pub(super) fn keep(&mut self, gather: &Gather<'_>, written: usize) {
        for rest in gather.rest(written) {
            let queue = self.queue_mut();
            queue.push_back(QueuedBytes::Data(Bytes::copy_from_slice(rest)));
            queue.begun |= written > 0;
        }
    }

    fn queue_mut(&mut self) -> &mut OutgoingQueue {
        self.queue.get_or_insert_with(|| REUSABLE_QUEUE.take().unwrap_or_default())
    }

    fn release_empty_queue(&mut self) {
        if let Some(queue) = self.queue.take_if(|queue| queue.segments.is_empty())
            && queue.segments.capacity() <= MAX_REUSABLE_SEGMENTS
        {
            REUSABLE_QUEUE.set(Some(queue));
        }
    }
}

impl OutgoingQueue {
    fn push_back(&mut self, segment: QueuedBytes) {
        self.bytes = self.bytes.saturating_add(segment.as_slice().len());
        self.segments.push_back(segment);
    }

    fn advance(&mut self, mut written: usize) {
        self.bytes = self.bytes.saturating_sub(written);
        while let Some(segment) = self.segments.front_mut() {
            let length = segment.as_slice().len();
            if written < length {
                segment.advance(written);
                self.begun = true;
                return;
            }
            written = written.saturating_sub(length);
            self.segments.pop_front();
        }
        self.begun = false;
    }
}

/// The first bytes of control frames.
pub(super) const PONG: u8 = 0x8a;
const PING: u8 = 0x89;
const CLOSE: u8 = 0x88;

/// RFC 6455, section 5.5.
const CONTROL_BYTES: usize = 125;

/// A control frame with at most 125 bytes of content.
pub(super) fn control(first: u8, payload: &[u8]) -> Vec<u8> {
    let payload = payload.get(..payload.len().min(CONTROL_BYTES)).unwrap_or_default();
    let length = u8::try_from(payload.len()).unwrap_or_default();
    [&[first, length][..], payload].concat()
}

enum QueuedBytes {
    Header(Header),
    Data(Bytes),
}

impl QueuedBytes {
    fn control(first: u8, payload: &[u8]) -> Self {
        Self::Data(control(first, payload).into())
    }

    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Header(header) => header.as_slice(),
            Self::Data(data) => data,
        }
    }

    /// Removes `count` bytes from the front; there are more than that.
    fn advance(&mut self, count: usize) {
        match self {
            Self::Header(header) => header.advance(count),
            Self::Data(data) => data.advance(count),
        }
    }
}

/// The header of an unmasked final frame (RFC 6455, section 5.2).
pub(super) struct Header {
    bytes: [u8; Self::LONGEST],
    from: u8,
    to: u8,
}

impl Header {
    const LONGEST: usize = 10;

    pub(super) fn new(kind: Kind, length: usize) -> Self {
        let first = match kind {
            Kind::Text => 0x81,
            Kind::Binary => 0x82,
        };
        let (bytes, to) = match (u8::try_from(length), u16::try_from(length)) {
            (Ok(short @ ..=125), _) => ([first, short, 0, 0, 0, 0, 0, 0, 0, 0], 2),
            (_, Ok(medium)) => {
                let [a, b] = medium.to_be_bytes();
                ([first, 126, a, b, 0, 0, 0, 0, 0, 0], 4)
            }
            _ => {
                let [a, b, c, d, e, f, g, h] = u64::try_from(length).unwrap_or(u64::MAX).to_be_bytes();
                ([first, 127, a, b, c, d, e, f, g, h], 10)
            }
        };
        Self { bytes, from: 0, to }
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        self.bytes.get(usize::from(self.from)..usize::from(self.to)).unwrap_or_default()
    }

    fn advance(&mut self, count: usize) {
        self.from = self.from.saturating_add(u8::try_from(count).unwrap_or(u8::MAX)).min(self.to);
    }
}

#[cfg(test)]
mod tests;
