//! Tokens as JWT (RFC 7519): who the bearer is, until when, and what that allows.
//!
//! ```
//! use std::time::Duration;
//! use wirehub_server::jwt::{Algorithm, Signer, Verifier};
//! use wirehub_server::auth::Authenticated;
//! use wirehub_server::Hub;
//!
//! let secret = b"at least 32 bytes that nobody else knows";
//! let verifier = Verifier::new().with_secret(Algorithm::Hs256, secret)?.with_audience("wirehub");
//! let token = Signer::from_secret(Algorithm::Hs256, secret)?
//!     .with_audience("wirehub")
//!     .sign(&Authenticated::user("ann").expires_in(Duration::from_secs(3600)))?;
//!
//! assert!(verifier.verify(&token).is_ok());
//! let hub = Hub::builder().authenticate(verifier.hook()).build();
//! # assert_eq!(hub.sessions(), 0);
//! # Ok::<(), wirehub_server::jwt::KeyError>(())
//! ```
//!
//! | claim | meaning |
//! | --- | --- |
//! | `sub` | the user, of at most 254 bytes; without it the bearer is anonymous |
//! | `exp` | until when the token is good, in seconds since 1970; must be there |
//! | `nbf` | from when on |
//! | `iat` | since when; only that it is a number is looked at |
//! | `iss`, `aud` | must be as the verifier was told, if it was |
//! | `wirehub` | `subscribe`, `publish`, `presence`: lists of [patterns](crate::Pattern) of channels where the bearer has that right. `channels`: the channels that the server subscribes the session to. `info`: what is shown of the session to those who see who is there; any JSON of at most 4 KiB |

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::BoxFuture;
use jsonwebtoken::{AlgorithmFamily, DecodingKey, EncodingKey, Header};
use serde::Deserialize;
#[cfg(feature = "backend")]
use wirehub_common::code::ErrorCode;
#[cfg(feature = "backend")]
use wirehub_common::frame::ErrorInfo;

pub use self::algorithm::Algorithm;
use self::claims::{Expected, Granted, Written};
use self::key_set::{keys_of, listed};
#[cfg(feature = "backend")]
pub use self::remote::KeySetUrl;
#[cfg(feature = "backend")]
use self::remote::{Again, RemoteKeys};
use self::strength::{check_private_key, check_public_key, check_secret};
use crate::auth::{Authenticated, Credentials, Refusal};

mod algorithm;
mod claims;
mod key_set;
#[cfg(feature = "backend")]
mod remote;
mod strength;

/// Knows keys, and which tokens they have signed.
#[derive(Clone, Default)]
pub struct Verifier {
    keys: Vec<Key>,
    issuer: Option<String>,
    audience: Option<String>,
    leeway: Duration,
    anonymous: bool,
    #[cfg(feature = "backend")]
    remote: Vec<Arc<RemoteKeys>>,
}

/// A key and the one algorithm that it is for: a token can't choose another one.
#[derive(Clone)]
struct Key {
    algorithm: Algorithm,
    id: Option<String>,
    key: DecodingKey,
}

impl Verifier {
    /// One that knows no key, and refuses everybody.
    pub fn new() -> Self {
        Self { leeway: Duration::from_secs(5), ..Self::default() }
    }

    /// Takes tokens that were signed with this secret.
    ///
    /// # Errors
    /// The algorithm has no secret, or the secret is shorter than its hash (RFC 7518, section 3.2), or is a key of a pair.
    pub fn with_secret(self, algorithm: Algorithm, secret: &[u8]) -> Result<Self, KeyError> {
        check_secret(algorithm, secret)?;
        Ok(self.with_key(algorithm, None, DecodingKey::from_secret(secret)))
    }

