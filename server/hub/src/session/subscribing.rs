//! Subscriptions by the client, and by the server.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use wirehub_common::ChannelName;
use wirehub_common::code::ErrorCode;
use wirehub_common::frame::{
    ErrorInfo, Position, Push, Reply, ReplyBody, ServerFrame, Subscribe, Subscribed, Unsubscribe,
    Unsubscribed,
};

use super::commands::is_reached;
use super::mailbox::Order;
use super::refused_subscriptions::RefusedSubscriptions;
use super::subscriptions::{Subscription, Term};
use super::{Session, Stage, answer, encode};
use crate::Hub;
use crate::auth::Action;
use crate::engine::{EngineFuture, Locate, Located, engine_failure};
use crate::hub::channel::NewSubscriber;
use crate::observe::SessionEvent;

/// The pending position of a new subscription; `None` if its channel keeps no history.
pub(super) type Locating = EngineFuture<Option<Located>>;

impl Session {
    /// The answer to a subscriber, and the position at which it begins.
    pub(super) fn subscribed_reply(
        &self,
        subscribe: &Subscribe,
        located: Option<Located>,
    ) -> (Subscribed, Option<Located>) {
        let Subscribe { channel, number, .. } = subscribe;
        let located = located.map(|mut located| {
            // A channel that keeps only the latest publication has no more than that to recover.
            let is_latest =
                self.subscriptions.get(channel).is_some_and(|current| current.channel.keeps_latest());
            if is_latest && located.missed() > 1 {
                located.position.offset = located.newest.saturating_sub(1);
                located.complete = false;
            }
            located
        });
        let answer = Subscribed {
            channel: channel.clone(),
            number: *number,
            position: located.as_ref().map(|located| located.position.clone()),
            complete: located.as_ref().is_some_and(|located| located.complete),
            recovering: located.as_ref().map_or(0, Located::missed),
        };
        (answer, located)
    }

    /// Delivers the missed publications to a subscription that has been answered.
    pub(super) fn deliver_missed(&mut self, channel: ChannelName, term: Term, located: Option<Located>) {
        if let Some(located) = located {
            self.recover_from(channel, term, located);
        }
    }

    /// Starts a subscription by the server. It receives nothing before its push.
    pub(super) fn begin_server_subscription(
        &mut self,
        channel: ChannelName,
        refused: &mut RefusedSubscriptions,
    ) -> Option<(Subscribe, (Term, Locating))> {
        if self.subscriptions.contains(&channel) {
            return None;
        }
        if let Err(error) = self.hub.has_channel(&channel) {
            refused.note(&channel, error.message);
            return None;
        }
        if is_reached(self.live.limits.channels, self.subscriptions.len()) {
            refused.note(&channel, "it has the maximum number of channels (limits.channels)");
            return None;
        }
        // Lower than every number of the client.
        let subscribe = Subscribe { channel, number: 0, position: None, history: 0 };
        let begun = self.enter_and_locate(&subscribe);
        Some((subscribe, begun))
    }

    /// Processes orders of the application or of an operator.
    pub(super) fn follow_orders(&mut self, orders: Vec<Order>) {
        for order in orders {
            match order {
                // Nothing may come before the reply to `connect`.
                order if self.stage != Stage::Connected => {
                    self.extras.get_or_insert_default().orders.push(order);
                }
                Order::Subscribe(channel) => {
                    let is_new = !self.subscriptions.contains(&channel);
                    self.subscribe_by_server([channel.clone()]);
                    if is_new && let Some(subscription) = self.subscriptions.get_mut(&channel) {
                        subscription.by_server = true;
                    }
                }
                Order::Unsubscribe(channel, error) => self.unsubscribe_by_server(&channel, error),
                Order::ReportGap(channel) => self.report_gap(&channel),
                Order::Relocate { channel, located } => {
                    if let Some(term) = self.subscriptions.get(&channel).map(|current| current.term) {
                        if located.complete {
                            self.recover_from(channel, term, located);
                        } else {
                            self.continue_at(channel, term, located);
                        }
                    }
                }
            }
        }
    }

    /// Subscribes the session by order of the server.
    pub(super) fn subscribe_by_server(&mut self, channels: impl IntoIterator<Item = ChannelName>) {
        let mut refused = RefusedSubscriptions::default();
        let begun: Vec<_> = channels
            .into_iter()
            .filter_map(|channel| self.begin_server_subscription(channel, &mut refused))
            .collect();
        if begun.is_empty() {
            return refused.log(self.peer.id);
        }
        let begun = begun
            .into_iter()
            .map(|(subscribe, (term, locating))| async move { (subscribe, term, located(locating).await) });
        self.wait_for(join_all(begun), move |session, begun| {
            for (subscribe, term, located) in begun {
                session.server_subscription_located(&subscribe, term, located, &mut refused);
            }
            refused.log(session.peer.id);
        });
    }

