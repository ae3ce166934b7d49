//! Errors of WebSockets.

use std::fmt;
use std::sync::Arc;

use wasm_bindgen::{JsCast as _, JsValue};
use wirehub_common::PayloadError;

use crate::wire::Closed;

/// An error of a [`Socket`](super::Socket).
#[derive(Debug, Clone)]
pub struct SocketError {
    kind: SocketErrorKind,
    detail: String,
    closed: Option<Closed>,
    source: Option<Arc<PayloadError>>,
}

/// The kind of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SocketErrorKind {
    /// The browser refuses the address, or the names of the subprotocols.
    Address,
    /// The WebSocket could not be opened.
    Refused,
    /// The connection broke.
    Lost,
    /// The socket is closed.
    Closed,
    /// A page may not close a socket with this code or reason.
    CloseCode,
    /// Messages arrived faster than they were read.
    Overflow,
    /// A message does not fit the contract.
    Payload,
}

impl SocketError {
    pub(crate) fn new(kind: SocketErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), closed: None, source: None }
    }

    /// An exception of the browser, with its message.
    pub(crate) fn thrown(kind: SocketErrorKind, thrown: &JsValue) -> Self {
        let words = thrown.dyn_ref::<js_sys::Error>().map(|error| String::from(error.message()));
        Self::new(kind, words.unwrap_or_default())
    }

    pub(crate) fn closed(kind: SocketErrorKind, closed: Closed) -> Self {
        Self { closed: Some(closed), ..Self::new(kind, "") }
    }

    /// The kind of the error.
    pub fn kind(&self) -> SocketErrorKind {
        self.kind
    }

    /// The end of the socket, if that is the error.
    pub fn close(&self) -> Option<&Closed> {
        self.closed.as_ref()
    }
}

impl From<PayloadError> for SocketError {
    fn from(error: PayloadError) -> Self {
        Self { source: Some(Arc::new(error)), ..Self::new(SocketErrorKind::Payload, "") }
    }
}

impl fmt::Display for SocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            SocketErrorKind::Address => {
                "the browser refuses this address: use ws:// or wss://, and on an https page wss://"
            }
            SocketErrorKind::Refused => {
                "the WebSocket could not be opened: check the address, and that the server knows the subprotocol \
                 and this page's origin"
            }
            SocketErrorKind::Lost => "the connection broke: open another one",
            SocketErrorKind::Closed => "the socket is closed: open another one",
            SocketErrorKind::CloseCode => {
                "a page may not close a socket with this code or reason: use 1000 or 3000 to 4999, and at most 123 bytes"
            }
            SocketErrorKind::Overflow => "messages arrived faster than they were read: read them faster",
            SocketErrorKind::Payload => "the message does not fit the contract: build both ends from the same one",
        })?;
        if !self.detail.is_empty() {
            write!(f, " ({})", self.detail)?;
        }
        if let Some(Closed { code, reason, .. }) = &self.closed {
            write!(f, " (code {code}")?;
            let separator = if reason.is_empty() { "" } else { ": " };
            write!(f, "{separator}{reason})")?;
        }
        self.source.as_ref().map_or(Ok(()), |source| write!(f, ": {source}"))
    }
}

impl std::error::Error for SocketError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use wirehub_common::PayloadErrorKind;
    use wirehub_common::code::CloseCode;

    use super::*;

    #[test]
    fn an_error_has_the_remedy_and_the_reason() {
        let closed = Closed { code: CloseCode::BAD_FRAME, reason: "not a frame".into(), clean: true };
        let error = SocketError::closed(SocketErrorKind::Lost, closed.clone());
        assert_eq!(error.to_string(), "the connection broke: open another one (code 3500: not a frame)");
        assert_eq!(error.close(), Some(&closed));
        let error = SocketError::from(PayloadError::new(PayloadErrorKind::Decode, None));
        assert!(error.to_string().contains("build both ends from the same contract"), "{error}");
        assert!(std::error::Error::source(&error).is_some());
    }
}
