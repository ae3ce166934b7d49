//! The registry of channels.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use indexmap::IndexMap;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};
use wirehub_common::ChannelName;
use wirehub_common::code::CloseCode;
use wirehub_common::frame::{Member, Movement, Push, ServerFrame};

use super::SessionId;
use super::members::Members;
use super::namespace::{Namespace, Overflow};
use super::sessions::Peer;
use super::sharded::Sharded;
use super::shared_frame::SharedFrame;
use crate::session::outbox::{Lane, Slot};

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
    overflow: Overflow,
    subscribers: Mutex<Subscribers>,
}

struct Subscribers {
    by_session: IndexMap<SessionId, Subscriber>,
    /// Who they are, where that is told.
    members: Option<Box<Members>>,
    /// How many messages they were sent.
    publications: u64,
}

/// A channel as operators see it.
#[cfg(feature = "api")]
pub(crate) struct Summary {
    pub(crate) name: ChannelName,
    pub(crate) subscribers: usize,
    /// How many messages went out since somebody subscribed to it.
    pub(crate) publications: u64,
}

struct Subscriber {
    peer: Arc<Peer>,
    /// What most have not.
    special: Option<Box<Special>>,
}

#[derive(Default)]
struct Special {
    /// Whether it is told who comes and goes.
    is_witness: bool,
    /// Where its next publication waits, if only the latest one counts.
    slot: Option<Arc<Slot>>,
    /// What came while its history is being read; it goes behind that.
    held: Option<Box<Held>>,
}

/// Who subscribes.
#[derive(Clone, Copy)]
pub(crate) struct Entrant<'a> {
    pub(crate) peer: &'a Arc<Peer>,
    /// Whether it may see who comes and goes.
    pub(crate) is_witness: bool,
}

