//! Properties that hold for any token and any claims.
#![allow(clippy::arithmetic_side_effects)]

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// The time at which the claims are checked.
const NOW: f64 = 1_900_000_000.0;
const LEEWAY: f64 = 5.0;
/// Times nearer than this to a limit are not compared.
const NEAR: f64 = 0.01;

fn check(claims: &str) -> Result<Authenticated, Refusal> {
    let expected = Expected {
        issuer: None,
        audience: None,
        leeway: Duration::from_secs_f64(LEEWAY),
        now: Duration::from_secs_f64(NOW),
    };
    expected.check(&serde_json::from_str(claims).unwrap())
}

/// Any JSON, often similar to the content of a token.
fn json() -> impl Strategy<Value = Value> {
    let texts = select(vec!["", "us", "wirehub", "ann", "chat:*", "*", "a*b", "two words", "\u{0}"]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        texts.prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            btree_map(key(), inner, 0..6).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn key() -> impl Strategy<Value = String> {
    let known = select(vec![
        "sub",
        "exp",
        "nbf",
        "iat",
        "iss",
        "aud",
        "wirehub",
        "subscribe",
        "publish",
        "presence",
        "channels",
        "info",
    ]);
    prop_oneof![4 => known.prop_map(String::from), 1 => any::<String>()]
}

/// A number of seconds, as JSON may write it.
fn number() -> impl Strategy<Value = String> {
    let near = -20_000_i64..20_000;
    let millis = prop_oneof![
        4 => near.prop_map(|millis| 1_900_000_000_000 + millis),
        1 => any::<i64>(),
        1 => -100_000_i64..100_000,
    ];
    (millis, 0..5_u8, 0..20_usize).prop_map(|(millis, form, point)| {
        let (sign, digits) = (if millis < 0 { "-" } else { "" }, millis.unsigned_abs().to_string());
        let whole = millis.unsigned_abs() / 1000;
        match form {
            0 => format!("{sign}{whole}"),
            1 => format!("{sign}{whole}.{:03}", millis.unsigned_abs() % 1000),
            2 => format!("{sign}{digits}e-3"),
            3 => format!("{sign}{digits}{}E-{}", "0".repeat(point), point + 3),
            // With the point somewhere within the digits.
            _ => {
                let (before, behind) = digits.split_at((point % digits.len()).max(1));
                let behind = if behind.is_empty() { "0" } else { behind };
                let exponent = digits.len() as i64 - before.len() as i64 - 3;
                format!("{sign}{before}.{behind}e{exponent:+}")
            }
        }
    })
}

proptest! {
    #[test]
    fn any_text_as_a_token_is_refused(text in any::<String>()) {
        prop_assert!(verifier().verify(&text).is_err());
    }

    #[test]
    fn any_parts_as_a_token_are_refused(
        parts in vec(prop_oneof![any::<String>(), json().prop_map(|it| it.to_string())], 0..5),
        is_signed_so in any::<bool>(),
    ) {
        let mut parts: Vec<_> = parts.iter().map(|part| URL_SAFE_NO_PAD.encode(part)).collect();
        if is_signed_so {
            parts.insert(0, URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#));
        }
        prop_assert!(verifier().verify(&parts.join(".")).is_err());
    }

    /// Verification ends, and a refusal repeats nothing of the token.
    #[test]
    fn any_claims_with_the_right_signature_are_read(
        claims in btree_map(key(), json(), 0..8),
        secret in "[a-z]{24}",
    ) {
        let mut claims: serde_json::Map<_, _> = claims.into_iter().collect();
        claims.insert("jti".into(), secret.clone().into());
        let token = token_of_text(&Value::Object(claims).to_string());
        for verifier in [verifier(), verifier().with_issuer("us").with_audience("wirehub")] {
            if let Err(refusal) = verifier.verify(&token) {
                prop_assert!(!refusal.to_string().contains(&secret));
                prop_assert!(!refusal.to_string().contains("no JSON object"), "{refusal}");
            }
        }
    }

    /// RFC 7519, section 2: seconds since 1970, with or without a fraction, in any form that JSON has for a number.
    #[test]
    fn times_are_numbers_in_any_form(exp in number(), nbf in number(), iat in number()) {
        let parsed = |text: &String| text.parse::<f64>().unwrap();
        let (left, early) = (parsed(&exp) + LEEWAY - NOW, parsed(&nbf) - LEEWAY - NOW);
        prop_assume!(left.abs() > NEAR && early.abs() > NEAR);
        let claims = format!(r#"{{"exp":{exp},"nbf":{nbf},"iat":{iat}}}"#);
        match check(&claims) {
            Ok(identity) => {
                prop_assert!(left > 0.0 && early < 0.0, "{claims}");
                let ttl = identity.ttl().unwrap().as_secs_f64();
                prop_assert!((ttl - left).abs() <= NEAR.max(left * 1e-9), "{claims}: {ttl}");
            }
            Err(refusal) if refusal.code() == ErrorCode::TOKEN_EXPIRED => prop_assert!(left < 0.0, "{claims}"),
            Err(refusal) => {
                prop_assert!(left > 0.0 && early > 0.0, "{claims}: {refusal}");
                prop_assert!(refusal.to_string().contains("`nbf`"));
            }
        }
    }

    #[test]
    fn a_claim_of_another_kind_is_refused_by_its_name(
        name in select(vec!["exp", "nbf", "iat", "sub", "wirehub"]),
        value in json(),
    ) {
        let is_of_its_kind = match name {
            "sub" => value.is_string(),
            "wirehub" => value.is_object(),
            _ => value.is_number(),
        };
        prop_assume!(!is_of_its_kind);
        let mut claims = json!({ "exp": NOW + 60.0 });
        claims[name] = value;
        let words = check(&claims.to_string()).unwrap_err().to_string();
        prop_assert!(words.contains(&format!("`{name}`")) && words.matches('`').count() == 2, "{words}");
    }

    /// A claim is missing because its name is misspelt.
    #[test]
    fn a_missing_required_claim_is_named(
        name in select(vec!["exp", "iss", "aud"]),
        written in "[a-zA-Z_ ]{1,8}",
    ) {
        let mut claims = json!({ "exp": now().as_secs() + 60, "iss": "us", "aud": "wirehub" });
        prop_assume!(claims.get(&written).is_none());
        let value = claims[name].take();
        let claims = claims.as_object_mut().unwrap();
        claims.remove(name);
        claims.insert(written, value);
        let verifier = verifier().with_issuer("us").with_audience("wirehub");
        let words = verifier.verify(&token_of_text(&Value::Object(claims.clone()).to_string()));
        let words = words.unwrap_err().to_string();
        prop_assert!(words.contains(&format!("no `{name}`")), "{words}");
    }

    /// Unknown keys of the claim `wirehub` are for other versions and grant nothing.
    #[test]
    fn an_unknown_right_grants_nothing(written in "[a-zA-Z_ ]{1,12}") {
        prop_assume!(!["subscribe", "publish", "presence", "channels", "info"].contains(&&*written));
        let claims = json!({ "exp": NOW + 60.0, "wirehub": { written: ["*"] } });
        let identity = check(&claims.to_string()).unwrap();
        prop_assert_eq!(identity.rights(), &Rights::default());
        prop_assert!(identity.channels().is_empty());
    }
}
