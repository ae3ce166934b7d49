//! One WebSocket of the browser. Once this is dropped, it is closed and its events are ignored.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::time::Duration;

use js_sys::{Function, Uint8Array};
use wasm_bindgen::JsCast as _;
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};
use web_sys::{BinaryType, CloseEvent, MessageEvent, WebSocket};
use wirehub_common::code::CloseCode;

use crate::browser::Timer;
use crate::scope::{Ear, Handler, Scope, Signal};

/// The browser accepts any amount and keeps it in memory. While it has more than this many bytes, no more are passed to
/// it, so that urgent messages can still go first.
pub const SEND_BUFFER: u32 = 64 * 1024;

/// The browser does not notify of progress. While it has more than that, it is asked this often.
pub const DRAIN_POLL: Duration = Duration::from_millis(20);

/// The same while it has less, but not nothing: progress is a sign of life.
pub(crate) const PROGRESS_POLL: Duration = Duration::from_secs(1);

/// A WebSocket and the functions for its events.
#[derive(Debug)]
pub struct Wire {
    socket: WebSocket,
    /// The handler of errors once it is given up.
    ignored: Option<Function>,
    // They live as long as the browser may call them.
    _handlers: [Handler; 4],
}

/// An event of a WebSocket.
#[derive(Debug)]
pub enum WireEvent {
    /// It is open.
    Open,
    /// A message arrived: its `data`, a string or an `ArrayBuffer`.
    Message(JsValue),
    /// An error; the browser does not report the reason. [`Self::Close`] follows.
    Error,
    /// It is closed, or could not be opened.
    Close(Closed),
}

/// The end of a WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closed {
    /// The other end's code; [`NO_STATUS`](CloseCode::NO_STATUS) if it sent none, and [`ABNORMAL`](CloseCode::ABNORMAL)
    /// if the connection broke.
    pub code: CloseCode,
    /// The other end's reason.
    pub reason: String,
    /// Whether both ends closed it in order.
    pub clean: bool,
}

impl Wire {
    /// Begins to open a WebSocket whose events are passed to `ear`: see [`WireEvent::of`]. The subprotocols are a name, or
    /// an array of names.
    ///
    /// # Errors
    /// The browser's exception: the address is not that of a WebSocket, a page from https may not use it, the name of a
    /// subprotocol is invalid or there twice, or there is no WebSocket here.
    pub fn open(scope: &Scope, url: &str, protocols: &JsValue, ear: &Ear) -> Result<Self, JsValue> {
        let socket = scope.open(url, protocols)?;
        socket.set_binary_type(BinaryType::Arraybuffer);
        let signals = [Signal::Open, Signal::Message, Signal::Error, Signal::Close];
        let ear = End::ear(scope, ear);
        let handlers = signals.map(|signal| scope.handler(signal, &ear));
        let [open, message, error, close] = &handlers;
        socket.set_onopen(Some(&open.function));
        socket.set_onmessage(Some(&message.function));
        socket.set_onerror(Some(&error.function));
        socket.set_onclose(Some(&close.function));
        Ok(Self { socket, ignored: scope.ignored(), _handlers: handlers })
    }

