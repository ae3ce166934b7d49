//! The keys of calls: a call that a client repeats after a lost connection is carried out once.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::hash::{BuildHasher as _, RandomState};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use tokio::task::{AbortHandle, JoinError};
use tokio::time::{Instant, timeout_at};
use wirehub_common::Payload;
use wirehub_common::code::ErrorCode;
use wirehub_common::frame::{ErrorInfo, Idempotency};

use super::SessionId;
use crate::call::Answering;
use crate::engine::KeyWindow;
use crate::panic_guard::guarded_future;

/// The calls with keys that are in flight, or that ended recently.
pub(crate) struct CallMemory {
    window: KeyWindow,
    begun: Instant,
    state: Mutex<CallMemoryState>,
}

#[derive(Default)]
struct CallMemoryState {
    by_key: HashMap<CallKey, Arc<RememberedCall>>,
    /// The same calls by number, and so by age.
    by_age: BTreeMap<u64, Arc<RememberedCall>>,
    /// The calls in flight without a waiting session.
    abandoned: BTreeMap<u64, Arc<RememberedCall>>,
    /// The number of calls so far.
    numbers: u64,
    /// The bytes of the answers.
    bytes: usize,
}

/// A key belongs to its owner and to one call name: no other user gets the answer, and no other call has the key.
#[derive(Clone, PartialEq, Eq, Hash)]
struct CallKey {
    owner: KeyOwner,
    name: Arc<str>,
    key: Arc<str>,
}

/// The owner of a key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum KeyOwner {
    User(Arc<str>),
    /// An anonymous session. Its keys end with it, because the client comes back as another session.
    Session(SessionId),
}

struct RememberedCall {
    number: u64,
    key: CallKey,
    /// The time at which the key is forgotten.
    until: Instant,
    answer: SharedResponse,
    task: AbortHandle,
    /// The number of sessions that wait for it. Changes under the state's lock.
    waiting: AtomicUsize,
    /// The bytes of the answer, as soon as there is one. Set under the state's lock.
    bytes: OnceLock<usize>,
}

type SharedResponse = Shared<BoxFuture<'static, Result<Payload, ErrorInfo>>>;

/// A future of a call's answer for one session. The call outlives the session as long as its key is remembered, unless it is
/// [cancelled](Canceller::cancel).
pub(crate) struct PendingCall {
    call: Arc<RememberedCall>,
    answer: SharedResponse,
    memory: Arc<CallMemory>,
}

/// Ends a call permanently.
pub(crate) struct Canceller {
    call: Arc<RememberedCall>,
    memory: Arc<CallMemory>,
}

impl CallMemory {
    pub(crate) fn new() -> Self {
        let scope = format!("{:x}", RandomState::new().hash_one(0));
        Self { window: KeyWindow::new(scope), begun: Instant::now(), state: Mutex::default() }
    }

    /// The period for which a user's keys are remembered, as clients receive it. `None` for an anonymous session, because it
    /// can't come back for an answer.
    pub(crate) fn idempotency(&self, user: &str) -> Option<Idempotency> {
        (!user.is_empty()).then(|| scope_of(self.window.idempotency(self.clock(Instant::now())), user))
    }

