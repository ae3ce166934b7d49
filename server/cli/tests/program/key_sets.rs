//! Key sets that others publish, as the program uses them.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};

use axum::Json;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use wirehub_common::Codec;
use wirehub_common::frame::{Connect, ReplyBody, Request};
use wirehub_server::auth::Authenticated;
use wirehub_server::jwt::{Algorithm, Signer};

use crate::backend::Backend;
use crate::program::{Running, wirehub};
use crate::support::{Client, http_at, in_time};

#[tokio::test]
async fn a_server_starts_without_its_key_set_and_accepts_tokens_once_it_has_come() {
    let address = {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        free.local_addr().unwrap().to_string()
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wirehub.toml");
    let text =
        format!("[server]\nmetrics = true\n[[tokens.keys]]\nkey_set_url = \"http://{address}/jwks.json\"");
    fs::write(&file, text).unwrap();
    let mut server =
        Running::start(&["serve", "--listen", "127.0.0.1:0", "--config", file.to_str().unwrap()]);
    let host = server.address().strip_prefix("http://").unwrap().to_owned();

    let (token, set) = token_and_key_set();
    let connect = async || {
        let mut client = Client::open_on(TcpStream::connect(&host).await.unwrap(), Codec::Json).await;
        client.request(Request::Connect(Connect { token: token.clone(), ..Connect::default() })).await.result
    };
    let error = connect().await.unwrap_err();
    assert_eq!((error.code.number(), error.temporary), (128, true));

    let publisher = Backend::start_at(&address, move |_| std::future::ready(Json(set.clone()))).await;
    // It is fetched again after two seconds.
    let connected = in_time(async {
        loop {
            match connect().await {
                Ok(ReplyBody::Connected(connected)) => break connected,
                Err(error) => assert_eq!(error.code.number(), 128),
                other => panic!("{other:?}"),
            }
        }
    })
    .await;
    assert_eq!(connected.user, "ann");
    let asked = publisher.requests();
    assert_eq!((asked.len(), &*asked[0].path, asked[0].body.len()), (1, "/jwks.json", 0));
    assert!(asked[0].header("user-agent").starts_with("wirehub/"));

    let metrics =
        http_at(&host, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    for line in [
        r#"wirehub_backend_requests_total{about="key_set",outcome="failed"} 1"#,
        r#"wirehub_backend_requests_total{about="key_set",outcome="ok"} 1"#,
        r#"wirehub_backend_request_seconds_count{about="key_set"} 2"#,
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}

/// A token with any claims, signed with this secret.
fn signed(secret: &[u8], claims: &Value) -> String {
    let message = [json!({ "alg": "HS256" }), claims.clone()]
        .map(|part| URL_SAFE_NO_PAD.encode(part.to_string()))
        .join(".");
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test]
async fn the_log_names_a_wrong_claim_and_has_one_line_for_a_tokens_channels() {
    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wirehub.toml");
    fs::write(folder.path().join("secret.key"), SECRET).unwrap();
    fs::write(&file, "[[tokens.keys]]\nalgorithm = \"HS256\"\nfile = \"secret.key\"\n").unwrap();
    let mut server =
        Running::start(&["serve", "--listen", "127.0.0.1:0", "--config", file.to_str().unwrap()]);
    let host = server.address().strip_prefix("http://").unwrap().to_owned();
    let connect = async |claims: Value| {
        let mut client = Client::open_on(TcpStream::connect(&host).await.unwrap(), Codec::Json).await;
        let token = signed(SECRET, &claims);
        client.request(Request::Connect(Connect { token, ..Connect::default() })).await.result
    };
    let error = connect(json!({ "sub": 42, "exp": 1_999_999_999.5 })).await.unwrap_err();
    assert!(error.message.contains("`sub`") && !error.temporary, "{error:?}");
    let error = connect(json!({ "exp": 2e9, "wirehub": { "publish": "chat:*" } })).await.unwrap_err();
    assert!(error.message.contains("`wirehub.publish`"), "{error:?}");
    let channels: Vec<String> = (0..2000).map(|number| format!("news:{number}")).collect();
    connect(json!({ "sub": "ann", "exp": 2e9, "wirehub": { "channels": channels } })).await.unwrap();
    server.signal("TERM");
    assert!(server.child.wait().unwrap().success());
    let log = BufReader::new(server.child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let log: Vec<String> = log.filter(|line| line.contains("WARN")).collect();
    assert_eq!(log.len(), 3, "{log:?}");
    for (line, words) in log.iter().zip(["`sub`", "`wirehub.publish`", "nor to 1871 more of its channels"]) {
        assert!(line.contains(words), "{words} in: {line}");
    }
}

#[test]
fn the_log_names_the_proxies_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wirehub.toml");
    fs::write(&file, "[[tokens.keys]]\nkey_set_url = \"https://login.example/jwks.json\"\n").unwrap();
    let start = |proxies: &[(&str, &str)]| {
        let mut command = wirehub(&["serve", "--listen", "127.0.0.1:0", "--config", file.to_str().unwrap()]);
        for name in ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"] {
            command.env_remove(name).env_remove(name.to_lowercase());
        }
        command.envs(proxies.iter().copied());
        let mut server = Running::spawn(command);
        server.address();
        server.signal("TERM");
        assert!(server.child.wait().unwrap().success());
        let mut log = String::new();
        server.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        log.lines().filter(|line| line.contains("proxy")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(start(&[]), [""; 0]);
    let used = start(&[("https_proxy", "http://user:word@proxy.example:3128")]);
    assert!(used.len() == 1 && used[0].contains("http://proxy.example:3128/ (https_proxy)"), "{used:?}");
    assert!(!used[0].contains("word"), "{used:?}");
    for (proxy, words) in [("socks5://proxy.example", "is not used"), ("proxy example", "it is not a URL")] {
        let unused = start(&[("HTTPS_PROXY", proxy)]);
        assert!(unused.len() == 1 && unused[0].contains("WARN") && unused[0].contains(words), "{unused:?}");
    }
}

/// A token of the user ann, and the key set that verifies it.
pub(crate) fn token_and_key_set() -> (String, Value) {
    let pair = rcgen::KeyPair::generate().unwrap();
    let signer = Signer::from_private_key(Algorithm::Es256, pair.serialize_pem().as_bytes()).unwrap();
    let point = pair.public_key_raw();
    let (x, y) = point.strip_prefix(&[UNCOMPRESSED]).unwrap().split_at(32);
    let [x, y] = [x, y].map(|half| URL_SAFE_NO_PAD.encode(half));
    let set = json!({ "keys": [{ "kty": "EC", "crv": "P-256", "x": x, "y": y }] });
    (signer.sign(&Authenticated::user("ann")).unwrap(), set)
}

/// The first byte of an uncompressed point (SEC 1, section 2.3.3).
const UNCOMPRESSED: u8 = 4;
