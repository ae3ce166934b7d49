//! The rules, one by one, against a server that the test plays.

use std::time::Duration;

use bytes::Bytes;
use wirehub_common::code::{CloseCode, ErrorCode};
use wirehub_common::contract::ContractHash;
use wirehub_common::frame::{
    Answer, Called, Command, Connect, Connected, ContractDigest, ContractId, Disconnect, ErrorInfo, Member,
    Position, Publication, Published, Push, Reply, Request, ServerFrame, Subscribe, SubscribeOutcome,
    Subscribed, Unsubscribed,
};
use wirehub_common::{ChannelName, Codec, Limits, Payload, SUBPROTOCOL_PROTOBUF};

use super::{CommandId, Core, SubscriptionId, Transmit};
use crate::{Config, Event, Outcome, State, Time};

/// A core, the time, and what it wants to do.
struct Client {
    core: Core,
    now: Time,
}

impl Client {
    fn new() -> Self {
        Self::with(Config::default())
    }

    fn with(config: Config) -> Self {
        Self { core: Core::new(config, 1), now: Time::ZERO }
    }

    /// A client whose connection is up.
    fn connected() -> Self {
        let mut client = Self::new();
        client.core.connect(client.now);
        client.establish();
        client.events();
        client
    }

    /// Opens the transport and has the server accept; gives what the client sent to connect.
    fn establish(&mut self) -> Connect {
        self.establish_with(Connected { session: "s1".into(), ..Connected::default() })
    }

    fn establish_with(&mut self, connected: Connected) -> Connect {
        assert_eq!(self.core.poll_transmit(true), Some(Transmit::Open));
        self.core.handle_open(SUBPROTOCOL_PROTOBUF);
        let mut commands = self.sent();
        assert_eq!(commands.len(), 1, "{commands:?}");
        let Command { id, request: Request::Connect(connect) } = commands.remove(0) else {
            panic!("{commands:?}")
        };
        // The server answers for the subscriptions unless the test does.
        let subscriptions = if connected.subscriptions.is_empty() {
            connect.subscriptions.iter().map(outcome).collect()
        } else {
            connected.subscriptions.clone()
        };
        self.reply(id, Ok(Answer::Connected(Connected { subscriptions, ..connected })));
        connect
    }

    fn sent(&mut self) -> Vec<Command> {
        let mut commands = Vec::new();
        while let Some(transmit) = self.core.poll_transmit(true) {
            let Transmit::Send(bytes) = transmit else { panic!("{transmit:?}") };
            assert!(!bytes.is_empty(), "an empty message is the answer to a ping");
            commands.extend(Codec::Protobuf.decode_commands(&bytes).map(Result::unwrap));
        }
        commands
    }

    fn receive(&mut self, frames: impl IntoIterator<Item = ServerFrame>) {
        let message: Vec<u8> =
            frames.into_iter().flat_map(|frame| Codec::Protobuf.encode_frame(&frame)).collect();
        self.core.handle_message(self.now, &message.into());
    }

    fn reply(&mut self, id: u32, result: Result<Answer, ErrorInfo>) {
        self.receive([ServerFrame::Reply(Reply { id, result })]);
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.core.poll_event()).collect()
    }

    fn states(&mut self) -> Vec<State> {
        let state = |event: &Event| match event {
            Event::State(change) => Some(change.state),
            _ => None,
        };
        self.events().iter().filter_map(state).collect()
    }

    fn subscribe(&mut self, name: &str) -> SubscriptionId {
        self.core.subscribe(self.now, &channel(name)).unwrap()
    }

    fn publish(&mut self, text: &'static str) -> CommandId {
        self.core.publish(self.now, channel("c"), Payload::json(text), None).unwrap()
    }

    /// Lets time pass to the next deadline, and tells how long that was.
    fn wait(&mut self) -> Duration {
        let deadline = self.core.poll_timeout().expect("something to wait for");
        let waited = deadline.since(self.now);
        self.now = deadline;
        self.core.handle_timeout(self.now);
        waited
    }

    /// How each command ended that did.
    fn completed(&mut self) -> Vec<(CommandId, Result<Outcome, ErrorCode>)> {
        let completion = |event| match event {
            Event::Completed { command, result } => Some((command, result.map_err(|error| error.code()))),
            _ => None,
        };
        self.events().into_iter().filter_map(completion).collect()
    }

    fn received(&mut self) -> Vec<(SubscriptionId, u64)> {
        let received = |event| match event {
            Event::Publication { subscription, publication } => Some((subscription, publication.time)),
            _ => None,
        };
        self.events().into_iter().filter_map(received).collect()
    }

    fn errors(&mut self) -> Vec<ErrorCode> {
        let code = |event| match event {
            Event::Error(error) => Some(error.code()),
            _ => None,
        };
        self.events().into_iter().filter_map(code).collect()
    }
}

