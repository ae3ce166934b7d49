//! The states of a client, and the ends of its futures.

use super::*;

#[test]
fn a_token_is_put_in_where_the_client_waits_for_one() {
    let play = Play::new(Config::default());
    let Play { client, driver, .. } = &play;
    let mut connecting = Box::pin(client.connect());
    assert!(connecting.as_mut().now_or_never().is_none());
    let mut changes = client.state_changes();
    play.open();
    play.refuse(play.command().id, ErrorCode::TOKEN_EXPIRED);
    let error = connecting.now_or_never().unwrap().unwrap_err();
    assert_eq!(error.code(), ErrorCode::TOKEN_EXPIRED);
    assert!(client.needs_token());
    let change = changes.next().now_or_never().flatten().unwrap();
    assert_eq!((change.state, change.code), (ClientState::Connecting, Some(CloseCode::TOKEN_EXPIRED)));
    assert_eq!(client.connect().now_or_never().unwrap().unwrap_err().code(), ErrorCode::TOKEN_EXPIRED);

    assert!(matches!(driver.poll_transmit(true), Some(Transmit::Close { .. })));
    client.set_token("new").unwrap();
    assert!(!client.needs_token());
    let mut connecting = Box::pin(client.connect());
    assert!(connecting.as_mut().now_or_never().is_none());
    play.let_in();
    assert!(matches!(connecting.now_or_never(), Some(Ok(()))));
    client.close(CloseCode::NORMAL, "");
    assert_eq!(client.set_token("late").unwrap_err().code(), ErrorCode::CLOSED);
}

#[test]
fn a_history_continues_past_unreadable_messages_and_lists_them() {
    let play = Play::connected(Config::default());
    let row = Row::new("a").unwrap();
    let since = Position { offset: 3, epoch: "e".into() };
    let mut reading = Box::pin(play.client.history(&row, Some(since.clone()), 10));
    assert!(reading.as_mut().now_or_never().is_none());
    let Command { id, request: Request::History(history) } = play.command() else { panic!() };
    let asked = History { channel: channel("row:a"), since: Some(since), limit: 10, reverse: false };
    assert_eq!(history, asked);
    let publication =
        |(offset, payload)| Publication { time: 1000 * offset, offset, ..published("row:a", payload) };
    let (bytes, text) = (Payload::bytes("row"), Payload::json("\"no bytes\""));
    let publications = [(4, &bytes), (5, &text), (6, &bytes), (7, &text)];
    let publications = publications.map(|(offset, payload)| publication((offset, payload.clone()))).to_vec();
    let position = Position { offset: 9, epoch: "e".into() };
    let page = HistoryPage { position: position.clone(), publications, more: true };
    play.reply(id, Ok(ReplyBody::History(page)));
    let page = reading.now_or_never().unwrap().unwrap();
    let read: Vec<_> = page.publications.iter().map(|row| (row.offset, &row.message.0[..])).collect();
    assert_eq!(read, [(Some(4), &b"row"[..]), (Some(6), b"row")]);
    let unreadable: Vec<_> = page.unreadable.iter().map(|row| (row.offset, row.error.code())).collect();
    assert_eq!(unreadable, [(5, ErrorCode::PAYLOAD_MISMATCH), (7, ErrorCode::PAYLOAD_MISMATCH)]);
    assert_eq!(page.unreadable[0].payload, text);
    assert_eq!(page.unreadable[0].time.as_secs(), 5);
    assert_eq!(page.last, Some(Position { offset: 7, ..position.clone() }), "where the next page begins");
    assert_eq!((page.position, page.more), (position, true));
}