    /// Takes tokens that were signed with the private key to this public one, in PEM.
    ///
    /// # Errors
    /// The text is no such key, or an RSA key of less than 2,048 bits, or of more than 4,096.
    pub fn with_public_key(self, algorithm: Algorithm, pem: &[u8]) -> Result<Self, KeyError> {
        let key = match algorithm.family() {
            AlgorithmFamily::Rsa => DecodingKey::from_rsa_pem(pem),
            AlgorithmFamily::Ec => DecodingKey::from_ec_pem(pem),
            AlgorithmFamily::Ed => DecodingKey::from_ed_pem(pem),
            AlgorithmFamily::Hmac => {
                return Err(KeyError::new(format!("{} has a secret and no public key", algorithm.as_str())));
            }
        };
        let wanted = || {
            format!(
                "it is no public key for {} in PEM: it begins with -----BEGIN PUBLIC KEY-----",
                algorithm.as_str()
            )
        };
        let key = key.map_err(|_| KeyError::new(wanted()))?;
        check_public_key(algorithm, &key)?;
        Ok(self.with_key(algorithm, None, key))
    }

    /// Takes tokens that were signed with one of the keys in a JSON Web Key Set (RFC 7517). Keys for other purposes and of
    /// other algorithms are passed over, and so, with a word in the log, are those that anybody could sign with.
    ///
    /// # Errors
    /// The text is no key set, or no key in it can be used: says what is in it.
    pub fn with_key_set(mut self, json: &str) -> Result<Self, KeyError> {
        let found = keys_of(json, |_| true)?;
        if !found.unfit.is_empty() {
            tracing::warn!("keys of a key set are passed over: {}", listed(&found.unfit));
        }
        self.keys.extend(found.keys);
        Ok(self)
    }

    /// Takes tokens that were signed with one of the keys in a set at an address, which is fetched again and again.
    /// [`Self::hook`] waits for it; [`Self::verify`] goes by what has been fetched.
    #[cfg(feature = "backend")]
    #[must_use]
    pub fn with_key_set_url(mut self, url: KeySetUrl) -> Self {
        self.remote.push(url.into_keys());
        self
    }

    /// Takes only tokens with this `iss`.
    #[must_use]
    pub fn with_issuer(self, issuer: impl Into<String>) -> Self {
        Self { issuer: Some(issuer.into()), ..self }
    }

    /// Takes only tokens with this `aud`, or with it among others.
    #[must_use]
    pub fn with_audience(self, audience: impl Into<String>) -> Self {
        Self { audience: Some(audience.into()), ..self }
    }

    /// How far the clocks of who signs and of who verifies may be apart. 5 s without this.
    #[must_use]
    pub fn with_leeway(self, leeway: Duration) -> Self {
        Self { leeway, ..self }
    }

    /// Lets in who has no token, as an anonymous session.
    #[must_use]
    pub fn with_anonymous(self) -> Self {
        Self { anonymous: true, ..self }
    }

    /// For [`Builder::readiness_check`](crate::Builder::readiness_check): whether of each key set at an address there are keys to go by. Those
    /// that are not there are fetched when it is asked, so that they come also while nobody shows a token.
    #[cfg(feature = "backend")]
    pub fn readiness(&self) -> impl Fn() -> Result<(), String> + Send + Sync + use<> {
        let remote = self.remote.clone();
        move || match remote.iter().find(|keys| !keys.are_there()) {
            None => Ok(()),
            Some(keys) => Err(format!("{} has given no keys", keys.url())),
        }
    }

    /// For [`Builder::authenticate`](crate::Builder::authenticate).
    pub fn hook(
        self,
    ) -> impl Fn(Credentials) -> BoxFuture<'static, Result<Authenticated, Refusal>> + Clone + Send + Sync + 'static
    {
        let verifier = Arc::new(self);
        move |credentials: Credentials| {
            let verifier = Arc::clone(&verifier);
            Box::pin(async move { verifier.verify_asking(&credentials.token).await })
        }
    }

    /// Who the bearer of a token is, by the keys that were given.
    ///
    /// # Errors
    /// The token has expired, or is not valid, with the reason in words that say nothing of what is in it.
    pub fn verify(&self, token: &str) -> Result<Authenticated, Refusal> {
        if token.is_empty() {
            return if self.anonymous { Ok(Authenticated::anonymous()) } else { Err(Refusal::invalid()) };
        }
        let header = header_of(token)?;
        self.verify_with_any(&self.keys, &header, token).unwrap_or_else(|| Err(no_key()))
    }

