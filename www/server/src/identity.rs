//! Identity: a page keeps a secret, and gets a token for it. The user's id is a hash of the secret, so the server keeps nothing: the
//! same page is the same user in every tab, on every day, and on every server of the demo.

use std::collections::HashMap;
use std::env;
use std::fmt;
use std::future::{Ready, ready};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use parking_lot::Mutex;
use ring::digest::{SHA256, digest};
use tokio::time::Instant;
use wirehub_demo_contract::{NameChange, People, Person, SessionRequest, SessionResponse};
use wirehub_server::Hub;
use wirehub_server::auth::{Authenticated, Credentials, Refusal};
use wirehub_server::jwt::{Algorithm, Signer, Verifier};

use crate::now_whole;
use crate::restart::TOKEN_KEY;
use crate::throttle::Throttle;

/// The present names of users. A name that is forgotten comes back with the next token.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names(Arc<Mutex<HashMap<String, String>>>);

/// The most names. Beyond it all are forgotten.
const MOST_NAMES: usize = 10_000;

impl Names {
    pub(crate) fn of(&self, user: &str) -> Option<String> {
        self.0.lock().get(user).cloned()
    }

    /// Sets the name of a user. Returns `true` if the user had another one.
    fn set(&self, user: &str, name: &str) -> bool {
        let mut names = self.0.lock();
        if names.len() >= MOST_NAMES && !names.contains_key(user) {
            names.clear();
        }
        names.insert(user.into(), name.into()).is_some_and(|before| before != name)
    }
}

/// The name at the beginning of a session, as its state.
pub(crate) struct Name(pub(crate) String);

/// The tokens of one server.
#[derive(Clone)]
pub(crate) struct Tokens {
    key: Arc<str>,
    signer: Arc<Signer>,
    verifier: Verifier,
    names: Names,
}

impl Tokens {
    /// The tokens with the key in the environment, which a server has from the one before, or with a new one.
    pub(crate) fn from_environment() -> Self {
        let key = env::var(TOKEN_KEY).ok().filter(|key| key.len() == KEY_LENGTH);
        Self::new(key.unwrap_or_else(new_key))
    }

    fn new(key: String) -> Self {
        let made = || {
            let signer = Signer::from_secret(Algorithm::Hs256, key.as_bytes())?;
            Ok((signer, Verifier::new().with_secret(Algorithm::Hs256, key.as_bytes())?))
        };
        let made: Result<_, wirehub_server::jwt::KeyError> = made();
        #[allow(
            clippy::expect_used,
            reason = "the length is right, and nothing has come from the network yet"
        )]
        let (signer, verifier) = made.expect("a secret of this length is valid");
        Self { key: key.into(), signer: signer.into(), verifier, names: Names::default() }
    }

    /// The key, for the next server.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    /// The hook that authenticates clients.
    pub(crate) fn hook(
        self,
    ) -> impl Fn(Credentials) -> Ready<Result<Authenticated, Refusal>> + Send + Sync + 'static {
        move |credentials| ready(self.identify(&credentials.token))
    }

    fn identify(&self, token: &str) -> Result<Authenticated, Refusal> {
        if token.is_empty() {
            return Ok(Authenticated::anonymous());
        }
        // A token of an earlier server is not wrong: the page gets a new one, and is the same user.
        let identity = self.verifier.verify(token).map_err(|_| Refusal::expired())?;
        let person: Option<Person> = identity.info().and_then(|info| serde_json::from_str(info).ok());
        let name = person.ok_or_else(Refusal::expired)?.name;
        if self.names.of(identity.user_name()).is_none() {
            self.names.set(identity.user_name(), &name);
        }
        Ok(identity.with_state(Name(name)))
    }

    fn issue(&self, request: &SessionRequest) -> Result<SessionResponse, &'static str> {
        let key_is_fine =
            KEYS.contains(&request.key.len()) && request.key.bytes().all(|byte| byte.is_ascii_graphic());
        if !key_is_fine {
            return Err("the key has another form: use 32 to 128 letters and digits of randomness");
        }
        let name = tidy(&request.name).ok_or("the name has another form: use 1 to 40 characters")?;
        let ttl = request.ttl.unwrap_or(600);
        if !(5..=3600).contains(&ttl) {
            return Err("the time of the token is out of bounds: use 5 to 3600 seconds");
        }
        let user = user_of(&request.key);
        let ttl = Duration::from_secs(ttl.into());
        let broken = "the server can't make a token: see its log";
        let identity = Authenticated::user(&*user).expires_in(ttl).with_info(&Person { name: name.clone() });
        let token = identity.map_err(|_| broken).and_then(|identity| {
            self.signer.sign(&identity).map_err(|error| {
                tracing::error!("a token can't be made: {error}");
                broken
            })
        })?;
        let expires = now_whole().saturating_add(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
        Ok(SessionResponse { token, user, name, expires })
    }
}

