//! The address of a server.

use std::fmt;
use std::io;
use std::path::PathBuf;

use http::Uri;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::tls::Trust;
use crate::transport;

/// The address of a server: over TCP, over TLS or, on Unix, at a socket file.
///
/// ```
/// use wirehub_client::Address;
///
/// assert!(Address::parse("ws://127.0.0.1:8080/ws").is_ok());
/// assert!(Address::parse("wss://chat.example.com/ws").is_ok());
/// assert!(Address::parse("unix:/run/wirehub.sock").is_ok());
/// assert!(Address::parse("http://127.0.0.1:8080").unwrap_err().to_string().contains("ws://"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub(crate) uri: Uri,
    pub(crate) target: Target,
    pub(crate) trust: Trust,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Tcp {
        host: String,
        port: u16,
        /// The name that the server's certificate has to have, with TLS.
        tls: Option<ServerName<'static>>,
    },
    #[cfg(unix)]
    Unix(PathBuf),
}

impl Address {
    /// Parses `wss://HOST[:PORT][/PATH]`, `ws://HOST[:PORT][/PATH]` or `unix:FILE`. The path of the last one on the
    /// server is `/ws`.
    ///
    /// At a `wss://` address the server has to show a certificate for HOST by an authority that the operating system
    /// trusts. See [`Self::with_root_certificates`] for other authorities.
    ///
    /// # Errors
    /// The address is invalid. The message describes the problem and the remedy.
    pub fn parse(address: &str) -> Result<Self, AddressError> {
        if let Some(file) = address.strip_prefix("unix:") {
            return Self::unix(file.into());
        }
        let uri: Uri = address.parse().map_err(|_| AddressError::Syntax)?;
        let encrypted = match uri.scheme_str() {
            Some("ws") => false,
            Some("wss") => true,
            _ => return Err(AddressError::Scheme),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(AddressError::Syntax)?;
        // An IPv6 address stands in brackets in a URI, and without them elsewhere.
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
        let name = || ServerName::try_from(host.clone()).map_err(|_| AddressError::Syntax);
        let tls = if encrypted { Some(name()?) } else { None };
        Ok(Self { target: Target::Tcp { host, port, tls }, uri, trust: Trust::default() })
    }

    /// This address with root certificates of your own: only the authorities in `pem` are trusted, and not those of the
    /// operating system. Use it for certificates by a private authority, or self-signed ones. It has no effect without
    /// TLS.
    ///
    /// `pem` is the text of one certificate or more, each between `BEGIN CERTIFICATE` and `END CERTIFICATE`.
    ///
    /// # Errors
    /// [`AddressError::Certificates`].
    pub fn with_root_certificates(self, pem: &[u8]) -> Result<Self, AddressError> {
        let trust = Trust::only(pem).ok_or(AddressError::Certificates)?;
        Ok(Self { trust, ..self })
    }

    /// The URI of the WebSocket handshake: the address itself, or `ws://localhost/ws` for a socket file.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Connects, with TLS if the address has it, up to the point at which a WebSocket handshake begins. Use it to speak
    /// another protocol than Wirehub.
    ///
    /// # Errors
    /// The server can't be reached, or its certificate is not trusted. The message describes the remedy.
    pub async fn dial(&self) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + use<>> {
        transport::dial(self).await.map_err(|failure| io::Error::other(failure.reason))
    }

    #[cfg(unix)]
    fn unix(file: PathBuf) -> Result<Self, AddressError> {
        if file.as_os_str().is_empty() {
            return Err(AddressError::Syntax);
        }
        let uri = Uri::from_static("ws://localhost/ws");
        Ok(Self { uri, target: Target::Unix(file), trust: Trust::default() })
    }

    #[cfg(not(unix))]
    fn unix(_: PathBuf) -> Result<Self, AddressError> {
        Err(AddressError::Scheme)
    }
}

/// The problem of an invalid address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressError {
    /// The text is no address.
    Syntax,
    /// The scheme is not supported.
    Scheme,
    /// There is no root certificate, or one that can't be read.
    Certificates,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => "this is not an address: use wss://HOST/ws, ws://HOST:PORT/ws or unix:FILE",
            Self::Scheme => {
                "the address must begin with wss://, ws:// or unix: (a WebSocket has no http:// address)"
            }
            Self::Certificates => {
                "the text has no certificate, or one that can't be read: pass PEM text with BEGIN CERTIFICATE"
            }
        })
    }
}

impl std::error::Error for AddressError {}

impl std::str::FromStr for Address {
    type Err = AddressError;

    fn from_str(address: &str) -> Result<Self, Self::Err> {
        Self::parse(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_told_apart() {
        let target = |address| Address::parse(address).unwrap().target;
        let tcp = |host: &str, port| Target::Tcp { host: host.into(), port, tls: None };
        let tls = |host: &str, port| Target::Tcp {
            host: host.into(),
            port,
            tls: Some(ServerName::try_from(host).unwrap().to_owned()),
        };
        assert_eq!(target("ws://example.test"), tcp("example.test", 80));
        assert_eq!(target("ws://127.0.0.1:8080/ws?x=1"), tcp("127.0.0.1", 8080));
        assert_eq!(target("ws://[::1]:9/ws"), tcp("::1", 9));
        assert_eq!(target("wss://example.test/ws"), tls("example.test", 443));
        assert_eq!(target("wss://[::1]:9"), tls("::1", 9));
    }

    #[test]
    fn an_invalid_address_has_an_error_with_the_reason() {
        let error = |address| Address::parse(address).unwrap_err();
        assert_eq!(error("http://a/ws"), AddressError::Scheme);
        assert_eq!(error("localhost:8080"), AddressError::Scheme);
        assert_eq!(error("wss://a_*/ws"), AddressError::Syntax);
        assert_eq!(error("ws://"), AddressError::Syntax);
        assert_eq!(error("unix:"), AddressError::Syntax);
    }
}