#[test]
fn each_command_ends_with_its_own_answer() {
    let play = Play::connected(Config::default());
    let client = &play.client;
    assert_eq!((client.session().as_str(), client.user().as_str()), ("s", "ann"));
    let position = Position { offset: 7, epoch: "e".into() };
    let row = Row::new("a").unwrap();

    let message = Binary("1".into());
    let mut publish = Box::pin(client.publish(&row, &message));
    assert!(publish.as_mut().now_or_never().is_none());
    let Command { id, request: Request::Publish(sent) } = play.command() else { panic!() };
    assert_eq!((sent.channel, sent.payload), (channel("row:a"), Payload::bytes("1")));
    play.reply(id, Ok(ReplyBody::Published(Published { position: Some(position.clone()) })));
    assert_eq!(publish.now_or_never().unwrap().unwrap(), Some(position));

    let request = Binary("1".into());
    let mut call = Box::pin(client.call::<Sum>(&request));
    assert!(call.as_mut().now_or_never().is_none());
    let Command { id, request: Request::Call(sent) } = play.command() else { panic!() };
    assert_eq!((sent.name.as_str(), sent.payload), ("sum", Payload::bytes("1")));
    play.reply(id, Ok(ReplyBody::Called(Called { payload: Payload::bytes("2"), more: false })));
    assert_eq!(call.now_or_never().unwrap().unwrap(), Binary("2".into()));

    let mut presence = Box::pin(client.presence(channel("c")));
    assert!(presence.as_mut().now_or_never().is_none());
    let Command { id, request: Request::Presence(sent) } = play.command() else { panic!() };
    assert!(!sent.counts_only);
    let members = vec![Member { session: "s1".into(), ..Member::default() }];
    let list = PresenceList { members: members.clone(), sessions: 3, users: 2, more: false };
    play.reply(id, Ok(ReplyBody::Presence(list.clone())));
    assert_eq!(presence.now_or_never().unwrap().unwrap(), members);

    let mut counts = Box::pin(client.presence_counts(channel("c")));
    assert!(counts.as_mut().now_or_never().is_none());
    let Command { id, request: Request::Presence(sent) } = play.command() else { panic!() };
    assert!(sent.counts_only);
    play.reply(id, Ok(ReplyBody::Presence(list)));
    let counts = counts.now_or_never().unwrap().unwrap();
    assert_eq!((counts.sessions, counts.users), (3, 2));

    let mut acknowledge = Box::pin(client.acknowledge("a"));
    assert!(acknowledge.as_mut().now_or_never().is_none());
    let Command { id, request: Request::Acknowledge(sent) } = play.command() else { panic!() };
    assert_eq!((sent.alarm.as_str(), sent.received_only), ("a", false));
    play.reply(id, Ok(ReplyBody::Acknowledged));
    assert!(acknowledge.now_or_never().unwrap().is_ok());
}

#[test]
fn an_answer_of_another_kind_or_shape_is_an_error() {
    let play = Play::connected(Config::default());
    let client = &play.client;
    let acknowledged = || Ok(ReplyBody::Acknowledged);
    let published = || Ok(ReplyBody::Published(Published { position: None }));
    let history = History { channel: channel("c"), since: None, limit: 1, reverse: false };
    fn end<T>(
        play: &Play,
        result: Result<ReplyBody, ErrorInfo>,
        future: impl Future<Output = Result<T, Error>>,
    ) -> ErrorCode {
        let mut future = Box::pin(future);
        assert!(future.as_mut().now_or_never().is_none());
        play.reply(play.command().id, result);
        code(future.now_or_never().unwrap())
    }
    let unsupported = ErrorCode::UNSUPPORTED;
    assert_eq!(end(&play, acknowledged(), client.publish_raw(channel("c"), Payload::json("1"))), unsupported);
    assert_eq!(end(&play, acknowledged(), client.call_raw("f", Payload::json("1"))), unsupported);
    assert_eq!(end(&play, acknowledged(), client.presence(channel("c"))), unsupported);
    assert_eq!(end(&play, acknowledged(), client.presence_counts(channel("c"))), unsupported);
    assert_eq!(end(&play, acknowledged(), client.history_raw(history)), unsupported);
    assert_eq!(end(&play, published(), client.acknowledge("a")), unsupported);
    let request = Binary("1".into());
    let called = Ok(ReplyBody::Called(Called { payload: Payload::json("1"), more: false }));
    assert_eq!(end(&play, called, client.call::<Sum>(&request)), ErrorCode::PAYLOAD_MISMATCH);
    let refused = Err(ErrorInfo::from_code(ErrorCode::PERMISSION_DENIED));
    let publish = client.publish_raw(channel("c"), Payload::json("1"));
    assert_eq!(end(&play, refused, publish), ErrorCode::PERMISSION_DENIED);
}

#[test]
fn a_handle_has_a_time_of_its_own_and_may_not_wait() {
    let play = Play::new(Config::default());
    let publish = |client: &Client| {
        let client = client.clone();
        Box::pin(async move { client.publish_raw(channel("c"), Payload::json("1")).await })
    };
    let hurried = play.client.clone().with_timeout(Duration::from_secs(2));
    let (mut first, mut second) = (publish(&hurried), publish(&play.client));
    assert!(first.as_mut().now_or_never().is_none() && second.as_mut().now_or_never().is_none());
    assert_eq!(play.driver.poll_timeout().unwrap().since(play.now()), Duration::from_secs(2));
    play.pass(Duration::from_secs(2));
    assert_eq!(code(first.now_or_never().unwrap()), ErrorCode::TIMEOUT);
    assert!(second.as_mut().now_or_never().is_none());
    let at_once = publish(&hurried.fail_fast());
    assert_eq!(code(at_once.now_or_never().unwrap()), ErrorCode::NOT_CONNECTED);
    // An acknowledgement waits as long as it takes.
    let hurried = play.client.clone().with_timeout(Duration::from_secs(1));
    let mut acknowledge = Box::pin(hurried.acknowledge("a"));
    assert!(acknowledge.as_mut().now_or_never().is_none());
    play.pass(Duration::from_secs(3600));
    assert!(acknowledge.now_or_never().is_none());
    assert_eq!(code(second.now_or_never().unwrap()), ErrorCode::TIMEOUT);
}

