//! The answers of a stopping server, and the delays of its end.

use std::sync::Arc;
use std::time::Duration;

use axum::routing::get;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::{Error, Message};
use wirehub_common::frame::{Connect, Push, ServerFrame};
use wirehub_common::{Codec, Payload};
use wirehub_server::{Hub, STOP_DEADLINE, router};

use crate::support::{Client, Received, Server, http, http_at, in_time, open_hub, publish};

fn hub() -> Hub {
    open_hub().build()
}

/// Sends a request as a load balancer does, on a connection that the server has to close.
async fn ready(server: &Server) -> String {
    http(server, "GET /ready HTTP/1.1\r\nHost: x\r\n\r\n").await
}

/// The server is not ready, and new clients get a temporary error.
async fn refuses(server: &Server) {
    let answer = ready(server).await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains(r#""status":"stopping""#), "{answer}");
    for path in ["ws", "echo"] {
        let refused = client_async(format!("ws://localhost/{path}"), server.tcp().await).await;
        let Err(Error::Http(answer)) = refused else { panic!("{refused:?}") };
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["retry-after"]),
            (503, &"1".parse().unwrap())
        );
    }
}

/// Waits until a stop has begun.
async fn stopping(host: &str) {
    in_time(async { while !http_at(host, READY).await.starts_with("HTTP/1.1 503") {} }).await;
}

const READY: &str = "GET /ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn ready_and_handshakes_get_503_as_long_as_a_session_is_open() {
    let mut server = Server::start(hub()).await;
    let mut client = Client::connect(&server, Codec::Json).await;
    server.stop();
    let told = client.next().await;
    assert!(matches!(told, Received::Frame(ServerFrame::Push(Push::Disconnect(_)))), "{told:?}");
    for _ in 0..20 {
        refuses(&server).await;
    }
    // The close is answered only now.
    assert_eq!(client.closed().await.0, 3000);
    let host = server.host();
    server.stopped().await;
    assert!(TcpStream::connect(host).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn during_the_drain_delay_new_clients_are_refused_and_connected_ones_served() {
    let delay = Duration::from_secs(20);
    let mut server = Server::start(open_hub().drain_delay(delay).build()).await;
    let mut client = Client::connect(&server, Codec::Protobuf).await;
    client.subscribe("a").await;
    // A WebSocket without a session yet.
    let mut early = Client::open(&server, Codec::Json).await;
    let (mut echo, _) = client_async("ws://localhost/echo", server.tcp().await).await.unwrap();
    echo.send("before".into()).await.unwrap();
    in_time(echo.next()).await.unwrap().unwrap();
    server.stop();
    stopping(&server.host()).await;
    for number in 0..5 {
        refuses(&server).await;
        client.ok(publish("a", Payload::json(number.to_string()))).await;
        assert_eq!(client.publication().await.payload, Payload::json(number.to_string()));
        echo.send("during".into()).await.unwrap();
        assert_eq!(in_time(echo.next()).await.unwrap().unwrap(), Message::Text("during".into()));
    }
    early.connected(Connect::default()).await;
    tokio::time::pause();
    tokio::time::advance(delay).await;
    tokio::time::resume();
    for mut client in [client, early] {
        assert_eq!(client.closed().await.0, 3000);
    }
    while in_time(echo.next()).await.is_some() {}
    server.stopped().await;
}

#[tokio::test]
async fn idle_connections_do_not_delay_the_end() {
    let mut server = Server::start(hub()).await;
    let silent = server.tcp().await;
    let mut half = server.tcp().await;
    half.write_all(b"GET /ready HTTP/1.1\r\nHos").await.unwrap();
    let mut kept = server.tcp().await;
    for _ in 0..2 {
        kept.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut answer = [0; 1024];
        let length = in_time(kept.read(&mut answer)).await.unwrap();
        assert!(answer[..length].ends_with(br#"{"status":"ok"}"#));
    }
    tokio::time::pause();
    let begun = Instant::now();
    server.stop();
    server.stopped().await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    // Network traffic takes no virtual time.
    tokio::time::resume();
    for mut stream in [silent, half, kept] {
        // The result does not matter.
        let _ = in_time(stream.read_to_end(&mut Vec::new())).await;
    }
}

/// A server with a slow page, and a client that has requested it.
async fn asked_for_a_slow_page() -> (Server, Arc<Notify>, JoinHandle<String>) {
    let [asked, answer] = [(); 2].map(|()| Arc::new(Notify::new()));
    let hub = hub();
    let page = {
        let (asked, answer) = (Arc::clone(&asked), Arc::clone(&answer));
        async move || {
            asked.notify_one();
            answer.notified().await;
            "here it is"
        }
    };
    let app = router(&hub).merge(hub.echo()).route("/slow", get(page));
    let server = Server::start_app(hub, app, "127.0.0.1:0").await;
    let host = server.host();
    let asking = tokio::spawn(async move { http_at(&host, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await });
    in_time(asked.notified()).await;
    (server, answer, asking)
}

#[tokio::test]
async fn a_request_in_flight_is_answered_and_so_are_new_ones_meanwhile() {
    let (mut server, answer, asking) = asked_for_a_slow_page().await;
    server.stop();
    stopping(&server.host()).await;
    for _ in 0..20 {
        refuses(&server).await;
    }
    answer.notify_one();
    let answered = asking.await.unwrap();
    assert!(answered.starts_with("HTTP/1.1 200") && answered.ends_with("here it is"), "{answered}");
    server.stopped().await;
}

#[tokio::test]
async fn a_request_without_an_answer_is_dropped_when_the_deadline_has_passed() {
    let (mut server, _answer, asking) = asked_for_a_slow_page().await;
    tokio::time::pause();
    let begun = Instant::now();
    server.stop();
    server.stopped().await;
    let late = Duration::from_millis(10);
    assert!((STOP_DEADLINE..STOP_DEADLINE + late).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    tokio::time::resume();
    assert_eq!(asking.await.unwrap(), "");
}
