//! The rules one by one, against a server played by the test.
#![allow(clippy::wildcard_imports, reason = "the files here share one vocabulary")]

use std::time::Duration;

use wirehub_common::code::{CloseCode, ErrorCode};
use wirehub_common::contract::ContractHash;
use wirehub_common::frame::{
    Acknowledge, Alarm, Called, Command, Connect, Connected, ContractDigest, ContractId, Disconnect,
    ErrorInfo, History, HistoryPage, Idempotency, Member, Movement, Part, Position, PresenceList,
    Publication, Published, Push, Refreshed, Reply, ReplyBody, Request, ServerFrame, Subscribe,
    SubscribeOutcome, Subscribed, Unsubscribe, Unsubscribed,
};
use wirehub_common::{Bytes, ChannelName, Codec, Limits, Payload, SUBPROTOCOL_PROTOBUF};

use super::{CommandId, Core, SendOptions, SubscribeOptions, SubscriptionId, TokenRequest, Transmit};
use crate::{ClientState, Config, Error, Event, Gap, Outcome, Recovery, Time};

mod batches;
mod commands;
mod connection;
mod draining;
mod liveness;
mod members;
mod offers;
mod parts;
mod progress;
mod reconnecting;
mod repeats;
mod streams;
mod subscriptions;
mod token;

/// A core, the time, and the core's instructions to its driver.
struct Client {
    core: Core,
    now: Time,
}

impl Client {
    fn new() -> Self {
        Self::with(Config::default())
    }

    fn with(config: Config) -> Self {
        Self { core: Core::new(config, 1), now: Time::ZERO }
    }

    /// A client whose connection is up.
    fn connected() -> Self {
        let mut client = Self::new();
        client.core.connect(client.now);
        client.establish();
        client.events();
        client
    }

    /// Opens the transport and makes the server accept; returns the client's `connect`.
    fn establish(&mut self) -> Connect {
        self.establish_with(Connected { session: "s1".into(), ..Connected::default() })
    }

    fn establish_with(&mut self, connected: Connected) -> Connect {
        assert_eq!(self.core.poll_transmit(true), Some(Transmit::Open));
        self.core.handle_open(SUBPROTOCOL_PROTOBUF);
        let mut commands = self.sent();
        assert_eq!(commands.len(), 1, "{commands:?}");
        let Command { id, request: Request::Connect(connect) } = commands.remove(0) else {
            panic!("{commands:?}")
        };
        // The server confirms the subscriptions unless the test does.
        let subscriptions = if connected.subscriptions.is_empty() {
            connect.subscriptions.iter().map(outcome).collect()
        } else {
            connected.subscriptions.clone()
        };
        self.reply(id, Ok(ReplyBody::Connected(Box::new(Connected { subscriptions, ..connected }))));
        connect
    }

    fn sent(&mut self) -> Vec<Command> {
        std::iter::from_fn(|| self.sent_next()).flatten().collect()
    }

    /// The commands in the next message.
    fn sent_next(&mut self) -> Option<Vec<Command>> {
        let transmit = self.core.poll_transmit(true)?;
        let Transmit::Send(bytes) = transmit else { panic!("{transmit:?}") };
        assert!(!bytes.is_empty(), "an empty message is the answer to a ping");
        assert!(bytes.len() <= Limits::BATCH_BYTES);
        Some(Codec::Protobuf.decode_commands(&bytes).map(Result::unwrap).collect())
    }

    fn receive(&mut self, frames: impl IntoIterator<Item = ServerFrame>) {
        let message: Vec<u8> =
            frames.into_iter().flat_map(|frame| Codec::Protobuf.encode_frame(&frame)).collect();
        self.core.handle_message(self.now, &message.into());
    }

    fn reply(&mut self, id: u32, result: Result<ReplyBody, ErrorInfo>) {
        self.receive([ServerFrame::Reply(Reply { id, result })]);
    }

    /// The events but those of epochs.
    fn events(&mut self) -> Vec<Event> {
        let events = std::iter::from_fn(|| self.core.poll_event());
        events.filter(|event| !matches!(event, Event::Epoch { .. })).collect()
    }

    fn states(&mut self) -> Vec<ClientState> {
        let state = |event: &Event| match event {
            Event::State(change) => Some(change.state),
            _ => None,
        };
        self.events().iter().filter_map(state).collect()
    }

    fn subscribe(&mut self, name: &str) -> SubscriptionId {
        self.core.subscribe(&channel(name)).unwrap()
    }

    fn publish(&mut self, text: &'static str) -> CommandId {
        self.core.publish(self.now, &channel("c"), &Payload::json(text), None).unwrap()
    }

    /// Advances the time to the next deadline; returns the time that passed.
    fn wait(&mut self) -> Duration {
        let deadline = self.core.poll_timeout().expect("something to wait for");
        let waited = deadline.since(self.now);
        self.now = deadline;
        self.core.handle_timeout(self.now);
        waited
    }

    /// The results of the commands that ended.
    fn completed(&mut self) -> Vec<(CommandId, Result<Outcome, ErrorCode>)> {
        let completion = |event| match event {
            Event::Completed { command, result } => Some((command, result.map_err(|error| error.code()))),
            _ => None,
        };
        self.events().into_iter().filter_map(completion).collect()
    }

    fn received(&mut self) -> Vec<(SubscriptionId, u64)> {
        let received = |event| match event {
            Event::Publication { subscription, publication } => Some((subscription, publication.time)),
            _ => None,
        };
        self.events().into_iter().filter_map(received).collect()
    }

    fn errors(&mut self) -> Vec<ErrorCode> {
        let code = |event| match event {
            Event::Error(error) => Some(error.code()),
            _ => None,
        };
        self.events().into_iter().filter_map(code).collect()
    }
}

fn channel(name: &str) -> ChannelName {
    ChannelName::new(name).unwrap()
}

fn subscribed(name: &str, number: u32) -> Subscribed {
    Subscribed { channel: channel(name), number, position: None, complete: false, recovering: 0 }
}

fn outcome(Subscribe { channel, number, .. }: &Subscribe) -> SubscribeOutcome {
    let result = Ok(subscribed(channel.as_str(), *number));
    SubscribeOutcome { channel: channel.clone(), number: *number, result }
}

/// `time` tells publications apart.
fn publication(name: &str, time: u64, offset: u64) -> Publication {
    Publication { channel: channel(name), payload: Payload::json("1"), time, publisher: None, offset }
}

fn push(publication: Publication) -> ServerFrame {
    ServerFrame::Push(Push::Publication(publication))
}
