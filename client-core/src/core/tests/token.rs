//! Tokens and their provider.

use super::*;

#[test]
fn a_refused_token_ends_the_client_and_a_busy_server_does_not() {
    for (code, state) in
        [(ErrorCode::UNAUTHORIZED, State::Closed), (ErrorCode::RATE_LIMITED, State::Connecting)]
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

/// A client that has a token provider, and the provider's part of it.
fn with_provider() -> Client {
    let mut client = Client::with(Config { provides_tokens: true, ..Config::default() });
    client.core.connect(client.now);
    client
}

impl Client {
    /// The question to the provider that was put last.
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

    /// Opens the transport and has the server refuse the token.
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
    client.reply(id, Ok(Answer::Refreshed(Refreshed { token_ttl: Duration::from_secs(10) })));
    assert_eq!(client.wait(), Duration::from_secs(9));
    client.answer_token("t3");
    let id = client.sent()[0].id;
    // A token that lives for less than a provider can be asked for.
    client.reply(id, Ok(Answer::Refreshed(Refreshed { token_ttl: Duration::from_millis(1) })));
    assert_eq!(client.wait(), Duration::from_secs(1));
    client.answer_token("t4");
    let id = client.sent()[0].id;
    client.reply(id, Ok(Answer::Refreshed(Refreshed::default())));
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
    client.reply(*id, Ok(Answer::Refreshed(Refreshed::default())));
    assert_eq!(client.core.state(), State::Connected);
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
    assert_eq!(client.core.state(), State::Closed);
    assert_eq!(client.core.failure().unwrap().code(), ErrorCode::UNAUTHORIZED);
}

#[test]
fn without_a_provider_an_expired_token_ends_the_client() {
    let mut client = Client::with(Config { token: "old".into(), ..Config::default() });
    client.core.connect(client.now);
    client.refuse_token(ErrorCode::TOKEN_EXPIRED);
    assert_eq!(client.core.state(), State::Closed);
    assert_eq!(client.core.failure().unwrap().code(), ErrorCode::TOKEN_EXPIRED);
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
    assert_eq!(client.core.state(), State::Connected);
    let waited = client.wait();
    assert!((Duration::from_secs(5)..=Duration::from_secs(10)).contains(&waited), "{waited:?}");
    let request = client.asked().unwrap();
    client.core.handle_token(client.now, request, Err(Error::signed_out()));
    assert_eq!(client.core.state(), State::Closed);
    assert!(matches!(client.core.poll_transmit(true), Some(Transmit::Close { .. })));
    assert_eq!(client.core.poll_timeout(), None);
}
