//! The client's promises to its application.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use wirehub_client_core::{
    ClientState, CommandId, Config, Core, Error, Event, SubscriptionId, Time, TokenRequest,
};
use wirehub_common::code::ErrorCode;
use wirehub_common::contract::ContractHash;
use wirehub_common::frame::{ContractDigest, ContractId};

use super::script::Settings;

/// A client, and a record of its open promises: each command ends once, each subscription ends once, and there are no
/// events of those that have ended or never began.
pub(super) struct Model {
    pub(super) core: Core,
    provides_tokens: bool,
    commands: BTreeMap<CommandId, Command>,
    /// Whether each has not ended yet.
    subscriptions: BTreeMap<SubscriptionId, bool>,
    /// Those that the server began, and that the application has not taken over.
    offered: BTreeSet<SubscriptionId>,
    token_requests: Vec<TokenRequest>,
    state: ClientState,
    /// Whether the client accepts nothing new any more.
    pub(super) drains: bool,
}

struct Command {
    is_stream: bool,
    pending: bool,
}

impl Model {
    pub(super) fn new(settings: Settings, seed: u64) -> Self {
        let contract = ContractId { name: "fuzz".into(), hash: ContractHash::default() };
        let mut config = Config::new()
            .token(if settings.token { "fixed" } else { "" })
            .provides_tokens(settings.provides_tokens)
            .connect_timeout(at_least_one(settings.connect_timeout))
            .command_timeout(at_least_one(settings.command_timeout))
            .send_queue(settings.send_queue.into())
            .max_commands(settings.max_commands.into())
            .frame_bytes(settings.frame_bytes.into());
        config.contract =
            settings.contract.then(|| ContractDigest { items: vec![contract.clone()], id: contract });
        Self {
            provides_tokens: config.provides_tokens,
            core: Core::new(config, seed),
            commands: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            offered: BTreeSet::new(),
            token_requests: Vec::new(),
            state: ClientState::Disconnected,
            drains: false,
        }
    }

    pub(super) fn commanded(&mut self, result: Result<CommandId, Error>, is_stream: bool) {
        match result {
            Ok(command) => {
                let old = self.commands.insert(command, Command { is_stream, pending: true });
                assert!(old.is_none(), "{command:?} names two commands");
                assert_ne!(self.core.state(), ClientState::Closed, "a closed client accepts no commands");
            }
            Err(error) => self.assert_refusal(&error),
        }
    }

    pub(super) fn subscribed(&mut self, result: Result<SubscriptionId, Error>) {
        match result {
            Ok(subscription) => {
                // A subscription that the server began becomes the application's own.
                let was_offered = self.offered.remove(&subscription);
                let old = self.subscriptions.insert(subscription, true);
                assert_eq!(old, was_offered.then_some(true), "{subscription:?} names two subscriptions");
                assert_ne!(
                    self.core.state(),
                    ClientState::Closed,
                    "a closed client accepts no subscriptions"
                );
            }
            Err(error) => self.assert_refusal(&error),
        }
    }

    fn assert_refusal(&self, error: &Error) {
        let closed = self.core.state() == ClientState::Closed;
        assert_eq!(closed || self.drains, error.code() == ErrorCode::CLOSED, "{error}");
    }

    /// One of all commands, including those that have ended.
    pub(super) fn command(&self, which: u8) -> Option<CommandId> {
        pick(self.commands.keys(), which)
    }

    /// One of all subscriptions, including those that have ended.
    pub(super) fn subscription(&self, which: u8) -> Option<SubscriptionId> {
        pick(self.subscriptions.keys(), which)
    }

    pub(super) fn token_request(&self, which: u8) -> Option<TokenRequest> {
        pick(self.token_requests.iter(), which)
    }

    pub(super) fn take_events(&mut self) {
        while let Some(event) = self.core.poll_event() {
            self.take(event);
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::State(change) => {
                assert_ne!(self.state, ClientState::Closed, "the end is the end");
                self.state = change.state;
            }
            Event::Offered { subscription, .. } => {
                self.offered.insert(subscription);
                assert_eq!(self.subscriptions.insert(subscription, true), None, "{subscription:?} is new");
            }
            Event::Epoch { subscription, .. }
            | Event::Subscribed { subscription, .. }
            | Event::Gap { subscription, .. }
            | Event::Members { subscription, .. }
            | Event::Joined { subscription, .. }
            | Event::Left { subscription, .. }
            | Event::Publication { subscription, .. } => {
                assert_eq!(
                    self.subscriptions.get(&subscription),
                    Some(&true),
                    "{subscription:?} is not there"
                );
            }
            Event::Unsubscribed { subscription, .. } => {
                self.offered.remove(&subscription);
                let pending = self.subscriptions.insert(subscription, false);
                assert_eq!(pending, Some(true), "{subscription:?} ended before, or never began");
            }
            Event::Completed { command, .. } => {
                let known = self.commands.get_mut(&command).expect("a command that was given");
                assert!(std::mem::take(&mut known.pending), "{command:?} ended twice");
            }
            Event::Progress { command, sent, total } => {
                let known = self.commands.get(&command).expect("a command that was given");
                assert!(known.pending && sent <= total, "{command:?}: {sent} of {total}");
            }
            Event::Response { command, .. } => {
                let known = self.commands.get(&command).expect("a command that was given");
                assert!(known.is_stream, "{command:?} is no stream");
                assert!(known.pending, "{command:?} has ended");
            }
            Event::TokenNeeded(request) => {
                assert!(self.provides_tokens, "there is no token provider");
                assert!(!self.token_requests.contains(&request), "{request:?} was asked before");
                self.token_requests.push(request);
            }
            _ => {}
        }
    }

    /// A client that has ended owes nothing, and has no deadline.
    pub(super) fn assert_over(&mut self, now: Time) {
        assert_eq!((self.core.state(), self.state), (ClientState::Closed, ClientState::Closed));
        for (command, Command { pending, .. }) in &self.commands {
            assert!(!pending, "{command:?} never ended");
        }
        for (subscription, pending) in &self.subscriptions {
            assert!(!pending, "{subscription:?} never ended");
        }
        assert_eq!(self.core.poll_timeout(), None);
        self.core.handle_timeout(now);
        assert_eq!(self.core.poll_transmit(true), None);
        assert!(self.core.poll_event().is_none());
    }
}

/// A timeout of zero would be impossible: the attempt would fail before it began.
fn at_least_one(milliseconds: u16) -> Duration {
    Duration::from_millis(milliseconds.max(1).into())
}

fn pick<'a, T: Copy + 'a>(all: impl ExactSizeIterator<Item = &'a T>, which: u8) -> Option<T> {
    let index = usize::from(which).checked_rem(all.len())?;
    all.into_iter().nth(index).copied()
}
