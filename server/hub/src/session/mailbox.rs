//! A session's mailbox: its queue, orders and ending, behind one lock and one waker.

use std::borrow::Cow;
use std::task::{Context, Waker};

use bytes::Bytes;
use parking_lot::Mutex;
use wirehub_common::code::CloseCode;
use wirehub_common::frame::ErrorInfo;
use wirehub_common::{ChannelName, Codec};

use super::queue::{Dropped, Lane, LatestSlot, Queue};
use crate::engine::Located;
use crate::hub::segment::Run;

mod slow_consumer;

/// The work of a session: the frames that wait for its client, orders, and its ending.
///
/// The session's task registers itself by [`begin_turn`](Self::begin_turn) before it looks at the content. So everything that
/// comes later wakes it, at any time. The only exception are frames, as long as the task has not found the queue empty: it will
/// look for them by itself.
///
/// All other sources (socket, timer, answers) [wake](Self::wake_for_everything) the task through the mailbox as well. So the
/// task knows if there are only frames, which is the usual case when much is published.
pub(crate) struct Mailbox {
    limit: usize,
    state: Mutex<MailboxState>,
}

/// An order of the application or of an operator to a session.
#[derive(Debug)]
pub(crate) enum Order {
    Subscribe(ChannelName),
    /// Ends a subscription with this error.
    Unsubscribe(ChannelName, ErrorInfo),
    /// Continues a subscription at another position. The publications in between are lost, unless the position is complete.
    Relocate {
        channel: ChannelName,
        located: Located,
    },
    /// Notifies the client that publications of a channel without history may be missing.
    ReportGap(ChannelName),
}

/// The request that a session ends, and the way in which it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) code: CloseCode,
    pub(crate) reason: Cow<'static, str>,
    /// If present, a `disconnect` push goes before the close. It may contain the milliseconds after which the client should
    /// come back.
    pub(crate) disconnect_push: Option<Option<u32>>,
    /// `true` if calls in flight end first.
    pub(crate) lets_calls_end: bool,
}

/// The reason for a turn.
pub(crate) enum TurnReason {
    /// Only frames wait for the client.
    Frames,
    /// The session has to check everything, and this mail first.
    Everything(Option<Mail>),
}

/// The result of taking a message out of a session's queue.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TakenBatch {
    /// No message yet: publications of these channels were dropped before the waiting ones. The channels have no offsets, so
    /// the client has to be notified first.
    Gaps(Vec<ChannelName>),
    /// The queue was empty. New frames wake the task.
    Empty,
    /// A message; more frames wait.
    More,
    /// The last message. New frames wake the task.
    Last,
}

/// The mail to a session.
#[derive(Default)]
pub(crate) struct Mail {
    /// In the order of their arrival.
    pub(crate) orders: Vec<Order>,
    pub(crate) ending: Option<Ending>,
    /// `true` if the connection has to go at once, with everything in the queue.
    pub(crate) is_aborted: bool,
}

#[derive(Default)]
struct MailboxState {
    queue: Queue,
    /// Content that most sessions never have.
    rare: Option<Box<RareContent>>,
    /// The session's task; taken by the first event that wakes it.
    waker: Option<Waker>,
}

#[derive(Default)]
struct RareContent {
    orders: Vec<Order>,
    dropped: Dropped,
    ending: Option<Ending>,
    is_aborted: bool,
}

