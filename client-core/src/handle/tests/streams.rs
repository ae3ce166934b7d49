//! Subscriptions, responses, offers, alarms and broadcasts.

use super::*;

fn listening(config: Config) -> (Play, Subscription<Binary>, u32) {
    let play = Play::connected(config);
    let subscription = play.client.subscribe(&Row::new("a").unwrap()).unwrap();
    let number = play.confirm();
    (play, subscription, number)
}

fn row(bytes: &'static str) -> Push {
    Push::Publication(published("row:a", Payload::bytes(bytes)))
}

#[test]
fn a_subscription_continues_past_messages_that_do_not_fit() {
    let (play, mut rows, _) = listening(Config::default());
    assert_eq!(rows.channel(), &channel("row:a"));
    assert!(rows.ready().now_or_never().unwrap().is_ok());
    assert!(rows.ready().now_or_never().unwrap().is_ok(), "and again");
    play.push(row("1"));
    play.push(Push::Publication(published("row:a", Payload::json("1"))));
    play.push(Push::Publication(Publication {
        offset: 9,
        publisher: None,
        ..published("row:a", Payload::bytes("2"))
    }));
    let first = publication(&mut rows);
    assert_eq!((first.message, first.time.as_secs(), first.offset), (Binary("1".into()), 5, None));
    assert_eq!((first.publisher.unwrap().session.as_str(), first.channel), ("s2", channel("row:a")));
    assert_eq!(code(next(&mut rows).unwrap()), ErrorCode::PAYLOAD_MISMATCH);
    let third = publication(&mut rows);
    assert_eq!((third.offset, third.publisher), (Some(9), None));
    assert!(next(&mut rows).is_none());
    rows.unsubscribe();
    assert!(is_over(&mut rows));
    assert!(matches!(play.command().request, Request::Unsubscribe(_)));
}

#[test]
fn dropping_a_subscription_ends_it_and_a_second_one_is_refused_before() {
    let (play, rows, number) = listening(Config::default());
    assert_eq!(code(play.client.subscribe_raw(channel("row:a"))), ErrorCode::ALREADY_SUBSCRIBED);
    drop(rows);
    let Command { request: Request::Unsubscribe(end), .. } = play.command() else { panic!() };
    assert_eq!(end.number, number);
    let _rows = play.client.subscribe_raw(channel("row:a")).unwrap();
}

#[test]
fn a_refused_subscription_has_the_reason_in_both_places() {
    let play = Play::connected(Config::default());
    let mut rows = play.client.subscribe_raw(channel("c")).unwrap();
    assert!(rows.ready().now_or_never().is_none());
    play.refuse(play.command().id, ErrorCode::PERMISSION_DENIED);
    assert_eq!(code(rows.ready().now_or_never().unwrap()), ErrorCode::PERMISSION_DENIED);
    assert_eq!(code(next(&mut rows).unwrap()), ErrorCode::PERMISSION_DENIED);
    assert!(is_over(&mut rows));
}

#[test]
fn the_server_s_end_of_a_subscription_is_its_last_item() {
    let (play, mut rows, number) = listening(Config::default());
    play.push(row("1"));
    let error = ErrorInfo::from_code(ErrorCode::PERMISSION_DENIED);
    play.push(Push::Unsubscribed(Unsubscribed { channel: channel("row:a"), number, error }));
    assert!(next(&mut rows).unwrap().is_ok());
    assert_eq!(code(next(&mut rows).unwrap()), ErrorCode::PERMISSION_DENIED);
    assert!(is_over(&mut rows));
}

#[test]
fn a_gap_is_a_value_with_the_reason_and_the_stream_goes_on() {
    let (play, mut rows, number) = listening(Config::default());
    let gap = |rows: &mut Subscription<Binary>| next(rows).unwrap().unwrap().gap().unwrap();
    // While it is active.
    play.push(Push::Subscribed(subscribed(&channel("row:a"), number)));
    assert_eq!(gap(&mut rows), Gap::Dropped);
    let position = Some(Position { offset: 3, epoch: "e".into() });
    play.push(Push::Subscribed(Subscribed { position, ..subscribed(&channel("row:a"), number) }));
    assert_eq!(gap(&mut rows), Gap::Lost);
    // After a reconnect.
    play.lose();
    play.driver.reconnect_now();
    play.let_in();
    assert_eq!(gap(&mut rows), Gap::NoHistory);
    play.push(row("1"));
    assert_eq!(publication(&mut rows).message, Binary("1".into()));
}

