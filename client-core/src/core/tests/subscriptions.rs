//! Subscriptions, and the assignment of publications to them.

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
    client.reply(connect.id, Ok(ReplyBody::Connected(Box::default())));
    let commands = client.sent();
    assert!(matches!(&commands[..], [Command { request: Request::Subscribe(_), .. }]), "{commands:?}");
}

#[test]
fn publications_before_the_subscription_is_confirmed_belong_to_an_older_one() {
    let mut client = Client::connected();
    let old = client.subscribe("c");
    let id = client.sent()[0].id;
    client.reply(id, Ok(ReplyBody::Subscribed(subscribed("c", id))));
    client.core.unsubscribe(old);
    let new = client.subscribe("c");
    let commands = client.sent();
    let id = commands[1].id;
    assert!(matches!(commands[0].request, Request::Unsubscribe(_)));
    client.receive([push(publication("c", 1, 0))]);
    client.reply(id, Ok(ReplyBody::Subscribed(subscribed("c", id))));
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
    client.reply(old, Ok(ReplyBody::Subscribed(subscribed("c", old))));
    client.receive([push(publication("c", 1, 0))]);
    assert_eq!(client.received(), []);
}

#[test]
fn one_channel_has_one_subscription() {
    let mut client = Client::connected();
    client.subscribe("c");
    let error = client.core.subscribe(&channel("c")).unwrap_err();
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
    client.reply(id, Ok(ReplyBody::Subscribed(subscribed("c", id))));
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
fn missed_publications_follow_and_a_cut_half_way_continues_from_there() {
    let (mut client, subscription, _) = with_history();
    client.receive([push(publication("c", 4, 4))]);
    assert_eq!(client.received(), [(subscription, 4)]);
    client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
    client.come_back_at(at(4, "e"), true, 3);
    assert_eq!(recoveries(&mut client), [Recovery::Complete]);
    client.receive([push(publication("c", 5, 5)), push(publication("c", 6, 6))]);
    assert_eq!(client.received(), [(subscription, 5), (subscription, 6)]);
    client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
    client.come_back_at(at(6, "e"), true, 1);
    client.receive([7, 8].map(|offset| push(publication("c", offset, offset))));
    assert_eq!(client.received(), [(subscription, 7), (subscription, 8)]);
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

fn at(offset: u64, epoch: &str) -> Option<Position> {
    Some(Position { offset, epoch: epoch.into() })
}

/// A client that is subscribed to `c` and has received up to offset 3 of epoch `e`; also returns the subscription's
/// number.
fn with_history() -> (Client, SubscriptionId, u32) {
    let mut client = Client::connected();
    let subscription = client.subscribe("c");
    let id = client.sent()[0].id;
    client.reply(id, Ok(ReplyBody::Subscribed(Subscribed { position: at(3, "e"), ..subscribed("c", id) })));
    client.events();
    (client, subscription, id)
}

impl Client {
    /// Reconnects and subscribes to `c` from this position on; returns the subscription's number, and the position that
    /// the client requested.
    fn come_back_at(
        &mut self,
        position: Option<Position>,
        complete: bool,
        recovering: u64,
    ) -> (u32, Option<Position>) {
        self.wait();
        let number = self.core.last_id.wrapping_add(2);
        let result = Ok(Subscribed { position, complete, recovering, ..subscribed("c", number) });
        let outcome = SubscribeOutcome { channel: channel("c"), number, result };
        let session = "s".into();
        let connected = Connected { session, subscriptions: vec![outcome], ..Connected::default() };
        let connect = self.establish_with(connected);
        assert_eq!(connect.subscriptions[0].number, number);
        (number, connect.subscriptions[0].position.clone())
    }
}

fn epochs(client: &mut Client) -> Vec<String> {
    let epoch = |event| match event {
        Event::Epoch { epoch, .. } => Some(epoch),
        _ => None,
    };
    std::iter::from_fn(|| client.core.poll_event()).filter_map(epoch).collect()
}

#[test]
fn the_epoch_of_the_messages_is_reported_when_it_changes() {
    let options = SubscribeOptions::new().since(at(3, "e"));
    let (mut client, _, id, _) = subscribed_with(options);
    let answer = Subscribed { position: at(3, "e"), complete: true, ..subscribed("c", id) };
    client.reply(id, Ok(ReplyBody::Subscribed(answer)));
    assert_eq!(epochs(&mut client), ["e"], "also that of the application's own position");
    for (position, expected) in [(at(3, "e"), &[][..]), (at(0, "f"), &["f"]), (None, &[""]), (None, &[])] {
        client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
        let (number, _) = client.come_back_at(position.clone(), false, 0);
        assert_eq!(epochs(&mut client), expected);
        client.receive([ServerFrame::Push(Push::Subscribed(Subscribed {
            position,
            ..subscribed("c", number)
        }))]);
        assert_eq!(epochs(&mut client), [""; 0], "the same again");
    }
}

/// A client with a subscription to `c` that was made with options; also returns the command.
fn subscribed_with(options: SubscribeOptions) -> (Client, SubscriptionId, u32, Subscribe) {
    let mut client = Client::connected();
    let subscription = client.core.subscribe_with(&channel("c"), options).unwrap();
    let Command { id, request: Request::Subscribe(subscribe) } = client.sent().remove(0) else { panic!() };
    (client, subscription, id, subscribe)
}

#[test]
fn a_subscription_begins_with_the_history_and_that_is_no_gap() {
    let (mut client, subscription, id, subscribe) = subscribed_with(SubscribeOptions::new().history(50));
    assert_eq!((subscribe.position, subscribe.history), (None, 50));
    let answer = Subscribed { position: at(2, "e"), recovering: 2, ..subscribed("c", id) };
    client.reply(id, Ok(ReplyBody::Subscribed(answer)));
    client.receive([3, 4, 5].map(|offset| push(publication("c", offset, offset))));
    let events = client.events();
    assert!(
        matches!(events[0], Event::Subscribed { recovery: Recovery::First, .. })
            && events[1..].iter().all(|event| matches!(event, Event::Publication { .. })),
        "{events:?}"
    );
    client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
    client.wait();
    let connect = client.establish();
    let [Subscribe { position, history, .. }] = &connect.subscriptions[..] else { panic!("{connect:?}") };
    assert_eq!((position, *history), (&at(5, "e"), 0), "it goes on where it was");
    client.core.unsubscribe(subscription);
}

#[test]
fn the_history_is_asked_for_until_the_subscription_has_begun() {
    let (mut client, _, _, _) = subscribed_with(SubscribeOptions::new().history(50));
    client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
    client.wait();
    // The channel keeps no history.
    let connect = client.establish();
    assert_eq!((&connect.subscriptions[0].position, connect.subscriptions[0].history), (&None, 50));
    assert_eq!(recoveries(&mut client), [Recovery::First]);
    client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
    client.wait();
    let connect = client.establish();
    assert_eq!(connect.subscriptions[0].history, 0, "live messages would come a second time");
    assert_eq!(recoveries(&mut client), [Recovery::NoHistory]);
}

#[test]
fn a_subscription_since_a_position_reports_whether_messages_are_missing() {
    for (position, complete, expected) in [
        (at(3, "e"), true, Recovery::Complete),
        (at(7, "e"), false, Recovery::Lost),
        (at(3, "f"), false, Recovery::Lost),
        (None, false, Recovery::NoHistory),
    ] {
        let options = SubscribeOptions::new().history(50).since(at(3, "e"));
        let (mut client, _, id, subscribe) = subscribed_with(options);
        assert_eq!((subscribe.position, subscribe.history), (at(3, "e"), 0));
        let answer = Subscribed { position, complete, ..subscribed("c", id) };
        client.reply(id, Ok(ReplyBody::Subscribed(answer)));
        assert_eq!(recoveries(&mut client), [expected]);
    }
}

fn recoveries(client: &mut Client) -> Vec<Recovery> {
    let recovery = |event| match event {
        Event::Subscribed { recovery, .. } => Some(recovery),
        _ => None,
    };
    client.events().into_iter().filter_map(recovery).collect()
}

#[test]
fn a_hole_in_the_offsets_is_reported_once_and_nothing_is_requested() {
    let (mut client, subscription, _) = with_history();
    client.receive([4, 6, 7, 20].map(|offset| push(publication("c", offset, offset))));
    let told: Vec<_> = client
        .events()
        .into_iter()
        .map(|event| match event {
            Event::Publication { publication, .. } => Ok(publication.offset),
            Event::Gap { subscription: of, reason } if of == subscription => Err(reason),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told, [Ok(4), Err(Gap::Dropped), Ok(6), Ok(7), Err(Gap::Dropped), Ok(20)]);
    assert!(client.sent().is_empty());
    client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
    assert_eq!(client.come_back_at(at(20, "e"), true, 0).1, at(20, "e"));
    assert_eq!(recoveries(&mut client), [Recovery::Complete], "the gap was reported");
}

#[test]
fn an_active_subscription_continues_at_the_position_of_the_server_after_a_gap() {
    for (position, reason) in
        [(at(9, "e"), Gap::Lost), (at(1, "f"), Gap::Lost), (at(0, "f"), Gap::Lost), (None, Gap::Dropped)]
    {
        let (mut client, subscription, number) = with_history();
        let unasked = |number| {
            let position = position.clone();
            ServerFrame::Push(Push::Subscribed(Subscribed { position, ..subscribed("c", number) }))
        };
        client.receive([unasked(number - 1), unasked(0)]);
        assert!(client.events().is_empty(), "an older one is not this one");
        client.receive([unasked(number)]);
        let events = client.events();
        assert!(
            matches!(&events[..], [Event::Gap { subscription: of, reason: why }]
                if (*of, *why) == (subscription, reason)),
            "and nothing else: {events:?}"
        );
        let next = position.as_ref().map_or(0, |position| position.offset + 1);
        client.receive([push(publication("c", 77, next))]);
        assert_eq!(client.received(), [(subscription, 77)]);
        assert!(client.sent().is_empty());
    }
}

#[test]
fn a_subscription_is_asked_for_once_however_long_the_answer_takes() {
    let mut client = Client::connected();
    client.subscribe("c");
    let id = client.sent()[0].id;
    for _ in 0..100 {
        client.now = client.now.after(Duration::from_secs(20));
        client.core.handle_message(client.now, &Bytes::new());
        client.core.handle_timeout(client.now);
        assert_eq!(client.core.poll_transmit(true), Some(Transmit::Send(Bytes::new())));
        assert!(client.sent().is_empty());
    }
    client.reply(id, Ok(ReplyBody::Subscribed(subscribed("c", id))));
    assert_eq!(recoveries(&mut client), [Recovery::First]);
}

#[test]
fn connect_stays_small_and_the_subscriptions_without_room_in_it_are_asked_for_behind_it() {
    let mut client = Client::with(Config { token: "t".repeat(20_000), ..Config::default() });
    let names: Vec<_> = (0..1000).map(|number| format!("{number:0>100}")).collect();
    for name in &names {
        client.subscribe(name);
    }
    client.core.connect(client.now);
    let connect = client.establish();
    let restored = connect.subscriptions.len();
    assert!((200..500).contains(&restored), "{restored}");
    let mut asked: Vec<_> =
        connect.subscriptions.iter().map(|subscribe| subscribe.channel.as_str().to_owned()).collect();
    for Command { request, .. } in client.sent() {
        let Request::Subscribe(subscribe) = request else { panic!("{request:?}") };
        asked.push(subscribe.channel.as_str().into());
    }
    assert_eq!(asked, names);
}

#[test]
fn offsets_that_go_back_or_repeat_bring_nothing_twice() {
    let (mut client, subscription, _) = with_history();
    client.receive([4, 4, 2, 1, 5].map(|offset| push(publication("c", offset, offset))));
    assert_eq!(client.received(), [(subscription, 4), (subscription, 5)]);
}

#[test]
fn an_incomplete_recovery_is_reported_as_a_gap() {
    for (position, complete, expected) in [
        (at(3, "e"), true, Recovery::Complete),
        (at(4, "e"), true, Recovery::Lost),
        (at(2, "e"), true, Recovery::Lost),
        (at(3, "f"), true, Recovery::Lost),
        (at(3, "e"), false, Recovery::Lost),
        (at(9, "e"), false, Recovery::Lost),
        (None, true, Recovery::NoHistory),
        (None, false, Recovery::NoHistory),
    ] {
        let (mut client, subscription, _) = with_history();
        client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
        let next = position.as_ref().map_or(0, |position| position.offset + 1);
        client.come_back_at(position, complete, 0);
        assert_eq!(recoveries(&mut client), [expected]);
        client.receive([push(publication("c", 77, next))]);
        let events = client.events();
        assert!(
            matches!(&events[..], [Event::Publication { subscription: of, .. }] if *of == subscription),
            "the gap was reported: {events:?}"
        );
    }
}

#[test]
fn a_frame_broken_at_its_end_is_reported_and_has_no_other_effect() {
    let mut client = Client::connected();
    let history = History { channel: channel("c"), since: None, limit: 10, reverse: false };
    let command = client.core.history(client.now, &history, None).unwrap();
    client.sent();
    let publications = vec![publication("c", 1, 1), publication("broken", 2, 2)];
    let page = HistoryPage { position: Position::default(), publications, more: false };
    let frame = ServerFrame::Reply(Reply { id: command.number(), result: Ok(ReplyBody::History(page)) });
    let mut bytes = Codec::Protobuf.encode_frame(&frame).to_vec();
    let name = bytes.windows(6).position(|window| window == b"broken").unwrap();
    bytes[name] = b' ';
    client.core.handle_message(client.now, &bytes.into());
    let events = client.events();
    assert!(matches!(&events[0], Event::Error(error) if error.code() == ErrorCode::BAD_FRAME), "{events:?}");
    assert!(matches!(&events[1..], [Event::Completed { .. }, Event::State(_)]), "{events:?}");
}