    /// The browser's own object.
    pub fn socket(&self) -> &WebSocket {
        &self.socket
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// The WebSocket is not open yet. One that is already closed accepts the message and drops it.
    pub fn send(&self, bytes: &[u8]) -> Result<(), JsValue> {
        self.socket.send_with_u8_array(bytes)
    }

    /// Sends a message of JavaScript: a string, or a view of bytes.
    ///
    /// # Errors
    /// As for [`Self::send`].
    pub fn send_value(&self, data: &JsValue) -> Result<(), JsValue> {
        self.socket.unchecked_ref::<AnySender>().send(data)
    }

    /// Whether the browser has sent so much that more may be passed to it.
    pub fn is_writable(&self) -> bool {
        self.socket.buffered_amount() <= SEND_BUFFER
    }

    /// Begins to close. A page may send only some codes: the others become 1000.
    pub fn close(&self, code: CloseCode, reason: &str) {
        let code = match code.number() {
            allowed @ (1000 | 3000..) => allowed,
            _ => CloseCode::NORMAL.number(),
        };
        // Refused only for a code or a reason that may not be sent; it is then closed without either.
        if self.socket.close_with_code_and_reason(code, reason).is_err() {
            let _ = self.socket.close_with_code_and_reason(CloseCode::NORMAL.number(), "");
        }
    }
}

#[wasm_bindgen]
extern "C" {
    type AnySender;

    /// `WebSocket.send` for every kind of message.
    #[wasm_bindgen(method, catch)]
    fn send(this: &AnySender, data: &JsValue) -> Result<(), JsValue>;
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.socket.set_onopen(None);
        self.socket.set_onmessage(None);
        self.socket.set_onerror(self.ignored.as_ref());
        self.socket.set_onclose(None);
        // Does nothing if it is already closing.
        self.close(CloseCode::NORMAL, "");
    }
}

/// The end of a WebSocket that could not be opened. The one of Node.js 20 and 22 reports an error then, and no close.
struct End {
    scope: Scope,
    ear: Ear,
    /// Nothing follows the error of a WebSocket that was not open.
    was_open: Cell<bool>,
    /// Reports the close, unless the WebSocket does.
    missing: RefCell<Option<Timer>>,
    /// Whether it has.
    is_reported: Cell<bool>,
}

impl End {
    /// An ear in front of another one.
    fn ear(scope: &Scope, ear: &Ear) -> Ear {
        let end = Rc::new(Self {
            scope: scope.clone(),
            ear: Rc::clone(ear),
            was_open: Cell::default(),
            missing: RefCell::default(),
            is_reported: Cell::default(),
        });
        Rc::new(move |signal, event| end.hear(signal, event))
    }

    fn hear(self: &Rc<Self>, signal: Signal, event: JsValue) {
        match signal {
            Signal::Open => self.was_open.set(true),
            Signal::Error if !self.was_open.get() => {
                let end = Rc::downgrade(self);
                let report: Ear = Rc::new(move |_, _| {
                    if let Some(end) = end.upgrade() {
                        end.is_reported.set(true);
                        (end.ear)(Signal::Failed, JsValue::UNDEFINED);
                    }
                });
                self.missing.replace(Some(Timer::new(&self.scope, Duration::ZERO, &report)));
            }
            Signal::Close => {
                if self.is_reported.get() {
                    return;
                }
                self.missing.take();
            }
            _ => {}
        }
        (self.ear)(signal, event);
    }
}

impl WireEvent {
    /// The event of a WebSocket; `None` for other signals.
    pub fn of(signal: Signal, event: JsValue) -> Option<Self> {
        Some(match signal {
            Signal::Open => Self::Open,
            Signal::Message => Self::Message(event.unchecked_into::<MessageEvent>().data()),
            Signal::Error => Self::Error,
            Signal::Close => {
                let event: CloseEvent = event.unchecked_into();
                Self::Close(Closed {
                    code: CloseCode::new(event.code()).unwrap_or(CloseCode::ABNORMAL),
                    reason: event.reason(),
                    clean: event.was_clean(),
                })
            }
            Signal::Failed => {
                Self::Close(Closed { code: CloseCode::ABNORMAL, reason: String::new(), clean: false })
            }
            _ => return None,
        })
    }

    /// An ear for a WebSocket alone.
    pub fn ear(on: impl Fn(Self) + 'static) -> Ear {
        Rc::new(move |signal, event| {
            if let Some(event) = Self::of(signal, event) {
                on(event);
            }
        })
    }
}

/// The bytes of a binary message, copied into this module's memory; `None` for a text message.
pub(crate) fn to_bytes(data: &JsValue) -> Option<Vec<u8>> {
    // Not by the class: a page of tests has its own `ArrayBuffer`.
    (!data.is_string()).then(|| Uint8Array::new(data).to_vec())
}
