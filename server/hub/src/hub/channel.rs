//! One channel: its subscribers, their subscriptions, and its publications.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use wirehub_common::ChannelName;

use super::SessionId;
use super::members::{MemberMove, Members};
use super::sessions::Peer;
use crate::checked_subtraction::{subtract, subtract_shared};
use crate::counters::Count;
use crate::namespace::{Namespace, Overflow};
use crate::session::queue::{Lane, LatestSlot};

mod hand_out;
mod movements;
mod presence;
pub(crate) mod repair;
mod sequence;

use self::hand_out::{CODECS, PendingRow, close, codec_index};
pub use self::presence::MemberPage;
use self::sequence::Sequence;

/// A channel with its subscribers.
///
/// Publications are written into a row, once for each codec, and rows are handed out to the subscribers. A few subscribers
/// receive a row at once. Many receive it piece by piece from a task of the channel, so that neither the publisher nor other
/// channels wait for all of them. Publications that come meanwhile form the next row. Before a subscriber enters, leaves or is
/// answered, its pending frames are [queued first](Channel::queue_pending_frames). So every subscriber sees the same order.
pub(crate) struct Channel {
    name: ChannelName,
    lane: Lane,
    overflow: Overflow,
    /// The number of subscribers: sessions and local ones.
    subscribers: AtomicUsize,
    /// The number of local subscribers, which belong to this program and are no sessions.
    locals: AtomicUsize,
    /// `true` after the last subscriber has left: the channel accepts no new one. Changed under the state's lock.
    is_closed: AtomicBool,
    /// `true` if the engine keeps the members for several hubs: then it notices joins and leaves.
    shares_members: bool,
    deliveries: Count,
    state: Mutex<ChannelState>,
}

/// The place of a subscriber in its channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place(u32);

#[cfg(test)]
impl Place {
    /// The first place of any channel.
    pub(crate) const FIRST: Self = Self(0);
}

#[derive(Default)]
struct ChannelState {
    /// Indexed by place. Places are stable, so that a walk over them can be interrupted and continued.
    places: Vec<Option<Subscriber>>,
    free: Vec<Place>,
    /// The number of subscribers for each codec.
    codecs: [usize; CODECS],
    /// The members, in channels with joins and leaves.
    members: Option<Box<Members>>,
    /// The number of frames so far.
    frames: u64,
    publications: u64,
    /// The newest position, in channels with history.
    sequence: Sequence,
    /// The rows that wait for the subscribers, the oldest first. Only the last one may be open.
    pending_rows: VecDeque<PendingRow>,
    /// The place up to which the first row has been handed out.
    cursor: usize,
    /// `true` while a task hands out the rows.
    is_scheduled: bool,
    /// The runtime of the subscribers' tasks. The publisher may run elsewhere, and end soon.
    runtime: Option<Handle>,
}

struct Subscriber {
    peer: Arc<Peer>,
    /// The number of the channel's frames that the subscriber has passed.
    served: u64,
    /// Options that most subscribers do not have.
    options: Option<Box<SubscriberOptions>>,
}

#[derive(Default)]
struct SubscriberOptions {
    /// `true` if the subscriber is notified of joins and leaves.
    observes_members: bool,
    /// The slot for its next publication, if only the latest one counts.
    slot: Option<Arc<LatestSlot>>,
    /// Its progress in the history.
    catching_up: Option<CatchingUp>,
    /// `true` if joins or leaves were left out because its queue had no room.
    has_missed_moves: bool,
    /// `true` if the subscriber belongs to this program, and is no session.
    is_local: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CatchingUp {
    /// It reads the history, and receives no new publications.
    Reading,
    /// It has read the history up to this offset. Some of these publications may still wait in a row.
    Behind(u64),
}

/// A subscriber to be added.
#[derive(Clone, Copy)]
pub(crate) struct NewSubscriber<'a> {
    pub(crate) peer: &'a Arc<Peer>,
    /// `true` if it is notified of joins and leaves.
    pub(crate) observes_members: bool,
    /// `true` if it belongs to this program: it is no session, is not counted, and is no member.
    pub(crate) is_local: bool,
}

/// A channel as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelSummary {
    /// The channel's name.
    pub name: ChannelName,
    /// The number of subscribed sessions.
    pub subscribers: usize,
    /// The number of messages since the first of them subscribed.
    pub publications: u64,
}

