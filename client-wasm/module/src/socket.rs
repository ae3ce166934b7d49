//! The WebSocket that TypeScript holds.

use alloc::rc::Rc;
use core::cell::RefCell;

use js_sys::Function;
use wasm_bindgen::prelude::{JsCast as _, JsValue, wasm_bindgen};
use wirehub_client_wasm::Closed;
use wirehub_client_wasm::driver::{DRAIN_POLL, Ear, Guard, Scope, Timer, Wire, WireEvent};
use wirehub_common::code::CloseCode;

use crate::numbers::{SOCKET_CLOSE, SOCKET_ERROR, SOCKET_MESSAGE, SOCKET_OPEN, SOCKET_WRITABLE};

#[wasm_bindgen]
extern "C" {
    /// The application's half of a socket, in TypeScript. It is a [`Guard`] too.
    #[derive(Debug, Clone)]
    pub type SocketHost;

    /// Receives an event of this kind. A message has `data`, a string or an `ArrayBuffer`; a close has the rest.
    #[wasm_bindgen(method)]
    fn hear(this: &SocketHost, kind: u8, data: &JsValue, code: u16, reason: &str, clean: bool);
}

/// A WebSocket with the events open, message, error and close.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Socket {
    inner: Rc<Inner>,
}

#[derive(Debug)]
struct Inner {
    host: SocketHost,
    scope: Scope,
    wire: Wire,
    /// Runs while a sender waits.
    timer: RefCell<Option<Timer>>,
}

#[wasm_bindgen]
impl Socket {
    /// Begins to open a WebSocket. `web_socket` takes the place of the browser's class.
    ///
    /// # Errors
    /// The exception of the browser: see [`Wire::open`].
    #[wasm_bindgen(constructor)]
    pub fn new(
        host: SocketHost,
        url: &str,
        protocols: &JsValue,
        web_socket: Option<Function>,
    ) -> Result<Self, JsValue> {
        let guard: Guard = JsValue::from(host.clone()).unchecked_into();
        let scope = Scope::new(web_socket, Some(guard));
        let hear = host.clone();
        let ear = WireEvent::ear(move |event| match event {
            WireEvent::Open => hear.plain(SOCKET_OPEN),
            WireEvent::Message(data) => hear.hear(SOCKET_MESSAGE, &data, 0, "", true),
            WireEvent::Error => hear.plain(SOCKET_ERROR),
            WireEvent::Close(Closed { code, reason, clean, .. }) => {
                hear.hear(SOCKET_CLOSE, &JsValue::UNDEFINED, code.number(), &reason, clean);
            }
        });
        let wire = Wire::open(&scope, url, protocols, &ear)?;
        Ok(Self { inner: Rc::new(Inner { host, scope, wire, timer: RefCell::default() }) })
    }

    /// Sends a message: a string, or a view of bytes. Returns whether the browser accepts more. If not, an event follows
    /// once it does.
    ///
    /// # Errors
    /// The exception of the browser: the socket is not open yet. One that is closing drops the message.
    pub fn send(&self, data: &JsValue) -> Result<bool, JsValue> {
        self.inner.wire.send_value(data)?;
        Ok(self.inner.is_writable())
    }

    /// Begins to close. TypeScript has checked the code and the reason.
    pub fn close(&self, code: u16, reason: &str) {
        self.inner.wire.close(CloseCode::new(code).unwrap_or(CloseCode::NORMAL), reason);
    }
}

impl SocketHost {
    /// An event without details.
    fn plain(&self, kind: u8) {
        self.hear(kind, &JsValue::UNDEFINED, 0, "", true);
    }
}

impl Inner {
    fn is_writable(self: &Rc<Self>) -> bool {
        let is_writable = self.wire.is_writable();
        let timer = (!is_writable).then(|| {
            let inner = Rc::downgrade(self);
            let ear: Ear = Rc::new(move |_, _| {
                if let Some(inner) = inner.upgrade()
                    && inner.is_writable()
                {
                    inner.host.plain(SOCKET_WRITABLE);
                }
            });
            Timer::new(&self.scope, DRAIN_POLL, &ear)
        });
        // The old timer may be the one that has just fired: it is dropped outside of the borrow.
        let _old = self.timer.replace(timer);
        is_writable
    }
}
