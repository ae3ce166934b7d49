//! The handles, over a core whose driver and server are played by the test.
#![allow(clippy::arithmetic_side_effects)]
#![allow(clippy::wildcard_imports, reason = "the files here share one vocabulary")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_core::Stream;
use futures_util::{FutureExt as _, StreamExt as _};
use wirehub_common::code::{CloseCode, ErrorCode};
use wirehub_common::contract::Binary;
use wirehub_common::frame::{
    Called, Command, Connected, ErrorInfo, History, HistoryPage, Member, Position, PresenceList, Publication,
    Published, Push, Reply, ReplyBody, Request, ServerFrame, Subscribe, SubscribeOutcome, Subscribed,
    Unsubscribed,
};
use wirehub_common::{ChannelName, Codec, Payload, SUBPROTOCOL_PROTOBUF, frame};

use super::*;
use crate::{
    Client, Config, Driver, Gap, MemberChange, Overflow, SubscribeOptions, Subscription, Transmit, Update,
};

mod client;
mod driver;
mod leftovers;
mod progress;
mod streams;

wirehub_common::contract! {
    contract Numbers = "numbers";
    channel Row { table } = "row:{table}": Binary;
    call Sum = "sum": fn(Binary) -> Binary;
    stream Count = "count": fn(Binary) -> Binary;
}

/// A client, its driver, and the time.
struct Play {
    client: Client,
    driver: Driver,
    microseconds: Arc<AtomicU64>,
}

impl Play {
    fn new(config: Config) -> Self {
        let microseconds = Arc::new(AtomicU64::new(0));
        let clock = Arc::clone(&microseconds);
        let (client, driver) =
            Driver::pair(config, 1, move || Time::from_micros(clock.load(Ordering::SeqCst)));
        Self { client, driver, microseconds }
    }

    /// A client that is connected.
    fn connected(config: Config) -> Self {
        let play = Self::new(config);
        assert!(play.client.connect().now_or_never().is_none());
        play.let_in();
        play
    }

    fn pass(&self, time: Duration) {
        self.microseconds.fetch_add(u64::try_from(time.as_micros()).unwrap(), Ordering::SeqCst);
        self.driver.handle_timeout();
    }

    fn now(&self) -> Time {
        Time::from_micros(self.microseconds.load(Ordering::SeqCst))
    }

    /// The WebSocket is open.
    fn open(&self) {
        assert_eq!(self.driver.poll_transmit(true), Some(Transmit::Open));
        self.driver.handle_open(SUBPROTOCOL_PROTOBUF);
    }

    /// The commands in the next message.
    fn commands(&self) -> Vec<Command> {
        let Some(Transmit::Send(message)) = self.driver.poll_transmit(true) else { return Vec::new() };
        Codec::Protobuf.decode_commands(&message).map(Result::unwrap).collect()
    }

    /// The only command in the next message.
    fn command(&self) -> Command {
        let mut commands = self.commands();
        assert_eq!(commands.len(), 1, "{commands:?}");
        commands.remove(0)
    }

    fn receive(&self, frame: &ServerFrame) {
        self.driver.handle_message(&Codec::Protobuf.encode_frame(frame));
    }

    fn push(&self, push: Push) {
        self.receive(&ServerFrame::Push(push));
    }

    fn reply(&self, id: u32, result: Result<ReplyBody, ErrorInfo>) {
        self.receive(&ServerFrame::Reply(Reply { id, result }));
    }

    fn refuse(&self, id: u32, code: ErrorCode) {
        self.reply(id, Err(ErrorInfo::from_code(code)));
    }

    /// Accepts the client, as `ann`.
    fn let_in(&self) {
        self.open();
        let Command { id, request: Request::Connect(connect) } = self.command() else { panic!() };
        let outcome = |Subscribe { channel, number, .. }: Subscribe| SubscribeOutcome {
            result: Ok(subscribed(&channel, number)),
            channel,
            number,
        };
        let subscriptions = connect.subscriptions.into_iter().map(outcome).collect();
        let (session, user) = ("s".into(), "ann".into());
        let connected = Connected { session, user, subscriptions, ..Connected::default() };
        self.reply(id, Ok(ReplyBody::Connected(Box::new(connected))));
    }

    /// Confirms the next subscription that is requested.
    fn confirm(&self) -> u32 {
        let Command { id, request: Request::Subscribe(subscribe) } = self.command() else { panic!() };
        self.reply(id, Ok(ReplyBody::Subscribed(subscribed(&subscribe.channel, id))));
        id
    }

    fn lose(&self) {
        self.driver.handle_close(CloseCode::ABNORMAL, "");
    }
}

fn channel(name: &str) -> ChannelName {
    ChannelName::new(name).unwrap()
}

fn subscribed(channel: &ChannelName, number: u32) -> Subscribed {
    Subscribed { channel: channel.clone(), number, position: None, complete: false, recovering: 0 }
}

fn published(name: &str, payload: Payload) -> Publication {
    let publisher = Some(Member { session: "s2".into(), ..Member::default() });
    Publication { channel: channel(name), payload, time: 5000, publisher, offset: 0 }
}

/// The next item of a stream, if it is there.
fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    stream.next().now_or_never().flatten()
}

/// The next publication of a subscription, which has to be there.
fn publication<M>(subscription: &mut Subscription<M>) -> crate::Publication<M> {
    next(subscription).unwrap().unwrap().publication().unwrap()
}

/// Whether a stream is over.
fn is_over<S: Stream + Unpin>(stream: &mut S) -> bool {
    matches!(stream.next().now_or_never(), Some(None))
}

fn code<T>(result: Result<T, Error>) -> ErrorCode {
    match result {
        Ok(_) => panic!("it succeeded"),
        Err(error) => error.code(),
    }
}