#[test]
fn publications_leave_gaps_out_or_hand_them_to_a_function_in_their_place() {
    let (play, rows, number) = listening(Config::default());
    let (mut gaps, mut messages) = (Vec::new(), Vec::new());
    let mut rows = rows.publications();
    let gap = || Push::Subscribed(subscribed(&channel("row:a"), number));
    play.push(gap());
    play.push(row("1"));
    assert_eq!(next(&mut rows).unwrap().unwrap().message, Binary("1".into()));
    assert_eq!(rows.subscription().channel(), &channel("row:a"));

    play.push(row("2"));
    play.push(gap());
    play.push(row("3"));
    play.push(Push::Publication(published("row:a", Payload::json("1"))));
    let mut rows = rows.on_gap(|gap| gaps.push(gap));
    let error = loop {
        match next(&mut rows).unwrap() {
            Ok(publication) => messages.push(publication.message),
            Err(error) => break error,
        }
    };
    assert!(!error.ends_stream(), "one message does not fit");
    assert!(next(&mut rows).is_none(), "nothing more, for now");
    rows.into_subscription().unsubscribe();
    assert_eq!(messages, [Binary("2".into()), Binary("3".into())]);
    assert_eq!(gaps, [Gap::Dropped]);
}

#[test]
fn a_reader_that_is_too_slow_loses_its_subscription_or_messages_as_it_chose() {
    let config = Config { receive_queue: 1000, ..Config::default() };
    let (play, mut rows, _) = listening(config.clone());
    for _ in 0..20 {
        play.push(row("a message"));
    }
    let mut received = 0;
    let error = loop {
        match next(&mut rows).unwrap() {
            Ok(_) => received += 1,
            Err(error) => break error,
        }
    };
    assert!((2..20).contains(&received), "{received}");
    assert_eq!(error.code(), ErrorCode::OVERFLOW);
    assert!(is_over(&mut rows));
    assert!(matches!(play.command().request, Request::Unsubscribe(_)));

    let (play, mut rows, _) = listening(Config { overflow: Overflow::Latest, ..config });
    play.push(row("1"));
    play.push(row("2"));
    assert_eq!(publication(&mut rows).message, Binary("2".into()));
    assert!(next(&mut rows).is_none());
}

#[test]
fn a_gap_for_which_there_is_no_room_ends_the_subscription_too() {
    let (play, mut rows, number) = listening(Config { receive_queue: 1, ..Config::default() });
    play.push(row("1"));
    play.push(Push::Subscribed(subscribed(&channel("row:a"), number)));
    assert!(next(&mut rows).unwrap().is_ok());
    assert_eq!(code(next(&mut rows).unwrap()), ErrorCode::OVERFLOW);

    let (play, mut rows, _) = listening(Config { receive_queue: 1, ..Config::default() });
    play.push(row("1"));
    play.lose();
    play.driver.reconnect_now();
    play.let_in();
    assert!(next(&mut rows).unwrap().is_ok());
    assert_eq!(code(next(&mut rows).unwrap()), ErrorCode::OVERFLOW);
}

#[test]
fn member_changes_are_reported_and_are_unknown_after_a_reconnect() {
    let (play, rows, _) = listening(Config::default());
    let mut changes = rows.member_changes();
    let member = Member { session: "s3".into(), ..Member::default() };
    let movement = || frame::Movement { channel: channel("row:a"), member: member.clone() };
    play.push(Push::Join(movement()));
    play.push(Push::Leave(movement()));
    assert_eq!(next(&mut changes), Some(MemberChange::Joined(member.clone())));
    assert_eq!(next(&mut changes), Some(MemberChange::Left(member.clone())));
    play.lose();
    play.driver.reconnect_now();
    play.let_in();
    assert_eq!(next(&mut changes), Some(MemberChange::Unknown));
    drop(rows);
    assert!(is_over(&mut changes));
}

