//! Addresses of WebSockets.

use crate::socket::{SocketError, SocketErrorKind};

/// Refuses an address that is not that of a WebSocket. Newer browsers accept http for ws, older ones do not; here it is
/// always an error.
pub(crate) fn check_address(url: &str) -> Result<(), SocketError> {
    let is_websocket = url.split_once("://").is_some_and(|(scheme, rest)| {
        (scheme.eq_ignore_ascii_case("ws") || scheme.eq_ignore_ascii_case("wss")) && !rest.is_empty()
    });
    if is_websocket { Ok(()) } else { Err(SocketError::new(SocketErrorKind::Address, url)) }
}
