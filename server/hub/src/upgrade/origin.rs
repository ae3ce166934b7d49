//! The origins of pages that may connect. A browser lets any page open a WebSocket to any server, and sends the page's origin:
//! the server has to refuse.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, header};

/// An origin from which pages may connect:
///
/// - `https://a.example`, `http://127.0.0.1:5173`: only this origin;
/// - `https://*.a.example`, `https://*.a.example:8443`: all names below `a.example`, with one label or more (`x.a.example`,
///   `x.y.a.example`), but not `a.example` itself;
/// - `http://localhost:*`: all ports;
/// - `chrome-extension://ID`, `vscode-webview://ID`, `capacitor://localhost`: a browser's extension, or an application that
///   shows its own pages;
/// - `*`: every page.
///
/// A `*` anywhere else is refused.
///
/// ```
/// # extern crate wirehub_hub as wirehub_server;
/// use wirehub_server::accept::Origin;
///
/// let origin: Origin = "https://app.example".parse()?;
/// assert_eq!(origin.to_string(), "https://app.example");
/// assert!("https://*.app.example".parse::<Origin>().is_ok());
/// assert!("app.example".parse::<Origin>().is_err());
/// assert!("https://app.*".parse::<Origin>().is_err());
/// # Ok::<(), wirehub_server::accept::OriginError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(OriginPattern);

#[derive(Debug, Clone, PartialEq, Eq)]
enum OriginPattern {
    Any,
    AnyPort {
        scheme: String,
        host: String,
    },
    /// All names below the host.
    Below(OriginAddress),
    One(OriginAddress),
}

impl Origin {
    fn covers(&self, page: Option<&OriginAddress>) -> bool {
        match (&self.0, page) {
            (OriginPattern::Any, _) => true,
            (_, None) => false,
            (OriginPattern::AnyPort { scheme, host }, Some(page)) => {
                *scheme == page.scheme && *host == page.host
            }
            (OriginPattern::Below(above), Some(page)) => {
                let labels = page.host.strip_suffix(&*above.host).and_then(|rest| rest.strip_suffix('.'));
                let is_below = labels.is_some_and(|labels| labels.split('.').all(|label| !label.is_empty()));
                is_below && above.scheme == page.scheme && above.port == page.port
            }
            (OriginPattern::One(one), Some(page)) => one == page,
        }
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "*" {
            return Ok(Self(OriginPattern::Any));
        }
        if let Some((scheme, below)) = text.split_once("://*.") {
            let address =
                OriginAddress::parse(&format!("{scheme}://{below}")).filter(OriginAddress::has_names_below);
            return address.map(|address| Self(OriginPattern::Below(address))).ok_or(OriginError::WILDCARD);
        }
        let (base, any_port) = text.strip_suffix(":*").map_or((text, false), |base| (base, true));
        if base.contains('*') {
            return Err(OriginError::WILDCARD);
        }
        let address = OriginAddress::parse(base).ok_or(OriginError::OTHER)?;
        Ok(Self(match address {
            one if !any_port => OriginPattern::One(one),
            OriginAddress { scheme, host, port: None } => OriginPattern::AnyPort { scheme, host },
            OriginAddress { port: Some(_), .. } => return Err(OriginError::WILDCARD),
        }))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let write = |f: &mut fmt::Formatter<'_>,
                     below: &str,
                     OriginAddress { scheme, host, port }: &OriginAddress| {
            write!(f, "{scheme}://{below}{host}")?;
            port.map_or(Ok(()), |port| write!(f, ":{port}"))
        };
        match &self.0 {
            OriginPattern::Any => f.write_str("*"),
            OriginPattern::AnyPort { scheme, host } => write!(f, "{scheme}://{host}:*"),
            OriginPattern::Below(address) => write(f, "*.", address),
            OriginPattern::One(address) => write(f, "", address),
        }
    }
}

/// The text is not an [`Origin`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OriginError {
    has_wildcard: bool,
}

impl OriginError {
    const OTHER: Self = Self { has_wildcard: false };
    const WILDCARD: Self = Self { has_wildcard: true };
}

