//! What the application's hooks have to decide before it happens.
//!
//! Of one channel a session's publications are decided on one after the other, and published in that order; those in other
//! channels do not wait for them. A subscription that is being decided on can be taken back, or replaced by a newer one.

use std::collections::{HashMap, VecDeque};
use std::future::ready;

use futures_util::FutureExt as _;
use wirehub_common::code::ErrorCode;
use wirehub_common::frame::{
    ErrorInfo, History, Presence, Publish, Published, ReplyBody, Subscribe, Unsubscribe,
};
use wirehub_common::{ChannelName, Payload};

use super::Session;
use super::commands::{flatten_decision, invalid, is_reached};
use super::pending_answers::{await_hook, engine_failure};
use super::recovery::RequestedRead;
use crate::account::subtract;
use crate::auth::Action;
use crate::call::CallContext;
use crate::engine;
use crate::hooks::{HookDecision, PublishRequest};
use crate::hub::key_of;

/// What waits for decisions.
#[derive(Default)]
pub(super) struct Decisions {
    /// The newest subscription of each channel that is being decided on, and why it ends whatever is decided.
    subscribing: HashMap<ChannelName, (u32, Option<ErrorInfo>)>,
    /// Of each channel in which a publication is being decided on.
    publishing: HashMap<ChannelName, UndecidedPublications>,
    /// How many wait behind those.
    count: usize,
    /// How many bytes all of them have.
    bytes: usize,
}

/// The publication of a channel that is being decided on, and what waits behind it.
struct UndecidedPublications {
    bytes: usize,
    behind: VecDeque<QueuedPublication>,
}

/// What somebody wants to read of a channel without being subscribed to it.
pub(super) enum ChannelRead {
    History(History),
    Presence(Presence),
}

/// A publication whose turn has not come.
struct QueuedPublication {
    id: u32,
    publish: Publish,
}

impl Decisions {
    /// How many publications wait for others.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// How many bytes these have, and those that they wait for.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a publication in the channel is being decided on: those that come must not overtake it.
    pub(super) fn are_pending_in(&self, channel: &ChannelName) -> bool {
        self.publishing.contains_key(channel)
    }

    fn push(&mut self, id: u32, publish: Publish) -> Option<(u32, Publish)> {
        let bytes = publish.payload.data.len();
        self.bytes = self.bytes.saturating_add(bytes);
        let Some(turn) = self.publishing.get_mut(&publish.channel) else {
            self.publishing
                .insert(publish.channel.clone(), UndecidedPublications { bytes, behind: VecDeque::new() });
            return Some((id, publish));
        };
        self.count = self.count.saturating_add(1);
        turn.behind.push_back(QueuedPublication { id, publish });
        None
    }

    /// One in a channel has been decided on: the next one. Without one nothing waits there any more.
    fn pop(&mut self, channel: &ChannelName) -> Option<QueuedPublication> {
        let turn = self.publishing.get_mut(channel)?;
        self.bytes = self.bytes.saturating_sub(turn.bytes);
        let next = turn.behind.pop_front();
        match &next {
            Some(QueuedPublication { publish, .. }) => {
                self.count = subtract(self.count, 1);
                turn.bytes = publish.payload.data.len();
            }
            None => drop(self.publishing.remove(channel)),
        }
        next
    }
}

impl Session {
    /// Whether the application decides on subscriptions to a channel; where not, everything has been said by its rules.
    pub(super) fn ask_to_subscribe(&self, channel: &ChannelName) -> Option<HookDecision<()>> {
        let live = self.hub.live();
        let hook = live.hooks.subscribing(channel)?;
        Some(hook(self.context(), channel.clone()))
    }

