//! Signs of life: a silent server, a connection in doubt, a client that sleeps and comes back.

use super::*;

#[test]
fn a_silent_server_is_left_for_another_attempt_and_any_frame_is_a_sign_of_life() {
    let mut client = Client::connected();
    client.now = client.now.after(Duration::from_secs(30));
    client.receive([push(publication("other", 1, 0))]);
    assert_eq!(client.wait(), Duration::from_secs(35), "ping interval and grace, from the last frame on");
    let Some(Transmit::Close { code, .. }) = client.core.poll_transmit(true) else { panic!() };
    assert_eq!(code, CloseCode::SERVER_SILENT);
    assert_eq!(client.core.state(), ClientState::Reconnecting);
    client.wait();
    client.establish();
    assert_eq!(client.core.state(), ClientState::Connected);
}

#[test]
fn a_suspended_page_does_not_mistake_its_own_sleep_for_the_servers_silence() {
    let mut client = Client::connected();
    client.now = client.now.after(Duration::from_secs(3600));
    client.core.handle_timeout(client.now);
    assert_eq!(client.core.state(), ClientState::Connected);
    client.receive([push(publication("other", 1, 0))]);
    assert_eq!(client.wait(), Duration::from_secs(35), "alive again");

    let mut client = Client::connected();
    client.now = client.now.after(Duration::from_secs(3600));
    client.core.handle_timeout(client.now);
    assert_eq!(client.wait(), Duration::from_secs(5));
    assert_eq!(client.core.state(), ClientState::Reconnecting, "nothing came");
}

#[test]
fn a_connection_in_doubt_stays_if_the_server_sends_anything() {
    let mut client = Client::connected();
    client.core.check_connection(client.now);
    // A second check during the first adds nothing.
    client.core.check_connection(client.now);
    let [Command { id, request: Request::Cancel(cancel) }] = &client.sent()[..] else { panic!() };
    assert_eq!(cancel.command, *id, "no other command is cancelled");
    client.reply(*id, Ok(ReplyBody::Cancelled));
    let next_ping = client.core.poll_timeout().unwrap().since(client.now);
    assert!(next_ping > client.core.limits().ping_interval, "{next_ping:?}");
    assert!(client.events().is_empty());
}

#[test]
fn a_connection_in_doubt_is_closed_if_the_server_sends_nothing() {
    let mut client = Client::connected();
    client.core.check_connection(client.now);
    client.sent();
    assert_eq!(client.wait(), Duration::from_secs(5));
    let Some(Transmit::Close { code, .. }) = client.core.poll_transmit(true) else { panic!() };
    assert_eq!((code, client.core.state()), (CloseCode::SERVER_SILENT, ClientState::Reconnecting));
    client.core.check_connection(client.now);
    assert_eq!(client.core.poll_transmit(true), None, "there is none to check");
}

#[test]
fn a_client_that_comes_back_finds_out_within_five_seconds_whether_its_connection_lives() {
    for lives in [true, false] {
        let mut client = Client::connected();
        client.now = client.now.after(Duration::from_secs(2));
        client.core.reconnect_now(client.now);
        let [Command { id, request: Request::Cancel(_) }] = client.sent()[..] else { panic!() };
        client.now = client.now.after(Duration::from_millis(4900));
        client.core.reconnect_now(client.now);
        assert!(client.sent().is_empty(), "it is asked already, and the time does not start anew");
        if lives {
            client.reply(id, Ok(ReplyBody::Cancelled));
            client.core.handle_timeout(client.now.after(Duration::from_millis(100)));
            assert_eq!(client.core.state(), ClientState::Connected);
            client.core.reconnect_now(client.now);
            assert_eq!(client.sent().len(), 1, "each time anew");
        } else {
            assert_eq!(client.wait(), Duration::from_millis(100));
            assert_eq!(client.core.state(), ClientState::Reconnecting);
            let code = CloseCode::SERVER_SILENT;
            assert_eq!(
                client.core.poll_transmit(true),
                Some(Transmit::Close { code, reason: String::new() })
            );
            client.core.reconnect_now(client.now);
            assert_eq!(client.core.poll_transmit(true), Some(Transmit::Open));
        }
    }
}

