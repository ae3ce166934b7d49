//! Accepted and refused keys.

use jsonwebtoken::jwk::Jwk;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};

use super::*;

const RSA: &str = include_str!("rsa-2048.pem");
const RSA_PUBLIC: &str = include_str!("rsa-2048.pub.pem");
/// Of 1,024 bits.
const WEAK_RSA: &str = include_str!("rsa-1024.pem");
const WEAK_RSA_PUBLIC: &str = include_str!("rsa-1024.pub.pem");

const OF_RSA: [Algorithm; 6] = [
    Algorithm::Rs256,
    Algorithm::Rs384,
    Algorithm::Rs512,
    Algorithm::Ps256,
    Algorithm::Ps384,
    Algorithm::Ps512,
];

/// A private key and its public one in PEM.
fn pair(algorithm: Algorithm) -> (String, String) {
    let kind = match algorithm {
        Algorithm::Es256 => &PKCS_ECDSA_P256_SHA256,
        Algorithm::Es384 => &PKCS_ECDSA_P384_SHA384,
        Algorithm::EdDsa => &PKCS_ED25519,
        _ => return (RSA.into(), RSA_PUBLIC.into()),
    };
    let pair = KeyPair::generate_for(kind).unwrap();
    (pair.serialize_pem(), pair.public_key_pem())
}

/// The public key in the form of a key set, without an algorithm.
fn jwk(algorithm: Algorithm, public: &str) -> Value {
    let key = match algorithm {
        Algorithm::Es256 | Algorithm::Es384 => DecodingKey::from_ec_pem(public.as_bytes()),
        Algorithm::EdDsa => DecodingKey::from_ed_pem(public.as_bytes()),
        _ => DecodingKey::from_rsa_pem(public.as_bytes()),
    };
    serde_json::to_value(Jwk::from_decoding_key(&key.unwrap(), None).unwrap()).unwrap()
}

fn set(keys: impl IntoIterator<Item = Value>) -> String {
    json!({ "keys": keys.into_iter().collect::<Vec<_>>() }).to_string()
}

fn with(mut key: Value, more: Value) -> Value {
    let Value::Object(more) = more else { panic!("{more} is no object") };
    key.as_object_mut().unwrap().extend(more);
    key
}

fn error(key_set: &str) -> String {
    Verifier::new().with_key_set(key_set).expect_err(key_set).to_string()
}

fn encoded(secret: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(secret)
}

#[test]
fn every_algorithm_with_a_pair_of_keys_signs_and_verifies_and_no_other_does_with_the_same_pair() {
    let ann = Authenticated::user("ann").expires_in(HOUR);
    let pairs =
        [Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa, Algorithm::Rs256].map(|it| (it, pair(it)));
    for algorithm in Algorithm::ALL.into_iter().filter(|algorithm| !algorithm.is_symmetric()) {
        let of = if OF_RSA.contains(&algorithm) { Algorithm::Rs256 } else { algorithm };
        let (_, (private, public)) = pairs.iter().find(|(it, _)| *it == of).unwrap();
        let token = Signer::from_private_key(algorithm, private.as_bytes()).unwrap().sign(&ann).unwrap();
        let verifier = Verifier::new().with_public_key(algorithm, public.as_bytes()).unwrap();
        assert_eq!(verifier.verify(&token).unwrap().user_name(), "ann", "{algorithm:?}");
        let key = with(jwk(algorithm, public), json!({ "alg": algorithm.as_str(), "use": "sig" }));
        let pinned = Verifier::new().with_key_set(&set([key])).unwrap();
        assert!(pinned.verify(&token).is_ok(), "{algorithm:?}");
        let unnamed = Verifier::new().with_key_set(&set([jwk(algorithm, public)])).unwrap();
        assert!(unnamed.verify(&token).is_ok(), "{algorithm:?}");
        for other in OF_RSA.into_iter().filter(|other| of == Algorithm::Rs256 && *other != algorithm) {
            let verifier = Verifier::new().with_public_key(other, public.as_bytes()).unwrap();
            assert_eq!(refused(&verifier, &token), ErrorCode::UNAUTHORIZED, "{algorithm:?} as {other:?}");
        }
        for (it, (private, public)) in pairs.iter().filter(|(it, _)| *it != of) {
            assert!(Verifier::new().with_public_key(algorithm, public.as_bytes()).is_err(), "{it:?}");
            assert!(Signer::from_private_key(algorithm, private.as_bytes()).is_err(), "{it:?}");
        }
    }
}

#[test]
fn short_or_public_secrets_are_refused_from_every_source() {
    let (_, public) = pair(Algorithm::Es256);
    for (algorithm, least) in [(Algorithm::Hs256, 32), (Algorithm::Hs384, 48), (Algorithm::Hs512, 64)] {
        let in_set =
            |secret: &[u8]| set([json!({ "kty": "oct", "alg": algorithm.as_str(), "k": encoded(secret) })]);
        for bad in
            [&SECRET[..0], &SECRET[..1], &SECRET[..least - 1], public.as_bytes(), RSA_PUBLIC.as_bytes()]
        {
            assert!(Verifier::new().with_secret(algorithm, bad).is_err(), "{algorithm:?} {}", bad.len());
            assert!(Signer::from_secret(algorithm, bad).is_err(), "{algorithm:?} {}", bad.len());
            assert!(error(&in_set(bad)).contains(algorithm.as_str()));
        }
        assert!(Verifier::new().with_secret(algorithm, &SECRET[..least]).is_ok());
        assert!(Verifier::new().with_key_set(&in_set(&SECRET[..least])).is_ok());
    }
    let words = Verifier::new().with_secret(Algorithm::Hs256, RSA_PUBLIC.as_bytes()).unwrap_err().to_string();
    assert!(words.contains("RS256") && !words.contains("BEGIN"), "{words}");
}

