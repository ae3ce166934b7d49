//! One channel: its subscribers, and how what is published gets into their queues.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use wirehub_common::{ChannelName, Codec};

use super::SessionId;
use super::members::{Members, Move};
use super::segment::{Row, Run, Segment};
use super::sessions::Peer;
use super::shared_frame::SharedFrame;
use crate::account::{less, take};
use crate::counters::Count;
use crate::namespace::{Namespace, Overflow};
use crate::session::queue::{Lane, Slot};

mod movements;
mod presence;

pub use self::presence::MemberPage;

/// A channel with its subscribers.
///
/// What is published is written into a row, once for each codec, and handed to the subscribers row by row: to a few of them at
/// once, to many by a task of the channel's own, piece by piece, so that neither the publisher nor other channels wait for all
/// of them. What is published meanwhile comes together in the next row. Whoever enters, leaves or is answered is
/// [served](State::serve) first: so each subscriber sees the same order.
pub(crate) struct Channel {
    name: ChannelName,
    lane: Lane,
    overflow: Overflow,
    subscribers: AtomicUsize,
    /// The last one has left: it takes nobody any more. Changed under the state's lock.
    is_closed: AtomicBool,
    deliveries: Count,
    state: Mutex<State>,
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
struct State {
    /// By their places. Places stay, so that a walk over them can be broken off and gone on with.
    places: Vec<Option<Subscriber>>,
    free: Vec<Place>,
    /// How many of the subscribers speak each codec.
    codecs: [usize; CODECS],
    /// Who they are, where that is told.
    members: Option<Box<Members>>,
    /// How many frames there have been.
    frames: u64,
    publications: u64,
    /// The offset of the newest publication.
    newest: u64,
    /// What is to be handed to the subscribers, the oldest first. Only the last one may be open.
    batches: VecDeque<Batch>,
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
    special: Option<Box<Special>>,
}

#[derive(Default)]
struct Special {
    /// Whether it is told who comes and goes.
    is_witness: bool,
    /// Where its next publication waits, if only the latest one counts.
    slot: Option<Arc<Slot>>,
    /// Where it has got to in the history.
    catching_up: Option<CatchingUp>,
    /// Whether it was not told of all who come and go, for there was no room.
    has_missed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CatchingUp {
    /// It reads the history, and gets nothing of what is published.
    Reading,
    /// It has read everything up to this offset, some of which may come yet.
    Behind(u64),
}

/// Frames for the same audience, in a row.
struct Batch {
    audience: Audience,
    /// How many frames there were before.
    first: u64,
    frames: u32,
    /// The offset of the first one, where they have offsets; those of the others follow.
    offset: u64,
    rows: Rows,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Audience {
    All,
    /// Those who are told who comes and goes.
    Witnesses,
}

enum Rows {
    Open([Row; CODECS]),
    Closed([Option<Arc<Segment>>; CODECS]),
}

/// Who subscribes.
#[derive(Clone, Copy)]
pub(crate) struct Entrant<'a> {
    pub(crate) peer: &'a Arc<Peer>,
    /// Whether it may see who comes and goes.
    pub(crate) is_witness: bool,
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

const CODECS: usize = 2;

/// So many subscribers are served at once by whoever publishes; for more a task is cheaper than what it saves.
const FEW: usize = 16;

/// How many subscribers are served before they, and others, have their turn. No more than a worker of the runtime keeps in its
/// own queue, and few enough that what was touched in serving them is still near when their tasks write.
const PIECE: usize = 128;

/// How many bytes may wait to be handed out; beyond, whoever publishes hands them out.
const BACKLOG_BYTES: usize = 1024 * 1024;

/// A row has no more bytes, unless a single frame has: so a queue that holds its last frame holds on to no more than that.
const ROW_BYTES: usize = 64 * 1024;

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
            state: Mutex::new(State { members, ..State::default() }),
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
        Entrant { peer, is_witness }: Entrant<'_>,
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
        let special = Special { is_witness, slot: self.slot(), catching_up, has_missed: false };
        let State { codecs, batches, .. } = &mut *state;
        if let Some(count) = codecs.get_mut(number(peer.codec)) {
            if *count == 0 {
                // The row that is open has nothing in this codec.
                close(batches);
            }
            *count = count.saturating_add(1);
        }
        if state.runtime.is_none() {
            state.runtime = Handle::try_current().ok();
        }
        let served = state.frames;
        let subscriber = Subscriber { peer: Arc::clone(peer), served, special: special.kept() };
        self.subscribers.fetch_add(1, Ordering::Relaxed);
        let place = state.put(subscriber);
        if is_news {
            self.tell(&mut state, Move { member: peer.shown(), place: Some(place) });
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
        self.serve(&mut state, place);
        let Some(subscriber) = state.places.get_mut(place.0 as usize).and_then(Option::take) else {
            return false;
        };
        let peer = &subscriber.peer;
        state.free.push(place);
        if let Some(count) = state.codecs.get_mut(number(peer.codec)) {
            *count = less(*count, 1);
        }
        let left = take(&self.subscribers, 1);
        peer.channels.fetch_sub(1, Ordering::Relaxed);
        if let Some(reply) = reply {
            peer.mailbox.answer(self.lane, reply);
        }
        if left == 0 {
            // Nobody is left who would be told.
            self.is_closed.store(true, Ordering::Release);
            *state = State::default();
            return true;
        }
        if let Some(mut members) = state.members.take() {
            let member = members.leave(&peer.user(), peer.shown());
            self.watch(&mut members);
            state.members = Some(members);
            if let Some(member) = member {
                self.tell(&mut state, Move { member, place: None });
            }
        }
        false
    }

