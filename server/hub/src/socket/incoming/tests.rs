#![allow(clippy::arithmetic_side_effects)]

use proptest::collection;
use proptest::prelude::*;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use wirehub_common::code::CloseCode;

use super::*;

/// A masked frame.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ ..=125 => frame.push(0x80 | length as u8),
        length @ ..=65_535 => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    let mask = [0x11, 0xf2, 0x33, 0x44];
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// A stream that returns a few bytes at a time, and then its end.
struct Pieces<'a> {
    bytes: &'a [u8],
    size: usize,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let size = self.size.min(self.bytes.len()).min(buffer.remaining());
        let (piece, rest) = self.bytes.split_at(size);
        buffer.put_slice(piece);
        self.bytes = rest;
        Poll::Ready(Ok(()))
    }
}

/// All received items, and the fault at the end.
fn read(bytes: &[u8], size: usize, limit: usize) -> (Vec<Received>, Fault) {
    let mut stream = Pieces { bytes, size };
    let mut reader = Reader::new(&[], limit);
    let mut received = Vec::new();
    loop {
        match reader.poll_next(&mut stream, &mut false, &mut Context::from_waker(std::task::Waker::noop())) {
            Poll::Ready(Ok(one)) => received.push(one),
            Poll::Ready(Err(fault)) => {
                return (received, fault);
            }
            Poll::Pending => unreachable!("the stream never waits"),
        }
    }
}

fn code_of(fault: &Fault) -> Option<CloseCode> {
    match fault {
        Fault::Violation(code, _) => Some(*code),
        Fault::Gone => None,
    }
}

fn fault_of(bytes: &[u8]) -> Option<CloseCode> {
    let faults = [1, 2, 3, usize::MAX].map(|size| code_of(&read(bytes, size, 100_000).1));
    assert!(faults.iter().all(|fault| *fault == faults[0]), "{bytes:?}: {faults:?}");
    faults[0]
}

#[test]
fn messages_are_the_same_however_they_are_cut() {
    let lengths = [0, 1, 3, 15, 16, 17, 125, 126, 65_535, 65_536, 90_000];
    let payloads = lengths.map(|length| (0..length).map(|byte: u32| byte as u8).collect::<Vec<u8>>());
    let bytes: Vec<u8> = payloads.iter().flat_map(|payload| frame(0x82, payload)).collect();
    let expected = payloads.map(|payload| Received::Message(Kind::Binary, payload.into()));
    for size in [1, 2, 3, 5, 7, 1000, READ_BYTES, usize::MAX] {
        let (received, fault) = read(&bytes, size, 100_000);
        assert_eq!(received, expected);
        assert_eq!(fault, Fault::Gone);
    }
}

#[test]
fn fragments_are_put_together_with_control_frames_between_them() {
    let euro = "€".as_bytes();
    let bytes = [
        frame(0x01, &euro[..1]),
        frame(0x89, b"ping"),
        frame(0x00, &euro[1..]),
        frame(0x00, b""),
        frame(0x8a, b""),
        frame(0x80, b"!"),
        frame(0x88, b"\x03\xe8bye"),
    ]
    .concat();
    for size in [1, 4, usize::MAX] {
        let (received, _) = read(&bytes, size, 100);
        let expected = [
            Received::Ping("ping".into()),
            Received::Pong,
            Received::Message(Kind::Text, "€!".into()),
            Received::Close(Bytes::from_static(b"\x03\xe8bye")),
        ];
        assert_eq!(received, expected);
    }
}