impl Channel {
    pub(crate) fn new(name: ChannelName, rules: &Namespace, deliveries: Count, shares_members: bool) -> Self {
        let members = rules.join_leave.map(|grace| Box::new(Members::new(grace)));
        Self {
            name,
            lane: rules.lane(),
            overflow: rules.overflow,
            subscribers: AtomicUsize::new(0),
            locals: AtomicUsize::new(0),
            is_closed: AtomicBool::new(false),
            shares_members,
            deliveries,
            state: Mutex::new(ChannelState { members, ..ChannelState::default() }),
        }
    }

    pub(crate) fn name(&self) -> &ChannelName {
        &self.name
    }

    /// The lane of its frames.
    pub(crate) fn lane(&self) -> Lane {
        self.lane
    }

    /// The number of subscribers: sessions and local ones.
    fn len(&self) -> usize {
        self.subscribers.load(Ordering::Relaxed)
    }

    /// The number of subscribed sessions.
    pub(crate) fn sessions(&self) -> usize {
        // Between the changes of both counters one may be seen before the other.
        self.len().saturating_sub(self.locals.load(Ordering::Relaxed))
    }

    /// `true` after the last subscriber has left: the channel accepts no new one.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Adds a subscriber; `None` if the channel is closed. `reply` goes into its queue before its first frame. A subscriber
    /// that reads the history first receives no publications until it has [caught up](Self::catch_up).
    pub(crate) fn enter(
        self: &Arc<Self>,
        NewSubscriber { peer, observes_members, is_local }: NewSubscriber<'_>,
        reply: Option<Bytes>,
        reads_history: bool,
    ) -> Option<Place> {
        let mut state = self.state.lock();
        if self.is_closed() {
            return None;
        }
        let members = state.members.as_mut().filter(|_| !is_local && !self.shares_members);
        let is_news = members.is_some_and(|members| members.enter(&peer.user()));
        peer.channels.fetch_add(1, Ordering::Relaxed);
        let catching_up = reads_history.then_some(CatchingUp::Reading);
        let options = SubscriberOptions {
            observes_members,
            slot: self.slot(),
            catching_up,
            has_missed_moves: false,
            is_local,
        };
        let ChannelState { codecs, pending_rows, .. } = &mut *state;
        if let Some(count) = codecs.get_mut(codec_index(peer.codec)) {
            if *count == 0 {
                // The open row has nothing in this codec.
                close(pending_rows);
            }
            *count = count.saturating_add(1);
        }
        // The runtime of a local subscriber may end before that of sessions.
        if state.runtime.is_none() && !is_local {
            state.runtime = Handle::try_current().ok();
        }
        let served = state.frames;
        let subscriber = Subscriber { peer: Arc::clone(peer), served, options: options.boxed() };
        self.locals.fetch_add(is_local.into(), Ordering::Relaxed);
        self.subscribers.fetch_add(1, Ordering::Relaxed);
        let place = state.put(subscriber);
        if is_news {
            self.notify_move(&mut state, MemberMove::join(peer.shown(), Some(place)));
        } else if self.shares_members
            && !is_local
            && let Some(members) = &mut state.members
        {
            members.places.insert(peer.id, place);
        }
        if let Some(reply) = reply {
            peer.mailbox.answer(self.lane, reply);
        }
        Some(place)
    }

    /// Removes a subscriber. `reply` goes into its queue behind its last frame. Returns `true` if the channel is closed now:
    /// the registry has to remove it.
    pub(crate) fn leave(self: &Arc<Self>, place: Place, reply: Option<Bytes>) -> bool {
        let mut state = self.state.lock();
        self.queue_pending_frames(&mut state, place);
        let Some(subscriber) = state.places.get_mut(place.0 as usize).and_then(Option::take) else {
            return false;
        };
        let peer = &subscriber.peer;
        state.free.push(place);
        if let Some(count) = state.codecs.get_mut(codec_index(peer.codec)) {
            *count = subtract(*count, 1);
        }
        let is_local = subscriber.is_local();
        let left = subtract_shared(&self.subscribers, 1);
        subtract_shared(&self.locals, is_local.into());
        peer.channels.fetch_sub(1, Ordering::Relaxed);
        if let Some(reply) = reply {
            peer.mailbox.answer(self.lane, reply);
        }
        if left == 0 {
            // There is no subscriber left to notify.
            self.is_closed.store(true, Ordering::Release);
            *state = ChannelState::default();
            return true;
        }
        if self.shares_members {
            if let Some(members) = &mut state.members {
                members.places.remove(&peer.id);
            }
        } else if !is_local && let Some(mut members) = state.members.take() {
            let member = members.leave(&peer.user(), peer.shown());
            self.schedule_leaves(&mut members);
            state.members = Some(members);
            if let Some(member) = member {
                self.notify_move(&mut state, MemberMove::leave(member));
            }
        }
        false
    }