    /// Puts an answer between the channel's frames in a session's queue.
    pub(crate) fn answer(&self, place: Place, reply: Option<Bytes>) {
        self.answer_and(place, reply, |_| ());
    }

    fn answer_and(&self, place: Place, reply: Option<Bytes>, change: impl FnOnce(&mut Special)) {
        let mut state = self.state.lock();
        self.serve(&mut state, place);
        let slot = self.slot();
        if let Some(subscriber) = state.subscriber(place) {
            // What comes now may not overtake the answer.
            subscriber.change(|special| {
                special.slot = slot;
                change(special);
            });
            if let Some(reply) = reply {
                subscriber.peer.mailbox.answer(self.lane, reply);
            }
        }
    }

    /// Puts the answer between them that says where the subscription begins. From there on the subscriber reads the history,
    /// or gets what is published.
    pub(crate) fn begin(&self, place: Place, reply: Option<Bytes>, reads_history: bool) {
        self.answer_and(place, reply, |special| {
            special.catching_up = reads_history.then_some(CatchingUp::Reading);
        });
    }

    /// The subscriber has read the history up to an offset: it gets what is published after that, if that is all that there
    /// is before. Otherwise there is more to read, unless `anyway`.
    pub(crate) fn catch_up(&self, place: Place, offset: u64, anyway: bool) -> bool {
        let mut state = self.state.lock();
        let is_there = offset >= state.newest || anyway;
        if is_there && let Some(subscriber) = state.subscriber(place) {
            subscriber.change(|special| special.catching_up = Some(CatchingUp::Behind(offset)));
        }
        is_there
    }

    /// Whether a session is told from now on who comes and goes.
    pub(crate) fn set_witness(&self, place: Place, is_witness: bool) {
        if let Some(subscriber) = self.state.lock().subscriber(place) {
            subscriber.change(|special| special.is_witness = is_witness);
        }
    }

    /// Publishes to every subscriber. `offset` is the publication's place in the history, 0 for none.
    pub(crate) fn publish(self: &Arc<Self>, offset: u64, frame: &mut SharedFrame) {
        let mut state = self.state.lock();
        state.publications = state.publications.saturating_add(1);
        state.newest = state.newest.max(offset);
        self.append(&mut state, Audience::All, offset, frame);
    }

    pub(crate) fn summary(&self) -> ChannelSummary {
        let publications = self.state.lock().publications;
        ChannelSummary { name: self.name.clone(), subscribers: self.len(), publications }
    }

    /// Whether a session is subscribed. Looks at all of them: for people, who ask seldom.
    pub(crate) fn has(&self, id: SessionId) -> bool {
        self.state.lock().subscribers().any(|subscriber| subscriber.peer.id == id)
    }

