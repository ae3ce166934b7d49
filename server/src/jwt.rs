//! Tokens as JWT (RFC 7519): the user of a session, its end, and its rights.
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
//! # assert_eq!(hub.local_sessions(), 0);
//! # Ok::<(), wirehub_server::jwt::KeyError>(())
//! ```
//!
//! | claim | meaning |
//! | --- | --- |
//! | `sub` | the user, of at most 254 bytes; without it the session is anonymous |
//! | `exp` | the end of the token's validity, in seconds since 1970; required |
//! | `nbf` | the start of its validity |
//! | `iat` | the time of issue; must be a number, otherwise unused |
//! | `iss`, `aud` | must match the verifier's, if it has them |
//! | `wirehub` | `subscribe`, `publish`, `presence`: lists of [patterns](crate::Pattern) of channels for which the token grants that right. `channels`: the channels that the server subscribes the session to. `info`: data of the session for everybody with access to presence; any JSON of at most 4 KiB |

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
use self::claims::{Expected, RightsClaim, SignedClaims};
use self::key_set::{keys_of, listed};
#[cfg(feature = "backend")]
pub use self::remote::KeySetUrl;
#[cfg(feature = "backend")]
use self::remote::{Refetched, RemoteKeys};
use self::strength::{check_private_key, check_public_key, check_secret};
use crate::auth::{Authenticated, Credentials, Refusal};

mod algorithm;
mod claims;
mod key_set;
#[cfg(feature = "backend")]
mod remote;
mod strength;

/// Verifies tokens with a set of keys.
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

/// A key with its one algorithm: a token cannot choose another.
#[derive(Clone)]
struct Key {
    algorithm: Algorithm,
    id: Option<String>,
    key: DecodingKey,
}

impl Verifier {
    /// A verifier without keys. It refuses every token.
    pub fn new() -> Self {
        Self { leeway: Duration::from_secs(5), ..Self::default() }
    }

    /// Accepts tokens signed with this secret.
    ///
    /// # Errors
    /// The algorithm takes no secret, or the secret is shorter than its hash (RFC 7518, section 3.2), or it is part of
    /// a key pair.
    pub fn with_secret(self, algorithm: Algorithm, secret: &[u8]) -> Result<Self, KeyError> {
        check_secret(algorithm, secret)?;
        Ok(self.with_key(algorithm, None, DecodingKey::from_secret(secret)))
    }

    /// Accepts tokens signed with the private key of this public key, in PEM.
    ///
    /// # Errors
    /// The text is not such a key, or it is an RSA key of less than 2,048 or more than 4,096 bits.
    pub fn with_public_key(self, algorithm: Algorithm, pem: &[u8]) -> Result<Self, KeyError> {
        let readers = [DecodingKey::from_rsa_pem, DecodingKey::from_ec_pem, DecodingKey::from_ed_pem];
        let key = key_in_pem(algorithm, "public", pem, readers)?;
        check_public_key(algorithm, &key)?;
        Ok(self.with_key(algorithm, None, key))
    }

    /// Accepts tokens signed with a key of a JSON Web Key Set (RFC 7517). Keys for other purposes and of other
    /// algorithms are ignored. Weak keys are ignored with a warning in the log.
    ///
    /// # Errors
    /// The text is not a key set, or it contains no usable key; the message lists its keys.
    pub fn with_key_set(mut self, json: &str) -> Result<Self, KeyError> {
        let found = keys_of(json, |_| true)?;
        if !found.unfit.is_empty() {
            tracing::warn!("keys of a key set are ignored: {}", listed(&found.unfit));
        }
        self.keys.extend(found.keys);
        Ok(self)
    }

    /// Accepts tokens signed with a key of the set at a URL. The set is fetched regularly. [`Self::hook`] waits for it;
    /// [`Self::verify`] uses what has been fetched so far.
    #[cfg(feature = "backend")]
    #[must_use]
    pub fn with_key_set_url(mut self, url: KeySetUrl) -> Self {
        self.remote.push(url.into_keys());
        self
    }

    /// Accepts only tokens with this `iss`.
    #[must_use]
    pub fn with_issuer(self, issuer: impl Into<String>) -> Self {
        Self { issuer: Some(issuer.into()), ..self }
    }