    /// The clock of keys at a moment, in milliseconds.
    fn clock(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.begun).as_millis()).unwrap_or(u64::MAX)
    }

    /// Forgets expired calls, and the oldest ones beyond the bounds.
    fn forget(&self, state: &mut CallMemoryState) {
        let now = Instant::now();
        while let Some(call) = state.forget_oldest(now) {
            if call.until > now {
                let remembered_at = call.until.checked_sub(KeyWindow::KEPT).unwrap_or(self.begun);
                self.window.forget_early(self.clock(remembered_at));
            }
        }
    }

    /// The call with this key. If there is none, `begin` starts it as a separate task.
    pub(crate) fn call(
        self: &Arc<Self>,
        owner: KeyOwner,
        name: &str,
        key: &str,
        begin: impl FnOnce() -> Answering,
    ) -> (PendingCall, Canceller) {
        let key = CallKey { owner, name: name.into(), key: key.into() };
        let mut state = self.state.lock();
        self.forget(&mut state);
        let call = match state.by_key.get(&key) {
            Some(call) => Arc::clone(call),
            None => self.begin(&mut state, key, begin()),
        };
        call.waiting.fetch_add(1, Ordering::Relaxed);
        state.abandoned.remove(&call.number);
        drop(state);
        let canceller = Canceller { call: Arc::clone(&call), memory: Arc::clone(self) };
        let answer = call.answer.clone();
        (PendingCall { call, answer, memory: Arc::clone(self) }, canceller)
    }

    fn begin(
        self: &Arc<Self>,
        state: &mut CallMemoryState,
        key: CallKey,
        answering: Answering,
    ) -> Arc<RememberedCall> {
        let number = state.numbers;
        state.numbers = number.wrapping_add(1);
        let now = Instant::now();
        let until = now.checked_add(KeyWindow::KEPT).unwrap_or(now);
        let memory = Arc::downgrade(self);
        // A panic is an answer too, and ends the call.
        let answering = guarded_future("a call's handler", || answering);
        let mut answering = answering.map(|answer| answer.unwrap_or_else(|panic| Err(panic.into()))).boxed();
        let task = tokio::spawn(async move {
            let answer = match timeout_at(until, &mut answering).await {
                Ok(answer) => answer,
                Err(_) => {
                    // This call ends here too, if no session waits for it.
                    if let Some(memory) = memory.upgrade() {
                        memory.forget(&mut memory.state.lock());
                    }
                    answering.await
                }
            };
            if let Some(memory) = memory.upgrade() {
                let bytes =
                    answer.as_ref().map_or_else(|error| error.message.len(), |payload| payload.data.len());
                let mut state = memory.state.lock();
                state.ended(number, bytes);
                memory.forget(&mut state);
            }
            answer
        });
        let abort = task.abort_handle();
        let answer = task.map(|ended| ended.unwrap_or_else(|error| Err(failed(&error)))).boxed();
        let call = Arc::new(RememberedCall {
            number,
            key: key.clone(),
            until,
            answer: answer.shared(),
            task: abort,
            waiting: AtomicUsize::new(0),
            bytes: OnceLock::new(),
        });
        state.by_key.insert(key, Arc::clone(&call));
        state.by_age.insert(number, Arc::clone(&call));
        call
    }
}

impl CallMemoryState {
    /// Forgets the oldest call if it has expired, or if there are too many, and returns it.
    fn forget_oldest(&mut self, now: Instant) -> Option<Arc<RememberedCall>> {
        let (_, oldest) = self.by_age.first_key_value()?;
        if oldest.until > now && self.by_age.len() < MAX_CALLS && self.bytes <= MAX_BYTES {
            return None;
        }
        let oldest = Arc::clone(oldest);
        self.remove(&oldest);
        // Its key is forgotten, so no client can ask for it.
        if oldest.waiting.load(Ordering::Relaxed) == 0 {
            oldest.task.abort();
        }
        Some(oldest)
    }

    /// Forgets this call, but not a newer one with the same key.
    fn remove(&mut self, call: &RememberedCall) {
        if self.by_age.remove(&call.number).is_some() {
            self.by_key.remove(&call.key);
            self.abandoned.remove(&call.number);
            self.bytes = self.bytes.saturating_sub(call.bytes.get().copied().unwrap_or_default());
        }
    }

    /// Notes the bytes of a call's answer.
    fn ended(&mut self, number: u64, bytes: usize) {
        self.abandoned.remove(&number);
        if self.by_age.get(&number).is_some_and(|call| call.bytes.set(bytes).is_ok()) {
            self.bytes = self.bytes.saturating_add(bytes);
        }
    }

    /// Notes that no session waits for a call in flight.
    fn abandon(&mut self, call: &Arc<RememberedCall>) {
        if matches!(call.key.owner, KeyOwner::Session(_)) {
            self.remove(call);
        }
        if !self.by_age.contains_key(&call.number) {
            return call.task.abort();
        }
        self.abandoned.insert(call.number, Arc::clone(call));
        if self.abandoned.len() > MAX_ABANDONED
            && let Some((_, oldest)) = self.abandoned.pop_first()
        {
            // The key is kept: a repeat gets an error, and does not start the call anew.
            oldest.task.abort();
        }
    }
}

impl Future for PendingCall {
    type Output = Result<Payload, ErrorInfo>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.answer.poll_unpin(cx)
    }
}

impl Drop for PendingCall {
    /// A call without a waiting session continues as long as its key is remembered: its client may come back.
    fn drop(&mut self) {
        let mut state = self.memory.state.lock();
        if self.call.waiting.fetch_sub(1, Ordering::Relaxed) == 1 && self.call.bytes.get().is_none() {
            state.abandon(&self.call);
        }
    }
}

impl Canceller {
    /// Stops the call for every waiting session, and forgets it.
    pub(crate) fn cancel(&self) {
        self.call.task.abort();
        self.memory.state.lock().remove(&self.call);
    }
}

