//! What a session sees of its connection: one WebSocket, polled by one task.
//!
//! [`Reader`] reads, [`Outgoing`] writes: headers and small pieces are put behind one another for one system call, large
//! pieces go straight to the stream from where they are. Both keep memory only for what is under way, so that an idle
//! connection has next to none.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wirehub_common::code::CloseCode;

use self::incoming::{Reader, Received};
use self::outgoing::Outgoing;

mod echo;
mod frames;
mod gather;
mod incoming;
mod outgoing;
mod transport;

pub(crate) use self::outgoing::Kind;
pub use self::transport::Transport;

/// A WebSocket on the stream `S`.
pub(crate) struct Socket<S> {
    stream: S,
    reader: Reader,
    outgoing: Outgoing,
    /// Whether a pong is among what is outgoing.
    pong_waits: bool,
    /// Whether the stream has taken no more the last time.
    is_blocked: bool,
    /// Whether the stream has not written out what it has taken the last time.
    is_stuck: bool,
    /// Whether something has come, or the stream has taken more after that.
    is_alive: bool,
    /// Whether our close is, or has gone: nothing may follow it.
    closed: bool,
    closed_by_peer: bool,
}

/// What was received.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// A whole message.
    Message(Kind, Bytes),
    /// A ping (its pong is on its way) or a pong: a sign of life.
    Control,
    /// The peer closes; the answer goes out with the next flush.
    Close,
}

/// Why nothing can be received any more.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The peer broke a rule: to be told by a close with this code.
    Violation(CloseCode, String),
    /// The connection is gone.
    Gone,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// A WebSocket server on a stream that has done its handshake. `leftover` was read behind the handshake;
    /// messages of more than `message_bytes` are refused (0: no limit).
    pub(crate) fn new(stream: S, leftover: &[u8], message_bytes: u32) -> Self {
        let limit = if message_bytes == 0 { usize::MAX } else { message_bytes as usize };
        Self {
            stream,
            reader: Reader::new(leftover, limit),
            outgoing: Outgoing::default(),
            pong_waits: false,
            is_blocked: false,
            is_stuck: false,
            is_alive: false,
            closed: false,
            closed_by_peer: false,
        }
    }

    /// What the peer sends next. While a pong can't be written nothing is read: so pings pile up nowhere.
    pub(crate) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Fault>> {
        if self.closed_by_peer {
            return Poll::Ready(Err(Fault::Gone));
        }
        if self.pong_waits {
            ready!(self.poll_write(cx))?;
        }
        let incoming = match ready!(self.reader.poll_next(&mut self.stream, &mut self.is_alive, cx))? {
            Received::Message(kind, data) => Incoming::Message(kind, data),
            Received::Ping(payload) => {
                if !self.closed {
                    self.outgoing.queue_pong(&payload);
                    self.pong_waits = true;
                }
                Incoming::Control
            }
            Received::Pong => Incoming::Control,
            Received::Close(payload) => {
                self.closed_by_peer = true;
                self.queue_close(&payload);
                Incoming::Close
            }
        };
        Poll::Ready(Ok(incoming))
    }

    /// Whether there has been a sign of life since this was asked last: something came, be it a part of a message, or the
    /// peer has made room by receiving. Who sends or receives something large can't answer a ping before its end.
    pub(crate) fn take_sign_of_life(&mut self) -> bool {
        std::mem::take(&mut self.is_alive)
    }

    /// Whether a message has come in part.
    pub(crate) fn is_receiving(&self) -> bool {
        self.reader.is_unfinished()
    }

    /// Puts a message of the pieces that `fill` hands over behind what is queued already. Only while
    /// [`Self::is_writing`] says no. Without a piece there is no message.
    pub(crate) fn queue<R>(&mut self, kind: Kind, fill: impl FnOnce(&mut dyn FnMut(Bytes)) -> R) -> R {
        debug_assert!(!self.is_writing(), "what follows a part of a batch can't be overtaken by a pong");
        self.outgoing.queue(kind, fill)
    }

    /// Like [`Self::queue`], for a message without content.
    pub(crate) fn queue_empty(&mut self, kind: Kind) {
        self.outgoing.queue_empty(kind);
    }

    /// Whether queued messages are on their way: begun, and not at their end yet.
    pub(crate) fn is_writing(&self) -> bool {
        self.outgoing.is_begun()
    }

    /// Bytes that are queued here and not written yet.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.outgoing.bytes()
    }

    /// Writes all that is queued.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        ready!(self.poll_write(cx))?;
        // Never waits but on a TLS stream, which may have to write out its records.
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.is_alive |= self.is_stuck && flushed.is_ready();
        self.is_stuck = flushed.is_pending();
        flushed.map_err(|_| Fault::Gone)
    }

    /// Sends a close with the next flush, behind what is queued. Does nothing where the peer has closed before. What has come of a
    /// message is let go, and so is what comes yet.
    pub(crate) fn close(&mut self, code: CloseCode, reason: &str) {
        self.reader.discard_messages();
        self.queue_close(&[&code.number().to_be_bytes()[..], fit_reason(reason).as_bytes()].concat());
    }

    /// Ends our direction and reads off what the peer still sends, unseen, to its end. Without this, what it has
    /// in flight would make the kernel reset the connection, and the close might be lost.
    pub(crate) fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut stream = Pin::new(&mut self.stream);
        if ready!(stream.as_mut().poll_shutdown(cx)).is_err() {
            return Poll::Ready(());
        }
        let mut scrap = [0; 1024];
        loop {
            let mut scrap = ReadBuf::new(&mut scrap);
            match ready!(stream.as_mut().poll_read(cx, &mut scrap)) {
                Ok(()) if !scrap.filled().is_empty() => {}
                _ => return Poll::Ready(()),
            }
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let before = self.outgoing.bytes();
        let written = self.outgoing.poll_write(&mut self.stream, cx);
        self.is_alive |= self.is_blocked && self.outgoing.bytes() < before;
        self.is_blocked = written.is_pending();
        ready!(written).map_err(|_| Fault::Gone)?;
        self.pong_waits = false;
        Poll::Ready(Ok(()))
    }

    fn queue_close(&mut self, payload: &[u8]) {
        if !std::mem::replace(&mut self.closed, true) {
            self.outgoing.queue_close(payload);
        }
    }
}

/// A close frame has room for so many bytes of reason (RFC 6455, section 5.5).
const REASON_BYTES: usize = 123;

fn fit_reason(reason: &str) -> &str {
    let end = reason.floor_char_boundary(REASON_BYTES);
    reason.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests;