    /// Writes a frame into the row, and sees to it that it is handed out.
    fn append(self: &Arc<Self>, state: &mut State, audience: Audience, offset: u64, frame: &mut SharedFrame) {
        if self.len() == 0 {
            return;
        }
        let codecs = state.codecs;
        let first = state.frames;
        state.frames = first.saturating_add(1);
        if !state.batches.back().is_some_and(|batch| batch.takes(audience, offset)) {
            close(&mut state.batches);
            state.batches.push_back(Batch { audience, first, frames: 0, offset, rows: Rows::default() });
        }
        let mut come = 0_usize;
        if let Some(batch) = state.batches.back_mut() {
            let before = batch.bytes();
            batch.push(codecs, frame);
            come = batch.bytes().saturating_sub(before);
        }
        let is_first = state.batches.len() == 1 && state.cursor == 0;
        if self.len() <= FEW && is_first {
            self.hand_all_out(state);
            return;
        }
        if state.backlog() > BACKLOG_BYTES {
            // A publisher that is faster than the hand-out hands out as much as it adds.
            let first = state.batches.front().map_or(0, Batch::bytes);
            let share = come.saturating_mul(state.places.len()).checked_div(first).unwrap_or_default();
            self.hand_out(state, share.max(PIECE));
        }
        if !state.is_scheduled && !state.batches.is_empty() {
            match &state.runtime {
                Some(runtime) => {
                    runtime.spawn(hand_out_all(Arc::clone(self)));
                    state.is_scheduled = true;
                }
                None => self.hand_all_out(state),
            }
        }
    }

    /// Hands all that there is to all subscribers.
    fn hand_all_out(&self, state: &mut State) {
        while !state.batches.is_empty() {
            self.hand_out(state, usize::MAX);
        }
    }

    /// Hands the first batch to so many more subscribers.
    fn hand_out(&self, state: &mut State, most: usize) {
        let State { places, batches, cursor, .. } = state;
        let Some(batch) = batches.front_mut() else { return };
        batch.close();
        let mut deliveries = 0_usize;
        let rest = places.get_mut(*cursor..).unwrap_or_default();
        let piece = rest.len().min(most);
        for subscriber in rest.iter_mut().take(piece).flatten() {
            deliveries = deliveries.saturating_add(self.hand(batch, subscriber));
        }
        self.deliveries.add(deliveries as u64);
        *cursor = cursor.saturating_add(piece);
        if *cursor >= places.len() {
            *cursor = 0;
            batches.pop_front();
        }
    }

    /// Hands a batch to a subscriber, as far as it is for it. Says how many frames went into its queue.
    fn hand(&self, batch: &Batch, subscriber: &mut Subscriber) -> usize {
        let Subscriber { peer, served, special } = subscriber;
        let mut from = served.saturating_sub(batch.first);
        let special = special.as_deref_mut();
        if batch.audience == Audience::Witnesses {
            self.hand_moves(batch, from, peer, special);
            return 0;
        }
        let mut slot = None;
        if let Some(special) = special {
            slot = special.slot.as_ref();
            match special.catching_up {
                Some(CatchingUp::Reading) => return 0,
                Some(CatchingUp::Behind(offset)) if batch.offset > 0 => {
                    from = from.max(offset.saturating_add(1).saturating_sub(batch.offset));
                    if from < batch.frames.into() {
                        special.catching_up = None;
                    }
                }
                _ => {}
            }
        }
        let Ok(from) = u32::try_from(from) else { return 0 };
        let Some(run) = batch.segment(peer.codec).and_then(|segment| Run::behind(segment, from)) else {
            return 0;
        };
        let frames = run.frames();
        let untold = (batch.offset == 0).then_some(&self.name);
        let is_queued = match (slot, self.overflow) {
            (Some(slot), _) => return peer.mailbox.push_latest(self.lane, slot, run.last(), untold).into(),
            (None, Overflow::DropOldest) => peer.mailbox.push_droppable(self.lane, run, untold),
            (None, _) => {
                peer.mailbox.push_run(self.lane, run);
                true
            }
        };
        if is_queued { frames } else { 0 }
    }

