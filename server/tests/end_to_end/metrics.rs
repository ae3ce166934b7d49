//! The metrics of a hub.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rcgen::generate_simple_self_signed;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use wirehub_common::frame::{Connect, HistoryPage, Idempotency, Position, Request};
use wirehub_common::{Codec, Payload};
use wirehub_server::api::ApiKey;
use wirehub_server::auth::{Authenticated, Refusal};
use wirehub_server::engine::{
    Delivery, Engine, EngineFuture, EngineMetric, EnginePublish, Locate, Located, MemoryEngine, Publications,
    ReadHistory,
};
use wirehub_server::{Listener, Tls, api, metrics, router};

use crate::support::{CODECS, Client, Server, call, http_at, in_time, open_hub, publish, until};

async fn scrape(server: &Server) -> String {
    let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let response = http_at(&server.host(), request).await;
    assert!(response.contains("application/openmetrics-text"), "{response}");
    assert!(response.trim_end().ends_with("# EOF"), "{response}");
    response
}

#[track_caller]
fn expect(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|found| found == *line), "{line} in:\n{text}");
    }
}

#[tokio::test]
async fn commands_messages_and_ends_are_counted() {
    let hub = open_hub().build();
    let app = router(&hub).merge(metrics(&hub));
    let server = Server::start_app(hub, app, "127.0.0.1:0").await;
    let mut clients = Vec::new();
    for codec in CODECS {
        let mut client = Client::connect(&server, codec).await;
        client.subscribe("a").await;
        clients.push(client);
    }
    clients[0].ok(publish("a", Payload::json("1"))).await;
    // Not a WebSocket handshake.
    http_at(&server.host(), "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert_eq!(clients[0].error(call("none", Payload::json("1"))).await, 104);
    expect(
        &scrape(&server).await,
        &[
            "wirehub_commands_total{command=\"connect\"} 2",
            "wirehub_commands_total{command=\"subscribe\"} 2",
            "wirehub_commands_total{command=\"publish\"} 1",
            "wirehub_commands_total{command=\"history\"} 0",
            "wirehub_errors_total{code=\"104\"} 1",
            "wirehub_publications_total 1",
            "wirehub_deliveries_total 2",
            "wirehub_connections_opened_total 2",
            "wirehub_handshakes_refused_total{status=\"426\"} 1",
            "wirehub_sessions 2",
            "wirehub_channels 1",
            "wirehub_subscriptions 2",
        ],
    );
    // One client violates the protocol, the other leaves.
    let again = clients[0].command(Request::Connect(Connect::default()));
    clients[0].send([again]).await;
    clients[0].closed().await;
    drop(clients);
    until(|| server.hub.local_sessions() == 0).await;
    let ended = async || {
        let text = scrape(&server).await;
        let count =
            |code: &str| text.contains(&format!("wirehub_connections_ended_total{{code=\"{code}\"}} 1"));
        count("3502") && count("none")
    };
    while !ended().await {}
}

#[tokio::test]
async fn the_bytes_of_frames_are_counted_without_handshakes_and_without_tls() {
    let made = generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let [certificate, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    for is_plain in [true, false] {
        let hub = open_hub().build();
        let app = hub.echo().merge(metrics(&hub));
        let mut listener = Listener::bind(&"127.0.0.1:0".parse().unwrap()).await.unwrap();
        if !is_plain {
            listener = listener.with_tls(Tls::from_files(&certificate, &key).unwrap());
        }
        let mut server = Server::start_on(listener, hub, app);
        let tcp = server.tcp().await;
        let (received, sent) = if is_plain {
            echoed_bytes(tcp).await
        } else {
            let name = "localhost".try_into().unwrap();
            echoed_bytes(in_time(connector.connect(name, tcp)).await.unwrap()).await
        };
        // The client may have read bytes that the server has not counted yet.
        until(|| server.hub.counts().sent_bytes >= sent).await;
        if is_plain {
            let lines = [
                format!("wirehub_received_bytes_total {received}"),
                format!("wirehub_sent_bytes_total {sent}"),
            ];
            expect(&scrape(&server).await, &[&lines[0], &lines[1]]);
        }
        let hub = server.hub.clone();
        server.stop();
        server.stopped().await;
        let counts = hub.counts();
        assert_eq!((counts.received_bytes, counts.sent_bytes), (received, sent), "plain: {is_plain}");
    }
}

/// Sends messages to `/echo`, the first one right behind the handshake, and closes. Returns the bytes that the server has
/// received and sent, without those of the handshake.
async fn echoed_bytes(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> (u64, u64) {
    const MASK: [u8; 4] = [0; 4];
    let handshake = "GET /echo HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let short = [&[0x81, 0x82][..], &MASK, b"hi"].concat();
    in_time(stream.write_all(&[handshake.as_bytes(), &short].concat())).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(&[0x81, 2, b'h', b'i']) {
        answer.push(in_time(stream.read_u8()).await.unwrap());
    }
    let content = vec![0; 70_000];
    let large = [&[0x82, 0xff][..], &70_000_u64.to_be_bytes(), &MASK, &content].concat();
    let close = [&[0x88, 0x80][..], &MASK].concat();
    in_time(stream.write_all(&[&large[..], &close].concat())).await.unwrap();
    let expected = [&[0x82, 127][..], &70_000_u64.to_be_bytes(), &content, &[0x88, 0]].concat();
    let mut answers = vec![0; expected.len()];
    in_time(stream.read_exact(&mut answers)).await.unwrap();
    assert!(answers == expected);
    ((short.len() + large.len() + close.len()) as u64, (4 + expected.len()) as u64)
}

#[tokio::test]
async fn refusals_are_counted_by_reason() {
    let hub = open_hub().connections_per_address(2).sessions_per_user(1).authenticate(async |credentials| {
        match &*credentials.token {
            "" => Err(Refusal::invalid()),
            user => Ok(Authenticated::user(user)),
        }
    });
    let hub = hub.build();
    let key = ApiKey::new("0123456789abcdef0123456789abcdef").unwrap();
    let app = router(&hub).merge(metrics(&hub)).merge(api(&hub, [key]));
    let server = Server::start_app(hub, app, "127.0.0.1:0").await;
    let handshake = async |path: &str, more: &str| {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
        );
        http_at(&server.host(), &request).await
    };
    assert!(handshake("/ws", "Origin: https://evil.example\r\n").await.contains(" 403 "));
    assert!(handshake("/ws", "Sec-WebSocket-Protocol: soap\r\n").await.contains(" 400 "));
    for _ in 0..2 {
        assert!(handshake("/socket?token=hush", "").await.contains(" 404 "));
    }
    let mut first = Client::open(&server, Codec::Json).await;
    assert_eq!(first.error(Request::Connect(Connect::default())).await, 101);
    let connect = || Connect { token: "ann".into(), ..Connect::default() };
    first.connected(connect()).await;
    let mut second = Client::open(&server, Codec::Json).await;
    assert_eq!(second.error(Request::Connect(connect())).await, 106);
    assert!(handshake("/ws", "").await.contains(" 429 "));
    drop((first, second));
    let text = scrape(&server).await;
    expect(
        &text,
        &[
            "wirehub_refusals_total{reason=\"origin\"} 1",
            "wirehub_refusals_total{reason=\"token\"} 1",
            "wirehub_refusals_total{reason=\"limit\"} 2",
            "wirehub_refusals_total{reason=\"path\"} 2",
            "wirehub_refusals_total{reason=\"subprotocol\"} 1",
            "wirehub_refusals_total{reason=\"stopping\"} 0",
            "wirehub_handshakes_refused_total{status=\"400\"} 1",
        ],
    );
    let stats = "GET /api/v1/stats HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
                 Authorization: Bearer 0123456789abcdef0123456789abcdef\r\n\r\n";
    let stats = http_at(&server.host(), stats).await;
    let refused =
        "\"refused\":{\"origin\":1,\"token\":1,\"limit\":2,\"path\":2,\"subprotocol\":1,\"other\":0}";
    assert!(stats.contains(refused), "{stats}");
}

/// An engine with figures, some of them with wrong names.
#[derive(Debug)]
struct Measured {
    memory: MemoryEngine,
    panics: AtomicBool,
}

impl Engine for Measured {
    fn start(&self, delivery: Delivery) {
        self.memory.start(delivery);
    }

    fn metrics(&self) -> Vec<EngineMetric> {
        assert!(!self.panics.swap(true, Ordering::SeqCst), "a mistake of the engine");
        vec![
            EngineMetric::counter("syncs", "Synchronisations", 7),
            EngineMetric::seconds("sync_seconds", "Their time", 0.25),
            EngineMetric::gauge("waiting_requests", "Waiting requests", u64::MAX),
            EngineMetric::gauge_of("unsynced_seconds", "Age", 1.5),
            EngineMetric::gauge("syncs", "Doubled", 8),
            EngineMetric::gauge("ready", "Doubled", 9),
            EngineMetric::gauge("Wrong name", "No name", 10),
            EngineMetric::gauge("", "No name", 11),
        ]
    }
}

impl Publications for Measured {
    fn idempotency(&self) -> Option<Idempotency> {
        self.memory.idempotency()
    }

    fn publish(&self, publish: EnginePublish) -> EngineFuture<Option<Position>> {
        self.memory.publish(publish)
    }

    fn locate(&self, locate: Locate) -> EngineFuture<Located> {
        self.memory.locate(locate)
    }

    fn history(&self, read: ReadHistory) -> EngineFuture<Option<HistoryPage>> {
        self.memory.history(read)
    }
}

#[tokio::test]
async fn the_figures_of_an_engine_are_shown_and_neither_wrong_names_nor_a_panic_spoil_the_others() {
    let engine = Measured { memory: MemoryEngine::new(), panics: AtomicBool::new(false) };
    let hub = open_hub().engine(engine).build();
    let app = router(&hub).merge(metrics(&hub));
    let server = Server::start_app(hub, app, "127.0.0.1:0").await;
    let text = scrape(&server).await;
    expect(
        &text,
        &[
            "wirehub_engine_ready 1",
            "# TYPE wirehub_engine_syncs counter",
            "wirehub_engine_syncs_total 7",
            "wirehub_engine_sync_seconds_total 0.25",
            "# TYPE wirehub_engine_waiting_requests gauge",
            "wirehub_engine_waiting_requests 9223372036854775807",
            "wirehub_engine_unsynced_seconds 1.5",
        ],
    );
    assert_eq!(text.lines().filter(|line| line.starts_with("wirehub_engine_")).count(), 5, "{text}");
    let text = scrape(&server).await;
    expect(&text, &["wirehub_engine_ready 1", "wirehub_sessions 0"]);
    assert!(!text.contains("wirehub_engine_syncs"), "{text}");
}