impl fmt::Display for OriginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.has_wildcard {
            "a `*` in an origin stands for all names below a domain of two labels or more, https://*.app.example, for all \
             ports of one host, http://localhost:*, or alone for every page: write one of these"
        } else {
            "an origin is a scheme, a host and optionally a port, without a path: write https://app.example, \
             https://*.app.example, http://127.0.0.1:5173, http://localhost:*, chrome-extension://ID or *"
        })
    }
}

impl std::error::Error for OriginError {}

/// The allowed origins in addition to the server's own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origins(Vec<Origin>);

impl Origins {
    pub(crate) fn allow(&mut self, origin: Origin) {
        self.0.push(origin);
    }

    /// Checks the origin of a request for a WebSocket. `is_from_here` is `true` for a request from this machine itself. In that
    /// case the page must use one of the machine's own names. Under any other name the page may belong to a stranger whose name
    /// points to this machine (DNS rebinding), and must not reach the user's programs.
    ///
    /// # Errors
    /// A message with the solution.
    pub(crate) fn check(&self, headers: &HeaderMap, is_from_here: bool) -> Result<(), String> {
        // Browsers always send an origin, and only they do.
        let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
        let text = origin.to_str().unwrap_or_default();
        let page = OriginAddress::parse(text);
        let is_own = page.as_ref().is_some_and(|page| page.is_of_host(headers));
        let is_good =
            is_own && (!is_from_here || page.as_ref().is_some_and(OriginAddress::is_of_this_machine));
        if is_good || self.0.iter().any(|allowed| allowed.covers(page.as_ref())) {
            return Ok(());
        }
        Err(match page {
            Some(page) if is_own => {
                let origin = Origin(OriginPattern::One(page));
                format!(
                    "pages of {origin} may not connect from this machine, because it has other names: behind a proxy, make the \
                     proxy send X-Forwarded-For; otherwise start the server with --allow-origin {origin} (in a program: Builder::allow_origin)"
                )
            }
            Some(page) => {
                let what = page.kind();
                let origin = Origin(OriginPattern::One(page));
                format!(
                    "{what} {origin} may not connect: if it should, start the server with --allow-origin {origin} (in a \
                     configuration: server.allow_origins; in a program: Builder::allow_origin)"
                )
            }
            None if text == "null" || text.starts_with("file:") => {
                "pages without an origin of their own (files, sandboxed frames) may not connect: serve the page \
                 over HTTP, or start the server with --allow-origin '*' (in a program: Builder::allow_origin)"
                    .into()
            }
            None => "the request's Origin is invalid, so it may not connect: a browser sends an origin such as https://app.example; \
                     other programs send none; --allow-origin '*' admits every page (in a program: Builder::allow_origin)"
                .into(),
        })
    }
}

/// An origin in the form of browsers: in lower case, and without the default port of its scheme.
#[derive(Debug, Clone, PartialEq, Eq)]
struct OriginAddress {
    scheme: String,
    host: String,
    port: Option<u16>,
}