    /// Accepts only tokens with this `aud`, alone or among others.
    #[must_use]
    pub fn with_audience(self, audience: impl Into<String>) -> Self {
        Self { audience: Some(audience.into()), ..self }
    }

    /// The allowed difference between the clocks of the issuer and the verifier. Default: 5 s.
    #[must_use]
    pub fn with_leeway(self, leeway: Duration) -> Self {
        Self { leeway, ..self }
    }

    /// Admits clients without a token, as anonymous sessions.
    #[must_use]
    pub fn with_anonymous(self) -> Self {
        Self { anonymous: true, ..self }
    }

    /// A check for [`Builder::readiness_check`](crate::Builder::readiness_check): fails while a key set at a URL has no keys yet. The check
    /// itself starts a fetch of missing keys, so that they also arrive while no client connects.
    #[cfg(feature = "backend")]
    pub fn readiness(&self) -> impl Fn() -> Result<(), String> + Send + Sync + use<> {
        let remote = self.remote.clone();
        move || match remote.iter().find(|keys| !keys.has_keys()) {
            None => Ok(()),
            Some(keys) => Err(format!("{} has returned no keys", keys.url())),
        }
    }

    /// The hook for [`Builder::authenticate`](crate::Builder::authenticate).
    pub fn hook(
        self,
    ) -> impl Fn(Credentials) -> BoxFuture<'static, Result<Authenticated, Refusal>> + Clone + Send + Sync + 'static
    {
        let verifier = Arc::new(self);
        move |credentials: Credentials| {
            let verifier = Arc::clone(&verifier);
            Box::pin(async move { verifier.verify_fetching(&credentials.token).await })
        }
    }

    /// Returns the identity in a token, verified with the given keys.
    ///
    /// # Errors
    /// The token has expired or is invalid. The reason reveals nothing of its content.
    pub fn verify(&self, token: &str) -> Result<Authenticated, Refusal> {
        if token.is_empty() {
            return if self.anonymous { Ok(Authenticated::anonymous()) } else { Err(Refusal::invalid()) };
        }
        let header = header_of(token)?;
        self.verify_with_any(&self.keys, &header, token).unwrap_or_else(|| Err(no_key()))
    }

    /// The same, also with the keys of sets at URLs.
    #[cfg(feature = "backend")]
    async fn verify_fetching(&self, token: &str) -> Result<Authenticated, Refusal> {
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
        // The key may be new.
        for remote in &self.remote {
            match remote.refetch().await {
                Refetched::Keys(keys) => {
                    if let Some(verdict) = self.verify_with_any(&keys, &header, token) {
                        return verdict;
                    }
                }
                Refetched::NotNow => is_missing = true,
            }
        }
        Err(if is_missing { Refusal::from(ErrorInfo::from_code(ErrorCode::UNAVAILABLE)) } else { no_key() })
    }

    #[cfg(not(feature = "backend"))]
    async fn verify_fetching(&self, token: &str) -> Result<Authenticated, Refusal> {
        self.verify(token)
    }

    /// The result of the keys that match the token; `None` if none matches.
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
            let words = "the token's signature is wrong: it was signed with another key";
            return Err(Refusal::invalid().with_message(words));
        }
        let claims = message.split('.').nth(1).and_then(|claims| URL_SAFE_NO_PAD.decode(claims).ok());
        let claims = claims.and_then(|claims| serde_json::from_slice(&claims).ok()).ok_or_else(|| {
            Refusal::invalid()
                .with_message("the token's content is not a JSON object: its issuer has to write one")
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
        // A key without an id matches any id. A key with an id matches only tokens with that id or none.
        header.alg == self.algorithm.inner()
            && (self.id.is_none() || header.kid.is_none() || self.id == header.kid)
    }
}

impl fmt::Debug for Verifier {
    /// Omits the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("keys", &self.keys.len())
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

/// Creates tokens: for backends in Rust, for tests, and for the command line.
pub struct Signer {
    algorithm: Algorithm,
    key: EncodingKey,
    issuer: Option<String>,
    audience: Option<String>,
}

impl Signer {
    /// Creates a signer with a secret.
    ///
    /// # Errors
    /// As for [`Verifier::with_secret`].
    pub fn from_secret(algorithm: Algorithm, secret: &[u8]) -> Result<Self, KeyError> {
        check_secret(algorithm, secret)?;
        Ok(Self { algorithm, key: EncodingKey::from_secret(secret), issuer: None, audience: None })
    }

