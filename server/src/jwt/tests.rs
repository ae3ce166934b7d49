use serde_json::{Value, json};
use wirehub_common::code::ErrorCode;

use super::*;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const HOUR: Duration = Duration::from_secs(3600);

fn verifier() -> Verifier {
    Verifier::new().with_secret(Algorithm::Hs256, SECRET).unwrap()
}

fn token(claims: &Value) -> String {
    token_with(jsonwebtoken::Algorithm::HS256, SECRET, claims)
}

fn token_with(algorithm: jsonwebtoken::Algorithm, secret: &[u8], claims: &Value) -> String {
    jsonwebtoken::encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret)).unwrap()
}

fn refused(verifier: &Verifier, token: &str) -> ErrorCode {
    let refusal = verifier.verify(token).unwrap_err();
    for part in token.split('.').filter(|part| part.len() > 8) {
        assert!(!refusal.to_string().contains(part), "nothing of the token is told: {refusal}");
    }
    refusal.code()
}

#[test]
fn what_is_signed_is_believed() {
    let rights = Rights {
        subscribe: vec!["chat:*".parse().unwrap()],
        publish: vec!["chat:lobby".parse().unwrap()],
        ..Rights::default()
    };
    let ann = Authenticated::user("ann").expires_in(HOUR).with_rights(rights.clone());
    for algorithm in [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512] {
        let token = Signer::from_secret(algorithm, SECRET).unwrap().sign(&ann).unwrap();
        let found = Verifier::new().with_secret(algorithm, SECRET).unwrap().verify(&token).unwrap();
        assert_eq!((&*found.user, found.rights), ("ann", rights.clone()));
        let left = found.ttl.unwrap();
        assert!(left >= HOUR && left <= HOUR + Duration::from_secs(5), "{left:?}");
    }
}

#[test]
fn a_token_can_not_choose_how_it_is_verified() {
    let claims = json!({ "sub": "ann", "exp": now() + 60 });
    assert!(verifier().verify(&token(&claims)).is_ok());
    assert_eq!(
        refused(&verifier(), &token_with(jsonwebtoken::Algorithm::HS512, SECRET, &claims)),
        ErrorCode::UNAUTHORIZED
    );
    // {"alg":"none","typ":"JWT"}, with and without what stands where the signature does.
    let body = token(&claims).split('.').nth(1).unwrap().to_owned();
    for signature in ["", "c2ln"] {
        let none = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{body}.{signature}");
        assert_eq!(refused(&verifier(), &none), ErrorCode::UNAUTHORIZED);
    }
}

#[test]
fn a_public_key_is_no_secret() {
    let pair = rcgen::KeyPair::generate().unwrap();
    let (private, public) = (pair.serialize_pem(), pair.public_key_pem());
    // The old trick: an HMAC made with the text of the public key.
    let verifier = Verifier::new().with_public_key(Algorithm::Es256, public.as_bytes()).unwrap();
    let claims = json!({ "sub": "ann", "exp": now() + 60 });
    let forged = token_with(jsonwebtoken::Algorithm::HS256, public.as_bytes(), &claims);
    assert_eq!(refused(&verifier, &forged), ErrorCode::UNAUTHORIZED);
    let signer = Signer::from_private_key(Algorithm::Es256, private.as_bytes()).unwrap();
    let token = signer.sign(&Authenticated::user("ann")).unwrap();
    assert_eq!(&*verifier.verify(&token).unwrap().user, "ann");
}

#[test]
fn forged_changed_and_broken_tokens_are_refused() {
    let claims = json!({ "sub": "ann", "exp": now() + 60 });
    let good = token(&claims);
    let other = token_with(jsonwebtoken::Algorithm::HS256, &[7; 32], &claims);
    let admin = token(&json!({ "sub": "admin", "exp": now() + 60 }));
    let mut parts: Vec<&str> = good.split('.').collect();
    let swapped_body = admin.split('.').nth(1).unwrap();
    parts[1] = swapped_body;
    let swapped = parts.join(".");
    for bad in
        [&*other, &swapped, &good[..good.len() - 1], "", "x", "a.b.c", "...", &format!("{good}.x"), "\u{0}"]
    {
        assert_eq!(refused(&verifier(), bad), ErrorCode::UNAUTHORIZED, "{bad}");
    }
}

#[test]
fn times_are_held_to_with_some_leeway() {
    let expired = |ago: u64| token(&json!({ "sub": "ann", "exp": now() - ago }));
    assert!(verifier().verify(&expired(2)).is_ok());
    assert_eq!(refused(&verifier(), &expired(60)), ErrorCode::TOKEN_EXPIRED);
    let early = |ahead: u64| token(&json!({ "exp": now() + 600, "nbf": now() + ahead }));
    assert!(verifier().verify(&early(2)).is_ok());
    assert_eq!(refused(&verifier(), &early(60)), ErrorCode::UNAUTHORIZED);
    assert_eq!(refused(&verifier(), &token(&json!({ "sub": "ann" }))), ErrorCode::UNAUTHORIZED, "no end");
    assert_eq!(refused(&verifier(), &token(&json!({ "exp": "soon" }))), ErrorCode::UNAUTHORIZED);
}

