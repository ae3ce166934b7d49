//! Keys of tokens that somebody else publishes, as the program takes them.

use std::fs;

use axum::Json;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use wirehub_common::Codec;
use wirehub_common::frame::{Answer, Connect, Request};
use wirehub_server::Authenticated;
use wirehub_server::jwt::{Algorithm, Signer};

use crate::backend::Backend;
use crate::program::Running;
use crate::support::{Client, http_at, in_time};

#[tokio::test]
async fn a_server_starts_without_its_key_set_and_takes_tokens_when_it_is_there() {
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
    // It is looked for again after two seconds.
    let connected = in_time(async {
        loop {
            match connect().await {
                Ok(Answer::Connected(connected)) => break connected,
                Err(error) => assert_eq!(error.code.number(), 128),
                other => panic!("{other:?}"),
            }
        }
    })
    .await;
    assert_eq!(connected.user, "ann");
    let asked = publisher.asked();
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

/// A token of ann's, and the key set that it is good by.
pub(crate) fn token_and_key_set() -> (String, Value) {
    let pair = rcgen::KeyPair::generate().unwrap();
    let signer = Signer::from_private_key(Algorithm::Es256, pair.serialize_pem().as_bytes()).unwrap();
    let point = pair.public_key_raw();
    let (x, y) = point.strip_prefix(&[UNCOMPRESSED]).unwrap().split_at(32);
    let [x, y] = [x, y].map(|half| URL_SAFE_NO_PAD.encode(half));
    let set = json!({ "keys": [{ "kty": "EC", "crv": "P-256", "x": x, "y": y }] });
    (signer.sign(&Authenticated::user("ann")).unwrap(), set)
}

/// What a point begins with whose halves follow (SEC 1, section 2.3.3).
const UNCOMPRESSED: u8 = 4;