impl OriginAddress {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let authority: Authority = rest.parse().ok()?;
        // RFC 3986, section 3.1.
        let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        let is_plain =
            scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && scheme.bytes().all(is_good);
        // No origin begins with a port. An origin with a star would be confused with a pattern.
        let has_host = !authority.host().is_empty() && !authority.host().contains('*');
        if !is_plain || !has_host || authority.as_str().contains('@') {
            return None;
        }
        let scheme = scheme.to_ascii_lowercase();
        let port = port(&authority)?.filter(|port| default_port(&scheme) != Some(*port));
        Some(Self { host: authority.host().to_ascii_lowercase(), port, scheme })
    }

    /// The kind of program with such an origin.
    fn kind(&self) -> &'static str {
        match &*self.scheme {
            "http" | "https" => "pages of",
            scheme if scheme.ends_with("-extension") => "the browser's extension",
            _ => "the application",
        }
    }

    /// `true` if all names below the host may belong to one owner. This excludes addresses, and domains such as `com`.
    fn has_names_below(&self) -> bool {
        let mut labels = self.host.split('.');
        let is_name = self.host.parse::<IpAddr>().is_err() && !self.host.contains('[');
        is_name
            && labels.clone().all(|label| !label.is_empty())
            && (self.host == "localhost" || labels.nth(1).is_some())
    }

    /// `true` if the host is an address, or a name that always means the local machine (RFC 6761, section 6.3).
    fn is_of_this_machine(&self) -> bool {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        bare.parse::<IpAddr>().is_ok() || bare == "localhost" || bare.ends_with(".localhost")
    }

    /// `true` if this is the server's own origin, by the name that the browser uses for the server. The scheme may differ,
    /// because a proxy before the server may speak TLS.
    fn is_of_host(&self, headers: &HeaderMap) -> bool {
        // The server has not served an extension, or an application with its own pages.
        if default_port(&self.scheme).is_none() {
            return false;
        }
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let Some(host) = host.and_then(|host| host.parse::<Authority>().ok()) else { return false };
        let Some(port) = port(&host) else { return false };
        host.host().eq_ignore_ascii_case(&self.host)
            && port.filter(|port| default_port(&self.scheme) != Some(*port)) == self.port
    }
}

