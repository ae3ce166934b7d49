//! Clients that take too much or too long: their errors, and no effect on others.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use rcgen::generate_simple_self_signed;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::Response;
use tokio_tungstenite::tungstenite::{Error, Message};
use wirehub_common::frame::{Command, Push, ServerFrame};
use wirehub_common::{Codec, Limits, Payload};
use wirehub_server::{Listener, Tls, router, run};

use crate::support::{
    CODECS, Client, Received, Server, http, in_time, name, open_hub, publish, subscribe, unsubscribe,
};

/// A well-behaved client, which others must not affect.
struct Bystander(Client);

impl Bystander {
    async fn on(server: &Server, codec: Codec) -> Self {
        let mut client = Client::connect(server, codec).await;
        client.subscribe("peace").await;
        Self(client)
    }

    async fn notices_nothing(&mut self, server: &Server) {
        server.hub.publish_raw(&name("peace"), Payload::json("1")).unwrap();
        assert_eq!(self.0.publication().await.payload, Payload::json("1"));
    }
}

/// The handshake of a client with this address, sent by a proxy.
async fn open_from(
    server: &Server,
    forwarded: &str,
) -> Result<impl Sized + use<>, Response<Option<Vec<u8>>>> {
    let mut request = "ws://localhost/ws".into_client_request().unwrap();
    request.headers_mut().insert("x-forwarded-for", forwarded.parse().unwrap());
    match in_time(client_async(request, server.tcp().await)).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => Err(*response),
        Err(other) => panic!("{other:?}"),
    }
}

fn refused(answer: Result<impl Sized, Response<Option<Vec<u8>>>>) -> (u16, String, String) {
    let response = answer.err().expect("it was let in");
    let retry_after = response.headers()["retry-after"].to_str().unwrap().to_owned();
    let words = String::from_utf8(response.body().clone().unwrap()).unwrap();
    (response.status().as_u16(), retry_after, words)
}

