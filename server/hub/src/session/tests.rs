//! Sessions over a pipe, in paused time.

#![allow(clippy::arithmetic_side_effects)]

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use bytes::Bytes;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use wirehub_common::code::ErrorCode;
use wirehub_common::frame::{
    Call, Cancel, Command, Connect, ErrorInfo, Part, Position, Presence, Publication, Publish, Push, Reply,
    ReplyBody, Request, ServerFrame, Subscribe, Subscribed,
};
use wirehub_common::{Assembler, ChannelName, Codec, Limits, Payload};

use super::clock::PONG_GRACE;
use super::close_handshake::CLOSE_TIMEOUT;
use super::mailbox::Mailbox;
use super::{Session, serve};
use crate::alarm::Alarm;
use crate::auth::{Authenticated, Refusal};
use crate::hub::SessionId;
use crate::hub::sessions::Peer;
use crate::namespace::{Access, History, Namespace, Overflow};
use crate::socket::{Metered, Socket, Transport};
use crate::{Builder, Hub};

mod faults;
mod fleet;
mod hooks;
mod late;
mod liveness;
mod nodes;
mod recovery;
mod stopping;
mod stored_alarms;
mod stored_calls;
mod traffic;

const CODEC: Codec = Codec::Protobuf;
const INTERVAL: Duration = Duration::from_secs(25);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

struct Client {
    hub: Hub,
    socket: WebSocketStream<DuplexStream>,
    session: JoinHandle<()>,
    start: Instant,
    received: VecDeque<ServerFrame>,
    parts: Assembler,
}

impl Client {
    /// Opens a WebSocket over a pipe of `capacity` bytes.
    async fn open(hub: Builder, capacity: usize) -> Self {
        Self::open_at(hub.build(), capacity).await
    }

    /// The same at a hub that has other sessions.
    async fn open_at(hub: Hub, capacity: usize) -> Self {
        let (server, client) = duplex(capacity);
        let mailbox = Mailbox::new(hub.live().queue_bytes);
        let peer = Arc::new(Peer::new(SessionId::random().unwrap(), CODEC, None, mailbox));
        let session = {
            let hub = hub.clone();
            tokio::spawn(async move {
                let stream = Metered::new(server, hub.connections().enter().unwrap(), &[]);
                let socket = Socket::new(stream, &Bytes::new(), Limits::DEFAULT.batch_bytes);
                serve(hub, peer, None, socket, ()).await;
            })
        };
        let socket = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
        Self {
            hub,
            socket,
            session,
            start: Instant::now(),
            received: VecDeque::new(),
            parts: Assembler::new(),
        }
    }

    /// A session with a subscription to `a`.
    async fn connect(hub: Builder, capacity: usize) -> Self {
        let mut client = Self::open(hub, capacity).await;
        let subscribe = Subscribe { channel: a(), number: 1, position: None, history: 0 };
        let connect = Connect { subscriptions: vec![subscribe], ..Connect::default() };
        client.send(Request::Connect(connect)).await;
        assert!(matches!(client.frames().await[..], [ServerFrame::Reply(_)]));
        client
    }

    async fn send(&mut self, request: Request) {
        let command = CODEC.encode_command(&Command { id: 1, request });
        self.socket.send(Message::Binary(command)).await.unwrap();
    }

    async fn next(&mut self) -> Message {
        self.socket.next().await.unwrap().unwrap()
    }

    async fn frames(&mut self) -> Vec<ServerFrame> {
        let data = self.next().await.into_data();
        CODEC.decode_frames(&data).map(Result::unwrap).collect()
    }

    /// The next complete frame.
    async fn frame(&mut self) -> ServerFrame {
        loop {
            if let Some(frame) = self.received.pop_front() {
                return frame;
            }
            for frame in self.frames().await {
                let ServerFrame::Part(part) = frame else {
                    self.received.push_back(frame);
                    continue;
                };
                if let Some(whole) = self.parts.take(part.stream, &part.data, part.left, 1 << 30).unwrap() {
                    self.received.push_back(CODEC.decode_frame(&whole).unwrap());
                }
            }
        }
    }

