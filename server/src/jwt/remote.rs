//! Key sets that somebody else publishes at an address.
//!
//! Nothing runs while nobody shows a token. Who does finds the keys in memory; when their time is nearly up they are
//! fetched again behind that, once however many ask.

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

use super::key_set::{Found, keys_of, listed};
use super::{Key, KeyError};
use crate::metrics::Asked;
use crate::outbound::{BackendUrl, CertificateError, Outbound, Trust};

/// The address of a JSON Web Key Set (RFC 7517), for [`Verifier::with_key_set_url`](super::Verifier::with_key_set_url).
///
/// It is fetched when the first token comes, and again before the time that `Cache-Control: max-age` gives is up: between
/// one minute and one day, 5 minutes where it says nothing. A token with an unknown key id has it fetched earlier, at most
/// every 10 s. While it can't be fetched the keys that are known go on for an hour; where none are known, who shows a token
/// is told to come again ([`UNAVAILABLE`](wirehub_common::code::ErrorCode::UNAVAILABLE)). Secrets in it are passed over: what
/// is published is none.
///
/// Clones share what has been fetched.
#[derive(Debug, Clone)]
pub struct KeySetUrl(Arc<RemoteKeys>);

impl KeySetUrl {
    /// The key set at this address. Its host is believed by a certificate of an authority that the operating system trusts.
    pub fn new(url: BackendUrl) -> Self {
        if url.is_exposed() {
            tracing::warn!("the key set at {url} can be changed on its way, and tokens forged: use https");
        }
        Self(Arc::new(RemoteKeys::new(url, Trust::System)))
    }

    /// Believes the authorities in this PEM text instead.
    ///
    /// # Errors
    /// There is none in it.
    pub fn with_root_certificates(self, pem: &[u8]) -> Result<Self, CertificateError> {
        Ok(Self(Arc::new(RemoteKeys::new(self.0.url.clone(), Trust::only(pem)?))))
    }

    /// Has the keys fetched before their time. Those that are known go on meanwhile.
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

/// The keys at an address.
pub(super) struct RemoteKeys {
    url: BackendUrl,
    outbound: Outbound,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    fetched: Option<Fetched>,
    /// When the last attempt ended, and whether it brought keys.
    attempt: Option<(Instant, bool)>,
    flight: Option<Flight>,
    /// What was passed over the last time, so that it is told once.
    unfit: Vec<String>,
}

struct Fetched {
    keys: Arc<[Key]>,
    at: Instant,
    max_age: Duration,
}

/// A fetch that runs, for all who wait for it.
type Flight = Shared<Pin<Box<dyn Future<Output = ()> + Send>>>;

/// What a second look at the keys came to.
pub(super) enum Again {
    /// They have been fetched since.
    Keys(Arc<[Key]>),
    /// It is too early, or it failed.
    NotNow,
}

impl RemoteKeys {
    fn new(url: BackendUrl, trust: Trust) -> Self {
        Self { url, outbound: Outbound::new(trust), state: Mutex::default() }
    }

    pub(super) fn url(&self) -> &BackendUrl {
        &self.url
    }

    /// Whether there are keys that may be used; where there are none they begin to be fetched.
    pub(super) fn are_there(self: &Arc<Self>) -> bool {
        let now = Instant::now();
        let mut state = self.state.lock();
        let are_there = state.fetched.as_ref().is_some_and(|fetched| fetched.is_usable(now));
        if !are_there && state.may_fetch(now, PAUSE) {
            self.fetch_in_background(&mut state);
        }
        are_there
    }

    /// The keys; nothing where there are none that may be used.
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
                // Nobody waits for what may not come as long as there is something to go by.
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

    /// The keys after another fetch: for a token whose key is not among those that are known.
    pub(super) async fn keys_again(self: &Arc<Self>) -> Again {
        let flight = {
            let mut state = self.state.lock();
            if state.may_fetch(Instant::now(), PAUSE_FOR_UNKNOWN) {
                self.fetch_in_background(&mut state);
            }
            match &state.flight {
                Some(flight) => flight.clone(),
                None => return Again::NotNow,
            }
        };
        flight.await;
        let state = self.state.lock();
        match (&state.fetched, state.attempt) {
            (Some(fetched), Some((_, true))) => Again::Keys(Arc::clone(&fetched.keys)),
            _ => Again::NotNow,
        }
    }

    fn fetch_in_background(self: &Arc<Self>, state: &mut State) {
        let keys = Arc::clone(self);
        // A task of its own: it goes on when who asked first goes away.
        let task = tokio::spawn(async move {
            let result = keys.fetch().await;
            let now = Instant::now();
            let mut state = keys.state.lock();
            state.flight = None;
            state.attempt = Some((now, result.is_ok()));
            match result {
                Ok((Found { keys: new, unfit }, max_age)) => {
                    if !unfit.is_empty() && unfit != state.unfit {
                        tracing::warn!(
                            "keys of the key set at {} are passed over: {}",
                            keys.url,
                            listed(&unfit)
                        );
                    }
                    state.unfit = unfit;
                    state.fetched = Some(Fetched { keys: new.into(), at: now, max_age });
                }
                Err(why) => tracing::error!("the key set at {} can't be fetched: {why}", keys.url),
            }
        });
        let flight: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(task.map(drop));
        state.flight = Some(flight.shared());
    }

    async fn fetch(&self) -> Result<(Found, Duration), String> {
        let asked = Asked::new("key_set");
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
            return Err(format!("it answers with status {}", answer.status));
        }
        let found = parse(&answer.body).map_err(|error| error.to_string())?;
        asked.succeeded();
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

    /// Whether it is time to look for new ones.
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

fn parse(body: &[u8]) -> Result<Found, KeyError> {
    let text = std::str::from_utf8(body).map_err(|_| KeyError::new("it is no text"))?;
    keys_of(text, |algorithm| !algorithm.is_symmetric())
}

/// For how long a set is good, as its publisher says, within bounds.
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

/// For how long keys go on beyond their time while no new ones are to be had.
const MAX_STALE: Duration = Duration::from_secs(3600);

/// The shortest time between two fetches.
const PAUSE: Duration = Duration::from_secs(2);
/// The same for those that anybody can cause, by a token with any key id.
const PAUSE_FOR_UNKNOWN: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