#[test]
fn responses_come_in_order_and_end() {
    let play = Play::connected(Config::default());
    let mut responses = play.client.call_stream::<Count>(&Binary("3".into())).unwrap();
    let Command { id, request: Request::Call(call) } = play.command() else { panic!() };
    assert_eq!(call.name, "count");
    let respond = |payload, more| play.reply(id, Ok(ReplyBody::Called(Called { payload, more })));
    respond(Payload::bytes("1"), true);
    respond(Payload::json("2"), true);
    respond(Payload::bytes("3"), true);
    assert_eq!(next(&mut responses).unwrap().unwrap(), Binary("1".into()));
    assert_eq!(code(next(&mut responses).unwrap()), ErrorCode::PAYLOAD_MISMATCH);
    assert_eq!(next(&mut responses).unwrap().unwrap(), Binary("3".into()));
    assert!(next(&mut responses).is_none());
    respond(Payload::default(), false);
    assert!(is_over(&mut responses));

    let mut responses = play.client.call_stream_raw("f", Payload::json("1")).unwrap();
    play.refuse(play.command().id, ErrorCode::UNKNOWN_CALL);
    assert_eq!(code(next(&mut responses).unwrap()), ErrorCode::UNKNOWN_CALL);
    assert!(is_over(&mut responses));

    let responses = play.client.call_stream_raw("f", Payload::json("1")).unwrap();
    let id = play.command().id;
    drop(responses);
    let Command { request: Request::Cancel(cancel), .. } = play.command() else { panic!() };
    assert_eq!(cancel.command, id);
}

#[test]
fn responses_that_come_faster_than_they_are_taken_end_the_call() {
    let play = Play::connected(Config { receive_queue: 300, ..Config::default() });
    let mut responses = play.client.call_stream_raw("f", Payload::json("1")).unwrap();
    let id = play.command().id;
    for _ in 0..20 {
        play.reply(id, Ok(ReplyBody::Called(Called { payload: Payload::bytes("a response"), more: true })));
    }
    let Command { request: Request::Cancel(cancel), .. } = play.command() else { panic!() };
    assert_eq!(cancel.command, id);
    let mut received = 0;
    let error = loop {
        match next(&mut responses).unwrap() {
            Ok(_) => received += 1,
            Err(error) => break error,
        }
    };
    assert!((1..20).contains(&received), "{received}");
    assert_eq!(error.code(), ErrorCode::OVERFLOW);
    assert!(is_over(&mut responses));
}

#[test]
fn offers_are_taken_or_declined() {
    let play = Play::connected(Config::default());
    let offer = |name| Push::Subscribed(subscribed(&channel(name), 0));
    // Without a reader.
    play.push(offer("a"));
    let Command { request: Request::Unsubscribe(end), .. } = play.command() else { panic!() };
    assert_eq!(end.channel, channel("a"));

    let mut offers = play.client.offers();
    play.push(offer("b"));
    play.push(offer("c"));
    let mut taken = next(&mut offers).unwrap();
    assert_eq!(taken.channel(), &channel("b"));
    assert!(taken.ready().now_or_never().unwrap().is_ok());
    play.push(Push::Publication(published("b", Payload::json("1"))));
    assert_eq!(publication(&mut taken).message, Payload::json("1"));
    drop(offers);
    let Command { request: Request::Unsubscribe(end), .. } = play.command() else { panic!() };
    assert_eq!(end.channel, channel("c"), "a waiting offer is declined");
    play.push(offer("d"));
    assert!(matches!(play.command().request, Request::Unsubscribe(_)));
}

