//! The registry of channels.

use std::sync::Arc;

use bytes::Bytes;
use wirehub_common::ChannelName;

use super::channel::{Channel, MemberPage, NewSubscriber, Place};
use super::sharded::Sharded;
use super::{PresenceCounts, SessionId};
use crate::counters::Count;
use crate::namespace::Namespace;

/// All channels with subscribers.
///
/// No lock of the registry is held while the lock of a channel is awaited.
pub(crate) struct Channels {
    by_name: Sharded<ChannelName, Arc<Channel>>,
    deliveries: Count,
    /// `true` if the engine keeps the members of channels for several hubs.
    shares_members: bool,
}

impl Channels {
    /// An empty registry. `deliveries` counts the queued messages.
    pub(crate) fn new(deliveries: Count, shares_members: bool) -> Self {
        Self { by_name: Sharded::new(), deliveries, shares_members }
    }

    /// Subscribes a session, or a part of this program: see [`Channel::enter`].
    pub(crate) fn subscribe(
        &self,
        name: &ChannelName,
        rules: &Namespace,
        entrant: NewSubscriber<'_>,
        reply: Option<&Bytes>,
        reads_history: bool,
    ) -> (Arc<Channel>, Place) {
        let mut channel = self.find(name).unwrap_or_else(|| self.open(name, rules));
        loop {
            if let Some(place) = channel.enter(entrant, reply.cloned(), reads_history) {
                return (channel, place);
            }
            // The last subscriber has left meanwhile, and closed the channel.
            channel = self.open(name, rules);
        }
    }

    /// Ends a subscription: see [`Channel::leave`]. Returns `true` if it was the channel's last one.
    pub(super) fn unsubscribe(&self, channel: &Arc<Channel>, place: Place, reply: Option<Bytes>) -> bool {
        let is_last = channel.leave(place, reply);
        if is_last {
            let mut shard = self.by_name.shard(channel.name()).write();
            // A successor may be registered by now.
            if shard.get(channel.name()).is_some_and(|current| Arc::ptr_eq(current, channel)) {
                shard.remove(channel.name());
            }
        }
        is_last
    }

    /// The number of subscribed sessions of a channel.
    pub(crate) fn subscribers(&self, name: &ChannelName) -> usize {
        self.by_name.shard(name).read().get(name).map_or(0, |channel| channel.sessions())
    }

    /// A client reads the members of a channel: see [`Channel::note_read`].
    pub(crate) fn note_read(&self, name: &ChannelName) {
        if let Some(channel) = self.find(name) {
            channel.note_read();
        }
    }

    /// The members of a channel: see [`Channel::members`].
    pub(crate) fn members(&self, name: &ChannelName, after: Option<SessionId>, most: usize) -> MemberPage {
        self.find(name).map_or_else(MemberPage::default, |channel| channel.members(after, most))
    }

    /// The number of members of a channel: see [`Channel::counts`].
    pub(crate) fn counts(&self, name: &ChannelName) -> PresenceCounts {
        self.find(name).map_or_else(PresenceCounts::default, |channel| channel.counts())
    }

    /// The channels that sessions are subscribed to, with how many they are.
    pub(crate) fn all(&self) -> Vec<(ChannelName, usize)> {
        let mut channels = Vec::new();
        for shard in self.by_name.shards() {
            let shard = shard.read();
            let counted = shard.values().map(|channel| (channel.name(), channel.sessions()));
            channels
                .extend(counted.filter(|(_, sessions)| *sessions > 0).map(|(name, of)| (name.clone(), of)));
        }
        channels
    }

    /// The number of channels with subscribed sessions.
    pub(crate) fn count(&self) -> usize {
        let mut count = 0_usize;
        for shard in self.by_name.shards() {
            let used = shard.read().values().filter(|channel| channel.sessions() > 0).count();
            count = count.saturating_add(used);
        }
        count
    }

    /// The channels with subscribed sessions whose name begins with `prefix`, in no order.
    pub(crate) fn those_with_prefix(&self, prefix: &str) -> Vec<Arc<Channel>> {
        self.those(|channel| channel.name().as_str().starts_with(prefix) && channel.sessions() > 0)
    }

    /// The channels of a session, in no order. Checks every channel, so it is only for operators.
    pub(crate) fn of_session(&self, id: SessionId) -> Vec<ChannelName> {
        let all = self.every();
        all.iter().filter(|channel| channel.has(id)).map(|channel| channel.name().clone()).collect()
    }

    /// Every channel with subscribers.
    pub(super) fn every(&self) -> Vec<Arc<Channel>> {
        self.those(|_| true)
    }

    fn those(&self, is_wanted: impl Fn(&Channel) -> bool) -> Vec<Arc<Channel>> {
        let mut channels = Vec::new();
        for shard in self.by_name.shards() {
            channels.extend(shard.read().values().filter(|channel| is_wanted(channel)).cloned());
        }
        channels
    }

    /// The channel, if it has subscribers.
    pub(crate) fn find(&self, name: &ChannelName) -> Option<Arc<Channel>> {
        self.by_name.shard(name).read().get(name).map(Arc::clone)
    }

    /// The registered channel; a new one if there is none, or if it is closed.
    fn open(&self, name: &ChannelName, rules: &Namespace) -> Arc<Channel> {
        let mut shard = self.by_name.shard(name).write();
        match shard.get(name) {
            Some(channel) if !channel.is_closed() => Arc::clone(channel),
            _ => {
                let channel =
                    Arc::new(Channel::new(name.clone(), rules, self.deliveries.clone(), self.shares_members));
                shard.insert(name.clone(), Arc::clone(&channel));
                channel
            }
        }
    }
}
