//! A session's outbound queue: where publishers leave what the session's task writes.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use parking_lot::Mutex;
use wirehub_common::code::CloseCode;
use wirehub_common::frame::ErrorInfo;
use wirehub_common::{ChannelName, Limits};

/// The outbound queue of one session. It holds encoded frames, shared with the queues of others.
///
/// It is bounded in bytes. Where a publication would go over the bound, those that may be dropped are, the oldest first;
/// if that makes no room the queue is dropped, and the session ends with [`CloseCode::SLOW_CONSUMER`]. A frame that finds
/// the queue empty goes in whatever its size.
/// Answers to the session's own commands are never refused: their number is bounded by the session, which takes no
/// more commands while the queue [is congested](Self::is_congested).
pub(crate) struct Outbox {
    limit: usize,
    /// Whether there are orders. They are rare, and the session looks often.
    is_ordered: AtomicBool,
    state: Mutex<State>,
}

/// What the application or an operator wants of a session.
#[derive(Debug)]
pub(crate) enum Order {
    Subscribe(ChannelName),
    /// To end a subscription, and why.
    Unsubscribe(ChannelName, ErrorInfo),
}

/// Room for one publication of a channel whose latest one is all that counts.
pub(crate) type Slot = Mutex<Option<Bytes>>;

/// What waits in a lane.
enum Entry {
    Frame(Bytes),
    /// Makes room where there is none.
    Droppable(Bytes),
    /// What is in the slot when its turn comes.
    Latest(Arc<Slot>),
}

/// Which frames go first. Order is kept within a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Answers.
    Control,
    /// Publications that must not wait, as alarms.
    Urgent,
    /// All other publications.
    Normal,
}

/// That the session has to end, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) code: CloseCode,
    pub(crate) reason: Cow<'static, str>,
    /// Whether a `disconnect` push goes before the close, and the milliseconds after which to come back that it
    /// carries.
    pub(crate) farewell: Option<Option<u32>>,
}

#[derive(Default)]
struct State {
    control: VecDeque<Entry>,
    /// There are seldom any.
    #[allow(clippy::box_collection, reason = "a pointer takes less room in all those that have none")]
    urgent: Option<Box<VecDeque<Entry>>>,
    normal: VecDeque<Entry>,
    bytes: usize,
    /// How many of the bytes may be dropped.
    droppable: usize,
    #[allow(
        clippy::box_collection,
        reason = "most sessions never get one: eight bytes of each instead of 24"
    )]
    orders: Option<Box<Vec<Order>>>,
    ending: Option<Box<Ending>>,
    /// The session's task; taken by the first that wakes it.
    waker: Option<Waker>,
    /// Whether the task wants to know of new frames, or is busy writing and wants to know of its end only.
    waits_for_frames: bool,
}

