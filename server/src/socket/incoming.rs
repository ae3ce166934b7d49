//! WebSocket messages on their way in (RFC 6455, section 5): from the bytes of a stream to whole messages.

use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};
use wirehub_common::code::CloseCode;

use super::{Fault, Kind};

/// Reads the frames of one client. Between messages it holds no memory but its own few bytes.
pub(super) struct Reader {
    frames: Frames,
    /// What was read, and is not a whole message yet or was not asked for yet.
    buffer: BytesMut,
}

/// What a client sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    Message(Kind, Bytes),
    Ping(Bytes),
    Pong,
    /// With the content of the close frame, which is in order.
    Close(Bytes),
}

impl Reader {
    /// `leftover` is what was read before. Messages of more than `limit` bytes are refused.
    pub(super) fn new(leftover: &[u8], limit: usize) -> Self {
        Self { frames: Frames { limit, fragments: None }, buffer: BytesMut::from(leftover) }
    }

    /// The next message, in whatever pieces it comes. Notes where one has come.
    pub(super) fn poll_next<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        has_come: &mut bool,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Received, Fault>> {
        if !self.buffer.is_empty()
            && let Some(received) = self.take_buffered()?
        {
            return Poll::Ready(Ok(received));
        }
        loop {
            // Not the connection's own: idle connections have nothing to keep in it.
            let mut space = [const { MaybeUninit::uninit() }; READ_BYTES];
            let mut read = ReadBuf::uninit(&mut space);
            ready!(Pin::new(&mut *stream).poll_read(cx, &mut read)).map_err(|_| Fault::Gone)?;
            let bytes = read.filled_mut();
            if bytes.is_empty() {
                return Poll::Ready(Err(Fault::Gone));
            }
            *has_come = true;
            let received = if self.buffer.is_empty() {
                let (used, received) = self.frames.next(bytes)?;
                self.buffer.extend_from_slice(bytes.get(used..).unwrap_or_default());
                received
            } else {
                self.buffer.extend_from_slice(bytes);
                self.take_buffered()?
            };
            if let Some(received) = received {
                return Poll::Ready(Ok(received));
            }
        }
    }

    fn take_buffered(&mut self) -> Result<Option<Received>, Fault> {
        let (used, received) = self.frames.next(&mut self.buffer)?;
        self.buffer.advance(used);
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
        Ok(received)
    }
}

/// How much is read at once. More would keep a task longer at one connection than others should wait.
const READ_BYTES: usize = 32 * 1024;

/// The rules of frames, and the message that they are fragments of.
struct Frames {
    limit: usize,
    fragments: Option<Box<Fragments>>,
}

/// A message whose last frame has not come.
struct Fragments {
    kind: Kind,
    data: BytesMut,
    /// How much of it is known to be UTF-8.
    checked: usize,
}

/// What a frame's header says.
struct Header {
    opcode: Opcode,
    last: bool,
    mask: [u8; 4],
    /// Of the header itself.
    bytes: usize,
    /// Of what follows it.
    length: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Opcode {
    Continuation,
    Data(Kind),
    Close,
    Ping,
    Pong,
}

impl Frames {
    /// Goes through the frames that are whole up to the end of a message: how many bytes they have, and the message.
    fn next(&mut self, bytes: &mut [u8]) -> Result<(usize, Option<Received>), Fault> {
        let mut used = 0_usize;
        loop {
            let rest = bytes.get_mut(used..).unwrap_or_default();
            let Some(header) = self.header(rest)? else { return Ok((used, None)) };
            let end = header.bytes.saturating_add(header.length);
            let Some(payload) = rest.get_mut(header.bytes..end) else { return Ok((used, None)) };
            unmask(payload, header.mask);
            used = used.saturating_add(end);
            if let Some(received) = self.frame(&header, payload)? {
                return Ok((used, Some(received)));
            }
        }
    }

