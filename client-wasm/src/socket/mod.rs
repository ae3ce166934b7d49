//! The browser's WebSocket, typed.

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_sink::Sink;
use wirehub_common::code::CloseCode;

use self::inbox::Inbox;
use crate::browser::Timer;
use crate::scope::{Ear, Scope};
use crate::wire::{Closed, DRAIN_POLL, Wire};

mod error;
#[cfg(feature = "gloo")]
mod gloo;
mod handlers;
mod inbox;
mod message;
mod wire;

pub use self::error::{SocketError, SocketErrorKind};
#[cfg(feature = "gloo")]
pub use self::gloo::GlooSocket;
pub use self::handlers::{EventSocket, Handlers};
pub use self::message::{Frame, Message};

/// A WebSocket as a stream of received messages and a sink for sent ones. Each is a `T`: a [`Message`], or a message
/// type of a contract. Dropping it closes it.
///
/// ```no_run
/// use futures_util::{SinkExt as _, StreamExt as _};
/// use wirehub_client_wasm::{Message, Socket};
///
/// # async fn example() -> Result<(), wirehub_client_wasm::SocketError> {
/// let mut socket = Socket::connect("wss://example.org/echo", &[]).await?;
/// socket.send(Message::Text("hello".into())).await?;
/// while let Some(message) = socket.next().await {
///     println!("{:?}", message?);
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Receiving
/// A browser takes messages from the network as fast as they arrive, and can't be slowed down. So they queue here, up
/// to [`RECEIVE_QUEUE`](Self::RECEIVE_QUEUE) bytes. Beyond that the socket is closed with
/// [`SLOW_CONSUMER`](CloseCode::SLOW_CONSUMER), and the stream ends with [`SocketErrorKind::Overflow`].
///
/// An item is an error if a message does not fit `T`; the stream goes on then. If the socket did not end in order, the
/// last item is an error. [`Self::closed`] returns code and reason.
///
/// # Sending
/// The sink is ready while the browser has at most 64 KiB that it has not sent yet. Flushing is immediate, because the
/// browser already has the messages. Closing waits for the other end's answer.
#[must_use = "dropping a socket closes it"]
pub struct Socket<T = Message> {
    wire: Wire,
    inbox: Rc<RefCell<Inbox>>,
    /// Runs while a sender waits.
    timer: Option<Timer>,
    item: PhantomData<fn(T) -> T>,
}

impl Socket {
    /// How many bytes of messages may wait for the reader. A single larger message still fits into an empty queue.
    pub const RECEIVE_QUEUE: usize = 4 * 1024 * 1024;

    /// Opens a WebSocket. `url` begins with `ws://` or `wss://`; `protocols` are the subprotocols to offer.
    ///
    /// # Errors
    /// [`SocketErrorKind::Address`]: the browser does not accept the address or a subprotocol's name.
    /// [`SocketErrorKind::Refused`]: the address does not answer, or refuses the connection.
    pub async fn connect(url: &str, protocols: &[&str]) -> Result<Self, SocketError> {
        let inbox = Rc::new(RefCell::new(Inbox::new(Self::RECEIVE_QUEUE)));
        let wire = {
            let inbox = Rc::clone(&inbox);
            wire::connect(url, protocols, move |event| Inbox::handle(&inbox, event))?
        };
        inbox.borrow_mut().attach(wire.socket().clone());
        let socket = Self { wire, inbox, timer: None, item: PhantomData };
        std::future::poll_fn(|context| socket.inbox.borrow_mut().poll_open(context)).await?;
        Ok(socket)
    }
}

impl<T> Socket<T> {
    /// The same socket for other messages. Messages of a contract are sent and received as text if they are JSON, and
    /// as binary otherwise.
    pub fn typed<U: Frame>(self) -> Socket<U> {
        let Self { wire, inbox, timer, item: _ } = self;
        Socket { wire, inbox, timer, item: PhantomData }
    }

    /// The state of the socket.
    pub fn ready_state(&self) -> ReadyState {
        wire::ready_state(&self.wire)
    }

    /// The subprotocol that the server chose; empty for none.
    pub fn protocol(&self) -> String {
        self.wire.socket().protocol()
    }

    /// How many bytes the browser has accepted and not sent yet.
    pub fn buffered_amount(&self) -> u32 {
        self.wire.socket().buffered_amount()
    }

    /// The address.
    pub fn url(&self) -> String {
        self.wire.socket().url()
    }

    /// Begins to close, with a code and a reason: the browser's `close(code, reason)`. The stream still yields the
    /// messages that arrive before the other end's answer, which [`Self::closed`] then returns. `SinkExt::close` closes
    /// with 1000 and waits for that answer.
    ///
    /// ```no_run
    /// use futures_util::SinkExt as _;
    /// use wirehub_client_wasm::common::code::CloseCode;
    /// use wirehub_client_wasm::{Socket, SocketError};
    ///
    /// # async fn example(mut socket: Socket, other: Socket) -> Result<(), SocketError> {
    /// socket.close().await?;
    /// other.close_with(CloseCode::NORMAL, "enough")?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`SocketErrorKind::CloseCode`]: a page may send 1000 and 3000 to 4999, with a reason of at most 123 bytes.
    pub fn close_with(&self, code: CloseCode, reason: &str) -> Result<(), SocketError> {
        wire::close(&self.wire, code, reason)
    }

    /// The end of the socket, once it has ended.
    pub fn closed(&self) -> Option<Closed> {
        self.inbox.borrow().closed().cloned()
    }

    fn poll_writable(&mut self, context: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        if let Some(closed) = self.inbox.borrow().closed() {
            return Poll::Ready(Err(SocketError::closed(SocketErrorKind::Closed, closed.clone())));
        }
        if self.wire.is_writable() {
            self.timer = None;
            return Poll::Ready(Ok(()));
        }
        let waker = context.waker().clone();
        let ear: Ear = Rc::new(move |_, _| waker.wake_by_ref());
        self.timer = Some(Timer::new(&Scope::default(), DRAIN_POLL, &ear));
        // A close ends the waiting, too.
        self.inbox.borrow_mut().register_writer(context.waker());
        Poll::Pending
    }
}

impl<T: Frame> Stream for Socket<T> {
    type Item = Result<T, SocketError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.inbox.borrow_mut().poll_next(context);
        next.map(|item| item.map(|message| T::from_message(message?)))
    }
}

impl<T: Frame> Sink<T> for Socket<T> {
    type Error = SocketError;

    fn poll_ready(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        self.get_mut().poll_writable(context)
    }

    fn start_send(self: Pin<&mut Self>, item: T) -> Result<(), SocketError> {
        wire::send(&self.wire, &item.into_message()?)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        self.wire.close(CloseCode::NORMAL, "");
        let mut inbox = self.inbox.borrow_mut();
        if inbox.closed().is_some() {
            return Poll::Ready(Ok(()));
        }
        inbox.register_writer(context.waker());
        Poll::Pending
    }
}

impl<T> AsRef<web_sys::WebSocket> for Socket<T> {
    /// The browser's own object. Its event handlers are in use.
    fn as_ref(&self) -> &web_sys::WebSocket {
        self.wire.socket()
    }
}

impl<T> fmt::Debug for Socket<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("url", &self.url())
            .field("ready_state", &self.ready_state())
            .finish_non_exhaustive()
    }
}

/// The state of a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReadyState {
    /// It is being opened.
    Connecting,
    /// It is open.
    Open,
    /// It is being closed.
    Closing,
    /// It is closed, or could not be opened.
    Closed,
}
