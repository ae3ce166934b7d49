//! Tokens and their provider.

use super::*;

#[test]
fn a_refused_token_ends_the_client_and_a_busy_server_does_not() {
    for (code, state) in
        [(ErrorCode::UNAUTHORIZED, ClientState::Closed), (ErrorCode::RATE_LIMITED, ClientState::Connecting)]
    {
        let mut client = Client::new();
        client.core.connect(client.now);
        assert_eq!(client.core.poll_transmit(true), Some(Transmit::Open));
        client.core.handle_open(SUBPROTOCOL_PROTOBUF);
        let id = client.sent()[0].id;
        client.reply(id, Err(ErrorInfo::from_code(code)));
        assert_eq!(client.core.state(), state);
        let failure = client.core.failure().map(Error::code);
        assert_eq!(failure.or(client.errors().first().copied()), Some(code));
    }
}

/// A client with a token provider, which the test plays.
fn with_provider() -> Client {
    let mut client = Client::with(Config { provides_tokens: true, ..Config::default() });
    client.core.connect(client.now);
    client
}

impl Client {
    /// The last question to the provider.
    fn asked(&mut self) -> Option<TokenRequest> {
        let asked = |event| match event {
            Event::TokenNeeded(request) => Some(request),
            _ => None,
        };
        self.events().into_iter().filter_map(asked).last()
    }

    fn answer_token(&mut self, token: &str) {
        let request = self.asked().expect("a question");
        self.core.handle_token(self.now, request, Ok(token.into()));
    }

    /// Opens the transport and makes the server refuse the token.
    fn refuse_token(&mut self, code: ErrorCode) -> Connect {
        assert_eq!(self.core.poll_transmit(true), Some(Transmit::Open));
        self.core.handle_open(SUBPROTOCOL_PROTOBUF);
        let Command { id, request: Request::Connect(connect) } = self.sent().remove(0) else { panic!() };
        self.reply(id, Err(ErrorInfo::from_code(code)));
        assert!(matches!(self.core.poll_transmit(true), Some(Transmit::Close { .. })));
        connect
    }
}

#[test]
fn the_provider_is_asked_before_the_first_connect_and_not_before_the_next() {
    let mut client = with_provider();
    assert_eq!(client.core.poll_transmit(true), None, "no token, no connection");
    client.answer_token("t1");
    assert_eq!(client.establish().token, "t1");
    client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
    client.wait();
    assert_eq!(client.asked(), None);
    assert_eq!(client.establish().token, "t1");
}

#[test]
fn the_provider_is_asked_again_when_nine_tenths_of_a_tokens_time_have_passed() {
    let mut client = with_provider();
    client.answer_token("t1");
    let token_ttl = Duration::from_secs(20);
    client.establish_with(Connected { session: "s".into(), token_ttl, ..Connected::default() });
    assert_eq!(client.wait(), Duration::from_secs(18));
    client.answer_token("t2");
    let id = client.sent()[0].id;
    client.reply(id, Ok(ReplyBody::Refreshed(Refreshed { token_ttl: Duration::from_secs(10) })));
    assert_eq!(client.wait(), Duration::from_secs(9));
    client.answer_token("t3");
    let id = client.sent()[0].id;
    // A token whose lifetime is shorter than the pause between questions.
    client.reply(id, Ok(ReplyBody::Refreshed(Refreshed { token_ttl: Duration::from_millis(1) })));
    assert_eq!(client.wait(), Duration::from_secs(1));
    client.answer_token("t4");
    let id = client.sent()[0].id;
    client.reply(id, Ok(ReplyBody::Refreshed(Refreshed::default())));
    assert_eq!(client.wait(), Duration::from_secs(35), "the server's silence, not the token");
    assert_eq!(client.asked(), None);
}

#[test]
fn a_token_that_is_due_is_refreshed_in_the_live_connection() {
    let mut client = with_provider();
    client.answer_token("t1");
    client.establish();
    client.receive([ServerFrame::Push(Push::RefreshDue), ServerFrame::Push(Push::RefreshDue)]);
    client.answer_token("t2");
    let commands = client.sent();
    let [Command { id, request: Request::Refresh(refresh) }] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!(refresh.token, "t2");
    client.reply(*id, Ok(ReplyBody::Refreshed(Refreshed::default())));
    assert_eq!(client.core.state(), ClientState::Connected);
    client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
    client.wait();
    assert_eq!(client.establish().token, "t2");
}

