//! The surroundings of a driver: the class of its WebSockets, and a guard around its handlers.

use js_sys::{Array, Function, Reflect};
use wasm_bindgen::JsCast as _;
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};
use web_sys::WebSocket;

/// The surroundings of a driver. By default they are those of a page or worker.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    web_socket: Option<Function>,
    guard: Option<Guard>,
}

#[wasm_bindgen]
extern "C" {
    /// Code in JavaScript around the handlers of one module.
    ///
    /// A failure inside a handler would only be reported to the page, and the application would wait for a dead client.
    #[derive(Debug, Clone)]
    pub type Guard;

    /// Returns a function that calls `handler` and notices if it fails. After a failure the function does nothing.
    #[wasm_bindgen(method)]
    fn guarded(this: &Guard, handler: &JsValue) -> Function;

    /// Receives each WebSocket that is opened, in order to close it after a failure.
    #[wasm_bindgen(method)]
    fn opened(this: &Guard, socket: &WebSocket);

    /// The handler of a WebSocket that was given up: in Node.js an error without a handler ends the process.
    #[wasm_bindgen(method, getter)]
    fn ignored(this: &Guard) -> Function;

    #[wasm_bindgen(js_name = WebSocket)]
    type AnySubprotocols;

    /// The subprotocols are a name, or an array of names.
    #[wasm_bindgen(constructor, js_class = "WebSocket", catch)]
    fn new(url: &str, protocols: &JsValue) -> Result<AnySubprotocols, JsValue>;
}

impl Scope {
    /// `web_socket` is a class that is compatible with the browser's, if it takes its place.
    pub fn new(web_socket: Option<Function>, guard: Option<Guard>) -> Self {
        Self { web_socket, guard }
    }

    /// The function that the browser calls in place of `handler`.
    pub(crate) fn guarded(&self, handler: &JsValue) -> Function {
        match &self.guard {
            Some(guard) => guard.guarded(handler),
            None => handler.unchecked_ref::<Function>().clone(),
        }
    }

    /// The handler of a WebSocket that was given up.
    pub(crate) fn ignored(&self) -> Option<Function> {
        self.guard.as_ref().map(Guard::ignored)
    }

    /// Begins to open a WebSocket.
    pub(crate) fn open(&self, url: &str, protocols: &JsValue) -> Result<WebSocket, JsValue> {
        let socket: JsValue = match &self.web_socket {
            Some(class) => Reflect::construct(class, &Array::of2(&url.into(), protocols))?,
            None => AnySubprotocols::new(url, protocols)?.into(),
        };
        let socket: WebSocket = socket.unchecked_into();
        if let Some(guard) = &self.guard {
            guard.opened(&socket);
        }
        Ok(socket)
    }
}
