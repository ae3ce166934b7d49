//! The opening handshake of a WebSocket (RFC 6455, section 4.2).

use std::fmt;
use std::net::IpAddr;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::upgrade::OnUpgrade;
use sha1::{Digest as _, Sha1};
use tokio::time::Instant;
use wirehub_common::UnknownSubprotocol;

use super::client_address::{client_address, is_forwarded, network_of};
use super::host::{BadHost, check_host};
use crate::Hub;
use crate::accept::{Admission, Detach, Slot};
use crate::hub::addresses::{AddressCharge, TooMany};
use crate::hub::connections::Connection;
use crate::refusals::RefusalReason;
use crate::socket::{Metered, Socket, Transport};

/// A valid handshake.
pub(super) struct Handshake {
    accept: HeaderValue,
    upgrade: OnUpgrade,
    detach: Option<Detach>,
    address: Option<IpAddr>,
    connection: Connection,
    held: HeldPlace,
}

/// The place of a connection at the listener and at its address, until it is dropped.
pub(super) struct HeldPlace {
    _slot: Option<Slot>,
    /// Boxed, because most connections have none.
    _charged: Option<Box<AddressCharge>>,
}

impl Handshake {
    /// Reads and checks a request.
    pub(super) fn read(request: &mut Request, hub: &Hub) -> Result<Self, HandshakeRefusal> {
        Self::try_read(request, hub).map_err(|refusal| refusal.recorded(request, hub))
    }

    fn try_read(request: &mut Request, hub: &Hub) -> Result<Self, HandshakeRefusal> {
        check_host(request.version(), request.headers()).map_err(HandshakeRefusal::Host)?;
        let accept = accept_key(request.method(), request.version(), request.headers())?;
        let live = hub.live();
        let address = client_address(request, &live.proxies);
        let is_from_here =
            address.is_some_and(|address| address.is_loopback()) && !is_forwarded(request.headers());
        live.origins.check(request.headers(), is_from_here).map_err(HandshakeRefusal::Origin)?;
        let connection = hub.connections().enter().ok_or(HandshakeRefusal::Stopping)?;
        let upgrade = request.extensions_mut().remove::<OnUpgrade>().ok_or(HandshakeRefusal::NoUpgrade)?;
        let admission = request.extensions().get::<Admission>().cloned();
        let charged = match address {
            // A connection is charged to its address only once.
            Some(address) if admission.as_ref().is_some_and(Admission::has_charge) => {
                hub.addresses().upgrade(address, live.addresses, Instant::now()).map(|()| None)
            }
            Some(address) => hub.addresses().enter(address, live.addresses, Instant::now()),
            None => Ok(None),
        };
        let charged = charged.map_err(HandshakeRefusal::Address)?.map(Box::new);
        // This is the last step: if an earlier one fails, the HTTP connection continues and keeps its slot.
        let detach = admission.as_ref().map(Admission::detach);
        let (slot, held) = admission.and_then(|admission| admission.take_slot()).unzip();
        let charged = charged.or(held.flatten());
        let held = HeldPlace { _slot: slot, _charged: charged };
        Ok(Self { accept, upgrade, detach, address, connection, held })
    }

    /// The client's address, if known.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// The response that accepts the handshake.
    pub(super) fn response(&self, protocol: Option<&'static str>) -> Response {
        let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, self.accept.clone());
        if let Some(protocol) = protocol {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
        }
        response
    }

    /// Takes over the stream after the response is sent; `None` if the client has gone meanwhile.
    pub(super) async fn finish(self, message_bytes: u32) -> Option<(Socket<Metered<Transport>>, HeldPlace)> {
        let (transport, leftover) = Transport::from_upgraded(self.upgrade.await.ok()?, self.detach);
        let stream = Metered::new(transport, self.connection, &leftover);
        Some((Socket::new(stream, &leftover, message_bytes), self.held))
    }
}

/// Marks a response that refuses a handshake, and that is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RefusedHandshake;

/// Returns `true` if a request asks for a WebSocket.
pub(crate) fn asks_for_websocket(headers: &HeaderMap) -> bool {
    has_token(headers, &header::UPGRADE, "websocket")
}

