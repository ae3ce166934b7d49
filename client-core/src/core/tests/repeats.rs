//! Publishes that were sent and not answered when the connection broke.

use super::*;

fn memory(scope: &str, clock: u64) -> Connected {
    let window = Duration::from_secs(60);
    let idempotency = Some(Idempotency { scope: scope.into(), window, clock });
    let call_idempotency = idempotency.clone();
    Connected { session: "s".into(), idempotency, call_idempotency, ..Connected::default() }
}

/// A client of a server that remembers keys.
fn with_memory() -> Client {
    let mut client = Client::new();
    client.core.connect(client.now);
    client.establish_with(memory("a", 1000));
    client.events();
    client
}

impl Client {
    fn lose(&mut self) {
        self.core.handle_close(self.now, CloseCode::ABNORMAL, "");
    }

    /// Reconnects to a server that replies this; returns the commands that the client sends then.
    fn come_back_to(&mut self, connected: Connected) -> Vec<Command> {
        self.wait();
        self.establish_with(connected);
        self.sent()
    }
}

/// The key and the text of a publish.
fn key_and_text(command: &Command) -> (&str, &[u8]) {
    let Request::Publish(publish) = &command.request else { panic!("{command:?}") };
    (&publish.key, &publish.payload.data)
}

#[test]
fn a_publish_without_an_answer_is_repeated_with_its_key_ahead_of_waiting_commands() {
    let mut client = with_memory();
    let first = client.publish("1");
    let second = client.publish("2");
    let sent = client.sent();
    client.reply(first.number(), Ok(ReplyBody::Published(Published { position: None })));
    assert_eq!(client.completed(), [(first, Ok(Outcome::Published(None)))]);
    client.lose();
    client.publish("3");
    let repeated = client.come_back_to(memory("a", 3000));
    let texts: Vec<&[u8]> = repeated.iter().map(|command| key_and_text(command).1).collect();
    assert_eq!(texts, [b"2", b"3"]);
    assert_eq!(key_and_text(&repeated[0]), key_and_text(&sent[1]));
    assert_ne!(key_and_text(&repeated[0]).0, key_and_text(&repeated[1]).0);
    client.reply(second.number(), Ok(ReplyBody::Published(Published { position: None })));
    assert_eq!(client.completed(), [(second, Ok(Outcome::Published(None)))]);
}

#[test]
fn a_message_with_a_key_of_the_application_can_be_published_again() {
    let mut client = with_memory();
    let lobby = channel("c");
    let publish = |client: &mut Client, key: &str| {
        client.core.publish_with_key(client.now, &lobby, &Payload::json("1"), key, None)
    };
    for _ in 0..2 {
        publish(&mut client, "order-7").unwrap();
        assert_eq!(key_and_text(&client.sent()[0]), ("order-7", &b"1"[..]));
    }
    let longest = "k".repeat(256);
    publish(&mut client, &longest).unwrap();
    assert_eq!(key_and_text(&client.sent()[0]).0, longest);
    let error = publish(&mut client, &"k".repeat(257)).unwrap_err();
    assert_eq!((error.code(), error.is_temporary()), (ErrorCode::BAD_REQUEST, false));
    publish(&mut client, "").unwrap();
    assert!(!key_and_text(&client.sent()[0]).0.is_empty(), "as without one");
}

#[test]
fn a_message_with_a_key_of_the_application_is_repeated_within_half_of_the_window() {
    for (clock, repeats) in [(30_000, true), (31_000, false)] {
        let mut client = with_memory();
        let payload = Payload::json("1");
        client.core.publish_with_key(client.now, &channel("c"), &payload, "order-7", HOUR).unwrap();
        let sent = client.sent();
        client.lose();
        let again = client.come_back_to(memory("a", clock));
        assert_eq!(again, if repeats { sent } else { Vec::new() }, "at {clock}");
    }
}

#[test]
fn a_publish_is_repeated_over_every_connection_until_it_has_its_answer() {
    let mut client = with_memory();
    let publish = client.publish("1");
    client.sent();
    for clock in [2000, 3000, 4000] {
        client.lose();
        assert_eq!(client.come_back_to(memory("a", clock)).len(), 1);
        assert_eq!(client.completed(), []);
    }
    client.reply(publish.number(), Ok(ReplyBody::Published(Published { position: None })));
    client.lose();
    assert!(client.come_back_to(memory("a", 5000)).is_empty());
}

#[test]
fn a_publish_that_the_server_may_have_forgotten_is_not_repeated() {
    let no_memory = Connected { session: "s".into(), ..Connected::default() };
    // The first connect was at 1 s by the server's clock.
    for later in [memory("b", 1000), memory("a", 61_000), no_memory] {
        let mut client = with_memory();
        let publish = client.publish("1");
        client.sent();
        client.lose();
        let waiting = client.publish("2");
        let sent = client.come_back_to(later);
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0].id, waiting.number());
        assert_eq!(client.completed(), [(publish, Err(ErrorCode::CONNECTION_LOST))]);
    }
}

#[test]
fn the_window_is_counted_from_the_first_time_that_a_publish_is_sent() {
    let mut client = with_memory();
    let publish = client.core.publish(client.now, &channel("c"), &Payload::json("1"), HOUR).unwrap();
    client.sent();
    client.lose();
    assert_eq!(client.come_back_to(memory("a", 60_000)).len(), 1);
    client.lose();
    assert!(client.come_back_to(memory("a", 61_000)).is_empty());
    assert_eq!(client.completed(), [(publish, Err(ErrorCode::CONNECTION_LOST))]);
}

