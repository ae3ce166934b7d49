//! WebSocket messages on their way in: from the bytes of a stream to whole messages.

use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};

use super::frames::{Found, Frames, Payload};
use super::{Fault, Kind};

/// Reads the frames of one client. Between messages it holds no memory but its own few bytes.
pub(super) struct Reader {
    frames: Frames,
    /// What was read and not looked at: it was not asked for yet, or is the beginning of a header or a control frame.
    behind: BytesMut,
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
        Self { frames: Frames::new(limit), behind: BytesMut::from(leftover) }
    }

    /// The next message, in whatever pieces it comes. Notes where one has come.
    pub(super) fn poll_next<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        has_come: &mut bool,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Received, Fault>> {
        if !self.behind.is_empty() {
            let mut bytes = self.behind.as_mut();
            let received = self.frames.next(&mut bytes)?.map(Received::from);
            let left = bytes.len();
            self.behind.advance(self.behind.len().saturating_sub(left));
            if self.behind.is_empty() {
                self.behind = BytesMut::new();
            }
            if let Some(received) = received {
                return Poll::Ready(Ok(received));
            }
        }
        loop {
            // Not the connection's own: idle connections have nothing to keep in it.
            let mut space = [const { MaybeUninit::uninit() }; READ_BYTES];
            let mut read = ReadBuf::uninit(&mut space);
            // Less than a control frame: all else was taken.
            read.put_slice(&self.behind);
            ready!(Pin::new(&mut *stream).poll_read(cx, &mut read)).map_err(|_| Fault::Gone)?;
            if read.filled().len() == self.behind.len() {
                return Poll::Ready(Err(Fault::Gone));
            }
            *has_come = true;
            let mut bytes = read.filled_mut();
            let received = self.frames.next(&mut bytes)?.map(Received::from);
            if !(bytes.is_empty() && self.behind.is_empty()) {
                self.behind = BytesMut::from(&*bytes);
            }
            if let Some(received) = received {
                return Poll::Ready(Ok(received));
            }
        }
    }
}

impl From<Found<'_>> for Received {
    fn from(found: Found<'_>) -> Self {
        match found {
            Found::Message(kind, Payload::InPlace(data)) => Self::Message(kind, Bytes::copy_from_slice(data)),
            Found::Message(kind, Payload::Collected(data)) => Self::Message(kind, data.into()),
            Found::Ping(payload) => Self::Ping(Bytes::copy_from_slice(payload)),
            Found::Pong => Self::Pong,
            Found::Close(payload) => Self::Close(Bytes::copy_from_slice(payload)),
        }
    }
}

/// How much is read at once. More would keep a task longer at one connection than others should wait.
const READ_BYTES: usize = 32 * 1024;

#[cfg(test)]
mod tests;
