//! The browser's WebSocket with a function for each of its events.

use std::fmt;
use std::marker::PhantomData;

use wirehub_common::code::CloseCode;

use super::message::{Frame, Message};
use super::{ReadyState, SocketError, wire};
use crate::wire::{Closed, Wire, WireEvent};

/// The functions for the events of a WebSocket with messages of type `T`.
///
/// ```no_run
/// use wirehub_client_wasm::{Handlers, Message};
///
/// # fn example() -> Result<(), wirehub_client_wasm::SocketError> {
/// let socket = Handlers::new()
///     .on_open(|| println!("open"))
///     .on_message(|message: Result<Message, _>| println!("{message:?}"))
///     .on_close(|closed| println!("closed with {}: {}", closed.code, closed.reason))
///     .open("wss://example.org/echo", &[])?;
/// // Later, once it is open:
/// socket.send("hello".into())?;
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing happens before `open`"]
pub struct Handlers<T = Message> {
    on_open: Box<dyn Fn()>,
    on_message: Box<dyn Fn(Result<T, SocketError>)>,
    on_error: Box<dyn Fn()>,
    on_close: Box<dyn Fn(Closed)>,
}

impl<T: Frame + 'static> Handlers<T> {
    /// No function for any event.
    pub fn new() -> Self {
        Self {
            on_open: Box::new(|| {}),
            on_message: Box::new(drop),
            on_error: Box::new(|| {}),
            on_close: Box::new(drop),
        }
    }

    /// The socket is open.
    pub fn on_open(self, handler: impl Fn() + 'static) -> Self {
        Self { on_open: Box::new(handler), ..self }
    }

    /// A message arrived: text or binary, or an error if it is not a `T`.
    pub fn on_message(self, handler: impl Fn(Result<T, SocketError>) + 'static) -> Self {
        Self { on_message: Box::new(handler), ..self }
    }

    /// An error; browsers do not report the reason. The close follows.
    pub fn on_error(self, handler: impl Fn() + 'static) -> Self {
        Self { on_error: Box::new(handler), ..self }
    }

    /// The socket is closed, or could not be opened. No event comes after this one.
    pub fn on_close(self, handler: impl Fn(Closed) + 'static) -> Self {
        Self { on_close: Box::new(handler), ..self }
    }

    /// Begins to open a WebSocket, as [`Socket::connect`](super::Socket::connect) does.
    ///
    /// # Errors
    /// [`SocketErrorKind::Address`](super::SocketErrorKind::Address).
    pub fn open(self, url: &str, protocols: &[&str]) -> Result<EventSocket<T>, SocketError> {
        let wire = wire::connect(url, protocols, move |event| match event {
            WireEvent::Open => (self.on_open)(),
            WireEvent::Message(data) => (self.on_message)(T::from_message(wire::to_message(&data))),
            WireEvent::Error => (self.on_error)(),
            WireEvent::Close(closed) => (self.on_close)(closed),
        })?;
        Ok(EventSocket { wire, item: PhantomData })
    }
}

impl<T: Frame + 'static> Default for Handlers<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Handlers<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handlers").finish_non_exhaustive()
    }
}

/// A WebSocket whose events go to [`Handlers`]. Dropping it closes it, and no handler runs after that.
#[must_use = "dropping a socket closes it"]
pub struct EventSocket<T = Message> {
    wire: Wire,
    item: PhantomData<fn(T)>,
}

impl<T: Frame> EventSocket<T> {
    /// Sends a message. Does nothing once the socket is closing.
    ///
    /// # Errors
    /// [`SocketErrorKind::Closed`](super::SocketErrorKind::Closed): the socket is not open yet.
    /// [`SocketErrorKind::Payload`](super::SocketErrorKind::Payload): the message can't be encoded.
    pub fn send(&self, message: T) -> Result<(), SocketError> {
        wire::send(&self.wire, &message.into_message()?)
    }
}

impl<T> EventSocket<T> {
    /// The state of the socket.
    pub fn ready_state(&self) -> ReadyState {
        wire::ready_state(&self.wire)
    }

    /// The subprotocol that the server chose; empty for none, and before the socket is open.
    pub fn protocol(&self) -> String {
        self.wire.socket().protocol()
    }

    /// How many bytes the browser has accepted and not sent yet: wait while it is high.
    pub fn buffered_amount(&self) -> u32 {
        self.wire.socket().buffered_amount()
    }

    /// The address.
    pub fn url(&self) -> String {
        self.wire.socket().url()
    }

    /// Begins to close, with a code and a reason; the close event follows at the end.
    ///
    /// # Errors
    /// As for [`Socket::close_with`](super::Socket::close_with).
    pub fn close_with(&self, code: CloseCode, reason: &str) -> Result<(), SocketError> {
        wire::close(&self.wire, code, reason)
    }
}

impl<T> AsRef<web_sys::WebSocket> for EventSocket<T> {
    /// The browser's own object. Its event handlers are in use.
    fn as_ref(&self) -> &web_sys::WebSocket {
        self.wire.socket()
    }
}

impl<T> fmt::Debug for EventSocket<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventSocket")
            .field("url", &self.url())
            .field("ready_state", &self.ready_state())
            .finish_non_exhaustive()
    }
}
