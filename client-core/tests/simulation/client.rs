//! One client of a world, and the record of what it was told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use wirehub_client_core::{CommandId, Config, Core, Event, State, SubscriptionId, Time};
use wirehub_common::code::ErrorCode;
use wirehub_common::{ChannelName, Payload};

use crate::random::Random;

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) core: Core,
    /// The transport that the core has asked for.
    pub(crate) connection: Option<u64>,
    subscriptions: BTreeMap<SubscriptionId, Record>,
    commands: BTreeSet<CommandId>,
    /// How many commands ended with another error than being cancelled.
    pub(crate) failed: usize,
    /// How often a subscription came back without all that it missed.
    pub(crate) gaps: usize,
    /// When it was connected last.
    pub(crate) connected_at: Time,
}

/// What a subscription was told.
#[derive(Debug)]
struct Record {
    channel: ChannelName,
    /// The last publication.
    last: Option<u64>,
    /// Whether it has been confirmed over the connection in use.
    confirmed: bool,
    /// Whether publications may be missing before the next one.
    may_jump: bool,
}

impl Client {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            core: Core::new(Config { send_queue: 4096, ..Config::default() }, seed),
            connection: None,
            subscriptions: BTreeMap::new(),
            commands: BTreeSet::new(),
            failed: 0,
            gaps: 0,
            connected_at: Time::ZERO,
        }
    }

    /// Does something that an application might do.
    pub(crate) fn act(&mut self, now: Time, random: &mut Random, channels: &[ChannelName]) {
        let channel = &channels[random.below(channels.len() as u64) as usize];
        let timeout = Some(random.between(50, 30_000));
        match random.below(10) {
            0..=4 => {
                let payload = Payload::bytes(vec![0; random.below(600) as usize]);
                let publish = self.core.publish(now, channel.clone(), payload, timeout);
                self.began(publish);
            }
            5 => {
                let call = self.core.call(now, "echo", Payload::json("1"), timeout);
                self.began(call);
            }
            6 => {
                if let Some(&command) = self.commands.first() {
                    self.core.cancel(command);
                }
            }
            7 => {
                let subscription = self.subscriptions.keys().next().copied();
                if let Some(subscription) = subscription.filter(|_| random.one_in(3)) {
                    self.core.unsubscribe(subscription);
                }
            }
            _ => self.subscribe(now, channel),
        }
    }

    pub(crate) fn subscribe(&mut self, now: Time, channel: &ChannelName) {
        match self.core.subscribe(now, channel) {
            Ok(subscription) => {
                let record =
                    Record { channel: channel.clone(), last: None, confirmed: false, may_jump: true };
                self.subscriptions.insert(subscription, record);
            }
            Err(error) => assert_eq!(error.code(), ErrorCode::ALREADY_SUBSCRIBED),
        }
    }

    fn began(&mut self, command: Result<CommandId, wirehub_client_core::Error>) {
        match command {
            Ok(command) => assert!(self.commands.insert(command), "each command has its own id"),
            Err(error) => assert_eq!(error.code(), ErrorCode::QUEUE_FULL),
        }
    }

    /// Takes what the core tells, and holds it to its promises.
    pub(crate) fn take_events(&mut self, now: Time) {
        while let Some(event) = self.core.poll_event() {
            match event {
                Event::Completed { command, result } => {
                    assert!(self.commands.remove(&command), "a command ends once");
                    self.failed +=
                        usize::from(result.is_err_and(|error| error.code() != ErrorCode::CANCELLED));
                }
                Event::Subscribed { subscription, recovery } => {
                    let record = self.subscriptions.get_mut(&subscription).expect("it has not ended");
                    record.confirmed = true;
                    record.may_jump |= recovery.is_gap();
                    self.gaps += usize::from(recovery.is_gap());
                }
                Event::Publication { subscription, publication } => {
                    let record = self.subscriptions.get_mut(&subscription).expect("it has not ended");
                    assert_eq!(publication.channel, record.channel);
                    assert!(record.confirmed, "a message of an older subscription");
                    record.receive(publication.time);
                }
                Event::Unsubscribed { subscription, error } => {
                    assert!(error.is_none(), "this server ends no subscription");
                    self.subscriptions.remove(&subscription).expect("it ends once");
                }
                Event::State(change) => {
                    if change.state == State::Connected {
                        self.connected_at = now;
                        for record in self.subscriptions.values_mut() {
                            record.confirmed = false;
                        }
                    }
                    if let Some(delay) = change.retry_in {
                        assert!(delay <= Duration::from_secs(20));
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// Everything came to its end, and nothing is missing.
    pub(crate) fn check_at_rest(&self, published: impl Fn(&ChannelName) -> u64) {
        assert_eq!(self.core.state(), State::Connected);
        assert!(self.commands.is_empty(), "each command ends: {:?}", self.commands);
        for record in self.subscriptions.values() {
            assert_eq!(record.last, Some(published(&record.channel)), "the newest message came: {record:?}");
        }
    }
}

impl Record {
    fn receive(&mut self, publication: u64) {
        if let Some(last) = self.last {
            assert!(publication > last, "{publication} after {last}: out of order, or twice");
            assert!(
                self.may_jump || publication == last + 1,
                "{publication} after {last}: a hole nobody told of"
            );
        }
        self.last = Some(publication);
        self.may_jump = false;
    }
}
