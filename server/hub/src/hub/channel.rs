//! One channel: its subscribers, and how what is published gets into their queues.

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
use super::shared_frame::SharedFrame;
use crate::account::{subtract, subtract_shared};
use crate::counters::Count;
use crate::namespace::{Namespace, Overflow};
use crate::session::queue::{Lane, LatestSlot};

mod hand_out;
mod movements;
mod presence;

use self::hand_out::{CODECS, FrameAudience, PendingRow, close, codec_index};
pub use self::presence::MemberPage;

/// A channel with its subscribers.
///
/// What is published is written into a row, once for each codec, and handed to the subscribers row by row: to a few of them at
/// once, to many by a task of the channel's own, piece by piece, so that neither the publisher nor other channels wait for all
/// of them. What is published meanwhile comes together in the next row. Whoever enters, leaves or is answered is
/// [served](ChannelState::serve) first: so each subscriber sees the same order.
pub(crate) struct Channel {
    name: ChannelName,
    lane: Lane,
    overflow: Overflow,
    subscribers: AtomicUsize,
    /// The last one has left: it takes nobody any more. Changed under the state's lock.
    is_closed: AtomicBool,
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
    /// By their places. Places stay, so that a walk over them can be broken off and gone on with.
    places: Vec<Option<Subscriber>>,
    free: Vec<Place>,
    /// How many of the subscribers speak each codec.
    codecs: [usize; CODECS],
    /// PresentMember they are, where that is told.
    members: Option<Box<Members>>,
    /// How many frames there have been.
    frames: u64,
    publications: u64,
    /// The offset of the newest publication.
    newest: u64,
    /// What is to be handed to the subscribers, the oldest first. Only the last one may be open.
    pending_rows: VecDeque<PendingRow>,
    /// Up to which place the first batch has been handed out.
    cursor: usize,
    /// Whether there is a task that does so.
    is_scheduled: bool,
    /// Where its subscribers' tasks run: who publishes may come from elsewhere, and be gone soon.
    runtime: Option<Handle>,
}

struct Subscriber {
    peer: Arc<Peer>,
    /// How many of the channel's frames are behind it.
    served: u64,
    /// What most have not.
    options: Option<Box<SubscriberOptions>>,
}

#[derive(Default)]
struct SubscriberOptions {
    /// Whether it is told who comes and goes.
    observes_members: bool,
    /// Where its next publication waits, if only the latest one counts.
    slot: Option<Arc<LatestSlot>>,
    /// Where it has got to in the history.
    catching_up: Option<CatchingUp>,
    /// Whether it was not told of all who come and go, for there was no room.
    has_missed_moves: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CatchingUp {
    /// It reads the history, and gets nothing of what is published.
    Reading,
    /// It has read everything up to this offset, some of which may come yet.
    Behind(u64),
}

/// PresentMember subscribes.
#[derive(Clone, Copy)]
pub(crate) struct NewSubscriber<'a> {
    pub(crate) peer: &'a Arc<Peer>,
    /// Whether it may see who comes and goes.
    pub(crate) observes_members: bool,
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
    pub(crate) fn new(name: ChannelName, rules: &Namespace, deliveries: Count) -> Self {
        let members = rules.join_leave.map(|grace| Box::new(Members::new(grace)));
        Self {
            name,
            lane: rules.lane(),
            overflow: rules.overflow,
            subscribers: AtomicUsize::new(0),
            is_closed: AtomicBool::new(false),
            deliveries,
            state: Mutex::new(ChannelState { members, ..ChannelState::default() }),
        }
    }

    pub(crate) fn name(&self) -> &ChannelName {
        &self.name
    }

    /// The lane that its frames go in.
    pub(crate) fn lane(&self) -> Lane {
        self.lane
    }

    /// How many sessions are subscribed.
    pub(crate) fn len(&self) -> usize {
        self.subscribers.load(Ordering::Relaxed)
    }

    /// Whether the last subscriber has left: it takes nobody any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Adds a subscriber; nothing where the channel is closed. `reply` goes into its queue before the first frame that it
    /// gets. Where it reads the history first it gets nothing until it has [caught up](Self::catch_up).
    pub(crate) fn enter(
        self: &Arc<Self>,
        NewSubscriber { peer, observes_members }: NewSubscriber<'_>,
        reply: Option<Bytes>,
        reads_history: bool,
    ) -> Option<Place> {
        let mut state = self.state.lock();
        if self.is_closed() {
            return None;
        }
        let is_news = state.members.as_mut().is_some_and(|members| members.enter(&peer.user()));
        peer.channels.fetch_add(1, Ordering::Relaxed);
        let catching_up = reads_history.then_some(CatchingUp::Reading);
        let options =
            SubscriberOptions { observes_members, slot: self.slot(), catching_up, has_missed_moves: false };
        let ChannelState { codecs, pending_rows, .. } = &mut *state;
        if let Some(count) = codecs.get_mut(codec_index(peer.codec)) {
            if *count == 0 {
                // The row that is open has nothing in this codec.
                close(pending_rows);
            }
            *count = count.saturating_add(1);
        }
        if state.runtime.is_none() {
            state.runtime = Handle::try_current().ok();
        }
        let served = state.frames;
        let subscriber = Subscriber { peer: Arc::clone(peer), served, options: options.boxed() };
        self.subscribers.fetch_add(1, Ordering::Relaxed);
        let place = state.put(subscriber);
        if is_news {
            self.notify_move(&mut state, MemberMove { member: peer.shown(), place: Some(place) });
        }
        if let Some(reply) = reply {
            peer.mailbox.answer(self.lane, reply);
        }
        Some(place)
    }