    /// The header of the next frame, once it is whole. What can be seen to be wrong before that is refused at once.
    fn header(&self, mut bytes: &[u8]) -> Result<Option<Header>, Fault> {
        let before = bytes.len();
        let (Ok(first), Ok(second)) = (bytes.try_get_u8(), bytes.try_get_u8()) else { return Ok(None) };
        let last = first & 0x80 != 0;
        if first & 0x70 != 0 {
            return Err(broken("a reserved bit is set: no extension was agreed on"));
        }
        let opcode = match first & 0x0f {
            0x0 => Opcode::Continuation,
            0x1 => Opcode::Data(Kind::Text),
            0x2 => Opcode::Data(Kind::Binary),
            0x8 => Opcode::Close,
            0x9 => Opcode::Ping,
            0xa => Opcode::Pong,
            _ => return Err(broken("the frame has a reserved opcode")),
        };
        match opcode {
            Opcode::Continuation if self.fragments.is_none() => {
                return Err(broken("the frame continues a message that has not begun"));
            }
            Opcode::Data(_) if self.fragments.is_some() => {
                return Err(broken("a message begins before the one before it has ended"));
            }
            _ => {}
        }
        if second & 0x80 == 0 {
            return Err(broken("a client's frames must be masked"));
        }
        let short = second & 0x7f;
        if opcode.is_control() && (!last || short > 125) {
            return Err(broken("a control frame must be whole and have at most 125 bytes"));
        }
        let length = match short {
            126 => bytes.try_get_u16().map(u64::from),
            127 => bytes.try_get_u64(),
            short => Ok(short.into()),
        };
        let Ok(length) = length else { return Ok(None) };
        if length > LONGEST {
            return Err(broken("the frame's length has its highest bit set"));
        }
        let begun = self.fragments.as_ref().map_or(0, |fragments| fragments.data.len());
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if !opcode.is_control() && begun.saturating_add(length) > self.limit {
            let code = CloseCode::TOO_LARGE;
            return Err(Fault::Violation(code, code.message().into()));
        }
        let Ok(mask) = bytes.try_get_u32() else { return Ok(None) };
        let bytes = before.saturating_sub(bytes.len());
        Ok(Some(Header { opcode, last, mask: mask.to_be_bytes(), bytes, length }))
    }

