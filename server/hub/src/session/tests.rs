//! Sessions over a pipe, in paused time: what is due when, and what a client that does not play along can cause.

#![allow(clippy::arithmetic_side_effects)]

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

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
    Call, Command, Connect, ErrorInfo, Part, Position, Presence, Publication, Publish, Push, Reply,
    ReplyBody, Request, ServerFrame, Subscribe, Subscribed,
};
use wirehub_common::{Assembler, ChannelName, Codec, Limits, Payload};

use super::clock::PONG_GRACE;
use super::farewell::CLOSE_TIMEOUT;
use super::mailbox::Mailbox;
use super::serve;
use crate::alarm::Alarm;
use crate::auth::Authenticated;
use crate::hub::SessionId;
use crate::hub::sessions::Peer;
use crate::namespace::{Access, History, Namespace, Overflow};
use crate::socket::{Socket, Transport};
use crate::{Builder, Hub};

mod late;

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
    /// Opens a WebSocket over a pipe that takes `capacity` bytes.
    async fn open(hub: Builder, capacity: usize) -> Self {
        Self::open_at(hub.build(), capacity).await
    }

    /// The same at a hub that others are at.
    async fn open_at(hub: Hub, capacity: usize) -> Self {
        let (server, client) = duplex(capacity);
        let mailbox = Mailbox::new(hub.live().queue_bytes);
        let peer = Arc::new(Peer::new(SessionId::random().unwrap(), CODEC, None, mailbox));
        let session = {
            let hub = hub.clone();
            tokio::spawn(async move {
                let open = hub.connections().enter();
                let socket = Socket::new(server, &Bytes::new(), Limits::DEFAULT.batch_bytes);
                serve(hub, peer, socket, open).await;
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

    /// A session that is subscribed to `a`.
    async fn connect(hub: Builder, capacity: usize) -> Self {
        let mut client = Self::open(hub, capacity).await;
        let subscribe = Subscribe { channel: a(), number: 1, position: None };
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

    /// The next frame, whole.
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
async fn who_does_not_connect_is_closed_after_ten_seconds() {
    let mut client = Client::open(Builder::open(), 1024).await;
    client.socket.send(Message::Ping("alive".into())).await.unwrap();
    assert_eq!(client.next().await, Message::Pong("alive".into()));
    assert_eq!(client.close_code().await, 3004);
    assert_eq!(client.elapsed().as_secs(), CONNECT_TIMEOUT.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_silent_session_is_pinged_and_lives_as_long_as_it_answers() {
    let mut client = Client::connect(Builder::open(), 1024).await;
    for beat in 1..=5 {
        assert_eq!(client.next().await, ping());
        assert_eq!(client.elapsed().as_secs(), (INTERVAL * beat).as_secs());
        // The empty message, a protocol ping or any command will do.
        match beat % 3 {
            0 => client.send(Request::Unknown).await,
            1 => client.socket.send(ping()).await.unwrap(),
            _ => client.socket.send(Message::Ping("!".into())).await.unwrap(),
        }
        match beat % 3 {
            0 => assert_eq!(client.frames().await.len(), 1),
            1 => {}
            _ => assert_eq!(client.next().await, Message::Pong("!".into())),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_does_not_answer_pings_is_closed() {
    let mut client = Client::connect(Builder::open(), 1024).await;
    assert_eq!(client.next().await, ping());
    assert_eq!(client.next().await, ping());
    assert_eq!(client.close_code().await, 3003);
    assert_eq!(client.elapsed().as_secs(), (INTERVAL + INTERVAL + PONG_GRACE).as_secs());
    assert_eq!(client.hub.sessions(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_sent_to_all_the_time_and_never_answers_is_closed_too() {
    let mut client = Client::connect(Builder::open(), 1024).await;
    let publish = {
        let hub = client.hub.clone();
        async move {
            loop {
                tokio::time::sleep(Duration::from_secs(5)).await;
                hub.publish_raw(&a(), Payload::json("1")).unwrap();
            }
        }
    };
    let receive = async {
        let mut pings = 0;
        loop {
            match client.next().await {
                Message::Close(Some(frame)) => return (pings, u16::from(frame.code)),
                message => pings += usize::from(message == ping()),
            }
        }
    };
    let (pings, code) = tokio::select! {
        () = publish => panic!("publishing does not end"),
        ended = receive => ended,
    };
    assert_eq!((pings, code), (1, 3003));
    assert_eq!(client.elapsed().as_secs(), (INTERVAL * 2 + INTERVAL + PONG_GRACE).as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_takes_nothing_any_more_is_given_up() {
    let client = Client::connect(Builder::open(), 64).await;
    client.hub.publish_raw(&a(), Payload::bytes(vec![0; 1000])).unwrap();
    // Nobody reads: neither the ping nor the close gets out.
    client.session.await.unwrap();
    let waited = INTERVAL + INTERVAL + PONG_GRACE + CLOSE_TIMEOUT;
    assert_eq!(client.start.elapsed().as_secs(), waited.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_one_message_for_long_is_alive() {
    let mut client = Client::connect(Builder::open(), 1024).await;
    let payload = Payload::bytes(vec![0; 2000]);
    let publish = Publish { channel: ChannelName::new("b").unwrap(), payload, key: String::new() };
    let command = CODEC.encode_command(&Command { id: 1, request: Request::Publish(publish) });
    let length = u16::try_from(command.len()).unwrap().to_be_bytes();
    // Masked, by zeros.
    let frame = [&[0x82, 0xfe][..], &length, &[0; 4], &command].concat();
    for piece in frame.chunks(100) {
        client.socket.get_mut().write_all(piece).await.unwrap();
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    assert!(client.elapsed() > INTERVAL + INTERVAL + PONG_GRACE);
    loop {
        let message = client.next().await;
        if message != ping() {
            let data = message.into_data();
            let frames: Vec<_> = CODEC.decode_frames(&data).map(Result::unwrap).collect();
            assert!(matches!(frames[..], [ServerFrame::Reply(_)]), "{frames:?}");
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_receives_one_message_for_long_is_alive() {
    let mut client = Client::connect(Builder::open(), 64).await;
    client.hub.publish_raw(&a(), Payload::bytes(vec![0; 10_000])).unwrap();
    let (mut received, mut buffer) = (0, [0; 64]);
    while received < 10_000 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let bytes = client.socket.get_mut().read(&mut buffer).await.unwrap();
        assert_ne!(bytes, 0, "given up after {:?}", client.elapsed());
        received += bytes;
    }
    assert!(client.elapsed() > INTERVAL + INTERVAL + PONG_GRACE);
    assert_eq!(client.hub.sessions(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_slow_consumer_is_forgotten_at_once_and_gone_after_the_deadline() {
    let client = Client::connect(Builder::open().queue_bytes(1000), 64).await;
    client.hub.publish_raw(&a(), Payload::bytes(vec![0; 500])).unwrap();
    // The session's task takes that, and is stuck with it.
    tokio::task::yield_now().await;
    for _ in 0..2 {
        client.hub.publish_raw(&a(), Payload::bytes(vec![0; 600])).unwrap();
    }
    tokio::task::yield_now().await;
    assert_eq!((client.hub.sessions(), client.hub.channels().len()), (0, 0));
    client.session.await.unwrap();
    assert_eq!(client.start.elapsed().as_secs(), CLOSE_TIMEOUT.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_answer_the_close_is_dropped() {
    let mut client = Client::connect(Builder::open(), 1024).await;
    client.socket.send(Message::Text("wrong kind".into())).await.unwrap();
    client.session.await.unwrap();
    assert_eq!(client.start.elapsed().as_secs(), CLOSE_TIMEOUT.as_secs());
}

#[tokio::test(start_paused = true)]
async fn without_a_ping_interval_silence_is_fine() {
    let limits = Limits { ping_interval: Duration::ZERO, ..Limits::default() };
    let mut client = Client::connect(Builder::open().limits(limits), 1024).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    client.send(Request::Unknown).await;
    assert_eq!(client.frames().await.len(), 1);
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

#[tokio::test(start_paused = true)]
async fn a_stop_past_its_deadline_cuts_a_close_short() {
    let client = Client::connect(Builder::open(), 64).await;
    client.hub.publish_raw(&a(), Payload::bytes(vec![0; 1000])).unwrap();
    client.hub.shutdown(Duration::from_secs(2)).await;
    client.session.await.unwrap();
    assert_eq!(client.start.elapsed().as_secs(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_hangs_fails_what_it_was_asked_about_and_nothing_else() {
    let hub = Builder::open()
        .authorize_publish("b".parse().unwrap(), async |_, _| std::future::pending().await)
        .authorize_subscribe("b".parse().unwrap(), async |_, _| std::future::pending().await);
    let mut client = Client::connect(hub, 1024).await;
    let b = ChannelName::new("b").unwrap();
    let publish = |channel| Publish { channel, payload: Payload::json("1"), key: String::new() };
    client.send(Request::Publish(publish(b.clone()))).await;
    client.send(Request::Subscribe(Subscribe { channel: b, number: 1, position: None })).await;
    client.send(Request::Publish(publish(a()))).await;
    assert_eq!(client.frames().await.len(), 2, "the publication and the reply to it");
    assert_eq!(client.start.elapsed(), Duration::ZERO);
    for _ in 0..2 {
        let frames = client.frames().await;
        for frame in frames {
            let ServerFrame::Reply(reply) = frame else { panic!("{frame:?}") };
            assert_eq!(reply.result.unwrap_err().code, ErrorCode::UNAVAILABLE);
        }
        if client.start.elapsed() == Duration::from_secs(10) {
            return;
        }
    }
    panic!("it took {:?}", client.start.elapsed());
}

/// A hub whose channel `a` keeps so many publications.
fn keeping(size: usize) -> Builder {
    let history = History::new(size, Duration::from_secs(3600));
    Builder::open().default_namespace(Namespace::default().history(history))
}

fn publish_kept(hub: &Hub, payload: Payload) -> Position {
    let answer = hub.publish_raw(&a(), payload).unwrap();
    answer.now_or_never().unwrap().unwrap().unwrap()
}

/// A reader behind a pipe of a few bytes: nothing is in a kernel's buffers.
async fn subscribe_from(client: &mut Client, position: Position) -> Subscribed {
    client.send(Request::Subscribe(Subscribe { channel: a(), number: 2, position: Some(position) })).await;
    match client.frame().await {
        ServerFrame::Reply(Reply { result: Ok(ReplyBody::Subscribed(subscribed)), .. }) => subscribed,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_missed_is_read_as_the_line_takes_it_and_nothing_of_it_piles_up() {
    let mut client = Client::connect(keeping(1000), 1024).await;
    let start = Position { offset: 0, ..publish_kept(&client.hub, Payload::bytes(vec![0; 1000])) };
    for offset in 1..=1000 {
        assert_eq!(client.publication().await.offset, offset);
        if offset < 1000 {
            publish_kept(&client.hub, Payload::bytes(vec![0; 1000]));
        }
    }
    let subscribed = subscribe_from(&mut client, start).await;
    assert_eq!((subscribed.complete, subscribed.recovering), (true, 1000));
    let peer = client.hub.session_registry().all().remove(0);
    for last in 1..=1200_u64 {
        assert!(peer.mailbox.bytes() < 256 * 1024, "{}", peer.mailbox.bytes());
        if last % 5 == 0 && last <= 1000 {
            // What is published meanwhile comes in its turn.
            publish_kept(&client.hub, Payload::bytes(vec![0; 1000]));
        }
        assert_eq!(client.publication().await.offset, last);
    }
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_whose_history_is_lost_while_it_reads_is_told_where_it_goes_on() {
    let mut client = Client::connect(keeping(200), 1024).await;
    let start = Position { offset: 0, ..publish_kept(&client.hub, Payload::bytes(vec![0; 10_000])) };
    for offset in 1..=200 {
        assert_eq!(client.publication().await.offset, offset);
        if offset < 200 {
            publish_kept(&client.hub, Payload::bytes(vec![0; 10_000]));
        }
    }
    let subscribed = subscribe_from(&mut client, start).await;
    assert_eq!((subscribed.complete, subscribed.recovering), (true, 200));
    for _ in 0..200 {
        publish_kept(&client.hub, Payload::bytes(vec![0; 10_000]));
    }
    let (mut last, mut gaps) = (0, 0);
    while last < 400 {
        match client.frame().await {
            ServerFrame::Push(Push::Publication(publication)) => {
                assert_eq!(publication.offset, last + 1);
                last = publication.offset;
            }
            ServerFrame::Push(Push::Subscribed(elsewhere)) => {
                assert_eq!((elsewhere.number, elsewhere.complete), (2, false));
                let offset = elsewhere.position.unwrap().offset;
                assert!(offset > last, "{offset} after {last}");
                (last, gaps) = (offset, gaps + 1);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(gaps, 1);
}

#[tokio::test(start_paused = true)]
async fn who_is_far_behind_in_a_channel_that_drops_gets_the_newest_and_is_told() {
    let history = History::new(1000, Duration::from_secs(3600));
    let namespace = Namespace::default().history(history).overflow(Overflow::DropOldest);
    let hub = Builder::open().default_namespace(namespace).queue_bytes(100_000);
    let mut client = Client::connect(hub, 1024).await;
    let start = Position { offset: 0, ..publish_kept(&client.hub, Payload::bytes(vec![0; 1000])) };
    for offset in 1..=500 {
        assert_eq!(client.publication().await.offset, offset);
        if offset < 500 {
            publish_kept(&client.hub, Payload::bytes(vec![0; 1000]));
        }
    }
    let subscribed = subscribe_from(&mut client, start).await;
    assert_eq!((subscribed.complete, subscribed.recovering), (true, 500));
    let (mut last, mut jumps) = (0, Vec::new());
    while last < 500 {
        match client.frame().await {
            ServerFrame::Push(Push::Publication(publication)) => {
                assert_eq!(publication.offset, last + 1);
                last = publication.offset;
            }
            ServerFrame::Push(Push::Subscribed(elsewhere)) => {
                assert!(!elsewhere.complete);
                let offset = elsewhere.position.unwrap().offset;
                assert_eq!(elsewhere.recovering, 500 - offset);
                jumps.push(offset - last);
                last = offset;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(jumps[..], [300..450]), "{jumps:?}");
}

#[tokio::test(start_paused = true)]
async fn an_alarm_waits_for_no_more_than_what_is_under_way() {
    let mut client = Client::connect(Builder::open(), 64).await;
    client.hub.publish_raw(&a(), Payload::bytes(vec![0; 900_000])).unwrap();
    // The session is stuck with the beginning of it.
    tokio::task::yield_now().await;
    client.hub.raise(Alarm::raw(a(), Payload::json("1"))).unwrap();
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
async fn where_the_line_is_slow_messages_are_small() {
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
async fn who_sends_for_long_hears_that_the_server_is_there() {
    let mut client = Client::connect(Builder::open(), 1024).await;
    let start = Instant::now();
    let frame = [&[0x82, 0xfe, 0x80, 0x00][..], &[0; 4], &[0; 100]].concat();
    client.socket.get_mut().write_all(&frame).await.unwrap();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        client.socket.get_mut().write_all(&[0; 100]).await.unwrap();
    }
    assert_eq!(client.next().await, ping());
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_the_calls_in_flight_and_refuses_what_comes_then() {
    let finish = Arc::new(tokio::sync::Notify::new());
    let hub = {
        let finish = Arc::clone(&finish);
        Builder::open().call_any("slow".parse().unwrap(), move |_, call| {
            let finish = Arc::clone(&finish);
            async move {
                finish.notified().await;
                Ok(call.payload)
            }
        })
    };
    let mut client = Client::connect(hub, 1024).await;
    client
        .send(Request::Call(Call { name: "slow".into(), payload: Payload::json("1"), key: String::new() }))
        .await;
    tokio::task::yield_now().await;
    let stop = {
        let hub = client.hub.clone();
        tokio::spawn(async move { hub.shutdown(Duration::from_secs(30)).await })
    };
    tokio::task::yield_now().await;
    client
        .send(Request::Publish(Publish { channel: a(), payload: Payload::json("1"), key: String::new() }))
        .await;
    let ServerFrame::Reply(Reply { result: Err(error), .. }) = client.frame().await else {
        panic!("no error")
    };
    assert_eq!((error.code, error.temporary), (ErrorCode::UNAVAILABLE, true));
    assert_eq!(client.start.elapsed(), Duration::ZERO);
    finish.notify_one();
    assert!(matches!(
        client.frame().await,
        ServerFrame::Reply(Reply { result: Ok(ReplyBody::Called(_)), .. })
    ));
    assert!(matches!(client.frame().await, ServerFrame::Push(Push::Disconnect(_))));
    assert_eq!(client.close_code().await, 3000);
    drop(client);
    stop.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_a_call_no_longer_than_its_deadline_and_says_good_bye() {
    let hub = Builder::open().call_any("never".parse().unwrap(), |_, _| std::future::pending());
    let mut client = Client::connect(hub, 1024).await;
    client
        .send(Request::Call(Call { name: "never".into(), payload: Payload::json("1"), key: String::new() }))
        .await;
    tokio::task::yield_now().await;
    let stop = {
        let hub = client.hub.clone();
        tokio::spawn(async move { hub.shutdown(Duration::from_secs(10)).await })
    };
    assert!(matches!(client.frame().await, ServerFrame::Push(Push::Disconnect(_))));
    assert_eq!(client.close_code().await, 3000);
    assert_eq!(client.elapsed(), Duration::from_secs(9));
    drop(client);
    stop.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_kick_ends_a_subscription_that_is_being_decided_on() {
    let decide = Arc::new(tokio::sync::Notify::new());
    let hub = {
        let decide = Arc::clone(&decide);
        Builder::open().authenticate(async |_| Ok(Authenticated::user("ann"))).authorize_subscribe(
            "b".parse().unwrap(),
            move |_, _| {
                let decide = Arc::clone(&decide);
                async move {
                    decide.notified().await;
                    Ok(())
                }
            },
        )
    };
    let mut client = Client::connect(hub, 1024).await;
    let b = ChannelName::new("b").unwrap();
    client.send(Request::Subscribe(Subscribe { channel: b.clone(), number: 1, position: None })).await;
    tokio::task::yield_now().await;
    let error = ErrorInfo::from_code(ErrorCode::PERMISSION_DENIED);
    assert_eq!(client.hub.unsubscribe_user("ann", &b, &error), Ok(1));
    tokio::task::yield_now().await;
    decide.notify_one();
    let ServerFrame::Reply(reply) = client.frame().await else { panic!("no reply") };
    assert_eq!(reply.result, Err(error));
    assert_eq!(client.hub.subscribers(&b), 0);
}

#[tokio::test(start_paused = true)]
async fn lists_that_a_hook_allowed_are_made_when_there_is_room_for_them() {
    let allowed = Arc::new(Semaphore::new(1));
    let hub = {
        let allowed = Arc::clone(&allowed);
        Builder::open()
            .authenticate(async |_| Ok(Authenticated::user("ann").with_info(&"x".repeat(4000)).unwrap()))
            .default_namespace(Namespace::default().presence(Access::Everybody))
            .authorize_subscribe("a".parse().unwrap(), move |_, _| {
                let allowed = Arc::clone(&allowed);
                async move {
                    allowed.acquire().await.unwrap().forget();
                    Ok(())
                }
            })
    };
    let member = Client::connect(hub, 1 << 20).await;
    let mut reader = Client::open_at(member.hub.clone(), 256).await;
    reader.send(Request::Connect(Connect::default())).await;
    reader.frame().await;
    let presence = Request::Presence(Presence { channel: a(), counts_only: false, after: String::new() });
    let commands = CODEC.encode_command(&Command { id: 1, request: presence }).repeat(60);
    reader.socket.send(Message::Binary(commands.into())).await.unwrap();
    while allowed.available_permits() == 0 && member.hub.sessions() < 2 {
        tokio::task::yield_now().await;
    }
    allowed.add_permits(60);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let peers = member.hub.session_registry().all();
    let waiting = peers.iter().map(|peer| peer.mailbox.bytes()).max().unwrap();
    assert!((Limits::BATCH_BYTES..Limits::BATCH_BYTES + 10_000).contains(&waiting), "{waiting}");
    for _ in 0..60 {
        assert!(matches!(
            reader.frame().await,
            ServerFrame::Reply(Reply { result: Ok(ReplyBody::Presence(_)), .. })
        ));
    }
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
    // Each turn writes what it has answered, and then others are looked at.
    tokio::task::yield_now().await;
    let (mut turns, mut replies) = (0, 0);
    while replies < 1000 {
        replies += client.frames().await.len();
        turns += 1;
    }
    assert!(turns >= 1000 / super::TURN as usize, "{turns}");
}

/// A session that is held up in the middle of a message: the hook answers none of the publications in time.
async fn held_up_inside_a_message(hub: Builder) -> Client {
    let hub = hub.authorize_publish("b".parse().unwrap(), async |_, _| std::future::pending().await);
    let mut client = Client::connect(hub, 1 << 20).await;
    let publish =
        Publish { channel: ChannelName::new("b").unwrap(), payload: Payload::json("1"), key: String::new() };
    // Without an id nothing is answered: nothing but pings is heard.
    let command = Command { id: 0, request: Request::Publish(publish) };
    let last = Command { id: 2, request: Request::Unknown };
    let commands = std::iter::repeat_n(command, 200).chain([last]);
    let message: Vec<u8> = commands.flat_map(|command| CODEC.encode_command(&command)).collect();
    client.socket.send(Message::Binary(message.into())).await.unwrap();
    client
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_held_up_inside_a_message_is_pinged_and_lives_as_long_as_it_answers() {
    let mut client = held_up_inside_a_message(Builder::open()).await;
    for beat in 1..=10 {
        assert_eq!(client.next().await, ping(), "beat {beat}");
        assert_eq!(client.elapsed().as_secs(), (INTERVAL * beat).as_secs());
        client.socket.send(ping()).await.unwrap();
    }
    // The rest of the message is carried out when the hook has been given up often enough.
    let answered = loop {
        match client.next().await {
            message if message == ping() => client.socket.send(ping()).await.unwrap(),
            message => break message,
        }
    };
    let frames: Vec<_> = CODEC.decode_frames(&answered.into_data()).map(Result::unwrap).collect();
    assert!(matches!(frames[..], [ServerFrame::Reply(Reply { id: 2, .. })]), "{frames:?}");
    assert!(client.elapsed() > INTERVAL * 10, "{:?}", client.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_held_up_inside_a_message_and_does_not_answer_is_given_up() {
    let mut client = held_up_inside_a_message(Builder::open()).await;
    assert_eq!(client.next().await, ping());
    assert_eq!(client.next().await, ping());
    assert_eq!(client.close_code().await, 3003);
    assert_eq!(client.elapsed().as_secs(), (INTERVAL + INTERVAL + PONG_GRACE).as_secs());
    assert_eq!(client.hub.sessions(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_token_of_a_session_that_is_held_up_inside_a_message_expires() {
    const TTL: Duration = Duration::from_secs(30);
    const GRACE: Duration = Duration::from_secs(7);
    let limits = Limits { ping_interval: Duration::ZERO, ..Limits::default() };
    let hub = Builder::open()
        .limits(limits)
        .authenticate(async |_| Ok(Authenticated::user("ann").expires_in(TTL)))
        .token_grace(GRACE);
    let mut client = held_up_inside_a_message(hub).await;
    let due = client.frames().await;
    assert!(matches!(due[..], [ServerFrame::Push(Push::RefreshDue)]), "{due:?}");
    assert_eq!(client.close_code().await, 3005);
    assert_eq!(client.elapsed(), TTL + GRACE);
}

#[tokio::test(start_paused = true)]
async fn who_is_not_connected_has_room_for_one_message_and_no_more() {
    let mut client = Client::open(Builder::open(), 1 << 20).await;
    // The head of a message of 1 MiB.
    let head = [&[0x82, 0xff][..], &(1_u64 << 20).to_be_bytes(), &[0; 4]].concat();
    client.socket.get_mut().write_all(&head).await.unwrap();
    assert_eq!(client.close_code().await, 1009);
    assert_eq!(client.elapsed(), Duration::ZERO);
    drop(client);

    let mut client = Client::open(Builder::open(), 1 << 20).await;
    let part = Part { stream: 0, data: Bytes::from_static(&[0; 100]), left: 100 };
    client.send(Request::Part(part)).await;
    assert_eq!(client.close_code().await, 3501);
}

/// How much room a future of this kind takes.
fn bytes_of<F>(_: impl Fn(Hub, Arc<Peer>, Socket<Transport>, [u64; 3]) -> F) -> usize {
    size_of::<F>()
}

#[test]
fn the_task_of_a_session_stays_small() {
    let bytes = bytes_of(serve);
    // With the runtime's part it fits into 384 bytes, which is a multiple of what such tasks are aligned to.
    assert!(bytes <= 280, "{bytes}");
    // What others hold of it, with the counts of who does, into 192.
    assert!(size_of::<Peer>() <= 176, "{}", size_of::<Peer>());
}
