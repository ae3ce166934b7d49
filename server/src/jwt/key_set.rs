//! JSON Web Key Sets (RFC 7517).

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use serde::Deserialize;
use serde_json::Value;

use super::strength::{check_public_key, check_secret};
use super::{Algorithm, Key, KeyError};

/// The keys of a set.
#[derive(Default)]
pub(super) struct Found {
    pub(super) keys: Vec<Key>,
    /// Why others that are meant for tokens are not among them, for the log.
    pub(super) unfit: Vec<String>,
}

/// Why a key is passed over, in words that show nothing of it.
enum PassedOver {
    /// It is for something else.
    Other(String),
    /// Anybody could sign with it, or nobody.
    Unfit(String),
}

/// The keys of a set that are of use. One that is of none does not spoil the others.
pub(super) fn keys_of(json: &str, is_wanted: impl Fn(Algorithm) -> bool) -> Result<Found, KeyError> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Value>,
    }

    // The library's words quote what stands there, which may be a secret.
    let set: Set = serde_json::from_str(json).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        KeyError::new(format!(
            "it is no JSON Web Key Set, which begins with {{\"keys\":[: look at line {line}, column {column}"
        ))
    })?;
    let mut found = Found::default();
    let mut others = Vec::new();
    for value in set.keys {
        match keys_in(value, &is_wanted) {
            Ok(keys) => found.keys.extend(keys),
            Err(PassedOver::Other(words)) => others.push(words),
            Err(PassedOver::Unfit(words)) => found.unfit.push(words),
        }
    }
    if found.keys.is_empty() {
        others.extend(found.unfit);
        let seen =
            if others.is_empty() { "it has none".into() } else { format!("it has {}", listed(&others)) };
        let known = Algorithm::names();
        return Err(KeyError::new(format!("no key in the set can be used: {seen}; known here are {known}")));
    }
    Ok(found)
}

/// The first few of what was passed over.
pub(super) fn listed(words: &[String]) -> String {
    const MOST: usize = 8;
    let more = words.len().saturating_sub(MOST);
    let first = words.iter().take(MOST).map(String::as_str).collect::<Vec<_>>().join(", ");
    if more == 0 { first } else { format!("{first} and {more} more") }
}

/// A key of a set, for each of the algorithms that it may be for.
fn keys_in(value: Value, is_wanted: impl Fn(Algorithm) -> bool) -> Result<Vec<Key>, PassedOver> {
    let name = name_of(&value);
    let other = |why: &str| PassedOver::Other(format!("{name}{why}"));
    let jwk: Jwk = serde_json::from_value(value).map_err(|_| other(" (it can't be read)"))?;
    let common = &jwk.common;
    if common.public_key_use.as_ref().is_some_and(|usage| *usage != PublicKeyUse::Signature) {
        return Err(other(" (its `use` is not sig)"));
    }
    if common.key_operations.as_ref().is_some_and(|allowed| !allowed.contains(&KeyOperations::Verify)) {
        return Err(other(" (its `key_ops` do not have verify)"));
    }
    let algorithms = algorithms_of(&jwk);
    if algorithms.is_empty() {
        return Err(other(""));
    }
    let wanted: Vec<Algorithm> = algorithms.into_iter().filter(|algorithm| is_wanted(*algorithm)).collect();
    if wanted.is_empty() {
        return Err(other(" (a secret, and what is published is none)"));
    }
    let unfit = |why: KeyError| PassedOver::Unfit(format!("{name} ({why})"));
    let key = DecodingKey::from_jwk(&jwk).map_err(|_| unfit(KeyError::new("its numbers can't be read")))?;
    let key = |algorithm: Algorithm| {
        if algorithm.is_symmetric() {
            check_secret(algorithm, key.try_get_as_bytes().unwrap_or_default())?;
        }
        check_public_key(algorithm, &key)?;
        Ok(Key { algorithm, id: jwk.common.key_id.clone(), key: key.clone() })
    };
    wanted.into_iter().map(key).collect::<Result<_, _>>().map_err(unfit)
}

/// The algorithm of a key. Where the set does not say which, those that the kind of key is for; a secret has to say.
fn algorithms_of(jwk: &Jwk) -> Vec<Algorithm> {
    match (jwk.common.key_algorithm, &jwk.algorithm) {
        (Some(KeyAlgorithm::UNKNOWN_ALGORITHM), _) => Vec::new(),
        (Some(named), _) => Algorithm::from_name(&named.to_string()).into_iter().collect(),
        (None, AlgorithmParameters::RSA(_)) => vec![
            Algorithm::Rs256,
            Algorithm::Rs384,
            Algorithm::Rs512,
            Algorithm::Ps256,
            Algorithm::Ps384,
            Algorithm::Ps512,
        ],
        (None, AlgorithmParameters::EllipticCurve(key)) => match key.curve {
            EllipticCurve::P256 => vec![Algorithm::Es256],
            EllipticCurve::P384 => vec![Algorithm::Es384],
            _ => Vec::new(),
        },
        (None, AlgorithmParameters::OctetKeyPair(key)) if key.curve == EllipticCurve::Ed25519 => {
            vec![Algorithm::EdDsa]
        }
        _ => Vec::new(),
    }
}

/// What people call a key that they have to find in a set: its id, and its algorithm or kind.
fn name_of(value: &Value) -> String {
    let text = |name: &str| value.get(name).and_then(Value::as_str).map(shown);
    let kind = match (text("alg"), text("kty"), text("crv")) {
        (Some(algorithm), ..) => algorithm,
        (None, Some(kind), Some(curve)) => format!("{kind} {curve}"),
        (None, Some(kind), None) if kind == "oct" => "a secret without `alg`".into(),
        (None, Some(kind), None) => kind,
        (None, None, _) => "a key without `kty`".into(),
    };
    match text("kid") {
        Some(id) => format!("{kind} with the id {id}"),
        None => kind,
    }
}

/// A text from a set for the log: short, and without anything that is more than text there.
fn shown(text: &str) -> String {
    const MOST: usize = 40;
    let is_plain = |character: &char| character.is_ascii_alphanumeric() || "-_.:/+=".contains(*character);
    text.chars().filter(is_plain).take(MOST).collect()
}