fn channel(name: &str) -> ChannelName {
    ChannelName::new(name).unwrap()
}

fn subscribed(name: &str, number: u32) -> Subscribed {
    Subscribed { channel: channel(name), number, position: None, complete: false, recovered: vec![] }
}

fn outcome(Subscribe { channel, number, .. }: &Subscribe) -> SubscribeOutcome {
    let result = Ok(subscribed(channel.as_str(), *number));
    SubscribeOutcome { channel: channel.clone(), number: *number, result }
}

/// `time` tells publications apart.
fn publication(name: &str, time: u64, offset: u64) -> Publication {
    Publication { channel: channel(name), payload: Payload::json("1"), time, publisher: None, offset }
}

fn push(publication: Publication) -> ServerFrame {
    ServerFrame::Push(Push::Publication(publication))
}

#[test]
fn subscriptions_made_before_connecting_go_out_in_connect() {
    let mut client = Client::new();
    let subscription = client.subscribe("c");
    client.core.connect(client.now);
    let connect = client.establish();
    assert_eq!(connect.subscriptions.len(), 1);
    client.receive([push(publication("c", 1, 0))]);
    assert_eq!(client.received(), [(subscription, 1)]);
    assert!(client.sent().is_empty());
}

#[test]
fn a_subscription_made_while_connect_is_on_its_way_is_asked_for_after_it() {
    let mut client = Client::new();
    client.core.connect(client.now);
    assert_eq!(client.core.poll_transmit(true), Some(Transmit::Open));
    client.core.handle_open(SUBPROTOCOL_PROTOBUF);
    let connect = client.sent().remove(0);
    client.subscribe("late");
    assert!(client.sent().is_empty());
    client.reply(connect.id, Ok(Answer::Connected(Connected::default())));
    let commands = client.sent();
    assert!(matches!(&commands[..], [Command { request: Request::Subscribe(_), .. }]), "{commands:?}");
}

#[test]
fn publications_before_the_subscription_is_confirmed_belong_to_an_older_one() {
    let mut client = Client::connected();
    let old = client.subscribe("c");
    let id = client.sent()[0].id;
    client.reply(id, Ok(Answer::Subscribed(subscribed("c", id))));
    client.core.unsubscribe(old);
    let new = client.subscribe("c");
    let commands = client.sent();
    let id = commands[1].id;
    assert!(matches!(commands[0].request, Request::Unsubscribe(_)));
    client.receive([push(publication("c", 1, 0))]);
    client.reply(id, Ok(Answer::Subscribed(subscribed("c", id))));
    client.receive([push(publication("c", 2, 0))]);
    assert_eq!(client.received(), [(new, 2)]);
}

#[test]
fn the_reply_of_an_older_attempt_confirms_nothing() {
    let mut client = Client::connected();
    let first = client.subscribe("c");
    let old = client.sent()[0].id;
    client.core.unsubscribe(first);
    client.subscribe("c");
    client.reply(old, Ok(Answer::Subscribed(subscribed("c", old))));
    client.receive([push(publication("c", 1, 0))]);
    assert_eq!(client.received(), []);
}