#[test]
fn a_suspended_client_closes_its_connection_and_reconnects_on_request() {
    let mut client = Client::connected();
    client.subscribe("c");
    client.sent();
    client.core.suspend(client.now);
    assert_eq!(
        client.core.poll_transmit(true),
        Some(Transmit::Close { code: CloseCode::NORMAL, reason: String::new() })
    );
    assert_eq!(client.core.poll_transmit(true), None);
    client.core.suspend(client.now);
    let events = client.events();
    let [Event::State(change)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((change.state, change.code), (ClientState::Reconnecting, Some(CloseCode::GOING_AWAY)));
    client.core.reconnect_now(client.now);
    assert_eq!(client.establish().subscriptions.len(), 1);

    let mut client = Client::new();
    client.core.connect(client.now);
    assert_eq!(client.core.poll_transmit(true), Some(Transmit::Open));
    client.core.suspend(client.now);
    assert!(
        matches!(client.core.poll_transmit(true), Some(Transmit::Close { .. })),
        "opening counts as well"
    );
}

#[test]
fn silence_is_measured_to_the_moment() {
    let mut client = Client::connected();
    let deadline = client.core.poll_timeout().unwrap();
    client.core.handle_timeout(Time::from_micros(
        u64::try_from(deadline.since(Time::ZERO).as_micros()).unwrap() - 1,
    ));
    assert_eq!(client.core.state(), ClientState::Connected);
    // As late as a busy machine makes it: the server was silent.
    client.core.handle_timeout(deadline.after(Duration::from_secs(2)));
    assert_eq!(client.core.state(), ClientState::Reconnecting);
    // Later than that, this machine was held up.
    let mut client = Client::connected();
    client.core.handle_timeout(deadline.after(Duration::from_micros(2_000_001)));
    assert_eq!(client.core.state(), ClientState::Connected);
}

#[test]
fn a_doubt_behind_a_large_message_lasts_longer() {
    for (bytes, seconds) in [(16 * 1024 - 100, 5), (16 * 1024 + 100, 15)] {
        let mut client = Client::connected();
        let payload = Payload::bytes(vec![0; bytes]);
        client.receive([push(Publication { payload, ..publication("other", 1, 0) })]);
        client.core.check_connection(client.now);
        assert_eq!(client.wait(), Duration::from_secs(seconds), "{bytes}");
        assert_eq!(client.core.state(), ClientState::Reconnecting);
    }
}

#[test]
fn without_pings_silence_means_nothing() {
    let mut client = Client::new();
    client.core.connect(client.now);
    let limits = Limits { ping_interval: Duration::ZERO, ..Limits::default() };
    client.establish_with(Connected { session: "s".into(), limits, ..Connected::default() });
    assert_eq!(client.core.poll_timeout(), None);
}

#[test]
fn a_ping_before_connected_is_answered_and_not_before_connect() {
    let ping = Bytes::new();
    let pong = Some(Transmit::Send(ping.clone()));
    let mut client = Client::new();
    client.core.connect(client.now);
    assert_eq!(client.core.poll_transmit(true), Some(Transmit::Open));
    client.core.handle_open(SUBPROTOCOL_PROTOBUF);
    client.core.handle_message(client.now, &ping);
    let sent = client.sent_next().unwrap();
    let [Command { id, request: Request::Connect(_) }] = sent[..] else { panic!("{sent:?}") };
    assert_eq!(client.core.poll_transmit(false), pong, "whatever else waits");
    assert_eq!(client.core.poll_transmit(true), None, "once for each");
    client.core.handle_message(client.now, &ping);
    client.reply(id, Ok(ReplyBody::Connected(Box::default())));
    assert_eq!(client.core.poll_transmit(true), pong, "also where `connected` came behind it");
}
