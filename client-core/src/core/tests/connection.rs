//! Opening, losing, leaving and closing connections.

use super::*;

#[test]
fn an_attempt_that_hangs_is_given_up() {
    let mut client = Client::new();
    client.core.connect(client.now);
    assert_eq!(client.core.poll_transmit(true), Some(Transmit::Open));
    assert_eq!(client.wait(), Duration::from_secs(10));
    assert!(matches!(client.core.poll_transmit(true), Some(Transmit::Close { .. })));
    assert_eq!(client.core.state(), ClientState::Connecting, "it was never connected");
    client.wait();
    assert_eq!(client.core.poll_transmit(true), Some(Transmit::Open));
}

#[test]
fn a_final_code_ends_the_client_and_every_waiting_command() {
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
    assert_eq!((change.state, change.code), (ClientState::Closed, Some(CloseCode::DISCONNECTED)));
    assert_eq!(change.reason, "spam");
    assert_eq!(client.core.failure().unwrap().message(), "spam");
    assert_eq!(client.core.poll_timeout(), None);
    assert_eq!(client.core.poll_transmit(true), None);
    assert!(client.core.subscribe(&channel("d")).is_err());
}

#[test]
fn a_close_by_the_application_ends_subscriptions_without_an_error() {
    let mut client = Client::connected();
    let subscription = client.subscribe("c");
    client.core.close(CloseCode::NORMAL, "");
    let events = client.events();
    assert!(
        matches!(events[0], Event::Unsubscribed { subscription: ended, error: None } if ended == subscription),
        "{events:?}"
    );
    // Not so if the server closes for good.
    let mut client = Client::connected();
    client.subscribe("c");
    client.core.handle_close(client.now, CloseCode::DISCONNECTED, "");
    let events = client.events();
    assert!(
        matches!(&events[0], Event::Unsubscribed { error: Some(error), .. }
        if error.code() == ErrorCode::CLOSED),
        "{events:?}"
    );
}

#[test]
fn a_message_that_the_server_never_takes_is_refused_for_good_whatever_waits() {
    let mut client = Client::new();
    client.core.connect(client.now);
    let limits = Limits { message_bytes: 2_000_000, ..Limits::default() };
    client.establish_with(Connected { session: "s".into(), limits, ..Connected::default() });
    let send = |client: &mut Client, bytes| {
        let payload = Payload::bytes(vec![0; bytes]);
        client.core.publish(client.now, &channel("c"), &payload, None)
    };
    send(&mut client, 1_900_000).unwrap();
    for bytes in [2_000_000, 2_000_001, 100_000_000] {
        for error in [send(&mut client, bytes).unwrap_err(), client.core.check_size(bytes + 1).unwrap_err()] {
            assert_eq!((error.code(), error.is_temporary()), (ErrorCode::BAD_REQUEST, false), "{bytes}");
        }
    }
    for error in [send(&mut client, 1_900_000).unwrap_err(), client.core.check_size(1_900_000).unwrap_err()] {
        assert_eq!(
            (error.code(), error.is_temporary()),
            (ErrorCode::QUEUE_FULL, true),
            "there is one already"
        );
    }
    client.core.check_size(1000).unwrap();
}