    /// The same, by those that are published elsewhere too.
    #[cfg(feature = "backend")]
    async fn verify_asking(&self, token: &str) -> Result<Authenticated, Refusal> {
        if token.is_empty() || self.remote.is_empty() {
            return self.verify(token);
        }
        let header = header_of(token)?;
        let mut verdict = self.verify_with_any(&self.keys, &header, token);
        let is_public = Algorithm::ALL
            .iter()
            .any(|algorithm| algorithm.inner() == header.alg && !algorithm.is_symmetric());
        if !is_public {
            return verdict.unwrap_or_else(|| Err(no_key()));
        }
        let mut is_missing = false;
        for remote in &self.remote {
            if matches!(verdict, Some(Ok(_))) {
                break;
            }
            match remote.keys().await {
                Some(keys) => verdict = self.verify_with_any(&keys, &header, token).or(verdict),
                None => is_missing = true,
            }
        }
        if let Some(verdict) = verdict {
            return verdict;
        }
        // Perhaps the key is a new one.
        for remote in &self.remote {
            match remote.keys_again().await {
                Again::Keys(keys) => {
                    if let Some(verdict) = self.verify_with_any(&keys, &header, token) {
                        return verdict;
                    }
                }
                Again::NotNow => is_missing = true,
            }
        }
        Err(if is_missing { Refusal::from(ErrorInfo::from_code(ErrorCode::UNAVAILABLE)) } else { no_key() })
    }

    #[cfg(not(feature = "backend"))]
    async fn verify_asking(&self, token: &str) -> Result<Authenticated, Refusal> {
        self.verify(token)
    }

    /// The verdict of those keys that are for the token; nothing where there is none.
    fn verify_with_any(
        &self,
        keys: &[Key],
        header: &Header,
        token: &str,
    ) -> Option<Result<Authenticated, Refusal>> {
        let mut verdict = None;
        for key in keys.iter().filter(|key| key.is_for(header)) {
            verdict = Some(self.verify_with(key, token));
            if matches!(verdict, Some(Ok(_))) {
                break;
            }
        }
        verdict
    }

    fn verify_with(&self, key: &Key, token: &str) -> Result<Authenticated, Refusal> {
        let (message, signature) = token.rsplit_once('.').unwrap_or_default();
        let verified =
            jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key.key, key.algorithm.inner());
        if !matches!(verified, Ok(true)) {
            let words = "the token's signature does not fit: it is signed with another key";
            return Err(Refusal::invalid().with_message(words));
        }
        let claims = message.split('.').nth(1).and_then(|claims| URL_SAFE_NO_PAD.decode(claims).ok());
        let claims = claims.and_then(|claims| serde_json::from_slice(&claims).ok()).ok_or_else(|| {
            Refusal::invalid()
                .with_message("what is in the token is no JSON object: have its issuer write one")
        })?;
        let expected = Expected {
            issuer: self.issuer.as_deref(),
            audience: self.audience.as_deref(),
            leeway: self.leeway,
            now: now(),
        };
        expected.check(&claims)
    }

    fn with_key(mut self, algorithm: Algorithm, id: Option<String>, key: DecodingKey) -> Self {
        self.keys.push(Key { algorithm, id, key });
        self
    }
}

impl Key {
    fn is_for(&self, header: &Header) -> bool {
        // A key without an id may be any; one with an id is not for a token that names another.
        header.alg == self.algorithm.inner()
            && (self.id.is_none() || header.kid.is_none() || self.id == header.kid)
    }
}

impl fmt::Debug for Verifier {
    /// Without the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("keys", &self.keys.len())
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

/// Makes tokens: for backends in Rust, for tests, and for the command line.
pub struct Signer {
    algorithm: Algorithm,
    key: EncodingKey,
    issuer: Option<String>,
    audience: Option<String>,
}

impl Signer {
    /// Signs with a secret.
    ///
    /// # Errors
    /// As for [`Verifier::with_secret`].
    pub fn from_secret(algorithm: Algorithm, secret: &[u8]) -> Result<Self, KeyError> {
        check_secret(algorithm, secret)?;
        Ok(Self { algorithm, key: EncodingKey::from_secret(secret), issuer: None, audience: None })
    }

