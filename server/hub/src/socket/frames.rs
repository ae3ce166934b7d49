//! The rules of WebSocket frames (RFC 6455, section 5), and the message that consists of them.

use bytes::Buf as _;
use wirehub_common::code::CloseCode;

use super::{Fault, Kind};

/// Parses the bytes of a client. Of an incomplete message it keeps the received part.
pub(super) struct Frames {
    limit: usize,
    message: Option<Box<PartialMessage>>,
}

/// An incomplete message.
struct PartialMessage {
    kind: Kind,
    data: Vec<u8>,
    /// The number of bytes that are known to be UTF-8.
    checked: usize,
    /// The rest of the present frame; `None` between two frames.
    frame: Option<FrameRemainder>,
}

/// The rest of a frame.
struct FrameRemainder {
    last: bool,
    /// The mask, rotated to the next byte.
    mask: [u8; 4],
    length: usize,
}

/// An item that was found among the bytes.
pub(super) enum FoundItem<'a> {
    Message(Kind, MessagePayload<'a>),
    Ping(&'a [u8]),
    Pong,
    /// With its content, which is valid.
    Close(&'a [u8]),
}

/// The content of a message.
pub(super) enum MessagePayload<'a> {
    /// It came in one frame and in one piece, and is still in the read buffer.
    InPlace(&'a [u8]),
    /// It was collected from several pieces.
    Collected(Vec<u8>),
}

/// The content of a frame's header.
struct FrameHeader {
    opcode: Opcode,
    last: bool,
    mask: [u8; 4],
    /// The size of the header itself.
    bytes: usize,
    /// The size of the payload.
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
    /// Messages of more than `limit` bytes are refused.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, message: None }
    }

    /// From now on messages are discarded; only later frames matter.
    pub(super) fn discard_messages(&mut self) {
        self.limit = KEPT_NOTHING;
        if let Some(message) = &mut self.message {
            message.data = Vec::new();
        }
    }

    /// `true` if a message has begun and not ended.
    pub(super) fn is_unfinished(&self) -> bool {
        self.message.is_some()
    }

    /// The memory of the incomplete message.
    #[cfg(test)]
    pub(super) fn collected_capacity(&self) -> usize {
        self.message.as_ref().map_or(0, |message| message.data.capacity())
    }

    /// Parses `bytes` up to the end of the next complete item, and removes these bytes from the front. If there is no complete
    /// item, the remaining bytes are the beginning of a header or of a control frame. They have to be passed again, together
    /// with the following ones.
    pub(super) fn next<'a>(&mut self, bytes: &mut &'a mut [u8]) -> Result<Option<FoundItem<'a>>, Fault> {
        loop {
            if let Some(message) = &mut self.message
                && let Some(rest) = &message.frame
            {
                let piece = take_front(bytes, rest.length.min(bytes.len()));
                let progress =
                    if self.limit == KEPT_NOTHING { message.skip(piece) } else { message.add(piece)? };
                match progress {
                    Progress::MoreOfFrame => return Ok(None),
                    Progress::MoreFrames => {}
                    Progress::Whole => {
                        let Some(message) = self.message.take() else { return Ok(None) };
                        return Ok(Some(FoundItem::Message(
                            message.kind,
                            MessagePayload::Collected(message.data),
                        )));
                    }
                }
            }
            let Some(header) = self.header(bytes)? else { return Ok(None) };
            let end = header.bytes.saturating_add(header.length);
            match header.opcode {
                Opcode::Data(kind) if !header.last || bytes.len() < end => {
                    let message =
                        PartialMessage { kind, data: Vec::new(), checked: 0, frame: Some(header.rest()) };
                    self.message = Some(Box::new(message));
                    take_front(bytes, header.bytes);
                }
                Opcode::Continuation => {
                    if let Some(message) = &mut self.message {
                        message.frame = Some(header.rest());
                    }
                    take_front(bytes, header.bytes);
                }
                _ if bytes.len() < end => return Ok(None),
                opcode => {
                    take_front(bytes, header.bytes);
                    let payload = take_front(bytes, header.length);
                    unmask(payload, header.mask);
                    return complete_item(opcode, payload).map(Some);
                }
            }
        }
    }

    /// The header of the next frame, if it is complete. Errors are reported as early as possible.
    fn header(&self, mut bytes: &[u8]) -> Result<Option<FrameHeader>, Fault> {
        let before = bytes.len();
        let (Ok(first), Ok(second)) = (bytes.try_get_u8(), bytes.try_get_u8()) else { return Ok(None) };
        let last = first & 0x80 != 0;
        if first & 0x70 != 0 {
            return Err(broken("a reserved bit is set, but no extension was negotiated"));
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
            Opcode::Continuation if self.message.is_none() => {
                return Err(broken("a continuation frame does not follow a message's first frame"));
            }
            Opcode::Data(_) if self.message.is_some() => {
                return Err(broken("a new message begins before the end of the previous one"));
            }
            _ => {}
        }
        if second & 0x80 == 0 {
            return Err(broken("a client's frames must be masked"));
        }
        let short = second & 0x7f;
        if opcode.is_control() && (!last || short > 125) {
            return Err(broken("a control frame must have at most 125 bytes and must not be fragmented"));
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
        let begun = self.message.as_ref().map_or(0, |message| message.data.len());
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let is_too_large = self.limit != KEPT_NOTHING && begun.saturating_add(length) > self.limit;
        if !opcode.is_control() && is_too_large {
            let code = CloseCode::TOO_LARGE;
            return Err(Fault::Violation(code, code.message().into()));
        }
        let Ok(mask) = bytes.try_get_u32() else { return Ok(None) };
        let bytes = before.saturating_sub(bytes.len());
        Ok(Some(FrameHeader { opcode, last, mask: mask.to_be_bytes(), bytes, length }))
    }
}