#[test]
fn an_expired_token_is_replaced_at_once_and_a_fresh_one_that_is_expired_later() {
    let mut client = with_provider();
    client.answer_token("old");
    client.establish();
    client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
    client.wait();
    assert_eq!(client.refuse_token(ErrorCode::TOKEN_EXPIRED).token, "old");
    client.answer_token("new");
    assert_eq!(client.refuse_token(ErrorCode::TOKEN_EXPIRED).token, "new");
    assert_eq!(client.asked(), None, "the provider's clock is wrong: no hurry");
    assert!(client.wait() >= Duration::from_millis(500));
    client.answer_token("newer");
    assert_eq!(client.establish().token, "newer");
}

#[test]
fn a_session_that_expires_comes_back_with_a_new_token() {
    let mut client = with_provider();
    client.answer_token("t1");
    client.establish();
    client.core.handle_close(client.now, CloseCode::TOKEN_EXPIRED, "");
    client.wait();
    client.answer_token("t2");
    assert_eq!(client.establish().token, "t2");
}

#[test]
fn a_fresh_token_that_is_refused_ends_the_client_with_the_servers_code() {
    let mut client = with_provider();
    client.answer_token("bad");
    client.refuse_token(ErrorCode::UNAUTHORIZED);
    assert_eq!(client.core.state(), ClientState::Closed);
    assert_eq!(client.core.failure().unwrap().code(), ErrorCode::UNAUTHORIZED);
}

/// A client with a fixed token and no provider.
fn with_token(token: &str) -> Client {
    let mut client = Client::with(Config { token: token.into(), ..Config::default() });
    client.core.connect(client.now);
    client
}

impl Client {
    fn set_token(&mut self, token: &str) {
        self.core.set_token(self.now, token.into());
    }

    /// The tokens that the client sends to its session, and the ids of the commands.
    fn refreshes(&mut self) -> Vec<(u32, String)> {
        let refresh = |Command { id, request }| match request {
            Request::Refresh(refresh) => Some((id, refresh.token)),
            _ => None,
        };
        self.sent().into_iter().filter_map(refresh).collect()
    }

    fn refreshed(&mut self, id: u32) {
        self.reply(id, Ok(ReplyBody::Refreshed(Refreshed::default())));
    }

    fn establish_as(&mut self, user: &str) -> Connect {
        let connected =
            Connected { session: format!("of {user}"), user: user.into(), ..Connected::default() };
        self.establish_with(connected)
    }

    /// The last change of state, with its code and the time until the next attempt.
    fn last_change(&mut self) -> (ClientState, Option<CloseCode>, Option<Duration>) {
        let change = |event| match event {
            Event::State(change) => Some((change.state, change.code, change.retry_in)),
            _ => None,
        };
        self.events().into_iter().filter_map(change).last().expect("a change")
    }
}

#[test]
fn without_a_provider_a_client_with_an_expired_token_waits_for_one_and_keeps_its_state() {
    let mut client = with_token("old");
    let subscription = client.subscribe("c");
    let publish =
        client.core.publish(client.now, &channel("c"), &Payload::json("1"), Some(Duration::MAX)).unwrap();
    client.events();
    assert!(!client.core.needs_token());
    client.refuse_token(ErrorCode::TOKEN_EXPIRED);
    assert!(client.core.needs_token());
    let events = client.events();
    let [Event::Error(error), Event::State(change)] = &events[..] else { panic!("{events:?}") };
    assert_eq!(error.code(), ErrorCode::TOKEN_EXPIRED);
    assert_eq!((change.state, change.code), (ClientState::Connecting, Some(CloseCode::TOKEN_EXPIRED)));
    assert_eq!(change.retry_in, None);
    assert!(change.reason.contains("set_token"), "{}", change.reason);
    // However long that takes, and whatever the page reports.
    assert_eq!(client.core.poll_timeout(), None);
    client.core.reconnect_now(client.now);
    client.core.suspend(client.now);
    assert_eq!(client.core.poll_transmit(true), None);

    client.set_token("new");
    assert!(!client.core.needs_token());
    let connect = client.establish();
    assert_eq!((connect.token.as_str(), connect.subscriptions.len()), ("new", 1));
    assert_eq!(client.core.state(), ClientState::Connected);
    assert_eq!(client.sent()[0].id, publish.number());
    client.receive([push(publication("c", 1, 0))]);
    assert_eq!(client.received(), [(subscription, 1)]);
}

