//! A session's outbound queue: where publishers leave what the session's task writes.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use parking_lot::Mutex;
use wirehub_common::Limits;
use wirehub_common::code::CloseCode;

/// The outbound queue of one session. It holds encoded frames, shared with the queues of others.
///
/// It is bounded in bytes. The policy where publications would go over the bound: the queue is dropped, and the
/// session ends with [`CloseCode::SLOW_CONSUMER`]. A frame that finds the queue empty goes in whatever its size.
/// Answers to the session's own commands are never refused: their number is bounded by the session, which takes no
/// more commands while the queue [is congested](Self::is_congested).
pub(crate) struct Outbox {
    limit: usize,
    state: Mutex<State>,
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
    control: VecDeque<Bytes>,
    urgent: VecDeque<Bytes>,
    normal: VecDeque<Bytes>,
    bytes: usize,
    ending: Option<Ending>,
    /// The session's task; taken by the first that wakes it.
    waker: Option<Waker>,
    /// Whether the task wants to know of new frames, or is busy writing and wants to know of its end only.
    waits_for_frames: bool,
}

impl Outbox {
    /// A queue for at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, state: Mutex::default() }
    }

    /// How many bytes may wait.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Queues a publication, or ends the session as a slow consumer.
    pub(crate) fn push(&self, lane: Lane, frame: Bytes) {
        self.with_state(|state| {
            let after = state.bytes.saturating_add(cost(&frame));
            if state.bytes > 0 && after > self.limit {
                state.end(Ending::from(CloseCode::SLOW_CONSUMER));
                state.clear();
            } else {
                state.push(lane, frame);
            }
        });
    }

    /// Queues an answer to the session's own command.
    pub(crate) fn answer(&self, lane: Lane, frame: Bytes) {
        self.with_state(|state| state.push(lane, frame));
    }

    /// Tells the session to end; the first one to say so decides how.
    pub(crate) fn end(&self, ending: Ending) {
        self.with_state(|state| state.end(ending));
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
            return Poll::Ready(Err(ending.clone()));
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
            return Poll::Ready(ending.clone());
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
    fn push(&mut self, lane: Lane, frame: Bytes) {
        if self.ending.is_some() {
            return;
        }
        self.bytes = self.bytes.saturating_add(cost(&frame));
        match lane {
            Lane::Control => self.control.push_back(frame),
            Lane::Urgent => self.urgent.push_back(frame),
            Lane::Normal => self.normal.push_back(frame),
        }
    }

    fn end(&mut self, ending: Ending) {
        self.ending.get_or_insert(ending);
    }

    fn clear(&mut self) {
        self.control = VecDeque::new();
        self.urgent = VecDeque::new();
        self.normal = VecDeque::new();
        self.bytes = 0;
    }

    fn take_batch(&mut self, take: &mut dyn FnMut(Bytes)) -> bool {
        let mut taken = 0_usize;
        for lane in [&mut self.control, &mut self.urgent, &mut self.normal] {
            while let Some(frame) = lane.front() {
                let with_it = taken.saturating_add(frame.len());
                if taken > 0 && with_it > Limits::BATCH_BYTES {
                    return true;
                }
                taken = with_it;
                self.bytes = self.bytes.saturating_sub(cost(frame));
                lane.pop_front().into_iter().for_each(&mut *take);
            }
            // Idle connections, of which there are many, keep no room.
            *lane = VecDeque::new();
        }
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

impl From<CloseCode> for Ending {
    fn from(code: CloseCode) -> Self {
        Self { code, reason: code.message().into(), farewell: None }
    }
}

/// What a frame counts for: also many empty ones must not be free.
fn cost(frame: &Bytes) -> usize {
    frame.len().saturating_add(size_of::<Bytes>())
}

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