#[test]
fn one_channel_has_one_subscription() {
    let mut client = Client::connected();
    client.subscribe("c");
    let error = client.core.subscribe(client.now, &channel("c")).unwrap_err();
    assert_eq!(error.code(), ErrorCode::ALREADY_SUBSCRIBED);
}

#[test]
fn a_refused_subscription_ends_with_the_servers_reason() {
    let mut client = Client::connected();
    let subscription = client.subscribe("c");
    let id = client.sent()[0].id;
    client.reply(id, Err(ErrorInfo::from_code(ErrorCode::PERMISSION_DENIED)));
    let events = client.events();
    let [Event::Unsubscribed { subscription: ended, error: Some(error) }] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!((*ended, error.code()), (subscription, ErrorCode::PERMISSION_DENIED));
    client.subscribe("c");
}

#[test]
fn a_subscription_refused_for_now_is_asked_for_again() {
    let mut client = Client::connected();
    client.subscribe("c");
    let id = client.sent()[0].id;
    client.reply(id, Err(ErrorInfo::from_code(ErrorCode::RATE_LIMITED)));
    assert_eq!(client.errors(), [ErrorCode::RATE_LIMITED]);
    let waited = client.wait();
    assert!((Duration::from_millis(500)..=Duration::from_millis(5500)).contains(&waited), "{waited:?}");
    let again = client.sent()[0].id;
    assert!(again > id, "the server takes higher numbers only");
}

#[test]
fn the_server_can_end_a_subscription() {
    let mut client = Client::connected();
    let subscription = client.subscribe("c");
    let id = client.sent()[0].id;
    client.reply(id, Ok(Answer::Subscribed(subscribed("c", id))));
    let end = |number| {
        let error = ErrorInfo::from_code(ErrorCode::PERMISSION_DENIED);
        ServerFrame::Push(Push::Unsubscribed(Unsubscribed { channel: channel("c"), number, error }))
    };
    client.events();
    client.receive([end(id - 1)]);
    assert!(client.events().is_empty(), "an older one is not this one");
    client.receive([end(id), push(publication("c", 1, 0))]);
    let events = client.events();
    assert!(
        matches!(&events[..], [Event::Unsubscribed { subscription: ended, error: Some(_) }] if *ended == subscription),
        "{events:?}"
    );
}

#[test]
fn what_was_recovered_comes_before_what_is_live_and_never_twice() {
    let mut client = Client::new();
    let subscription = client.subscribe("c");
    client.core.connect(client.now);
    let at = |offset| Some(Position { offset, epoch: "e".into() });
    let first = Subscribed { position: at(3), ..subscribed("c", 2) };
    let outcome = |result: Subscribed| SubscribeOutcome {
        channel: channel("c"),
        number: result.number,
        result: Ok(result),
    };
    let connect = client.establish_with(Connected {
        session: "s".into(),
        subscriptions: vec![outcome(Subscribed { number: 3, ..first })],
        ..Connected::default()
    });
    assert_eq!(connect.subscriptions[0].number, 3);
    client.receive([push(publication("c", 4, 4))]);
    client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
    client.wait();
    let connect = client.establish_with(Connected {
        session: "s".into(),
        subscriptions: vec![outcome(Subscribed {
            position: at(6),
            complete: true,
            recovered: vec![publication("c", 5, 5), publication("c", 6, 6)],
            ..subscribed("c", 5)
        })],
        ..Connected::default()
    });
    assert_eq!(connect.subscriptions[0].position, at(4));
    assert_eq!(connect.subscriptions[0].number, 5);
    client.receive([push(publication("c", 6, 6)), push(publication("c", 7, 7))]);
    assert_eq!(client.received(), [4, 5, 6, 7].map(|time| (subscription, time)));
}

