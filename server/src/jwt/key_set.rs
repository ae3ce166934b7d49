//! JSON Web Key Sets (RFC 7517).

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use serde::Deserialize;
use serde_json::Value;

use super::strength::{check_public_key, check_secret};
use super::{Algorithm, Key, KeyError};

/// The keys of a set.
#[derive(Default)]
pub(super) struct ParsedKeySet {
    pub(super) keys: Vec<Key>,
    /// The reasons for keys that are meant for tokens and are ignored, for the log.
    pub(super) unfit: Vec<String>,
}

/// The reason for an ignored key. The text reveals nothing of the key.
enum IgnoredKey {
    /// The key is for another purpose.
    Other(String),
    /// Anybody could sign with the key, or nobody.
    Unfit(String),
}

/// The usable keys of a set. An unusable key does not affect the others.
pub(super) fn keys_of(json: &str, is_wanted: impl Fn(Algorithm) -> bool) -> Result<ParsedKeySet, KeyError> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Value>,
    }

    // The library's messages quote the text, which may contain a secret.
    let set: Set = serde_json::from_str(json).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        KeyError::new(format!(
            "this is not a JSON Web Key Set, which begins with {{\"keys\":[: see line {line}, column {column}"
        ))
    })?;
    let mut found = ParsedKeySet::default();
    let mut others = Vec::new();
    for value in set.keys {
        match keys_in(value, &is_wanted) {
            Ok(keys) => found.keys.extend(keys),
            Err(IgnoredKey::Other(words)) => others.push(words),
            Err(IgnoredKey::Unfit(words)) => found.unfit.push(words),
        }
    }
    if found.keys.is_empty() {
        others.extend(found.unfit);
        let seen =
            if others.is_empty() { "it is empty".into() } else { format!("it has {}", listed(&others)) };
        let known = Algorithm::names();
        return Err(KeyError::new(format!("no key in the set is usable: {seen}; supported are {known}")));
    }
    Ok(found)
}

/// The first few of the ignored keys.
pub(super) fn listed(words: &[String]) -> String {
    const MOST: usize = 8;
    let more = words.len().saturating_sub(MOST);
    let first = words.iter().take(MOST).map(String::as_str).collect::<Vec<_>>().join(", ");
    if more == 0 { first } else { format!("{first} and {more} more") }
}

/// A key of a set, once for each algorithm that it may be for.
fn keys_in(value: Value, is_wanted: impl Fn(Algorithm) -> bool) -> Result<Vec<Key>, IgnoredKey> {
    let name = name_of(&value);
    let other = |why: &str| IgnoredKey::Other(format!("{name}{why}"));
    let jwk: Jwk = serde_json::from_value(value).map_err(|_| other(" (unreadable)"))?;
    let common = &jwk.common;
    if common.public_key_use.as_ref().is_some_and(|usage| *usage != PublicKeyUse::Signature) {
        return Err(other(" (its `use` is not sig)"));
    }
    if common.key_operations.as_ref().is_some_and(|allowed| !allowed.contains(&KeyOperations::Verify)) {
        return Err(other(" (its `key_ops` lack verify)"));
    }
    let algorithms = algorithms_of(&jwk);
    if algorithms.is_empty() {
        return Err(other(""));
    }
    let wanted: Vec<Algorithm> = algorithms.into_iter().filter(|algorithm| is_wanted(*algorithm)).collect();
    if wanted.is_empty() {
        return Err(other(" (a secret, which must not be published)"));
    }
    let unfit = |why: KeyError| IgnoredKey::Unfit(format!("{name} ({why})"));
    let key = DecodingKey::from_jwk(&jwk).map_err(|_| unfit(KeyError::new("its numbers are unreadable")))?;
    let key = |algorithm: Algorithm| {
        if algorithm.is_symmetric() {
            check_secret(algorithm, key.try_get_as_bytes().unwrap_or_default())?;
        }
        check_public_key(algorithm, &key)?;
        Ok(Key { algorithm, id: jwk.common.key_id.clone(), key: key.clone() })
    };
    wanted.into_iter().map(key).collect::<Result<_, _>>().map_err(unfit)
}

/// The algorithms of a key. If the set names none, they follow from the kind of key; a secret has to name its
/// algorithm.
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

/// A description that helps people find the key in a set: its id, and its algorithm or kind.
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

/// A text from a set for the log: short, without control characters.
fn shown(text: &str) -> String {
    const MOST: usize = 40;
    let is_plain = |character: &char| character.is_ascii_alphanumeric() || "-_.:/+=".contains(*character);
    text.chars().filter(is_plain).take(MOST).collect()
}
