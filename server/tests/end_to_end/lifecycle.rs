//! Stopping, disconnecting, and the Unix socket.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, UnixStream};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;
use wirehub_common::code::CloseCode;
use wirehub_common::frame::{Disconnect, HistoryPage, Position, Push, ServerFrame};
use wirehub_common::{Codec, Limits, Payload};
use wirehub_server::engine::{
    Delivery, Engine, EngineError, EngineErrorKind, EngineFuture, Locate, Located, MemoryEngine,
    Publications, ReadHistory,
};
use wirehub_server::{ErrorKind, Hub, ListenAddress, Listener};

use crate::support::{CODECS, Client, Received, Server, http, in_time, name, open_hub, publish, until};

fn hub() -> Hub {
    open_hub().build()
}

async fn farewell<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
    client: &mut Client<S>,
) -> Disconnect {
    match client.next().await {
        Received::Frame(ServerFrame::Push(Push::Disconnect(disconnect))) => disconnect,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_stop_flushes_every_queue_and_spreads_the_sessions_return() {
    let limits = Limits { reconnect_window: Duration::from_secs(4), ..Limits::default() };
    let mut server = Server::start(open_hub().limits(limits).build()).await;
    let mut clients = Vec::new();
    for index in 0..4 {
        let mut client = Client::connect(&server, CODECS[index % 2]).await;
        client.subscribe("a").await;
        clients.push(client);
    }
    for _ in 0..100 {
        server.hub.publish_raw(&name("a"), Payload::bytes(vec![b'x'; 5000])).unwrap();
    }
    server.stop();
    let mut delays = Vec::new();
    for client in &mut clients {
        for _ in 0..100 {
            client.publication().await;
        }
        let disconnect = farewell(client).await;
        assert_eq!(disconnect.code, CloseCode::SHUTDOWN);
        delays.push(disconnect.retry_after.unwrap());
        assert_eq!(client.closed().await.0, 3000);
    }
    delays.sort_unstable();
    assert_eq!(delays, [0, 1000, 2000, 3000]);
    let (hub, host) = (server.hub.clone(), server.host());
    server.stopped().await;
    assert_eq!((hub.local_sessions(), hub.local_channels().len()), (0, 0));
    assert!(TcpStream::connect(host).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_stop_drops_silent_connections_when_the_deadline_has_passed() {
    let hub = hub();
    let server = Server::start(hub.clone()).await;
    // Neither a session nor an echo answers the close, and one never connected.
    let _silent = Client::connect(&server, Codec::Json).await;
    let _stranger = Client::open(&server, Codec::Protobuf).await;
    let _echo = client_async("ws://localhost/echo", server.tcp().await).await.unwrap();
    let deadline = Duration::from_millis(50);
    let begin = std::time::Instant::now();
    hub.shutdown(deadline).await;
    assert!((deadline..Duration::from_secs(5)).contains(&begin.elapsed()), "{:?}", begin.elapsed());
    assert_eq!(hub.local_sessions(), 0);
}

#[tokio::test]
async fn an_echo_is_closed_by_a_stop() {
    let mut server = Server::start(hub()).await;
    let (mut echo, _) = client_async("ws://localhost/echo", server.tcp().await).await.unwrap();
    server.stop();
    let Some(Ok(Message::Close(Some(frame)))) = in_time(echo.next()).await else { panic!("no close") };
    assert_eq!(u16::from(frame.code), 1001);
    // Answers the close.
    while in_time(echo.next()).await.is_some() {}
    server.stopped().await;
}

#[tokio::test]
async fn a_stopping_hub_refuses_newcomers() {
    let server = Server::start(hub()).await;
    server.hub.shutdown(Duration::ZERO).await;
    let health = http(&server, "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(health.starts_with("HTTP/1.1 503"), "{health}");
    let error = client_async("ws://localhost/ws", server.tcp().await).await.unwrap_err();
    assert!(error.to_string().contains("503"), "{error}");
}

#[tokio::test]
async fn it_is_ready_when_nothing_is_missing_and_while_it_is_not_stopping() {
    let is_there = Arc::new(AtomicBool::new(false));
    let check = {
        let is_there = Arc::clone(&is_there);
        move || if is_there.load(Ordering::Relaxed) { Ok(()) } else { Err("secret words".into()) }
    };
    let server = Server::start(open_hub().readiness_check("key set", check).build()).await;
    let ready = async || http(&server, "GET /ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    let answer = ready().await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.ends_with(r#"{"status":"waiting","waiting_for":["key set"]}"#), "{answer}");
    // It is healthy and serves clients.
    let health = http(&server, "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(health.starts_with("HTTP/1.1 200"), "{health}");
    is_there.store(true, Ordering::Relaxed);
    let answer = ready().await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(r#"{"status":"ready"}"#), "{answer}");
    server.hub.shutdown(Duration::ZERO).await;
    let answer = ready().await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("stopping"), "{answer}");
}

#[tokio::test]
async fn readiness_waits_for_an_engine_that_is_down() {
    #[derive(Debug)]
    struct Down(MemoryEngine);
    impl Engine for Down {
        fn start(&self, delivery: Delivery) {
            self.0.start(delivery);
        }
        fn ready(&self) -> Result<(), EngineError> {
            Err(EngineError::new(EngineErrorKind::Internal, "connection refused"))
        }
    }

    impl Publications for Down {
        fn idempotency(&self) -> Option<wirehub_common::frame::Idempotency> {
            self.0.idempotency()
        }
        fn publish(&self, publish: wirehub_server::engine::EnginePublish) -> EngineFuture<Option<Position>> {
            self.0.publish(publish)
        }
        fn locate(&self, locate: Locate) -> EngineFuture<Located> {
            self.0.locate(locate)
        }
        fn history(&self, read: ReadHistory) -> EngineFuture<Option<HistoryPage>> {
            self.0.history(read)
        }
    }
    let server = Server::start(open_hub().engine(Down(MemoryEngine::new())).build()).await;
    let answer = http(&server, "GET /ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains(r#"["engine"]"#), "{answer}");
    assert!(!answer.contains("refused"), "what is wrong is for the log");
}

#[tokio::test]
async fn one_session_can_be_disconnected_with_a_code_and_a_reason() {
    let server = Server::start(hub()).await;
    for codec in CODECS {
        let mut other = Client::connect(&server, codec).await;
        let mut client = Client::open(&server, codec).await;
        let session = client.connected(Default::default()).await.session.parse().unwrap();
        let code = CloseCode::new(4001).unwrap();
        assert!(server.hub.disconnect(session, code, "moved").await.unwrap());
        let disconnect = farewell(&mut client).await;
        assert_eq!(disconnect, Disconnect { code, reason: "moved".into(), retry_after: None });
        assert_eq!(client.closed().await, (4001, "moved".into()));
        until(|| !server.hub.disconnect(session, code, "again").now_or_never().unwrap().unwrap()).await;
        other.ok(publish("a", Payload::json("1"))).await;
    }
}

#[tokio::test]
async fn an_aborted_connection_looks_like_a_lost_one() {
    let server = Server::start(hub()).await;
    for codec in CODECS {
        let mut other = Client::connect(&server, codec).await;
        let mut client = Client::open(&server, codec).await;
        let session = client.connected(Default::default()).await.session.parse().unwrap();
        assert!(server.hub.abort_connection(session).await.unwrap());
        assert_eq!(client.closed().await, (1006, String::new()));
        until(|| !server.hub.abort_connection(session).now_or_never().unwrap().unwrap()).await;
        other.ok(publish("a", Payload::json("1"))).await;
    }
}

#[tokio::test]
async fn a_unix_socket_serves_the_same_and_its_file_goes_with_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hub.sock");
    let listen = format!("unix:{}", path.display());
    let mut server = Server::start_at(hub(), &listen).await;
    assert_eq!(server.address, ListenAddress::Unix(path.clone()));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o660);

    let mut client = Client::open_on(UnixStream::connect(&path).await.unwrap(), Codec::Protobuf).await;
    client.connected(Default::default()).await;
    client.subscribe("a").await;
    server.hub.publish_raw(&name("a"), Payload::json("1")).unwrap();
    assert_eq!(client.publication().await.payload, Payload::json("1"));

    let taken = Listener::bind(&listen.parse().unwrap()).await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AddressInUse);

    server.stop();
    farewell(&mut client).await;
    assert_eq!(client.closed().await.0, 3000);
    server.stopped().await;
    assert!(!path.exists());
}

#[tokio::test]
async fn the_socket_file_of_a_dead_server_is_replaced_and_other_files_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hub.sock");
    let address: ListenAddress = format!("unix:{}", path.display()).parse().unwrap();
    // The standard library does not remove the file.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let first = Listener::bind(&address).await.unwrap();

    // Another server replaced the file meanwhile: it stays.
    std::fs::remove_file(&path).unwrap();
    let second = Listener::bind(&address).await.unwrap();
    drop(first);
    assert!(path.exists());
    drop(second);
    assert!(!path.exists());

    std::fs::write(&path, "precious").unwrap();
    assert_eq!(Listener::bind(&address).await.unwrap_err().kind(), ErrorKind::AddressInUse);
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
}

#[tokio::test]
async fn a_client_that_hangs_up_in_the_middle_of_a_handshake_leaves_nothing() {
    let mut server = Server::start(hub()).await;
    let mut stream = server.tcp().await;
    stream.write_all(b"GET /ws HTTP/1.1\r\nHost: x\r\nConnec").await.unwrap();
    drop(stream);
    server.stop();
    server.stopped().await;
}
