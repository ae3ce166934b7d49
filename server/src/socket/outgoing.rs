//! WebSocket messages on their way out: headers and shared bytes, written with as few system calls as there can be.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::AsyncWrite;
use wirehub_common::Codec;

/// The kinds of WebSocket messages.
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

/// Messages that are not wholly written yet.
#[derive(Default)]
pub(super) struct Outgoing {
    segments: VecDeque<Segment>,
    bytes: usize,
    begun: bool,
}

impl Outgoing {
    /// Adds a message of the pieces that `fill` hands over; no piece, no message.
    pub(super) fn queue<R>(&mut self, kind: Kind, fill: impl FnOnce(&mut dyn FnMut(Bytes)) -> R) -> R {
        let at = self.segments.len();
        self.segments.push_back(Segment::Header(Header::new(kind, 0)));
        let mut length = 0_usize;
        let filled = fill(&mut |piece| {
            length = length.saturating_add(piece.len());
            self.segments.push_back(Segment::Data(piece));
        });
        if length == 0 {
            self.segments.truncate(at);
        } else if let Some(segment) = self.segments.get_mut(at) {
            let header = Header::new(kind, length);
            self.bytes = self.bytes.saturating_add(length).saturating_add(header.as_slice().len());
            *segment = Segment::Header(header);
        }
        filled
    }

    /// Adds a message without content.
    pub(super) fn queue_empty(&mut self, kind: Kind) {
        let header = Header::new(kind, 0);
        self.bytes = self.bytes.saturating_add(header.as_slice().len());
        self.segments.push_back(Segment::Header(header));
    }

    /// Adds a pong, before all that is not begun.
    pub(super) fn queue_pong(&mut self, payload: &[u8]) {
        let frame = Segment::control(0x8a, payload);
        self.bytes = self.bytes.saturating_add(frame.as_slice().len());
        if self.begun {
            self.segments.push_back(frame);
        } else {
            self.segments.push_front(frame);
        }
    }

    /// Adds a close, behind everything: nothing may follow it.
    pub(super) fn queue_close(&mut self, payload: &[u8]) {
        let frame = Segment::control(0x88, payload);
        self.bytes = self.bytes.saturating_add(frame.as_slice().len());
        self.segments.push_back(frame);
    }

    /// Whether a part has been written and a part has not.
    pub(super) fn is_begun(&self) -> bool {
        self.begun
    }

    /// Bytes not written yet.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Writes everything.
    pub(super) fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.segments.is_empty() {
            // A lone message is a header and a piece: no need to clear a large array for it.
            let written = if self.segments.len() <= 8 {
                self.poll_write_some::<8, S>(stream, cx)
            } else {
                self.poll_write_some::<512, S>(stream, cx)
            };
            match ready!(written)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.advance(written),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_some<const N: usize, S: AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); N];
        let mut used = 0_usize;
        for (slice, segment) in slices.iter_mut().zip(&self.segments) {
            *slice = IoSlice::new(segment.as_slice());
            used = used.saturating_add(1);
        }
        Pin::new(stream).poll_write_vectored(cx, slices.get(..used).unwrap_or_default())
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
        // Idle connections, of which there are many, keep no room.
        *self = Self::default();
    }
}

/// RFC 6455, section 5.5.
const CONTROL_BYTES: usize = 125;

enum Segment {
    Header(Header),
    Data(Bytes),
}

impl Segment {
    /// A control frame, whose content has at most 125 bytes.
    fn control(first: u8, payload: &[u8]) -> Self {
        let payload = payload.get(..payload.len().min(CONTROL_BYTES)).unwrap_or_default();
        let length = u8::try_from(payload.len()).unwrap_or_default();
        Self::Data([&[first, length][..], payload].concat().into())
    }

    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Header(header) => header.as_slice(),
            Self::Data(data) => data,
        }
    }

    /// Takes `count` bytes off the front; there are more than that.
    fn advance(&mut self, count: usize) {
        match self {
            Self::Header(header) => header.advance(count),
            Self::Data(data) => data.advance(count),
        }
    }
}

/// The header of an unmasked final frame (RFC 6455, section 5.2).
struct Header {
    bytes: [u8; Self::LONGEST],
    from: u8,
    to: u8,
}

impl Header {
    const LONGEST: usize = 10;

    fn new(kind: Kind, length: usize) -> Self {
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

    fn as_slice(&self) -> &[u8] {
        self.bytes.get(usize::from(self.from)..usize::from(self.to)).unwrap_or_default()
    }

    fn advance(&mut self, count: usize) {
        self.from = self.from.saturating_add(u8::try_from(count).unwrap_or(u8::MAX)).min(self.to);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::cast_possible_truncation)]