    /// The same for the subscriptions in `connect`. Of those beyond the limit nobody is asked.
    pub(super) fn ask_to_subscribe_all(
        &self,
        subscriptions: Vec<Subscribe>,
    ) -> Vec<(Subscribe, HookDecision<()>)> {
        let limit = self.live.limits.channels;
        let mut admitted = 0_usize;
        let ask = |subscribe: Subscribe| {
            let verdict = match self.admit(&subscribe) {
                Ok(()) if is_reached(limit, admitted) => {
                    ready(Err(ErrorInfo::from_code(ErrorCode::LIMIT_EXCEEDED))).boxed()
                }
                Ok(()) => {
                    admitted = admitted.saturating_add(1);
                    self.ask_to_subscribe(&subscribe.channel).unwrap_or_else(|| ready(Ok(())).boxed())
                }
                Err(error) => ready(Err(error)).boxed(),
            };
            (subscribe, verdict)
        };
        subscriptions.into_iter().map(ask).collect()
    }

    /// Begins a decision on a subscription that the rules admit.
    pub(super) fn decide_on_subscription(
        &mut self,
        id: u32,
        subscribe: Subscribe,
        verdict: HookDecision<()>,
    ) {
        let decisions = self.pending_answers.get_or_insert_default().decisions.get_or_insert_default();
        decisions.subscribing.insert(subscribe.channel.clone(), (subscribe.number, None));
        self.wait_for(await_hook(verdict), move |session, verdict| {
            session.subscription_decided(id, subscribe, flatten_decision(verdict));
        });
    }

    /// The number of the subscription to a channel that is being decided on.
    pub(super) fn subscribing(&self, channel: &ChannelName) -> Option<u32> {
        self.decisions().and_then(|decisions| decisions.subscribing.get(channel)).map(|(number, _)| *number)
    }

    /// How many subscriptions are being decided on to channels that the session is not subscribed to.
    pub(super) fn subscribing_count(&self) -> usize {
        let channels = self.decisions().into_iter().flat_map(|decisions| decisions.subscribing.keys());
        channels.filter(|channel| !self.subscriptions.contains(channel)).count()
    }

    /// Takes back a subscription that is being decided on. Says whether that answers the command.
    pub(super) fn unsubscribe_undecided(&mut self, unsubscribe: &Unsubscribe) -> bool {
        let Unsubscribe { channel, number } = unsubscribe;
        let Some(pending) = self.subscribing(channel) else { return false };
        if *number >= pending
            && let Some(decisions) = self.decisions_mut()
        {
            decisions.subscribing.remove(channel);
        }
        !self.subscriptions.contains(channel)
    }

    /// Whatever is decided on a subscription to the channel, it ends: somebody wants it to.
    pub(super) fn refuse_undecided(&mut self, channel: &ChannelName, error: &ErrorInfo) {
        if let Some(decisions) = self.decisions_mut()
            && let Some((_, refusal)) = decisions.subscribing.get_mut(channel)
        {
            *refusal = Some(error.clone());
        }
    }

    fn subscription_decided(&mut self, id: u32, subscribe: Subscribe, verdict: Result<(), ErrorInfo>) {
        if self.subscribing(&subscribe.channel) != Some(subscribe.number) {
            // A newer command of the client has put an end to it.
            return self.reply(id, Err(ErrorInfo::from_code(ErrorCode::CANCELLED)));
        }
        let pending =
            self.decisions_mut().and_then(|decisions| decisions.subscribing.remove(&subscribe.channel));
        let verdict = match pending.and_then(|(_, refusal)| refusal) {
            Some(error) => Err(error),
            None => verdict,
        };
        // Its rights, and what it is subscribed to, may have changed meanwhile.
        match verdict.and_then(|()| self.admit(&subscribe)) {
            Ok(()) => self.begin(id, subscribe),
            Err(error) => self.reply(id, Err(error)),
        }
    }

    /// Has the application decide on a publication that the rules admit, when its turn comes.
    pub(super) fn decide_on_publication(&mut self, id: u32, publish: Publish) {
        let decisions = self.pending_answers.get_or_insert_default().decisions.get_or_insert_default();
        if let Some((id, publish)) = decisions.push(id, publish) {
            self.ask_to_publish(id, publish);
        }
    }

