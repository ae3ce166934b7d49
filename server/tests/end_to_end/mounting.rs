//! The hub in an application, served by axum on several kinds of listeners.

use std::io;

use axum::Router;
use axum::routing::get;
use tokio::io::BufStream;
use tokio::net::{TcpListener, TcpStream};
use wirehub_common::frame::{Connect, ReplyBody, Request};
use wirehub_common::{Codec, Payload};
use wirehub_server::{Hub, router};

use crate::support::{CODECS, Client, Server, call, http_at, in_time, name, open_hub, publish, subscribe};

#[path = "../../examples/chat.rs"]
#[allow(dead_code, reason = "its `main` listens at a port of its own choice")]
mod chat;

#[path = "../../examples/cookies.rs"]
#[allow(dead_code, reason = "its `main` listens at a port of its own choice")]
mod cookies;

async fn serve<L>(listener: L, hub: &Hub)
where
    L: axum::serve::Listener,
    L::Addr: std::fmt::Debug,
{
    let app = Router::new().route("/", get(async || "the application")).merge(router(hub));
    tokio::spawn(async move { axum::serve(listener, app).await });
}

/// A listener of an unknown type, with a buffer that must be flushed.
struct Buffered(TcpListener);

impl axum::serve::Listener for Buffered {
    type Io = BufStream<TcpStream>;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (stream, address) = self.0.accept().await.unwrap();
        (BufStream::new(stream), address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

async fn converse(host: &str, hub: &Hub, codec: Codec) {
    let mut client = Client::open_on(TcpStream::connect(host).await.unwrap(), codec).await;
    client.connected(Default::default()).await;
    client.subscribe("a").await;
    for length in [10, 100_000] {
        let payload = Payload::bytes(vec![b'x'; length]);
        hub.publish_raw(&name("a"), payload.clone()).unwrap();
        assert_eq!(client.publication().await.payload, payload);
    }
}

#[tokio::test]
async fn the_hub_works_beside_an_applications_own_routes() {
    let hub = open_hub().build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    serve(listener, &hub).await;
    for codec in CODECS {
        converse(&host, &hub, codec).await;
    }
    let answer = http_at(&host, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(answer.ends_with("the application"), "{answer}");
}

#[tokio::test]
async fn a_stream_of_another_type_works_as_well() {
    let hub = open_hub().build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    serve(Buffered(listener), &hub).await;
    for codec in CODECS {
        converse(&host, &hub, codec).await;
    }
}

#[tokio::test]
async fn the_example_of_the_documentation_works() {
    let hub = chat::hub().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let app = chat::app(&hub);
    tokio::spawn(async move { axum::serve(listener, app).await });
    let open = async |token: &str| {
        let mut client = Client::open_on(TcpStream::connect(&host).await.unwrap(), Codec::Json).await;
        client.connected(Connect { token: token.into(), ..Connect::default() }).await;
        client
    };
    let (mut ann, mut nobody) = (open("ann").await, open("").await);
    ann.subscribe("chat:staff").await;
    assert_eq!(nobody.error(subscribe("chat:staff", 1)).await, 103);
    nobody.subscribe("chat:lobby").await;

    let line = || Payload::json(r#"{"nick":"ann","text":"hi"}"#);
    let ReplyBody::Called(called) = ann.ok(call("chat.greet", line())).await else { panic!("no answer") };
    assert_eq!(called.payload, Payload::json("2"));
    assert_eq!(nobody.publication().await.payload, line());
    let request = "POST /announce HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 4\r\n\r\nsoon";
    let answer = http_at(&host, request).await;
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    assert_eq!(nobody.publication().await.payload, Payload::json(r#"{"nick":"server","text":"soon"}"#));
}

#[tokio::test]
async fn the_example_with_cookies_works() {
    let ann = cookies::Account { user: "ann".into(), plan: "free".into() };
    let hub = cookies::hub(cookies::SignedIn([("42".into(), ann)].into()));
    let lobby = cookies::Room::new("lobby").unwrap();
    let helper = tokio::spawn(cookies::answer_help(hub.clone(), lobby.clone(), hub.subscribe(&lobby)));
    let mut server = Server::start(hub.clone()).await;
    let mut stranger = Client::open_with(server.tcp().await, Codec::Json, &[("cookie", "sid=41")]).await;
    assert_eq!(stranger.error(Request::Connect(Connect::default())).await, 101);

    let mut ann = Client::open_with(server.tcp().await, Codec::Json, &[("cookie", "sid=42")]).await;
    assert_eq!(ann.connected(Connect::default()).await.user, "ann");
    let ReplyBody::Called(called) = ann.ok(call("account.plan", Payload::json("null"))).await else {
        panic!("no answer")
    };
    assert_eq!(called.payload, Payload::json(r#""free""#));
    ann.subscribe("chat:lobby").await;
    ann.ok(publish("chat:lobby", Payload::json(r#"{"text":"/help"}"#))).await;
    assert!(ann.publication().await.publisher.is_some(), "the question");
    assert!(ann.publication().await.publisher.is_none(), "the answer");
    server.stop();
    in_time(helper).await.unwrap();
}
