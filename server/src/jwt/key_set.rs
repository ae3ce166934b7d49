//! JSON Web Key Sets (RFC 7517).

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use serde::Deserialize;

use super::{Algorithm, Key, KeyError};

/// The keys of a set that are of use. One that can't be read does not spoil the others.
pub(super) fn keys_of(json: &str, is_wanted: impl Fn(Algorithm) -> bool) -> Result<Vec<Key>, KeyError> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<serde_json::Value>,
    }

    // The library's words quote what stands there, which may be a secret.
    let set: Set = serde_json::from_str(json).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        KeyError::new(format!(
            "it is no JSON Web Key Set, which begins with {{\"keys\":[: look at line {line}, column {column}"
        ))
    })?;
    let read = |value| {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let algorithm = algorithm_of(&jwk).filter(|algorithm| is_wanted(*algorithm))?;
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        Some(Key { algorithm, id: jwk.common.key_id, key })
    };
    let keys: Vec<Key> = set.keys.into_iter().filter_map(read).collect();
    if keys.is_empty() {
        let words = "no key in the set has an algorithm that is known here (`alg`: HS256, HS384, HS512, RS256, ES256, EdDSA)";
        return Err(KeyError::new(words));
    }
    Ok(keys)
}

/// The one algorithm of a key. Where the set does not say which, it follows from the kind of key.
fn algorithm_of(jwk: &Jwk) -> Option<Algorithm> {
    if jwk.common.public_key_use.as_ref().is_some_and(|usage| *usage != PublicKeyUse::Signature) {
        return None;
    }
    match (jwk.common.key_algorithm, &jwk.algorithm) {
        (Some(KeyAlgorithm::HS256), _) => Some(Algorithm::Hs256),
        (Some(KeyAlgorithm::HS384), _) => Some(Algorithm::Hs384),
        (Some(KeyAlgorithm::HS512), _) => Some(Algorithm::Hs512),
        (Some(KeyAlgorithm::RS256), _) | (None, AlgorithmParameters::RSA(_)) => Some(Algorithm::Rs256),
        (Some(KeyAlgorithm::ES256), _) => Some(Algorithm::Es256),
        (Some(KeyAlgorithm::EdDSA), _) | (None, AlgorithmParameters::OctetKeyPair(_)) => {
            Some(Algorithm::EdDsa)
        }
        (None, AlgorithmParameters::EllipticCurve(key)) if key.curve == EllipticCurve::P256 => {
            Some(Algorithm::Es256)
        }
        _ => None,
    }
}