/// The reason why a handshake is refused.
#[derive(Debug)]
pub(super) enum HandshakeRefusal {
    /// The server's name is missing or ambiguous.
    Host(BadHost),
    /// Only GET starts a WebSocket.
    Method,
    /// An ordinary HTTP request.
    NotWebSocket,
    /// A version other than 13.
    Version,
    /// `Sec-WebSocket-Key` is missing or repeated, or is not 16 bytes in base64.
    Key,
    /// A page of a foreign origin.
    Origin(String),
    Subprotocol(UnknownSubprotocol),
    /// The HTTP server can't hand the connection over.
    NoUpgrade,
    Stopping,
    /// Too many connections or handshakes from the client's address.
    Address(TooMany),
    Entropy(getrandom::Error),
}

impl HandshakeRefusal {
    /// Counts and logs the refusal.
    pub(super) fn recorded(self, request: &Request, hub: &Hub) -> Self {
        let refusals = hub.counters().refusals();
        hub.counters().refused(self.status());
        refusals.count(self.reason());
        let address = client_address(request, &hub.live().proxies);
        tracing::debug!(address = address.map(tracing::field::display), "a handshake is refused: {self}");
        match &self {
            Self::Entropy(error) => tracing::error!("no entropy for a session's id: {error}"),
            Self::Origin(why) => refusals.log_once(why, why),
            Self::Subprotocol(_) => {
                let offered = request.headers().get(header::SEC_WEBSOCKET_PROTOCOL);
                let offered = offered.and_then(|offered| offered.to_str().ok()).unwrap_or("?");
                let offered = offered.get(..offered.len().min(100)).unwrap_or_default();
                refusals
                    .log_once(offered, format_args!("a client that offers {offered:?} is refused: {self}"));
            }
            Self::Address(_) => {
                let address = address.map(|address| network_of(address).to_string()).unwrap_or_default();
                refusals.log_once(&address, format_args!("{address} is refused: {self}"));
            }
            _ => {}
        }
        self
    }

    fn reason(&self) -> RefusalReason {
        match self {
            Self::Host(_) | Self::Method | Self::NotWebSocket | Self::Version | Self::Key => {
                RefusalReason::Handshake
            }
            Self::Origin(_) => RefusalReason::Origin,
            Self::Subprotocol(_) => RefusalReason::Subprotocol,
            Self::NoUpgrade | Self::Entropy(_) => RefusalReason::Failure,
            Self::Stopping => RefusalReason::Stopping,
            Self::Address(_) => RefusalReason::Limit,
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotWebSocket | Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::Host(_) | Self::Key | Self::Subprotocol(_) => StatusCode::BAD_REQUEST,
            Self::Origin(_) => StatusCode::FORBIDDEN,
            Self::NoUpgrade | Self::Entropy(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            Self::Address(_) => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    /// The header that names the solution for programs.
    fn hint(&self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::Method => Some((header::ALLOW, HeaderValue::from_static("GET"))),
            Self::NotWebSocket => Some((header::UPGRADE, HeaderValue::from_static("websocket"))),
            Self::Version => Some((header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))),
            Self::Stopping | Self::Address(TooMany::Handshakes) => {
                Some((header::RETRY_AFTER, HeaderValue::from_static("1")))
            }
            // It depends on the end of other connections.
            Self::Address(TooMany::Connections) => {
                Some((header::RETRY_AFTER, HeaderValue::from_static("10")))
            }
            _ => None,
        }
    }
}

impl fmt::Display for HandshakeRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Method => "a WebSocket begins with a GET request",
            Self::NotWebSocket => {
                "this address is a WebSocket endpoint: open it with a WebSocket client, as ws:// or wss://"
            }
            Self::Version => "only version 13 of WebSocket is supported: send Sec-WebSocket-Version: 13",
            Self::Key => {
                "Sec-WebSocket-Key must be present once, with 16 bytes in base64: use a WebSocket client"
            }
            Self::Origin(why) => why,
            Self::Subprotocol(why) => return fmt::Display::fmt(why, f),
            Self::Host(why) => return fmt::Display::fmt(why, f),
            Self::NoUpgrade => {
                "the HTTP server can't hand this connection over: serve it with HTTP/1.1 and upgrades"
            }
            Self::Stopping => "the server is shutting down: try again",
            Self::Address(TooMany::Connections) => {
                "this address has the maximum number of connections: close another one"
            }
            Self::Address(TooMany::Handshakes) => {
                "too many connections from this address in a short time: try again later"
            }
            Self::Entropy(_) => "the server failed: look at its log",
        })
    }
}