    /// Hands a subscriber all that is there for it, before the others' turn.
    fn serve(&self, state: &mut State, place: Place) {
        let frames = state.frames;
        let is_behind = place.0 as usize >= state.cursor;
        let State { places, batches, .. } = state;
        let Some(Some(subscriber)) = places.get_mut(place.0 as usize) else { return };
        let mut deliveries = 0_usize;
        for (index, batch) in batches.iter_mut().enumerate() {
            if index > 0 || is_behind {
                batch.close();
                deliveries = deliveries.saturating_add(self.hand(batch, subscriber));
            }
        }
        subscriber.served = frames;
        self.deliveries.add(deliveries as u64);
    }

    fn slot(&self) -> Option<Arc<Slot>> {
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

/// Hands out what is published, piece by piece, until there is nothing more.
///
/// It goes behind all other tasks after each piece, and at first: so those who were served have written before the next row
/// begins, in which everything goes that is published meanwhile.
async fn hand_out_all(channel: Arc<Channel>) {
    loop {
        go_behind_others().await;
        let mut state = channel.state.lock();
        channel.hand_out(&mut state, PIECE);
        if state.batches.is_empty() {
            state.is_scheduled = false;
            return;
        }
    }
}

/// Lets those tasks run that are woken already. What [`yield_now`](tokio::task::yield_now) lets run is what comes from the
/// system; then its task is the first of all.
async fn go_behind_others() {
    let mut has_gone = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut has_gone, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl State {
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

    /// How many bytes wait to be handed out.
    fn backlog(&self) -> usize {
        self.batches.iter().map(Batch::bytes).fold(0, usize::saturating_add)
    }
}

fn close(batches: &mut VecDeque<Batch>) {
    if let Some(batch) = batches.back_mut() {
        batch.close();
    }
}

impl Batch {
    /// Whether another frame can go into its row.
    fn takes(&self, audience: Audience, offset: u64) -> bool {
        let follows = match self.offset {
            0 => offset == 0,
            first => first.saturating_add(self.frames.into()) == offset,
        };
        matches!(self.rows, Rows::Open(_)) && self.audience == audience && follows && self.bytes() < ROW_BYTES
    }

    fn push(&mut self, codecs: [usize; CODECS], frame: &mut SharedFrame) {
        self.frames = self.frames.saturating_add(1);
        let Rows::Open(rows) = &mut self.rows else { return };
        for ((row, count), codec) in rows.iter_mut().zip(codecs).zip([Codec::Protobuf, Codec::Json]) {
            if count > 0 {
                row.push(frame.bytes(codec));
            }
        }
    }

    fn bytes(&self) -> usize {
        match &self.rows {
            Rows::Open(rows) => rows.iter().map(Row::bytes).fold(0, usize::max),
            Rows::Closed(segments) => {
                segments.iter().flatten().map(|segment| segment.bytes()).fold(0, usize::max)
            }
        }
    }

    fn close(&mut self) {
        if let Rows::Open(rows) = &mut self.rows {
            let segments = std::mem::take(rows).map(|row| (row.bytes() > 0).then(|| row.finish()));
            self.rows = Rows::Closed(segments);
        }
    }

    fn segment(&self, codec: Codec) -> Option<&Arc<Segment>> {
        match &self.rows {
            Rows::Open(_) => None,
            Rows::Closed(segments) => segments.get(number(codec))?.as_ref(),
        }
    }
}

impl Default for Rows {
    fn default() -> Self {
        Self::Open(Default::default())
    }
}

fn number(codec: Codec) -> usize {
    match codec {
        Codec::Json => 1,
        _ => 0,
    }
}

impl Special {
    /// In a box where there is something special; most subscribers have nothing.
    fn kept(self) -> Option<Box<Self>> {
        let is_special =
            self.is_witness || self.has_missed || self.slot.is_some() || self.catching_up.is_some();
        is_special.then(|| Box::new(self))
    }
}

impl Subscriber {
    /// Changes what is special of it, and keeps no memory for what is not.
    fn change(&mut self, change: impl FnOnce(&mut Special)) {
        let mut special = self.special.take().map_or_else(Special::default, |special| *special);
        change(&mut special);
        self.special = special.kept();
    }
}
