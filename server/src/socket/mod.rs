//! What a session sees of its connection: one WebSocket, polled.
//!
//! Tungstenite reads, answers pings and does the close handshake. Data goes out below it: messages are written as
//! one header and the shared bytes behind it, vectored, straight to the stream. Whose turn it is to write is
//! settled by [`Guarded`] and the order in [`Socket::poll_flush`].

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Sink as _, Stream as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode as WireCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use wirehub_common::code::CloseCode;

use self::guard::Guarded;

mod guard;
mod outgoing;
mod transport;

pub(crate) use self::outgoing::Kind;
pub(crate) use self::transport::Transport;

/// A WebSocket on the stream `S`.
pub(crate) struct Socket<S> {
    websocket: WebSocketStream<Guarded<S>>,
    control: Control,
    /// Our close, until everything before it is written.
    closing: Option<CloseFrame>,
}

/// What tungstenite itself still has to write.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Control {
    Nothing,
    /// A pong: goes before data that is not begun yet.
    Pong,
    /// A close: nothing may follow it, so it goes behind all data.
    Close,
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
    pub(crate) async fn new(stream: S, leftover: &Bytes, message_bytes: u32) -> Self {
        let limit = usize::try_from(message_bytes).ok().filter(|&limit| limit > 0);
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_write_buffer_size(CONTROL_BUFFER)
            .max_message_size(limit)
            .max_frame_size(limit);
        let websocket = WebSocketStream::from_partially_read(
            Guarded::new(stream),
            leftover.to_vec(),
            Role::Server,
            Some(config),
        )
        .await;
        Self { websocket, control: Control::Nothing, closing: None }
    }

    /// What the peer sends next. While a pong can't be written nothing is read: so pings pile up nowhere.
    pub(crate) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Fault>> {
        if self.control == Control::Pong {
            ready!(self.poll_control(cx))?;
        }
        let incoming = match ready!(Pin::new(&mut self.websocket).poll_next(cx)) {
            Some(Ok(Message::Text(text))) => Incoming::Message(Kind::Text, text.into()),
            Some(Ok(Message::Binary(data))) => Incoming::Message(Kind::Binary, data),
            Some(Ok(Message::Ping(_))) => {
                self.control = Control::Pong;
                Incoming::Control
            }
            Some(Ok(Message::Pong(_) | Message::Frame(_))) => Incoming::Control,
            Some(Ok(Message::Close(_))) => {
                self.control = Control::Close;
                Incoming::Close
            }
            Some(Err(error)) => return Poll::Ready(Err(error.into())),
            None => return Poll::Ready(Err(Fault::Gone)),
        };
        Poll::Ready(Ok(incoming))
    }

    /// Puts a message of the pieces that `fill` hands over behind what is queued already. Only while
    /// [`Self::is_writing`] says no. Without a piece there is no message.
    pub(crate) fn queue<R>(&mut self, kind: Kind, fill: impl FnOnce(&mut dyn FnMut(Bytes)) -> R) -> R {
        self.guarded().outgoing.queue(kind, fill)
    }

    /// Like [`Self::queue`], for a message without content.
    pub(crate) fn queue_empty(&mut self, kind: Kind) {
        self.guarded().outgoing.queue_empty(kind);
    }

    /// Whether queued messages are on their way: begun, and not at their end yet.
    pub(crate) fn is_writing(&self) -> bool {
        self.websocket.get_ref().outgoing.is_begun()
    }

    /// Bytes that are queued here and not written yet.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.websocket.get_ref().outgoing.bytes()
    }

    /// Writes all that is queued, and what tungstenite has to say.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        if self.control == Control::Pong && !self.is_writing() {
            ready!(self.poll_control(cx))?;
        }
        ready!(self.guarded().poll_write_outgoing(cx)).map_err(|_| Fault::Gone)?;
        if self.control == Control::Pong {
            ready!(self.poll_control(cx))?;
        }
        if let Some(frame) = self.closing.take() {
            // Tungstenite keeps it while the stream doesn't take it; an error means that a close was sent before.
            if Pin::new(&mut self.websocket).start_send(Message::Close(Some(frame))).is_ok() {
                self.control = Control::Close;
            }
        }
        if self.control == Control::Close {
            ready!(self.poll_control(cx))?;
        }
        // Never waits on the streams that are used here; a TLS stream may have to write out its records.
        Pin::new(self.guarded()).poll_flush(cx).map_err(|_| Fault::Gone)
    }

    /// Sends a close with the next flush, behind what is queued. Does nothing where the peer has closed before.
    pub(crate) fn close(&mut self, code: CloseCode, reason: &str) {
        self.closing =
            Some(CloseFrame { code: WireCode::from(code.number()), reason: fit_reason(reason).into() });
    }

    /// Ends our direction and reads off what the peer still sends, unseen, to its end. Without this, what it has
    /// in flight would make the kernel reset the connection, and the close might be lost.
    pub(crate) fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut stream = Pin::new(self.guarded());
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

    fn poll_control(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        ready!(Pin::new(&mut self.websocket).poll_flush(cx)).map_err(|_| Fault::Gone)?;
        self.control = Control::Nothing;
        Poll::Ready(Ok(()))
    }

    fn guarded(&mut self) -> &mut Guarded<S> {
        self.websocket.get_mut()
    }
}

/// Tungstenite reserves this much for each connection.
const READ_BUFFER: usize = 4 * 1024;

/// Room for a pong and a close, which have at most 127 bytes each.
const CONTROL_BUFFER: usize = 512;

/// A close frame has room for so many bytes of reason (RFC 6455, section 5.5).
const REASON_BYTES: usize = 123;

fn fit_reason(reason: &str) -> &str {
    let end = reason.floor_char_boundary(REASON_BYTES);
    reason.get(..end).unwrap_or_default()
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::Capacity(_) => CloseCode::TOO_LARGE,
            Error::Utf8(_) => CloseCode::INVALID_DATA,
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => return Self::Gone,
            Error::Protocol(_) => CloseCode::PROTOCOL_ERROR,
            _ => return Self::Gone,
        };
        Self::Violation(code, error.to_string())
    }
}

#[cfg(test)]
mod tests;