impl IntoResponse for HandshakeRefusal {
    fn into_response(self) -> Response {
        let mut response = (self.status(), format!("{self}\n")).into_response();
        if let Some((name, value)) = self.hint() {
            response.headers_mut().insert(name, value);
        }
        response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response.extensions_mut().insert(RefusedHandshake);
        response
    }
}

/// Checks the request, and returns the value of `Sec-WebSocket-Accept`.
fn accept_key(
    method: &Method,
    version: Version,
    headers: &HeaderMap,
) -> Result<HeaderValue, HandshakeRefusal> {
    if method != Method::GET {
        return Err(HandshakeRefusal::Method);
    }
    let asks = version >= Version::HTTP_11
        && has_token(headers, &header::CONNECTION, "upgrade")
        && has_token(headers, &header::UPGRADE, "websocket");
    if !asks {
        return Err(HandshakeRefusal::NotWebSocket);
    }
    if only(headers, &header::SEC_WEBSOCKET_VERSION) != Some("13") {
        return Err(HandshakeRefusal::Version);
    }
    let key = only(headers, &header::SEC_WEBSOCKET_KEY)
        .filter(|key| BASE64.decode(key).is_ok_and(|bytes| bytes.len() == 16))
        .ok_or(HandshakeRefusal::Key)?;
    let digest = Sha1::new().chain_update(key).chain_update(KEY_SUFFIX).finalize();
    HeaderValue::from_str(&BASE64.encode(digest)).map_err(|_| HandshakeRefusal::Key)
}

/// The suffix that proves that the server speaks WebSocket (RFC 6455, section 1.3).
const KEY_SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// `true` if a comma-separated header has this token, in upper or lower case.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(token))
}

/// The value of a header that is present exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?.trim();
    values.next().is_none().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, value);
        }
        headers
    }

    fn request(key: &'static str) -> HeaderMap {
        headers(&[
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", key),
        ])
    }

    fn accept(headers: &HeaderMap) -> Result<HeaderValue, HandshakeRefusal> {
        accept_key(&Method::GET, Version::HTTP_11, headers)
    }

    #[test]
    fn keys_are_answered_as_rfc_6455_shows() {
        for (key, expected) in [
            ("dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            ("f7cb4ezEAl6C3wRaU6JORA==", "rE91AJhfC+6JdVcVXOGJEADEJdQ="),
        ] {
            assert_eq!(accept(&request(key)).unwrap(), expected);
        }
    }

    #[test]
    fn a_key_that_is_not_sixteen_bytes_is_refused() {
        for key in ["", "dGhlIHNhbXBsZSBub25jZQ", "c2hvcnQ=", "not base64 at all"] {
            assert!(matches!(accept(&request(key)), Err(HandshakeRefusal::Key)), "{key}");
        }
        let mut twice = request("dGhlIHNhbXBsZSBub25jZQ==");
        twice.append(header::SEC_WEBSOCKET_KEY, HeaderValue::from_static("f7cb4ezEAl6C3wRaU6JORA=="));
        assert!(matches!(accept(&twice), Err(HandshakeRefusal::Key)));
    }

    #[test]
    fn an_invalid_handshake_is_refused_with_a_hint() {
        assert!(matches!(accept(&HeaderMap::new()), Err(HandshakeRefusal::NotWebSocket)));
        let good = request("dGhlIHNhbXBsZSBub25jZQ==");
        assert!(matches!(accept_key(&Method::HEAD, Version::HTTP_11, &good), Err(HandshakeRefusal::Method)));
        assert!(matches!(
            accept_key(&Method::GET, Version::HTTP_10, &good),
            Err(HandshakeRefusal::NotWebSocket)
        ));
        let mut old = good;
        old.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("8"));
        let refusal = accept(&old).unwrap_err();
        assert_eq!(refusal.status(), StatusCode::UPGRADE_REQUIRED);
        assert_eq!(refusal.into_response().headers()[header::SEC_WEBSOCKET_VERSION], "13");
    }
}
