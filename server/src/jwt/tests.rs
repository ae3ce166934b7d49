use serde_json::{Value, json};
use wirehub_common::ChannelName;
use wirehub_common::code::ErrorCode;

use super::*;
use crate::auth::Rights;

mod keys;
mod properties;

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
        assert!(!refusal.to_string().contains(part), "the refusal reveals nothing of the token: {refusal}");
    }
    refusal.code()
}

#[test]
fn signed_claims_are_accepted() {
    let rights = Rights {
        subscribe: vec!["chat:*".parse().unwrap()],
        publish: vec!["chat:lobby".parse().unwrap()],
        ..Rights::default()
    };
    let ann = Authenticated::user("ann").expires_in(HOUR).with_rights(rights.clone());
    for algorithm in [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512] {
        assert!(algorithm.is_symmetric());
        let token = Signer::from_secret(algorithm, SECRET).unwrap().sign(&ann).unwrap();
        let found = Verifier::new().with_secret(algorithm, SECRET).unwrap().verify(&token).unwrap();
        assert_eq!((found.user_name(), found.rights()), ("ann", &rights));
        let left = found.ttl().unwrap();
        assert!(left >= HOUR && left <= HOUR + Duration::from_secs(5), "{left:?}");
    }
}

#[test]
fn a_token_can_not_choose_how_it_is_verified() {
    let claims = json!({ "sub": "ann", "exp": now().as_secs() + 60 });
    assert!(verifier().verify(&token(&claims)).is_ok());
    assert_eq!(
        refused(&verifier(), &token_with(jsonwebtoken::Algorithm::HS512, SECRET, &claims)),
        ErrorCode::UNAUTHORIZED
    );
    // {"alg":"none","typ":"JWT"}, with and without a signature part.
    let body = token(&claims).split('.').nth(1).unwrap().to_owned();
    for signature in ["", "c2ln"] {
        let none = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{body}.{signature}");
        assert_eq!(refused(&verifier(), &none), ErrorCode::UNAUTHORIZED);
    }
}

#[test]
fn a_public_key_is_not_a_secret() {
    let pair = rcgen::KeyPair::generate().unwrap();
    let (private, public) = (pair.serialize_pem(), pair.public_key_pem());
    // The old trick: an HMAC made with the text of the public key.
    let verifier = Verifier::new().with_public_key(Algorithm::Es256, public.as_bytes()).unwrap();
    let claims = json!({ "sub": "ann", "exp": now().as_secs() + 60 });
    let forged = token_with(jsonwebtoken::Algorithm::HS256, public.as_bytes(), &claims);
    assert_eq!(refused(&verifier, &forged), ErrorCode::UNAUTHORIZED);
    let signer = Signer::from_private_key(Algorithm::Es256, private.as_bytes()).unwrap();
    let token = signer.sign(&Authenticated::user("ann")).unwrap();
    assert_eq!(verifier.verify(&token).unwrap().user_name(), "ann");
}

