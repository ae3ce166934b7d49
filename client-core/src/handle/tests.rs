//! Futures that are given up leave nothing behind: not in a `select!` loop, however often it goes round.
#![allow(clippy::arithmetic_side_effects)]

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use futures_util::{FutureExt as _, StreamExt as _};
use wirehub_common::code::{CloseCode, ErrorCode};
use wirehub_common::frame::{
    Answer, Connected, History, HistoryPage, Position, Publication, Reply, ServerFrame, Subscribe,
    SubscribeOutcome, Subscribed,
};
use wirehub_common::{ChannelName, Codec, Payload, SUBPROTOCOL_PROTOBUF, frame};

use super::*;
use crate::{Client, Config, Driver, Transmit};

const ROUNDS: usize = 100_000;

fn client() -> (Client, Driver) {
    Driver::pair(Config::default(), 1, || Time::ZERO)
}

/// Wakes nobody, and shows who holds on to it.
struct Witness;

impl Wake for Witness {
    fn wake(self: Arc<Self>) {}
}

/// Begins a future again and again, and gives it up each time.
fn give_up<F: Future>(make: impl Fn() -> F) {
    let witness = Arc::new(Witness);
    let waker = Waker::from(Arc::clone(&witness));
    for _ in 0..ROUNDS {
        let future = pin!(make());
        assert!(future.poll(&mut Context::from_waker(&waker)).is_pending());
    }
    drop(waker);
    assert!(Arc::strong_count(&witness) <= 2, "{} wakers are left", Arc::strong_count(&witness));
}

/// How much the client keeps for others.
fn kept(shared: &Shared) -> usize {
    let inner = shared.lock();
    inner.commands.len()
        + inner.streams.len()
        + inner.subscriptions.len()
        + inner.watchers.len()
        + inner.errors.len()
        + inner.broadcasts.len()
        + inner.alarms.len()
}

#[test]
fn who_gives_up_waiting_leaves_nothing_behind() {
    let (client, driver) = client();
    let shared = driver.shared();
    give_up(|| client.connect());
    give_up(|| client.closed());
    give_up(|| client.acknowledge("a"));
    let channel = ChannelName::new("c").unwrap();
    give_up(|| client.publish_raw(channel.clone(), Payload::json("1")));
    give_up(|| client.call_raw("f", Payload::json("1")));
    give_up(|| client.presence(channel.clone()));
    give_up(|| client.presence_counts(channel.clone()));
    let history = History { channel: channel.clone(), since: None, limit: 1, reverse: false };
    give_up(|| client.history_raw(history.clone()));
    give_up(|| async { client.state_changes().next().await });
    give_up(|| async { client.errors().next().await });
    give_up(|| async { client.broadcasts().next().await });
    give_up(|| async { client.alarms().next().await });
    give_up(|| async { client.offers().next().await });
    give_up(|| async { client.call_stream_raw("f", Payload::json("1")).unwrap().next().await });
    give_up(|| async { client.subscribe_raw(channel.clone()).unwrap().next().await });
    assert!(kept(shared) <= 4, "one of each kind at most: {}", kept(shared));

    let subscription = client.subscribe_raw(channel.clone()).unwrap();
    give_up(|| async { subscription.member_changes().next().await });
    let subscription = std::cell::RefCell::new(subscription);
    #[allow(clippy::await_holding_refcell_ref, reason = "nobody else has it")]
    let ready = || async { subscription.borrow_mut().ready().await };
    give_up(ready);
}

#[test]
fn whoever_waits_for_the_end_hears_of_it_though_others_gave_up() {
    let (client, driver) = client();
    let mut first = Box::pin(client.closed());
    let mut second = Box::pin(client.closed());
    assert_eq!(first.as_mut().now_or_never(), None);
    assert_eq!(second.as_mut().now_or_never(), None);
    drop(first);
    client.close(CloseCode::NORMAL, "");
    assert_eq!(second.as_mut().now_or_never(), None, "its driver is there");
    drop(driver);
    assert_eq!(second.now_or_never(), Some(()));
    assert_eq!(client.closed().now_or_never(), Some(()), "and so does who comes later");
}

