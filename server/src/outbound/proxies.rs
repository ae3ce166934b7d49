//! The proxies for the server's own requests: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, in upper or
//! lower case, as in curl. Requests to this machine never use a proxy.

use std::env;
use std::fmt;
use std::sync::{Arc, OnceLock};

use axum::http::Uri;
use axum::http::uri::Scheme;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};

use super::is_on_this_machine;

/// Selects the proxy of each request.
#[derive(Clone)]
pub(super) struct Proxies(Arc<Matcher>);

impl Proxies {
    /// The proxies in the environment. The first use writes them to the log.
    pub(super) fn of_environment() -> Self {
        static READ: OnceLock<Proxies> = OnceLock::new();
        let read = || {
            let proxies = Self::new(Matcher::from_env());
            proxies.log(|name| env::var(name).is_ok_and(|value| !value.is_empty()));
            proxies
        };
        READ.get_or_init(read).clone()
    }

    pub(super) fn new(matcher: Matcher) -> Self {
        Self(Arc::new(matcher))
    }

    /// The proxy for a request.
    pub(super) fn of(&self, uri: &Uri) -> Option<Intercept> {
        if uri.host().is_none_or(is_on_this_machine) {
            return None;
        }
        self.0.intercept(uri).filter(can_be_used)
    }

    fn log(&self, is_set: impl Fn(&str) -> bool) {
        for (scheme, names) in VARIABLES {
            let Some(name) = names.into_iter().find(|name| is_set(name)) else { continue };
            let probe =
                Uri::builder().scheme(scheme).authority("wirehub.invalid").path_and_query("/").build();
            match probe.ok().and_then(|probe| self.0.intercept(&probe)) {
                Some(proxy) if can_be_used(&proxy) => tracing::info!(
                    "requests to {scheme}:// URLs use the proxy {} ({name}), except those in NO_PROXY and to this \
                     machine",
                    proxy.uri()
                ),
                Some(_) => tracing::warn!(
                    "the proxy in {name} is not used, and requests to {scheme}:// URLs are sent without a proxy: only proxies at \
                     http:// URLs are supported"
                ),
                None => tracing::warn!(
                    "{name} is set, but requests to {scheme}:// URLs are sent without a proxy: it is not a URL such as \
                     http://proxy.example:3128, or NO_PROXY covers every host"
                ),
            }
        }
    }
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxies").finish_non_exhaustive()
    }
}

fn can_be_used(proxy: &Intercept) -> bool {
    proxy.uri().scheme() == Some(&Scheme::HTTP)
}

/// The environment variables with the proxy for a scheme, in order of priority.
const VARIABLES: [(&str, [&str; 4]); 2] = [
    ("https", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]),
    ("http", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_use_the_proxy_of_their_scheme_except_to_this_machine_and_no_proxy() {
        let matcher = Matcher::builder()
            .https("http://user:word@proxy.example:3128")
            .http("http://other.example")
            .no("direct.example, 10.0.0.0/8");
        let proxies = Proxies::new(matcher.build());
        let host = |uri: &'static str| {
            let proxy = proxies.of(&Uri::from_static(uri));
            proxy.map(|proxy| proxy.uri().host().unwrap().to_owned())
        };
        assert_eq!(host("https://backend.example/x").as_deref(), Some("proxy.example"));
        assert_eq!(host("http://backend.example/x").as_deref(), Some("other.example"));
        for direct in [
            "https://direct.example/",
            "https://a.direct.example/",
            "http://10.1.2.3:80/",
            "http://localhost:1/",
            "https://app.localhost/",
            "https://127.0.0.2/",
            "https://[::1]:1/",
        ] {
            assert_eq!(host(direct), None, "{direct}");
        }
    }

    #[test]
    fn proxies_of_other_kinds_are_not_used() {
        for kind in ["https://proxy.example", "socks5://proxy.example:1080"] {
            let proxies = Proxies::new(Matcher::builder().all(kind).build());
            assert!(proxies.of(&Uri::from_static("https://backend.example/")).is_none(), "{kind}");
            proxies.log(|_| true);
        }
    }
}