impl Mailbox {
    /// A mailbox whose queue holds at most `limit` bytes of frames.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, state: Mutex::default() }
    }

    /// The maximum number of waiting bytes.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Registers the task, and returns its mail.
    pub(crate) fn begin_turn(&self, cx: &Context<'_>) -> TurnReason {
        let mut state = self.state.lock();
        state.queue.is_awaited = false;
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        let has_only_frames = std::mem::replace(&mut state.queue.has_only_frames, true);
        let mail = state.take_mail();
        if has_only_frames && mail.is_none() { TurnReason::Frames } else { TurnReason::Everything(mail) }
    }

    /// Wakes the task for a check of everything.
    pub(crate) fn wake_for_everything(&self) {
        let waker = {
            let mut state = self.state.lock();
            state.queue.has_only_frames = false;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Passes the pieces of the next WebSocket message to `take`, at most `room` bytes. All frames of the mailbox have this
    /// codec.
    pub(crate) fn take_batch(&self, codec: Codec, room: usize, take: &mut dyn FnMut(Bytes)) -> TakenBatch {
        let mut state = self.state.lock();
        if let Some(channels) = state.take_dropped() {
            return TakenBatch::Gaps(channels);
        }
        let has_taken = state.queue.take_batch(codec, room, take);
        if !state.queue.is_empty() {
            return TakenBatch::More;
        }
        state.queue.is_awaited = true;
        if has_taken { TakenBatch::Last } else { TakenBatch::Empty }
    }

    /// Queues optional frames if there is plenty of room. Returns `true` if they were queued.
    pub(crate) fn push_if_room(&self, lane: Lane, run: Run) -> bool {
        self.change(|state, limit| {
            let mut dropped = Dropped::default();
            let fits = state.queue.undroppable_bytes() <= limit / 4
                && (state.is_slow_consumer() || state.queue.push_run(lane, run, limit, &mut dropped));
            state.note_dropped(dropped);
            fits
        })
    }

    /// Queues droppable publications: see [`Queue::push_droppable`].
    pub(crate) fn push_droppable(&self, lane: Lane, run: Run, channel: Option<&ChannelName>) -> bool {
        self.change(|state, limit| {
            let mut dropped = Dropped::default();
            let is_queued = !state.is_slow_consumer()
                && state.queue.push_droppable(lane, run, channel, limit, &mut dropped);
            state.note_dropped(dropped);
            is_queued
        })
    }

    /// Puts a publication into its channel's slot: see [`Queue::push_latest`].
    pub(crate) fn push_latest(
        &self,
        lane: Lane,
        slot: &std::sync::Arc<LatestSlot>,
        run: Run,
        channel: Option<&ChannelName>,
    ) -> bool {
        self.change(|state, limit| {
            let mut dropped = Dropped::default();
            let is_queued = !state.is_slow_consumer()
                && state.queue.push_latest(lane, slot, run, channel, limit, &mut dropped);
            state.note_dropped(dropped);
            is_queued
        })
    }

    /// Queues an answer to the session's own command, or another frame of the session itself.
    pub(crate) fn answer(&self, lane: Lane, frame: Bytes) {
        self.change(|state, _| state.queue.answer(lane, frame));
    }

    /// Queues the answer that goes before everything else.
    pub(crate) fn answer_first(&self, frame: Bytes) {
        self.change(|state, _| state.queue.answer_first(frame));
    }

    /// Queues the report of a gap: see [`Queue::report_gap`].
    pub(crate) fn report_gap(&self, lane: Lane, channel: &ChannelName, frame: Bytes) {
        self.change(|state, _| state.queue.report_gap(lane, channel, frame));
    }

    /// Queues publications that the session has read for its client.
    pub(crate) fn answer_run(&self, lane: Lane, run: Run) {
        self.change(|state, _| state.queue.answer_run(lane, run));
    }

    /// Sends an order to the session. A session that does not process its orders in time ends as a slow consumer.
    pub(crate) fn order(&self, order: Order) {
        let waker = {
            let mut state = self.state.lock();
            let rare = state.rare.get_or_insert_default();
            if rare.orders.len() < MAX_ORDERS {
                rare.orders.push(order);
            } else {
                state.disconnect_slow_consumer();
            }
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Ends the session. The first ending counts, unless it lets calls end and this one does not.
    pub(crate) fn end(&self, ending: Ending) {
        let waker = {
            let mut state = self.state.lock();
            state.end(ending);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Ends the session without its ending: see [`Mail::is_aborted`].
    pub(crate) fn abort(&self) {
        let waker = {
            let mut state = self.state.lock();
            state.rare.get_or_insert_default().is_aborted = true;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The number of waiting bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.state.lock().queue.bytes()
    }

    /// `true` if too many answers wait: then the session takes no more commands.
    ///
    /// Publications do not count, because they have a bound of their own. So commands are carried out even under a flood of
    /// publications, such as the command that ends the flood. A single large answer does not count either: the commands behind
    /// it need not wait for its end.
    pub(crate) fn is_congested(&self) -> bool {
        let state = self.state.lock();
        state.queue.small_answers() > self.limit / 2 || state.queue.bulk_answers() >= MOST_BULK
    }

    /// The bytes of waiting answers: without the large answers that others may overtake, and with them.
    pub(crate) fn answers(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.queue.small_answers(), state.queue.all_answers())
    }

    /// Changes the state, and wakes the task if it waits for frames.
    fn change<T>(&self, change: impl FnOnce(&mut MailboxState, usize) -> T) -> T {
        let (waker, result) = {
            let mut state = self.state.lock();
            let result = change(&mut state, self.limit);
            let concerned = state.queue.is_awaited || state.is_ending();
            (if concerned { state.waker.take() } else { None }, result)
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        result
    }
}

impl MailboxState {
    fn take_mail(&mut self) -> Option<Mail> {
        let rare = self.rare.as_deref_mut().filter(|rare| rare.has_mail())?;
        let (orders, ending) = (std::mem::take(&mut rare.orders), rare.ending.clone());
        let is_aborted = rare.is_aborted;
        self.drop_empty_rare_content();
        Some(Mail { orders, ending, is_aborted })
    }

    fn take_dropped(&mut self) -> Option<Vec<ChannelName>> {
        let rare = self.rare.as_deref_mut().filter(|rare| !rare.dropped.is_empty())?;
        let dropped = std::mem::take(&mut rare.dropped);
        self.drop_empty_rare_content();
        Some(dropped.into_channels())
    }

    fn drop_empty_rare_content(&mut self) {
        if self.rare.as_deref().is_some_and(|rare| !rare.has_mail() && rare.dropped.is_empty()) {
            self.rare = None;
        }
    }

    fn is_ending(&self) -> bool {
        self.rare.as_ref().and_then(|rare| rare.ending.as_ref()).is_some_and(|ending| !ending.lets_calls_end)
    }

    fn end(&mut self, ending: Ending) {
        let current = &mut self.rare.get_or_insert_default().ending;
        if current.as_ref().is_none_or(|current| current.lets_calls_end && !ending.lets_calls_end) {
            *current = Some(ending);
        }
    }

    fn note_dropped(&mut self, dropped: Dropped) {
        if !dropped.is_empty() {
            self.rare.get_or_insert_default().dropped.add(dropped);
        }
    }
}

impl RareContent {
    fn has_mail(&self) -> bool {
        !self.orders.is_empty() || self.ending.is_some() || self.is_aborted
    }
}

impl From<CloseCode> for Ending {
    fn from(code: CloseCode) -> Self {
        Self { code, reason: code.message().into(), disconnect_push: None, lets_calls_end: false }
    }
}

/// The maximum number of large answers that wait for a session.
const MOST_BULK: usize = 2;

/// The maximum number of orders that wait for a session.
const MAX_ORDERS: usize = 1024;

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn mailbox(limit: usize) -> (Mailbox, Arc<Wakes>, Waker) {
        let wakes = Arc::new(Wakes::default());
        (Mailbox::new(limit), Arc::clone(&wakes), Waker::from(wakes))
    }

    fn frame(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    fn take_mail(mailbox: &Mailbox, waker: &Waker) -> Option<Mail> {
        match mailbox.begin_turn(&Context::from_waker(waker)) {
            TurnReason::Frames => None,
            TurnReason::Everything(mail) => mail,
        }
    }

    fn take(mailbox: &Mailbox, room: usize) -> (TakenBatch, Vec<Bytes>) {
        let mut pieces = Vec::new();
        (mailbox.take_batch(Codec::Protobuf, room, &mut |piece| pieces.push(piece)), pieces)
    }

    fn ending(mailbox: &Mailbox) -> Option<CloseCode> {
        let mail = take_mail(mailbox, Waker::noop());
        mail.and_then(|mail| mail.ending).map(|ending| ending.code)
    }

    #[test]
    fn a_task_that_found_nothing_is_woken_once() {
        let (mailbox, wakes, waker) = mailbox(1000);
        let count = || wakes.0.load(Ordering::Relaxed);
        assert!(take_mail(&mailbox, &waker).is_none());
        mailbox.push(Lane::Normal, frame("a"));
        mailbox.push(Lane::Normal, frame("a"));
        assert_eq!(count(), 0, "it has not looked for frames yet");
        assert_eq!(take(&mailbox, 1), (TakenBatch::More, vec![frame("a")]));
        mailbox.push(Lane::Normal, frame("a"));
        assert_eq!(count(), 0, "it has not found the end yet");
        assert_eq!(take(&mailbox, 1000), (TakenBatch::Last, vec![frame("a"), frame("a")]));
        assert_eq!(take(&mailbox, 1000), (TakenBatch::Empty, vec![]));
        mailbox.push(Lane::Normal, frame("b"));
        mailbox.push(Lane::Normal, frame("c"));
        assert_eq!(count(), 1);
    }

    #[test]
    fn a_task_knows_if_it_was_woken_only_for_frames() {
        let (mailbox, wakes, waker) = mailbox(1000);
        let turn_reason = || mailbox.begin_turn(&Context::from_waker(&waker));
        assert!(matches!(turn_reason(), TurnReason::Everything(None)), "at first it looks at everything");
        for round in 0..2 {
            take(&mailbox, 1000);
            mailbox.push(Lane::Normal, frame("a"));
            assert_eq!(wakes.0.load(Ordering::Relaxed), round * 2 + 1);
            assert!(matches!(turn_reason(), TurnReason::Frames));
            take(&mailbox, 1000);
            mailbox.push(Lane::Normal, frame("a"));
            assert_eq!(wakes.0.load(Ordering::Relaxed), round * 2 + 2);
            mailbox.wake_for_everything();
            assert!(matches!(turn_reason(), TurnReason::Everything(None)), "though the frame woke it before");
        }
        mailbox.wake_for_everything();
        assert_eq!(wakes.0.load(Ordering::Relaxed), 5, "a call wakes it in the middle of a turn");
        mailbox.order(Order::Subscribe(ChannelName::new("a").unwrap()));
        assert!(matches!(turn_reason(), TurnReason::Everything(Some(_))));
    }

    #[test]
    fn orders_wake_the_task_at_any_time_and_are_bounded() {
        let (mailbox, wakes, waker) = mailbox(1000);
        let channel = ChannelName::new("a").unwrap();
        for round in 1..=3 {
            let mail = take_mail(&mailbox, &waker);
            assert_eq!(mail.map_or(0, |mail| mail.orders.len()), usize::from(round > 1));
            mailbox.order(Order::Subscribe(channel.clone()));
            assert_eq!(wakes.0.load(Ordering::Relaxed), round);
        }
        assert_eq!(take_mail(&mailbox, &waker).unwrap().orders.len(), 1);
        assert!(take_mail(&mailbox, &waker).is_none());
        for _ in 0..=MAX_ORDERS {
            mailbox.order(Order::Subscribe(channel.clone()));
        }
        assert_eq!(ending(&mailbox), Some(CloseCode::SLOW_CONSUMER));
    }

    #[test]
    fn publications_over_the_bound_end_the_session_and_free_the_queue() {
        let (mailbox, ..) = mailbox(200);
        for _ in 0..3 {
            mailbox.push(Lane::Normal, frame("0123456789"));
        }
        assert_eq!(ending(&mailbox), None);
        mailbox.push(Lane::Normal, vec![0; 99].into());
        assert_eq!(ending(&mailbox), Some(CloseCode::SLOW_CONSUMER));
        mailbox.push(Lane::Normal, frame("late"));
        assert_eq!(take(&mailbox, 1000), (TakenBatch::Empty, vec![]));
    }

    #[test]
    fn the_first_ending_counts_unless_it_could_wait() {
        let (mailbox, ..) = mailbox(1000);
        mailbox.end(Ending { lets_calls_end: true, ..CloseCode::SHUTDOWN.into() });
        assert_eq!(ending(&mailbox), Some(CloseCode::SHUTDOWN));
        mailbox.end(CloseCode::DISCONNECTED.into());
        mailbox.end(CloseCode::SHUTDOWN.into());
        assert_eq!(ending(&mailbox), Some(CloseCode::DISCONNECTED));
    }

    #[test]
    fn answers_are_not_refused_and_make_the_queue_congested() {
        let (mailbox, ..) = mailbox(100);
        assert!(!mailbox.is_congested());
        for _ in 0..10 {
            mailbox.answer(Lane::Control, frame("0123456789"));
        }
        assert!(mailbox.is_congested());
        assert_eq!(take(&mailbox, 1000).0, TakenBatch::Last);
        assert!(!mailbox.is_congested());
    }

    #[test]
    fn a_channel_without_offsets_is_named_when_something_of_it_was_dropped() {
        let (mailbox, _, waker) = mailbox(10);
        let channel = ChannelName::new("a").unwrap();
        for _ in 0..3 {
            mailbox.push_droppable(Lane::Normal, Run::of(frame("0123456789")), Some(&channel));
        }
        assert!(take_mail(&mailbox, &waker).is_none());
        assert_eq!(take(&mailbox, 1000), (TakenBatch::Gaps(vec![channel]), vec![]));
        assert_eq!(take(&mailbox, 1000), (TakenBatch::Last, vec![frame("0123456789")]));
    }

    #[test]
    fn a_gap_is_reported_once_and_before_the_frames_behind_it() {
        let (mailbox, wakes, waker) = mailbox(10);
        let channel = ChannelName::new("a").unwrap();
        assert!(take_mail(&mailbox, &waker).is_none());
        let push = || mailbox.push_droppable(Lane::Normal, Run::of(frame("0123456789")), Some(&channel));
        for _ in 0..3 {
            push();
        }
        assert_eq!(wakes.0.load(Ordering::Relaxed), 0, "it will look for frames by itself");
        for _ in 0..2 {
            assert_eq!(take(&mailbox, 1000), (TakenBatch::Gaps(vec![channel.clone()]), vec![]));
            push();
        }
        assert!(matches!(take(&mailbox, 1000).0, TakenBatch::Gaps(_)), "dropped since");
        assert_eq!(take(&mailbox, 1000).0, TakenBatch::Last);
        assert_eq!(take(&mailbox, 1000).0, TakenBatch::Empty);
    }

    #[test]
    fn a_large_answer_takes_no_room_from_publications_and_holds_up_no_commands() {
        let (mailbox, ..) = mailbox(1000);
        mailbox.answer(Lane::Bulk, vec![0; 100_000].into());
        assert!(!mailbox.is_congested());
        for _ in 0..3 {
            mailbox.push(Lane::Normal, vec![0; 100].into());
        }
        assert_eq!(ending(&mailbox), None);
        mailbox.push(Lane::Normal, vec![0; 400].into());
        assert!(!mailbox.is_congested());
        mailbox.answer(Lane::Bulk, vec![0; 100_000].into());
        assert!(mailbox.is_congested(), "a second one is enough");
    }

    /// Wakes a thread that takes turns like a task.
    struct Unpark(std::thread::Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    #[test]
    fn nothing_that_comes_at_any_moment_of_a_turn_is_left_lying() {
        const ROUNDS: usize = 1000;
        let mailbox = Arc::new(Mailbox::new(1 << 20));
        let seen = Arc::new(AtomicUsize::new(0));
        let task = {
            let (mailbox, seen) = (Arc::clone(&mailbox), Arc::clone(&seen));
            std::thread::spawn(move || {
                let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
                while seen.load(Ordering::Acquire) < ROUNDS * 3 {
                    let orders = take_mail(&mailbox, &waker).map_or(0, |mail| mail.orders.len());
                    let frames = take(&mailbox, 1 << 20).1.len();
                    if seen.fetch_add(orders + frames, Ordering::Release) + orders + frames < ROUNDS * 3 {
                        // Only a waker, or the test's failure, ends this.
                        std::thread::park_timeout(std::time::Duration::from_secs(10));
                    }
                }
            })
        };
        let channel = ChannelName::new("a").unwrap();
        for round in 1..=ROUNDS {
            // Three events within a few microseconds, at other moments of the turns in each round.
            mailbox.order(Order::Subscribe(channel.clone()));
            for _ in 0..round % 97 * 4 {
                std::hint::spin_loop();
            }
            mailbox.push(Lane::Normal, frame("!"));
            for _ in 0..round % 89 * 4 {
                std::hint::spin_loop();
            }
            mailbox.order(Order::Subscribe(channel.clone()));
            let begun = std::time::Instant::now();
            while seen.load(Ordering::Acquire) < round * 3 {
                assert!(begun.elapsed().as_secs() < 5, "round {round}: something was not looked at");
                std::thread::yield_now();
            }
        }
        task.join().unwrap();
    }
}
