//! One WebSocket of the browser, closed and silent once it is dropped.

use js_sys::{ArrayBuffer, Function, Uint8Array};
use wasm_bindgen::JsCast as _;
use wasm_bindgen::prelude::{Closure, JsValue, wasm_bindgen};
use web_sys::{BinaryType, CloseEvent, Event, MessageEvent, WebSocket};
use wirehub_common::code::CloseCode;

/// A WebSocket and the one function that hears of it.
pub(crate) struct Wire {
    socket: WebSocket,
    // Lives as long as the browser may call it.
    _handler: Closure<dyn Fn(Event)>,
}

/// What happens to a WebSocket.
pub(crate) enum Happening {
    /// It is open.
    Open,
    /// A message came.
    Message(Data),
    /// Something failed; the browser does not tell what. [`Self::Close`] follows.
    Error,
    /// It is closed, or could not be opened.
    Close(Closing),
}

/// A message, still the browser's.
pub(crate) enum Data {
    Text(JsValue),
    Binary(ArrayBuffer),
}

/// How a WebSocket ended.
pub(crate) struct Closing {
    pub(crate) code: CloseCode,
    pub(crate) reason: String,
    /// Whether both ends closed it in order.
    pub(crate) clean: bool,
}

impl Wire {
    /// Begins to open a WebSocket. `listen` has the browser call the function with each of its events.
    ///
    /// # Errors
    /// What the browser throws: the address is no WebSocket address, or a page from https may not use it, or a
    /// subprotocol is named wrongly or twice.
    pub(crate) fn open(
        url: &str,
        protocols: &JsValue,
        on: impl Fn(Happening) + 'static,
        listen: impl FnOnce(&WebSocket, &Function),
    ) -> Result<Self, JsValue> {
        let socket = WebSocket::new_with_str_sequence(url, protocols)?;
        socket.set_binary_type(BinaryType::Arraybuffer);
        let handler = Closure::<dyn Fn(Event)>::new(move |event| {
            if let Some(happening) = Happening::of(event) {
                on(happening);
            }
        });
        listen(&socket, handler.as_ref().unchecked_ref());
        Ok(Self { socket, _handler: handler })
    }

    pub(crate) fn socket(&self) -> &WebSocket {
        &self.socket
    }

    /// Sends a message.
    ///
    /// # Errors
    /// The WebSocket is not open yet. One that is closed already takes the message, and drops it.
    pub(crate) fn send(&self, data: Outgoing<'_>) -> Result<(), JsValue> {
        match data {
            Outgoing::Bytes(bytes) => self.socket.send_with_u8_array(bytes),
            Outgoing::Value(value) => self.socket.unchecked_ref::<Sender>().send(value),
        }
    }

    /// Begins to close. A page may send only some codes: the others become 1000.
    pub(crate) fn close(&self, code: CloseCode, reason: &str) {
        let code = match code.number() {
            allowed @ (1000 | 3000..) => allowed,
            _ => CloseCode::NORMAL.number(),
        };
        // Refused only for a code or a reason that may not be sent; then without either.
        if self.socket.close_with_code_and_reason(code, reason).is_err() {
            let _ = self.socket.close();
        }
    }
}

/// What is sent.
#[derive(Clone, Copy)]
pub(crate) enum Outgoing<'a> {
    /// Bytes of ours.
    Bytes(&'a [u8]),
    /// A string or a buffer of JavaScript's.
    Value(&'a JsValue),
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.socket.set_onopen(None);
        self.socket.set_onmessage(None);
        self.socket.set_onerror(None);
        self.socket.set_onclose(None);
        // Does nothing where it is closing already.
        let _ = self.socket.close();
    }
}

impl Happening {
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
                Some(Self::Close(Closing {
                    code: CloseCode::new(event.code()).unwrap_or(CloseCode::ABNORMAL),
                    reason: event.reason(),
                    clean: event.was_clean(),
                }))
            }
            _ => None,
        }
    }
}

/// The bytes of a message, copied into this module's memory.
pub(crate) fn to_bytes(buffer: &ArrayBuffer) -> Vec<u8> {
    Uint8Array::new(buffer).to_vec()
}

#[wasm_bindgen]
extern "C" {
    /// A WebSocket whose `send` takes what it is given.
    type Sender;

    #[wasm_bindgen(method, catch)]
    fn send(this: &Sender, data: &JsValue) -> Result<(), JsValue>;
}