#[test]
fn a_token_that_expired_while_the_client_was_away_is_waited_for_a_second_time_as_well() {
    let mut client = with_token("t0");
    client.establish();
    for (old, new) in [("t0", "t1"), ("t1", "t2")] {
        client.core.handle_close(client.now, CloseCode::TOKEN_EXPIRED, "");
        client.wait();
        assert_eq!(client.refuse_token(ErrorCode::TOKEN_EXPIRED).token, old);
        assert_eq!(client.last_change(), (ClientState::Reconnecting, Some(CloseCode::TOKEN_EXPIRED), None));
        client.set_token(new);
        assert_eq!(client.establish().token, new);
        assert_eq!(client.core.state(), ClientState::Connected);
    }
}

#[test]
fn closing_ends_a_client_that_waits_for_a_token() {
    let mut client = with_token("old");
    client.refuse_token(ErrorCode::TOKEN_EXPIRED);
    client.core.close(CloseCode::NORMAL, "");
    assert!(!client.core.needs_token());
    assert_eq!(client.last_change().0, ClientState::Closed);
    client.set_token("new");
    assert_eq!(client.core.poll_transmit(true), None);
}

#[test]
fn a_token_set_before_the_attempt_or_while_the_transport_opens_is_the_one_to_connect_with() {
    let mut client = Client::with(Config { token: "t0".into(), ..Config::default() });
    client.set_token("t1");
    client.core.connect(client.now);
    assert_eq!(client.core.poll_transmit(true), Some(Transmit::Open));
    client.set_token("t2");
    client.core.handle_open(SUBPROTOCOL_PROTOBUF);
    let Command { request: Request::Connect(connect), .. } = client.sent().remove(0) else { panic!() };
    assert_eq!(connect.token, "t2");
}

#[test]
fn a_token_set_while_connect_is_on_its_way_makes_the_attempt_anew() {
    for is_sent in [false, true] {
        let mut client = with_token("t1");
        let publish = client.publish("1");
        assert_eq!(client.core.poll_transmit(true), Some(Transmit::Open));
        client.core.handle_open(SUBPROTOCOL_PROTOBUF);
        if is_sent {
            assert!(matches!(client.core.poll_transmit(true), Some(Transmit::Send(_))));
        }
        client.set_token("t1");
        assert!(!matches!(client.core.poll_transmit(true), Some(Transmit::Close { .. })), "it is the same");
        client.set_token("t2");
        assert!(matches!(client.core.poll_transmit(true), Some(Transmit::Close { .. })));
        assert_eq!(client.establish_as("bob").token, "t2", "at once");
        assert_eq!((client.core.user(), client.core.state()), ("bob", ClientState::Connected));
        let sent = client.sent();
        assert_eq!(sent.len(), 1, "nothing to refresh: {sent:?}");
        assert_eq!(sent[0].id, publish.number());
    }
}

#[test]
fn a_token_set_while_connected_is_taken_in_the_session_and_the_next_ones() {
    let mut client = with_token("t1");
    client.establish();
    client.set_token("t2");
    let refreshes = client.refreshes();
    let [(id, token)] = &refreshes[..] else { panic!("{refreshes:?}") };
    assert_eq!(token, "t2");
    client.refreshed(*id);
    assert_eq!(client.core.state(), ClientState::Connected);
    client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
    client.wait();
    assert_eq!(client.establish().token, "t2");
}

#[test]
fn of_tokens_set_in_a_row_the_last_one_holds_and_one_is_on_its_way_at_a_time() {
    let mut client = with_token("t1");
    client.establish();
    for token in ["t2", "t3", "t4"] {
        client.set_token(token);
    }
    let first = client.refreshes();
    assert_eq!(first.len(), 1, "{first:?}");
    // The result of the first one does not matter.
    client.reply(first[0].0, Err(ErrorInfo::from_code(ErrorCode::UNAUTHORIZED)));
    let second = client.refreshes();
    assert_eq!(second.iter().map(|(_, token)| token.as_str()).collect::<Vec<_>>(), ["t4"]);
    client.refreshed(second[0].0);
    assert!(client.refreshes().is_empty());
    assert_eq!(client.core.state(), ClientState::Connected);
}

