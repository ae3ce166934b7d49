//! Keys at a URL, which a test changes, breaks and removes.

#![allow(clippy::arithmetic_side_effects)]

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use wirehub_common::code::ErrorCode;

use super::super::{Algorithm, Verifier, now};
use super::*;
use crate::auth::{Authenticated, Credentials, Refusal};

/// The behaviour of the publisher.
#[derive(Clone)]
enum Mode {
    Answer(Value),
    Text(&'static str),
    Huge,
    Status(StatusCode),
    Redirect(String),
    Hang,
}

struct Publisher {
    url: String,
    mode: Arc<Mutex<Mode>>,
    requests: Arc<AtomicUsize>,
}

impl Publisher {
    async fn start(mode: Mode) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks", listener.local_addr().unwrap());
        let (mode, requests) = (Arc::new(Mutex::new(mode)), Arc::new(AtomicUsize::new(0)));
        let publisher = Self { url, mode: Arc::clone(&mode), requests: Arc::clone(&requests) };
        let app = Router::new().fallback(move || {
            requests.fetch_add(1, Ordering::SeqCst);
            let mode = mode.lock().clone();
            async move { answer(mode).await }
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        publisher
    }

    fn now(&self, mode: Mode) {
        *self.mode.lock() = mode;
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    fn hook(
        &self,
    ) -> impl Fn(Credentials) -> futures_util::future::BoxFuture<'static, Result<Authenticated, Refusal>>
    {
        Verifier::new().with_key_set_url(KeySetUrl::new(self.url.parse().unwrap())).hook()
    }
}

async fn answer(mode: Mode) -> Response {
    match mode {
        Mode::Answer(set) => axum::Json(set).into_response(),
        Mode::Text(text) => text.into_response(),
        Mode::Huge => " ".repeat(MAX_BYTES + 1).into_response(),
        Mode::Status(status) => status.into_response(),
        Mode::Redirect(to) => axum::response::Redirect::temporary(&to).into_response(),
        Mode::Hang => std::future::pending().await,
    }
}

/// A pair of keys for ES256.
struct Pair {
    id: &'static str,
    pair: rcgen::KeyPair,
}

impl Pair {
    fn new(id: &'static str) -> Self {
        Self { id, pair: rcgen::KeyPair::generate().unwrap() }
    }

    fn jwk(&self) -> Value {
        // 4, x, y.
        let point = self.pair.public_key_raw();
        let [x, y] = [&point[1..33], &point[33..]].map(|half| URL_SAFE_NO_PAD.encode(half));
        json!({ "kty": "EC", "crv": "P-256", "kid": self.id, "use": "sig", "x": x, "y": y })
    }

    fn token(&self) -> String {
        let key = EncodingKey::from_ec_pem(self.pair.serialize_pem().as_bytes()).unwrap();
        let header = Header { kid: Some(self.id.into()), ..Header::new(jsonwebtoken::Algorithm::ES256) };
        jsonwebtoken::encode(&header, &claims(), &key).unwrap()
    }
}

fn claims() -> Value {
    json!({ "sub": "ann", "exp": now().as_secs() + 60 })
}

fn set(keys: &[Value]) -> Mode {
    Mode::Answer(json!({ "keys": keys }))
}

/// The user of the token, or the code of the refusal.
async fn shown<H, A>(hook: &H, token: &str) -> Result<String, ErrorCode>
where
    H: Fn(Credentials) -> A,
    A: Future<Output = Result<Authenticated, Refusal>>,
{
    let identity = hook(Credentials::new(token.into(), String::new(), String::new(), None)).await;
    identity.map(|identity| identity.user_name().to_owned()).map_err(|refusal| refusal.code())
}

/// Advances the time, except for sockets.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

const ANN: fn() -> Result<String, ErrorCode> = || Ok("ann".into());

#[tokio::test]
async fn a_server_becomes_ready_when_the_keys_have_come_also_without_clients() {
    let publisher = Publisher::start(Mode::Status(StatusCode::BAD_GATEWAY)).await;
    let verifier = Verifier::new().with_key_set_url(KeySetUrl::new(publisher.url.parse().unwrap()));
    let is_ready = verifier.readiness();
    assert!(is_ready().unwrap_err().contains(&publisher.url));
    while publisher.requests() == 0 {
        tokio::task::yield_now().await;
    }
    assert!(is_ready().is_err());
    publisher.now(set(&[Pair::new("a").jwk()]));
    let begin = Instant::now();
    while is_ready().is_err() {
        assert!(begin.elapsed() < FETCH_TIMEOUT + PAUSE * 2, "it does not become ready");
        tokio::task::yield_now().await;
    }
    assert_eq!(publisher.requests(), 2, "asked for no more often than is polite");
}

#[tokio::test]
async fn keys_are_fetched_once_for_all_and_kept_for_their_lifetime() {
    let pair = Pair::new("a");
    let publisher = Publisher::start(set(&[pair.jwk()])).await;
    let hook = publisher.hook();
    assert_eq!(publisher.requests(), 0, "nobody has shown a token");
    let token = pair.token();
    assert_eq!(join_all((0..50).map(|_| shown(&hook, &token))).await, vec![ANN(); 50]);
    assert_eq!(publisher.requests(), 1);
    pass(DEFAULT_AGE / 2).await;
    assert_eq!(shown(&hook, &token).await, ANN());
    assert_eq!(publisher.requests(), 1);

    // Near the end of their lifetime they are fetched in the background.
    publisher.now(Mode::Hang);
    pass(DEFAULT_AGE * 2 / 5).await;
    assert_eq!(shown(&hook, &token).await, ANN());
    while publisher.requests() < 2 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_new_key_is_fetched_and_an_old_one_forgotten() {
    let [old, new] = [Pair::new("old"), Pair::new("new")];
    let publisher = Publisher::start(set(&[old.jwk()])).await;
    let hook = publisher.hook();
    assert_eq!(shown(&hook, &old.token()).await, ANN());
    publisher.now(set(&[new.jwk(), old.jwk()]));
    pass(PAUSE_FOR_UNKNOWN).await;
    assert_eq!(shown(&hook, &new.token()).await, ANN());
    assert_eq!(shown(&hook, &old.token()).await, ANN());
    assert_eq!(publisher.requests(), 2);

    publisher.now(set(&[new.jwk()]));
    pass(DEFAULT_AGE).await;
    assert_eq!(
        shown(&hook, &old.token()).await,
        Err(ErrorCode::UNAVAILABLE),
        "just looked: perhaps it comes"
    );
    pass(PAUSE_FOR_UNKNOWN).await;
    assert_eq!(shown(&hook, &old.token()).await, Err(ErrorCode::UNAUTHORIZED));
    assert_eq!(shown(&hook, &new.token()).await, ANN());
}

#[tokio::test]
async fn a_flood_of_unknown_keys_is_one_fetch() {
    let [known, unknown] = [Pair::new("known"), Pair::new("unknown")];
    let publisher = Publisher::start(set(&[known.jwk()])).await;
    let hook = publisher.hook();
    assert_eq!(shown(&hook, &known.token()).await, ANN());
    pass(PAUSE_FOR_UNKNOWN).await;
    let token = unknown.token();
    let refused = join_all((0..100).map(|_| shown(&hook, &token))).await;
    assert_eq!(refused, vec![Err(ErrorCode::UNAUTHORIZED); 100]);
    for _ in 0..100 {
        assert_eq!(shown(&hook, &token).await, Err(ErrorCode::UNAVAILABLE));
    }
    assert_eq!(publisher.requests(), 2);
    assert_eq!(shown(&hook, &known.token()).await, ANN());
}

#[tokio::test]
async fn a_publisher_that_fails_leaves_the_known_keys_for_a_while() {
    let pair = Pair::new("a");
    let publisher = Publisher::start(set(&[pair.jwk()])).await;
    let hook = publisher.hook();
    let token = pair.token();
    assert_eq!(shown(&hook, &token).await, ANN());
    publisher.now(Mode::Status(StatusCode::INTERNAL_SERVER_ERROR));
    pass(DEFAULT_AGE).await;
    let requests = publisher.requests();
    for _ in 0..20 {
        assert_eq!(shown(&hook, &token).await, ANN());
    }
    assert_eq!(publisher.requests() - requests, 1, "it is not pestered");
    // A publisher that hangs delays nobody either.
    publisher.now(Mode::Hang);
    pass(PAUSE).await;
    assert_eq!(shown(&hook, &token).await, ANN());

    pass(MAX_STALE).await;
    publisher.now(Mode::Status(StatusCode::INTERNAL_SERVER_ERROR));
    assert_eq!(shown(&hook, &token).await, Err(ErrorCode::UNAVAILABLE));
    publisher.now(set(&[pair.jwk()]));
    pass(PAUSE).await;
    assert_eq!(shown(&hook, &token).await, ANN());
}

#[tokio::test]
async fn a_token_before_the_keys_have_come_gets_a_temporary_error() {
    let pair = Pair::new("a");
    let publisher = Publisher::start(Mode::Huge).await;
    let elsewhere = Publisher::start(set(&[pair.jwk()])).await;
    let hook = publisher.hook();
    let token = pair.token();
    for mode in [
        Mode::Huge,
        Mode::Text("<html>"),
        Mode::Text(r#"{"keys":[]}"#),
        Mode::Text(r#"{"keys":{}}"#),
        Mode::Status(StatusCode::NOT_FOUND),
        Mode::Redirect(elsewhere.url.clone()),
    ] {
        publisher.now(mode);
        assert_eq!(shown(&hook, &token).await, Err(ErrorCode::UNAVAILABLE));
        pass(PAUSE).await;
    }
    assert_eq!(elsewhere.requests(), 0, "nobody is sent elsewhere");
    publisher.now(Mode::Hang);
    let (refused, ()) = tokio::join!(shown(&hook, &token), async {
        let before = publisher.requests();
        while publisher.requests() == before {
            tokio::task::yield_now().await;
        }
        pass(FETCH_TIMEOUT).await;
    });
    assert_eq!(refused, Err(ErrorCode::UNAVAILABLE));
    publisher.now(set(&[pair.jwk()]));
    pass(PAUSE).await;
    assert_eq!(shown(&hook, &token).await, ANN());

    // Nothing listens on that port.
    let nowhere = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let url: BackendUrl = format!("http://{nowhere}/").parse().unwrap();
    let hook = Verifier::new().with_key_set_url(KeySetUrl::new(url)).hook();
    assert_eq!(shown(&hook, &token).await, Err(ErrorCode::UNAVAILABLE));
}

#[tokio::test]
async fn a_token_can_not_choose_how_it_is_verified() {
    let pair = Pair::new("rsa");
    let rsa = json!({ "kty": "RSA", "kid": "rsa", "n": RSA_N, "e": "AQAB" });
    let secret = b"published, hence no secret, however long it is";
    let oct = json!({ "kty": "oct", "kid": "oct", "alg": "HS256", "k": URL_SAFE_NO_PAD.encode(secret) });
    let odd = json!({ "kty": "what", "kid": "odd" });
    let publisher = Publisher::start(set(&[odd, oct, rsa])).await;
    let hook = publisher.hook();
    assert_eq!(shown(&hook, RSA_TOKEN).await, ANN());

    let hs256 = |id: &str, secret: &[u8]| {
        let header = Header { kid: Some(id.into()), ..Header::new(jsonwebtoken::Algorithm::HS256) };
        jsonwebtoken::encode(&header, &claims(), &EncodingKey::from_secret(secret)).unwrap()
    };
    // The public key, as text and as a number, and a secret that everybody can read.
    let modulus = URL_SAFE_NO_PAD.decode(RSA_N).unwrap();
    for forged in [
        hs256("rsa", RSA_PEM.as_bytes()),
        hs256("rsa", RSA_PEM.trim_end().as_bytes()),
        hs256("rsa", &modulus),
        hs256("oct", secret),
    ] {
        assert_eq!(shown(&hook, &forged).await, Err(ErrorCode::UNAUTHORIZED));
    }
    // The algorithm "none", and a signature of the wrong length.
    let payload = URL_SAFE_NO_PAD.encode(claims().to_string());
    for header in [r#"{"alg":"none","kid":"rsa"}"#, r#"{"alg":"None"}"#, r#"{"alg":"","kid":"rsa"}"#] {
        let none = format!("{}.{payload}.", URL_SAFE_NO_PAD.encode(header));
        assert_eq!(shown(&hook, &none).await, Err(ErrorCode::UNAUTHORIZED));
    }
    assert_eq!(publisher.requests(), 1, "none of these is a reason to look for new keys");
    pass(PAUSE_FOR_UNKNOWN).await;
    assert_eq!(
        shown(&hook, &pair.token()).await,
        Err(ErrorCode::UNAUTHORIZED),
        "another kind of key by that id"
    );
    let (signed, _) = RSA_TOKEN.rsplit_once('.').unwrap();
    assert_eq!(shown(&hook, &format!("{signed}.AAAA")).await, Err(ErrorCode::UNAUTHORIZED));
}

#[tokio::test]
async fn own_keys_work_beside_published_ones() {
    let secret = b"at least 32 bytes that nobody else knows";
    let pair = Pair::new("a");
    let publisher = Publisher::start(Mode::Hang).await;
    let url = KeySetUrl::new(publisher.url.parse().unwrap());
    let verifier = Verifier::new().with_secret(Algorithm::Hs256, secret).unwrap().with_key_set_url(url);
    let hook = verifier.with_anonymous().hook();
    let own = super::super::Signer::from_secret(Algorithm::Hs256, secret).unwrap();
    assert_eq!(shown(&hook, &own.sign(&Authenticated::user("bob")).unwrap()).await, Ok("bob".into()));
    assert_eq!(shown(&hook, "").await, Ok(String::new()));
    assert_eq!(publisher.requests(), 0);
    publisher.now(set(&[pair.jwk()]));
    assert_eq!(shown(&hook, &pair.token()).await, ANN());
}

#[test]
fn a_set_has_the_lifetime_of_its_headers_within_bounds() {
    let age = |value: &'static str| {
        max_age(&HeaderMap::from_iter([(header::CACHE_CONTROL, HeaderValue::from_static(value))])).as_secs()
    };
    assert_eq!(max_age(&HeaderMap::new()).as_secs(), 300);
    assert_eq!(age("public, max-age=600, must-revalidate"), 600);
    assert_eq!(age("Max-Age=\"600\""), 600);
    assert_eq!([age("max-age=0"), age("max-age=600, no-store"), age("no-cache")], [60; 3]);
    assert_eq!(age("max-age=99999999"), 86_400);
    assert_eq!([age("max-age=soon"), age("max-age=-1"), age("private")], [300; 3]);
}

/// A public key. Its private key is lost.
const RSA_N: &str = "kGLXMZR9Zukee8wgCAGa_Rf1RgfHxSm3Gf53b5yk_CfHgcVeliAc8HCn_Fqa4UNB-x6FTiRdCbhvTumrI0F5uoQgSvT0ajQ1hrZF\
    eV8FxDUd4i7XEEKGIjc3ZFqxoyqyCxRY-4GXTMzgPtkSZiQ-AwH5Rwi65U_QytZvwRbuaqq6sZyX5GXF2Z5gP5v6TNGKpuRfg96U\
    xuIkK19N2b8uuuVhf-7b5ndj3oe9-Dzc_tMTLcNK9KktVj2-KtheDWgTtn2qLlUHzl_RPOzpo0ywwwAiUYAYQmvbZxbWk8YOR77G\
    D-8IrpcNfaqKl43ncDxKb-OQnsisO0FK_hzHpjiitw";

/// The same.
const RSA_PEM: &str = "\
-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAkGLXMZR9Zukee8wgCAGa
/Rf1RgfHxSm3Gf53b5yk/CfHgcVeliAc8HCn/Fqa4UNB+x6FTiRdCbhvTumrI0F5
uoQgSvT0ajQ1hrZFeV8FxDUd4i7XEEKGIjc3ZFqxoyqyCxRY+4GXTMzgPtkSZiQ+
AwH5Rwi65U/QytZvwRbuaqq6sZyX5GXF2Z5gP5v6TNGKpuRfg96UxuIkK19N2b8u
uuVhf+7b5ndj3oe9+Dzc/tMTLcNK9KktVj2+KtheDWgTtn2qLlUHzl/RPOzpo0yw
wwAiUYAYQmvbZxbWk8YOR77GD+8IrpcNfaqKl43ncDxKb+OQnsisO0FK/hzHpjii
twIDAQAB
-----END PUBLIC KEY-----
";

/// A token that it signed: `ann`, until 2100.
const RSA_TOKEN: &str = "eyJhbGciOiJSUzI1NiIsImtpZCI6InJzYSIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4iLCJleHAiOjQxMDI0NDQ4MDB9.cPmxmG\
    uYDeak4ExLaZ4ORzKLaZxtbp-QN0O642x8jTu3arQYhA1sA8aL5dUU6j61tQ2omCBZKO4Et-amju6LOdDnZTBtvy-aK9fbezDmvp\
    ujxXH34zV1eKcU_h_hWlPw_cEUpLPpfngnbWwh9i1yj9L01m96gevUnnimqz_gxkJzFpPS4Bm8u4EFeiNBQxgGILwuyvu8UUgbtH\
    XPKrEp8kYobr_nctmGde2upG_j-iPreccanKoBlkx-152JuPO-l63SLM60yJGCj_SNxUVCtNR4cy-uVqa0-GeKmK2gx5rfICvC0-\
    7iyk-p4tLaT8mgq6S3CnGvr5DS3k-rDaJOKg";