    /// Signs with a private key, in PEM.
    ///
    /// # Errors
    /// As for [`Verifier::with_public_key`].
    pub fn from_private_key(algorithm: Algorithm, pem: &[u8]) -> Result<Self, KeyError> {
        let key = match algorithm.family() {
            AlgorithmFamily::Rsa => EncodingKey::from_rsa_pem(pem),
            AlgorithmFamily::Ec => EncodingKey::from_ec_pem(pem),
            AlgorithmFamily::Ed => EncodingKey::from_ed_pem(pem),
            AlgorithmFamily::Hmac => {
                return Err(KeyError::new(format!("{} has a secret and no private key", algorithm.as_str())));
            }
        };
        let wanted = || {
            format!(
                "it is no private key for {} in PEM: it begins with -----BEGIN PRIVATE KEY-----",
                algorithm.as_str()
            )
        };
        let key = key.map_err(|_| KeyError::new(wanted()))?;
        check_private_key(algorithm, &key)?;
        Ok(Self { algorithm, key, issuer: None, audience: None })
    }

    /// Writes an `iss`.
    #[must_use]
    pub fn with_issuer(self, issuer: impl Into<String>) -> Self {
        Self { issuer: Some(issuer.into()), ..self }
    }

    /// Writes an `aud`.
    #[must_use]
    pub fn with_audience(self, audience: impl Into<String>) -> Self {
        Self { audience: Some(audience.into()), ..self }
    }

    /// A token that says this. One without an end is good for an hour.
    ///
    /// # Errors
    /// The key can't sign, or there can be no user of this name.
    pub fn sign(&self, identity: &Authenticated) -> Result<String, KeyError> {
        identity.clone().checked().map_err(|error| KeyError::new(error.to_string()))?;
        let ttl = identity.ttl().unwrap_or(Duration::from_secs(3600));
        let claims = Written {
            sub: identity.user_name(),
            exp: now().saturating_add(ttl).as_secs(),
            iss: self.issuer.as_deref(),
            aud: self.audience.as_deref(),
            wirehub: Granted::of(identity),
        };
        jsonwebtoken::encode(&Header::new(self.algorithm.inner()), &claims, &self.key)
            .map_err(|error| KeyError::new(format!("the key does not sign: {error}")))
    }
}

impl fmt::Debug for Signer {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// A key that is none. Nothing of the key is in the words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyError(String);

impl KeyError {
    fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for KeyError {}

/// A token's header, if the token can be understood by it.
fn header_of(token: &str) -> Result<Header, Refusal> {
    let header =
        jsonwebtoken::decode_header(token).map_err(|_| Refusal::invalid().with_message(unreadable(token)))?;
    if header.crit.is_some() {
        // RFC 7515, section 4.1.11. Nothing that is meant by it is known here.
        let words = "the token's header has `crit`, and nothing that may stand there is known here: have it issued without";
        return Err(Refusal::invalid().with_message(words));
    }
    Ok(header)
}

/// What is wrong with a token whose header can't be read.
fn unreadable(token: &str) -> String {
    #[derive(Deserialize)]
    struct Named {
        alg: String,
    }

    let header = token.split('.').next().and_then(|header| URL_SAFE_NO_PAD.decode(header).ok());
    match header.and_then(|header| serde_json::from_slice::<Named>(&header).ok()) {
        Some(Named { alg }) if Algorithm::from_name(&alg).is_none() => {
            let known = Algorithm::names();
            format!("the token is signed in a way (`alg`) that is not known here: get one by any of {known}")
        }
        _ => "the token is no JWT that is signed: get another one".into(),
    }
}

fn no_key() -> Refusal {
    Refusal::invalid()
        .with_message("no key here is for the token's algorithm and key id: see which key it is signed with")
}

/// The time since 1970.
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests;