#[test]
fn commands_made_offline_go_out_in_order_in_one_message() {
    let mut client = Client::new();
    client.publish("1");
    client.core.connect(client.now);
    client.publish("2");
    client.establish();
    client.publish("3");
    let Some(Transmit::Send(message)) = client.core.poll_transmit(true) else { panic!() };
    let texts: Vec<Bytes> = Codec::Protobuf
        .decode_commands(&message)
        .map(|command| match command.unwrap().request {
            Request::Publish(publish) => publish.payload.data,
            request => panic!("{request:?}"),
        })
        .collect();
    assert_eq!(texts, ["1", "2", "3"]);
}

#[test]
fn a_command_ends_with_its_own_answer_once() {
    let mut client = Client::connected();
    let publish = client.publish("1");
    let call = client.core.call(client.now, "sum", Payload::json("[1]"), None).unwrap();
    client.sent();
    client.reply(call.number(), Ok(Answer::Called(Called { payload: Payload::json("1") })));
    client.reply(publish.number(), Ok(Answer::Published(Published { position: None })));
    client.reply(publish.number(), Ok(Answer::Published(Published { position: None })));
    client.reply(999, Err(ErrorInfo::from_code(ErrorCode::INTERNAL)));
    assert_eq!(
        client.completed(),
        [(call, Ok(Outcome::Called(Payload::json("1")))), (publish, Ok(Outcome::Published(None)))]
    );
    assert_eq!(client.core.state(), State::Connected);
}

#[test]
fn an_answer_of_another_kind_is_an_error() {
    let mut client = Client::connected();
    let publish = client.publish("1");
    client.sent();
    client.reply(publish.number(), Ok(Answer::Cancelled));
    assert_eq!(client.completed(), [(publish, Err(ErrorCode::UNSUPPORTED))]);
}

#[test]
fn a_command_times_out_online_and_offline() {
    let mut client = Client::new();
    let offline = client.publish("1");
    assert_eq!(client.wait(), Duration::from_secs(10));
    assert_eq!(client.completed(), [(offline, Err(ErrorCode::TIMEOUT))]);

    let mut client = Client::connected();
    let timeout = Some(Duration::from_secs(2));
    let call = client.core.call(client.now, "slow", Payload::json("1"), timeout).unwrap();
    client.sent();
    assert_eq!(client.wait(), Duration::from_secs(2));
    assert_eq!(client.completed(), [(call, Err(ErrorCode::TIMEOUT))]);
    let commands = client.sent();
    assert!(
        matches!(&commands[..], [Command { id: 0, request: Request::Cancel(cancel) }] if cancel.command == call.number()),
        "the server is told: {commands:?}"
    );
}

#[test]
fn a_cancelled_command_that_has_not_gone_out_never_does() {
    let mut client = Client::new();
    let publish = client.publish("1");
    client.core.cancel(publish);
    client.core.connect(client.now);
    client.establish();
    assert!(client.sent().is_empty());
    assert_eq!(client.completed(), [(publish, Err(ErrorCode::CANCELLED))]);
}

#[test]
fn what_was_sent_when_the_connection_broke_fails_and_what_was_not_goes_out_later() {
    let mut client = Client::connected();
    let sent = client.publish("1");
    client.sent();
    let unsent = client.publish("2");
    client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
    assert_eq!(client.completed(), [(sent, Err(ErrorCode::CONNECTION_LOST))]);
    client.wait();
    client.establish();
    assert_eq!(client.sent()[0].id, unsent.number());
}

#[test]
fn the_send_queue_has_a_bound() {
    let mut client = Client::with(Config { send_queue: 100, ..Config::default() });
    let payload = Payload::bytes(vec![0; 60]);
    client.core.publish(client.now, channel("c"), payload.clone(), None).unwrap();
    let error = client.core.publish(client.now, channel("c"), payload, None).unwrap_err();
    assert_eq!(error.code(), ErrorCode::QUEUE_FULL);
    assert!(error.is_temporary());
}

#[test]
fn nothing_is_sent_while_the_transport_is_not_writable_but_the_answer_to_a_ping() {
    let mut client = Client::connected();
    client.publish("1");
    client.core.handle_message(client.now, &Bytes::new());
    assert_eq!(client.core.poll_transmit(false), Some(Transmit::Send(Bytes::new())));
    assert_eq!(client.core.poll_transmit(false), None);
    assert!(matches!(client.core.poll_transmit(true), Some(Transmit::Send(bytes)) if !bytes.is_empty()));
}