    /// Takes a frame; gives the message that it is, or is the last one of.
    fn frame(&mut self, header: &Header, payload: &[u8]) -> Result<Option<Received>, Fault> {
        Ok(Some(match header.opcode {
            Opcode::Ping => Received::Ping(Bytes::copy_from_slice(payload)),
            Opcode::Pong => Received::Pong,
            Opcode::Close => {
                check_close(payload)?;
                Received::Close(Bytes::copy_from_slice(payload))
            }
            Opcode::Data(kind) if header.last => {
                if kind == Kind::Text && std::str::from_utf8(payload).is_err() {
                    return Err(not_utf8());
                }
                Received::Message(kind, Bytes::copy_from_slice(payload))
            }
            Opcode::Data(kind) => {
                let fragments = Fragments { kind, data: BytesMut::new(), checked: 0 };
                return self.fragments.insert(Box::new(fragments)).add(payload).map(|()| None);
            }
            Opcode::Continuation => {
                let Some(mut fragments) = self.fragments.take() else { return Ok(None) };
                fragments.add(payload)?;
                if !header.last {
                    self.fragments = Some(fragments);
                    return Ok(None);
                }
                let Fragments { kind, data, checked } = *fragments;
                if kind == Kind::Text && checked < data.len() {
                    return Err(not_utf8());
                }
                Received::Message(kind, data.freeze())
            }
        }))
    }
}

impl Fragments {
    /// Adds to the message. What can't become UTF-8 any more is refused without waiting for its end.
    fn add(&mut self, payload: &[u8]) -> Result<(), Fault> {
        self.data.extend_from_slice(payload);
        if self.kind == Kind::Text {
            let unchecked = self.data.get(self.checked..).unwrap_or_default();
            let valid = match std::str::from_utf8(unchecked) {
                Ok(text) => text.len(),
                Err(error) if error.error_len().is_none() => error.valid_up_to(),
                Err(_) => return Err(not_utf8()),
            };
            self.checked = self.checked.saturating_add(valid);
        }
        Ok(())
    }
}

impl Opcode {
    fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// RFC 6455, section 5.2.
const LONGEST: u64 = i64::MAX.unsigned_abs();

fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u128::from_ne_bytes([a, b, c, d, a, b, c, d, a, b, c, d, a, b, c, d]);
    let (chunks, rest) = payload.as_chunks_mut();
    for chunk in chunks {
        *chunk = (u128::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.into_iter().cycle()) {
        *byte ^= mask;
    }
}

/// RFC 6455, section 5.5.1: nothing, or a code and a reason.
fn check_close(mut payload: &[u8]) -> Result<(), Fault> {
    if payload.is_empty() {
        return Ok(());
    }
    let code = payload.try_get_u16().ok().and_then(CloseCode::new);
    if !code.is_some_and(CloseCode::is_sendable) {
        return Err(broken("a close frame must have no code, or one that may be sent"));
    }
    std::str::from_utf8(payload).map(|_| ()).map_err(|_| not_utf8())
}

fn broken(rule: &str) -> Fault {
    Fault::Violation(CloseCode::PROTOCOL_ERROR, rule.into())
}

fn not_utf8() -> Fault {
    Fault::Violation(
        CloseCode::INVALID_DATA,
        "a text must be UTF-8: send other bytes as binary messages".into(),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use proptest::collection;
    use proptest::prelude::*;
    use tokio_tungstenite::tungstenite::error::ProtocolError;

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

    /// A stream that gives so many bytes at a time, and then its end.
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

    /// All that is received, and the fault that ends it.
    fn read(bytes: &[u8], size: usize, limit: usize) -> (Vec<Received>, Fault) {
        let mut stream = Pieces { bytes, size };
        let mut reader = Reader::new(&[], limit);
        let mut received = Vec::new();
        loop {
            match reader.poll_next(
                &mut stream,
                &mut false,
                &mut Context::from_waker(std::task::Waker::noop()),
            ) {
                Poll::Ready(Ok(one)) => received.push(one),
                Poll::Ready(Err(fault)) => {
                    return (received, fault);
                }
                Poll::Pending => unreachable!("the stream never waits"),
            }
        }
    }

    fn fault_of(bytes: &[u8]) -> Option<CloseCode> {
        let faults = [1, 2, 3, usize::MAX].map(|size| match read(bytes, size, 100_000).1 {
            Fault::Violation(code, _) => Some(code),
            Fault::Gone => None,
        });
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
    fn what_the_rules_forbid_is_refused_however_it_is_cut() {
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
            // Nothing that could follow makes it good.
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
        for start in [&[0x83][..], &[0x82, 0x00], &[0x80, 0x80], &[0x82, 0xff, 0, 0, 0, 0, 0, 1, 0x86, 0xa1]]
        {
            let start = if start.len() == 1 { [start, &[0x80]].concat() } else { start.to_vec() };
            assert!(fault_of(&start).is_some(), "{start:?}");
        }
    }

    #[test]
    fn nothing_is_kept_when_nothing_is_begun() {
        let bytes =
            [frame(0x82, &[7; 50_000]), frame(0x01, b"a"), frame(0x80, b"b"), frame(0x82, b"c")].concat();
        let mut stream = Pieces { bytes: &bytes, size: usize::MAX };
        let mut reader = Reader::new(&[], 100_000);
        for _ in 0..3 {
            let received =
                reader.poll_next(&mut stream, &mut false, &mut Context::from_waker(std::task::Waker::noop()));
            assert!(matches!(received, Poll::Ready(Ok(Received::Message(..)))));
        }
        assert_eq!(reader.buffer.capacity(), 0);
        assert!(reader.frames.fragments.is_none());
    }

    /// What tungstenite makes of the same bytes.
    fn read_by_tungstenite(bytes: &[u8], limit: usize) -> (Vec<Received>, Option<CloseCode>) {
        use tokio_tungstenite::tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
        use tokio_tungstenite::tungstenite::{Error, Message};

        /// Reads from the bytes; what is written is lost.
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

    /// A frame, more often one that may be.
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
            // Too much together; which of two faults in one frame is told is not compared.
            1 => (480_usize..520).prop_map(|length| vec![b'x'; length]),
        ];
        (first, payload).prop_map(|(first, payload)| frame(first, &payload))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn tungstenite_reads_the_same(frames in collection::vec(any_frame(), 0..12), size in 1_usize..200) {
            let bytes = frames.concat();
            let (received, fault) = read(&bytes, size, 1000);
            let code = match fault {
                Fault::Violation(code, _) => Some(code),
                Fault::Gone => None,
            };
            prop_assert_eq!((received, code), read_by_tungstenite(&bytes, 1000));
        }
    }
}
