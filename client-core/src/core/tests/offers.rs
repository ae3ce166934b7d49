//! What comes unasked: subscriptions that the server makes, who comes and goes, alarms.

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
    assert!(matches!(
        client.events()[..],
        [Event::Unsubscribed { subscription: ended, error: None }] if ended == subscription
    ));
    let sent = client.sent();
    let [Command { id, request: Request::Subscribe(subscribe) }] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(subscribe.position, at(5), "it goes on where that one was");
    let answer = Subscribed { position: at(5), complete: true, recovering: 1, ..subscribed("news", *id) };
    client.reply(*id, Ok(Answer::Subscribed(answer)));
    client.receive([push(publication("news", 1, 6))]);
    assert_eq!(client.received(), [(own, 1)]);
}

#[test]
fn what_answers_the_subscription_of_the_server_does_not_answer_the_one_that_took_it_over() {
    let (mut client, _) = offered(at(5));
    client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
    client.wait();
    assert_eq!(client.core.poll_transmit(true), Some(Transmit::Open));
    client.core.handle_open(SUBPROTOCOL_PROTOBUF);
    let sent = client.sent();
    let [Command { id, request: Request::Connect(connect) }] = &sent[..] else { panic!("{sent:?}") };
    let own = client.subscribe("news");
    client.events();
    let subscriptions = connect.subscriptions.iter().map(outcome).collect();
    let connected = Connected { session: "s2".into(), subscriptions, ..Connected::default() };
    client.reply(*id, Ok(Answer::Connected(Box::new(connected))));
    let subscribed =
        |event: &Event| matches!(event, Event::Subscribed { subscription, .. } if *subscription == own);
    assert!(!client.events().iter().any(subscribed), "nobody has asked for it yet");
    let sent = client.sent();
    let [Command { id, request: Request::Subscribe(subscribe) }] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(subscribe.position, at(5));
    client.reply(*id, Ok(Answer::Subscribed(super::subscribed("news", *id))));
    assert!(client.events().iter().any(subscribed));
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
    client.events();
    client.receive([offer(0, None)]);
    client.events();
    let error = ErrorInfo::from_code(ErrorCode::PERMISSION_DENIED);
    let end = Unsubscribed { channel: channel("news"), number: 0, error };
    client.receive([ServerFrame::Push(Push::Unsubscribed(end))]);
    assert!(matches!(client.events()[..], [Event::Unsubscribed { error: Some(_), .. }]));
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
fn who_comes_and_goes_is_told_while_the_subscription_is_in_force() {
    let mut client = Client::connected();
    let member = Member { user: "bob".into(), ..Member::default() };
    let movement = |name: &str| Movement { channel: channel(name), member: member.clone() };
    let subscription = client.subscribe("c");
    let join = || ServerFrame::Push(Push::Join(movement("c")));
    client.receive([join()]);
    assert!(client.events().is_empty(), "of an older subscription");
    let id = client.sent()[0].id;
    client.reply(id, Ok(Answer::Subscribed(subscribed("c", id))));
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
fn an_alarm_is_told_once_and_confirmed_each_time() {
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
    client.reply(command.number(), Ok(Answer::Acknowledged));
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
fn an_application_does_not_hear_of_the_end_of_what_it_has_acknowledged() {
    let mut client = Client::connected();
    client.receive([alarm("a", false), alarm("b", false)]);
    assert_eq!(alarms(&mut client).len(), 2);
    client.core.acknowledge(client.now, "a", None).unwrap();
    client.receive([alarm("a", false), alarm("a", true), alarm("b", true)]);
    assert_eq!(alarms(&mut client), [("b".into(), true)]);
}