#[test]
fn a_message_over_the_servers_limit_fails_alone() {
    let mut client = Client::new();
    client.core.connect(client.now);
    let limits = Limits { message_bytes: 100, ..Limits::default() };
    client.establish_with(Connected { session: "s".into(), limits, ..Connected::default() });
    let large = client.core.publish(client.now, channel("c"), Payload::bytes(vec![0; 200]), None).unwrap();
    let small = client.publish("1");
    client.events();
    assert_eq!(client.sent()[0].id, small.number());
    assert_eq!(client.completed(), [(large, Err(ErrorCode::BAD_REQUEST))]);
}

#[test]
fn a_silent_server_is_left_for_another_attempt_and_any_frame_is_a_sign_of_life() {
    let mut client = Client::connected();
    client.now = client.now.after(Duration::from_secs(30));
    client.receive([push(publication("other", 1, 0))]);
    assert_eq!(client.wait(), Duration::from_secs(35), "ping interval and grace, from the last frame on");
    let Some(Transmit::Close { code, .. }) = client.core.poll_transmit(true) else { panic!() };
    assert_eq!(code, CloseCode::SERVER_SILENT);
    assert_eq!(client.core.state(), State::Reconnecting);
    client.wait();
    client.establish();
    assert_eq!(client.core.state(), State::Connected);
}

#[test]
fn a_suspended_page_does_not_mistake_its_own_sleep_for_the_servers_silence() {
    let mut client = Client::connected();
    client.now = client.now.after(Duration::from_secs(3600));
    client.core.handle_timeout(client.now);
    assert_eq!(client.core.state(), State::Connected);
    client.receive([push(publication("other", 1, 0))]);
    assert_eq!(client.wait(), Duration::from_secs(35), "alive again");

    let mut client = Client::connected();
    client.now = client.now.after(Duration::from_secs(3600));
    client.core.handle_timeout(client.now);
    assert_eq!(client.wait(), Duration::from_secs(5));
    assert_eq!(client.core.state(), State::Reconnecting, "nothing came");
}

#[test]
fn an_attempt_that_hangs_is_given_up() {
    let mut client = Client::new();
    client.core.connect(client.now);
    assert_eq!(client.core.poll_transmit(true), Some(Transmit::Open));
    assert_eq!(client.wait(), Duration::from_secs(10));
    assert!(matches!(client.core.poll_transmit(true), Some(Transmit::Close { .. })));
    assert_eq!(client.core.state(), State::Connecting, "it was never connected");
    client.wait();
    assert_eq!(client.core.poll_transmit(true), Some(Transmit::Open));
}

#[test]
fn attempts_that_fail_come_ever_later() {
    let mut client = Client::new();
    client.core.connect(client.now);
    let mut longest = Duration::ZERO;
    for _ in 0..200 {
        assert_eq!(client.core.poll_transmit(true), Some(Transmit::Open));
        client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
        let waited = client.wait();
        assert!((Duration::from_millis(500)..=Duration::from_secs(20)).contains(&waited), "{waited:?}");
        longest = longest.max(waited);
    }
    assert!(longest > Duration::from_secs(15), "{longest:?}");
}

#[test]
fn the_server_can_say_when_to_come_back() {
    let mut client = Client::connected();
    let code = CloseCode::SHUTDOWN;
    let disconnect = Disconnect { code, reason: "deploy".into(), retry_after: Some(1234) };
    client.receive([ServerFrame::Push(Push::Disconnect(disconnect))]);
    client.core.handle_close(client.now, code, "deploy");
    let events = client.events();
    let Some(Event::State(change)) = events.last() else { panic!("{events:?}") };
    assert_eq!((change.state, change.code), (State::Reconnecting, Some(code)));
    assert_eq!(change.retry_in, Some(Duration::from_millis(1234)));
    assert_eq!(client.wait(), Duration::from_millis(1234));
    client.establish();
}

