//! The `Host` header: exactly one, with a valid name (RFC 9112, section 3.2). With two, a proxy before the server might have
//! used the other one.

use std::fmt;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};

/// A request has no single valid `Host`. The response is 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadHost;

/// Checks that a request names its server exactly once (RFC 9112, section 3.2).
///
/// # Errors
/// `Host` is missing, repeated or invalid.
pub fn check_host(version: Version, headers: &HeaderMap) -> Result<(), BadHost> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let is_good = match (hosts.next(), hosts.next()) {
        (None, None) => version < Version::HTTP_11,
        (Some(host), None) => host.to_str().is_ok_and(is_host),
        _ => false,
    };
    if is_good { Ok(()) } else { Err(BadHost) }
}

/// `true` for a name or an address, optionally with a port.
fn is_host(text: &str) -> bool {
    let Ok(authority) = text.parse::<Authority>() else { return false };
    let Some(port) = text.strip_prefix(authority.host()) else { return false };
    let is_port = match port.strip_prefix(':') {
        Some(number) => number.is_empty() || number.parse::<u16>().is_ok(),
        None => port.is_empty(),
    };
    // A proxy may join two headers into a list of hosts. A list is as ambiguous as two headers.
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte))
    };
    is_port && (authority.host().starts_with('[') || is_name(authority.host()))
}

impl fmt::Display for BadHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request must have one Host header, with the server's name and optionally a port")
    }
}

impl std::error::Error for BadHost {}

impl IntoResponse for BadHost {
    fn into_response(self) -> Response {
        (StatusCode::BAD_REQUEST, [(header::CACHE_CONTROL, "no-store")], format!("{self}\n")).into_response()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn check(hosts: &[&'static [u8]]) -> bool {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(header::HOST, HeaderValue::from_bytes(host).unwrap());
        }
        check_host(Version::HTTP_11, &headers).is_ok()
    }

    #[test]
    fn there_is_one_host_and_it_could_be_one() {
        for good in ["a.example", "A.example:80", "my_server", "127.0.0.1:8080", "[::1]", "[::1]:1", "a:"] {
            assert!(check(&[good.as_bytes()]), "{good}");
        }
        for bad in ["", "a b", "a,b", "a/b", "u@a", "a:b", "a:1:2", "a:65536", "http://a", "a?", "a#b", ":80"]
        {
            assert!(!check(&[bad.as_bytes()]), "{bad}");
        }
        assert!(!check(&[b"\xff"]));
        assert!(!check(&[b"a.example", b"a.example"]) && !check(&[b"a", b"b", b"c"]));
        assert!(!check(&[]));
        assert_eq!(check_host(Version::HTTP_10, &HeaderMap::new()), Ok(()), "it had none");
    }
}