    /// Creates a signer with a private key, in PEM.
    ///
    /// # Errors
    /// As for [`Verifier::with_public_key`].
    pub fn from_private_key(algorithm: Algorithm, pem: &[u8]) -> Result<Self, KeyError> {
        let readers = [EncodingKey::from_rsa_pem, EncodingKey::from_ec_pem, EncodingKey::from_ed_pem];
        let key = key_in_pem(algorithm, "private", pem, readers)?;
        check_private_key(algorithm, &key)?;
        Ok(Self { algorithm, key, issuer: None, audience: None })
    }

    /// Sets the `iss` of the tokens.
    #[must_use]
    pub fn with_issuer(self, issuer: impl Into<String>) -> Self {
        Self { issuer: Some(issuer.into()), ..self }
    }

    /// Sets the `aud` of the tokens.
    #[must_use]
    pub fn with_audience(self, audience: impl Into<String>) -> Self {
        Self { audience: Some(audience.into()), ..self }
    }

    /// Creates a token for this identity. Without an expiry it is valid for an hour.
    ///
    /// # Errors
    /// The key cannot sign, or the user name is invalid.
    pub fn sign(&self, identity: &Authenticated) -> Result<String, KeyError> {
        identity.clone().checked().map_err(|error| KeyError::new(error.to_string()))?;
        let ttl = identity.ttl().unwrap_or(Duration::from_secs(3600));
        let claims = SignedClaims {
            sub: identity.user_name(),
            exp: now().saturating_add(ttl).as_secs(),
            iss: self.issuer.as_deref(),
            aud: self.audience.as_deref(),
            wirehub: RightsClaim::of(identity),
        };
        jsonwebtoken::encode(&Header::new(self.algorithm.inner()), &claims, &self.key)
            .map_err(|error| KeyError::new(format!("the key cannot sign: {error}")))
    }
}

impl fmt::Debug for Signer {
    /// Omits the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// The key is invalid. The message never contains key material.
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

/// The header of a token, if it is readable and supported.
fn header_of(token: &str) -> Result<Header, Refusal> {
    let header =
        jsonwebtoken::decode_header(token).map_err(|_| Refusal::invalid().with_message(unreadable(token)))?;
    if header.crit.is_some() {
        // RFC 7515, section 4.1.11: no extension is supported here.
        let words =
            "the token's header has `crit`, and no extension is supported: issue the token without it";
        return Err(Refusal::invalid().with_message(words));
    }
    Ok(header)
}

/// The reason for a token with an unreadable header.
fn unreadable(token: &str) -> String {
    #[derive(Deserialize)]
    struct Named {
        alg: String,
    }

    let header = token.split('.').next().and_then(|header| URL_SAFE_NO_PAD.decode(header).ok());
    match header.and_then(|header| serde_json::from_slice::<Named>(&header).ok()) {
        Some(Named { alg }) if Algorithm::from_name(&alg).is_none() => {
            let known = Algorithm::names();
            format!("the token's algorithm (`alg`) is not supported: use one of {known}")
        }
        _ => "the token is not a signed JWT: get another one".into(),
    }
}

fn no_key() -> Refusal {
    Refusal::invalid()
        .with_message("no key here has the token's algorithm and key id: check which key signs the tokens")
}

/// The time since 1970.
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

type PemReader<K> = fn(&[u8]) -> jsonwebtoken::errors::Result<K>;

/// Reads a key of the kind `public` or `private`. The readers are for RSA, EC and Ed25519.
fn key_in_pem<K>(
    algorithm: Algorithm,
    kind: &str,
    pem: &[u8],
    [rsa, ec, ed]: [PemReader<K>; 3],
) -> Result<K, KeyError> {
    let read = match algorithm.family() {
        AlgorithmFamily::Rsa => rsa,
        AlgorithmFamily::Ec => ec,
        AlgorithmFamily::Ed => ed,
        AlgorithmFamily::Hmac => {
            return Err(KeyError::new(format!("{} takes a secret and not a {kind} key", algorithm.as_str())));
        }
    };
    read(pem).map_err(|_| {
        KeyError::new(format!(
            "this is not a {kind} key for {} in PEM: one begins with -----BEGIN {} KEY-----",
            algorithm.as_str(),
            kind.to_uppercase()
        ))
    })
}

#[cfg(test)]
mod tests;