/// The port, if present; the outer `None` if it is not a number.
fn port(authority: &Authority) -> Option<Option<u16>> {
    let behind_host = authority.as_str().strip_prefix(authority.host())?;
    match behind_host.strip_prefix(':') {
        // A number may have a sign, a port may not.
        Some(number) if number.bytes().all(|byte| byte.is_ascii_digit()) => number.parse().ok().map(Some),
        Some(_) => None,
        None => behind_host.is_empty().then_some(None),
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(allowed: &[&str], host: &str, origin: &str) -> Result<(), String> {
        check_from(false, allowed, host, origin)
    }

    fn check_from(here: bool, allowed: &[&str], host: &str, origin: &str) -> Result<(), String> {
        let origins = Origins(allowed.iter().map(|origin| origin.parse().unwrap()).collect());
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        headers.insert(header::ORIGIN, origin.parse().unwrap());
        origins.check(&headers, here)
    }

    #[test]
    fn pages_of_the_server_itself_may_connect() {
        for (host, origin) in [
            ("127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("App.Example", "https://app.example"),
            ("app.example:443", "https://app.example"),
            ("app.example", "http://app.example"),
            ("[::1]:8080", "http://[::1]:8080"),
        ] {
            assert_eq!(check(&[], host, origin), Ok(()), "{host} {origin}");
        }
    }

    #[test]
    fn a_page_with_a_rebound_name_may_not_connect() {
        for host in
            ["localhost:8080", "app.localhost:8080", "127.0.0.1:8080", "[::1]:8080", "192.168.0.7:8080"]
        {
            assert_eq!(check_from(true, &[], host, &format!("http://{host}")), Ok(()), "{host}");
        }
        let words = check_from(true, &[], "evil.example:8080", "http://evil.example:8080").unwrap_err();
        assert!(words.contains("--allow-origin http://evil.example:8080"), "{words}");
        assert!(words.contains("X-Forwarded-For"), "{words}");
        let allowed = ["http://mine.test:8080"];
        assert_eq!(check_from(true, &allowed, "mine.test:8080", "http://mine.test:8080"), Ok(()));
        assert!(check_from(true, &allowed, "evillocalhost", "http://evillocalhost").is_err());
    }

    #[test]
    fn pages_of_other_origins_may_not_connect_and_the_refusal_names_the_option() {
        for origin in [
            "http://evil.example",
            "https://app.example:8443",
            "https://app.example.evil.example",
            "null",
            "",
        ] {
            assert!(check(&[], "app.example", origin).unwrap_err().contains("--allow-origin"), "{origin}");
        }
        let words = check(&[], "app.example", "http://evil.example").unwrap_err();
        assert!(words.contains("--allow-origin http://evil.example"), "{words}");
    }

    #[test]
    fn allowed_origins_are_compared_as_a_whole() {
        let allowed = ["https://a.example", "http://127.0.0.1:*"];
        for origin in ["https://a.example", "http://127.0.0.1:5173", "http://127.0.0.1"] {
            assert_eq!(check(&allowed, "x", origin), Ok(()), "{origin}");
        }
        for origin in ["http://a.example", "https://b.a.example", "https://127.0.0.1:5173", "null"] {
            assert!(check(&allowed, "x", origin).is_err(), "{origin}");
        }
        assert_eq!(check(&["*"], "x", "null"), Ok(()));
    }

    #[test]
    fn a_program_that_names_no_origin_is_no_browser() {
        assert_eq!(Origins::default().check(&HeaderMap::new(), true), Ok(()));
    }

    #[test]
    fn an_invalid_origin_is_refused() {
        for bad in [
            "",
            "app.example",
            "https://",
            "https://a.example/path",
            "https://u@a.example",
            "https://:443",
            "https://a.example:+443",
            "https://a:b:*",
            "http://a:1:*",
        ] {
            assert!(bad.parse::<Origin>().is_err(), "{bad}");
        }
        assert_eq!("HTTP://A.example:80".parse::<Origin>().unwrap().to_string(), "http://a.example");
    }

    #[test]
    fn extensions_and_applications_have_origins_too() {
        for origin in [
            "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
            "moz-extension://5b1ab2c4-7f3e-4c1d-9d53-2f6b0f5f3a11",
            "safari-web-extension://AB12CD34",
            "vscode-webview://1a2b3c",
            "capacitor://localhost",
            "tauri://localhost",
            "ionic://localhost",
            "app+x.y-z://a",
        ] {
            assert_eq!(check(&[origin], "x", origin), Ok(()), "{origin}");
            let words = check(&["https://a.example"], "x", origin).unwrap_err();
            let scheme = origin.split(':').next().unwrap();
            assert!(
                words.contains(&format!("--allow-origin {scheme}://")) && !words.contains("pages"),
                "{words}"
            );
            assert!(check(&[origin], "x", &format!("{origin}z")).is_err(), "{origin}");
        }
        // The server's own name does not make it the server.
        assert!(check(&[], "localhost", "capacitor://localhost").is_err());
        assert!(check_from(true, &[], "localhost", "tauri://localhost").is_err());
        let words = check(&[], "x", "chrome-extension://abc").unwrap_err();
        assert!(words.contains("the browser's extension"), "{words}");
        assert!(check(&[], "x", "null").unwrap_err().contains("sandboxed"));
        assert!(!check(&[], "x", "1://a b").unwrap_err().contains("sandboxed"));
    }

    #[test]
    fn a_star_stands_for_the_names_below_a_domain() {
        let allowed = ["https://*.app.example", "http://*.test.example:8080", "http://*.localhost"];
        for good in [
            "https://a.app.example",
            "https://A.b.App.example",
            "https://a.app.example:443",
            "http://x.test.example:8080",
            "http://x.localhost",
        ] {
            assert_eq!(check(&allowed, "x", good), Ok(()), "{good}");
        }
        for bad in [
            "https://app.example",
            "https://.app.example",
            "https://a..app.example",
            "https://evilapp.example",
            "https://a.app.example.evil.example",
            "http://a.app.example",
            "https://a.app.example:8443",
            "http://x.test.example",
            "wss://a.app.example",
        ] {
            assert!(check(&allowed, "x", bad).is_err(), "{bad}");
        }
        for text in allowed {
            assert_eq!(text.parse::<Origin>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_star_anywhere_else_is_refused() {
        for bad in [
            "https://*",
            "https://*:*",
            "https://*.",
            "https://*.com",
            "https://*.*.example.com",
            "https://a.*.example.com",
            "https://a*.example.com",
            "https://example.*",
            "https://*example.com",
            "https://*.example.com:*",
            "https://*.127.0.0.1",
            "https://*.[::1]",
            "*://example.com",
            "*.example.com",
            "chrome-extension://*",
            "http://localhost:*:*",
            "http://localhost:8*",
            "**",
        ] {
            let error = bad.parse::<Origin>().unwrap_err().to_string();
            assert!(error.contains("https://*.app.example"), "{bad}: {error}");
        }
    }
}