#[test]
fn another_users_token_begins_a_session_of_that_user_at_once() {
    let mut client = with_token("ann");
    client.subscribe("c");
    client.establish_as("ann");
    client.events();
    client.set_token("bob");
    let refreshes = client.refreshes();
    client.reply(refreshes[0].0, Err(ErrorInfo::from_code(ErrorCode::UNAUTHORIZED)));
    assert!(matches!(client.core.poll_transmit(true), Some(Transmit::Close { .. })));
    assert_eq!(client.last_change().0, ClientState::Reconnecting);
    let connect = client.establish_as("bob");
    assert_eq!((connect.token.as_str(), connect.subscriptions.len()), ("bob", 1));
    assert_eq!((client.core.user(), client.core.state()), ("bob", ClientState::Connected));

    // A token that belongs to no user ends the client, as before.
    client.set_token("nobody");
    let refreshes = client.refreshes();
    client.reply(refreshes[0].0, Err(ErrorInfo::from_code(ErrorCode::UNAUTHORIZED)));
    assert!(matches!(client.core.poll_transmit(true), Some(Transmit::Close { .. })));
    client.refuse_token(ErrorCode::UNAUTHORIZED);
    assert_eq!(client.core.state(), ClientState::Closed);
    assert_eq!(client.core.failure().unwrap().code(), ErrorCode::UNAUTHORIZED);
}

#[test]
fn a_provider_with_tokens_of_two_users_in_turn_does_not_hammer_the_server() {
    let mut client = with_provider();
    client.answer_token("ann");
    client.establish_as("ann");
    client.receive([ServerFrame::Push(Push::RefreshDue)]);
    client.answer_token("bob");
    let refreshes = client.refreshes();
    client.reply(refreshes[0].0, Err(ErrorInfo::from_code(ErrorCode::UNAUTHORIZED)));
    assert!(client.last_change().2.is_some_and(|delay| !delay.is_zero()));
    assert!(matches!(client.core.poll_transmit(true), Some(Transmit::Close { .. })));
    client.wait();
    assert_eq!(client.establish_as("bob").token, "bob");
}

#[test]
fn commands_sent_as_one_user_are_not_repeated_as_another_and_waiting_ones_go_out() {
    let window = Duration::from_secs(60);
    let memory = |user: &str| {
        let idempotency = Some(Idempotency { scope: "s".into(), window, clock: 0 });
        let call_idempotency = idempotency.clone();
        Connected {
            session: user.into(),
            user: user.into(),
            idempotency,
            call_idempotency,
            ..Connected::default()
        }
    };
    let mut client = with_token("ann");
    client.establish_with(memory("ann"));
    let publish = client.publish("1");
    let call = client.core.call(client.now, "f", &Payload::json("1"), None).unwrap();
    client.sent();
    client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
    let waits = client.publish("2");
    assert_eq!(client.completed(), [], "in doubt");
    client.set_token("bob");
    client.wait();
    client.establish_with(memory("bob"));
    let lost = Err(ErrorCode::CONNECTION_LOST);
    assert_eq!(client.completed(), [(publish, lost.clone()), (call, lost)]);
    let sent: Vec<_> = client.sent().iter().map(|command| command.id).collect();
    assert_eq!(sent, [waits.number()]);
}

#[test]
fn a_token_that_the_server_can_not_look_at_is_sent_again_later() {
    let mut client = with_token("t1");
    client.establish();
    client.set_token("t2");
    for _ in 0..2 {
        let refreshes = client.refreshes();
        assert_eq!(refreshes[0].1, "t2");
        client.reply(refreshes[0].0, Err(ErrorInfo::from_code(ErrorCode::UNAVAILABLE)));
        assert_eq!(client.errors(), [ErrorCode::UNAVAILABLE]);
        assert!(client.refreshes().is_empty());
        let waited = client.wait();
        assert!((Duration::from_secs(5)..=Duration::from_secs(10)).contains(&waited), "{waited:?}");
    }
    let refreshes = client.refreshes();
    client.refreshed(refreshes[0].0);
    assert_eq!(client.wait(), Duration::from_secs(35), "the server's silence alone");
}

