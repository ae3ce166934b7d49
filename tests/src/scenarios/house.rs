//! The server of a scenario, and the line to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use wirehub_client::common::code::{CloseCode, ErrorCode};
use wirehub_common::frame::ErrorInfo;
use wirehub_common::{ChannelName, Limits, Payload, SUBPROTOCOL_PROTOBUF};
use wirehub_server::Hub;
use wirehub_server::auth::{Authenticated, Refusal};
use wirehub_server::namespace::{History, Namespace};
use wirehub_test_redis::Line;

use super::{Act, big};
use crate::{Server, soon};

/// The user of every scenario.
const USER: &str = "ann";

/// A server of its own for one scenario.
#[derive(Debug)]
pub(super) struct House {
    /// There is none only while it is restarted.
    server: Option<Server>,
    line: Line,
    /// Another program, which accepts the subprotocol and sends a text.
    foreign: SocketAddr,
    /// How often the call `count` was carried out.
    count: Arc<AtomicU32>,
}

impl House {
    pub(super) async fn open() -> Self {
        let count = Arc::new(AtomicU32::new(0));
        let server = Server::start(make_hub(&count), "127.0.0.1:0").await;
        let line = Line::to(server.listen_address().parse().unwrap()).await;
        Self { server: Some(server), line, foreign: foreign().await, count }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.line.address()
    }

    pub(super) fn foreign_address(&self) -> SocketAddr {
        self.foreign
    }

    pub(super) async fn act(&mut self, act: Act) {
        let hub = &self.server.as_ref().unwrap().hub;
        match act {
            Act::ServerPublishes(channel, text) => publish(hub, channel, text).await,
            Act::ServerFloods(channel, count, size) => {
                for number in 0..count {
                    publish(hub, channel, &big(number, size)).await;
                }
            }
            Act::ServerCounts(count) => {
                let count: u32 = count.parse().unwrap();
                soon(async {
                    while self.count.load(Ordering::SeqCst) < count {
                        tokio::task::yield_now().await;
                    }
                })
                .await;
            }
            Act::ServerDisconnects(code, reason) => {
                hub.disconnect_user(USER, CloseCode::new(code).unwrap(), reason).await.unwrap();
            }
            Act::ServerUnsubscribes(channel, code) => {
                let error = ErrorInfo {
                    message: "over".into(),
                    ..ErrorInfo::from_code(ErrorCode::new(code).unwrap())
                };
                hub.unsubscribe_user(USER, &ChannelName::new(channel).unwrap(), &error).await.unwrap();
            }
            Act::ServerRestarts => {
                let server = self.server.take().unwrap();
                let address = server.listen_address();
                server.stop().await;
                self.server = Some(Server::start(make_hub(&self.count), &address).await);
            }
            Act::LineCuts => self.line.cut(),
            Act::LineCloses => self.line.close(),
            Act::LineHolds => self.line.hold(true),
            Act::LineMutes => self.line.mute(true),
            Act::LineHeals => self.line.heal(),
            of_the_client => panic!("not an act of the server: {of_the_client:?}"),
        }
    }
}

async fn publish(hub: &Hub, channel: &str, text: &str) {
    let payload = Payload::json(serde_json::to_string(text).unwrap());
    hub.publish_raw(&ChannelName::new(channel).unwrap(), payload).unwrap().await.unwrap();
}

async fn foreign() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(send_a_text(stream));
        }
    });
    address
}

async fn send_a_text(stream: TcpStream) {
    #[allow(clippy::result_large_err, reason = "the signature is the library's")]
    let accept = |_: &Request, mut response: Response| {
        let protocol = HeaderValue::from_static(SUBPROTOCOL_PROTOBUF);
        response.headers_mut().insert("sec-websocket-protocol", protocol);
        Ok(response)
    };
    let Ok(mut socket) = tokio_tungstenite::accept_hdr_async(stream, accept).await else { return };
    let _ = socket.send(Message::text("welcome to another program")).await;
    while let Some(Ok(_)) = socket.next().await {}
}

fn make_hub(count: &Arc<AtomicU32>) -> Hub {
    let limits =
        Limits { reconnect_window: Duration::from_millis(50), message_bytes: 500_000, ..Limits::default() };
    let kept =
        |size| Namespace::open().history(History::new(size, Duration::from_secs(3600)).with_bytes(32 << 20));
    let count = Arc::clone(count);
    Hub::builder()
        .limits(limits)
        // A busy machine is late with the next token.
        .token_grace(Duration::from_secs(20))
        .allow_origin("*".parse().unwrap())
        .default_namespace(Namespace::open())
        .namespace("kept", kept(1000))
        .namespace("two", kept(2))
        .namespace("secret", Namespace::closed())
        .authenticate(async |credentials| match credentials.token.as_str() {
            USER => Ok(Authenticated::user(USER)),
            "short" => Ok(Authenticated::user(USER).expires_in(Duration::from_millis(1500))),
            "expired" => Err(Refusal::expired()),
            _ => Err(Refusal::invalid()),
        })
        .call_any("echo".parse().unwrap(), async |_, call| Ok(call.payload))
        .call_any("who".parse().unwrap(), async |context, _| {
            Ok(Payload::json(format!("{:?}", context.user())))
        })
        .call_any("count".parse().unwrap(), move |_, _| {
            let now = count.fetch_add(1, Ordering::SeqCst).saturating_add(1);
            async move { Ok(Payload::json(format!("\"{now}\""))) }
        })
        .build()
}
