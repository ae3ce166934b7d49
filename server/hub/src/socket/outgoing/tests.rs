#![allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use std::io::IoSlice;
use std::pin::Pin;

use super::super::gather::LARGE;
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
    assert!(outgoing.queue.is_none());
    assert_eq!(outgoing.bytes(), 0);
    outgoing.queue_empty(Kind::Text);
    assert_eq!(outgoing.bytes(), 2);
}

/// A stream that records the writes, and takes a few bytes of each.
struct Recorder {
    calls: Vec<Vec<(*const u8, usize)>>,
    /// The bytes that it takes at a time.
    takes: usize,
    /// The bytes that it takes in total.
    room: usize,
    written: Vec<u8>,
}

impl Recorder {
    fn new(takes: usize) -> Self {
        Self { calls: Vec::new(), takes, room: usize::MAX, written: Vec::new() }
    }

    fn sizes(&self) -> Vec<Vec<usize>> {
        self.calls.iter().map(|call| call.iter().map(|piece| piece.1).collect()).collect()
    }
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
        let count = all.len().min(self.takes).min(self.room);
        if self.room == 0 {
            return Poll::Pending;
        }
        self.room -= count;
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
    let mut recorder = Recorder::new(takes);
    let mut cx = Context::from_waker(std::task::Waker::noop());
    assert!(matches!(outgoing.poll_write(&mut recorder, &mut cx), Poll::Ready(Ok(()))));
    recorder
}

#[test]
fn a_batch_of_small_pieces_is_one_call_with_one_piece() {
    let pieces: Vec<_> = (0..600).map(|number| Bytes::from(vec![number as u8; 100])).collect();
    let mut outgoing = Outgoing::default();
    outgoing.queue(Kind::Binary, |take| pieces.iter().cloned().for_each(take));
    let recorder = write_all(&mut outgoing, usize::MAX);
    assert_eq!(recorder.sizes(), [vec![4 + 60_000]]);
    assert_eq!(recorder.written[..4], [0x82, 126, 0xea, 0x60]);
    assert_eq!(recorder.written[4..], pieces.concat());
}

#[test]
fn large_pieces_are_written_without_a_copy() {
    let small = Bytes::from_static(b"small");
    let large = [1, 2].map(|number| Bytes::from(vec![number; LARGE]));
    let mut outgoing = Outgoing::default();
    outgoing.queue(Kind::Binary, |take| {
        for piece in [&small, &small, &large[0], &large[1], &small] {
            take(piece.clone());
        }
    });
    let recorder = write_all(&mut outgoing, usize::MAX);
    let [call] = &recorder.calls[..] else { panic!("{} calls", recorder.calls.len()) };
    assert_eq!(recorder.sizes(), [vec![4 + 10, LARGE, LARGE, 5]]);
    assert_eq!([call[1].0, call[2].0], large.each_ref().map(|piece| piece.as_ptr()), "nothing was copied");
    let expected = [&b"smallsmall"[..], &large[0], &large[1], b"small"].concat();
    assert_eq!(recorder.written[4..], expected);
}

#[test]
fn more_than_a_call_takes_goes_in_several() {
    for (count, bytes) in [(2000, 100), (100, LARGE)] {
        let pieces: Vec<_> = (0..count).map(|number| Bytes::from(vec![number as u8; bytes])).collect();
        let mut outgoing = Outgoing::default();
        outgoing.queue(Kind::Binary, |take| pieces.iter().cloned().for_each(take));
        let recorder = write_all(&mut outgoing, usize::MAX);
        assert!((2..20).contains(&recorder.calls.len()), "{}", recorder.calls.len());
        assert_eq!(recorder.written[10..], pieces.concat());
    }
}

#[test]
fn only_the_unwritten_rest_of_gathered_pieces_is_kept() {
    let large = vec![7; LARGE];
    let mut gather = Gather::new();
    for piece in [b"head", &large[..], b"tail"] {
        gather.push(piece);
    }
    let expected = [b"head", &large[..], b"tail"].concat();
    for takes in [0, 1, 4, 5, 100, LARGE, LARGE + 4, LARGE + 5, expected.len()] {
        let mut outgoing = Outgoing::default();
        let mut full = Recorder { room: takes, ..Recorder::new(usize::MAX) };
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let written = outgoing.poll_write_through(&gather, &mut full, &mut cx);
        assert_eq!(written.is_ready(), takes == expected.len());
        assert_eq!(outgoing.bytes(), expected.len() - takes);
        assert_eq!(outgoing.is_begun(), (1..expected.len()).contains(&takes), "{takes}");
        let rest = write_all(&mut outgoing, usize::MAX);
        assert_eq!([full.written, rest.written].concat(), expected, "{takes} at first");
    }
}

#[test]
fn gathered_pieces_go_behind_queued_ones() {
    let mut outgoing = Outgoing::default();
    outgoing.queue_empty(Kind::Text);
    let mut gather = Gather::new();
    gather.push(b"behind");
    let mut full = Recorder { room: 1, ..Recorder::new(usize::MAX) };
    let mut cx = Context::from_waker(std::task::Waker::noop());
    assert!(outgoing.poll_write_through(&gather, &mut full, &mut cx).is_pending());
    assert_eq!(write_all(&mut outgoing, usize::MAX).written, b"\0behind");
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
    assert!(outgoing.queue.is_none());
}

#[test]
fn a_stream_that_takes_nothing_is_an_error_and_no_endless_loop() {
    let mut outgoing = Outgoing::default();
    outgoing.queue_empty(Kind::Text);
    let mut recorder = Recorder::new(0);
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let Poll::Ready(Err(error)) = outgoing.poll_write(&mut recorder, &mut cx) else { panic!("no error") };
    assert_eq!(error.kind(), io::ErrorKind::WriteZero);
}