#[tokio::test]
async fn the_connections_of_an_address_are_limited() {
    let trusted = "127.0.0.1".parse().unwrap();
    let server = Server::start(open_hub().connections_per_address(2).trust_proxy(trusted).build()).await;
    let mut held = Vec::new();
    for from in ["2001:db8::1", "203.0.113.1, 2001:db8::2"] {
        held.push(open_from(&server, from).await.unwrap());
    }
    let (status, retry_after, words) = refused(open_from(&server, "2001:db8::3").await);
    assert_eq!((status, &*retry_after), (429, "10"));
    assert!(words.contains("close another one"), "{words}");
    let _others = [
        open_from(&server, "2001:db8:0:1::1").await.unwrap(),
        open_from(&server, "192.0.2.1").await.unwrap(),
    ];
    drop(held.pop());
    in_time(async { while open_from(&server, "2001:db8::3").await.is_err() {} }).await;
    // A request that opens no WebSocket is not counted.
    let health = "GET /health HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.1\r\nConnection: close\r\n\r\n";
    assert!(http(&server, health).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn an_untrusted_client_cannot_pretend_to_be_another() {
    let server = Server::start(open_hub().connections_per_address(1).build()).await;
    let _held = open_from(&server, "192.0.2.1").await.unwrap();
    assert_eq!(refused(open_from(&server, "192.0.2.2").await).0, 429);
}

#[tokio::test]
async fn silent_connections_count_for_their_address() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let made = generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    for tls in [None, Some(Tls::from_files(&certificate, &key).unwrap())] {
        let hub = open_hub().connections_per_address(2).build();
        let is_plain = tls.is_none();
        let server = match tls {
            None => Server::start(hub).await,
            Some(tls) => Server::start_with_tls(hub, tls).await,
        };
        let mut silent = vec![server.tcp().await, server.tcp().await];
        if is_plain {
            let mut client = server.tcp().await;
            client.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            let mut answer = [0; 12];
            in_time(client.read_exact(&mut answer)).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 200", "a few more are answered");
            drop(client);
            let (status, retry_after, _) = refused(open_from(&server, "192.0.2.1").await);
            assert_eq!((status, &*retry_after), (429, "10"));
        }
        // Including those for requests and refusals.
        in_time(async {
            loop {
                let mut next = server.tcp().await;
                let mut nothing = [0; 1];
                match tokio::time::timeout(Duration::from_millis(50), next.read(&mut nothing)).await {
                    Ok(read) => break assert_eq!(read.unwrap_or_default(), 0),
                    Err(_) => silent.push(next),
                }
            }
        })
        .await;
        assert!((2..=10).contains(&silent.len()), "{}", silent.len());
        drop(silent);
        if is_plain {
            in_time(async { while open_from(&server, "192.0.2.1").await.is_err() {} }).await;
        }
    }
}

#[tokio::test]
async fn the_connections_of_a_server_are_limited() {
    let server = Server::start(open_hub().max_connections(2).build()).await;
    let held = [Client::connect(&server, Codec::Json).await, Client::connect(&server, Codec::Json).await];
    let host = server.host();
    let waiting = tokio::spawn(async move {
        client_async("ws://localhost/ws", TcpStream::connect(host).await.unwrap()).await.unwrap();
    });
    // An answer shows that the server has run.
    for mut client in held {
        client.subscribe("a").await;
        assert!(!waiting.is_finished());
    }
    in_time(waiting).await.unwrap();
}

#[tokio::test]
async fn an_application_served_by_axum_passes_addresses_on() {
    let hub = open_hub().connections_per_address(1).build();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = router(&hub).into_make_service_with_connect_info::<SocketAddr>();
    let serving = tokio::spawn(async move { axum::serve(listener, app).await });
    let open = async || client_async("ws://x/ws", TcpStream::connect(address).await.unwrap()).await;
    let _held = open().await.unwrap();
    assert!(matches!(open().await, Err(Error::Http(response)) if response.status() == 429));
    serving.abort();
}

#[tokio::test]
async fn frequent_handshakes_of_an_address_are_refused_and_others_are_not() {
    let trusted = "127.0.0.1".parse().unwrap();
    let server = Server::start(open_hub().handshakes_per_second(2).trust_proxy(trusted).build()).await;
    let (mut let_in, mut too_often) = (0, 0);
    for _ in 0..40 {
        match open_from(&server, "192.0.2.1").await {
            Ok(_) => let_in += 1,
            refusal => {
                let (status, retry_after, words) = refused(refusal);
                assert_eq!((status, &*retry_after), (429, "1"));
                assert!(words.contains("short time"), "{words}");
                too_often += 1;
            }
        }
    }
    // Two seconds' worth, and the few that became free meanwhile.
    assert!((4..20).contains(&let_in) && too_often > 0, "{let_in} {too_often}");
    assert!(open_from(&server, "192.0.2.2").await.is_ok());
}

#[tokio::test]
async fn a_slow_request_head_is_cut_off_after_its_time_limit() {
    let timeout = Duration::from_millis(300);
    let server = Server::start(open_hub().handshake_timeout(timeout).build()).await;
    let mut bystander = Bystander::on(&server, Codec::Json).await;
    let mut stream = server.tcp().await;
    let begin = std::time::Instant::now();
    stream.write_all(b"GET /ws HTTP/1.1\r\nHost: x\r\n").await.unwrap();
    // Always some bytes, never the end.
    let (mut read, mut write) = stream.into_split();
    let dripping = tokio::spawn(async move {
        let mut drip = tokio::time::interval(Duration::from_millis(20));
        loop {
            drip.tick().await;
            if write.write_all(b"X-Y: z\r\n").await.is_err() {
                return;
            }
        }
    });
    let mut answer = Vec::new();
    // A reset, if bytes were in flight.
    let _ = in_time(read.read_to_end(&mut answer)).await;
    assert!(begin.elapsed() >= timeout, "{:?}", begin.elapsed());
    assert!(!answer.starts_with(b"HTTP/1.1 101"));
    in_time(dripping).await.unwrap();
    bystander.notices_nothing(&server).await;
}

#[tokio::test]
async fn a_connection_without_a_request_and_a_tls_handshake_that_hangs_are_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let made = generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let hub = open_hub().handshake_timeout(Duration::from_millis(100)).build();
    for tls in [None, Some(Tls::from_files(&certificate, &key).unwrap())] {
        let mut listener = Listener::bind(&"127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.address().unwrap().to_string();
        if let Some(tls) = tls {
            listener = listener.with_tls(tls);
        }
        let running = tokio::spawn(run(listener, hub.clone(), Router::new(), std::future::pending()));
        // No bytes at all, and the beginning of a TLS handshake.
        for beginning in [&b""[..], b"\x16\x03\x01"] {
            let mut stream = TcpStream::connect(&address).await.unwrap();
            stream.write_all(beginning).await.unwrap();
            let mut answer = Vec::new();
            let _ = in_time(stream.read_to_end(&mut answer)).await;
            assert!(!answer.starts_with(b"HTTP/1.1 2"));
        }
        running.abort();
    }
}

#[tokio::test]
async fn a_client_without_connect_is_closed_after_its_time_limit() {
    let server = Server::start(open_hub().connect_timeout(Duration::from_millis(100)).build()).await;
    for codec in CODECS {
        let mut bystander = Bystander::on(&server, codec).await;
        let mut silent = Client::open(&server, codec).await;
        assert_eq!(silent.closed().await.0, 3004);
        bystander.notices_nothing(&server).await;
    }
}

#[tokio::test]
async fn idle_sessions_are_closed_and_others_are_not() {
    let server = Server::start(open_hub().idle_timeout(Duration::from_millis(100)).build()).await;
    for codec in CODECS {
        let mut bystander = Bystander::on(&server, codec).await;
        let mut idle = Client::connect(&server, codec).await;
        idle.subscribe("a").await;
        idle.ok(unsubscribe("a", 1)).await;
        assert_eq!(idle.closed().await.0, 3508);
        bystander.notices_nothing(&server).await;
    }
}

#[tokio::test]
async fn a_vanished_client_is_closed_and_others_are_pinged() {
    let limits = Limits { ping_interval: Duration::from_millis(50), ..Limits::default() };
    let server = Server::start(open_hub().limits(limits).build()).await;
    let mut alive = Client::connect(&server, Codec::Json).await;
    // It no longer answers, as after a pulled cable.
    let mut half_open = Client::connect(&server, Codec::Protobuf).await;
    let answering = tokio::spawn(async move {
        loop {
            assert_eq!(alive.next().await, Received::Ping);
            alive.send_raw(Message::Text("".into())).await;
        }
    });
    assert_eq!(half_open.closed().await.0, 3003);
    assert!(!answering.is_finished(), "the one that answers stays");
    answering.abort();
}

#[tokio::test]
async fn the_channels_of_a_session_are_limited() {
    let limits = Limits { channels: 2, ..Limits::default() };
    let server = Server::start(open_hub().limits(limits).build()).await;
    for codec in CODECS {
        let mut bystander = Bystander::on(&server, codec).await;
        let mut greedy = Client::connect(&server, codec).await;
        greedy.subscribe("a").await;
        greedy.subscribe("b").await;
        assert_eq!(greedy.error(subscribe("c", 1)).await, 106);
        greedy.ok(unsubscribe("a", 1)).await;
        greedy.subscribe("c").await;
        bystander.notices_nothing(&server).await;
    }
}

#[tokio::test]
async fn a_million_subscriptions_are_refused_one_by_one_while_others_are_served() {
    const COMMANDS: u32 = 1_000_000;
    const BATCH: u32 = 2_500;
    let server = Server::start(open_hub().commands_per_second(0).build()).await;
    let mut bystander = Bystander::on(&server, Codec::Protobuf).await;
    let greedy = Client::connect(&server, Codec::Protobuf).await;
    let (mut write, mut read) = futures_util::StreamExt::split(greedy.socket);
    let sending = tokio::spawn(async move {
        for batch in 0..COMMANDS / BATCH {
            let ids = batch * BATCH + 1..=(batch + 1) * BATCH;
            let commands = ids.map(|id| Command { id, request: subscribe(&format!("c{id}"), 1) });
            let bytes: Vec<u8> =
                commands.flat_map(|command| Codec::Protobuf.encode_command(&command)).collect();
            futures_util::SinkExt::send(&mut write, Message::Binary(bytes.into())).await.unwrap();
        }
        write
    });
    let (mut taken, mut refused) = (0, 0);
    while taken + refused < COMMANDS {
        let message = in_time(futures_util::StreamExt::next(&mut read)).await.unwrap().unwrap();
        for frame in Codec::Protobuf.decode_frames(&message.into_data()) {
            match frame.unwrap() {
                ServerFrame::Reply(reply) => match reply.result {
                    Ok(_) => taken += 1,
                    Err(error) => {
                        assert_eq!(error.code.number(), 106);
                        refused += 1;
                    }
                },
                ServerFrame::Push(Push::Publication(_)) => panic!("nothing is published there"),
                other => panic!("{other:?}"),
            }
        }
        bystander.notices_nothing(&server).await;
    }
    assert_eq!((taken, refused), (Limits::default().channels, COMMANDS - Limits::default().channels));
    assert_eq!(server.hub.local_channels().len(), Limits::default().channels as usize + 1);
    drop(in_time(sending).await.unwrap());
}

#[tokio::test]
async fn channels_outside_the_contract_are_refused_and_not_created() {
    use wirehub_demo_contract::Demo;

    let server = Server::start(open_hub().contract::<Demo>().build()).await;
    for codec in CODECS {
        let mut client = Client::connect(&server, codec).await;
        for unknown in ["nowhere", "chat", "chat:", "other:lobby", "chat:a:b"] {
            for request in [subscribe(unknown, 1), publish(unknown, Payload::json("1"))] {
                assert!([102, 107].contains(&client.error(request).await), "{unknown}");
            }
        }
        assert!(server.hub.local_channels().is_empty());
        client.subscribe("chat:lobby").await;
    }
}
