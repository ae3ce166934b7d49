//! Where a server is.

use std::fmt;
use std::path::PathBuf;

use http::Uri;

/// Where a server is: over TCP or, on Unix, behind a socket file.
///
/// ```
/// use wirehub_client::Address;
///
/// assert!(Address::parse("ws://127.0.0.1:8080/ws").is_ok());
/// assert!(Address::parse("unix:/run/wirehub.sock").is_ok());
/// assert!(Address::parse("http://127.0.0.1:8080").unwrap_err().to_string().contains("ws://"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub(crate) uri: Uri,
    pub(crate) target: Target,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Tcp {
        host: String,
        port: u16,
    },
    #[cfg(unix)]
    Unix(PathBuf),
}

impl Address {
    /// Parses `ws://HOST[:PORT][/PATH]` or `unix:FILE`, whose path on the server is `/ws`.
    ///
    /// # Errors
    /// Says what is wrong with the address and what would be right.
    pub fn parse(address: &str) -> Result<Self, AddressError> {
        if let Some(file) = address.strip_prefix("unix:") {
            return Self::unix(file.into());
        }
        let uri: Uri = address.parse().map_err(|_| AddressError::Syntax)?;
        match uri.scheme_str() {
            Some("ws") => {}
            Some("wss") => return Err(AddressError::Tls),
            _ => return Err(AddressError::Scheme),
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(AddressError::Syntax)?;
        // An IPv6 address stands in brackets in a URI, and without them elsewhere.
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(80);
        Ok(Self { target: Target::Tcp { host, port }, uri })
    }

    #[cfg(unix)]
    fn unix(file: PathBuf) -> Result<Self, AddressError> {
        if file.as_os_str().is_empty() {
            return Err(AddressError::Syntax);
        }
        Ok(Self { uri: Uri::from_static("ws://localhost/ws"), target: Target::Unix(file) })
    }

    #[cfg(not(unix))]
    fn unix(_: PathBuf) -> Result<Self, AddressError> {
        Err(AddressError::Scheme)
    }
}

/// What is wrong with an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressError {
    /// It is no address at all.
    Syntax,
    /// Its scheme is none of ours.
    Scheme,
    /// It asks for TLS, which this client does not have.
    Tls,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => "this is no address: write ws://HOST:PORT/ws or unix:FILE",
            Self::Scheme => "the address must begin with ws:// or unix: (a WebSocket has no http:// address)",
            Self::Tls => {
                "this client has no TLS: reach the server by ws:// or unix:, or through a local TLS proxy"
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
        let tcp = |host: &str, port| Target::Tcp { host: host.into(), port };
        assert_eq!(target("ws://example.test"), tcp("example.test", 80));
        assert_eq!(target("ws://127.0.0.1:8080/ws?x=1"), tcp("127.0.0.1", 8080));
        assert_eq!(target("ws://[::1]:9/ws"), tcp("::1", 9));
    }

    #[test]
    fn what_is_no_address_is_told_why() {
        let error = |address| Address::parse(address).unwrap_err();
        assert_eq!(error("http://a/ws"), AddressError::Scheme);
        assert_eq!(error("localhost:8080"), AddressError::Scheme);
        assert_eq!(error("wss://a/ws"), AddressError::Tls);
        assert_eq!(error("ws://"), AddressError::Syntax);
        assert_eq!(error("unix:"), AddressError::Syntax);
    }
}
