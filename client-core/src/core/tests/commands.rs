//! Publishes and calls.

use super::*;

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
    let call = client.core.call(client.now, "sum", &Payload::json("[1]"), None).unwrap();
    client.sent();
    client.reply(call.number(), Ok(ReplyBody::Called(Called { payload: Payload::json("1"), more: false })));
    client.reply(publish.number(), Ok(ReplyBody::Published(Published { position: None })));
    client.reply(publish.number(), Ok(ReplyBody::Published(Published { position: None })));
    client.reply(999, Err(ErrorInfo::from_code(ErrorCode::INTERNAL)));
    assert_eq!(
        client.completed(),
        [(call, Ok(Outcome::Called(Payload::json("1")))), (publish, Ok(Outcome::Published(None)))]
    );
    assert_eq!(client.core.state(), ClientState::Connected);
}

#[test]
fn an_answer_of_another_kind_is_an_error() {
    let mut client = Client::connected();
    let publish = client.publish("1");
    client.sent();
    client.reply(publish.number(), Ok(ReplyBody::Cancelled));
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
    let call = client.core.call(client.now, "slow", &Payload::json("1"), timeout).unwrap();
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
fn without_keys_a_sent_command_fails_with_the_connection_and_an_unsent_one_goes_out_later() {
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
    client.core.publish(client.now, &channel("c"), &payload, None).unwrap();
    let error = client.core.publish(client.now, &channel("c"), &payload, None).unwrap_err();
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
    let large = Payload::bytes(vec![0; 200]);
    let error = client.core.publish(client.now, &channel("c"), &large, None).unwrap_err();
    assert_eq!((error.code(), error.is_temporary()), (ErrorCode::BAD_REQUEST, false));
    assert!(error.message().contains("limit of 100 bytes"), "{}", error.message());
    assert!(!client.core.publish_volatile(&channel("c"), &large));
    for error in [
        client.core.call(client.now, "f", &large, None).unwrap_err(),
        client.core.call_stream(client.now, "f", &large, None).unwrap_err(),
        // The payload alone would be within the bound.
        client.core.publish(client.now, &channel("c"), &Payload::bytes(vec![0; 99]), None).unwrap_err(),
    ] {
        assert_eq!(error.code(), ErrorCode::BAD_REQUEST);
    }
    let small = client.publish("1");
    assert_eq!(client.sent()[0].id, small.number());
    // The last limits received also apply while the client is away.
    client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
    let error = client.core.publish(client.now, &channel("c"), &large, None).unwrap_err();
    assert_eq!((error.code(), error.is_temporary()), (ErrorCode::BAD_REQUEST, false));

    // Before the client is connected, the limit is unknown.
    let mut client = Client::new();
    let before = client.publish("1");
    let large = client.core.publish(client.now, &channel("c"), &large, None).unwrap();
    let small = client.publish("2");
    client.core.connect(client.now);
    let limits = Limits { message_bytes: 100, ..Limits::default() };
    client.establish_with(Connected { session: "s".into(), limits, ..Connected::default() });
    client.events();
    let ids: Vec<u32> = client.sent().iter().map(|command| command.id).collect();
    assert_eq!(ids, [before.number(), small.number()]);
    assert_eq!(client.completed(), [(large, Err(ErrorCode::BAD_REQUEST))]);
}

#[test]
fn a_command_that_the_server_takes_has_room_however_small_the_queue_is() {
    let mut client = Client::with(Config { send_queue: 1000, ..Config::default() });
    let publish = |client: &mut Client, bytes| {
        let payload = Payload::bytes(vec![0; bytes]);
        client.core.publish(client.now, &channel("c"), &payload, None).map_err(|error| error.code())
    };
    let full = Err(ErrorCode::QUEUE_FULL);
    assert_eq!(publish(&mut client, 1_100_000), full, "1 MiB is the assumed limit");
    let large = Payload::bytes(vec![0; 1_100_000]);
    let error = client.core.publish(client.now, &channel("c"), &large, None).unwrap_err();
    assert!(error.is_temporary() && error.message().contains("first connect"), "{}", error.message());
    let first = publish(&mut client, 1_000_000).unwrap();
    assert_eq!(publish(&mut client, 2000), full, "one of them at a time");
    publish(&mut client, 900).unwrap();
    assert_eq!(publish(&mut client, 900), full, "the others have the queue");
    client.core.cancel(first);
    client.core.connect(client.now);
    let limits = Limits { message_bytes: 4_000_000, ..Limits::default() };
    client.establish_with(Connected { session: "s".into(), limits, ..Connected::default() });
    assert_eq!(publish(&mut client, 4_000_000), Err(ErrorCode::BAD_REQUEST), "above the limit of the server");
    publish(&mut client, 3_999_900).unwrap();
    // Without a limit every command has room, one at a time.
    let mut client = Client::with(Config { send_queue: 1000, ..Config::default() });
    client.core.connect(client.now);
    let limits = Limits { message_bytes: 0, ..Limits::default() };
    client.establish_with(Connected { session: "s".into(), limits, ..Connected::default() });
    publish(&mut client, 20_000_000).unwrap();
    assert_eq!(publish(&mut client, 20_000_000), full);
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
fn a_command_that_does_not_wait_fails_without_a_connection() {
    let fail_fast = SendOptions { fail_fast: true, timeout: None };
    let mut client = Client::new();
    let error = client.core.publish(client.now, &channel("c"), &Payload::json("1"), fail_fast).unwrap_err();
    assert_eq!(error.code(), ErrorCode::NOT_CONNECTED);

    let mut client = Client::connected();
    let unsent = client.core.publish(client.now, &channel("c"), &Payload::json("1"), fail_fast).unwrap();
    client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
    assert_eq!(client.completed(), [(unsent, Err(ErrorCode::NOT_CONNECTED))]);
    client.wait();
    client.establish();
    assert!(client.sent().is_empty());
}

#[test]
fn a_volatile_message_is_dropped_rather_than_queued() {
    let mut client = Client::new();
    let publish = |client: &mut Client| client.core.publish_volatile(&channel("c"), &Payload::json("1"));
    assert!(!publish(&mut client));
    let mut client = Client::connected();
    assert!(publish(&mut client));
    assert!(!publish(&mut client), "one is on its way");
    assert!(matches!(&client.sent()[..], [Command { id: 0, request: Request::Publish(_) }]));
    assert_eq!(client.core.poll_transmit(false), None);
    assert!(!publish(&mut client), "the transport is full");
}

#[test]
fn history_and_presence_are_commands_like_others() {
    let mut client = Client::connected();
    let request = History { channel: channel("c"), since: None, limit: 10, reverse: false };
    let history = client.core.history(client.now, &request, None).unwrap();
    let presence = client.core.presence(client.now, &channel("c"), None).unwrap();
    client.sent();
    let page =
        HistoryPage { position: Position::default(), publications: vec![publication("c", 1, 1)], more: true };
    let members = vec![Member { session: "s1".into(), ..Member::default() }];
    let list = PresenceList { members, sessions: 1, users: 1, more: false };
    client.reply(history.number(), Ok(ReplyBody::History(page.clone())));
    client.reply(presence.number(), Ok(ReplyBody::Presence(list.clone())));
    assert_eq!(
        client.completed(),
        [(history, Ok(Outcome::History(page))), (presence, Ok(Outcome::Presence(list)))]
    );
}
