//! The registry of channels.

use std::sync::Arc;

use bytes::Bytes;
use indexmap::IndexMap;
use parking_lot::Mutex;
use wirehub_common::ChannelName;

use super::SessionId;
use super::sessions::Peer;
use super::sharded::Sharded;
use super::shared_frame::SharedFrame;
use crate::session::outbox::Lane;

/// All channels that somebody is subscribed to.
///
/// Locks are taken in the order shard, channel, outbox, and none is held while waiting for anything else.
pub(crate) struct Channels {
    by_name: Sharded<ChannelName, Arc<Channel>>,
}

/// A channel with its subscribers.
pub(crate) struct Channel {
    name: ChannelName,
    lane: Lane,
    subscribers: Mutex<IndexMap<SessionId, Arc<Peer>>>,
}

impl Channels {
    pub(crate) fn new() -> Self {
        Self { by_name: Sharded::new() }
    }

    /// Subscribes a session. `reply` goes into its queue before the first publication that it gets, and behind the
    /// last that it does not get.
    pub(crate) fn subscribe(
        &self,
        name: &ChannelName,
        lane: Lane,
        peer: &Arc<Peer>,
        reply: Option<Bytes>,
    ) -> Arc<Channel> {
        let shard = self.by_name.shard(name);
        if let Some(channel) = shard.read().get(name) {
            // Under the shard's lock, or the channel could be removed as empty meanwhile.
            channel.add(peer, reply);
            return Arc::clone(channel);
        }
        let mut shard = shard.write();
        let channel = shard.entry(name.clone()).or_insert_with(|| Arc::new(Channel::new(name.clone(), lane)));
        channel.add(peer, reply);
        Arc::clone(channel)
    }

    /// Ends a session's subscription. `reply` goes into its queue behind the last publication that it gets.
    pub(crate) fn unsubscribe(&self, channel: &Arc<Channel>, peer: &Peer, reply: Option<Bytes>) {
        if !channel.remove(peer, reply) {
            return;
        }
        let mut shard = self.by_name.shard(&channel.name).write();
        // Somebody may have come since, also to a successor of the same name.
        if shard.get(&channel.name).is_some_and(|current| Arc::ptr_eq(current, channel) && current.is_empty())
        {
            shard.remove(&channel.name);
        }
    }

    /// Queues a frame for every subscriber of a channel.
    pub(crate) fn publish(&self, name: &ChannelName, frame: &mut SharedFrame) {
        let channel = self.by_name.shard(name).read().get(name).map(Arc::clone);
        if let Some(channel) = channel {
            channel.publish(frame);
        }
    }

    /// How many sessions are subscribed to a channel.
    pub(crate) fn subscribers(&self, name: &ChannelName) -> usize {
        self.by_name.shard(name).read().get(name).map_or(0, |channel| channel.len())
    }

    /// All channels with their numbers of subscribers.
    pub(crate) fn all(&self) -> Vec<(ChannelName, usize)> {
        let mut channels = Vec::new();
        for shard in self.by_name.shards() {
            channels.extend(shard.read().values().map(|channel| (channel.name.clone(), channel.len())));
        }
        channels
    }
}

impl Channel {
    fn new(name: ChannelName, lane: Lane) -> Self {
        Self { name, lane, subscribers: Mutex::default() }
    }

    /// Puts an answer between the channel's publications in a session's queue.
    pub(crate) fn answer(&self, peer: &Peer, reply: Bytes) {
        let _order = self.subscribers.lock();
        peer.outbox.answer(self.lane, reply);
    }

    fn add(&self, peer: &Arc<Peer>, reply: Option<Bytes>) {
        let mut subscribers = self.subscribers.lock();
        subscribers.insert(peer.id, Arc::clone(peer));
        if let Some(reply) = reply {
            peer.outbox.answer(self.lane, reply);
        }
    }

    /// Says whether the channel is empty now.
    fn remove(&self, peer: &Peer, reply: Option<Bytes>) -> bool {
        let mut subscribers = self.subscribers.lock();
        subscribers.swap_remove(&peer.id);
        if let Some(reply) = reply {
            peer.outbox.answer(self.lane, reply);
        }
        subscribers.is_empty()
    }

    fn publish(&self, frame: &mut SharedFrame) {
        for peer in self.subscribers.lock().values() {
            peer.outbox.push(self.lane, frame.bytes(peer.codec));
        }
    }

    fn len(&self) -> usize {
        self.subscribers.lock().len()
    }

    fn is_empty(&self) -> bool {
        self.subscribers.lock().is_empty()
    }
}