impl fmt::Debug for Tokens {
    /// Omits the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

/// A key of hexadecimal digits.
const KEY_LENGTH: usize = 64;

/// The lengths of a page's key.
const KEYS: std::ops::RangeInclusive<usize> = 32..=128;

fn new_key() -> String {
    let mut bytes = [0; KEY_LENGTH / 2];
    #[allow(clippy::expect_used, reason = "without randomness no server may start")]
    getrandom::fill(&mut bytes).expect("the system has randomness");
    hexadecimal(&bytes)
}

fn user_of(key: &str) -> String {
    let hash = digest(&SHA256, key.as_bytes());
    hexadecimal(hash.as_ref().get(..16).unwrap_or_default())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A name as the others see it: without control characters and white space around it; `None` if nothing is left, or too much.
fn tidy(name: &str) -> Option<String> {
    let words: Vec<&str> = name.split_whitespace().collect();
    let name = words.join(" ");
    let is_fine = !name.is_empty() && name.chars().count() <= 40 && !name.contains(is_invisible);
    is_fine.then_some(name)
}

/// Characters that would change the text around a name.
fn is_invisible(it: char) -> bool {
    it.is_control()
        || matches!(it, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// The route of the sessions.
pub(crate) fn routes(hub: &Hub, tokens: Tokens) -> Router {
    let desk = Desk { hub: hub.clone(), tokens, throttle: Throttle::new(Duration::from_millis(200), 100) };
    Router::new().route("/demo/session", post(session)).with_state(Arc::new(desk))
}

struct Desk {
    hub: Hub,
    tokens: Tokens,
    throttle: Throttle<Option<IpAddr>>,
}

async fn session(State(desk): State<Arc<Desk>>, request: Request) -> Response {
    let address = desk.hub.client_address(&request);
    if !desk.throttle.allows(&address, Instant::now()) {
        let words = "too many tokens in a short time: wait a few seconds";
        return (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "5")], words).into_response();
    }
    if let Err(words) = check_sender(request.headers()) {
        return (StatusCode::FORBIDDEN, words).into_response();
    }
    let refused = |words: &'static str| (StatusCode::BAD_REQUEST, words).into_response();
    let Ok(body) = to_bytes(request.into_body(), 4096).await else {
        return refused("the request has more than 4 KiB: send a key and a name");
    };
    let Ok(request) = serde_json::from_slice::<SessionRequest>(&body) else {
        return refused("the request is not the JSON of a `SessionRequest`: send {\"key\": …, \"name\": …}");
    };
    match desk.tokens.issue(&request) {
        Ok(response) => {
            if desk.tokens.names.set(&response.user, &response.name) {
                let SessionResponse { user, name, .. } = &response;
                let change = NameChange { user: user.clone(), name: name.clone() };
                if let Err(error) = desk.hub.publish(&People::new(), &change).map(drop) {
                    tracing::warn!("a change of a name is not published: {error}");
                }
            }
            ([(header::CACHE_CONTROL, "no-store")], axum::Json(response)).into_response()
        }
        Err(words) => refused(words),
    }
}

/// Only pages of this server ask for tokens. A browser sends no JSON to another origin without asking that origin first.
fn check_sender(headers: &HeaderMap) -> Result<(), &'static str> {
    let is_json = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.split(';').next().is_some_and(|kind| kind.trim() == "application/json"));
    if !is_json {
        return Err("send the request as application/json");
    }
    let site = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok());
    match site {
        None | Some("same-origin" | "none") => Ok(()),
        Some(_) => Err("pages of other origins get no token here"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(key: &str, name: &str) -> SessionRequest {
        SessionRequest { key: key.repeat(32), name: name.into(), ttl: None }
    }

    #[test]
    fn a_key_is_the_same_user_under_every_name_and_on_every_server() {
        let (one, other) = (Tokens::new(new_key()), Tokens::new(new_key()));
        let ann = one.issue(&request("a", "Ann")).unwrap();
        let later = other.issue(&request("a", " Ann  Smith ")).unwrap();
        assert_eq!((&ann.user, &*later.name), (&later.user, "Ann Smith"));
        assert_ne!(ann.user, one.issue(&request("b", "Ann")).unwrap().user);
        let identity = one.identify(&ann.token).unwrap();
        assert_eq!(identity.user_name(), ann.user);
        assert_eq!(identity.info(), Some(r#"{"name":"Ann"}"#));
    }

    #[test]
    fn a_token_of_another_server_is_expired_and_not_wrong() {
        let token = Tokens::new(new_key()).issue(&request("a", "Ann")).unwrap().token;
        let refusal = Tokens::new(new_key()).identify(&token).unwrap_err();
        assert_eq!(refusal.code(), Refusal::expired().code());
        let key = new_key();
        let token = Tokens::new(key.clone()).issue(&request("a", "Ann")).unwrap().token;
        assert!(Tokens::new(key).identify(&token).is_ok(), "the next server has the key");
    }

    #[test]
    fn another_name_is_noticed_once() {
        let names = Names::default();
        assert!(!names.set("1", "Ann"), "a new person is no change");
        assert!(!names.set("1", "Ann"));
        assert!(names.set("1", "Anna"));
        assert_eq!(names.of("1").as_deref(), Some("Anna"));
    }

    #[test]
    fn requests_out_of_bounds_are_refused() {
        let tokens = Tokens::new(new_key());
        for wrong in [
            SessionRequest { key: "short".into(), ..request("a", "Ann") },
            SessionRequest { key: "x".repeat(129), ..request("a", "Ann") },
            request("a", "  "),
            request("a", &"x".repeat(41)),
            request("a", "Ann\u{202e}"),
            SessionRequest { ttl: Some(4), ..request("a", "Ann") },
            SessionRequest { ttl: Some(3601), ..request("a", "Ann") },
        ] {
            assert!(tokens.issue(&wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn only_pages_of_this_server_get_a_token() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            pairs
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect::<HeaderMap>()
        };
        let json = ("content-type", "application/json; charset=utf-8");
        assert!(check_sender(&headers(&[json])).is_ok(), "a program that is no browser");
        assert!(check_sender(&headers(&[json, ("sec-fetch-site", "same-origin")])).is_ok());
        assert!(check_sender(&headers(&[json, ("sec-fetch-site", "cross-site")])).is_err());
        assert!(check_sender(&headers(&[json, ("sec-fetch-site", "same-site")])).is_err());
        assert!(check_sender(&headers(&[("content-type", "text/plain")])).is_err());
        assert!(check_sender(&headers(&[])).is_err());
    }
}