    use super::*;

    #[test]
    fn headers_take_the_shortest_form_of_their_length() {
        let header = |kind, length| Header::new(kind, length).as_slice().to_vec();
        assert_eq!(header(Kind::Text, 0), [0x81, 0]);
        assert_eq!(header(Kind::Binary, 125), [0x82, 125]);
        assert_eq!(header(Kind::Binary, 126), [0x82, 126, 0, 126]);
        assert_eq!(header(Kind::Text, 65_535), [0x81, 126, 255, 255]);
        assert_eq!(header(Kind::Text, 65_536), [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn a_message_without_pieces_is_none() {
        let mut outgoing = Outgoing::default();
        outgoing.queue(Kind::Text, |_| ());
        assert!(outgoing.segments.is_empty());
        assert_eq!(outgoing.bytes(), 0);
        outgoing.queue_empty(Kind::Text);
        assert_eq!(outgoing.bytes(), 2);
    }

    /// A stream that notes what it is given, and takes a few bytes of it.
    struct Recorder {
        calls: Vec<Vec<(*const u8, usize)>>,
        takes: usize,
        written: Vec<u8>,
    }

    impl AsyncWrite for Recorder {
        fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
            self.poll_write_vectored(cx, &[IoSlice::new(data)])
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            self.calls.push(slices.iter().map(|slice| (slice.as_ptr(), slice.len())).collect());
            let all: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            let count = all.len().min(self.takes);
            self.written.extend_from_slice(&all[..count]);
            Poll::Ready(Ok(count))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn write_all(outgoing: &mut Outgoing, takes: usize) -> Recorder {
        let mut recorder = Recorder { calls: Vec::new(), takes, written: Vec::new() };
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(matches!(outgoing.poll_write(&mut recorder, &mut cx), Poll::Ready(Ok(()))));
        recorder
    }

    #[test]
    fn a_batch_is_one_call_with_the_shared_bytes_themselves() {
        let pieces: Vec<_> = (0..300).map(|number| Bytes::from(vec![number as u8; 100])).collect();
        let mut outgoing = Outgoing::default();
        outgoing.queue(Kind::Binary, |take| pieces.iter().cloned().for_each(take));
        let recorder = write_all(&mut outgoing, usize::MAX);
        let [call] = &recorder.calls[..] else { panic!("{} calls", recorder.calls.len()) };
        let places: Vec<_> = pieces.iter().map(|piece| (piece.as_ptr(), piece.len())).collect();
        assert_eq!(call[1..], places[..], "nothing was copied");
        assert_eq!(recorder.written[..4], [0x82, 126, 0x75, 0x30]);
    }

    #[test]
    fn a_stream_that_takes_little_gets_the_same_bytes() {
        let fill = |outgoing: &mut Outgoing| {
            outgoing.queue(Kind::Text, |take| {
                for text in ["one", "two", "three"] {
                    take(Bytes::from_static(text.as_bytes()));
                }
            });
            outgoing.queue_empty(Kind::Text);
            outgoing.queue(Kind::Binary, |take| take(vec![9; 1000].into()));
        };
        let mut outgoing = Outgoing::default();
        fill(&mut outgoing);
        let whole = write_all(&mut outgoing, usize::MAX).written;
        for takes in 1..20 {
            fill(&mut outgoing);
            assert_eq!(write_all(&mut outgoing, takes).written, whole, "{takes} at a time");
        }
    }

    #[test]
    fn nothing_is_kept_when_all_is_written() {
        let mut outgoing = Outgoing::default();
        outgoing.queue(Kind::Binary, |take| {
            for _ in 0..100 {
                take(Bytes::from_static(b"four"));
            }
        });
        assert_eq!(outgoing.bytes(), 4 + 400);
        write_all(&mut outgoing, usize::MAX);
        assert_eq!(outgoing.bytes(), 0);
        assert!(!outgoing.is_begun());
        assert_eq!(outgoing.segments.capacity(), 0);
    }

    #[test]
    fn a_stream_that_takes_nothing_is_an_error_and_no_endless_loop() {
        let mut outgoing = Outgoing::default();
        outgoing.queue_empty(Kind::Text);
        let mut recorder = Recorder { calls: Vec::new(), takes: 0, written: Vec::new() };
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let Poll::Ready(Err(error)) = outgoing.poll_write(&mut recorder, &mut cx) else { panic!("no error") };
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
    }
}