/// The memory as a user's clients see it. A client that comes back as another user repeats nothing, because the call would be
/// carried out twice.
pub(crate) fn scope_of(memory: Idempotency, user: &str) -> Idempotency {
    if user.is_empty() { memory } else { Idempotency { scope: format!("{}@{user}", memory.scope), ..memory } }
}

fn failed(error: &JoinError) -> ErrorInfo {
    let is_stopped = error.is_cancelled();
    ErrorInfo::from_code(if is_stopped { ErrorCode::CONNECTION_LOST } else { ErrorCode::INTERNAL })
}

/// The maximum number of remembered calls, and the maximum bytes of their answers.
const MAX_CALLS: usize = 100_000;
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// The maximum number of calls in flight without a waiting session.
const MAX_ABANDONED: usize = 10_000;

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::sleep;

    use std::time::Duration;

    use super::*;

    fn answering(text: &'static str) -> Answering {
        Box::pin(async move { Ok(Payload::json(text)) })
    }

    fn endless() -> Answering {
        Box::pin(pending())
    }

    fn never() -> Answering {
        panic!("it is remembered")
    }

    fn user(name: &str) -> KeyOwner {
        KeyOwner::User(name.into())
    }

    fn scope(memory: &CallMemory) -> String {
        memory.idempotency("ann").unwrap().scope
    }

    fn nobody() -> KeyOwner {
        KeyOwner::Session(SessionId::random().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_carried_out_once_for_each_user_and_key() {
        let memory = Arc::new(CallMemory::new());
        let (first, _) = memory.call(user("ann"), "f", "k", || answering("1"));
        let (second, _) = memory.call(user("ann"), "f", "k", never);
        assert_eq!(first.await.unwrap(), Payload::json("1"));
        assert_eq!(second.await.unwrap(), Payload::json("1"));
        let (third, _) = memory.call(user("ann"), "f", "k", never);
        assert_eq!(third.await.unwrap(), Payload::json("1"), "also when it has ended");
        let (other, _) = memory.call(user("bob"), "f", "k", || answering("2"));
        assert_eq!(other.await.unwrap(), Payload::json("2"), "keys are a user's own");
        tokio::time::advance(KeyWindow::LONGEST).await;
        let (late, _) = memory.call(user("ann"), "f", "k", never);
        assert_eq!(late.await.unwrap(), Payload::json("1"), "longer than is said");
        tokio::time::advance(KeyWindow::KEPT).await;
        let (anew, _) = memory.call(user("ann"), "f", "k", || answering("3"));
        assert_eq!(anew.await.unwrap(), Payload::json("3"));
        assert_eq!(memory.state.lock().by_key.len(), 1);
    }

    #[tokio::test]
    async fn a_key_is_bound_to_the_name_of_the_call_and_without_a_user_to_the_session() {
        let memory = Arc::new(CallMemory::new());
        let (first, second) = (nobody(), nobody());
        let (mine, _) = memory.call(first.clone(), "f", "k", || answering("1"));
        assert_eq!(mine.await.unwrap(), Payload::json("1"));
        for (owner, name, text) in [(&second, "f", "2"), (&first, "g", "3")] {
            let (other, _) = memory.call(owner.clone(), name, "k", move || answering(text));
            assert_eq!(other.await.unwrap(), Payload::json(text));
        }
        let (again, _) = memory.call(first.clone(), "f", "k", never);
        assert_eq!(again.await.unwrap(), Payload::json("1"), "a repeat in the same session");

        let (waiting, _) = memory.call(first, "f", "l", endless);
        let (_, canceller) = memory.call(second, "f", "l", endless);
        canceller.cancel();
        assert!(!waiting.call.task.is_finished(), "another session's call goes on");
        let task = waiting.call.task.clone();
        drop(waiting);
        tokio::task::yield_now().await;
        assert!(task.is_finished(), "nobody can come back for it");
        assert!(memory.state.lock().abandoned.is_empty());
        assert_eq!(memory.idempotency(""), None, "so that a client repeats nothing");
        assert_ne!(memory.idempotency("bob").unwrap().scope, scope(&memory), "nor as another user");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_nobody_waits_for_goes_on_while_its_key_is_promised() {
        let memory = Arc::new(CallMemory::new());
        let (lost, _) = memory.call(user("ann"), "f", "k", || {
            Box::pin(async {
                sleep(KeyWindow::LONGEST - Duration::from_secs(1)).await;
                Ok(Payload::json("1"))
            })
        });
        // The call may end before its answer was polled once.
        drop(lost);
        sleep(KeyWindow::LONGEST).await;
        let (late, _) = memory.call(user("ann"), "f", "k", never);
        assert_eq!(late.await.unwrap(), Payload::json("1"));
        assert!(memory.state.lock().abandoned.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_ends_with_its_key_unless_somebody_waits() {
        let memory = Arc::new(CallMemory::new());
        let (lost, _) = memory.call(user("ann"), "f", "k", endless);
        let (waited_for, _) = memory.call(user("ann"), "f", "l", endless);
        let [lost_task, other_task] = [&lost, &waited_for].map(|waiting| waiting.call.task.clone());
        drop(lost);
        let (again, _) = memory.call(user("ann"), "f", "k", never);
        assert!(memory.state.lock().abandoned.is_empty(), "somebody waits again");
        drop(again);
        sleep(KeyWindow::LONGEST).await;
        assert!(!lost_task.is_finished());
        sleep(KeyWindow::KEPT - KeyWindow::LONGEST + Duration::from_secs(1)).await;
        assert!(lost_task.is_finished(), "without anything else that happens in the memory");
        assert!(memory.state.lock().by_key.is_empty() && memory.state.lock().abandoned.is_empty());

        sleep(KeyWindow::KEPT).await;
        assert!(!other_task.is_finished(), "somebody waits");
        drop(waited_for);
        tokio::task::yield_now().await;
        assert!(other_task.is_finished(), "nobody can come back for it");
    }

    #[tokio::test]
    async fn a_call_that_is_stopped_to_make_room_is_not_begun_anew() {
        let memory = Arc::new(CallMemory::new());
        for key in 0..=MAX_ABANDONED {
            drop(memory.call(user("ann"), "f", &key.to_string(), endless));
        }
        assert_eq!(memory.state.lock().abandoned.len(), MAX_ABANDONED);
        let (stopped, _) = memory.call(user("ann"), "f", "0", never);
        assert_eq!(stopped.await.unwrap_err().code, ErrorCode::CONNECTION_LOST);
        let (next, _) = memory.call(user("ann"), "f", "1", never);
        assert!(!next.call.task.is_finished(), "the oldest alone was stopped");
    }

    #[tokio::test]
    async fn a_call_that_is_cancelled_is_stopped_and_forgotten() {
        let memory = Arc::new(CallMemory::new());
        let (waiting, canceller) = memory.call(user("ann"), "f", "k", endless);
        canceller.cancel();
        assert!(waiting.await.is_err());
        let (anew, _) = memory.call(user("ann"), "f", "k", || answering("1"));
        assert!(anew.await.is_ok());
    }

    #[tokio::test]
    async fn an_answer_that_comes_after_the_cancelling_counts_for_no_other_call() {
        let memory = Arc::new(CallMemory::new());
        let (first, canceller) = memory.call(user("ann"), "f", "k", || answering("1234"));
        // The memory regards the task as cancelled here, but the task may be past its last await.
        memory.state.lock().remove(&first.call);
        let (_second, _) = memory.call(user("ann"), "f", "k", endless);
        assert!(first.await.is_ok());
        canceller.cancel();
        let state = memory.state.lock();
        assert_eq!((state.bytes, state.by_key.len()), (0, 1), "the second one is still there");
    }

    #[tokio::test(start_paused = true)]
    async fn the_age_of_a_cancelled_call_is_not_that_of_its_successor() {
        let memory = Arc::new(CallMemory::new());
        let (_waiting, canceller) = memory.call(user("ann"), "f", "k", endless);
        canceller.cancel();
        tokio::time::advance(KeyWindow::KEPT / 2).await;
        let (first, _) = memory.call(user("ann"), "f", "k", || answering("1"));
        assert_eq!(first.await.unwrap(), Payload::json("1"));
        tokio::time::advance(KeyWindow::KEPT / 2).await;
        let (repeat, _) = memory.call(user("ann"), "f", "k", never);
        assert_eq!(repeat.await.unwrap(), Payload::json("1"));
    }

    #[tokio::test(start_paused = true)]
    async fn without_room_the_oldest_call_is_forgotten_and_the_announced_period_shrinks() {
        let memory = Arc::new(CallMemory::new());
        let before = memory.idempotency("ann").unwrap();
        let large = || -> Answering { Box::pin(async { Ok(Payload::bytes(vec![0; MAX_BYTES / 2 + 1])) }) };
        for key in ["1", "2"] {
            memory.call(user("ann"), "f", key, large).0.await.unwrap();
            tokio::time::advance(Duration::from_secs(10)).await;
        }
        assert_eq!(memory.state.lock().by_key.len(), 1);
        assert!(memory.state.lock().bytes <= MAX_BYTES);
        let after = memory.idempotency("ann").unwrap();
        assert_eq!((after.window.as_secs(), after.scope), (9, before.scope), "the second one is remembered");
    }
}