/// The item of a frame that came in one piece.
fn complete_item(opcode: Opcode, payload: &[u8]) -> Result<FoundItem<'_>, Fault> {
    match opcode {
        Opcode::Ping => Ok(FoundItem::Ping(payload)),
        Opcode::Pong => Ok(FoundItem::Pong),
        Opcode::Close => check_close(payload).map(|()| FoundItem::Close(payload)),
        Opcode::Data(Kind::Text) if std::str::from_utf8(payload).is_err() => Err(not_utf8()),
        Opcode::Data(kind) => Ok(FoundItem::Message(kind, MessagePayload::InPlace(payload))),
        Opcode::Continuation => Err(broken("a continuation frame does not follow a message's first frame")),
    }
}

/// The state of a message.
enum Progress {
    MoreOfFrame,
    MoreFrames,
    Whole,
}

impl PartialMessage {
    /// Adds a piece to the present frame. Invalid UTF-8 is refused without a wait for the end.
    fn add(&mut self, piece: &mut [u8]) -> Result<Progress, Fault> {
        let Some(frame) = &mut self.frame else { return Ok(Progress::MoreFrames) };
        unmask(piece, frame.mask);
        frame.mask.rotate_left(piece.len() % 4);
        frame.length = frame.length.saturating_sub(piece.len());
        if self.data.capacity().saturating_sub(self.data.len()) < piece.len() {
            // At most twice the present size, so that the cost of copying stays in proportion, and no more than the announced
            // length: an announced length costs its sender nothing.
            let more = frame.length.min(self.data.len());
            self.data.reserve_exact(piece.len().saturating_add(more));
        }
        self.data.extend_from_slice(piece);
        let (is_at_end, is_last) = (frame.length == 0, frame.last);
        if is_at_end {
            self.frame = None;
        }
        if self.kind == Kind::Text {
            self.check()?;
            if is_at_end && is_last && self.checked < self.data.len() {
                return Err(not_utf8());
            }
        }
        Ok(match (is_at_end, is_last) {
            (false, _) => Progress::MoreOfFrame,
            (true, false) => Progress::MoreFrames,
            (true, true) => Progress::Whole,
        })
    }

    /// Skips a piece of the present frame.
    fn skip(&mut self, piece: &[u8]) -> Progress {
        let Some(frame) = &mut self.frame else { return Progress::MoreFrames };
        frame.length = frame.length.saturating_sub(piece.len());
        if frame.length > 0 {
            return Progress::MoreOfFrame;
        }
        let is_last = frame.last;
        self.frame = None;
        if is_last { Progress::Whole } else { Progress::MoreFrames }
    }

    fn check(&mut self) -> Result<(), Fault> {
        let unchecked = self.data.get(self.checked..).unwrap_or_default();
        let valid = match std::str::from_utf8(unchecked) {
            Ok(text) => text.len(),
            // An incomplete character.
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => return Err(not_utf8()),
        };
        self.checked = self.checked.saturating_add(valid);
        Ok(())
    }
}

impl FrameHeader {
    fn rest(&self) -> FrameRemainder {
        FrameRemainder { last: self.last, mask: self.mask, length: self.length }
    }
}

impl Opcode {
    fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// The limit for discarded messages. No other limit is so small.
const KEPT_NOTHING: usize = 0;

/// RFC 6455, section 5.2.
const LONGEST: u64 = i64::MAX.unsigned_abs();

/// Removes `count` bytes from the front, or all if there are fewer.
fn take_front<'a>(bytes: &mut &'a mut [u8], count: usize) -> &'a mut [u8] {
    let all = std::mem::take(bytes);
    let count = count.min(all.len());
    let (front, rest) = all.split_at_mut(count);
    *bytes = rest;
    front
}

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

/// RFC 6455, section 5.5.1: no content, or a code and a reason.
fn check_close(mut payload: &[u8]) -> Result<(), Fault> {
    if payload.is_empty() {
        return Ok(());
    }
    let code = payload.try_get_u16().ok().and_then(CloseCode::new);
    if !code.is_some_and(CloseCode::is_sendable) {
        return Err(broken("the code of the close frame is not allowed on the wire"));
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