impl Outbox {
    /// A queue for at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, is_ordered: AtomicBool::new(false), state: Mutex::default() }
    }

    /// How many bytes may wait.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Queues a publication, or ends the session as a slow consumer.
    pub(crate) fn push(&self, lane: Lane, frame: Bytes) {
        self.with_state(|state| {
            if state.make_room(cost(&frame), self.limit) {
                state.push(lane, Entry::Frame(frame));
            } else {
                state.end(Ending::from(CloseCode::SLOW_CONSUMER));
                state.clear();
            }
        });
    }

    /// Queues a publication that may be dropped, or drops it where others have taken all the room. Says how it went.
    pub(crate) fn push_droppable(&self, lane: Lane, frame: Bytes) -> bool {
        let mut is_queued = false;
        self.with_state(|state| {
            is_queued = state.make_room(cost(&frame), self.limit);
            if is_queued {
                state.push(lane, Entry::Droppable(frame));
            }
        });
        is_queued
    }

    /// Puts a publication into its channel's slot. Where one waits there it takes that one's place, and its turn; then
    /// this is `false`.
    pub(crate) fn push_latest(&self, lane: Lane, slot: &Arc<Slot>, frame: Bytes) -> bool {
        let mut is_first = false;
        self.with_state(|state| {
            let mut waiting = slot.lock();
            is_first = waiting.is_none();
            if let Some(old) = waiting.as_mut() {
                state.bytes = state.bytes.saturating_sub(old.len()).saturating_add(frame.len());
                *old = frame;
            } else if state.make_room(cost(&frame), self.limit) {
                *waiting = Some(frame);
                drop(waiting);
                state.push(lane, Entry::Latest(Arc::clone(slot)));
            }
        });
        is_first
    }

    /// Queues an answer to the session's own command.
    pub(crate) fn answer(&self, lane: Lane, frame: Bytes) {
        self.with_state(|state| state.push(lane, Entry::Frame(frame)));
    }

    /// Wants something of the session. One that does not come to its orders ends as a slow consumer.
    pub(crate) fn order(&self, order: Order) {
        let waker = {
            let mut state = self.state.lock();
            let orders = state.orders.get_or_insert_default();
            if orders.len() < MAX_ORDERS {
                orders.push(order);
                self.is_ordered.store(true, Ordering::Release);
            } else {
                state.end(Ending::from(CloseCode::SLOW_CONSUMER));
            }
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// What has been wanted of the session since it asked last, in order.
    pub(crate) fn take_orders(&self) -> Option<Vec<Order>> {
        if !self.is_ordered.load(Ordering::Acquire) {
            return None;
        }
        let mut state = self.state.lock();
        self.is_ordered.store(false, Ordering::Release);
        state.orders.take().map(|orders| *orders)
    }

    /// Tells the session to end; the first one to say so decides how.
    pub(crate) fn end(&self, ending: Ending) {
        self.with_state(|state| state.end(ending));
    }

    /// How many bytes wait.
    #[cfg(feature = "api")]
    pub(crate) fn bytes(&self) -> usize {
        self.state.lock().bytes
    }

    /// Whether so much waits that the session should not take on more work.
    pub(crate) fn is_congested(&self) -> bool {
        self.state.lock().bytes > self.limit / 2
    }

    /// Whether there is enough for a batch.
    pub(crate) fn has_batch(&self) -> bool {
        self.state.lock().bytes >= Limits::BATCH_BYTES
    }

    /// Hands the next batch over, or the ending; else the task is woken when there is something.
    pub(crate) fn poll_batch(
        &self,
        cx: &mut Context<'_>,
        take: &mut dyn FnMut(Bytes),
    ) -> Poll<Result<(), Ending>> {
        let mut state = self.state.lock();
        if let Some(ending) = &state.ending {
            return Poll::Ready(Err((**ending).clone()));
        }
        if state.take_batch(take) {
            return Poll::Ready(Ok(()));
        }
        state.wait(cx, true);
        Poll::Pending
    }

    /// The ending; else the task is woken when there is one.
    pub(crate) fn poll_ending(&self, cx: &mut Context<'_>) -> Poll<Ending> {
        let mut state = self.state.lock();
        if let Some(ending) = &state.ending {
            return Poll::Ready((**ending).clone());
        }
        state.wait(cx, false);
        Poll::Pending
    }

    /// Hands the next batch over, of what is left after the ending was told. Says whether there was one.
    pub(crate) fn take_batch(&self, take: &mut dyn FnMut(Bytes)) -> bool {
        self.state.lock().take_batch(take)
    }

    /// Changes the state, and wakes the task where that concerns it.
    fn with_state(&self, change: impl FnOnce(&mut State)) {
        let waker = {
            let mut state = self.state.lock();
            change(&mut state);
            let concerned = state.waits_for_frames || state.ending.is_some();
            if concerned { state.waker.take() } else { None }
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl State {
    fn push(&mut self, lane: Lane, entry: Entry) {
        if self.ending.is_some() {
            return;
        }
        let cost = entry.cost();
        self.bytes = self.bytes.saturating_add(cost);
        if matches!(entry, Entry::Droppable(_)) {
            self.droppable = self.droppable.saturating_add(cost);
        }
        match lane {
            Lane::Control => self.control.push_back(entry),
            Lane::Urgent => self.urgent.get_or_insert_default().push_back(entry),
            Lane::Normal => self.normal.push_back(entry),
        }
    }

    /// Whether so many bytes more are within the bound, perhaps after what may be dropped has been.
    fn make_room(&mut self, bytes: usize, limit: usize) -> bool {
        let fits = |state: &Self| state.bytes == 0 || state.bytes.saturating_add(bytes) <= limit;
        if fits(self) {
            return true;
        }
        if self.droppable > 0 {
            // A quarter at once: who is too slow for one is too slow for the next, and this looks at all that waits.
            self.drop_oldest(bytes.saturating_add(limit / 4));
        }
        fits(self)
    }

    /// Drops so many bytes of what may be dropped, or all of it.
    fn drop_oldest(&mut self, bytes: usize) {
        let mut dropped = 0_usize;
        for lane in [Some(&mut self.normal), self.urgent.as_deref_mut()].into_iter().flatten() {
            lane.retain(|entry| {
                let stays = dropped >= bytes || !matches!(entry, Entry::Droppable(_));
                if !stays {
                    dropped = dropped.saturating_add(entry.cost());
                }
                stays
            });
        }
        self.droppable = self.droppable.saturating_sub(dropped);
        self.bytes = self.bytes.saturating_sub(dropped);
    }

    fn end(&mut self, ending: Ending) {
        self.ending.get_or_insert_with(|| Box::new(ending));
    }

    fn clear(&mut self) {
        self.control = VecDeque::new();
        self.urgent = None;
        self.normal = VecDeque::new();
        self.bytes = 0;
        self.droppable = 0;
    }

    fn take_batch(&mut self, take: &mut dyn FnMut(Bytes)) -> bool {
        let mut taken = 0_usize;
        for lane in [Some(&mut self.control), self.urgent.as_deref_mut(), Some(&mut self.normal)]
            .into_iter()
            .flatten()
        {
            while let Some(entry) = lane.front() {
                let cost = entry.cost();
                let with_it = taken.saturating_add(cost.saturating_sub(ENTRY_BYTES));
                if taken > 0 && with_it > Limits::BATCH_BYTES {
                    return true;
                }
                taken = with_it;
                self.bytes = self.bytes.saturating_sub(cost);
                if matches!(entry, Entry::Droppable(_)) {
                    self.droppable = self.droppable.saturating_sub(cost);
                }
                lane.pop_front().and_then(Entry::into_frame).into_iter().for_each(&mut *take);
            }
            // Idle connections, of which there are many, keep no room.
            *lane = VecDeque::new();
        }
        self.urgent = None;
        taken > 0
    }

    fn wait(&mut self, cx: &Context<'_>, for_frames: bool) {
        self.waits_for_frames = for_frames;
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }
}

impl Entry {
    fn cost(&self) -> usize {
        match self {
            Self::Frame(frame) | Self::Droppable(frame) => cost(frame),
            Self::Latest(slot) => slot.lock().as_ref().map_or(ENTRY_BYTES, cost),
        }
    }

    fn into_frame(self) -> Option<Bytes> {
        match self {
            Self::Frame(frame) | Self::Droppable(frame) => Some(frame),
            Self::Latest(slot) => slot.lock().take(),
        }
    }
}

impl From<CloseCode> for Ending {
    fn from(code: CloseCode) -> Self {
        Self { code, reason: code.message().into(), farewell: None }
    }
}

/// What a frame counts for: also many empty ones must not be free.
fn cost(frame: &Bytes) -> usize {
    frame.len().saturating_add(ENTRY_BYTES)
}

/// What waiting takes beside the frame itself.
const ENTRY_BYTES: usize = size_of::<Entry>();

/// How many orders may wait for a session.
const MAX_ORDERS: usize = 1024;

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn frame(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    fn taken(outbox: &Outbox) -> Vec<Bytes> {
        let mut frames = Vec::new();
        outbox.take_batch(&mut |frame| frames.push(frame));
        frames
    }

    #[test]
    fn lanes_go_by_rank_and_keep_their_order() {
        let outbox = Outbox::new(1000);
        outbox.push(Lane::Normal, frame("n1"));
        outbox.push(Lane::Urgent, frame("u1"));
        outbox.push(Lane::Normal, frame("n2"));
        outbox.answer(Lane::Control, frame("c1"));
        outbox.push(Lane::Urgent, frame("u2"));
        assert_eq!(taken(&outbox), ["c1", "u1", "u2", "n1", "n2"]);
        assert!(taken(&outbox).is_empty());
    }

    #[test]
    fn a_batch_ends_before_it_would_be_too_large_but_has_one_frame_at_least() {
        let outbox = Outbox::new(1 << 30);
        let half = Bytes::from(vec![0; Limits::BATCH_BYTES / 2]);
        let whole = Bytes::from(vec![0; Limits::BATCH_BYTES + 1]);
        for frame in [&half, &half, &half, &whole] {
            outbox.push(Lane::Normal, frame.clone());
        }
        let lengths = || taken(&outbox).iter().map(Bytes::len).collect::<Vec<_>>();
        assert_eq!(lengths(), [half.len(), half.len()]);
        assert_eq!(lengths(), [half.len()]);
        assert_eq!(lengths(), [whole.len()]);
        assert_eq!(outbox.state.lock().bytes, 0);
    }

    #[test]
    fn publications_over_the_bound_end_the_session_and_free_the_queue() {
        let outbox = Outbox::new(200);
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..3 {
            outbox.push(Lane::Normal, frame("0123456789"));
        }
        assert!(outbox.poll_ending(&mut cx).is_pending());
        outbox.push(Lane::Normal, Bytes::from(vec![0; 200]));
        let Poll::Ready(ending) = outbox.poll_ending(&mut cx) else { panic!("no ending") };
        assert_eq!(ending.code, CloseCode::SLOW_CONSUMER);
        outbox.push(Lane::Normal, frame("late"));
        assert!(taken(&outbox).is_empty());
    }

    #[test]
    fn what_may_be_dropped_makes_room_the_oldest_first() {
        let outbox = Outbox::new(10 * cost(&frame("0")));
        outbox.push(Lane::Normal, frame("k"));
        for text in ["0", "1", "2", "3", "4", "5", "6", "7", "8"] {
            assert!(outbox.push_droppable(Lane::Normal, frame(text)));
        }
        outbox.push(Lane::Normal, frame("l"));
        assert_eq!(
            taken(&outbox),
            ["k", "4", "5", "6", "7", "8", "l"],
            "a quarter, and room for the new one"
        );
        let state = outbox.state.lock();
        assert_eq!((state.bytes, state.droppable), (0, 0));
    }

    #[test]
    fn what_may_be_dropped_is_where_others_have_taken_the_room() {
        let outbox = Outbox::new(4 * cost(&frame("0")));
        for text in ["a", "b", "c", "d"] {
            outbox.push(Lane::Normal, frame(text));
        }
        assert!(!outbox.push_droppable(Lane::Normal, frame("e")));
        assert!(outbox.poll_ending(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(taken(&outbox), ["a", "b", "c", "d"]);
    }

    #[test]
    fn the_latest_takes_the_turn_of_the_one_before() {
        let outbox = Outbox::new(1000);
        let slot = Arc::new(Slot::default());
        assert!(outbox.push_latest(Lane::Normal, &slot, frame("1")));
        outbox.push(Lane::Normal, frame("other"));
        assert!(!outbox.push_latest(Lane::Normal, &slot, frame("two")));
        assert_eq!(taken(&outbox), ["two", "other"]);
        assert_eq!(outbox.state.lock().bytes, 0);
        assert!(outbox.push_latest(Lane::Normal, &slot, frame("3")));
        assert_eq!(taken(&outbox), ["3"]);
    }

    #[test]
    fn orders_wake_the_task_and_are_bounded() {
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(wakes.clone());
        let mut cx = Context::from_waker(&waker);
        let outbox = Outbox::new(1000);
        assert!(outbox.take_orders().is_none());
        assert!(outbox.poll_ending(&mut cx).is_pending());
        let channel = ChannelName::new("a").unwrap();
        outbox.order(Order::Subscribe(channel.clone()));
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1, "also a task that is busy writing");
        assert_eq!(outbox.take_orders().unwrap().len(), 1);
        assert!(outbox.take_orders().is_none());
        for _ in 0..=MAX_ORDERS {
            outbox.order(Order::Subscribe(channel.clone()));
        }
        let ending = outbox.poll_ending(&mut cx).map(|ending| ending.code);
        assert_eq!(ending, Poll::Ready(CloseCode::SLOW_CONSUMER));
    }

    #[test]
    fn a_frame_larger_than_the_bound_goes_into_an_empty_queue() {
        let outbox = Outbox::new(10);
        outbox.push(Lane::Normal, frame("longer than ten bytes"));
        assert_eq!(taken(&outbox).len(), 1);
    }

    #[test]
    fn answers_are_not_refused_and_make_the_queue_congested() {
        let outbox = Outbox::new(100);
        assert!(!outbox.is_congested());
        for _ in 0..10 {
            outbox.answer(Lane::Control, frame("0123456789"));
        }
        assert!(outbox.is_congested());
        assert_eq!(taken(&outbox).len(), 10);
        assert!(!outbox.is_congested());
    }

    #[test]
    fn the_task_is_woken_once_and_for_what_it_waits_for() {
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(wakes.clone());
        let mut cx = Context::from_waker(&waker);
        let count = || wakes.0.load(Ordering::Relaxed);
        let outbox = Outbox::new(1000);

        assert!(outbox.poll_batch(&mut cx, &mut |_| ()).is_pending());
        outbox.push(Lane::Normal, frame("a"));
        outbox.push(Lane::Normal, frame("b"));
        assert_eq!(count(), 1);

        assert!(outbox.poll_ending(&mut cx).is_pending());
        outbox.push(Lane::Normal, frame("c"));
        assert_eq!(count(), 1, "a task that is busy writing is left alone");
        outbox.end(CloseCode::SHUTDOWN.into());
        assert_eq!(count(), 2);
    }

    #[test]
    fn the_first_ending_counts() {
        let outbox = Outbox::new(1000);
        let mut cx = Context::from_waker(Waker::noop());
        outbox.end(CloseCode::SHUTDOWN.into());
        outbox.end(CloseCode::DISCONNECTED.into());
        assert_eq!(outbox.poll_ending(&mut cx).map(|ending| ending.code), Poll::Ready(CloseCode::SHUTDOWN));
    }
}
