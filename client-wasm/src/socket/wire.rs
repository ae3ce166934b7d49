//! A WebSocket with typed messages and readable errors.

use js_sys::Array;
use wasm_bindgen::JsValue;
use web_sys::WebSocket;
use wirehub_common::code::CloseCode;

use super::{Message, ReadyState, SocketError, SocketErrorKind};
use crate::scope::Scope;
use crate::url::check_address;
use crate::wire::{Wire, WireEvent, to_bytes};

/// [`Wire::open`] with readable errors.
pub(super) fn connect(
    url: &str,
    protocols: &[&str],
    on: impl Fn(WireEvent) + 'static,
) -> Result<Wire, SocketError> {
    check_address(url)?;
    let protocols: Array = protocols.iter().map(|&name| JsValue::from(name)).collect();
    Wire::open(&Scope::default(), url, &protocols, &WireEvent::ear(on))
        .map_err(|thrown| SocketError::thrown(SocketErrorKind::Address, &thrown))
}

/// Sends a message.
pub(super) fn send(wire: &Wire, message: &Message) -> Result<(), SocketError> {
    match message {
        Message::Text(text) => wire.socket().send_with_str(text),
        Message::Binary(bytes) => wire.send(bytes),
    }
    .map_err(|thrown| SocketError::thrown(SocketErrorKind::Closed, &thrown))
}

/// Begins to close, if the browser accepts this code and reason.
pub(super) fn close(wire: &Wire, code: CloseCode, reason: &str) -> Result<(), SocketError> {
    wire.socket()
        .close_with_code_and_reason(code.number(), reason)
        .map_err(|thrown| SocketError::thrown(SocketErrorKind::CloseCode, &thrown))
}

pub(super) fn ready_state(wire: &Wire) -> ReadyState {
    match wire.socket().ready_state() {
        WebSocket::CONNECTING => ReadyState::Connecting,
        WebSocket::OPEN => ReadyState::Open,
        WebSocket::CLOSING => ReadyState::Closing,
        _ => ReadyState::Closed,
    }
}

/// A message, copied into this module's memory.
pub(super) fn to_message(data: &JsValue) -> Message {
    match to_bytes(data) {
        Some(bytes) => Message::Binary(bytes.into()),
        None => Message::Text(data.as_string().unwrap_or_default()),
    }
}
