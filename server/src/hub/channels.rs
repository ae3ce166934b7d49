//! The registry of channels.

use std::sync::Arc;

use bytes::Bytes;
use indexmap::IndexMap;
use parking_lot::Mutex;
use wirehub_common::ChannelName;
use wirehub_common::code::CloseCode;
use wirehub_common::frame::Member;

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
    subscribers: Mutex<IndexMap<SessionId, Subscriber>>,
}

struct Subscriber {
    peer: Arc<Peer>,
    /// What came while its history is being read; it goes behind that.
    held: Option<Box<Held>>,
}

/// Publications with their offsets.
#[derive(Default)]
struct Held {
    frames: Vec<(u64, Bytes)>,
    bytes: usize,
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
        self.with_channel(name, lane, |channel| channel.add(peer, reply, None))
    }

    /// Subscribes a session whose history is to be read: what is published from now on is held back until
    /// [`Channel::release`].
    pub(crate) fn subscribe_held(&self, name: &ChannelName, lane: Lane, peer: &Arc<Peer>) -> Arc<Channel> {
        self.with_channel(name, lane, |channel| channel.add(peer, None, Some(Box::default())))
    }

    fn with_channel(&self, name: &ChannelName, lane: Lane, add: impl FnOnce(&Channel)) -> Arc<Channel> {
        let shard = self.by_name.shard(name);
        if let Some(channel) = shard.read().get(name) {
            // Under the shard's lock, or the channel could be removed as empty meanwhile.
            add(channel);
            return Arc::clone(channel);
        }
        let mut shard = shard.write();
        let channel = shard.entry(name.clone()).or_insert_with(|| Arc::new(Channel::new(name.clone(), lane)));
        add(channel);
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

    /// Queues a publication for every subscriber of a channel, and says how many they are. `offset` is its place in the
    /// history, 0 for none.
    pub(crate) fn publish(&self, name: &ChannelName, offset: u64, frame: &mut SharedFrame) -> usize {
        let channel = self.by_name.shard(name).read().get(name).map(Arc::clone);
        channel.map_or(0, |channel| channel.publish(offset, frame))
    }

    /// How many sessions are subscribed to a channel.
    pub(crate) fn subscribers(&self, name: &ChannelName) -> usize {
        self.by_name.shard(name).read().get(name).map_or(0, |channel| channel.len())
    }

    /// The sessions that are subscribed to a channel.
    pub(crate) fn members(&self, name: &ChannelName) -> Vec<Member> {
        let channel = self.by_name.shard(name).read().get(name).map(Arc::clone);
        channel.map_or_else(Vec::new, |channel| {
            channel.subscribers.lock().values().map(|subscriber| subscriber.peer.member()).collect()
        })
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

    /// Ends what [`Channels::subscribe_held`] began. `reply` goes into the session's queue, and behind it what has been
    /// published since the position `up_to`, which the reply tells.
    pub(crate) fn release(&self, peer: &Peer, reply: Option<Bytes>, up_to: u64) {
        let mut subscribers = self.subscribers.lock();
        if let Some(reply) = reply {
            peer.outbox.answer(self.lane, reply);
        }
        let held = subscribers.get_mut(&peer.id).and_then(|subscriber| subscriber.held.take());
        for (offset, frame) in held.into_iter().flat_map(|held| held.frames) {
            if offset > up_to || offset == 0 {
                peer.outbox.push(self.lane, frame);
            }
        }
    }

    fn add(&self, peer: &Arc<Peer>, reply: Option<Bytes>, held: Option<Box<Held>>) {
        let mut subscribers = self.subscribers.lock();
        let subscriber =
            subscribers.entry(peer.id).or_insert_with(|| Subscriber { peer: Arc::clone(peer), held: None });
        // What an earlier one of its subscriptions held back goes on waiting.
        subscriber.held = subscriber.held.take().or(held);
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

    fn publish(&self, offset: u64, frame: &mut SharedFrame) -> usize {
        let mut subscribers = self.subscribers.lock();
        for Subscriber { peer, held } in subscribers.values_mut() {
            let frame = frame.bytes(peer.codec);
            match held {
                None => peer.outbox.push(self.lane, frame),
                Some(held) => held.push(peer, offset, frame),
            }
        }
        subscribers.len()
    }

    fn len(&self) -> usize {
        self.subscribers.lock().len()
    }

    fn is_empty(&self) -> bool {
        self.subscribers.lock().is_empty()
    }
}

impl Held {
    fn push(&mut self, peer: &Peer, offset: u64, frame: Bytes) {
        self.bytes = self.bytes.saturating_add(frame.len()).saturating_add(size_of::<(u64, Bytes)>());
        if self.bytes > peer.outbox.limit() {
            peer.outbox.end(CloseCode::SLOW_CONSUMER.into());
            *self = Self::default();
        } else {
            self.frames.push((offset, frame));
        }
    }
}