#[test]
fn after_a_crash_clients_come_back_spread_over_the_servers_window() {
    let mut waits: Vec<Duration> = (0..1000)
        .map(|seed| {
            let mut client = Client { core: Core::new(Config::default(), seed), now: Time::ZERO };
            client.core.connect(client.now);
            client.establish();
            client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
            client.wait()
        })
        .collect();
    waits.sort();
    let window = Limits::default().reconnect_window;
    assert!(waits[999] <= window);
    assert!(waits[100] > window.mul_f64(0.07) && waits[900] < window.mul_f64(0.93), "{waits:?}");
}

#[test]
fn a_code_that_says_so_ends_the_client_and_all_that_waited() {
    let mut client = Client::connected();
    let subscription = client.subscribe("c");
    let publish = client.publish("1");
    client.events();
    client.core.handle_close(client.now, CloseCode::DISCONNECTED, "spam");
    let events = client.events();
    assert!(
        events.iter().any(
            |event| matches!(event, Event::Unsubscribed { subscription: ended, .. } if *ended == subscription)
        ),
        "{events:?}"
    );
    assert!(
        events.iter().any(|event| matches!(event, Event::Completed { command, result: Err(error) }
            if *command == publish && error.code() == ErrorCode::CLOSED)),
        "{events:?}"
    );
    let Some(Event::State(change)) = events.last() else { panic!("{events:?}") };
    assert_eq!((change.state, change.code), (State::Closed, Some(CloseCode::DISCONNECTED)));
    assert_eq!(change.reason, "spam");
    assert_eq!(client.core.failure().unwrap().message(), "spam");
    assert_eq!(client.core.poll_timeout(), None);
    assert_eq!(client.core.poll_transmit(true), None);
    assert!(client.core.subscribe(client.now, &channel("d")).is_err());
}

#[test]
fn a_refused_token_ends_the_client_and_a_busy_server_does_not() {
    for (code, state) in
        [(ErrorCode::UNAUTHORIZED, State::Closed), (ErrorCode::RATE_LIMITED, State::Connecting)]
    {
        let mut client = Client::new();
        client.core.connect(client.now);
        assert_eq!(client.core.poll_transmit(true), Some(Transmit::Open));
        client.core.handle_open(SUBPROTOCOL_PROTOBUF);
        let id = client.sent()[0].id;
        client.reply(id, Err(ErrorInfo::from_code(code)));
        assert_eq!(client.core.state(), state);
        let failure = client.core.failure().map(crate::Error::code);
        assert_eq!(failure.or(client.errors().first().copied()), Some(code));
    }
}

#[test]
fn closing_says_why_and_cuts_a_reason_that_is_too_long() {
    let mut client = Client::connected();
    client.core.close(CloseCode::new(4001).unwrap(), &"ü".repeat(100));
    let Some(Transmit::Close { code, reason }) = client.core.poll_transmit(true) else { panic!() };
    assert_eq!((code.number(), reason.as_str()), (4001, "ü".repeat(61).as_str()));
    assert_eq!(client.states(), [State::Closed]);
    client.core.close(CloseCode::NORMAL, "again");
    assert_eq!(client.core.poll_transmit(true), None);

    let mut client = Client::connected();
    client.core.close(CloseCode::ABNORMAL, "");
    let Some(Transmit::Close { code, .. }) = client.core.poll_transmit(true) else { panic!() };
    assert_eq!(code, CloseCode::NORMAL, "1006 may not be sent");
}

#[test]
fn closing_before_the_transport_was_asked_for_closes_nothing() {
    let mut client = Client::new();
    client.core.connect(client.now);
    client.core.close(CloseCode::NORMAL, "");
    assert_eq!(client.core.poll_transmit(true), None);
}

