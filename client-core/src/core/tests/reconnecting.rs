//! The time of the next attempt, and the state that a new connection begins with.

use super::*;

#[test]
fn attempts_that_fail_come_ever_later() {
    let mut client = Client::new();
    client.core.connect(client.now);
    let mut longest = Duration::ZERO;
    for _ in 0..200 {
        assert_eq!(client.core.poll_transmit(true), Some(Transmit::Open));
        client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
        let waited = client.wait();
        assert!((Duration::from_millis(500)..=Duration::from_secs(20)).contains(&waited), "{waited:?}");
        longest = longest.max(waited);
    }
    assert!(longest > Duration::from_secs(15), "{longest:?}");
}

#[test]
fn the_server_can_set_the_time_of_the_reconnect() {
    let mut client = Client::connected();
    let code = CloseCode::SHUTDOWN;
    let disconnect = Disconnect { code, reason: "deploy".into(), retry_after: Some(1234) };
    client.receive([ServerFrame::Push(Push::Disconnect(disconnect))]);
    client.core.handle_close(client.now, code, "deploy");
    let events = client.events();
    let Some(Event::State(change)) = events.last() else { panic!("{events:?}") };
    assert_eq!((change.state, change.code), (ClientState::Reconnecting, Some(code)));
    assert_eq!(change.retry_in, Some(Duration::from_millis(1234)));
    assert_eq!(client.wait(), Duration::from_millis(1234));
    client.establish();
}

#[test]
fn commands_behind_the_farewell_of_the_server_wait_for_the_next_connection() {
    let mut client = Client::connected();
    let disconnect = Disconnect { code: CloseCode::SHUTDOWN, reason: String::new(), retry_after: Some(0) };
    client.receive([ServerFrame::Push(Push::Disconnect(disconnect))]);
    // If it had been sent, it could not be repeated: this server remembers no keys.
    client.publish("1");
    assert!(client.sent().is_empty());
    client.core.handle_close(client.now, CloseCode::SHUTDOWN, "");
    client.wait();
    client.establish();
    assert!(matches!(client.sent()[..], [Command { request: Request::Publish(_), .. }]));
}

/// The delay before the next attempt, after a connection that lasted this long.
fn delay_after(client: &mut Client, lived: Duration) -> Duration {
    client.establish();
    client.now = client.now.after(lived);
    client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
    client.wait()
}

#[test]
fn a_server_that_accepts_and_closes_at_once_is_not_hammered() {
    let mut client = Client::new();
    client.core.connect(client.now);
    let mut delays: Vec<_> = (0..40).map(|_| delay_after(&mut client, Duration::from_millis(4999))).collect();
    let first = delays.remove(0);
    assert!(first <= client.core.limits().reconnect_window, "the window of a server that may have crashed");
    assert!(delays.iter().all(|delay| *delay >= Duration::from_millis(500)), "{delays:?}");
    let late: Duration = delays[20..].iter().sum();
    assert!(late > Duration::from_secs(19 * 5), "{delays:?}");

    // A connection that was a good one resets the delays, the second time too.
    for _ in 0..2 {
        let first = delay_after(&mut client, Duration::from_secs(5));
        assert!(first <= client.core.limits().reconnect_window, "{first:?}");
        let second = delay_after(&mut client, Duration::ZERO);
        assert!((Duration::from_millis(500)..=Duration::from_secs(2)).contains(&second), "{second:?}");
    }
}

#[test]
fn a_server_that_demands_immediate_reconnects_again_and_again_is_not_hammered() {
    let mut client = Client::new();
    client.core.connect(client.now);
    let mut delays = Vec::new();
    for _ in 0..40 {
        client.establish();
        let disconnect =
            Disconnect { code: CloseCode::SHUTDOWN, reason: String::new(), retry_after: Some(0) };
        client.receive([ServerFrame::Push(Push::Disconnect(disconnect))]);
        client.core.handle_close(client.now, CloseCode::SHUTDOWN, "");
        delays.push(client.wait());
    }
    assert_eq!(delays[0], Duration::ZERO);
    assert!(delays[1..].iter().all(|delay| *delay >= Duration::from_millis(500)), "{delays:?}");
    assert!(delays[20..].iter().sum::<Duration>() > Duration::from_secs(100), "{delays:?}");
}

#[test]
fn after_a_crash_of_the_server_the_clients_spread_over_its_window() {
    // Longer than any delay of the client's own.
    let window = Duration::from_secs(1000);
    let limits = Limits { reconnect_window: window, ..Limits::default() };
    let delays: Vec<Duration> = (0..20)
        .map(|seed| {
            let mut client = Client { core: Core::new(Config::default(), seed), now: Time::ZERO };
            client.core.connect(client.now);
            client.establish_with(Connected { session: "s".into(), limits, ..Connected::default() });
            client.now = client.now.after(Duration::from_secs(6));
            client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
            client.wait()
        })
        .collect();
    assert!(delays.iter().all(|delay| *delay <= window), "{delays:?}");
    assert!(delays.iter().any(|delay| *delay > window / 2), "{delays:?}");
}

#[test]
fn settings_of_one_connection_do_not_hold_for_the_next() {
    let mut client = Client::connected();
    let say = |client: &mut Client, milliseconds| {
        let retry_after = Some(milliseconds);
        let disconnect = Disconnect { code: CloseCode::SHUTDOWN, reason: String::new(), retry_after };
        client.receive([ServerFrame::Push(Push::Disconnect(disconnect))]);
        client.now = client.now.after(Duration::from_secs(6));
        client.core.handle_close(client.now, CloseCode::SHUTDOWN, "");
        client.wait()
    };
    assert_eq!(say(&mut client, 12_345), Duration::from_millis(12_345));
    client.establish();
    assert_eq!(say(&mut client, 4321), Duration::from_millis(4321), "a second time");
    client.establish();
    client.now = client.now.after(Duration::from_secs(6));
    client.core.handle_close(client.now, CloseCode::ABNORMAL, "");
    assert!(client.wait() <= client.core.limits().reconnect_window);
}
