//! Decisions of the application's hooks.
//!
//! The publications of a session in one channel are decided one after the other, and are published in that order. Publications
//! in other channels do not wait for them. An undecided subscription can be cancelled, or replaced by a newer one.

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
use super::pending_answers::await_hook;
use super::recovery::RequestedRead;
use crate::auth::Action;
use crate::call::CallContext;
use crate::checked_subtraction::subtract;
use crate::engine::{self, engine_failure};
use crate::hooks::{HookDecision, PublishRequest};
use crate::hub::key_of;

/// The commands that wait for decisions.
#[derive(Default)]
pub(super) struct Decisions {
    /// The newest undecided subscription of each channel. If it has an error, the subscription ends with it regardless of the
    /// decision.
    subscribing: HashMap<ChannelName, (u32, Option<ErrorInfo>)>,
    /// The channels with an undecided publication.
    publishing: HashMap<ChannelName, UndecidedPublications>,
    /// The number of publications that wait behind those.
    count: usize,
    /// The bytes of all these publications.
    bytes: usize,
}

/// The publication of a channel that waits for a decision, and the publications behind it.
struct UndecidedPublications {
    bytes: usize,
    behind: VecDeque<QueuedPublication>,
}

/// A read of a channel without a subscription.
pub(super) enum ChannelRead {
    History(History),
    Presence(Presence),
}

/// A publication that waits for an earlier one.
struct QueuedPublication {
    id: u32,
    publish: Publish,
}

impl Decisions {
    /// The number of publications that wait for earlier ones.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The bytes of all undecided and waiting publications.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// `true` if the channel has an undecided publication. Later ones must not overtake it.
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

    /// Removes the decided publication of a channel, and returns the next one. Without a next one the channel is forgotten.
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
    /// Asks the application for a subscription to a channel. `None` if the channel has no hook: then its rules decide.
    pub(super) fn ask_to_subscribe(&self, channel: &ChannelName) -> Option<HookDecision<()>> {
        let live = self.hub.live();
        let hook = live.hooks.subscribing(channel)?;
        Some(hook(self.context(), channel.clone()))
    }

    /// The same for the subscriptions in `connect`. Hooks are not asked for subscriptions beyond the limit.
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

    /// Starts the decision on a subscription that the rules allow.
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

    /// The number of the undecided subscription to a channel.
    pub(super) fn subscribing(&self, channel: &ChannelName) -> Option<u32> {
        self.decisions().and_then(|decisions| decisions.subscribing.get(channel)).map(|(number, _)| *number)
    }

    /// The number of undecided subscriptions to channels without a present subscription.
    pub(super) fn subscribing_count(&self) -> usize {
        let channels = self.decisions().into_iter().flat_map(|decisions| decisions.subscribing.keys());
        channels.filter(|channel| !self.subscriptions.contains(channel)).count()
    }

    /// Cancels an undecided subscription. Returns `true` if this answers the command.
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

    /// Ends the undecided subscription to a channel with an error, regardless of the decision.
    pub(super) fn refuse_undecided(&mut self, channel: &ChannelName, error: &ErrorInfo) {
        if let Some(decisions) = self.decisions_mut()
            && let Some((_, refusal)) = decisions.subscribing.get_mut(channel)
        {
            *refusal = Some(error.clone());
        }
    }

    fn subscription_decided(&mut self, id: u32, subscribe: Subscribe, verdict: Result<(), ErrorInfo>) {
        if self.subscribing(&subscribe.channel) != Some(subscribe.number) {
            // A newer command of the client has ended it.
            return self.reply(id, Err(ErrorInfo::from_code(ErrorCode::CANCELLED)));
        }
        let pending =
            self.decisions_mut().and_then(|decisions| decisions.subscribing.remove(&subscribe.channel));
        let verdict = match pending.and_then(|(_, refusal)| refusal) {
            Some(error) => Err(error),
            None => verdict,
        };
        // The session's rights and subscriptions may have changed meanwhile.
        match verdict.and_then(|()| self.admit(&subscribe)) {
            Ok(()) => self.begin(id, subscribe),
            Err(error) => self.reply(id, Err(error)),
        }
    }

    /// Starts the decision on a publication that the rules allow, after the earlier ones of the channel.
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
            // The hook has been removed since the command came.
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
            // The token may have changed, and the hook may have changed the payload.
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

    /// Publishes after all checks.
    pub(super) fn publish_now(&mut self, id: u32, publish: Publish) -> Result<Option<ReplyBody>, ErrorInfo> {
        let Publish { channel, payload, key } = publish;
        self.hub.settings().rules.check_publication(&channel, &payload)?;
        let payload = self.hub.check_size(payload).map_err(|error| invalid(error.to_string()))?;
        let key = key_of(&self.peer.key_owner(), key);
        let publisher = Some(self.peer.member());
        let accepted = self.hub.accept(engine::EnginePublish {
            publisher,
            key,
            ..engine::EnginePublish::new(channel, payload)
        });
        match accepted {
            // Without an allocation.
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

    /// Starts the decision on a read that requires the right to subscribe.
    pub(super) fn decide_on_reading(&mut self, id: u32, reading: ChannelRead, verdict: HookDecision<()>) {
        self.wait_for(await_hook(verdict), move |session, verdict| {
            session.reading_decided(id, reading, flatten_decision(verdict));
        });
    }

    fn reading_decided(&mut self, id: u32, reading: ChannelRead, verdict: Result<(), ErrorInfo>) {
        // The session's rights may have changed meanwhile.
        let result = verdict.and_then(|()| match reading {
            ChannelRead::History(read) => {
                self.check(Action::Subscribe, &read.channel)?;
                self.read_history(id, read).map(|()| None)
            }
            ChannelRead::Presence(presence) => {
                self.check(Action::Presence, &presence.channel)?;
                // Many decisions may be pending at once. Each list is made when there is room for it.
                self.recoveries.get_or_insert_default().request(id, RequestedRead::Presence(presence));
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

    /// The context of this session for hooks and calls.
    pub(super) fn context(&self) -> CallContext {
        CallContext::of(&self.peer, self.hub.clone())
    }
}