#[test]
fn a_queued_command_is_remembered_from_the_connection_that_sent_it() {
    let mut client = Client::new();
    client.core.publish(client.now, &channel("c"), &Payload::json("1"), HOUR).unwrap();
    client.core.connect(client.now);
    client.now = client.now.after(Duration::from_secs(600));
    client.core.handle_timeout(client.now);
    client.wait();
    client.establish_with(memory("a", 1000));
    assert_eq!(client.sent().len(), 1);
    client.lose();
    assert_eq!(client.come_back_to(memory("a", 50_000)).len(), 1);
}

#[test]
fn a_publish_in_doubt_still_times_out_and_can_be_cancelled() {
    let mut client = with_memory();
    let timeout = Some(Duration::from_millis(1));
    let late = client.core.publish(client.now, &channel("c"), &Payload::json("1"), timeout).unwrap();
    let unwanted = client.publish("2");
    client.sent();
    client.lose();
    client.core.cancel(unwanted);
    client.now = client.now.after(Duration::from_millis(1));
    client.core.handle_timeout(client.now);
    assert_eq!(client.completed(), [(unwanted, Err(ErrorCode::CANCELLED)), (late, Err(ErrorCode::TIMEOUT))]);
    assert!(client.come_back_to(memory("a", 2000)).is_empty());
}

#[test]
fn questions_and_commands_that_do_not_wait_are_not_repeated() {
    let mut client = with_memory();
    let question = client.core.presence(client.now, &channel("c"), None).unwrap();
    let fail_fast = SendOptions { fail_fast: true, timeout: None };
    let urgent = client.core.publish(client.now, &channel("c"), &Payload::json("1"), fail_fast).unwrap();
    client.sent();
    client.lose();
    let lost = Err(ErrorCode::CONNECTION_LOST);
    assert_eq!(client.completed(), [(question, lost.clone()), (urgent, lost)]);
    assert!(client.come_back_to(memory("a", 2000)).is_empty());
}

#[test]
fn publishes_count_for_the_bound_until_they_are_answered() {
    let config = Config { send_queue: 200, max_commands: 3, ..Config::default() };
    let mut client = Client::with(config);
    client.core.connect(client.now);
    client.establish_with(memory("a", 0));
    let payload = || Payload::bytes(vec![0; 120]);
    let publish =
        |client: &mut Client, payload| client.core.publish(client.now, &channel("c"), &payload, None);
    let large = publish(&mut client, payload()).unwrap();
    client.sent();
    let full = |error: Error| error.code() == ErrorCode::QUEUE_FULL;
    assert!(publish(&mut client, payload()).is_err_and(full), "too many bytes");
    publish(&mut client, Payload::json("1")).unwrap();
    publish(&mut client, Payload::json("2")).unwrap();
    client.sent();
    assert!(publish(&mut client, Payload::json("3")).is_err_and(full), "too many commands");
    client.reply(large.number(), Ok(ReplyBody::Published(Published { position: None })));
    publish(&mut client, payload()).unwrap();
}

const HOUR: Option<Duration> = Some(Duration::from_secs(3600));

#[test]
fn a_call_is_repeated_with_its_key_where_the_server_remembers_those_of_calls() {
    let called = |command: &Command| match &command.request {
        Request::Call(call) => (call.name.clone(), call.key.clone()),
        other => panic!("{other:?}"),
    };
    let mut client = with_memory();
    let command = client.core.call(client.now, "f", &Payload::json("1"), None).unwrap();
    let first = called(&client.sent()[0]);
    assert!(!first.1.is_empty());
    client.lose();
    let repeated = client.come_back_to(memory("a", 3000));
    assert_eq!((repeated.len(), called(&repeated[0])), (1, first));
    client.lose();
    // It remembers keys of publishes alone.
    let forgetful = Connected { call_idempotency: None, ..memory("a", 4000) };
    assert!(client.come_back_to(forgetful).is_empty());
    assert_eq!(client.completed(), [(command, Err(ErrorCode::CONNECTION_LOST))]);
}

#[test]
fn a_stream_of_responses_is_not_repeated() {
    let mut client = with_memory();
    let command = client.core.call_stream(client.now, "f", &Payload::json("1"), None).unwrap();
    let sent = client.sent();
    assert!(matches!(&sent[0].request, Request::Call(call) if call.key.is_empty()), "{sent:?}");
    client.lose();
    assert_eq!(client.completed(), [(command, Err(ErrorCode::CONNECTION_LOST))]);
}

#[test]
fn repeatable_commands_take_room_until_they_are_answered_and_others_until_they_are_sent() {
    for remembers in [true, false] {
        let mut client = Client::with(Config { send_queue: 150, ..Config::default() });
        client.core.connect(client.now);
        let connected = if remembers { memory("a", 0) } else { Connected::default() };
        client.establish_with(Connected { session: "s".into(), ..connected });
        let payload = Payload::bytes(vec![0; 60]);
        // The second time as well as the first.
        let mut waiting = client.core.publish(client.now, &channel("c"), &payload, None).unwrap();
        for _ in 0..3 {
            assert_eq!(
                client.core.publish(client.now, &channel("c"), &payload, None).unwrap_err().code(),
                ErrorCode::QUEUE_FULL
            );
            assert_eq!(client.sent().len(), 1);
            let next = client.core.publish(client.now, &channel("c"), &payload, None);
            if remembers {
                assert_eq!(next.unwrap_err().code(), ErrorCode::QUEUE_FULL);
                client.reply(waiting.number(), Ok(ReplyBody::Published(Published { position: None })));
                waiting = client.core.publish(client.now, &channel("c"), &payload, None).unwrap();
            } else {
                waiting = next.unwrap();
            }
        }
    }
}
