//! Properties that hold for any origin.

use axum::http::HeaderValue;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

fn check(origins: &Origins, host: &str, origin: HeaderValue, here: bool) -> Result<(), String> {
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, HeaderValue::from_bytes(host.as_bytes()).unwrap());
    headers.insert(header::ORIGIN, origin);
    origins.check(&headers, here)
}

fn origins(allowed: &[&str]) -> Origins {
    Origins(allowed.iter().map(|origin| origin.parse().unwrap()).collect())
}

/// Parts of valid and invalid origins.
fn pieces() -> impl Strategy<Value = String> {
    let pieces = select(vec![
        "https",
        "http",
        "HTTPS",
        "wss",
        "://",
        ":/",
        "//",
        ".",
        ".",
        ".",
        "example.com",
        ".example.com",
        ".Example.COM",
        ".example.com",
        "example",
        "com",
        "a",
        "B-1",
        "_x",
        "xn--bcher-kva",
        ":443",
        ":8443",
        ":",
        ":+443",
        ":0443",
        ":99999",
        "@",
        "/",
        "?",
        "#",
        " ",
        "[",
        "]",
        "[::1]",
        "127.0.0.1",
        "*",
        "%61",
        "\\",
        "é",
        ",",
        "null",
        "localhost",
    ]);
    prop_oneof![
        vec(pieces.clone(), 0..8).prop_map(|pieces| pieces.concat()),
        vec(pieces, 0..6).prop_map(|pieces| format!("https://{}", pieces.concat())),
        ("[a-zA-Z0-9_.-]{0,12}", "(:443)?")
            .prop_map(|(labels, port)| { format!("https://{labels}.example.com{port}") }),
    ]
}

/// `true` if `https://*.example.com` allows this origin.
fn is_below_example_com(origin: &str) -> bool {
    let lower = origin.to_ascii_lowercase();
    let Some(rest) = lower.strip_prefix("https://") else { return false };
    let host = rest.strip_suffix(":443").or_else(|| rest.strip_suffix(":0443")).unwrap_or(rest);
    let labels: Vec<_> = host.split('.').collect();
    let is_label = |label: &&str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_,".contains(&byte))
    };
    labels.len() > 2 && labels.ends_with(&["example", "com"]) && labels.iter().all(is_label)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn any_header_is_allowed_or_refused_with_a_reason(
        origin in prop_oneof![vec(any::<u8>(), 0..40), pieces().prop_map(String::into_bytes)],
        host in prop_oneof![vec(any::<u8>(), 0..40), pieces().prop_map(String::into_bytes)],
        here in any::<bool>(),
    ) {
        let (Ok(origin), Ok(host)) = (HeaderValue::from_bytes(&origin), HeaderValue::from_bytes(&host)) else {
            return Ok(());
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host);
        headers.insert(header::ORIGIN, origin);
        let allowed = origins(&["https://a.example.com", "https://*.example.com", "http://localhost:*"]);
        if let Err(words) = allowed.check(&headers, here) {
            prop_assert!(words.contains("may not connect"), "{words}");
        }
        headers.remove(header::HOST);
        let _ = allowed.check(&headers, here);
        prop_assert_eq!(origins(&["*"]).check(&headers, here), Ok(()));
    }

    #[test]
    fn a_leading_star_allows_one_label_or_more_and_nothing_else(origin in pieces()) {
        let Ok(value) = HeaderValue::from_bytes(origin.as_bytes()) else { return Ok(()) };
        let allowed = origins(&["https://*.example.com"]);
        let is_let_in = check(&allowed, "server.test", value, false).is_ok();
        prop_assert_eq!(is_let_in, is_below_example_com(&origin), "{}", origin);
    }

    /// The text of an allowed origin can be parsed again.
    #[test]
    fn any_text_is_an_origin_or_none_and_is_written_as_it_is_read(
        text in prop_oneof![any::<String>(), pieces(), pieces().prop_map(|it| it.replace("https://", "https://*."))],
    ) {
        let Ok(origin) = text.parse::<Origin>() else { return Ok(()) };
        prop_assert_eq!(origin.to_string().parse::<Origin>(), Ok(origin));
    }

    /// The suggested option works.
    #[test]
    fn the_option_in_a_refusal_allows_the_page(origin in pieces()) {
        let Ok(value) = HeaderValue::from_bytes(origin.as_bytes()) else { return Ok(()) };
        let Err(words) = check(&Origins::default(), "server.test", value.clone(), false) else { return Ok(()) };
        let (_, option) = words.split_once("--allow-origin ").unwrap();
        let option = option.split(' ').next().unwrap().trim_matches('\'');
        prop_assert_eq!(check(&origins(&[option]), "server.test", value, false), Ok(()), "{}", option);
    }
}
