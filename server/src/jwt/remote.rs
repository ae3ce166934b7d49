//! Key sets that others publish at a URL.
//!
//! Nothing runs while no client shows a token. Verification uses the keys in memory. Shortly before they expire, one
//! fetch in the background replaces them, however many tokens arrive.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::Shared;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};

use super::key_set::{ParsedKeySet, keys_of, listed};
use super::{Key, KeyError};
use crate::metrics::BackendRequest;
use crate::outbound::{BackendUrl, CertificateError, Outbound, Trust};

/// The URL of a JSON Web Key Set (RFC 7517), for [`Verifier::with_key_set_url`](super::Verifier::with_key_set_url).
///
/// The set is fetched with the first token, and again before its `Cache-Control: max-age` is over: after one minute to
/// one day, or 5 minutes by default. A token with an unknown key id causes an earlier fetch, at most every 10 s. While
/// fetching fails, the known keys stay valid for an hour. Without keys, clients are asked to try again later
/// ([`UNAVAILABLE`](wirehub_common::code::ErrorCode::UNAVAILABLE)). Secrets in the set are ignored, since it is public.
///
/// Clones share the fetched keys.
#[derive(Debug, Clone)]
pub struct KeySetUrl(Arc<RemoteKeys>);

impl KeySetUrl {
    /// The key set at this URL. The certificate of its host has to come from an authority that the operating system
    /// trusts.
    pub fn new(url: BackendUrl) -> Self {
        if url.is_exposed() {
            tracing::warn!(
                "others on the network can change the key set at {url} and forge tokens: use https"
            );
        }
        Self(Arc::new(RemoteKeys::new(url, Trust::System)))
    }

    /// Trusts the certificate authorities in this PEM text instead.
    ///
    /// # Errors
    /// The text contains no authority.
    pub fn with_root_certificates(self, pem: &[u8]) -> Result<Self, CertificateError> {
        Ok(Self(Arc::new(RemoteKeys::new(self.0.url.clone(), Trust::only(pem)?))))
    }

    /// Fetches the keys early. The known keys stay in use meanwhile.
    #[cfg(feature = "config")]
    pub(crate) fn renew(&self) {
        let mut state = self.0.state.lock();
        if state.may_fetch(Instant::now(), PAUSE) {
            self.0.fetch_in_background(&mut state);
        }
    }

    pub(super) fn into_keys(self) -> Arc<RemoteKeys> {
        self.0
    }
}

/// The keys at a URL.
pub(super) struct RemoteKeys {
    url: BackendUrl,
    outbound: Outbound,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    fetched: Option<Fetched>,
    /// The end of the last attempt, and whether it brought keys.
    attempt: Option<(Instant, bool)>,
    flight: Option<Flight>,
    /// The keys that were ignored the last time, so that they are logged once.
    unfit: Vec<String>,
}

struct Fetched {
    keys: Arc<[Key]>,
    at: Instant,
    max_age: Duration,
}

/// A running fetch, shared by everybody who waits for it.
type Flight = Shared<Pin<Box<dyn Future<Output = ()> + Send>>>;

/// The result of another look at the keys.
pub(super) enum Refetched {
    /// The keys have been fetched since.
    Keys(Arc<[Key]>),
    /// It is too early, or the fetch failed.
    NotNow,
}

impl RemoteKeys {
    fn new(url: BackendUrl, trust: Trust) -> Self {
        Self { url, outbound: Outbound::new(trust), state: Mutex::default() }
    }

    pub(super) fn url(&self) -> &BackendUrl {
        &self.url
    }

    /// Returns whether there are usable keys. Otherwise a fetch begins.
    pub(super) fn has_keys(self: &Arc<Self>) -> bool {
        let now = Instant::now();
        let mut state = self.state.lock();
        let has_keys = state.fetched.as_ref().is_some_and(|fetched| fetched.is_usable(now));
        if !has_keys && state.may_fetch(now, PAUSE) {
            self.fetch_in_background(&mut state);
        }
        has_keys
    }

    /// The keys; `None` if there are no usable ones.
    pub(super) async fn keys(self: &Arc<Self>) -> Option<Arc<[Key]>> {
        let flight = {
            let now = Instant::now();
            let mut state = self.state.lock();
            let fetched = state.fetched.as_ref();
            let usable =
                fetched.filter(|fetched| fetched.is_usable(now)).map(|fetched| Arc::clone(&fetched.keys));
            let is_due = fetched.is_none_or(|fetched| fetched.is_due(now));
            let is_fresh = fetched.is_some_and(|fetched| fetched.is_fresh(now));
            if is_due && state.may_fetch(now, PAUSE) {
                self.fetch_in_background(&mut state);
            }
            let has_failed = state.attempt.is_some_and(|(_, succeeded)| !succeeded);
            match (usable, &state.flight) {
                // With usable keys in memory, no token waits for a fetch that may fail.
                (Some(keys), _) if is_fresh || has_failed => return Some(keys),
                (usable, None) => return usable,
                (_, Some(flight)) => flight.clone(),
            }
        };
        flight.await;
        let state = self.state.lock();
        let fetched = state.fetched.as_ref().filter(|fetched| fetched.is_usable(Instant::now()));
        fetched.map(|fetched| Arc::clone(&fetched.keys))
    }