    async fn publication(&mut self) -> Publication {
        match self.frame().await {
            ServerFrame::Push(Push::Publication(publication)) => publication,
            other => panic!("{other:?}"),
        }
    }

    async fn close_code(&mut self) -> u16 {
        let Message::Close(Some(frame)) = self.next().await else { panic!("no close") };
        frame.code.into()
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

fn a() -> ChannelName {
    ChannelName::new("a").unwrap()
}

fn ping() -> Message {
    Message::Binary(Bytes::new())
}

#[tokio::test(start_paused = true)]
async fn a_pipe_of_a_few_bytes_carries_everything_in_order() {
    for capacity in 1..=7 {
        let mut client = Client::connect(Builder::open(), capacity).await;
        for number in 0..50_u32 {
            client.hub.publish_raw(&a(), Payload::json(number.to_string())).unwrap();
        }
        let mut expected = 0..50_u32;
        while !expected.is_empty() {
            for frame in client.frames().await {
                let ServerFrame::Push(Push::Publication(publication)) = frame else { panic!("{frame:?}") };
                let number = expected.next().unwrap();
                assert_eq!(publication.payload, Payload::json(number.to_string()));
            }
        }
    }
}

/// A hub whose channel `a` keeps `size` publications.
fn keeping(size: usize) -> Builder {
    let history = History::new(size, Duration::from_secs(3600));
    Builder::open().default_namespace(Namespace::default().history(history))
}

fn publish_kept(hub: &Hub, payload: Payload) -> Position {
    let answer = hub.publish_raw(&a(), payload).unwrap();
    answer.now_or_never().unwrap().unwrap().unwrap()
}

/// Subscribes at a position. The reader is behind a pipe of a few bytes, so that no kernel buffers anything.
async fn subscribe_from(client: &mut Client, position: Position) -> Subscribed {
    client
        .send(Request::Subscribe(Subscribe { channel: a(), number: 2, position: Some(position), history: 0 }))
        .await;
    match client.frame().await {
        ServerFrame::Reply(Reply { result: Ok(ReplyBody::Subscribed(subscribed)), .. }) => subscribed,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_alarm_waits_only_for_the_frame_that_is_being_sent() {
    let mut client = Client::connect(Builder::open(), 64).await;
    client.hub.publish_raw(&a(), Payload::bytes(vec![0; 900_000])).unwrap();
    // The session is blocked by the beginning of the message.
    tokio::task::yield_now().await;
    client.hub.raise(Alarm::raw(a(), Payload::json("1"))).await.unwrap();
    let mut before = 0;
    loop {
        let message = client.next().await;
        let data = message.into_data();
        let frames = CODEC.decode_frames(&data).map(Result::unwrap);
        if frames.into_iter().any(|frame| matches!(frame, ServerFrame::Push(Push::Alarm(_)))) {
            break;
        }
        before += data.len();
    }
    assert!((1..=Limits::BATCH_BYTES).contains(&before), "{before} bytes came before it");
}

#[tokio::test(start_paused = true)]
async fn messages_are_small_on_a_slow_line() {
    let mut client = Client::connect(Builder::open(), 64).await;
    client.hub.publish_raw(&a(), Payload::bytes(vec![0; 300_000])).unwrap();
    let mut lengths = Vec::new();
    while lengths.iter().sum::<usize>() < 300_000 {
        lengths.push(client.next().await.into_data().len());
    }
    assert!(lengths[0] <= Limits::BATCH_BYTES);
    assert!(lengths[1..].iter().all(|length| *length <= 16 * 1024), "{lengths:?}");
}

#[tokio::test(start_paused = true)]
async fn a_turn_is_over_after_so_many_commands() {
    let mut client = Client::connect(Builder::open(), 1 << 20).await;
    let publish =
        Publish { channel: ChannelName::new("b").unwrap(), payload: Payload::json("1"), key: String::new() };
    let commands: Vec<u8> = (1..=1000)
        .flat_map(|id| CODEC.encode_command(&Command { id, request: Request::Publish(publish.clone()) }))
        .collect();
    client.socket.send(Message::Binary(commands.into())).await.unwrap();
    // Each turn writes its answers, and then other sessions have their turn.
    tokio::task::yield_now().await;
    let (mut turns, mut replies) = (0, 0);
    while replies < 1000 {
        replies += client.frames().await.len();
        turns += 1;
    }
    assert!(turns >= 1000 / super::TURN_WORK as usize, "{turns}");
}

/// The size of a future of this kind.
fn bytes_of<F>(_: impl Fn(Hub, Arc<Peer>, Headers, Socket<Metered<Transport>>, [u64; 2]) -> F) -> usize {
    size_of::<F>()
}

type Headers = Option<Box<HeaderMap>>;

#[tokio::test]
async fn headers_of_the_handshake_take_no_room_once_the_client_is_let_in() {
    for is_let_in in [true, false] {
        let hub =
            Builder::open().authenticate(move |credentials| {
                let user = if is_let_in { Ok(Authenticated::anonymous()) } else { Err(Refusal::invalid()) };
                async move {
                    user.map(|user| user.expires_in(Duration::from_secs(credentials.headers.len() as u64)))
                }
            });
        let peer = Arc::new(Peer::new(SessionId::random().unwrap(), CODEC, None, Mailbox::new(1000)));
        let headers = HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_static("sid=1"))]);
        let mut session = Session::new(hub.build(), peer, Some(Box::new(headers)));
        session.authenticate(1, Connect::default());
        let extras = session.extras.as_ref();
        assert_eq!(extras.is_some_and(|extras| extras.unconnected.is_some()), !is_let_in);
        assert_eq!(extras.is_none(), is_let_in, "most sessions have none");
    }
}

#[test]
fn the_task_of_a_session_stays_small() {
    let bytes = bytes_of(serve);
    // With the runtime's part it fits into 384 bytes, a multiple of the alignment of such tasks.
    assert!(bytes <= 280, "{bytes}");
    // The shared part, with its reference counts, fits into 192 bytes.
    assert!(size_of::<Peer>() <= 176, "{}", size_of::<Peer>());
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_frame_ends_the_session_with_the_reason() {
    let mut client = Client::connect(Builder::open(), 1024).await;
    client.socket.send(Message::Binary(Bytes::from_static(b"\xff\xff\xff"))).await.unwrap();
    let frame = loop {
        if let Message::Close(frame) = client.next().await {
            break frame.unwrap();
        }
    };
    assert_eq!(u16::from(frame.code), wirehub_common::code::CloseCode::BAD_FRAME.number());
    assert!(!frame.reason.is_empty(), "it says why");
}

#[tokio::test(start_paused = true)]
async fn the_subscriptions_of_a_session_are_its_own() {
    let hub = Builder::open().build();
    let connect = async |channel: &str| {
        let mut client = Client::open_at(hub.clone(), 1024).await;
        let subscribe =
            Subscribe { channel: ChannelName::new(channel).unwrap(), number: 1, position: None, history: 0 };
        client.send(Request::Connect(Connect { subscriptions: vec![subscribe], ..Connect::default() })).await;
        let ServerFrame::Reply(Reply { result: Ok(ReplyBody::Connected(connected)), .. }) =
            client.frame().await
        else {
            panic!("not connected")
        };
        (client, connected.session.parse::<SessionId>().unwrap())
    };
    let (_one, first) = connect("a").await;
    let (_other, second) = connect("b").await;
    for (session, channel) in [(first, "a"), (second, "b")] {
        let subscriptions = hub.subscriptions_of(session, None, 10).await.unwrap().unwrap();
        assert_eq!(subscriptions.items, [ChannelName::new(channel).unwrap()]);
    }
    let nobody = SessionId::random().unwrap();
    assert!(hub.subscriptions_of(nobody, None, 10).await.unwrap().is_none());
}
