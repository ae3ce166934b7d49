//! Handshakes as bytes, refusals, health and static files.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use wirehub_server::{Hub, router, static_files};

use crate::support::{Server, http, in_time, open_hub};

fn hub() -> Hub {
    open_hub().build()
}

/// A handshake with additional headers.
fn handshake(path: &str, host: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    )
}

/// The head of the answer. The connection may stay open after it.
async fn head(server: &Server, request: &str) -> String {
    let mut stream = server.tcp().await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(in_time(stream.read_u8()).await.unwrap());
    }
    String::from_utf8(answer).unwrap().to_ascii_lowercase()
}

fn closing(request: &str) -> String {
    request.replacen("\r\n", "\r\nConnection: close\r\n", 1)
}

#[tokio::test]
async fn the_handshakes_of_rfc_6455_are_answered_byte_for_byte() {
    let server = Server::start(hub()).await;
    for (key, accept) in [
        ("dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ("f7cb4ezEAl6C3wRaU6JORA==", "rE91AJhfC+6JdVcVXOGJEADEJdQ="),
    ] {
        for path in ["/ws", "/echo"] {
            let request = handshake(path, "x", "").replace("dGhlIHNhbXBsZSBub25jZQ==", key);
            let mut stream = server.tcp().await;
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = vec![0; 512];
            let count = in_time(stream.read(&mut answer)).await.unwrap();
            let answer = String::from_utf8_lossy(&answer[..count]).into_owned();
            assert!(answer.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{answer}");
            assert!(answer.contains(&format!("sec-websocket-accept: {accept}\r\n")), "{answer}");
            assert!(!answer.contains("sec-websocket-protocol"), "{answer}");
        }
    }
}

#[tokio::test]
async fn data_in_the_same_packet_as_the_handshake_is_not_lost() {
    let server = Server::start(hub()).await;
    let mut stream = server.tcp().await;
    let mut packet = handshake("/echo", "x", "").into_bytes();
    packet.extend_from_slice(&[0x81, 0x82, 0, 0, 0, 0, b'h', b'i']);
    stream.write_all(&packet).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(&[0x81, 2, b'h', b'i']) {
        answer.push(in_time(stream.read_u8()).await.unwrap());
    }
}

#[tokio::test]
async fn the_first_known_subprotocol_is_chosen_and_unknown_ones_are_refused() {
    let server = Server::start(hub()).await;
    let offer = |names: &str| handshake("/ws", "x", &format!("Sec-WebSocket-Protocol: {names}\r\n"));
    let answer = head(&server, &offer("other, wirehub.v1.json, wirehub.v1.protobuf")).await;
    assert!(answer.starts_with("http/1.1 101"), "{answer}");
    assert!(answer.contains("sec-websocket-protocol: wirehub.v1.json\r\n"), "{answer}");

    let at_echo = handshake("/echo", "x", "Sec-WebSocket-Protocol: wirehub.v1.json\r\n");
    let answer = head(&server, &at_echo).await;
    assert!(answer.starts_with("http/1.1 101"), "{answer}");
    assert!(!answer.contains("sec-websocket-protocol"), "an echo has none: {answer}");

    let answer = http(&server, &closing(&offer("soap"))).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(answer.contains("content-type: text/plain"), "{answer}");
    assert!(answer.contains("offer wirehub.v1.protobuf or wirehub.v1.json"), "{answer}");
}

#[tokio::test]
async fn pages_of_other_origins_are_refused_at_both_endpoints() {
    let open: Hub = open_hub().allow_origin("https://a.example".parse().unwrap()).build();
    let server = Server::start(open).await;
    for path in ["/ws", "/echo"] {
        let from = |origin: &str| handshake(path, "app.example", &format!("Origin: {origin}\r\n"));
        let by_a_proxy = "X-Forwarded-For: 203.0.113.7\r\nOrigin: http://app.example\r\n";
        for good in [handshake(path, "app.example", by_a_proxy), from("https://a.example")] {
            let answer = head(&server, &good).await;
            assert!(answer.starts_with("http/1.1 101"), "{answer}");
        }
        let answer = http(&server, &closing(&from("http://app.example"))).await;
        assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("X-Forwarded-For"), "{answer}");
        let answer = http(&server, &closing(&from("https://evil.example"))).await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
        assert!(answer.contains("--allow-origin https://evil.example"), "{answer}");
    }
}

#[tokio::test]
async fn an_invalid_handshake_gets_the_reason() {
    let server = Server::start(hub()).await;
    for path in ["/ws", "/echo"] {
        let get = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let answer = http(&server, &get).await;
        assert!(answer.starts_with("HTTP/1.1 426"), "{answer}");
        assert!(answer.contains("upgrade: websocket\r\n") && answer.contains("WebSocket client"), "{answer}");

        let answer = http(&server, &get.replace("GET", "POST")).await;
        assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");

        let good = closing(&handshake(path, "x", ""));
        let answer = http(&server, &good.replace("Version: 13", "Version: 8")).await;
        assert!(answer.starts_with("HTTP/1.1 426"), "{answer}");
        assert!(answer.contains("sec-websocket-version: 13\r\n"), "{answer}");

        let answer = http(&server, &good.replace("dGhlIHNhbXBsZSBub25jZQ==", "short")).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
}

#[tokio::test]
async fn a_request_needs_exactly_one_host() {
    let server = Server::start(hub()).await;
    for host in [
        "",
        "Host: a\r\nHost: a\r\n",
        "Host: a\r\nHost: b\r\n",
        "Host: a b\r\n",
        "Host: a,b\r\n",
        "Host:\r\n",
    ] {
        for path in ["/health", "/none"] {
            let answer =
                http(&server, &format!("GET {path} HTTP/1.1\r\n{host}Connection: close\r\n\r\n")).await;
            assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("Host"), "{host:?}: {answer}");
        }
        for path in ["/ws", "/echo"] {
            let request = closing(&handshake(path, "x", "")).replace("Host: x\r\n", host);
            let answer = http(&server, &request).await;
            assert!(answer.starts_with("HTTP/1.1 400"), "{host:?}: {answer}");
        }
    }
    let old = http(&server, "GET /health HTTP/1.0\r\n\r\n").await;
    assert!(old.starts_with("HTTP/1.0 200"), "{old}");
}

#[tokio::test]
async fn an_applications_router_has_no_echo_by_default() {
    let hub = hub();
    let app = router(&hub);
    let server = Server::start_app(hub, app, "127.0.0.1:0").await;
    let answer = http(&server, &closing(&handshake("/echo", "x", ""))).await;
    assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("cache-control: no-store\r\n"), "{answer}");
}