#[test]
fn dropping_a_running_call_cancels_it_and_dropping_a_waiting_one_takes_it_back() {
    let play = Play::connected(Config::default());
    let mut call = Box::pin(play.client.call_raw("f", Payload::json("1")));
    assert!(call.as_mut().now_or_never().is_none());
    let id = play.command().id;
    drop(call);
    let Command { request: Request::Cancel(cancel), .. } = play.command() else { panic!() };
    assert_eq!(cancel.command, id);
    let mut publish = Box::pin(play.client.publish_raw(channel("c"), Payload::json("1")));
    assert!(publish.as_mut().now_or_never().is_none());
    drop(publish);
    assert!(play.commands().is_empty());
}

#[test]
fn a_volatile_message_goes_out_now_or_never() {
    let play = Play::new(Config::default());
    let row = Row::new("a").unwrap();
    assert!(!play.client.publish_volatile(&row, &Binary("1".into())).unwrap());
    let play = Play::connected(Config::default());
    assert!(play.client.publish_volatile(&row, &Binary("1".into())).unwrap());
    assert!(matches!(play.command(), Command { id: 0, request: Request::Publish(_) }));
}

#[test]
fn a_refused_client_has_the_reason_and_a_closed_one_is_closed() {
    let play = Play::new(Config { token: "bad".into(), ..Config::default() });
    let mut connecting = Box::pin(play.client.connect());
    assert!(connecting.as_mut().now_or_never().is_none());
    assert_eq!(play.client.state(), ClientState::Connecting);
    play.open();
    play.refuse(play.command().id, ErrorCode::UNAUTHORIZED);
    assert_eq!(code(connecting.now_or_never().unwrap()), ErrorCode::UNAUTHORIZED);
    assert_eq!(code(play.client.connect().now_or_never().unwrap()), ErrorCode::UNAUTHORIZED);

    let play = Play::connected(Config::default());
    let mut changes = play.client.state_changes();
    let mut publish = Box::pin(play.client.publish_raw(channel("c"), Payload::json("1")));
    assert!(publish.as_mut().now_or_never().is_none());
    play.client.close(CloseCode::NORMAL, "enough");
    let change = next(&mut changes).unwrap();
    assert_eq!((change.state, change.code), (ClientState::Closed, Some(CloseCode::NORMAL)));
    assert_eq!(change.reason, "enough");
    assert!(is_over(&mut changes));
    assert!(
        matches!(play.driver.poll_transmit(true), Some(Transmit::Close { reason, .. }) if reason == "enough")
    );
    assert_eq!(code(publish.now_or_never().unwrap()), ErrorCode::CLOSED);
    assert_eq!(code(play.client.connect().now_or_never().unwrap()), ErrorCode::CLOSED);
    // A stream that begins now ends at once.
    assert!(is_over(&mut play.client.state_changes()));
    assert!(is_over(&mut play.client.errors()));
    assert!(is_over(&mut play.client.broadcasts()));
    assert!(is_over(&mut play.client.alarms()));
    assert!(is_over(&mut play.client.offers()));
}

#[test]
fn the_last_handle_closes_the_client_and_a_subscription_keeps_it() {
    let play = Play::connected(Config::default());
    let Play { client, driver, .. } = play;
    let (second, subscription) = (client.clone(), client.subscribe_raw(channel("c")).unwrap());
    drop(client);
    drop(second);
    assert!(!driver.is_closed(), "a stream is alive");
    drop(subscription);
    assert!(driver.is_closed());
}

#[test]
fn a_change_has_the_words_of_its_code_where_nothing_was_said() {
    let play = Play::connected(Config::default());
    let mut changes = play.client.state_changes();
    play.lose();
    let change = next(&mut changes).unwrap();
    assert_eq!((change.state, change.code), (ClientState::Reconnecting, Some(CloseCode::ABNORMAL)));
    assert_eq!(change.reason, CloseCode::ABNORMAL.message());
    assert!(change.retry_in.is_some());
    assert_eq!(play.client.state(), ClientState::Reconnecting);
    assert!(format!("{:?} {:?}", play.client, play.driver).contains("Reconnecting"));
}