#[test]
fn forged_changed_and_broken_tokens_are_refused() {
    let claims = json!({ "sub": "ann", "exp": now().as_secs() + 60 });
    let good = token(&claims);
    let other = token_with(jsonwebtoken::Algorithm::HS256, &[7; 32], &claims);
    let admin = token(&json!({ "sub": "admin", "exp": now().as_secs() + 60 }));
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
fn times_are_checked_with_some_leeway() {
    let expired = |ago: u64| token(&json!({ "sub": "ann", "exp": now().as_secs() - ago }));
    assert!(verifier().verify(&expired(2)).is_ok());
    assert_eq!(refused(&verifier(), &expired(60)), ErrorCode::TOKEN_EXPIRED);
    let early = |ahead: u64| token(&json!({ "exp": now().as_secs() + 600, "nbf": now().as_secs() + ahead }));
    assert!(verifier().verify(&early(2)).is_ok());
    assert_eq!(refused(&verifier(), &early(60)), ErrorCode::UNAUTHORIZED);
    assert_eq!(refused(&verifier(), &token(&json!({ "sub": "ann" }))), ErrorCode::UNAUTHORIZED, "no end");
    assert_eq!(refused(&verifier(), &token(&json!({ "exp": "soon" }))), ErrorCode::UNAUTHORIZED);
}

/// A token with these claims, exactly as written.
fn token_of_text(claims: &str) -> String {
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let message = format!("{}.{}", encode(r#"{"alg":"HS256"}"#), encode(claims));
    let key = EncodingKey::from_secret(SECRET);
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, jsonwebtoken::Algorithm::HS256);
    format!("{message}.{}", signature.unwrap())
}

#[test]
fn times_may_have_fractions_and_exponents() {
    for good in [
        r#"{"sub":"ann","exp":1999999999.5}"#,
        r#"{"sub":"ann","exp":1999999999.0}"#,
        r#"{"sub":"ann","exp":1.999999999e9}"#,
        r#"{"sub":"ann","exp":2E9,"nbf":1000000000.5,"iat":1e9}"#,
        r#"{"sub":"ann","exp":1e300}"#,
        r#"{"sub":"ann","exp":18446744073709551615,"nbf":-1,"iat":-0.5}"#,
    ] {
        assert_eq!(verifier().verify(&token_of_text(good)).expect(good).user_name(), "ann");
    }
    for expired in [r#"{"exp":-1}"#, r#"{"exp":1000000000.5}"#, r#"{"exp":1e9}"#, r#"{"exp":0}"#] {
        assert_eq!(refused(&verifier(), &token_of_text(expired)), ErrorCode::TOKEN_EXPIRED, "{expired}");
    }
    let soon = now().as_secs_f64() + 100.75;
    let left = verifier().verify(&token_of_text(&format!("{{\"exp\":{soon}}}"))).unwrap().ttl().unwrap();
    assert!((104.0..=105.8).contains(&left.as_secs_f64()), "{left:?}");
}

#[test]
fn a_refusal_names_the_claim_that_is_wrong() {
    let strict = || verifier().with_issuer("us").with_audience("wirehub");
    let good = json!({ "sub": "ann", "exp": now().as_secs() + 60, "iss": "us", "aud": "wirehub" });
    assert!(strict().verify(&token(&good)).is_ok());
    for (change, named) in [
        (json!({ "exp": "soon" }), "`exp`"),
        (json!({ "exp": null }), "`exp`"),
        (json!({ "exp": [2_000_000_000] }), "`exp`"),
        (json!({ "nbf": "2020-01-01" }), "`nbf`"),
        (json!({ "nbf": now().as_secs() + 600 }), "`nbf`"),
        (json!({ "iat": true }), "`iat`"),
        (json!({ "sub": 42 }), "`sub`"),
        (json!({ "sub": null }), "`sub`"),
        (json!({ "iss": 1 }), "`iss`"),
        (json!({ "iss": "them" }), "`iss`"),
        (json!({ "aud": ["wirehub", 1] }), "`aud`"),
        (json!({ "aud": [] }), "`aud`"),
        (json!({ "wirehub": "chat:*" }), "`wirehub`"),
        (json!({ "wirehub": ["chat:*"] }), "`wirehub`"),
        (json!({ "wirehub": { "subscribe": "chat:*" } }), "`wirehub.subscribe`"),
        (json!({ "wirehub": { "publish": ["chat:*", 1] } }), "`wirehub.publish`"),
        (json!({ "wirehub": { "presence": {} } }), "`wirehub.presence`"),
        (json!({ "wirehub": { "channels": "news" } }), "`wirehub.channels`"),
        (json!({ "wirehub": { "channels": ["news", "two words"] } }), "`wirehub.channels[1]`"),
        (json!({ "wirehub": { "publish": ["a*b"] } }), "`wirehub.publish[0]`"),
        (json!({ "wirehub": { "info": "x".repeat(5000) } }), "`wirehub.info`"),
    ] {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let refusal = strict().verify(&token(&claims)).expect_err(named);
        let words = refusal.to_string();
        assert_eq!(refusal.code(), ErrorCode::UNAUTHORIZED, "{change}: {words}");
        assert!(words.contains(named) && words.matches('`').count() == 2, "{change}: {words}");
    }
    for missing in ["exp", "iss", "aud"] {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(missing).unwrap();
        let words = strict().verify(&token(&claims)).expect_err(missing).to_string();
        assert!(words.contains(&format!("no `{missing}`")), "{words}");
    }
    for broken in ["[]", "1", "{", "{\"exp\":1e999}", ""] {
        let words = verifier().verify(&token_of_text(broken)).expect_err(broken).to_string();
        assert!(words.contains("not a JSON object"), "{broken}: {words}");
    }
}

#[test]
fn unknown_critical_extensions_are_refused() {
    let claims = json!({ "sub": "ann", "exp": now().as_secs() + 60 });
    for crit in [vec!["x".to_owned()], vec!["exp".to_owned(), "b64".to_owned()], Vec::new()] {
        let header = Header { crit: Some(crit), ..Header::new(jsonwebtoken::Algorithm::HS256) };
        let token = jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(SECRET)).unwrap();
        let words = verifier().verify(&token).unwrap_err().to_string();
        assert!(words.contains("`crit`"), "{words}");
    }
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES512"}"#);
    let words = verifier().verify(&format!("{header}.e30.AAAA")).unwrap_err().to_string();
    assert!(words.contains("`alg`") && words.contains("ES384"), "{words}");
}

#[test]
fn a_session_lasts_for_what_is_left_of_its_token_and_the_leeway() {
    let good = token(&json!({ "sub": "ann", "exp": now().as_secs() + 60 }));
    for leeway in [0, 5, 30] {
        let verifier = verifier().with_leeway(Duration::from_secs(leeway));
        let left = verifier.verify(&good).unwrap().ttl().unwrap().as_secs();
        // The clock runs meanwhile.
        assert!((leeway + 55..=leeway + 60).contains(&left), "{left} s with a leeway of {leeway} s");
    }
    let expired = token(&json!({ "sub": "ann", "exp": now().as_secs() - 2 }));
    let left = verifier().verify(&expired).unwrap().ttl().unwrap().as_secs();
    assert!((1..=3).contains(&left), "{left} s of the leeway are left");
}

#[test]
fn issuer_and_audience_are_checked_if_configured() {
    let strict = verifier().with_issuer("us").with_audience("wirehub");
    let with = |claims: Value| {
        let mut claims = claims;
        claims["exp"] = (now().as_secs() + 60).into();
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
fn rights_with_invalid_patterns_are_refused_and_not_ignored() {
    let claims = json!({ "exp": now().as_secs() + 60, "wirehub": { "subscribe": ["a*b"] } });
    assert_eq!(refused(&verifier(), &token(&claims)), ErrorCode::UNAUTHORIZED);
}

#[test]
fn channels_and_info_come_with_the_token() {
    let ann = Authenticated::user("ann")
        .with_channels(vec![ChannelName::new("news").unwrap()])
        .with_info(&json!({ "name": "Ann" }))
        .unwrap();
    let signer = Signer::from_secret(Algorithm::Hs256, SECRET).unwrap();
    let found = verifier().verify(&signer.sign(&ann).unwrap()).unwrap();
    assert_eq!((found.channels(), found.info()), (ann.channels(), ann.info()));
    assert_eq!(found.info(), Some(r#"{"name":"Ann"}"#));
    for bad in [json!({ "channels": ["two words"] }), json!({ "info": "x".repeat(5000) })] {
        let claims = json!({ "exp": now().as_secs() + 60, "wirehub": bad });
        assert_eq!(refused(&verifier(), &token(&claims)), ErrorCode::UNAUTHORIZED);
    }
}

#[test]
fn clients_without_a_token_are_admitted_only_if_configured() {
    assert_eq!(refused(&verifier(), ""), ErrorCode::UNAUTHORIZED);
    assert_eq!(verifier().with_anonymous().verify("").unwrap(), Authenticated::anonymous());
    assert_eq!(refused(&verifier().with_anonymous(), "x"), ErrorCode::UNAUTHORIZED, "a bad one is still bad");
}

#[test]
fn keys_of_a_set_are_found_by_id() {
    let encoded = URL_SAFE_NO_PAD.encode(SECRET);
    let set = json!({ "keys": [
        { "kty": "oct", "kid": "new", "alg": "HS256", "k": encoded },
        { "kty": "oct", "kid": "old", "alg": "HS256", "k": URL_SAFE_NO_PAD.encode([7; 32]) },
        { "kty": "RSA", "kid": "other", "alg": "RSA-OAEP", "n": "AQAB", "e": "AQAB" },
    ] });
    let verifier = Verifier::new().with_key_set(&set.to_string()).unwrap();
    assert_eq!(verifier.keys.len(), 2);
    let claims = json!({ "sub": "ann", "exp": now().as_secs() + 60 });
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
fn invalid_keys_are_reported_without_their_content() {
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
fn algorithms_have_the_names_of_tokens() {
    for algorithm in Algorithm::ALL {
        assert_eq!(Algorithm::from_name(algorithm.as_str()), Some(algorithm));
    }
    assert_eq!(Algorithm::from_name("none"), None);
}
