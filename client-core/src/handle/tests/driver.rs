//! The driver's reports, and its instructions.

use std::sync::atomic::AtomicUsize;
use std::task::{Wake, Waker};

use super::*;

#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_handle_wakes_the_driver() {
    let play = Play::new(Config::default());
    let bell = Arc::new(Bell::default());
    play.driver.register(&Waker::from(Arc::clone(&bell)));
    assert!(play.client.connect().now_or_never().is_none());
    assert!(bell.0.load(Ordering::SeqCst) > 0);
}

#[test]
fn messages_outside_the_protocol_are_reported() {
    let play = Play::connected(Config::default());
    let mut errors = play.client.errors();
    play.driver.handle_text();
    assert_eq!(next(&mut errors).unwrap().code(), ErrorCode::BAD_FRAME);
    assert!(matches!(play.driver.poll_transmit(true), Some(Transmit::Close { .. })));
}

#[test]
fn a_page_s_life_is_handed_on() {
    let play = Play::connected(Config::default());
    let deadline = |play: &Play| play.driver.poll_timeout().unwrap().since(play.now());
    assert_eq!(deadline(&play), Duration::from_secs(35));
    play.driver.check_connection();
    assert!(matches!(play.command().request, Request::Cancel(_)));
    assert_eq!(deadline(&play), Duration::from_secs(5));
    play.microseconds.fetch_add(2_000_000, Ordering::SeqCst);
    play.driver.handle_drained();
    assert_eq!(deadline(&play), Duration::from_secs(5), "the transport took something");
    play.driver.suspend();
    assert!(matches!(play.driver.poll_transmit(true), Some(Transmit::Close { .. })));
    assert_eq!(play.client.state(), ClientState::Reconnecting);
    assert_eq!(play.driver.poll_transmit(true), None);
    play.driver.reconnect_now();
    play.let_in();
    assert_eq!(play.client.state(), ClientState::Connected);
    play.pass(Duration::from_secs(35));
    assert!(
        matches!(play.driver.poll_transmit(true), Some(Transmit::Close { code, .. }) if code == CloseCode::SERVER_SILENT)
    );
}

#[test]
fn the_provider_is_asked_once_and_its_answer_used() {
    let play = Play::new(Config { provides_tokens: true, ..Config::default() });
    assert!(play.client.connect().now_or_never().is_none());
    assert!(!play.client.needs_token(), "there is a provider");
    let request = play.driver.poll_token_request().unwrap();
    assert_eq!(play.driver.poll_token_request(), None);
    play.driver.handle_token(request, Ok("t".into()));
    play.open();
    let Command { request: Request::Connect(connect), .. } = play.command() else { panic!() };
    assert_eq!(connect.token, "t");
}

#[test]
fn a_driver_that_is_gone_ends_its_client() {
    let Play { client, driver, .. } = Play::connected(Config::default());
    let mut changes = client.state_changes();
    assert!(!driver.is_closed());
    drop(driver);
    let change = next(&mut changes).unwrap();
    assert_eq!((change.state, change.code), (ClientState::Closed, Some(CloseCode::GOING_AWAY)));
}

#[test]
fn a_command_over_the_limit_ends_where_the_driver_sends() {
    let play = Play::new(Config::default());
    let mut publish = Box::pin(play.client.publish_raw(channel("c"), Payload::bytes(vec![0; 5000])));
    assert!(publish.as_mut().now_or_never().is_none());
    assert!(play.client.connect().now_or_never().is_none());
    play.open();
    let id = play.command().id;
    let mut connected = Connected { session: "s".into(), ..Connected::default() };
    connected.limits.message_bytes = 1000;
    play.reply(id, Ok(ReplyBody::Connected(Box::new(connected))));
    assert_eq!(play.driver.poll_transmit(true), None);
    assert_eq!(code(publish.now_or_never().unwrap()), ErrorCode::BAD_REQUEST);
}