    /// Completes a subscription by the server, or removes it after a failure.
    pub(super) fn server_subscription_located(
        &mut self,
        subscribe: &Subscribe,
        term: Term,
        located: Result<Option<Located>, ErrorInfo>,
        refused: &mut RefusedSubscriptions,
    ) {
        let Some(current) = self.subscriptions.get(&subscribe.channel) else { return };
        if current.term != term {
            // The client, or the server, has made a newer one.
            return;
        }
        match located {
            Ok(located) => {
                let (subscribed, located) = self.subscribed_reply(subscribe, located);
                let frame = self.peer.codec.encode_frame(&ServerFrame::Push(Push::Subscribed(subscribed)));
                current.channel.begin(current.place, Some(frame), located.is_some());
                self.deliver_missed(subscribe.channel.clone(), term, located);
            }
            Err(error) => {
                refused.note(&subscribe.channel, &error.message);
                self.leave(&subscribe.channel, None);
            }
        }
    }

    /// Ends a subscription by order of the server.
    pub(super) fn unsubscribe_by_server(&mut self, channel: &ChannelName, error: ErrorInfo) {
        self.refuse_undecided(channel, &error);
        let Some(Subscription { number, .. }) = self.subscriptions.get(channel) else { return };
        let push = Push::Unsubscribed(Unsubscribed { channel: channel.clone(), number: *number, error });
        let frame = self.peer.codec.encode_frame(&ServerFrame::Push(push));
        self.leave(channel, Some(frame));
    }

    /// Subscribes by a command. The reply is queued in the lane of the channel's publications: everything behind it belongs to
    /// this subscription.
    pub(super) fn subscribe(
        &mut self,
        id: u32,
        subscribe: Subscribe,
    ) -> Result<Option<ReplyBody>, ErrorInfo> {
        self.admit(&subscribe)?;
        match self.ask_to_subscribe(&subscribe.channel) {
            Some(verdict) => self.decide_on_subscription(id, subscribe, verdict),
            None => self.begin(id, subscribe),
        }
        Ok(None)
    }

    /// Starts a subscription after all checks.
    pub(super) fn begin(&mut self, id: u32, subscribe: Subscribe) {
        let has_history = self.hub.settings().namespaces.of(&subscribe.channel).history.is_some();
        if !has_history && self.hub.engine().attachments().is_none() {
            let (subscribed, _) = self.subscribed_reply(&subscribe, None);
            let reply = encode(&self.peer, Reply { id, result: Ok(ReplyBody::Subscribed(subscribed)) });
            return self.enter(&subscribe, reply);
        }
        let (term, locating) = self.enter_and_locate(&subscribe);
        self.wait_for(located(locating), move |session, located| {
            session.subscribed(id, &subscribe, term, located);
        });
    }

    fn subscribed(
        &mut self,
        id: u32,
        subscribe: &Subscribe,
        term: Term,
        located: Result<Option<Located>, ErrorInfo>,
    ) {
        let current = self.subscriptions.get(&subscribe.channel);
        let Some(current) = current.filter(|current| current.term == term) else {
            // A newer command of the client has ended it.
            return answer(&self.peer, Reply { id, result: Err(ErrorInfo::from_code(ErrorCode::CANCELLED)) });
        };
        match located {
            Ok(located) => {
                let (subscribed, located) = self.subscribed_reply(subscribe, located);
                let reply = encode(&self.peer, Reply { id, result: Ok(ReplyBody::Subscribed(subscribed)) });
                current.channel.begin(current.place, reply, located.is_some());
                self.deliver_missed(subscribe.channel.clone(), term, located);
            }
            Err(error) => {
                let reply = encode(&self.peer, Reply { id, result: Err(error) });
                self.leave(&subscribe.channel, reply);
            }
        }
    }

    /// Checks that the session may subscribe.
    pub(super) fn admit(&self, subscribe: &Subscribe) -> Result<(), ErrorInfo> {
        self.hub.settings().rules.check_channel(&subscribe.channel)?;
        self.check(Action::Subscribe, &subscribe.channel)?;
        let current = self.subscriptions.get(&subscribe.channel).map(|current| current.number);
        let channels = || self.subscriptions.len().saturating_add(self.subscribing_count());
        match current.max(self.subscribing(&subscribe.channel)) {
            Some(current) if subscribe.number <= current => {
                Err(ErrorInfo::from_code(ErrorCode::ALREADY_SUBSCRIBED))
            }
            Some(_) => Ok(()),
            None if is_reached(self.live.limits.channels, channels()) => {
                Err(ErrorInfo::from_code(ErrorCode::LIMIT_EXCEEDED))
            }
            None => Ok(()),
        }
    }

    /// Subscribes. `reply` goes before the first publication.
    fn enter(&mut self, Subscribe { channel: name, number, .. }: &Subscribe, reply: Option<Bytes>) {
        let term = Term::next();
        if let Some(subscription) = self.subscriptions.get_mut(name) {
            (subscription.number, subscription.term, subscription.by_server) = (*number, term, false);
            return subscription.channel.answer(subscription.place, reply);
        }
        self.join(name, *number, term, reply.as_ref(), false);
    }