#[test]
fn weak_rsa_keys_are_refused_from_every_source() {
    for algorithm in OF_RSA {
        let told =
            Verifier::new().with_public_key(algorithm, WEAK_RSA_PUBLIC.as_bytes()).unwrap_err().to_string();
        assert!(told.contains("1024 bits") && told.contains("2048"), "{told}");
        assert!(Signer::from_private_key(algorithm, WEAK_RSA.as_bytes()).is_err());
    }
    let weak = jwk(Algorithm::Rs256, WEAK_RSA_PUBLIC);
    assert!(error(&set([weak])).contains("1024 bits"));
    let good = jwk(Algorithm::Rs256, RSA_PUBLIC);
    for exponent in [&[1][..], &[0, 1], &[2], &[0], &[]] {
        let key = with(good.clone(), json!({ "e": encoded(exponent) }));
        assert!(error(&set([key])).contains("no key in the set is usable"), "{exponent:?}");
    }
    let padded = [
        &[0; 200][..],
        &URL_SAFE_NO_PAD.decode(jwk(Algorithm::Rs256, WEAK_RSA_PUBLIC)["n"].as_str().unwrap()).unwrap(),
    ]
    .concat();
    assert!(error(&set([with(good.clone(), json!({ "n": encoded(&padded) }))])).contains("1024 bits"));
    let long = [&[0xff; 513][..]].concat();
    assert!(error(&set([with(good, json!({ "n": encoded(&long) }))])).contains("4096"));
}

#[test]
fn keys_of_a_set_for_other_purposes_do_not_verify() {
    let (_, public) = pair(Algorithm::Es256);
    let key = jwk(Algorithm::Es256, &public);
    for fine in [
        json!({}),
        json!({ "use": "sig" }),
        json!({ "key_ops": ["verify"] }),
        json!({ "key_ops": ["sign", "verify"] }),
    ] {
        assert!(Verifier::new().with_key_set(&set([with(key.clone(), fine.clone())])).is_ok(), "{fine}");
    }
    for other in [
        json!({ "use": "enc" }),
        json!({ "use": "tls" }),
        json!({ "key_ops": [] }),
        json!({ "key_ops": ["sign"] }),
        json!({ "key_ops": ["encrypt", "wrapKey"] }),
        json!({ "key_ops": "verify" }),
        json!({ "use": "sig", "key_ops": ["deriveKey"] }),
    ] {
        assert!(Verifier::new().with_key_set(&set([with(key.clone(), other.clone())])).is_err(), "{other}");
    }
    let secret = json!({ "kty": "oct", "alg": "HS256", "k": encoded(SECRET), "key_ops": ["sign"] });
    assert!(error(&set([secret])).contains("key_ops"));
}

#[test]
fn invalid_keys_are_ignored_and_do_not_affect_the_others() {
    let (_, public) = pair(Algorithm::Es256);
    let good = with(jwk(Algorithm::Es256, &public), json!({ "kid": "good" }));
    let short = URL_SAFE_NO_PAD.encode([1; 31]);
    let bad = [
        with(good.clone(), json!({ "x": encoded(&[1; 32]) })),
        with(good.clone(), json!({ "alg": "ES384" })),
        with(good.clone(), json!({ "alg": "RS256" })),
        with(good.clone(), json!({ "alg": "HS256" })),
        json!({ "kty": "oct", "alg": "RS256", "k": encoded(SECRET) }),
        json!({ "kty": "OKP", "crv": "Ed25519", "x": short }),
        json!({ "kty": "OKP", "crv": "Ed25519", "x": encoded(&[0; 32]) }),
        json!({ "kty": "OKP", "crv": "X25519", "x": encoded(&[1; 32]) }),
        json!("no key"),
        json!(null),
    ];
    for key in &bad {
        assert!(Verifier::new().with_key_set(&set([key.clone()])).is_err(), "{key}");
    }
    let verifier = Verifier::new().with_key_set(&set(bad.into_iter().chain([good]))).unwrap();
    assert_eq!(verifier.keys.len(), 1);
}

#[test]
fn a_set_without_a_key_for_tokens_is_reported_with_its_keys() {
    let words = error(&set([
        json!({ "kty": "RSA", "alg": "RSA-OAEP", "kid": "mail", "n": "AQAB", "e": "AQAB" }),
        json!({ "kty": "EC", "crv": "P-521", "alg": "ES512", "x": "AQ", "y": "AQ" }),
        json!({ "kty": "EC", "crv": "secp256k1", "x": "AQ", "y": "AQ" }),
        json!({ "kty": "oct", "k": encoded(SECRET) }),
    ]));
    for part in
        ["RSA-OAEP with the id mail", "ES512", "EC secp256k1", "a secret without `alg`", "PS512", "ES384"]
    {
        assert!(words.contains(part), "{part} in: {words}");
    }
    assert!(!words.contains(&encoded(SECRET)), "{words}");
    let many = error(&set((0..100).map(|number| json!({ "kty": format!("\u{1b}[2J{number}\n") }))));
    assert!(many.contains("and 92 more") && !many.contains('\n') && !many.contains('\u{1b}'), "{many}");
    assert!(error(r#"{"keys":[]}"#).contains("it is empty"));
}
