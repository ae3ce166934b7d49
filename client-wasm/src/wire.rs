//! One WebSocket of the browser. Once this is dropped, it is closed and its events are ignored.

use std::time::Duration;

use js_sys::{Array, ArrayBuffer, Uint8Array};
use wasm_bindgen::JsCast as _;
use wasm_bindgen::prelude::{Closure, JsValue};
use web_sys::{BinaryType, CloseEvent, Event, MessageEvent, WebSocket};
use wirehub_common::code::CloseCode;

use crate::socket::{Closed, Message, ReadyState, SocketError, SocketErrorKind};

/// The browser accepts any amount and keeps it in memory. While it has more than this many bytes, no more are passed to
/// it, so that urgent messages can still go first.
pub(crate) const SEND_BUFFER: u32 = 64 * 1024;

/// The browser does not notify of progress. While it has more than that, it is asked this often.
pub(crate) const DRAIN_POLL: Duration = Duration::from_millis(20);

/// The same while it has less, but not nothing: progress is a sign of life.
pub(crate) const PROGRESS_POLL: Duration = Duration::from_secs(1);

/// A WebSocket and the one function for its events.
pub(crate) struct Wire {
    socket: WebSocket,
    // Lives as long as the browser may call it.
    _handler: Closure<dyn Fn(Event)>,
}

/// An event of a WebSocket.
pub(crate) enum WireEvent {
    /// It is open.
    Open,
    /// A message arrived.
    Message(Data),
    /// An error; the browser does not report the reason. [`Self::Close`] follows.
    Error,
    /// It is closed, or could not be opened.
    Close(Closed),
}

/// A message, still in the browser's memory.
pub(crate) enum Data {
    Text(JsValue),
    Binary(ArrayBuffer),
}

impl Wire {
    /// Begins to open a WebSocket whose events are passed to `on`.
    ///
    /// # Errors
    /// The browser's exception: the address is not that of a WebSocket, a page from https may not use it, or the name
    /// of a subprotocol is invalid or there twice.
    pub(crate) fn open(
        url: &str,
        protocols: &[&str],
        on: impl Fn(WireEvent) + 'static,
    ) -> Result<Self, JsValue> {
        let handler = Closure::<dyn Fn(Event)>::new(move |event| {
            if let Some(event) = WireEvent::of(event) {
                on(event);
            }
        });
        let protocols: Array = protocols.iter().map(|&name| JsValue::from(name)).collect();
        let socket = WebSocket::new_with_str_sequence(url, &protocols)?;
        let function = Some(handler.as_ref().unchecked_ref());
        socket.set_onopen(function);
        socket.set_onmessage(function);
        socket.set_onerror(function);
        socket.set_onclose(function);
        socket.set_binary_type(BinaryType::Arraybuffer);
        Ok(Self { socket, _handler: handler })
    }

    /// [`Self::open`] with readable errors.
    pub(crate) fn connect(
        url: &str,
        protocols: &[&str],
        on: impl Fn(WireEvent) + 'static,
    ) -> Result<Self, SocketError> {
        check_address(url)?;
        Self::open(url, protocols, on)
            .map_err(|thrown| SocketError::thrown(SocketErrorKind::Address, &thrown))
    }

    pub(crate) fn socket(&self) -> &WebSocket {
        &self.socket
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// The WebSocket is not open yet. One that is already closed accepts the message and drops it.
    pub(crate) fn send(&self, bytes: &[u8]) -> Result<(), JsValue> {
        self.socket.send_with_u8_array(bytes)
    }

    /// Sends a message.
    pub(crate) fn send_message(&self, message: &Message) -> Result<(), SocketError> {
        match message {
            Message::Text(text) => self.socket.send_with_str(text),
            Message::Binary(bytes) => self.send(bytes),
        }
        .map_err(|thrown| SocketError::thrown(SocketErrorKind::Closed, &thrown))
    }

    pub(crate) fn ready_state(&self) -> ReadyState {
        match self.socket.ready_state() {
            WebSocket::CONNECTING => ReadyState::Connecting,
            WebSocket::OPEN => ReadyState::Open,
            WebSocket::CLOSING => ReadyState::Closing,
            _ => ReadyState::Closed,
        }
    }

    /// Begins to close, if the browser accepts this code and reason.
    pub(crate) fn close_checked(&self, code: CloseCode, reason: &str) -> Result<(), SocketError> {
        self.socket
            .close_with_code_and_reason(code.number(), reason)
            .map_err(|thrown| SocketError::thrown(SocketErrorKind::CloseCode, &thrown))
    }

    /// Begins to close. A page may send only some codes: the others become 1000.
    pub(crate) fn close(&self, code: CloseCode, reason: &str) {
        let code = match code.number() {
            allowed @ (1000 | 3000..) => allowed,
            _ => CloseCode::NORMAL.number(),
        };
        // Refused only for a code or a reason that may not be sent; it is then closed without either.
        if self.socket.close_with_code_and_reason(code, reason).is_err() {
            let _ = self.socket.close();
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.socket.set_onopen(None);
        self.socket.set_onmessage(None);
        self.socket.set_onerror(None);
        self.socket.set_onclose(None);
        // Does nothing if it is already closing.
        let _ = self.socket.close();
    }
}

impl WireEvent {
    fn of(event: Event) -> Option<Self> {
        match event.type_().as_str() {
            "open" => Some(Self::Open),
            "message" => {
                let data = event.unchecked_into::<MessageEvent>().data();
                Some(Self::Message(match data.dyn_into::<ArrayBuffer>() {
                    Ok(buffer) => Data::Binary(buffer),
                    Err(text) => Data::Text(text),
                }))
            }
            "error" => Some(Self::Error),
            "close" => {
                let event: CloseEvent = event.unchecked_into();
                Some(Self::Close(Closed {
                    code: CloseCode::new(event.code()).unwrap_or(CloseCode::ABNORMAL),
                    reason: event.reason(),
                    clean: event.was_clean(),
                }))
            }
            _ => None,
        }
    }
}

/// Refuses an address that is not that of a WebSocket. Newer browsers accept http for ws, older ones do not; here it is
/// always an error.
pub(crate) fn check_address(url: &str) -> Result<(), SocketError> {
    let is_websocket = url.split_once("://").is_some_and(|(scheme, rest)| {
        (scheme.eq_ignore_ascii_case("ws") || scheme.eq_ignore_ascii_case("wss")) && !rest.is_empty()
    });
    if is_websocket { Ok(()) } else { Err(SocketError::new(SocketErrorKind::Address, url)) }
}

/// A message, copied into this module's memory.
pub(crate) fn to_message(data: Data) -> Message {
    match data {
        Data::Text(text) => Message::Text(text.as_string().unwrap_or_default()),
        Data::Binary(buffer) => Message::Binary(to_bytes(&buffer).into()),
    }
}

/// The bytes of a message, copied into this module's memory.
pub(crate) fn to_bytes(buffer: &ArrayBuffer) -> Vec<u8> {
    Uint8Array::new(buffer).to_vec()
}
