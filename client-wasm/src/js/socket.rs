//! The WebSocket that the TypeScript `Socket` holds.

use js_sys::Array;
use wasm_bindgen::JsCast as _;
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};
use wirehub_common::code::CloseCode;

use super::host::SocketHost;
use crate::socket::Closed;
use crate::wire::{Data, Happening, Wire};

/// A WebSocket whose events go to its host.
#[wasm_bindgen(js_name = Socket)]
#[allow(missing_debug_implementations, reason = "only JavaScript holds it")]
pub struct JsSocket {
    wire: Wire,
}

#[wasm_bindgen(js_class = Socket)]
impl JsSocket {
    /// Begins to open a WebSocket.
    ///
    /// # Errors
    /// What the browser throws.
    #[wasm_bindgen(constructor)]
    pub fn new(host: &SocketHost, url: &str, protocols: &Array) -> Result<Self, JsValue> {
        let events = host.clone();
        let on = move |happening| match happening {
            Happening::Open => events.on_open(),
            Happening::Message(Data::Text(text)) => events.on_message(&text),
            Happening::Message(Data::Binary(buffer)) => events.on_message(&buffer),
            Happening::Error => events.on_error(),
            Happening::Close(Closed { code, reason, clean }) => {
                events.on_close(code.number(), &reason, clean);
            }
        };
        let wire = Wire::open(on, |handler| host.open(url, protocols, handler))?;
        Ok(Self { wire })
    }

    /// Sends a string or bytes.
    ///
    /// # Errors
    /// What the browser throws.
    pub fn send(&self, data: &JsValue) -> Result<(), JsValue> {
        self.wire.socket().unchecked_ref::<Sender>().send(data)
    }

    /// Begins to close.
    pub fn close(&self, code: u16, reason: &str) {
        self.wire.close(CloseCode::new(code).unwrap_or(CloseCode::NORMAL), reason);
    }

    /// The browser's own number for the state.
    #[wasm_bindgen(getter, js_name = readyState)]
    pub fn ready_state(&self) -> u16 {
        self.wire.socket().ready_state()
    }

    /// The subprotocol that the server chose.
    #[wasm_bindgen(getter)]
    pub fn protocol(&self) -> String {
        self.wire.socket().protocol()
    }

    /// How many bytes the browser has not sent yet.
    #[wasm_bindgen(getter, js_name = bufferedAmount)]
    pub fn buffered_amount(&self) -> u32 {
        self.wire.socket().buffered_amount()
    }

    /// The address.
    #[wasm_bindgen(getter)]
    pub fn url(&self) -> String {
        self.wire.socket().url()
    }
}

#[wasm_bindgen]
extern "C" {
    /// A WebSocket whose `send` takes what it is given: text need not pass through this module's memory.
    type Sender;

    #[wasm_bindgen(method, catch)]
    fn send(this: &Sender, data: &JsValue) -> Result<(), JsValue>;
}
