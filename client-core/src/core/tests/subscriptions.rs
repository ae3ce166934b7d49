//! Subscriptions, and whose a publication is.

use super::*;

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
    client.reply(connect.id, Ok(Answer::Connected(Box::default())));
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
fn messages_to_everybody_need_no_subscription_and_other_strays_are_dropped() {
    let mut client = Client::connected();
    let mut to_all = publication("@all", 1, 0);
    to_all.publisher = Some(Member::default());
    client.receive([push(to_all), push(publication("stray", 2, 0)), ServerFrame::Push(Push::RefreshDue)]);
    let events = client.events();
    assert!(matches!(&events[..], [Event::Broadcast(publication)] if publication.time == 1), "{events:?}");
}

/// A client that is subscribed to `c` and has received up to offset 3 of epoch `e`; and the subscription's number.
fn with_history() -> (Client, SubscriptionId, u32) {
    let mut client = Client::connected();
    let subscription = client.subscribe("c");
    let id = client.sent()[0].id;
    let position = Some(Position { offset: 3, epoch: "e".into() });
    client.reply(id, Ok(Answer::Subscribed(Subscribed { position, ..subscribed("c", id) })));
    client.events();
    (client, subscription, id)
}

fn recoveries(client: &mut Client) -> Vec<Recovery> {
    let recovery = |event| match event {
        Event::Subscribed { recovery, .. } => Some(recovery),
        _ => None,
    };
    client.events().into_iter().filter_map(recovery).collect()
}

#[test]
fn a_hole_in_the_offsets_is_recovered_by_subscribing_again() {
    let (mut client, subscription, old) = with_history();
    client.receive([push(publication("c", 4, 4)), push(publication("c", 6, 6))]);
    assert_eq!(client.received(), [(subscription, 4)]);
    let commands = client.sent();
    let [Command { id, request: Request::Subscribe(again) }] = &commands[..] else { panic!("{commands:?}") };
    assert!(again.number > old);
    assert_eq!(again.position, Some(Position { offset: 4, epoch: "e".into() }));
    let recovered = Subscribed {
        position: Some(Position { offset: 6, epoch: "e".into() }),
        complete: true,
        recovered: vec![publication("c", 5, 5), publication("c", 6, 6)],
        ..subscribed("c", *id)
    };
    client.reply(*id, Ok(Answer::Subscribed(recovered)));
    assert_eq!(client.received(), [(subscription, 5), (subscription, 6)]);
}

#[test]
fn offsets_that_go_back_or_repeat_bring_nothing_twice() {
    let (mut client, subscription, _) = with_history();
    client.receive([4, 4, 2, 1, 5].map(|offset| push(publication("c", offset, offset))));
    assert_eq!(client.received(), [(subscription, 4), (subscription, 5)]);
}

#[test]
fn a_recovery_that_is_not_what_it_says_is_told_as_a_gap() {
    let at = |offset, epoch: &str| Some(Position { offset, epoch: epoch.into() });
    for (position, complete, recovered, expected) in [
        (at(5, "e"), true, vec![publication("c", 4, 4), publication("c", 5, 5)], Recovery::Complete),
        (at(3, "e"), true, vec![], Recovery::Complete),
        (at(5, "e"), true, vec![publication("c", 5, 5)], Recovery::Lost),
        (at(9, "e"), true, vec![publication("c", 4, 4)], Recovery::Lost),
        (at(3, "f"), true, vec![], Recovery::Lost),
        (at(9, "e"), false, vec![], Recovery::Lost),
        (None, false, vec![], Recovery::NoHistory),
    ] {
        let (mut client, ..) = with_history();
        client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
        client.wait();
        let number = client.core.last_id + 2;
        let result = Ok(Subscribed { position, complete, recovered, ..subscribed("c", number) });
        let outcome = SubscribeOutcome { channel: channel("c"), number, result };
        client.establish_with(Connected { subscriptions: vec![outcome], ..Connected::default() });
        assert_eq!(recoveries(&mut client), [expected]);
    }
}

#[test]
fn of_a_frame_that_is_broken_at_its_end_nothing_is_told_but_that() {
    let mut client = Client::connected();
    client.subscribe("c");
    let [Command { id, request: Request::Subscribe(subscribe) }] = &client.sent()[..] else { panic!() };
    let recovered = vec![publication("c", 1, 1), publication("broken", 2, 2)];
    let subscribed = Subscribed { recovered, ..subscribed("c", subscribe.number) };
    let frame = ServerFrame::Reply(Reply { id: *id, result: Ok(Answer::Subscribed(subscribed)) });
    let mut bytes = Codec::Protobuf.encode_frame(&frame).to_vec();
    let name = bytes.windows(6).position(|window| window == b"broken").unwrap();
    bytes[name] = b' ';
    client.core.handle_message(client.now, &bytes.into());
    let events = client.events();
    assert!(matches!(&events[0], Event::Error(error) if error.code() == ErrorCode::BAD_FRAME), "{events:?}");
    assert!(
        matches!(&events[1..], [Event::State(StateChange { state: State::Reconnecting, .. })]),
        "{events:?}"
    );
}