    /// Queues an answer for a session in line with the channel's frames.
    pub(crate) fn answer(&self, place: Place, reply: Option<Bytes>) {
        self.answer_and(place, reply, |_| ());
    }

    fn answer_and(&self, place: Place, reply: Option<Bytes>, change: impl FnOnce(&mut SubscriberOptions)) {
        let mut state = self.state.lock();
        self.queue_pending_frames(&mut state, place);
        let slot = self.slot();
        if let Some(subscriber) = state.subscriber(place) {
            // Later publications must not overtake the answer.
            subscriber.change(|options| {
                options.slot = slot;
                change(options);
            });
            if let Some(reply) = reply {
                subscriber.peer.mailbox.answer(self.lane, reply);
            }
        }
    }

    /// Queues the answer with the beginning of the subscription. From there on the subscriber reads the history, or receives
    /// new publications.
    pub(crate) fn begin(&self, place: Place, reply: Option<Bytes>, reads_history: bool) {
        self.answer_and(place, reply, |options| {
            options.catching_up = reads_history.then_some(CatchingUp::Reading);
        });
    }

    /// Starts or stops a session's notifications of joins and leaves.
    pub(crate) fn set_observes_members(&self, place: Place, observes_members: bool) {
        if let Some(subscriber) = self.state.lock().subscriber(place) {
            subscriber.change(|options| options.observes_members = observes_members);
        }
    }

    /// Shows at most `most` sessions, from the place `from` on. Returns the place behind them; `None` at the end.
    pub(super) fn visit_sessions(
        &self,
        from: usize,
        most: usize,
        mut visit: impl FnMut(&Peer),
    ) -> Option<usize> {
        let state = self.state.lock();
        let end = from.saturating_add(most);
        let places = state.places.get(from..end.min(state.places.len())).unwrap_or_default();
        for subscriber in places.iter().flatten().filter(|subscriber| !subscriber.is_local()) {
            visit(&subscriber.peer);
        }
        (end < state.places.len()).then_some(end)
    }

    pub(crate) fn summary(&self) -> ChannelSummary {
        let publications = self.state.lock().publications;
        ChannelSummary { name: self.name.clone(), subscribers: self.sessions(), publications }
    }

    /// `true` if a session is subscribed. Checks every subscriber, so it is only for operators.
    pub(crate) fn has(&self, id: SessionId) -> bool {
        self.state.lock().sessions().any(|subscriber| subscriber.peer.id == id)
    }

    fn slot(&self) -> Option<Arc<LatestSlot>> {
        (self.overflow == Overflow::Latest).then(Arc::default)
    }

    /// `true` if only the latest publication counts.
    pub(crate) fn keeps_latest(&self) -> bool {
        self.overflow == Overflow::Latest
    }

    /// `true` if its subscribers prefer the newest publications to complete ones.
    pub(crate) fn is_lossy(&self) -> bool {
        self.overflow != Overflow::Disconnect
    }
}

impl ChannelState {
    fn put(&mut self, subscriber: Subscriber) -> Place {
        if let Some(place) = self.free.pop()
            && let Some(free) = self.places.get_mut(place.0 as usize)
        {
            *free = Some(subscriber);
            return place;
        }
        // There are fewer sessions than this.
        let place = Place(u32::try_from(self.places.len()).unwrap_or(u32::MAX));
        self.places.push(Some(subscriber));
        place
    }

    fn subscriber(&mut self, place: Place) -> Option<&mut Subscriber> {
        self.places.get_mut(place.0 as usize)?.as_mut()
    }

    fn sessions(&self) -> impl Iterator<Item = &Subscriber> {
        self.places.iter().flatten().filter(|subscriber| !subscriber.is_local())
    }
}

impl SubscriberOptions {
    /// A box if any option is set, otherwise `None`: most subscribers need none.
    fn boxed(self) -> Option<Box<Self>> {
        let is_special = self.observes_members
            || self.has_missed_moves
            || self.is_local
            || self.slot.is_some()
            || self.catching_up.is_some();
        is_special.then(|| Box::new(self))
    }
}

impl Subscriber {
    /// `true` if it belongs to this program, and is no session.
    fn is_local(&self) -> bool {
        self.options.as_ref().is_some_and(|options| options.is_local)
    }

    /// Changes the options, and frees their memory if none is set.
    fn change(&mut self, change: impl FnOnce(&mut SubscriberOptions)) {
        let mut options = self.options.take().map_or_else(SubscriberOptions::default, |options| *options);
        change(&mut options);
        self.options = options.boxed();
    }
}