/// Publications with their offsets.
#[derive(Default)]
struct Held {
    frames: Vec<(u64, Bytes)>,
    bytes: usize,
    /// Whether an older subscription is in force until then, and is to get what is not for the new one.
    has_predecessor: bool,
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
        rules: &Namespace,
        entrant: Entrant<'_>,
        reply: Option<Bytes>,
    ) -> Arc<Channel> {
        self.with_channel(name, rules, |channel| channel.add(entrant, reply, None))
    }

    /// Subscribes a session whose history is to be read: what is published from now on is held back until
    /// [`Channel::release`].
    pub(crate) fn subscribe_held(
        &self,
        name: &ChannelName,
        rules: &Namespace,
        entrant: Entrant<'_>,
    ) -> Arc<Channel> {
        self.with_channel(name, rules, |channel| channel.add(entrant, None, Some(Box::default())))
    }

    /// A channel that nobody is subscribed to.
    #[cfg(test)]
    pub(crate) fn unoccupied(&self, name: &ChannelName, rules: &Namespace) -> Arc<Channel> {
        self.with_channel(name, rules, |_| ())
    }

    fn with_channel(
        &self,
        name: &ChannelName,
        rules: &Namespace,
        add: impl FnOnce(&Channel),
    ) -> Arc<Channel> {
        let shard = self.by_name.shard(name);
        if let Some(channel) = shard.read().get(name) {
            // Under the shard's lock, or the channel could be removed as empty meanwhile.
            add(channel);
            return Arc::clone(channel);
        }
        let mut shard = shard.write();
        let channel =
            shard.entry(name.clone()).or_insert_with(|| Arc::new(Channel::new(name.clone(), rules)));
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

    /// Who is in a channel, at most so many: the sessions that are subscribed, and the last ones of users whose leaving is
    /// not told yet.
    pub(crate) fn members(&self, name: &ChannelName, most: usize) -> Vec<Member> {
        let channel = self.by_name.shard(name).read().get(name).map(Arc::clone);
        channel.map_or_else(Vec::new, |channel| {
            let subscribers = channel.subscribers.lock();
            let sessions = subscribers.by_session.values().map(|subscriber| subscriber.peer.shown());
            sessions.chain(subscribers.leaving().cloned()).take(most).collect()
        })
    }

    /// How many sessions and how many users are in a channel.
    pub(crate) fn counts(&self, name: &ChannelName) -> (usize, usize) {
        let channel = self.by_name.shard(name).read().get(name).map(Arc::clone);
        channel.map_or((0, 0), |channel| {
            let subscribers = channel.subscribers.lock();
            let (mut users, mut anonymous) = (HashSet::new(), 0_usize);
            for subscriber in subscribers.by_session.values() {
                let user = subscriber.peer.user();
                if user.is_empty() {
                    anonymous = anonymous.saturating_add(1);
                } else {
                    users.insert(user);
                }
            }
            let leaving = subscribers.leaving().count();
            let sessions = subscribers.by_session.len().saturating_add(leaving);
            (sessions, users.len().saturating_add(anonymous).saturating_add(leaving))
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

    /// The channels whose name begins so, in no order.
    #[cfg(feature = "api")]
    pub(crate) fn summaries(&self, prefix: &str) -> Vec<Summary> {
        let mut summaries = Vec::new();
        for shard in self.by_name.shards() {
            let shard = shard.read();
            let wanted = shard.values().filter(|channel| channel.name.as_str().starts_with(prefix));
            summaries.extend(wanted.map(|channel| {
                let subscribers = channel.subscribers.lock();
                Summary {
                    name: channel.name.clone(),
                    subscribers: subscribers.by_session.len(),
                    publications: subscribers.publications,
                }
            }));
        }
        summaries
    }

    /// What a session is subscribed to, in no order. Looks at all channels: for people, who ask seldom.
    #[cfg(feature = "api")]
    pub(crate) fn of_session(&self, id: SessionId) -> Vec<ChannelName> {
        let mut names = Vec::new();
        for shard in self.by_name.shards() {
            let shard = shard.read();
            let theirs =
                shard.values().filter(|channel| channel.subscribers.lock().by_session.contains_key(&id));
            names.extend(theirs.map(|channel| channel.name.clone()));
        }
        names
    }
}

impl Channel {
    fn new(name: ChannelName, rules: &Namespace) -> Self {
        let members = rules.join_leave.map(|grace| Box::new(Members::new(grace)));
        let subscribers = Subscribers { by_session: IndexMap::new(), members, publications: 0 };
        Self { name, lane: rules.lane(), overflow: rules.overflow, subscribers: Mutex::new(subscribers) }
    }

    /// Puts an answer between the channel's publications in a session's queue.
    pub(crate) fn answer(&self, peer: &Peer, reply: Bytes) {
        let mut subscribers = self.subscribers.lock();
        if let Some(subscriber) = subscribers.by_session.get_mut(&peer.id) {
            // What comes now may not overtake the answer.
            subscriber.change(|special| special.slot = self.slot());
        }
        peer.outbox.answer(self.lane, reply);
    }

    /// Whether a session is told from now on who comes and goes.
    pub(crate) fn set_witness(&self, peer: &Peer, is_witness: bool) {
        if let Some(subscriber) = self.subscribers.lock().by_session.get_mut(&peer.id) {
            subscriber.change(|special| special.is_witness = is_witness);
        }
    }

    /// Ends what [`Channels::subscribe_held`] began. `reply` goes into the session's queue, and behind it what has been
    /// published since the position `up_to`, which the reply tells. What was published before belongs to an older
    /// subscription, if there was one.
    pub(crate) fn release(&self, peer: &Peer, reply: Option<Bytes>, up_to: u64) {
        let mut subscribers = self.subscribers.lock();
        let mut held = None;
        if let Some(subscriber) = subscribers.by_session.get_mut(&peer.id) {
            subscriber.change(|special| held = special.held.take());
        }
        let Held { frames, has_predecessor, .. } = held.map(|held| *held).unwrap_or_default();
        let (newer, older): (Vec<_>, Vec<_>) =
            frames.into_iter().partition(|(offset, _)| *offset > up_to || *offset == 0);
        for (_, frame) in older.into_iter().filter(|_| has_predecessor) {
            peer.outbox.push(self.lane, frame);
        }
        if let Some(reply) = reply {
            peer.outbox.answer(self.lane, reply);
        }
        for (_, frame) in newer {
            peer.outbox.push(self.lane, frame);
        }
    }

    fn add(&self, Entrant { peer, is_witness }: Entrant<'_>, reply: Option<Bytes>, held: Option<Box<Held>>) {
        let mut subscribers = self.subscribers.lock();
        let Subscribers { by_session, members, .. } = &mut *subscribers;
        let slot = self.slot();
        match by_session.get_mut(&peer.id) {
            Some(subscriber) => {
                // What an earlier one of its subscriptions held back goes on waiting.
                subscriber.change(|special| {
                    let held = held.map(|held| Box::new(Held { has_predecessor: true, ..*held }));
                    special.held = special.held.take().or(held);
                    special.slot = slot;
                });
            }
            None => {
                if members.as_mut().is_some_and(|members| members.enter(&peer.user())) {
                    self.tell(by_session, Push::Join(self.movement(peer.shown())));
                }
                peer.channels.fetch_add(1, Ordering::Relaxed);
                let mut subscriber = Subscriber { peer: Arc::clone(peer), special: None };
                subscriber.change(|special| *special = Special { is_witness, slot, held });
                by_session.insert(peer.id, subscriber);
            }
        }
        if let Some(reply) = reply {
            peer.outbox.answer(self.lane, reply);
        }
    }

    /// Says whether the channel is empty now.
    fn remove(self: &Arc<Self>, peer: &Peer, reply: Option<Bytes>) -> bool {
        let mut subscribers = self.subscribers.lock();
        let Subscribers { by_session, members, .. } = &mut *subscribers;
        let was_there = by_session.swap_remove(&peer.id).is_some();
        if was_there {
            peer.channels.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(reply) = reply {
            peer.outbox.answer(self.lane, reply);
        }
        if let Some(members) = members.as_mut().filter(|_| was_there) {
            if by_session.is_empty() {
                // Nobody is left who was told of them.
                members.clear();
            } else if let Some(member) = members.leave(&peer.user(), peer.shown()) {
                self.tell(by_session, Push::Leave(self.movement(member)));
            }
            self.watch(members);
        }
        by_session.is_empty()
    }

    /// Has those told whose grace passes, if nobody does that already.
    fn watch(self: &Arc<Self>, members: &mut Members) {
        // Outside of a runtime, where sessions end with it, there is nobody left to be told.
        if let (false, Some(_), Ok(runtime)) =
            (members.is_watched, members.next_expiry(), Handle::try_current())
        {
            members.is_watched = true;
            runtime.spawn(tell_leaves(Arc::downgrade(self)));
        }
    }

    /// Tells who has left for good. Gives the next moment to look again; none where nobody is leaving.
    fn tell_leaves(&self) -> Option<Instant> {
        let mut subscribers = self.subscribers.lock();
        let Subscribers { by_session, members, .. } = &mut *subscribers;
        let members = members.as_mut()?;
        for member in members.expire(Instant::now()) {
            self.tell(by_session, Push::Leave(self.movement(member)));
        }
        let next = members.next_expiry();
        members.is_watched = next.is_some();
        next
    }

    /// Queues a push for those who see who comes and goes.
    fn tell(&self, by_session: &mut IndexMap<SessionId, Subscriber>, push: Push) {
        let mut frame = SharedFrame::new(ServerFrame::Push(push));
        for Subscriber { peer, special } in by_session.values_mut() {
            let Some(Special { is_witness: true, held, .. }) = special.as_deref_mut() else { continue };
            let frame = frame.bytes(peer.codec);
            match held {
                None => peer.outbox.push(self.lane, frame),
                Some(held) => held.push(peer, 0, frame),
            }
        }
    }

    fn movement(&self, member: Member) -> Movement {
        Movement { channel: self.name.clone(), member }
    }

    fn slot(&self) -> Option<Arc<Slot>> {
        (self.overflow == Overflow::Latest).then(Arc::default)
    }

    fn publish(&self, offset: u64, frame: &mut SharedFrame) -> usize {
        let mut subscribers = self.subscribers.lock();
        subscribers.publications = subscribers.publications.saturating_add(1);
        let mut deliveries = subscribers.by_session.len();
        for Subscriber { peer, special } in subscribers.by_session.values_mut() {
            let frame = frame.bytes(peer.codec);
            let is_queued = match (special.as_deref_mut(), self.overflow) {
                (Some(Special { held: Some(held), .. }), _) => {
                    held.push(peer, offset, frame);
                    true
                }
                (Some(Special { slot: Some(slot), .. }), _) => {
                    peer.outbox.push_latest(self.lane, slot, frame)
                }
                (_, Overflow::DropOldest) => peer.outbox.push_droppable(self.lane, frame),
                _ => {
                    peer.outbox.push(self.lane, frame);
                    true
                }
            };
            if !is_queued {
                deliveries = deliveries.saturating_sub(1);
            }
        }
        deliveries
    }

    fn len(&self) -> usize {
        self.subscribers.lock().by_session.len()
    }

    fn is_empty(&self) -> bool {
        self.subscribers.lock().by_session.is_empty()
    }
}

/// Waits until graces pass, as long as somebody is leaving and the channel is there.
async fn tell_leaves(channel: Weak<Channel>) {
    while let Some(next) = channel.upgrade().and_then(|channel| channel.tell_leaves()) {
        sleep_until(next).await;
    }
}

impl Subscribers {
    fn leaving(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().flat_map(|members| members.leaving()).map(|(member, _)| member)
    }
}

impl Subscriber {
    /// Changes what is special of it, and keeps no memory for what is not.
    fn change(&mut self, change: impl FnOnce(&mut Special)) {
        let mut special = self.special.take().map_or_else(Special::default, |special| *special);
        change(&mut special);
        let is_special = special.is_witness || special.slot.is_some() || special.held.is_some();
        self.special = is_special.then(|| Box::new(special));
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