    fn ask_to_publish(&mut self, id: u32, publish: Publish) {
        let Publish { channel, payload, key } = publish;
        let request = PublishRequest { channel: channel.clone(), payload: payload.clone(), key: key.clone() };
        let live = self.hub.live();
        let verdict: HookDecision<_> = match live.hooks.publishing(&channel) {
            Some(hook) => hook(self.context(), request),
            // There was one when it came.
            None => ready(Ok(payload)).boxed(),
        };
        self.wait_for(await_hook(verdict), move |session, verdict| {
            session.publication_decided(id, channel, key, flatten_decision(verdict));
        });
    }

    fn publication_decided(
        &mut self,
        id: u32,
        channel: ChannelName,
        key: String,
        verdict: Result<Payload, ErrorInfo>,
    ) {
        let next = channel.clone();
        let result = verdict.and_then(|payload| {
            // The token may be another one by now, and the payload another one by the hook.
            self.check(Action::Publish, &channel)?;
            self.publish_now(id, Publish { channel, payload, key })
        });
        if let Some(result) = result.transpose() {
            self.reply(id, result);
        }
        let next = self.decisions_mut().and_then(|decisions| decisions.pop(&next));
        if let Some(QueuedPublication { id, publish }) = next {
            self.ask_to_publish(id, publish);
        }
    }

    /// Publishes what may be published.
    pub(super) fn publish_now(&mut self, id: u32, publish: Publish) -> Result<Option<ReplyBody>, ErrorInfo> {
        let Publish { channel, payload, key } = publish;
        self.hub.settings().rules.check_publication(&channel, &payload)?;
        let payload = self.hub.check_size(payload).map_err(|error| invalid(error.to_string()))?;
        let key = key_of(&self.peer.user(), key);
        let publisher = Some(self.peer.member());
        let accepted = self.hub.accept(engine::EnginePublish {
            publisher,
            key,
            ..engine::EnginePublish::new(channel, payload)
        });
        match accepted {
            // Without a detour over the heap.
            engine::EngineFuture::Now(Ok(position)) => Ok(Some(ReplyBody::Published(Published { position }))),
            accepted => {
                self.wait_for(accepted, move |session, accepted| {
                    let result = accepted.map_err(|error| engine_failure(&error));
                    session.reply(id, result.map(|position| ReplyBody::Published(Published { position })));
                });
                Ok(None)
            }
        }
    }

    /// Begins a decision on reading what is for those who may subscribe.
    pub(super) fn decide_on_reading(&mut self, id: u32, reading: ChannelRead, verdict: HookDecision<()>) {
        self.wait_for(await_hook(verdict), move |session, verdict| {
            session.reading_decided(id, reading, flatten_decision(verdict));
        });
    }

    fn reading_decided(&mut self, id: u32, reading: ChannelRead, verdict: Result<(), ErrorInfo>) {
        // Its rights may have changed meanwhile.
        let result = verdict.and_then(|()| match reading {
            ChannelRead::History(read) => {
                self.check(Action::Subscribe, &read.channel)?;
                self.read_history(id, read).map(|()| None)
            }
            ChannelRead::Presence(presence) => {
                self.check(Action::Presence, &presence.channel)?;
                // Many may be decided on at once: each is made when there is room for it.
                self.recoveries.get_or_insert_default().ask_for(id, RequestedRead::Presence(presence));
                Ok(None)
            }
        });
        if let Some(result) = result.transpose() {
            self.reply(id, result);
        }
    }

    fn decisions(&self) -> Option<&Decisions> {
        self.pending_answers.as_ref()?.decisions.as_deref()
    }

    fn decisions_mut(&mut self) -> Option<&mut Decisions> {
        self.pending_answers.as_mut()?.decisions.as_deref_mut()
    }

    /// Who asks, as hooks and calls are told.
    pub(super) fn context(&self) -> CallContext {
        CallContext::new(self.peer.id, self.peer.user(), self.peer.address, self.hub.clone())
    }
}