#[test]
fn violations_are_refused_in_any_fragmentation() {
    const BROKEN: Option<CloseCode> = Some(CloseCode::PROTOCOL_ERROR);
    const TEXT: Option<CloseCode> = Some(CloseCode::INVALID_DATA);
    for (bytes, expected) in [
        (frame(0xc2, b"reserved bit"), BROKEN),
        (frame(0x83, b"reserved opcode"), BROKEN),
        (frame(0x8b, b"reserved control opcode"), BROKEN),
        (vec![0x82, 1, b'u'], BROKEN),
        (frame(0x09, b"fragmented ping"), BROKEN),
        (frame(0x89, &[0; 126]), BROKEN),
        (frame(0x80, b"continues nothing"), BROKEN),
        ([frame(0x02, b"begun"), frame(0x82, b"and another")].concat(), BROKEN),
        (vec![0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], BROKEN),
        (frame(0x88, b"\x03"), BROKEN),
        (frame(0x88, &1005_u16.to_be_bytes()), BROKEN),
        (frame(0x88, &2999_u16.to_be_bytes()), BROKEN),
        (frame(0x88, b"\x03\xe8\xff"), TEXT),
        (frame(0x81, b"\xff"), TEXT),
        (frame(0x81, b"\xe2\x82"), TEXT),
        ([frame(0x01, b"\xe2\x82"), frame(0x80, b"")].concat(), TEXT),
        // No continuation makes it valid.
        (frame(0x01, b"\xff"), TEXT),
        ([frame(0x01, b"\xe2\x82"), frame(0x00, b"x")].concat(), TEXT),
        (frame(0x82, &[0; 100_001]), Some(CloseCode::TOO_LARGE)),
        ([frame(0x02, &[0; 60_000]), frame(0x00, &[0; 60_000])].concat(), Some(CloseCode::TOO_LARGE)),
        (frame(0x82, &[0; 100_000])[..100_000].to_vec(), None),
        (vec![], None),
    ] {
        assert_eq!(fault_of(&bytes), expected, "{:?}", bytes.get(..bytes.len().min(16)));
    }
}

#[test]
fn a_header_that_is_wrong_is_refused_before_its_content_comes() {
    for start in [&[0x83][..], &[0x82, 0x00], &[0x80, 0x80], &[0x82, 0xff, 0, 0, 0, 0, 0, 1, 0x86, 0xa1]] {
        let start = if start.len() == 1 { [start, &[0x80]].concat() } else { start.to_vec() };
        assert!(fault_of(&start).is_some(), "{start:?}");
    }
}

#[test]
fn invalid_utf_8_is_refused_at_once_and_not_at_the_end_of_its_frame() {
    let texts: [(&[u8], usize); 6] = [
        // The number of bytes up to and including the first invalid one.
        (b"\xff and on", 1),
        (b"\xce\xba\xe1\xbd\xb9\xf4\x90\x80\x80 and on", 7),
        (b"\xe0\x80\x80 and on", 2),
        (b"\xed\xa0\x80 and on", 2),
        (b"\xe2\x82x and on", 3),
        (b"\xc3\xa4\x80 and on", 3),
    ];
    for (text, wrong) in texts {
        for fragments in [vec![frame(0x81, text)], vec![frame(0x01, b"begun "), frame(0x80, text)]] {
            let bytes = fragments.concat();
            let before = bytes.len() - text.len();
            for size in [1, 2, 3, usize::MAX] {
                let (_, fault) = read(&bytes[..before + wrong - 1], size, 100);
                assert_eq!(fault, Fault::Gone, "{text:?}: up to there it might be right");
                let (_, fault) = read(&bytes[..before + wrong], size, 100);
                assert_eq!(code_of(&fault), Some(CloseCode::INVALID_DATA), "{text:?}");
            }
        }
    }
}

#[test]
fn an_announced_length_takes_no_memory() {
    let bytes = frame(0x82, &[7; 90_000]);
    let mut stream = Pieces { bytes: &bytes[..1000], size: 100 };
    let mut reader = Reader::new(&[], 100_000);
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let gone = reader.poll_next(&mut stream, &mut false, &mut cx);
    assert_eq!(gone, Poll::Ready(Err(Fault::Gone)));
    assert!(reader.frames.collected_capacity() < 4000, "{}", reader.frames.collected_capacity());
}

#[test]
fn nothing_is_kept_when_nothing_is_begun() {
    let bytes = [frame(0x82, &[7; 50_000]), frame(0x01, b"a"), frame(0x80, b"b"), frame(0x82, b"c")].concat();
    let mut stream = Pieces { bytes: &bytes, size: usize::MAX };
    let mut reader = Reader::new(&[], 100_000);
    for _ in 0..3 {
        let received =
            reader.poll_next(&mut stream, &mut false, &mut Context::from_waker(std::task::Waker::noop()));
        assert!(matches!(received, Poll::Ready(Ok(Received::Message(..)))));
    }
    assert_eq!(reader.behind, None);
    assert_eq!(reader.frames.collected_capacity(), 0);
}

