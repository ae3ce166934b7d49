//! Texts that are not secret, however long they are.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Returns whether a given secret is a public key, a key pair, a certificate or a key set. Others may have seen these,
/// and could sign with them.
pub(crate) fn is_public_material(secret: &[u8]) -> bool {
    is_key(secret) || decoded(secret).is_some_and(|bytes| is_key(&bytes))
}

fn is_key(bytes: &[u8]) -> bool {
    let text = bytes.trim_ascii();
    bytes.windows(PEM.len()).any(|window| window == PEM)
        || OPENSSH.iter().any(|kind| text.starts_with(kind))
        || is_json_web_key(text)
        || is_der(bytes)
}

const PEM: &[u8] = b"-----BEGIN ";
const OPENSSH: [&[u8]; 3] = [b"ssh-rsa ", b"ssh-ed25519 ", b"ecdsa-sha2-"];

/// A JSON Web Key, or a set of them.
fn is_json_web_key(text: &[u8]) -> bool {
    text.starts_with(b"{")
        && serde_json::from_slice::<serde_json::Map<_, _>>(text)
            .is_ok_and(|object| object.contains_key("kty") || object.contains_key("keys"))
}

/// A DER-encoded public key or key pair, as within PEM: one sequence to the end that begins with an algorithm's name or
/// a number.
fn is_der(bytes: &[u8]) -> bool {
    let (length, content) = match bytes {
        [0x30, length @ ..=0x7f, content @ ..] => (usize::from(*length), content),
        [0x30, 0x81, length, content @ ..] => (usize::from(*length), content),
        [0x30, 0x82, high, low, content @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), content),
        _ => return false,
    };
    length == content.len() && matches!(content, [0x30, _, 0x06, ..] | [0x02, 0x81 | 0x82 | 1, ..])
}

/// Decodes base64, of either alphabet and over any number of lines.
fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    let whole: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let alphabet = if whole.iter().any(|byte| matches!(byte, b'-' | b'_')) {
        alphabet::URL_SAFE
    } else {
        alphabet::STANDARD
    };
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(&alphabet, config).decode(whole).ok()
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use rcgen::PublicKeyData as _;

    use super::*;

    #[test]
    fn keys_that_others_may_have_seen_are_not_secrets() {
        let pair = rcgen::KeyPair::generate().unwrap();
        let (der, pem) = (pair.subject_public_key_info(), pair.public_key_pem());
        let set = r#"{"keys":[{"kty":"RSA","n":"x","e":"AQAB"}]}"#;
        for key in [
            pem.as_bytes(),
            pem.trim().as_bytes(),
            format!("\u{feff}{pem}").as_bytes(),
            pair.serialize_pem().as_bytes(),
            STANDARD.encode(&pem).as_bytes(),
            STANDARD.encode(&der).as_bytes(),
            &der,
            &pair.serialize_der(),
            b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHd5 ann@example",
            set.as_bytes(),
            STANDARD.encode(set).as_bytes(),
            br#" {"kty":"EC","crv":"P-256","x":"x","y":"y"} "#,
        ] {
            assert!(is_public_material(key), "{}", String::from_utf8_lossy(key));
        }
        for secret in [
            &[0x30; 32][..],
            &[7; 64],
            b"at least 32 bytes that nobody else knows",
            STANDARD.encode([0x30; 48]).as_bytes(),
            br#"{"a":"text in braces, which may be a secret"}"#,
            b"",
        ] {
            assert!(!is_public_material(secret), "{secret:?}");
        }
    }
}
