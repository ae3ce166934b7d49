//! Pushes without a request: subscriptions that the server makes, members, alarms.

use super::*;

fn offer(number: u32, position: Option<Position>) -> ServerFrame {
    ServerFrame::Push(Push::Subscribed(Subscribed { position, ..subscribed("news", number) }))
}

fn at(offset: u64) -> Option<Position> {
    Some(Position { offset, epoch: "e".into() })
}

/// A client with a subscription that the server made.
fn offered(position: Option<Position>) -> (Client, SubscriptionId) {
    let mut client = Client::connected();
    client.receive([offer(0, position)]);
    let events = client.events();
    let [
        Event::Offered { subscription, channel: name },
        Event::Subscribed { subscription: same, recovery: Recovery::First },
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!((name, subscription), (&channel("news"), same));
    let subscription = *subscription;
    (client, subscription)
}

#[test]
fn a_subscription_of_the_server_receives_and_recovers_like_any_other() {
    let (mut client, subscription) = offered(at(5));
    client.receive([push(publication("news", 1, 6))]);
    assert_eq!(client.received(), [(subscription, 1)]);
    client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
    client.wait();
    let connect = client.establish();
    let [Subscribe { channel: name, position, .. }] = &connect.subscriptions[..] else {
        panic!("{connect:?}")
    };
    assert_eq!((name, position), (&channel("news"), &at(6)));
}

#[test]
fn the_application_takes_a_subscription_of_the_server_over() {
    let (mut client, subscription) = offered(at(5));
    let own = client.subscribe("news");
    assert_eq!(own, subscription, "it goes on as it was");
    assert!(client.core.is_active(own));
    assert!(client.events().is_empty() && client.sent().is_empty());
    client.receive([push(publication("news", 1, 6))]);
    assert_eq!(client.received(), [(own, 1)]);
    let error = client.core.subscribe(&channel("news")).unwrap_err();
    assert_eq!(error.code(), ErrorCode::ALREADY_SUBSCRIBED);
    client.core.unsubscribe(own);
    let sent = client.sent();
    assert!(matches!(&sent[..], [Command { request: Request::Unsubscribe(_), .. }]), "{sent:?}");
    assert_ne!(client.subscribe("news"), own);
}

#[test]
fn a_subscription_with_history_takes_the_place_of_the_server_s_and_begins_with_its_history() {
    let history = SubscribeOptions::new().history(3);
    let (mut client, subscription) = offered(None);
    client.core.subscribe_with(&channel("news"), history.clone()).unwrap();
    assert!(client.sent().is_empty() && client.core.is_active(subscription), "there is no history");
    let (mut client, subscription) = offered(at(5));
    let own = client.core.subscribe_with(&channel("news"), history).unwrap();
    assert_eq!((own, client.core.is_active(own)), (subscription, false));
    let sent = client.sent();
    let [Command { request: Request::Subscribe(subscribe), .. }] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!((&subscribe.position, subscribe.history), (&None, 3));
}

#[test]
fn a_subscription_of_the_server_that_is_being_restored_can_be_taken_over() {
    let (mut client, _) = offered(at(5));
    client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
    client.wait();
    assert_eq!(client.core.poll_transmit(true), Some(Transmit::Open));
    client.core.handle_open(SUBPROTOCOL_PROTOBUF);
    let sent = client.sent();
    let [Command { id, request: Request::Connect(connect) }] = &sent[..] else { panic!("{sent:?}") };
    let own = client.subscribe("news");
    assert!(!client.core.is_active(own));
    client.events();
    let subscriptions = connect.subscriptions.iter().map(outcome).collect();
    let connected = Connected { session: "s2".into(), subscriptions, ..Connected::default() };
    client.reply(*id, Ok(ReplyBody::Connected(Box::new(connected))));
    let subscribed =
        |event: &Event| matches!(event, Event::Subscribed { subscription, .. } if *subscription == own);
    assert!(client.events().iter().any(subscribed));
    assert!(client.sent().is_empty());
}

#[test]
fn the_application_s_own_subscription_has_precedence() {
    let mut client = Client::connected();
    client.subscribe("news");
    client.receive([offer(0, None), push(publication("news", 1, 0))]);
    assert!(client.events().is_empty());
}

#[test]
fn a_subscription_of_the_server_ends_by_either_side() {
    let (mut client, subscription) = offered(None);
    client.core.unsubscribe(subscription);
    let sent = client.sent();
    assert!(
        matches!(&sent[..], [Command { request: Request::Unsubscribe(end), .. }] if end.number == 0),
        "{sent:?}"
    );
    let end = Unsubscribe { channel: channel("news"), number: 0 };
    client.reply(sent[0].id, Ok(ReplyBody::Unsubscribed(end)));
    client.events();
    client.receive([offer(0, None)]);
    client.events();
    let error = ErrorInfo::from_code(ErrorCode::PERMISSION_DENIED);
    let end = Unsubscribed { channel: channel("news"), number: 0, error };
    client.receive([ServerFrame::Push(Push::Unsubscribed(end))]);
    assert!(matches!(client.events()[..], [Event::Unsubscribed { error: Some(_), .. }]));
}

#[test]
fn a_report_about_an_ended_subscription_makes_no_new_one() {
    // A gap arrives after the application ended the subscription.
    let (mut client, subscription) = offered(None);
    client.core.unsubscribe(subscription);
    let end = client.sent().remove(0);
    client.events();
    client.receive([offer(0, None), offer(0, None)]);
    assert!(client.events().is_empty());
    let Request::Unsubscribe(unsubscribe) = end.request else { panic!("{end:?}") };
    client.reply(end.id, Ok(ReplyBody::Unsubscribed(unsubscribe)));
    client.receive([offer(0, None)]);
    assert!(matches!(client.events()[..], [Event::Offered { .. }, Event::Subscribed { .. }]), "this one is");

    // The same after the application had taken it over; and after the server had forgotten it.
    let (mut client, _) = offered(None);
    let own = client.subscribe("news");
    client.core.unsubscribe(own);
    let end = client.sent().remove(0);
    client.events();
    client.receive([offer(0, None)]);
    assert!(client.events().is_empty());
    client.reply(end.id, Err(ErrorInfo::from_code(ErrorCode::NOT_SUBSCRIBED)));
    assert!(client.events().is_empty());
    client.receive([offer(0, None)]);
    assert_eq!(client.events().len(), 2);

    // Another connection does not know it.
    let (mut client, subscription) = offered(None);
    client.core.unsubscribe(subscription);
    client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
    client.wait();
    client.establish();
    client.events();
    client.receive([offer(0, None)]);
    assert_eq!(client.events().len(), 2);
}

#[test]
fn a_server_can_not_make_subscriptions_without_end() {
    let mut client = Client::connected();
    for index in 0..5000 {
        client.receive([ServerFrame::Push(Push::Subscribed(subscribed(&format!("c{index}"), 0)))]);
    }
    let offers = client.events().into_iter().filter(|event| matches!(event, Event::Offered { .. })).count();
    assert_eq!(offers, 1024);
}

#[test]
fn member_changes_are_reported_while_the_subscription_is_active() {
    let mut client = Client::connected();
    let member = Member { user: "bob".into(), ..Member::default() };
    let movement = |name: &str| Movement { channel: channel(name), member: member.clone() };
    let subscription = client.subscribe("c");
    let join = || ServerFrame::Push(Push::Join(movement("c")));
    client.receive([join()]);
    assert!(client.events().is_empty(), "of an older subscription");
    let id = client.sent()[0].id;
    client.reply(id, Ok(ReplyBody::Subscribed(subscribed("c", id))));
    client.events();
    client.receive([
        join(),
        ServerFrame::Push(Push::Leave(movement("c"))),
        ServerFrame::Push(Push::Join(movement("d"))),
    ]);
    let events = client.events();
    let [Event::Joined { subscription: first, member: who }, Event::Left { subscription: second, .. }] =
        &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!((*first, *second, who), (subscription, subscription, &member));
}

fn alarm(id: &str, withdrawn: bool) -> ServerFrame {
    ServerFrame::Push(Push::Alarm(Box::new(Alarm {
        id: id.into(),
        channel: channel("alarm:fire"),
        payload: if withdrawn { Payload::default() } else { Payload::json("1") },
        time: 1,
        ttl: Duration::from_secs(60),
        withdrawn,
    })))
}

fn alarms(client: &mut Client) -> Vec<(String, bool)> {
    let told = |event| match event {
        Event::Alarm(alarm) => Some((alarm.id, alarm.withdrawn)),
        _ => None,
    };
    client.events().into_iter().filter_map(told).collect()
}

#[test]
fn an_alarm_is_reported_once_and_confirmed_each_time() {
    let mut client = Client::connected();
    for expected in [&[("a".to_owned(), false)][..], &[]] {
        client.receive([alarm("a", false)]);
        assert_eq!(alarms(&mut client), expected);
        let receipt = Acknowledge { alarm: "a".into(), received_only: true };
        assert_eq!(client.sent(), [Command { id: 0, request: Request::Acknowledge(receipt) }]);
    }
    client.receive([alarm("a", true), alarm("never told", true)]);
    assert_eq!(alarms(&mut client), [("a".into(), true)]);
    assert!(client.sent().is_empty());
}

#[test]
fn an_acknowledgement_is_repeated_until_it_is_answered() {
    let mut client = Client::connected();
    let command = client.core.acknowledge(client.now, "a", None).unwrap();
    for _ in 0..3 {
        let sent = client.sent();
        let acknowledge = Acknowledge { alarm: "a".into(), received_only: false };
        assert_eq!(sent, [Command { id: command.number(), request: Request::Acknowledge(acknowledge) }]);
        client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
        client.wait();
        client.establish();
    }
    client.reply(command.number(), Ok(ReplyBody::Acknowledged));
    assert_eq!(client.completed(), [(command, Ok(Outcome::Acknowledged))]);
}

#[test]
fn an_acknowledgement_that_does_not_wait_is_not_repeated() {
    let mut client = Client::connected();
    let options = SendOptions { fail_fast: true, timeout: None };
    let command = client.core.acknowledge(client.now, "a", options).unwrap();
    client.sent();
    client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
    assert_eq!(client.completed(), [(command, Err(ErrorCode::CONNECTION_LOST))]);
}

#[test]
fn an_application_is_not_notified_of_the_end_of_an_alarm_it_acknowledged() {
    let mut client = Client::connected();
    client.receive([alarm("a", false), alarm("b", false)]);
    assert_eq!(alarms(&mut client).len(), 2);
    client.core.acknowledge(client.now, "a", None).unwrap();
    client.receive([alarm("a", false), alarm("a", true), alarm("b", true)]);
    assert_eq!(alarms(&mut client), [("b".into(), true)]);
}

#[test]
fn an_acknowledgement_made_offline_goes_out_however_long_that_takes() {
    let mut client = Client::connected();
    client.receive([long_alarm("a")]);
    client.events();
    client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
    let command = client.core.acknowledge(client.now, "a", None).unwrap();
    client.events();
    // The network is gone for a week.
    for _ in 0..10_000 {
        client.wait();
        assert_eq!(client.core.poll_transmit(true), Some(Transmit::Open));
        client.now = client.now.after(Duration::from_secs(50));
        client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
    }
    assert_eq!(client.completed(), []);
    client.wait();
    client.establish();
    let acknowledge = Acknowledge { alarm: "a".into(), received_only: false };
    let sent = client.sent();
    assert_eq!(sent, [Command { id: command.number(), request: Request::Acknowledge(acknowledge) }]);
    client.reply(command.number(), Ok(ReplyBody::Acknowledged));
    assert_eq!(client.completed(), [(command, Ok(Outcome::Acknowledged))]);
}

#[test]
fn an_acknowledgement_with_a_time_of_its_own_ends_with_that_and_is_bounded_as_all_commands_are() {
    let mut client = Client::with(Config { max_commands: 2, ..Config::default() });
    let timeout = Some(Duration::from_secs(3));
    let command = client.core.acknowledge(client.now, "a", timeout).unwrap();
    client.core.acknowledge(client.now, "b", None).unwrap();
    let error = client.core.acknowledge(client.now, "c", None).unwrap_err();
    assert_eq!(error.code(), ErrorCode::QUEUE_FULL);
    assert_eq!(client.wait(), Duration::from_secs(3));
    assert_eq!(client.completed(), [(command, Err(ErrorCode::TIMEOUT))]);
    assert_eq!(client.core.poll_timeout(), None, "the other one has all the time in the world");
}

/// An alarm that lasts.
fn long_alarm(id: &str) -> ServerFrame {
    let ServerFrame::Push(Push::Alarm(mut frame)) = alarm(id, false) else { unreachable!() };
    frame.ttl = Duration::from_secs(60 * 60 * 24 * 30);
    ServerFrame::Push(Push::Alarm(frame))
}

#[test]
fn the_expiry_of_an_alarm_is_reported_once_online_and_offline() {
    for is_online in [true, false] {
        let mut client = Client::connected();
        client.receive([alarm("a", false), alarm("b", false), long_alarm("c")]);
        assert_eq!(alarms(&mut client).len(), 3);
        client.sent();
        let command = client.core.acknowledge(client.now, "b", None).unwrap();
        client.sent();
        client.reply(command.number(), Ok(ReplyBody::Acknowledged));
        client.events();
        if !is_online {
            client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
        }
        let end = client.now.after(Duration::from_secs(60));
        client.now = end.after(Duration::ZERO);
        client.core.handle_timeout(Time::ZERO.after(Duration::from_millis(59_999)));
        assert_eq!(alarms(&mut client), []);
        client.core.handle_timeout(end);
        assert_eq!(
            alarms(&mut client),
            [("a".into(), true)],
            "the end of an acknowledged alarm is not reported"
        );
        client.core.handle_timeout(end.after(Duration::from_secs(1)));
        assert_eq!(alarms(&mut client), []);
    }
}

#[test]
fn a_client_that_is_over_waits_for_no_alarm() {
    let mut client = Client::connected();
    client.receive([alarm("a", false)]);
    client.core.close(CloseCode::NORMAL, "");
    assert_eq!(client.core.poll_timeout(), None);
    client.events();
    client.core.handle_timeout(client.now.after(Duration::from_secs(60)));
    assert!(client.events().is_empty());
}

#[test]
fn an_alarm_without_a_time_lasts() {
    let mut client = Client::connected();
    let ServerFrame::Push(Push::Alarm(mut frame)) = alarm("a", false) else { unreachable!() };
    frame.ttl = Duration::ZERO;
    client.receive([ServerFrame::Push(Push::Alarm(frame))]);
    client.events();
    client.core.handle_timeout(client.now.after(Duration::from_secs(30)));
    assert_eq!(alarms(&mut client), []);
    assert_eq!(
        client.core.poll_timeout().unwrap().since(client.now),
        Duration::from_secs(35),
        "the next ping"
    );
}

#[test]
fn an_alarm_that_is_sent_again_has_the_newest_end() {
    let mut client = Client::connected();
    client.receive([alarm("a", false)]);
    client.now = client.now.after(Duration::from_secs(30));
    client.receive([alarm("a", false)]);
    client.events();
    client.core.handle_timeout(client.now.after(Duration::from_millis(59_999)));
    assert_eq!(alarms(&mut client), []);
    client.core.handle_timeout(client.now.after(Duration::from_secs(60)));
    assert_eq!(alarms(&mut client), [("a".into(), true)]);
}

#[test]
fn an_alarm_that_the_server_does_not_know_when_it_is_acknowledged_is_over() {
    let mut client = Client::connected();
    client.receive([long_alarm("a")]);
    client.events();
    client.sent();
    let command = client.core.acknowledge(client.now, "a", None).unwrap();
    client.sent();
    client.reply(command.number(), Err(ErrorInfo::from_code(ErrorCode::UNKNOWN_ALARM)));
    let events = client.events();
    let [Event::Alarm(over), Event::Completed { result: Err(error), .. }] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!((over.id.as_str(), over.withdrawn, &over.channel), ("a", true, &channel("alarm:fire")));
    assert_eq!((over.time, over.ttl), (1, Duration::ZERO));
    assert_eq!(error.code(), ErrorCode::UNKNOWN_ALARM);
    assert_eq!(client.core.poll_timeout().unwrap().since(client.now), Duration::from_secs(35));
}

#[test]
fn an_acknowledgement_that_failed_leaves_the_alarm_as_it_was() {
    let mut client = Client::connected();
    client.receive([alarm("a", false)]);
    client.events();
    let command = client.core.acknowledge(client.now, "a", None).unwrap();
    client.core.cancel(command);
    client.receive([alarm("a", true)]);
    assert_eq!(alarms(&mut client), [("a".into(), true)]);
}

#[test]
fn the_result_of_an_acknowledgement_decides_whether_the_end_of_its_alarm_is_reported() {
    for result in [Ok(ReplyBody::Acknowledged), Err(ErrorInfo::from_code(ErrorCode::UNKNOWN_ALARM))] {
        let mut client = Client::connected();
        client.receive([alarm("a", false)]);
        let command = client.core.acknowledge(client.now, "a", None).unwrap();
        client.sent();
        client.receive([alarm("a", true)]);
        assert_eq!(alarms(&mut client), [("a".into(), false)]);
        let is_over = result.is_err();
        client.reply(command.number(), result);
        client.core.handle_timeout(client.now);
        assert_eq!(alarms(&mut client), if is_over { vec![("a".into(), true)] } else { vec![] });
    }
}

#[test]
fn of_two_acknowledgements_one_is_enough() {
    for confirmed in [0, 1] {
        let mut client = Client::connected();
        client.receive([alarm("a", false)]);
        let commands = [(), ()].map(|()| client.core.acknowledge(client.now, "a", None).unwrap());
        client.sent();
        client.reply(commands[confirmed].number(), Ok(ReplyBody::Acknowledged));
        client.core.cancel(commands[1 - confirmed]);
        client.events();
        client.core.handle_timeout(client.now.after(Duration::from_secs(60)));
        assert_eq!(alarms(&mut client), []);
    }
}

#[test]
fn after_a_reconnect_the_server_is_asked_for_the_alarms_that_are_shown() {
    let mut client = Client::connected();
    client.receive([long_alarm("a"), long_alarm("b"), long_alarm("c")]);
    client.events();
    client.sent();
    let acknowledged = client.core.acknowledge(client.now, "c", None).unwrap();
    client.sent();
    client.reply(acknowledged.number(), Ok(ReplyBody::Acknowledged));
    for _ in 0..2 {
        client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
        client.wait();
        client.establish();
        client.events();
        let asked = client.sent();
        let names: Vec<_> = asked
            .iter()
            .map(|command| match &command.request {
                Request::Acknowledge(Acknowledge { alarm, received_only: true }) => alarm.as_str(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(names, ["a", "b"]);
        client.reply(asked[0].id, Ok(ReplyBody::Acknowledged));
        client.reply(asked[1].id, Err(ErrorInfo::from_code(ErrorCode::RATE_LIMITED)));
        assert!(client.events().is_empty(), "that does not decide about the alarm");
    }
    client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
    client.wait();
    client.establish();
    client.events();
    let asked = client.sent();
    client.reply(asked[1].id, Err(ErrorInfo::from_code(ErrorCode::UNKNOWN_ALARM)));
    assert_eq!(alarms(&mut client), [("b".into(), true)], "the server has forgotten it");
    client.reply(asked[1].id, Err(ErrorInfo::from_code(ErrorCode::UNKNOWN_ALARM)));
    assert_eq!(alarms(&mut client), []);
}

#[test]
fn after_an_acknowledgement_is_given_up_the_server_is_asked_for_its_alarm() {
    let mut client = Client::connected();
    client.receive([long_alarm("a")]);
    client.events();
    let command = client.core.acknowledge(client.now, "a", None).unwrap();
    client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
    client.wait();
    client.establish();
    client.events();
    client.sent();
    client.core.cancel(command);
    client.events();
    let asked = client.sent();
    assert!(matches!(
        &asked[..],
        [Command { request: Request::Acknowledge(Acknowledge { received_only: true, .. }), .. }]
    ));
    client.reply(asked[0].id, Err(ErrorInfo::from_code(ErrorCode::UNKNOWN_ALARM)));
    assert_eq!(alarms(&mut client), [("a".into(), true)], "the server was restarted meanwhile");
}

#[test]
fn an_acknowledgement_by_one_user_is_not_sent_as_another() {
    let mut client = Client::new();
    client.core.connect(client.now);
    client.establish_with(Connected { session: "s1".into(), user: "ann".into(), ..Connected::default() });
    client.receive([long_alarm("a"), long_alarm("b")]);
    client.sent();
    let confirmed = client.core.acknowledge(client.now, "a", None).unwrap();
    client.sent();
    client.reply(confirmed.number(), Ok(ReplyBody::Acknowledged));
    client.events();
    client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
    let waits = client.core.acknowledge(client.now, "b", None).unwrap();
    client.wait();
    client.events();
    client.establish_with(Connected { session: "s2".into(), user: "bob".into(), ..Connected::default() });
    let events = client.events();
    assert!(
        events.iter().any(|event| matches!(event, Event::Completed { command, result: Err(error) }
            if *command == waits && error.code() == ErrorCode::UNKNOWN_ALARM)),
        "{events:?}"
    );
    assert!(client.sent().is_empty());
    client.receive([long_alarm("a"), long_alarm("b")]);
    assert_eq!(alarms(&mut client), [("a".into(), false), ("b".into(), false)], "bob has to see them");
}

#[test]
fn of_more_alarms_than_are_remembered_the_oldest_is_forgotten() {
    let mut client = Client::connected();
    for index in 0..=1024 {
        client.receive([alarm(&index.to_string(), false)]);
    }
    client.events();
    client.receive([alarm("1", false), alarm("1024", false)]);
    assert_eq!(alarms(&mut client), []);
    client.receive([alarm("0", false)]);
    assert_eq!(alarms(&mut client), [("0".into(), false)]);
}