#[test]
fn issuer_and_audience_are_held_to_where_they_are_told() {
    let strict = verifier().with_issuer("us").with_audience("wirehub");
    let with = |claims: Value| {
        let mut claims = claims;
        claims["exp"] = (now() + 60).into();
        token(&claims)
    };
    assert!(strict.verify(&with(json!({ "iss": "us", "aud": "wirehub" }))).is_ok());
    assert!(strict.verify(&with(json!({ "iss": "us", "aud": ["other", "wirehub"] }))).is_ok());
    for claims in [
        json!({}),
        json!({ "iss": "us" }),
        json!({ "aud": "wirehub" }),
        json!({ "iss": "them", "aud": "wirehub" }),
        json!({ "iss": "us", "aud": "other" }),
    ] {
        assert_eq!(refused(&strict, &with(claims.clone())), ErrorCode::UNAUTHORIZED, "{claims}");
    }
    assert!(verifier().verify(&with(json!({ "iss": "any", "aud": "any" }))).is_ok());
}

#[test]
fn rights_that_are_no_patterns_are_refused_and_not_left_out() {
    let claims = json!({ "exp": now() + 60, "wirehub": { "subscribe": ["a*b"] } });
    assert_eq!(refused(&verifier(), &token(&claims)), ErrorCode::UNAUTHORIZED);
}

#[test]
fn channels_and_what_is_shown_come_with_the_token() {
    let ann = Authenticated::user("ann")
        .with_channels(vec![ChannelName::new("news").unwrap()])
        .with_info(&json!({ "name": "Ann" }))
        .unwrap();
    let signer = Signer::from_secret(Algorithm::Hs256, SECRET).unwrap();
    let found = verifier().verify(&signer.sign(&ann).unwrap()).unwrap();
    assert_eq!((&found.channels, &found.info), (&ann.channels, &ann.info));
    assert_eq!(found.info.as_deref(), Some(r#"{"name":"Ann"}"#));
    for bad in [json!({ "channels": ["two words"] }), json!({ "info": "x".repeat(5000) })] {
        let claims = json!({ "exp": now() + 60, "wirehub": bad });
        assert_eq!(refused(&verifier(), &token(&claims)), ErrorCode::UNAUTHORIZED);
    }
}

#[test]
fn who_has_no_token_is_let_in_only_where_that_is_meant() {
    assert_eq!(refused(&verifier(), ""), ErrorCode::UNAUTHORIZED);
    assert_eq!(verifier().with_anonymous().verify("").unwrap(), Authenticated::anonymous());
    assert_eq!(refused(&verifier().with_anonymous(), "x"), ErrorCode::UNAUTHORIZED, "a bad one is still bad");
}

#[test]
fn a_key_set_has_keys_by_id() {
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, SECRET);
    let set = json!({ "keys": [
        { "kty": "oct", "kid": "new", "alg": "HS256", "k": encoded },
        { "kty": "oct", "kid": "old", "alg": "HS256", "k": "b2xkIG9sZCBvbGQgb2xkIG9sZCBvbGQgb2xkIG9sZA" },
        { "kty": "RSA", "kid": "other", "alg": "RSA-OAEP", "n": "AQAB", "e": "AQAB" },
    ] });
    let verifier = Verifier::new().with_key_set(&set.to_string()).unwrap();
    assert_eq!(verifier.keys.len(), 2);
    let claims = json!({ "sub": "ann", "exp": now() + 60 });
    let with_id = |id: &str| {
        let header = Header { kid: Some(id.into()), ..Header::new(jsonwebtoken::Algorithm::HS256) };
        jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(SECRET)).unwrap()
    };
    assert!(verifier.verify(&with_id("new")).is_ok());
    assert_eq!(refused(&verifier, &with_id("old")), ErrorCode::UNAUTHORIZED, "it is signed with another one");
    assert_eq!(refused(&verifier, &with_id("unknown")), ErrorCode::UNAUTHORIZED);
    assert!(verifier.verify(&token(&claims)).is_ok(), "without an id each is tried");
    for bad in ["", "{}", r#"{"keys":[]}"#, r#"{"keys":[{"kty":"oct","k":"eA"}]}"#] {
        assert!(Verifier::new().with_key_set(bad).is_err(), "{bad}");
    }
}

#[test]
fn keys_that_are_none_are_told_without_showing_them() {
    for error in [
        Verifier::new().with_secret(Algorithm::Hs256, b"too short, this").unwrap_err(),
        Verifier::new().with_secret(Algorithm::Hs512, &SECRET[..32]).unwrap_err(),
        Verifier::new().with_secret(Algorithm::Rs256, SECRET).unwrap_err(),
        Verifier::new().with_public_key(Algorithm::Rs256, SECRET).unwrap_err(),
        Verifier::new().with_public_key(Algorithm::Hs256, SECRET).unwrap_err(),
        Signer::from_private_key(Algorithm::EdDsa, SECRET).unwrap_err(),
        Signer::from_private_key(Algorithm::Hs256, SECRET).unwrap_err(),
    ] {
        let words = error.to_string();
        assert!(!words.contains("too short, this") && !words.contains("0123456789abcdef"), "{words}");
    }
    assert!(!format!("{:?}", verifier()).contains("0123"));
}

#[test]
fn algorithms_are_named_as_in_tokens() {
    for algorithm in Algorithm::ALL {
        assert_eq!(Algorithm::from_name(algorithm.as_str()), Some(algorithm));
    }
    assert_eq!(Algorithm::from_name("none"), None);
}