/// Plays the server: has the driver send, and answers.
struct Server<'a>(&'a Driver);

impl Server<'_> {
    fn accept(&self) {
        assert_eq!(self.0.poll_transmit(true), Some(Transmit::Open));
        self.0.handle_open(SUBPROTOCOL_PROTOBUF);
    }

    fn command(&self) -> frame::Command {
        let Some(Transmit::Send(message)) = self.0.poll_transmit(true) else { panic!("nothing is sent") };
        Codec::Protobuf.decode_commands(&message).next().unwrap().unwrap()
    }

    fn reply(&self, id: u32, result: Result<Answer, frame::ErrorInfo>) {
        let reply = ServerFrame::Reply(Reply { id, result });
        self.0.handle_message(&Codec::Protobuf.encode_frame(&reply));
    }

    fn connect(&self) {
        self.accept();
        let frame::Command { id, request: frame::Request::Connect(connect) } = self.command() else {
            panic!()
        };
        let outcome = |Subscribe { channel, number, .. }| SubscribeOutcome {
            result: Ok(Subscribed {
                channel: ChannelName::clone(&channel),
                number,
                position: None,
                complete: false,
                recovering: 0,
            }),
            channel,
            number,
        };
        let subscriptions = connect.subscriptions.into_iter().map(outcome).collect();
        let connected = Connected { session: "s".into(), subscriptions, ..Connected::default() };
        self.reply(id, Ok(Answer::Connected(Box::new(connected))));
    }
}

#[test]
fn a_token_is_put_in_where_the_client_waits_for_one() {
    let (client, driver) = client();
    let server = Server(&driver);
    let mut connecting = Box::pin(client.connect());
    assert!(connecting.as_mut().now_or_never().is_none());
    let mut changes = client.state_changes();
    server.accept();
    let id = server.command().id;
    server.reply(id, Err(frame::ErrorInfo::from_code(ErrorCode::TOKEN_EXPIRED)));
    let error = connecting.now_or_never().unwrap().unwrap_err();
    assert_eq!(error.code(), ErrorCode::TOKEN_EXPIRED);
    assert!(client.needs_token());
    let change = changes.next().now_or_never().flatten().unwrap();
    assert_eq!((change.state, change.code), (State::Connecting, Some(CloseCode::TOKEN_EXPIRED)));
    assert_eq!(client.connect().now_or_never().unwrap().unwrap_err().code(), ErrorCode::TOKEN_EXPIRED);

    assert!(matches!(driver.poll_transmit(true), Some(Transmit::Close { .. })));
    client.set_token("new").unwrap();
    assert!(!client.needs_token());
    let mut connecting = Box::pin(client.connect());
    assert!(connecting.as_mut().now_or_never().is_none());
    server.connect();
    assert!(matches!(connecting.now_or_never(), Some(Ok(()))));
    client.close(CloseCode::NORMAL, "");
    assert_eq!(client.set_token("late").unwrap_err().code(), ErrorCode::CLOSED);
}

wirehub_common::contract! {
    contract Numbers = "numbers";
    channel Row { table } = "row:{table}": wirehub_common::contract::Binary;
}

#[test]
fn a_history_goes_on_past_what_can_not_be_read_and_says_what_that_was() {
    let (client, driver) = client();
    let server = Server(&driver);
    let _ = client.connect().now_or_never();
    server.connect();
    let row = Row::new("a").unwrap();
    let mut reading = Box::pin(client.history(&row, None, 10));
    assert!(reading.as_mut().now_or_never().is_none());
    let id = server.command().id;
    let publication = |(offset, payload)| Publication {
        channel: ChannelName::new("row:a").unwrap(),
        payload,
        time: 1000 * offset,
        publisher: None,
        offset,
    };
    let (bytes, text) = (Payload::bytes("row"), Payload::json("\"no bytes\""));
    let publications = [(4, &bytes), (5, &text), (6, &bytes), (7, &text)];
    let publications = publications.map(|(offset, payload)| publication((offset, payload.clone()))).to_vec();
    let position = Position { offset: 9, epoch: "e".into() };
    let page = HistoryPage { position: position.clone(), publications, more: true };
    server.reply(id, Ok(Answer::History(page)));
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
