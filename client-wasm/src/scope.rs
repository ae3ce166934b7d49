//! The surroundings of a driver: the class of its WebSockets, and the handlers that the browser calls.

use alloc::rc::Rc;

use js_sys::{Array, Function, Reflect};
use wasm_bindgen::JsCast as _;
use wasm_bindgen::prelude::{Closure, JsValue, wasm_bindgen};
use web_sys::WebSocket;

/// The surroundings of a driver. By default they are those of a page or worker.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    web_socket: Option<Function>,
    guard: Option<Guard>,
}

/// The meaning of a call by the browser.
#[derive(Debug, Clone, Copy)]
pub enum Signal {
    /// An event of a WebSocket.
    Open,
    /// The same.
    Message,
    /// The same.
    Error,
    /// The same.
    Close,
    /// It could not be opened, and there is no event for its close.
    Failed,
    /// The time of a timer has come.
    Time,
    /// An event of the page's life.
    Online,
    /// The same.
    Offline,
    /// The page is back on the screen, or runs again.
    Shown,
    /// The page is left.
    Left,
    /// The page is visible, or hidden.
    Visibility,
}

/// The receiver of everything that the browser reports. It is one function for all of it, because each kind of closure
/// adds to the size of a module.
pub type Ear = Rc<dyn Fn(Signal, JsValue)>;

/// A function that the browser may call as long as this lives.
#[derive(Debug)]
pub(crate) struct Handler {
    pub(crate) function: Function,
    _closure: Closure<dyn Fn(JsValue)>,
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

    /// A function for the browser: it passes an event to `ear`, as `signal`.
    pub(crate) fn handler(&self, signal: Signal, ear: &Ear) -> Handler {
        let ear = Rc::clone(ear);
        let closure = Closure::<dyn Fn(JsValue)>::new(move |event| ear(signal, event));
        let handler = closure.as_ref();
        let function = match &self.guard {
            Some(guard) => guard.guarded(handler),
            None => handler.unchecked_ref::<Function>().clone(),
        };
        Handler { function, _closure: closure }
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
