//! A session's view of its connection: one WebSocket, polled by one task.
//!
//! [`Reader`] reads, and [`Outgoing`] writes. Headers and small pieces are copied together for one system call; large pieces go
//! to the stream from their place. Both have memory only for work in progress, so an idle connection has next to none.

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
mod metered;
mod outgoing;
mod transport;

pub(crate) use self::metered::Metered;
pub(crate) use self::outgoing::Kind;
pub use self::transport::Transport;

/// A WebSocket on the stream `S`.
pub(crate) struct Socket<S> {
    stream: S,
    reader: Reader,
    outgoing: Outgoing,
    /// `true` if a pong waits to be written.
    pong_waits: bool,
    /// `true` if the stream was full at the last write.
    is_blocked: bool,
    /// `true` if the last flush of the stream did not finish.
    is_stuck: bool,
    /// `true` if something was received, or if a full stream has taken more.
    is_alive: bool,
    /// `true` if our close is queued or sent: nothing may follow it.
    closed: bool,
    closed_by_peer: bool,
}

/// A received item.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// A complete message.
    Message(Kind, Bytes),
    /// A ping, with its pong on the way, or a pong: a sign of life.
    Control,
    /// The peer closes. The answer goes out with the next flush.
    Close,
}

/// The reason why nothing more can be received.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The peer broke a rule. The connection has to be closed with this code.
    Violation(CloseCode, String),
    /// The connection is gone.
    Gone,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// A WebSocket server on a stream after its handshake. `leftover` contains the bytes that were read behind the handshake.
    /// Messages of more than `message_bytes` are refused (0: no limit).
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

    /// The next item of the peer. While a pong can't be written nothing is read, so pings do not pile up.
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

    /// `true` if there was a sign of life since the last call: something was received, even a part of a message, or the peer
    /// has made room by receiving. A peer that sends or receives a large message can't answer a ping before its end.
    pub(crate) fn take_sign_of_life(&mut self) -> bool {
        std::mem::take(&mut self.is_alive)
    }

    /// `true` if a message has come in part.
    pub(crate) fn is_receiving(&self) -> bool {
        self.reader.is_unfinished()
    }

    /// Queues a message of the pieces that `fill` passes. Without a piece there is no message. Call this only while
    /// [`Self::is_writing`] is `false`.
    pub(crate) fn queue<R>(&mut self, kind: Kind, fill: impl FnOnce(&mut dyn FnMut(Bytes)) -> R) -> R {
        debug_assert!(!self.is_writing(), "what follows a part of a batch can't be overtaken by a pong");
        self.outgoing.queue(kind, fill)
    }

    /// Like [`Self::queue`], for a message without content.
    pub(crate) fn queue_empty(&mut self, kind: Kind) {
        self.outgoing.queue_empty(kind);
    }

    /// `true` if queued messages are partly written.
    pub(crate) fn is_writing(&self) -> bool {
        self.outgoing.is_begun()
    }

    /// The bytes that are queued and not written.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.outgoing.bytes()
    }

    /// Writes everything that is queued.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        ready!(self.poll_write(cx))?;
        // Only a TLS stream may have to wait here, to write out its records.
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.is_alive |= self.is_stuck && flushed.is_ready();
        self.is_stuck = flushed.is_pending();
        flushed.map_err(|_| Fault::Gone)
    }

    /// Sends a close with the next flush, behind the queued messages. Does nothing if the peer has closed already. Incomplete
    /// and later messages are discarded.
    pub(crate) fn close(&mut self, code: CloseCode, reason: &str) {
        self.reader.discard_messages();
        self.queue_close(&[&code.number().to_be_bytes()[..], fit_reason(reason).as_bytes()].concat());
    }

    /// Ends our direction, and discards the peer's remaining bytes up to their end. Otherwise the kernel would reset the
    /// connection because of these bytes, and the close might be lost.
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

/// The maximum bytes of the reason in a close frame (RFC 6455, section 5.5).
const REASON_BYTES: usize = 123;

fn fit_reason(reason: &str) -> &str {
    let end = reason.floor_char_boundary(REASON_BYTES);
    reason.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests;
