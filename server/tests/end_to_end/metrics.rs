//! The metrics of a hub.

use std::sync::atomic::{AtomicBool, Ordering};

use wirehub_common::frame::{Connect, HistoryPage, Idempotency, Position, Request};
use wirehub_common::{Codec, Payload};
use wirehub_server::api::ApiKey;
use wirehub_server::auth::{Authenticated, Refusal};
use wirehub_server::engine::{
    Delivery, Engine, EngineFuture, EngineMetric, EnginePublish, Locate, Located, MemoryEngine, Publications,
    ReadHistory,
};
use wirehub_server::{api, metrics, router};

use crate::support::{CODECS, Client, Server, call, http_at, open_hub, publish, until};

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
