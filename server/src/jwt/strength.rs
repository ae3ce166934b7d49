//! Keys that are refused because anybody could sign with them, or because their signatures would never be valid.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk};
use jsonwebtoken::{AlgorithmFamily, DecodingKey, EncodingKey};

use super::{Algorithm, KeyError};
use crate::secret::is_public_material;

/// Refuses a text that is not secret, or is shorter than the algorithm's hash (RFC 7518, section 3.2).
pub(super) fn check_secret(algorithm: Algorithm, secret: &[u8]) -> Result<(), KeyError> {
    let least = match algorithm {
        Algorithm::Hs256 => 32,
        Algorithm::Hs384 => 48,
        Algorithm::Hs512 => 64,
        _ => return Err(KeyError::new(format!("{} uses a key pair and not a secret", algorithm.as_str()))),
    };
    if secret.len() < least {
        return Err(KeyError::new(format!(
            "a secret for {} has at least {least} bytes: make one with `openssl rand -base64 {least}`",
            algorithm.as_str()
        )));
    }
    if is_public_material(secret) {
        return Err(KeyError::new(format!(
            "this is a public key, a key pair, a certificate or a key set, which others may have seen, and not a secret for {}: name \
             the algorithm of the pair (such as RS256, ES256, EdDSA), or make a secret with `openssl rand -base64 {least}`",
            algorithm.as_str()
        )));
    }
    Ok(())
}

/// Refuses a public key that would accept forgeries, or no signature at all.
pub(super) fn check_public_key(algorithm: Algorithm, key: &DecodingKey) -> Result<(), KeyError> {
    let is_of_the_kind = match algorithm.family() {
        AlgorithmFamily::Rsa => {
            check_rsa(Jwk::from_decoding_key(key, None))?;
            true
        }
        AlgorithmFamily::Ed => key.try_get_as_bytes().is_ok_and(is_ed25519),
        _ => true,
    };
    // The result of verifying an empty signature does not matter. An error of another kind shows that the key is
    // invalid, for instance not a point of the curve.
    let can_verify = || jsonwebtoken::crypto::verify("", b"", key, algorithm.inner()).is_ok();
    if is_of_the_kind && can_verify() { Ok(()) } else { Err(no_key_for(algorithm)) }
}

/// The same for a private key.
pub(super) fn check_private_key(algorithm: Algorithm, key: &EncodingKey) -> Result<(), KeyError> {
    if algorithm.family() == AlgorithmFamily::Rsa {
        check_rsa(Jwk::from_encoding_key(key, algorithm.inner()))?;
    }
    let signed = jsonwebtoken::crypto::sign(b"", key, algorithm.inner());
    signed.map(drop).map_err(|_| no_key_for(algorithm))
}

fn no_key_for(algorithm: Algorithm) -> KeyError {
    let wanted = match algorithm {
        Algorithm::Es256 => " (it must be on the curve P-256)",
        Algorithm::Es384 => " (it must be on the curve P-384)",
        Algorithm::EdDsa => " (it must be an Ed25519 key)",
        _ => "",
    };
    KeyError::new(format!("this is not a key for {}{wanted}: check the algorithm", algorithm.as_str()))
}

fn check_rsa(jwk: jsonwebtoken::errors::Result<Jwk>) -> Result<(), KeyError> {
    let Ok(Jwk { algorithm: AlgorithmParameters::RSA(rsa), .. }) = jwk else {
        return Err(KeyError::new("this is not an RSA key"));
    };
    let number = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
    let (modulus, exponent) = (number(&rsa.n), number(&rsa.e));
    let size = bits(&modulus);
    if size < MIN_RSA_BITS {
        return Err(KeyError::new(format!(
            "this RSA key of {size} bits can be broken: make one of at least {MIN_RSA_BITS} bits"
        )));
    }
    if size > MAX_RSA_BITS {
        return Err(KeyError::new(format!(
            "this RSA key of {size} bits is too long: make one of at most {MAX_RSA_BITS} bits"
        )));
    }
    // With an exponent of one, a message is its own signature. Even numbers are invalid in RSA.
    let is_odd = |number: &[u8]| number.last().is_some_and(|last| last & 1 == 1);
    if !is_odd(&modulus) || !is_odd(&exponent) || bits(&exponent) < 2 {
        return Err(KeyError::new("its numbers are invalid for RSA: make a new pair"));
    }
    Ok(())
}

/// The length of a number in bits, without leading zeros.
fn bits(number: &[u8]) -> usize {
    let first = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    let significant = number.get(first..).unwrap_or_default();
    let unused = significant.first().map_or(0, |byte| byte.leading_zeros() as usize);
    significant.len().saturating_mul(8).saturating_sub(unused)
}

/// The minimum of RFC 7518, section 3.3.
const MIN_RSA_BITS: usize = 2048;
/// The maximum of the library.
const MAX_RSA_BITS: usize = 4096;

/// Returns whether this is a real key: not one of the few points that accept forged signatures.
fn is_ed25519(key: &[u8]) -> bool {
    let Ok(mut point) = <[u8; 32]>::try_from(key) else { return false };
    let [.., last] = &mut point;
    // Without the sign.
    *last &= 0x7f;
    let is_near_the_prime = matches!(point, [0xec..=0xee, middle @ .., 0x7f] if middle == [0xff; 30]);
    let is_near_zero = matches!(point, [0 | 1, rest @ ..] if rest == [0; 31]);
    !is_near_the_prime && !is_near_zero && !ORDER_EIGHT.contains(&point)
}

/// The points of order eight, without their signs.
const ORDER_EIGHT: [[u8; 32]; 2] = [
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5,
        0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a,
        0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_counted_from_the_first_that_is_set() {
        for (number, expected) in
            [(&[][..], 0), (&[0, 0], 0), (&[1], 1), (&[0, 0x80, 0], 16), (&[0x7f, 0], 15)]
        {
            assert_eq!(bits(number), expected, "{number:?}");
        }
    }

    #[test]
    fn points_that_accept_forgeries_are_refused() {
        let mut weak = vec![[0; 32]; 3];
        weak[1][0] = 1;
        weak[2][0] = 1;
        weak[2][31] = 0x80;
        for first in [0xec, 0xed, 0xee] {
            let mut point = [0xff; 32];
            point[0] = first;
            weak.push(point);
            point[31] = 0x7f;
            weak.push(point);
        }
        weak.extend(ORDER_EIGHT);
        for point in weak {
            assert!(!is_ed25519(&point), "{point:?}");
        }
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        assert!(is_ed25519(pair.public_key_raw()));
        assert!(!is_ed25519(&[7; 31]) && !is_ed25519(&[7; 33]));
    }
}