#[test]
fn an_expired_token_set_while_connected_is_reported_and_the_session_continues() {
    let mut client = with_token("t1");
    client.establish();
    client.set_token("expired");
    let refreshes = client.refreshes();
    client.reply(refreshes[0].0, Err(ErrorInfo::from_code(ErrorCode::TOKEN_EXPIRED)));
    assert_eq!(client.errors(), [ErrorCode::TOKEN_EXPIRED]);
    assert_eq!(client.core.state(), ClientState::Connected);
}

#[test]
fn a_late_answer_of_the_provider_does_not_replace_a_newer_token() {
    // Before the first connect.
    let mut client = with_provider();
    let question = client.asked().unwrap();
    client.set_token("newer");
    client.core.handle_token(client.now, question, Ok("late".into()));
    assert_eq!(client.establish().token, "newer");
    // While connected.
    client.receive([ServerFrame::Push(Push::RefreshDue)]);
    let question = client.asked().unwrap();
    client.set_token("newest");
    let refreshes = client.refreshes();
    client.core.handle_token(client.now, question, Ok("late".into()));
    client.core.handle_token(client.now, question, Err(Error::signed_out()));
    client.refreshed(refreshes[0].0);
    assert!(client.refreshes().is_empty());
    client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
    client.wait();
    assert_eq!(client.establish().token, "newest");
    assert_eq!(client.asked(), None);
}

#[test]
fn after_a_refresh_the_token_is_an_old_one_and_the_provider_is_asked_when_it_is_refused() {
    let mut client = with_provider();
    client.answer_token("t1");
    client.establish();
    client.set_token("t2");
    let refreshes = client.refreshes();
    client.refreshed(refreshes[0].0);
    client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
    client.wait();
    assert_eq!(client.refuse_token(ErrorCode::TOKEN_EXPIRED).token, "t2");
    client.answer_token("t3");
    assert_eq!(client.establish().token, "t3", "at once");
}

#[test]
fn a_session_that_expires_while_its_new_token_is_on_the_way_comes_back_with_that() {
    let mut client = with_provider();
    client.answer_token("t1");
    client.establish();
    client.receive([ServerFrame::Push(Push::RefreshDue)]);
    client.answer_token("t2");
    client.sent();
    client.core.handle_close(client.now, CloseCode::TOKEN_EXPIRED, "");
    client.wait();
    assert_eq!(client.asked(), None);
    assert_eq!(client.establish().token, "t2");
}

#[test]
fn a_provider_that_hangs_or_fails_for_now_is_asked_again_and_its_late_answer_ignored() {
    let mut client = with_provider();
    let first = client.asked().unwrap();
    assert_eq!(client.wait(), Duration::from_secs(10));
    assert_eq!(client.errors(), [ErrorCode::TOKEN_UNAVAILABLE]);
    client.core.handle_token(client.now, first, Ok("late".into()));
    assert_eq!(client.core.poll_transmit(true), None);
    client.wait();
    let second = client.asked().unwrap();
    client.core.handle_token(client.now, second, Err(Error::token_unavailable("offline")));
    client.wait();
    client.answer_token("t");
    assert_eq!(client.establish().token, "t");
}

#[test]
fn a_provider_that_fails_while_connected_does_not_end_the_connection_unless_it_means_it() {
    let mut client = with_provider();
    client.answer_token("t1");
    client.establish();
    client.receive([ServerFrame::Push(Push::RefreshDue)]);
    let request = client.asked().unwrap();
    client.core.handle_token(client.now, request, Err(Error::token_unavailable("offline")));
    assert_eq!(client.core.state(), ClientState::Connected);
    let waited = client.wait();
    assert!((Duration::from_secs(5)..=Duration::from_secs(10)).contains(&waited), "{waited:?}");
    let request = client.asked().unwrap();
    client.core.handle_token(client.now, request, Err(Error::signed_out()));
    assert_eq!(client.core.state(), ClientState::Closed);
    assert!(matches!(client.core.poll_transmit(true), Some(Transmit::Close { .. })));
    assert_eq!(client.core.poll_timeout(), None);
}