#[test]
fn an_offer_and_an_own_subscription_to_its_channel_live_side_by_side() {
    let play = Play::connected(Config::default());
    let mut offers = play.client.offers();
    let message = |offset| {
        Push::Publication(Publication { offset, ..published("b", Payload::json(offset.to_string())) })
    };
    let offset =
        |subscription: &mut Subscription<Payload>| publication(subscription).position().unwrap().offset;
    let position = Some(Position { offset: 4, epoch: "e".into() });
    play.push(Push::Subscribed(Subscribed { position, ..subscribed(&channel("b"), 0) }));
    let mut own = play.client.subscribe_raw(channel("b")).unwrap();
    assert!(own.ready().now_or_never().unwrap().is_ok());
    let mut offered = next(&mut offers).unwrap();
    assert!(offered.ready().now_or_never().unwrap().is_ok());
    assert!(play.client.subscribe_raw(channel("b")).is_err(), "a second one of its own");
    play.push(message(5));
    assert_eq!((offset(&mut own), offset(&mut offered)), (5, 5));
    drop(offered);
    play.push(message(6));
    assert_eq!(offset(&mut own), 6);
    assert!(play.commands().is_empty());
    drop(own);
    assert!(matches!(play.command().request, Request::Unsubscribe(_)), "the last one ends it");
}

#[test]
fn an_offer_goes_on_where_it_was_if_an_own_subscription_goes_back() {
    let play = Play::connected(Config::default());
    let mut offers = play.client.offers();
    let message = |offset| {
        Push::Publication(Publication { offset, ..published("b", Payload::json(offset.to_string())) })
    };
    for (from, expected) in [(2, &[5, 6, 7][..]), (6, &[5, 0, 7])] {
        let position = |offset| Some(Position { offset, epoch: "e".into() });
        play.push(Push::Subscribed(Subscribed { position: position(4), ..subscribed(&channel("b"), 0) }));
        let mut offered = next(&mut offers).unwrap();
        play.push(message(5));
        let mut own =
            play.client.subscribe_raw_with(channel("b"), SubscribeOptions::new().history(9)).unwrap();
        assert!(own.ready().now_or_never().is_none());
        let Command { id, request: Request::Subscribe(_) } = play.command() else { panic!() };
        let answer = Subscribed { position: position(from), ..subscribed(&channel("b"), id) };
        play.reply(id, Ok(ReplyBody::Subscribed(answer)));
        (from + 1..=7).for_each(|offset| play.push(message(offset)));
        // A gap is 0.
        let offset = |update: Result<Update<Payload>, Error>| {
            update.unwrap().publication().map_or(0, |publication| publication.offset.unwrap())
        };
        let got: Vec<u64> = std::iter::from_fn(|| next(&mut own)).map(offset).collect();
        assert!(got.into_iter().eq(from + 1..=7));
        let got: Vec<u64> = std::iter::from_fn(|| next(&mut offered)).map(offset).collect();
        assert_eq!(got, expected);
        drop((own, offered));
        let Command { id, request: Request::Unsubscribe(end) } = play.command() else { panic!() };
        play.reply(id, Ok(ReplyBody::Unsubscribed(end)));
    }
}

#[test]
fn one_of_two_readers_that_is_too_slow_ends_alone() {
    let play = Play::connected(Config::default().receive_queue(400));
    let mut offers = play.client.offers();
    play.push(Push::Subscribed(subscribed(&channel("b"), 0)));
    let mut own = play.client.subscribe_raw(channel("b")).unwrap();
    let mut offered = next(&mut offers).unwrap();
    for _ in 0..10 {
        play.push(Push::Publication(published("b", Payload::json("1"))));
        publication(&mut own);
    }
    assert!(play.commands().is_empty());
    let last = std::iter::from_fn(|| next(&mut offered)).last().unwrap();
    assert_eq!(code(last), ErrorCode::OVERFLOW);
    play.push(Push::Publication(published("b", Payload::json("1"))));
    publication(&mut own);
}