#[tokio::test]
async fn health_is_told_as_json() {
    let server = Server::start(hub()).await;
    let answer = http(&server, "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("content-type: application/json"), "{answer}");
    assert!(answer.ends_with(r#"{"status":"ok"}"#), "{answer}");
}

#[tokio::test]
async fn static_files_have_content_types_and_cache_headers() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str| std::fs::write(directory.path().join(name), name).unwrap();
    std::fs::create_dir(directory.path().join("assets")).unwrap();
    ["index.html", "main.js", "assets/wirehub-Bk3Z1x9Q.wasm"].into_iter().for_each(write);
    let hub = hub();
    let app = router(&hub).fallback_service(static_files(directory.path()));
    let server = Server::start_app(hub, app, "127.0.0.1:0").await;
    let get = async |path: &str| {
        http(&server, &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).await
    };
    for (path, kind, cache) in [
        ("/", "text/html", "no-cache"),
        ("/main.js", "text/javascript", "no-cache"),
        ("/assets/wirehub-Bk3Z1x9Q.wasm", "application/wasm", "public, max-age=31536000, immutable"),
    ] {
        let answer = get(path).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains(&format!("content-type: {kind}\r\n")), "{answer}");
        assert!(answer.contains(&format!("cache-control: {cache}\r\n")), "{answer}");
        assert!(answer.contains("x-content-type-options: nosniff\r\n"), "{answer}");
    }
    for path in ["/none", "/../Cargo.toml", "/%2e%2e/%2e%2e/etc/passwd", "/assets/none-Bk3Z1x9Q.js"] {
        let answer = get(path).await;
        assert!(answer.starts_with("HTTP/1.1 404") && !answer.contains("immutable"), "{path}: {answer}");
    }
    assert!(get("/health").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let server = Server::start(hub()).await;
    let long = format!("GET /health HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    assert!(http(&server, &long).await.starts_with("HTTP/1.1 431"));
    let many = format!("GET /health HTTP/1.1\r\nHost: x\r\n{}\r\n", "X: y\r\n".repeat(100));
    assert!(http(&server, &many).await.starts_with("HTTP/1.1 431"));
}

#[tokio::test]
async fn static_files_are_compressed_for_clients_that_accept_it() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("module.wasm"), vec![b'x'; 50_000]).unwrap();
    std::fs::write(directory.path().join("picture.png"), vec![b'x'; 50_000]).unwrap();
    let hub = hub();
    let app = router(&hub).fallback_service(static_files(directory.path()));
    let server = Server::start_app(hub, app, "127.0.0.1:0").await;
    let get = async |path: &str, more: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{more}\r\n");
        let mut stream = server.tcp().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        in_time(stream.read_to_end(&mut answer)).await.unwrap();
        (String::from_utf8_lossy(&answer).to_lowercase(), answer.len())
    };
    let (head, length) = get("/module.wasm", "Accept-Encoding: br, gzip\r\n").await;
    assert!(head.contains("content-encoding: gzip") && head.contains("vary: accept-encoding"), "{head}");
    assert!(head.contains("content-type: application/wasm") && length < 5000, "{length}");
    for (path, more) in [("/module.wasm", ""), ("/picture.png", "Accept-Encoding: gzip\r\n")] {
        let (head, length) = get(path, more).await;
        assert!(!head.contains("content-encoding") && length > 50_000, "{path}: {length}");
    }
}