#[test]
fn garbage_is_told_and_the_connection_left() {
    let garbage = [Bytes::from_static(&[0xff; 20]), Bytes::from_static(&[5, 1])];
    for message in garbage {
        let mut client = Client::connected();
        client.core.handle_message(client.now, &message);
        assert_eq!(client.errors(), [ErrorCode::BAD_FRAME]);
        let Some(Transmit::Close { code, .. }) = client.core.poll_transmit(true) else { panic!() };
        assert_eq!((code, client.core.state()), (CloseCode::BAD_FRAME, State::Reconnecting));
    }
    let mut client = Client::connected();
    client.core.handle_text(client.now);
    assert_eq!(client.errors(), [ErrorCode::BAD_FRAME]);
}

#[test]
fn what_came_before_garbage_in_the_same_message_counts() {
    let mut client = Client::connected();
    let publish = client.publish("1");
    client.sent();
    let reply = ServerFrame::Reply(Reply {
        id: publish.number(),
        result: Ok(Answer::Published(Published::default())),
    });
    let mut message = Codec::Protobuf.encode_frame(&reply).to_vec();
    message.extend([0xff; 20]);
    client.core.handle_message(client.now, &message.into());
    assert_eq!(client.completed(), [(publish, Ok(Outcome::Published(None)))]);
}

#[test]
fn a_server_without_our_subprotocol_ends_the_client() {
    for subprotocol in ["", "wirehub.v1.json", "soap"] {
        let mut client = Client::new();
        client.core.connect(client.now);
        assert_eq!(client.core.poll_transmit(true), Some(Transmit::Open));
        client.core.handle_open(subprotocol);
        let Some(Transmit::Close { code, .. }) = client.core.poll_transmit(true) else { panic!() };
        assert_eq!((code, client.core.state()), (CloseCode::NOT_WIREHUB, State::Closed));
        assert_eq!(client.core.failure().unwrap().code(), ErrorCode::CLOSED);
    }
}

#[test]
fn another_contract_is_reported_by_the_names_that_differ() {
    let item = |name: &str, hash| ContractId { name: name.into(), hash: ContractHash(hash) };
    let contract = |hash, items| ContractDigest { id: item("demo", hash), items };
    let ours = contract(1, vec![item("chat:{room}", 1), item("echo", 2)]);
    let mut client = Client::with(Config { contract: Some(ours), ..Config::default() });
    client.core.connect(client.now);
    let theirs = contract(2, vec![item("chat:{room}", 9), item("echo", 2)]);
    let connect = client.establish_with(Connected { contract: Some(theirs), ..Connected::default() });
    assert_eq!(connect.contract, Some(item("demo", 1)));
    let events = client.events();
    let message = events.iter().find_map(|event| match event {
        Event::Error(error) if error.code() == ErrorCode::CONTRACT_MISMATCH => Some(error.message()),
        _ => None,
    });
    let message = message.expect("the mismatch is told");
    assert!(message.contains("chat:{room}") && !message.contains("echo"), "{message}");
    assert_eq!(client.core.state(), State::Connected, "old and new go on with what is the same");
}

#[test]
fn messages_to_everybody_need_no_subscription_and_other_strays_are_dropped() {
    let mut client = Client::connected();
    let mut to_all = publication("@all", 1, 0);
    to_all.publisher = Some(Member::default());
    client.receive([push(to_all), push(publication("stray", 2, 0)), ServerFrame::Push(Push::RefreshDue)]);
    let events = client.events();
    assert!(matches!(&events[..], [Event::Broadcast(publication)] if publication.time == 1), "{events:?}");
}

#[test]
fn events_of_a_transport_that_is_gone_change_nothing() {
    let mut client = Client::connected();
    client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
    client.events();
    client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
    client.core.handle_open(SUBPROTOCOL_PROTOBUF);
    client.receive([push(publication("c", 1, 0))]);
    client.core.handle_text(client.now);
    assert!(client.events().is_empty());
    client.core.reconnect_now(client.now);
    assert_eq!(client.core.poll_transmit(true), Some(Transmit::Open), "no need to wait");
}