    /// The keys after another fetch: for a token with an unknown key.
    pub(super) async fn refetch(self: &Arc<Self>) -> Refetched {
        let flight = {
            let mut state = self.state.lock();
            if state.may_fetch(Instant::now(), PAUSE_FOR_UNKNOWN) {
                self.fetch_in_background(&mut state);
            }
            match &state.flight {
                Some(flight) => flight.clone(),
                None => return Refetched::NotNow,
            }
        };
        flight.await;
        let state = self.state.lock();
        match (&state.fetched, state.attempt) {
            (Some(fetched), Some((_, true))) => Refetched::Keys(Arc::clone(&fetched.keys)),
            _ => Refetched::NotNow,
        }
    }

    fn fetch_in_background(self: &Arc<Self>, state: &mut State) {
        let keys = Arc::clone(self);
        // A task of its own: it continues after the first client has gone.
        let task = tokio::spawn(async move {
            let result = keys.fetch().await;
            let now = Instant::now();
            let mut state = keys.state.lock();
            state.flight = None;
            state.attempt = Some((now, result.is_ok()));
            match result {
                Ok((ParsedKeySet { keys: new, unfit }, max_age)) => {
                    if !unfit.is_empty() && unfit != state.unfit {
                        tracing::warn!("keys of the key set at {} are ignored: {}", keys.url, listed(&unfit));
                    }
                    state.unfit = unfit;
                    state.fetched = Some(Fetched { keys: new.into(), at: now, max_age });
                }
                Err(why) => tracing::error!("the key set at {} cannot be fetched: {why}", keys.url),
            }
        });
        let flight: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(task.map(drop));
        state.flight = Some(flight.shared());
    }

    async fn fetch(&self) -> Result<(ParsedKeySet, Duration), String> {
        let request_metrics = BackendRequest::new("key_set");
        let headers = HeaderMap::from_iter([(
            header::ACCEPT,
            HeaderValue::from_static("application/jwk-set+json, application/json"),
        )]);
        let request = self.outbound.send(Method::GET, &self.url, headers, Bytes::new(), MAX_BYTES);
        let answer = timeout(FETCH_TIMEOUT, request)
            .await
            .map_err(|_| String::from("it did not answer in time"))?
            .map_err(|fault| fault.to_string())?;
        if answer.status != StatusCode::OK {
            return Err(format!("it answered with status {}", answer.status));
        }
        let found = parse(&answer.body).map_err(|error| error.to_string())?;
        request_metrics.succeeded();
        Ok((found, max_age(&answer.headers)))
    }
}

impl State {
    fn may_fetch(&self, now: Instant, pause: Duration) -> bool {
        self.flight.is_none()
            && self.attempt.is_none_or(|(ended, _)| now.saturating_duration_since(ended) >= pause)
    }
}

impl Fetched {
    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.at)
    }

    /// Returns whether it is time for another fetch.
    fn is_due(&self, now: Instant) -> bool {
        let fifth = self.max_age.checked_div(5).unwrap_or_default();
        self.age(now) >= self.max_age.saturating_sub(fifth)
    }

    fn is_fresh(&self, now: Instant) -> bool {
        self.age(now) < self.max_age
    }

    fn is_usable(&self, now: Instant) -> bool {
        self.age(now) < self.max_age.saturating_add(MAX_STALE)
    }
}

fn parse(body: &[u8]) -> Result<ParsedKeySet, KeyError> {
    let text = std::str::from_utf8(body).map_err(|_| KeyError::new("it is not text"))?;
    keys_of(text, |algorithm| !algorithm.is_symmetric())
}

/// The lifetime of a set, from its `Cache-Control` header, within bounds.
fn max_age(headers: &HeaderMap) -> Duration {
    let directives =
        headers.get_all(header::CACHE_CONTROL).into_iter().filter_map(|value| value.to_str().ok());
    let directives = directives.flat_map(|value| value.split(',')).map(str::trim);
    let mut age = None;
    for directive in directives {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        if name.eq_ignore_ascii_case("no-store") || name.eq_ignore_ascii_case("no-cache") {
            return MIN_AGE;
        }
        if name.eq_ignore_ascii_case("max-age") {
            age = value.trim_matches('"').parse().ok().map(Duration::from_secs);
        }
    }
    age.unwrap_or(DEFAULT_AGE).clamp(MIN_AGE, MAX_AGE)
}

impl fmt::Debug for RemoteKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteKeys").field("url", &self.url).finish_non_exhaustive()
    }
}

const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_BYTES: usize = 256 * 1024;

const MIN_AGE: Duration = Duration::from_secs(60);
const DEFAULT_AGE: Duration = Duration::from_secs(5 * 60);
const MAX_AGE: Duration = Duration::from_secs(24 * 3600);

/// How long keys stay valid after their lifetime while fetching fails.
const MAX_STALE: Duration = Duration::from_secs(3600);

/// The shortest time between two fetches.
const PAUSE: Duration = Duration::from_secs(2);
/// The same for fetches that anybody can cause, with a token of any key id.
const PAUSE_FOR_UNKNOWN: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