    /// Subscribes, and finds the position. Publications are held back until the history has been read, or, in a channel without
    /// history, until the subscription has been answered.
    pub(super) fn enter_and_locate(
        &mut self,
        Subscribe { channel: name, number, position, history: recent }: &Subscribe,
    ) -> (Term, Locating) {
        let term = Term::next();
        match self.subscriptions.get_mut(name) {
            Some(subscription) => {
                // Publications continue until the new subscription has been answered.
                (subscription.number, subscription.term, subscription.by_server) = (*number, term, false);
            }
            None => self.join(name, *number, term, None, true),
        }
        let locate = self.hub.settings().namespaces.of(name).history.map(|history| {
            let (channel, since) = (name.clone(), position.clone());
            Locate { channel, history, since }
        });
        let recent = if position.is_none() { *recent } else { 0 };
        let locating = match (self.hub.attach(name), locate) {
            (None, None) => EngineFuture::Now(Ok(None)),
            (None, Some(locate)) => find(&self.hub, locate, recent).map(Some),
            (Some(attaching), locate) => {
                let hub = self.hub.clone();
                EngineFuture::Later(Box::pin(async move {
                    attaching.await?;
                    // Before the channel is attached, newer publications than the answer would be missing.
                    match locate {
                        Some(locate) => find(&hub, locate, recent).await.map(Some),
                        None => Ok(None),
                    }
                }))
            }
        };
        (term, locating)
    }

    fn join(
        &mut self,
        name: &ChannelName,
        number: u32,
        term: Term,
        reply: Option<&Bytes>,
        reads_history: bool,
    ) {
        let namespace = self.hub.settings().namespaces.of(name);
        let entrant = NewSubscriber {
            peer: &self.peer,
            observes_members: self.observes_members(name),
            is_local: false,
        };
        let registry = self.hub.channel_registry();
        let (channel, place) = registry.subscribe(name, namespace, entrant, reply, reads_history);
        self.hub.enter_presence(name, &self.peer);
        let subscription = Subscription { number, term, by_server: false, channel, place };
        self.subscriptions.insert(name.clone(), subscription);
        self.notice(|| SessionEvent::Subscribed(name.clone()));
    }

    /// `true` if the session is notified of joins and leaves.
    pub(super) fn observes_members(&self, channel: &ChannelName) -> bool {
        self.hub.settings().namespaces.of(channel).join_leave.is_some()
            && self.check(Action::Presence, channel).is_ok()
    }

    /// Ends a subscription whose channel could not be read.
    pub(super) fn leave(&mut self, name: &ChannelName, reply: Option<Bytes>) {
        if let Some(Subscription { channel, place, .. }) = self.subscriptions.remove(name) {
            self.hub.leave_channel(&channel, place, &self.peer, reply);
            self.notice(|| SessionEvent::Unsubscribed(name.clone()));
        }
    }

    pub(super) fn unsubscribe(
        &mut self,
        id: u32,
        unsubscribe: Unsubscribe,
    ) -> Result<Option<ReplyBody>, ErrorInfo> {
        if self.unsubscribe_undecided(&unsubscribe) {
            return Ok(Some(ReplyBody::Unsubscribed(unsubscribe)));
        }
        let Some(Subscription { number, channel, place, .. }) = self.subscriptions.get(&unsubscribe.channel)
        else {
            return Err(ErrorInfo::from_code(ErrorCode::NOT_SUBSCRIBED));
        };
        let is_old = unsubscribe.number < *number;
        let (channel, place) = (Arc::clone(channel), *place);
        if !is_old {
            self.subscriptions.remove(&unsubscribe.channel);
            self.notice(|| SessionEvent::Unsubscribed(unsubscribe.channel.clone()));
        }
        let reply = encode(&self.peer, Reply { id, result: Ok(ReplyBody::Unsubscribed(unsubscribe)) });
        if !is_old {
            self.hub.leave_channel(&channel, place, &self.peer, reply);
        } else {
            channel.answer(place, reply);
        }
        Ok(None)
    }
}

/// Finds the position of a subscriber: of a new one this many publications before the newest, or before the oldest that is kept.
fn find(hub: &Hub, locate: Locate, recent: u32) -> EngineFuture<Located> {
    if recent == 0 {
        return hub.engine().locate(locate);
    }
    let hub = hub.clone();
    EngineFuture::Later(Box::pin(async move {
        let newest = hub.engine().locate(locate.clone()).await?;
        let since = Position { offset: newest.newest.saturating_sub(recent.into()), ..newest.position };
        let mut located = hub.engine().locate(Locate { since: Some(since), ..locate }).await?;
        // The channel may have got further publications, or another history, in between.
        let first = located.newest.saturating_sub(recent.into());
        located.position.offset = located.position.offset.max(first);
        located.complete = false;
        Ok(located)
    }))
}

pub(super) async fn located(locating: Locating) -> Result<Option<Located>, ErrorInfo> {
    locating.await.map_err(|error| engine_failure(&error))
}
