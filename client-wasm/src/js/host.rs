//! The TypeScript objects that the exports speak to.

use js_sys::Function;
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};
use web_sys::WebSocket;
use wirehub_client_core::Error;

#[wasm_bindgen]
extern "C" {
    /// The TypeScript end of a client.
    pub type Host;

    /// Opens a WebSocket that calls the function with its events, guarded against a failure of this module.
    #[wasm_bindgen(method, catch)]
    pub(crate) fn open(
        this: &Host,
        url: &str,
        protocols: &JsValue,
        handler: &Function,
    ) -> Result<WebSocket, JsValue>;

    /// Has `tick` called after so many milliseconds, in place of the call that was planned before.
    #[wasm_bindgen(method)]
    pub(crate) fn schedule(this: &Host, delay: Option<i32>);

    /// Makes an error. Where `words` is empty it has those of its code, and `about` behind them.
    #[wasm_bindgen(method, js_name = toError)]
    pub(crate) fn to_error(this: &Host, code: u16, temporary: bool, words: &str, about: &str) -> JsValue;

    /// The client's state changed. `code` is 0 where no connection ended, `retry_in` in milliseconds; `failure` is why
    /// the client is over, where the code does not say it.
    #[wasm_bindgen(method, js_name = onState)]
    #[allow(clippy::too_many_arguments, reason = "an object would cost more code on both sides")]
    pub(crate) fn on_state(
        this: &Host,
        state: u8,
        session: &str,
        user: &str,
        code: u16,
        reason: &str,
        retry_in: Option<f64>,
        failure: Option<JsValue>,
    );

    /// Messages came. See [`Batch`](super::batch::Batch).
    #[wasm_bindgen(method, js_name = onPublications)]
    pub(crate) fn on_publications(this: &Host, rows: &[f64], text: &str, bytes: &[u8]);

    /// A subscription is in force. `recovery`: for the first time (0), with all messages since it was in force last (1),
    /// without them because the channel has no history (2), or because that does not reach back so far (3).
    #[wasm_bindgen(method, js_name = onSubscribed)]
    pub(crate) fn on_subscribed(this: &Host, subscription: u32, recovery: u8);

    /// A subscription ended: with an error, or by the application's wish.
    #[wasm_bindgen(method, js_name = onUnsubscribed)]
    pub(crate) fn on_unsubscribed(this: &Host, subscription: u32, error: Option<JsValue>);

    /// The host has to say what its token is: to `handle_token`, with this number.
    #[wasm_bindgen(method, js_name = onTokenNeeded)]
    pub(crate) fn on_token_needed(this: &Host, request: u32);

    /// A command brought this, as a [`Batch`](super::batch::Batch), and is done unless `more` follows. `offset` and
    /// `epoch` are a history's newest position.
    #[wasm_bindgen(method, js_name = onAnswer)]
    #[allow(clippy::too_many_arguments, reason = "an object would cost more code on both sides")]
    pub(crate) fn on_answer(
        this: &Host,
        command: u32,
        more: bool,
        rows: &[f64],
        text: &str,
        bytes: &[u8],
        offset: f64,
        epoch: &str,
    );

    /// A command failed.
    #[wasm_bindgen(method, js_name = onFailed)]
    pub(crate) fn on_failed(this: &Host, command: u32, error: JsValue);

    /// Something failed that belongs to nothing else.
    #[wasm_bindgen(method, js_name = onError)]
    pub(crate) fn on_error(this: &Host, error: JsValue);

    /// The TypeScript end of a socket.
    #[derive(Clone)]
    pub type SocketHost;

    /// As [`Host::open`].
    #[wasm_bindgen(method, catch)]
    pub(crate) fn open(
        this: &SocketHost,
        url: &str,
        protocols: &JsValue,
        handler: &Function,
    ) -> Result<WebSocket, JsValue>;

    /// The socket is open.
    #[wasm_bindgen(method, js_name = onOpen)]
    pub(crate) fn on_open(this: &SocketHost);

    /// A message came: a string or an `ArrayBuffer`.
    #[wasm_bindgen(method, js_name = onMessage)]
    pub(crate) fn on_message(this: &SocketHost, data: &JsValue);

    /// Something failed.
    #[wasm_bindgen(method, js_name = onError)]
    pub(crate) fn on_error(this: &SocketHost);

    /// The socket is closed.
    #[wasm_bindgen(method, js_name = onClose)]
    pub(crate) fn on_close(this: &SocketHost, code: u16, reason: &str, clean: bool);
}

impl Host {
    /// An error as TypeScript's.
    pub(crate) fn error(&self, error: &Error) -> JsValue {
        let words = error.own_words().unwrap_or_default();
        let about = error.about_what().unwrap_or_default();
        self.to_error(error.code().number(), error.is_temporary(), words, about)
    }
}