#[test]
fn the_members_of_a_channel_are_a_stream_of_lists() {
    let (play, rows, _) = listening(Config::default());
    let mut members = rows.members();
    let Command { id, request: Request::Presence(_) } = play.command() else { panic!() };
    assert!(next(&mut members).is_none());
    let named = |user: &str| Member { session: user.into(), user: user.into(), ..Member::default() };
    let list = PresenceList { members: vec![named("bob"), named("ann")], ..PresenceList::default() };
    play.reply(id, Ok(ReplyBody::Presence(list)));
    assert_eq!(next(&mut members).unwrap().unwrap(), [named("ann"), named("bob")]);
    assert!(next(&mut members).is_none());
    let movement = |user| frame::Movement { channel: channel("row:a"), member: named(user) };
    play.push(Push::Join(movement("eve")));
    play.push(Push::Leave(movement("bob")));
    let mut late = rows.members();
    for members in [&mut members, &mut late] {
        assert_eq!(next(members).unwrap().unwrap(), [named("ann"), named("eve")], "the newest list");
        assert!(next(members).is_none());
    }
    assert!(play.commands().is_empty(), "it is read once");
    play.push(Push::Leave(frame::Movement { channel: channel("row:a"), member: Member::default() }));
    play.refuse(play.command().id, ErrorCode::PERMISSION_DENIED);
    assert_eq!(code(next(&mut members).unwrap()), ErrorCode::PERMISSION_DENIED);
    drop(rows);
    assert!(is_over(&mut members));
}

#[test]
fn a_close_by_the_application_ends_streams_without_an_error() {
    let (play, mut rows, _) = listening(Config::default());
    play.client.close(CloseCode::NORMAL, "");
    assert!(is_over(&mut rows));
    let (play, mut rows, _) = listening(Config::default());
    let Play { driver, .. } = play;
    drop(driver);
    assert_eq!(code(next(&mut rows).unwrap()), ErrorCode::CLOSED);
    assert!(is_over(&mut rows));
    let play = Play::connected(Config::default());
    let mut rows = play.client.subscribe_raw(channel("c")).unwrap();
    rows.unsubscribe();
    assert_eq!(code(rows.ready().now_or_never().unwrap()), ErrorCode::CANCELLED, "it never began");
}

#[test]
fn a_publication_has_its_position_in_the_history_of_its_epoch() {
    let play = Play::connected(Config::default());
    let since = SubscribeOptions::new().since(Position { offset: 4, epoch: "e".into() });
    let mut rows = play.client.subscribe_with(&Row::new("a").unwrap(), since).unwrap();
    let Command { id, request: Request::Subscribe(subscribe) } = play.command() else { panic!() };
    let answer = |epoch: &str| {
        let position = Some(Position { offset: 4, epoch: epoch.into() });
        Subscribed { position, ..subscribed(&channel("row:a"), id) }
    };
    assert_eq!(subscribe.position, answer("e").position);
    play.reply(id, Ok(ReplyBody::Subscribed(Subscribed { complete: true, ..answer("e") })));
    let row = || Push::Publication(Publication { offset: 5, ..published("row:a", Payload::bytes("1")) });
    play.push(row());
    play.push(Push::Subscribed(answer("f")));
    play.push(row());
    assert_eq!(publication(&mut rows).position(), Some(Position { offset: 5, epoch: "e".into() }));
    assert_eq!(next(&mut rows).unwrap().unwrap().gap(), Some(Gap::Lost));
    assert_eq!(publication(&mut rows).position(), Some(Position { offset: 5, epoch: "f".into() }));
}

#[test]
fn broadcasts_and_alarms_are_streams() {
    let play = Play::connected(Config::default());
    let (mut broadcasts, mut alarms) = (play.client.broadcasts(), play.client.alarms());
    play.push(Push::Publication(published("@all", Payload::json("1"))));
    let all = next(&mut broadcasts).unwrap();
    assert_eq!((all.channel, all.message), (channel("@all"), Payload::json("1")));

    let alarm = |withdrawn| {
        Push::Alarm(Box::new(frame::Alarm {
            id: "a".into(),
            channel: channel("row:fire"),
            payload: Payload::bytes("1"),
            time: 3000,
            ttl: Duration::from_secs(60),
            withdrawn,
        }))
    };
    play.push(alarm(false));
    play.push(alarm(true));
    let first = next(&mut alarms).unwrap();
    assert_eq!((first.id.as_str(), &first.channel, first.withdrawn), ("a", &channel("row:fire"), false));
    assert_eq!((first.time.as_secs(), first.ttl.as_secs()), (3, 60));
    assert_eq!(first.message::<Row>().unwrap(), Binary("1".into()));
    assert!(next(&mut alarms).unwrap().withdrawn);
    assert!(next(&mut alarms).is_none());
}