#[test]
fn closing_sends_the_reason_and_cuts_a_long_one() {
    let mut client = Client::connected();
    client.core.close(CloseCode::new(4001).unwrap(), &"ü".repeat(100));
    let Some(Transmit::Close { code, reason }) = client.core.poll_transmit(true) else { panic!() };
    assert_eq!((code.number(), reason.as_str()), (4001, "ü".repeat(61).as_str()));
    assert_eq!(client.states(), [ClientState::Closed]);
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
fn garbage_is_reported_and_the_connection_closed() {
    let garbage = [Bytes::from_static(&[0xff; 20]), Bytes::from_static(&[5, 1])];
    for message in garbage {
        let mut client = Client::connected();
        client.core.handle_message(client.now, &message);
        assert_eq!(client.errors(), [ErrorCode::BAD_FRAME]);
        let Some(Transmit::Close { code, .. }) = client.core.poll_transmit(true) else { panic!() };
        assert_eq!((code, client.core.state()), (CloseCode::BAD_FRAME, ClientState::Reconnecting));
    }
    let mut client = Client::connected();
    client.core.handle_text(client.now);
    assert_eq!(client.errors(), [ErrorCode::BAD_FRAME]);
}

#[test]
fn frames_before_garbage_in_the_same_message_count() {
    let mut client = Client::connected();
    let publish = client.publish("1");
    client.sent();
    let reply = ServerFrame::Reply(Reply {
        id: publish.number(),
        result: Ok(ReplyBody::Published(Published::default())),
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
        assert_eq!((code, client.core.state()), (CloseCode::NOT_WIREHUB, ClientState::Closed));
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
    let message = message.expect("the mismatch is reported");
    assert!(message.contains("chat:{room}") && !message.contains("echo"), "{message}");
    assert_eq!(client.core.state(), ClientState::Connected, "old and new continue with the common items");
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

/// A reconnected client that has missed this many publications.
fn behind(missed: u64) -> Client {
    let mut client = Client::new();
    client.subscribe("c");
    client.core.connect(client.now);
    client.establish();
    client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
    client.core.reconnect_now(client.now);
    client.events();
    assert_eq!(client.core.poll_transmit(true), Some(Transmit::Open));
    client.core.handle_open(SUBPROTOCOL_PROTOBUF);
    let Command { id, request: Request::Connect(connect) } = client.sent().remove(0) else { panic!() };
    let number = connect.subscriptions[0].number;
    let position = Some(Position { offset: 4, epoch: "e".into() });
    let subscribed = Subscribed { position, complete: true, recovering: missed, ..subscribed("c", number) };
    let subscriptions = vec![SubscribeOutcome { channel: channel("c"), number, result: Ok(subscribed) }];
    let connected = Connected { session: "s2".into(), subscriptions, ..Connected::default() };
    client.reply(id, Ok(ReplyBody::Connected(Box::new(connected))));
    client
}

#[test]
fn a_client_is_connected_once_it_has_caught_up_and_sends_before() {
    let mut client = behind(0);
    assert_eq!(client.states(), [ClientState::Connected]);
    let mut client = behind(2);
    assert_eq!(client.states(), []);
    client.publish("1");
    assert_eq!(client.sent().len(), 1, "there is a session");
    client.receive([push(publication("c", 1, 5))]);
    assert_eq!(client.core.state(), ClientState::Reconnecting);
    client.receive([push(publication("c", 2, 6))]);
    assert_eq!(client.states(), [ClientState::Connected]);
}

#[test]
fn slow_catching_up_continues_while_the_client_is_connected() {
    let mut client = behind(2);
    let mut waited = Duration::ZERO;
    while client.core.state() != ClientState::Connected {
        // The server responds.
        client.receive([]);
        waited += client.wait();
    }
    assert_eq!(waited, Duration::from_secs(30));
    client.receive([push(publication("c", 1, 5)), push(publication("c", 2, 6))]);
    assert_eq!(client.states(), [ClientState::Connected], "and once");
}

#[test]
fn a_connection_that_is_lost_half_way_was_none() {
    let mut client = behind(2);
    client.receive([push(publication("c", 1, 5))]);
    client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
    client.core.reconnect_now(client.now);
    let connect = client.establish();
    let position = connect.subscriptions[0].position.as_ref().unwrap();
    assert_eq!(position.offset, 5, "it goes on from there");
    assert_eq!(client.core.state(), ClientState::Connected);
}

#[test]
fn unsubscribing_from_a_channel_that_is_behind_makes_the_client_connected() {
    let mut client = behind(2);
    let events = client.events();
    let subscription = events
        .iter()
        .find_map(|event| match event {
            Event::Subscribed { subscription, .. } => Some(*subscription),
            _ => None,
        })
        .unwrap();
    client.core.unsubscribe(subscription);
    let events = client.events();
    assert!(
        matches!(&events[..], [Event::Unsubscribed { .. }, Event::State(change)] if change.state == ClientState::Connected),
        "{events:?}"
    );
}

/// A reconnected client with more subscriptions than `connect` has room for. Also returns the number of a subscription
/// without room.
fn without_room() -> (Client, u32) {
    let mut client = Client::with(Config { token: "t".repeat(59 * 1024), ..Config::default() });
    client.core.connect(client.now);
    client.establish();
    for name in ["a", "z".repeat(250).as_str()] {
        client.subscribe(name);
        let id = client.sent()[0].id;
        let position = Some(Position { offset: 4, epoch: "e".repeat(700) });
        client.reply(id, Ok(ReplyBody::Subscribed(Subscribed { position, ..subscribed(name, id) })));
    }
    client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
    client.wait();
    client.events();
    let connect = client.establish();
    assert_eq!(connect.subscriptions.len(), 1);
    let sent = client.sent();
    let [Command { id, request: Request::Subscribe(_) }] = &sent[..] else { panic!("{sent:?}") };
    (client, *id)
}

#[test]
fn subscriptions_without_room_in_connect_count_for_being_connected() {
    let (mut client, id) = without_room();
    assert_eq!(client.states(), [], "it has been asked for");
    let position = Some(Position { offset: 4, epoch: "e".repeat(700) });
    let answer = Subscribed { position, complete: true, recovering: 1, ..subscribed(&"z".repeat(250), id) };
    client.reply(id, Ok(ReplyBody::Subscribed(answer)));
    assert_eq!(client.states(), [], "it is behind");
    client.receive([push(publication(&"z".repeat(250), 1, 5))]);
    assert_eq!(client.states(), [ClientState::Connected]);

    let (mut client, id) = without_room();
    client.reply(id, Err(ErrorInfo::from_code(ErrorCode::PERMISSION_DENIED)));
    assert_eq!(client.states(), [ClientState::Connected], "there is nothing to wait for");

    let (mut client, id) = without_room();
    client.reply(id, Err(ErrorInfo::from_code(ErrorCode::RATE_LIMITED)));
    assert_eq!(client.states(), [ClientState::Connected], "for now");
}

#[test]
fn ids_are_numbers_and_back() {
    let mut client = Client::connected();
    let subscription = client.subscribe("c");
    let command = client.publish("1");
    assert_ne!(subscription.number(), command.number());
    assert_eq!(SubscriptionId::from_number(subscription.number()), subscription);
    assert_eq!(CommandId::from_number(command.number()), command);
    assert_eq!(TokenRequest::from_number(7).number(), 7);
}

#[test]
fn the_settings_in_force_can_be_read() {
    let mut client = Client::with(Config { client: "a test".into(), ..Config::default() });
    assert_eq!(client.core.config().client, "a test");
    assert_eq!((client.core.session(), client.core.user()), ("", ""));
    client.core.connect(client.now);
    let limits = Limits { channels: 7, ..Limits::default() };
    let (session, user) = ("s".into(), "ann".into());
    client.establish_with(Connected { session, user, limits, ..Connected::default() });
    assert_eq!((client.core.session(), client.core.user()), ("s", "ann"));
    assert_eq!(client.core.limits().channels, 7);
    assert!(client.core.failure().is_none());
    client.core.connect(client.now);
    assert_eq!(client.core.poll_transmit(true), None, "it has begun already");
}

#[test]
fn a_frame_that_belongs_to_no_command_is_passed_over() {
    let mut client = Client::connected();
    client.reply(4_000_000, Ok(ReplyBody::Published(Published::default())));
    client.reply(4_000_001, Err(ErrorInfo::from_code(ErrorCode::INTERNAL)));
    // An error, code 100, without an id; and one to the id 0.
    for message in [&[4, 0x1a, 2, 8, 100][..], &[6, 8, 0, 0x1a, 2, 8, 100]] {
        client.core.handle_message(client.now, &Bytes::copy_from_slice(message));
    }
    assert!(client.events().is_empty());
    assert_eq!((client.core.poll_transmit(true), client.core.state()), (None, ClientState::Connected));
}

#[test]
fn another_answer_to_connect_than_there_is_ends_the_connection() {
    let mut client = Client::new();
    client.core.connect(client.now);
    assert_eq!(client.core.poll_transmit(true), Some(Transmit::Open));
    client.core.handle_open(SUBPROTOCOL_PROTOBUF);
    let [Command { id, .. }] = client.sent()[..] else { panic!("no connect") };
    client.reply(id, Ok(ReplyBody::Published(Published::default())));
    assert_eq!(client.errors(), [ErrorCode::BAD_FRAME]);
    let Some(Transmit::Close { code, .. }) = client.core.poll_transmit(true) else { panic!("no close") };
    assert_eq!(
        (code, client.core.state()),
        (CloseCode::BAD_FRAME, ClientState::Connecting),
        "it tries again"
    );
}

#[test]
fn a_publication_of_an_unknown_content_ends_the_connection() {
    let mut client = Client::connected();
    client.core.handle_message(client.now, &Bytes::from_static(b"\x07\x12\x05\x0a\x01a\x10\x7f"));
    assert_eq!(client.errors(), [ErrorCode::BAD_FRAME]);
    let Some(Transmit::Close { code, .. }) = client.core.poll_transmit(true) else { panic!("no close") };
    assert_eq!((code, client.core.state()), (CloseCode::BAD_FRAME, ClientState::Reconnecting));
}
