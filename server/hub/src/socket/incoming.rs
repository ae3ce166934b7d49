//! Incoming WebSocket messages: from the bytes of a stream to complete messages.

use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};

use super::frames::{FoundItem, Frames, MessagePayload};
use super::{Fault, Kind};

/// Reads the frames of one client. Between messages it has no buffer.
pub(super) struct Reader {
    frames: Frames,
    /// Bytes that are read but not parsed: they were not requested yet, or are the beginning of a header or of a control frame.
    /// Boxed, because a pointer is smaller, and most readers have none.
    behind: Option<Box<BytesMut>>,
}

/// A frame or message of a client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    Message(Kind, Bytes),
    Ping(Bytes),
    Pong,
    /// With the content of the close frame, which is valid.
    Close(Bytes),
}

impl Reader {
    /// `leftover` contains the bytes that were read earlier. Messages of more than `limit` bytes are refused.
    pub(super) fn new(leftover: &[u8], limit: usize) -> Self {
        let mut reader = Self { frames: Frames::new(limit), behind: None };
        reader.keep(leftover);
        reader
    }

    /// The next message, regardless of its fragmentation. Sets `has_come` if something was read.
    pub(super) fn poll_next<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        has_come: &mut bool,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Received, Fault>> {
        if let Some(received) = self.next_unseen()? {
            return Poll::Ready(Ok(received));
        }
        loop {
            let mut space = space();
            let mut space = ReadBuf::uninit(&mut space);
            let mut bytes = ready!(self.poll_read(stream, has_come, cx, &mut space))?;
            let received = self.frames.next(&mut bytes)?.map(Received::from);
            self.keep(bytes);
            if let Some(received) = received {
                return Poll::Ready(Ok(received));
            }
        }
    }

    /// From now on messages are discarded, without memory for them; only the peer's close matters.
    pub(super) fn discard_messages(&mut self) {
        self.frames.discard_messages();
    }

    /// `true` if a message has come in part.
    pub(super) fn is_unfinished(&self) -> bool {
        self.behind.is_some() || self.frames.is_unfinished()
    }

    /// The next message among the bytes that are read already.
    pub(super) fn next_unseen(&mut self) -> Result<Option<Received>, Fault> {
        let Some(behind) = &mut self.behind else { return Ok(None) };
        let mut bytes = &mut behind[..];
        let received = self.frames.next(&mut bytes)?.map(Received::from);
        let left = bytes.len();
        behind.advance(behind.len().saturating_sub(left));
        if behind.is_empty() {
            self.behind = None;
        }
        Ok(received)
    }

    /// Reads more bytes, after all earlier messages are taken. Bytes that are not parsed have to be [kept](Self::keep).
    pub(super) fn poll_read<'a, S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        has_come: &mut bool,
        cx: &mut Context<'_>,
        space: &'a mut ReadBuf<'_>,
    ) -> Poll<Result<&'a mut [u8], Fault>> {
        // Less than a control frame: everything else is parsed.
        let behind = self.behind.as_ref().map_or(&[][..], |behind| behind);
        space.put_slice(behind);
        ready!(Pin::new(stream).poll_read(cx, space)).map_err(|_| Fault::Gone)?;
        if space.filled().len() == behind.len() {
            return Poll::Ready(Err(Fault::Gone));
        }
        *has_come = true;
        Poll::Ready(Ok(space.filled_mut()))
    }

    /// Keeps the bytes that are not parsed.
    pub(super) fn keep(&mut self, bytes: &[u8]) {
        self.behind = (!bytes.is_empty()).then(|| Box::new(BytesMut::from(bytes)));
    }

    /// The parser, for callers that read by themselves.
    pub(super) fn frames(&mut self) -> &mut Frames {
        &mut self.frames
    }
}

impl From<FoundItem<'_>> for Received {
    fn from(found: FoundItem<'_>) -> Self {
        match found {
            FoundItem::Message(kind, MessagePayload::InPlace(data)) => {
                Self::Message(kind, Bytes::copy_from_slice(data))
            }
            FoundItem::Message(kind, MessagePayload::Collected(data)) => Self::Message(kind, data.into()),
            FoundItem::Ping(payload) => Self::Ping(Bytes::copy_from_slice(payload)),
            FoundItem::Pong => Self::Pong,
            FoundItem::Close(payload) => Self::Close(Bytes::copy_from_slice(payload)),
        }
    }
}

/// The maximum bytes of one read. A larger read would keep other connections waiting.
const READ_BYTES: usize = 32 * 1024;

/// The read buffer. It is on the stack, so that idle connections have none.
pub(super) fn space() -> [MaybeUninit<u8>; READ_BYTES] {
    [const { MaybeUninit::uninit() }; READ_BYTES]
}

#[cfg(test)]
mod tests;