    /// Removes a subscriber. `reply` goes into its queue behind the last frame that it gets. Says whether the channel is closed
    /// now: the registry has to let go of it.
    pub(crate) fn leave(self: &Arc<Self>, place: Place, reply: Option<Bytes>) -> bool {
        let mut state = self.state.lock();
        self.catch_up_queue(&mut state, place);
        let Some(subscriber) = state.places.get_mut(place.0 as usize).and_then(Option::take) else {
            return false;
        };
        let peer = &subscriber.peer;
        state.free.push(place);
        if let Some(count) = state.codecs.get_mut(codec_index(peer.codec)) {
            *count = subtract(*count, 1);
        }
        let left = subtract_shared(&self.subscribers, 1);
        peer.channels.fetch_sub(1, Ordering::Relaxed);
        if let Some(reply) = reply {
            peer.mailbox.answer(self.lane, reply);
        }
        if left == 0 {
            // Nobody is left who would be told.
            self.is_closed.store(true, Ordering::Release);
            *state = ChannelState::default();
            return true;
        }
        if let Some(mut members) = state.members.take() {
            let member = members.leave(&peer.user(), peer.shown());
            self.schedule_leaves(&mut members);
            state.members = Some(members);
            if let Some(member) = member {
                self.notify_move(&mut state, MemberMove { member, place: None });
            }
        }
        false
    }

    /// Puts an answer between the channel's frames in a session's queue.
    pub(crate) fn answer(&self, place: Place, reply: Option<Bytes>) {
        self.answer_and(place, reply, |_| ());
    }

    fn answer_and(&self, place: Place, reply: Option<Bytes>, change: impl FnOnce(&mut SubscriberOptions)) {
        let mut state = self.state.lock();
        self.catch_up_queue(&mut state, place);
        let slot = self.slot();
        if let Some(subscriber) = state.subscriber(place) {
            // What comes now may not overtake the answer.
            subscriber.change(|options| {
                options.slot = slot;
                change(options);
            });
            if let Some(reply) = reply {
                subscriber.peer.mailbox.answer(self.lane, reply);
            }
        }
    }

    /// Puts the answer between them that says where the subscription begins. From there on the subscriber reads the history,
    /// or gets what is published.
    pub(crate) fn begin(&self, place: Place, reply: Option<Bytes>, reads_history: bool) {
        self.answer_and(place, reply, |options| {
            options.catching_up = reads_history.then_some(CatchingUp::Reading);
        });
    }

    /// The subscriber has read the history up to an offset: it gets what is published after that, if that is all that there
    /// is before. Otherwise there is more to read, unless `anyway`.
    pub(crate) fn catch_up(&self, place: Place, offset: u64, anyway: bool) -> bool {
        let mut state = self.state.lock();
        let is_there = offset >= state.newest || anyway;
        if is_there && let Some(subscriber) = state.subscriber(place) {
            subscriber.change(|options| options.catching_up = Some(CatchingUp::Behind(offset)));
        }
        is_there
    }

    /// Whether a session is told from now on who comes and goes.
    pub(crate) fn set_observes_members(&self, place: Place, observes_members: bool) {
        if let Some(subscriber) = self.state.lock().subscriber(place) {
            subscriber.change(|options| options.observes_members = observes_members);
        }
    }

    /// Publishes to every subscriber. `offset` is the publication's place in the history, 0 for none.
    pub(crate) fn publish(self: &Arc<Self>, offset: u64, frame: &mut SharedFrame) {
        let mut state = self.state.lock();
        state.publications = state.publications.saturating_add(1);
        state.newest = state.newest.max(offset);
        self.append(&mut state, FrameAudience::All, offset, frame);
    }

    pub(crate) fn summary(&self) -> ChannelSummary {
        let publications = self.state.lock().publications;
        ChannelSummary { name: self.name.clone(), subscribers: self.len(), publications }
    }

    /// Whether a session is subscribed. Looks at all of them: for people, who ask seldom.
    pub(crate) fn has(&self, id: SessionId) -> bool {
        self.state.lock().subscribers().any(|subscriber| subscriber.peer.id == id)
    }

    fn slot(&self) -> Option<Arc<LatestSlot>> {
        (self.overflow == Overflow::Latest).then(Arc::default)
    }

    /// Whether the latest publication is all that counts.
    pub(crate) fn keeps_latest(&self) -> bool {
        self.overflow == Overflow::Latest
    }

    /// Whether its subscribers are to get what is newest rather than all that there was.
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
        // There are not so many sessions.
        let place = Place(u32::try_from(self.places.len()).unwrap_or(u32::MAX));
        self.places.push(Some(subscriber));
        place
    }

    fn subscriber(&mut self, place: Place) -> Option<&mut Subscriber> {
        self.places.get_mut(place.0 as usize)?.as_mut()
    }

    fn subscribers(&self) -> impl Iterator<Item = &Subscriber> {
        self.places.iter().flatten()
    }
}

impl SubscriberOptions {
    /// In a box where there is something special; most subscribers have nothing.
    fn boxed(self) -> Option<Box<Self>> {
        let is_special = self.observes_members
            || self.has_missed_moves
            || self.slot.is_some()
            || self.catching_up.is_some();
        is_special.then(|| Box::new(self))
    }
}

impl Subscriber {
    /// Changes what is special of it, and keeps no memory for what is not.
    fn change(&mut self, change: impl FnOnce(&mut SubscriberOptions)) {
        let mut options = self.options.take().map_or_else(SubscriberOptions::default, |options| *options);
        change(&mut options);
        self.options = options.boxed();
    }
}
