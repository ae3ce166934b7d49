//! A WebSocket of `gloo-net`, typed.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_sink::Sink;
use gloo_net::websocket::futures::WebSocket;
use gloo_net::websocket::{self, State, WebSocketError};
use wirehub_common::code::CloseCode;

use super::{Frame, Message, ReadyState, SocketError, SocketErrorKind};
use crate::browser::Timer;
use crate::scope::{Ear, Scope};
use crate::wire::{Closed, DRAIN_POLL, SEND_BUFFER};

/// A WebSocket that an application already has from `gloo-net`, with typed messages: a stream and a sink like
/// [`Socket`](super::Socket), with the same errors, and sending that waits. Dropping it closes it.
///
/// ```no_run
/// use futures_util::{SinkExt as _, StreamExt as _};
/// use gloo_net::websocket::futures::WebSocket;
/// use wirehub_client_wasm::GlooSocket;
/// use wirehub_demo_contract::ChatMessage;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let theirs = WebSocket::open("wss://example.org/echo")?;
/// let mut socket = GlooSocket::from(theirs).typed::<ChatMessage>();
/// socket.send(ChatMessage { nick: "ann".into(), text: "hi".into() }).await?;
/// while let Some(message) = socket.next().await {
///     println!("{}", message?.text);
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Receiving
/// `gloo-net` has taken the events, and its queue has no bound: read faster than messages arrive, or use
/// [`Socket`](super::Socket). A [`client`](crate::client()) opens its connections by itself, one after the other, and
/// does not take one over.
///
/// # Sending
/// The sink is ready once the socket is open, and while the browser has at most 64 KiB that it has not sent yet.
#[must_use = "dropping a socket closes it"]
pub struct GlooSocket<T = Message> {
    /// There is none once this end has closed it.
    socket: Option<WebSocket>,
    closed: Option<Closed>,
    /// Runs while a sender waits.
    timer: Option<Timer>,
    item: PhantomData<fn(T) -> T>,
}

impl From<WebSocket> for GlooSocket {
    fn from(socket: WebSocket) -> Self {
        Self { socket: Some(socket), closed: None, timer: None, item: PhantomData }
    }
}

impl<T> GlooSocket<T> {
    /// The same socket for other messages, as [`Socket::typed`](super::Socket::typed).
    pub fn typed<U: Frame>(self) -> GlooSocket<U> {
        let Self { socket, closed, timer, item: _ } = self;
        GlooSocket { socket, closed, timer, item: PhantomData }
    }

    /// The state of the socket.
    pub fn ready_state(&self) -> ReadyState {
        match self.socket.as_ref().map(WebSocket::state) {
            Some(State::Connecting) => ReadyState::Connecting,
            Some(State::Open) => ReadyState::Open,
            Some(State::Closing) => ReadyState::Closing,
            Some(State::Closed) | None => ReadyState::Closed,
        }
    }

    /// The subprotocol that the server chose; empty for none.
    pub fn protocol(&self) -> String {
        self.socket.as_ref().map(WebSocket::protocol).unwrap_or_default()
    }

    /// How many bytes the browser has accepted and not sent yet.
    pub fn buffered_amount(&self) -> u32 {
        self.socket.as_ref().map_or(0, WebSocket::buffered_amount)
    }

    /// Closes the socket, with a code and a reason. The stream ends here: `gloo-net` drops what arrives later.
    ///
    /// # Errors
    /// [`SocketErrorKind::CloseCode`]: a page may send 1000 and 3000 to 4999, with a reason of at most 123 bytes.
    pub fn close_with(&mut self, code: CloseCode, reason: &str) -> Result<(), SocketError> {
        let Some(socket) = self.socket.take() else { return Ok(()) };
        socket
            .close(Some(code.number()), Some(reason))
            .map_err(|error| SocketError::new(SocketErrorKind::CloseCode, error.message))
    }

    /// The end of the socket, once the stream has reached it.
    pub fn closed(&self) -> Option<Closed> {
        self.closed.clone()
    }

    fn end(&mut self) -> SocketError {
        match &self.closed {
            Some(closed) => SocketError::closed(SocketErrorKind::Closed, closed.clone()),
            None => SocketError::new(SocketErrorKind::Closed, ""),
        }
    }

    fn poll_writable(&mut self, context: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        let Some(socket) = &mut self.socket else { return Poll::Ready(Err(self.end())) };
        // Waits until it is open.
        ready!(Pin::new(&mut *socket).poll_ready(context)).map_err(|error| thrown(&error))?;
        if !matches!(socket.state(), State::Open) {
            return Poll::Ready(Err(self.end()));
        }
        if socket.buffered_amount() <= SEND_BUFFER {
            self.timer = None;
            return Poll::Ready(Ok(()));
        }
        let waker = context.waker().clone();
        let ear: Ear = Rc::new(move |_, _| waker.wake_by_ref());
        self.timer = Some(Timer::new(&Scope::default(), DRAIN_POLL, &ear));
        Poll::Pending
    }
}

impl<T: Frame> Stream for GlooSocket<T> {
    type Item = Result<T, SocketError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let Some(socket) = &mut self.socket else { return Poll::Ready(None) };
            let message = match ready!(Pin::new(socket).poll_next(context)) {
                Some(Ok(websocket::Message::Text(text))) => Message::Text(text),
                Some(Ok(websocket::Message::Bytes(bytes))) => Message::Binary(bytes.into()),
                Some(Err(WebSocketError::ConnectionClose(event))) => {
                    let closed = Closed {
                        code: CloseCode::new(event.code).unwrap_or(CloseCode::ABNORMAL),
                        reason: event.reason,
                        clean: event.was_clean,
                    };
                    let clean = closed.clean;
                    self.closed = Some(closed.clone());
                    if clean {
                        continue;
                    }
                    return Poll::Ready(Some(Err(SocketError::closed(SocketErrorKind::Lost, closed))));
                }
                // The close follows.
                Some(Err(_)) => continue,
                None => return Poll::Ready(None),
            };
            return Poll::Ready(Some(T::from_message(message)));
        }
    }
}

impl<T: Frame> Sink<T> for GlooSocket<T> {
    type Error = SocketError;

    fn poll_ready(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        self.get_mut().poll_writable(context)
    }

    fn start_send(mut self: Pin<&mut Self>, item: T) -> Result<(), SocketError> {
        let message = match item.into_message()? {
            Message::Text(text) => websocket::Message::Text(text),
            Message::Binary(bytes) => websocket::Message::Bytes(bytes.into()),
        };
        match &mut self.socket {
            Some(socket) => Pin::new(socket).start_send(message).map_err(|error| thrown(&error)),
            None => Err(self.end()),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        Poll::Ready(self.close_with(CloseCode::NORMAL, ""))
    }
}

impl<T> fmt::Debug for GlooSocket<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GlooSocket").field("ready_state", &self.ready_state()).finish_non_exhaustive()
    }
}

fn thrown(error: &WebSocketError) -> SocketError {
    SocketError::new(SocketErrorKind::Closed, error.to_string())
}
