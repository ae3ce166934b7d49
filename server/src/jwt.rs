//! Tokens as JWT (RFC 7519): who the bearer is, until when, and what that allows.
//!
//! ```
//! use std::time::Duration;
//! use wirehub_server::jwt::{Algorithm, Signer, Verifier};
//! use wirehub_server::{Authenticated, Hub};
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
//! | `exp` | until when the token is good; must be there |
//! | `nbf` | from when on |
//! | `iss`, `aud` | must be as the verifier was told, if it was |
//! | `wirehub` | `subscribe`, `publish`, `presence`: lists of [patterns](crate::ChannelPattern) of channels where the bearer has that right. `channels`: the channels that the server subscribes the session to. `info`: what is shown of the session to those who see who is there; any JSON of at most 4 KiB |

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::BoxFuture;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use wirehub_common::ChannelName;

use self::key_set::keys_of;
#[cfg(feature = "backend")]
pub use self::remote::KeySetUrl;
#[cfg(feature = "backend")]
use self::remote::{Again, RemoteKeys};
use crate::{Authenticated, ChannelPattern, Credentials, Refusal, Rights};

mod key_set;
#[cfg(feature = "backend")]
mod remote;

/// How a token is signed. There is no "none".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// HMAC with SHA-256, and a secret that both ends have.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
    /// RSASSA-PKCS1-v1_5 with SHA-256: a private key signs, the public one verifies.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Hs256, Self::Hs384, Self::Hs512, Self::Rs256, Self::Es256, Self::EdDsa];

    /// The name in a token's header (RFC 7518, section 3.1; RFC 8037).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The algorithm of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }

    /// Whether verifying takes the secret that signing takes.
    pub const fn is_symmetric(self) -> bool {
        matches!(self, Self::Hs256 | Self::Hs384 | Self::Hs512)
    }

    const fn inner(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Hs256 => jsonwebtoken::Algorithm::HS256,
            Self::Hs384 => jsonwebtoken::Algorithm::HS384,
            Self::Hs512 => jsonwebtoken::Algorithm::HS512,
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}

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
    /// The algorithm has no secret, or the secret is shorter than its hash (RFC 7518, section 3.2).
    pub fn with_secret(self, algorithm: Algorithm, secret: &[u8]) -> Result<Self, KeyError> {
        check_secret(algorithm, secret)?;
        Ok(self.with_key(algorithm, None, DecodingKey::from_secret(secret)))
    }

    /// Takes tokens that were signed with the private key to this public one, in PEM.
    ///
    /// # Errors
    /// The text is no such key.
    pub fn with_public_key(self, algorithm: Algorithm, pem: &[u8]) -> Result<Self, KeyError> {
        let key = match algorithm {
            Algorithm::Rs256 => DecodingKey::from_rsa_pem(pem),
            Algorithm::Es256 => DecodingKey::from_ec_pem(pem),
            Algorithm::EdDsa => DecodingKey::from_ed_pem(pem),
            _ => return Err(KeyError::new(format!("{} has a secret and no public key", algorithm.as_str()))),
        };
        let wanted = || {
            format!(
                "it is no public key for {} in PEM: it begins with -----BEGIN PUBLIC KEY-----",
                algorithm.as_str()
            )
        };
        Ok(self.with_key(algorithm, None, key.map_err(|_| KeyError::new(wanted()))?))
    }

    /// Takes tokens that were signed with one of the keys in a JSON Web Key Set (RFC 7517). Keys for other purposes and of
    /// other algorithms are passed over.
    ///
    /// # Errors
    /// The text is no key set, or no key in it can be used.
    pub fn with_key_set(mut self, json: &str) -> Result<Self, KeyError> {
        self.keys.extend(keys_of(json, |_| true)?);
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

    /// For [`Builder::need`](crate::Builder::need): whether of each key set at an address there are keys to go by. Those
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
        Err(if is_missing { Refusal::undecided() } else { no_key() })
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
        let mut validation = Validation::new(key.algorithm.inner());
        validation.leeway = self.leeway.as_secs();
        validation.validate_nbf = true;
        validation.validate_aud = self.audience.is_some();
        let mut required = vec!["exp"];
        if let Some(issuer) = &self.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        if let Some(audience) = &self.audience {
            validation.set_audience(&[audience]);
            required.push("aud");
        }
        validation.set_required_spec_claims(&required);
        let claims = jsonwebtoken::decode::<Claims>(token, &key.key, &validation)
            .map_err(|error| refusal(error.kind()))?
            .claims;
        let left = claims.exp.saturating_sub(now()).saturating_add(validation.leeway);
        let identity = Authenticated::user(claims.sub).expires_in(Duration::from_secs(left));
        let identity =
            identity.checked().map_err(|error| Refusal::invalid().because(format!("`sub`: {error}")))?;
        claims.wirehub.grant(identity).map_err(|words| Refusal::invalid().because(words))
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
    /// The text is no such key.
    pub fn from_private_key(algorithm: Algorithm, pem: &[u8]) -> Result<Self, KeyError> {
        let key = match algorithm {
            Algorithm::Rs256 => EncodingKey::from_rsa_pem(pem),
            Algorithm::Es256 => EncodingKey::from_ec_pem(pem),
            Algorithm::EdDsa => EncodingKey::from_ed_pem(pem),
            _ => {
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
        let ttl = identity.ttl.unwrap_or(Duration::from_secs(3600));
        let claims = Claims {
            sub: identity.user.to_string(),
            exp: now().saturating_add(ttl.as_secs()),
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
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

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    sub: String,
    exp: u64,
    // Looked at by the library; an audience may be a list.
    #[serde(default, skip_deserializing, skip_serializing_if = "Option::is_none")]
    iss: Option<String>,
    #[serde(default, skip_deserializing, skip_serializing_if = "Option::is_none")]
    aud: Option<String>,
    #[serde(default, skip_serializing_if = "Granted::is_empty")]
    wirehub: Granted,
}

/// The rights in a token.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Granted {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscribe: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    publish: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    presence: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    channels: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    info: Option<serde_json::Value>,
}

impl Granted {
    fn of(identity: &Authenticated) -> Self {
        let rights = &identity.rights;
        let texts = |patterns: &[ChannelPattern]| patterns.iter().map(ToString::to_string).collect();
        Self {
            subscribe: texts(&rights.subscribe),
            publish: texts(&rights.publish),
            presence: texts(&rights.presence),
            channels: identity.channels.iter().map(ToString::to_string).collect(),
            info: identity.info.as_ref().and_then(|text| serde_json::from_str(text).ok()),
        }
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn grant(&self, identity: Authenticated) -> Result<Authenticated, &'static str> {
        const PATTERN: &str = "a pattern of channels in the token is none: write chat:lobby, chat:* or *";
        const CHANNEL: &str = "a channel in the token has an impossible name: correct it";
        const INFO: &str = "the info in the token takes more than 4 KiB: shorten it";
        let patterns = |texts: &[String]| {
            texts.iter().map(|text| text.parse().map_err(|_| PATTERN)).collect::<Result<Vec<_>, _>>()
        };
        let channels: Result<Vec<_>, _> =
            self.channels.iter().map(|name| ChannelName::new(name).map_err(|_| CHANNEL)).collect();
        let rights = Rights {
            subscribe: patterns(&self.subscribe)?,
            publish: patterns(&self.publish)?,
            presence: patterns(&self.presence)?,
        };
        let identity = identity.with_rights(rights).with_channels(channels?);
        match &self.info {
            Some(info) => identity.with_info(info).map_err(|_| INFO),
            None => Ok(identity),
        }
    }
}

fn check_secret(algorithm: Algorithm, secret: &[u8]) -> Result<(), KeyError> {
    let least = match algorithm {
        Algorithm::Hs256 => 32,
        Algorithm::Hs384 => 48,
        Algorithm::Hs512 => 64,
        _ => return Err(KeyError::new(format!("{} has a pair of keys and no secret", algorithm.as_str()))),
    };
    if secret.len() < least {
        return Err(KeyError::new(format!(
            "a secret for {} has at least {least} bytes: make one by `openssl rand -base64 {least}`",
            algorithm.as_str()
        )));
    }
    Ok(())
}

fn header_of(token: &str) -> Result<Header, Refusal> {
    jsonwebtoken::decode_header(token)
        .map_err(|_| Refusal::invalid().because("the token is no JWT that is signed: get another one"))
}

fn no_key() -> Refusal {
    Refusal::invalid()
        .because("no key here is for the token's algorithm and key id: see which key it is signed with")
}

fn refusal(error: &ErrorKind) -> Refusal {
    match error {
        ErrorKind::ExpiredSignature => Refusal::expired(),
        ErrorKind::ImmatureSignature => {
            Refusal::invalid().because("the token is not good yet (`nbf`): compare the clocks")
        }
        ErrorKind::InvalidIssuer => Refusal::invalid()
            .because("the token is of another issuer (`iss`): get one that is meant for this server"),
        ErrorKind::InvalidAudience => Refusal::invalid()
            .because("the token is for another audience (`aud`): get one that is meant for this server"),
        ErrorKind::MissingRequiredClaim(_) | ErrorKind::Json(_) | ErrorKind::InvalidClaimFormat(_) => {
            Refusal::invalid()
                .because("the token lacks a claim, or has one of another kind: `exp` must be there")
        }
        ErrorKind::InvalidSignature => {
            Refusal::invalid().because("the token's signature does not fit: it is signed with another key")
        }
        _ => Refusal::invalid(),
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests;