/// The same bytes, as tungstenite reads them.
fn read_by_tungstenite(bytes: &[u8], limit: usize) -> (Vec<Received>, Option<CloseCode>) {
    use tokio_tungstenite::tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
    use tokio_tungstenite::tungstenite::{Error, Message};

    /// A stream that reads from the bytes, and discards what is written.
    struct Given<'a>(&'a [u8]);
    impl std::io::Read for Given<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.0.read(buffer)
        }
    }
    impl std::io::Write for Given<'_> {
        fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
            Ok(data.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let config = WebSocketConfig::default().max_message_size(Some(limit)).max_frame_size(Some(limit));
    let mut socket = WebSocket::from_raw_socket(Given(bytes), Role::Server, Some(config));
    let mut received = Vec::new();
    loop {
        received.push(match socket.read() {
            Ok(Message::Text(text)) => Received::Message(Kind::Text, text.into()),
            Ok(Message::Binary(data)) => Received::Message(Kind::Binary, data),
            Ok(Message::Ping(payload)) => Received::Ping(payload),
            Ok(Message::Pong(_)) => Received::Pong,
            Ok(other) => panic!("{other:?}"),
            Err(Error::Capacity(_)) => return (received, Some(CloseCode::TOO_LARGE)),
            Err(Error::Utf8(_)) => return (received, Some(CloseCode::INVALID_DATA)),
            Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => return (received, None),
            Err(Error::Protocol(_)) => return (received, Some(CloseCode::PROTOCOL_ERROR)),
            Err(other) => panic!("{other:?}"),
        });
    }
}

/// A frame; most are valid.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        8 => prop_oneof![Just(0x81), Just(0x82), Just(0x01), Just(0x00), Just(0x80), Just(0x89), Just(0x8a)],
        1 => any::<u8>().prop_filter("tungstenite takes the peer's forbidden codes for its own answer", |first| {
            first & 0x0f != 8
        }),
    ];
    let payload = prop_oneof![
        4 => "[a-zß€😀]{0,12}".prop_map(String::into_bytes),
        2 => collection::vec(any::<u8>(), 0..8),
        1 => (120_usize..140).prop_map(|length| vec![b'x'; length]),
        // Together they are too large. If a frame has two faults, the order of their reports is not compared.
        1 => (480_usize..520).prop_map(|length| vec![b'x'; length]),
    ];
    (first, payload).prop_map(|(first, payload)| frame(first, &payload))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn texts_are_the_same_wherever_they_are_cut(
        text in "[a-zß€😀]{0,60}",
        fragments in collection::vec(0_usize..240, 0..4),
        size in 1_usize..80,
    ) {
        let mut cuts: Vec<usize> = fragments.into_iter().map(|cut| cut.min(text.len())).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let last = cuts.len() - 2;
        let bytes: Vec<u8> = cuts
            .windows(2)
            .enumerate()
            .flat_map(|(at, cut)| {
                let first = if at == 0 { 1 } else { 0 } | if at == last { 0x80 } else { 0 };
                frame(first, &text.as_bytes()[cut[0]..cut[1]])
            })
            .collect();
        let (received, fault) = read(&bytes, size, 1000);
        prop_assert_eq!(received, [Received::Message(Kind::Text, text.into())]);
        prop_assert_eq!(fault, Fault::Gone);
    }

    #[test]
    fn tungstenite_reads_the_same(frames in collection::vec(any_frame(), 0..12), size in 1_usize..200) {
        let bytes = frames.concat();
        let (received, fault) = read(&bytes, size, 1000);
        prop_assert_eq!((received, code_of(&fault)), read_by_tungstenite(&bytes, 1000));
    }
}

#[test]
fn after_our_close_messages_are_discarded_and_the_close_of_the_peer_is_found() {
    let whole = frame(0x81, &[b'a'; 50_000]);
    for begun in [0, 20_000] {
        let (first, rest) = whole.split_at(begun);
        let bytes =
            [rest, &frame(0x01, &[b'b'; 40_000]), &frame(0x80, &[0xff; 2_000_000]), &frame(0x88, b"")]
                .concat();
        let mut reader = Reader::new(&[], 64 * 1024);
        let mut has_come = false;
        let mut read = |reader: &mut Reader, bytes: &[u8]| {
            let mut stream = Pieces { bytes, size: 1000 };
            let mut found = Vec::new();
            while let Poll::Ready(Ok(received)) = reader.poll_next(
                &mut stream,
                &mut has_come,
                &mut Context::from_waker(std::task::Waker::noop()),
            ) {
                found.push(received);
            }
            found
        };
        assert_eq!(read(&mut reader, first), []);
        assert_eq!(reader.frames.collected_capacity() > 0, begun > 0);
        reader.discard_messages();
        assert_eq!(reader.frames.collected_capacity(), 0);
        let found = read(&mut reader, &bytes);
        let [Received::Message(_, one), Received::Message(_, other), Received::Close(_)] = &found[..] else {
            panic!("{found:?}")
        };
        assert!(one.is_empty() && other.is_empty());
    }
}
