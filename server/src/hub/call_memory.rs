//! The keys of calls: a call that a client repeats after it lost its connection is carried out once.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::hash::{BuildHasher as _, RandomState};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinError};
use tokio::time::{Instant, sleep};
use wirehub_common::Payload;
use wirehub_common::code::ErrorCode;
use wirehub_common::frame::{ErrorInfo, Idempotency};

use crate::call::Answering;

/// The calls with keys that are under way, or ended a short time ago.
pub(crate) struct CallMemory {
    /// Tells this memory from that before a restart.
    instance: u64,
    begun: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    by_key: HashMap<Key, Arc<Remembered>>,
    /// By age, with the time at which each is forgotten.
    ages: VecDeque<(Instant, Weak<Remembered>)>,
    /// How many bytes the answers have.
    bytes: usize,
    /// Counts how often keys were forgotten before their time: each time the scope becomes another one.
    scopes: u64,
}

/// Keys are those of a user: nobody else gets the answer.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    user: Arc<str>,
    key: Arc<str>,
}

struct Remembered {
    key: Key,
    answer: Shared<BoxFuture<'static, Result<Payload, ErrorInfo>>>,
    task: AbortHandle,
    /// How many sessions wait for it.
    waiting: AtomicUsize,
    /// How many bytes its answer has, once there is one.
    bytes: AtomicUsize,
}

/// A session that waits for a call: a future of its answer. The call outlives it for a while, unless it is
/// [cancelled](Canceller::cancel).
pub(crate) struct Waiting {
    call: Arc<Remembered>,
    answer: Shared<BoxFuture<'static, Result<Payload, ErrorInfo>>>,
    memory: Arc<CallMemory>,
}

/// Ends a call for good.
pub(crate) struct Canceller {
    call: Arc<Remembered>,
    memory: Arc<CallMemory>,
}

impl CallMemory {
    pub(crate) fn new() -> Self {
        Self { instance: RandomState::new().hash_one(0), begun: Instant::now(), state: Mutex::default() }
    }

    /// For how long keys are remembered, as clients are told.
    pub(crate) fn idempotency(&self) -> Idempotency {
        let scope = format!("{:x}.{}", self.instance, self.state.lock().scopes);
        let clock = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        Idempotency { scope, window: WINDOW, clock }
    }

    /// The call with that key, which `begin` begins if there is none. It goes on as a task of its own.
    pub(crate) fn call(
        self: &Arc<Self>,
        user: Arc<str>,
        key: &str,
        begin: impl FnOnce() -> Answering,
    ) -> (Waiting, Canceller) {
        let key = Key { user, key: key.into() };
        let now = Instant::now();
        let mut state = self.state.lock();
        state.forget(now);
        let call = match state.by_key.get(&key) {
            Some(call) => Arc::clone(call),
            None => {
                let answering = begin();
                let (memory, of) = (Arc::downgrade(self), key.clone());
                let task = tokio::spawn(async move {
                    let answer = answering.await;
                    if let (Some(memory), Ok(payload)) = (memory.upgrade(), &answer) {
                        memory.ended(&of, payload.data.len());
                    }
                    answer
                });
                let abort = task.abort_handle();
                let answer = task.map(|ended| ended.unwrap_or_else(|error| Err(failed(&error)))).boxed();
                let call = Arc::new(Remembered {
                    key: key.clone(),
                    answer: answer.shared(),
                    task: abort,
                    waiting: AtomicUsize::new(0),
                    bytes: AtomicUsize::new(0),
                });
                state.by_key.insert(key, Arc::clone(&call));
                state.ages.push_back((now.checked_add(KEPT).unwrap_or(now), Arc::downgrade(&call)));
                call
            }
        };
        call.waiting.fetch_add(1, Ordering::AcqRel);
        drop(state);
        let canceller = Canceller { call: Arc::clone(&call), memory: Arc::clone(self) };
        let answer = call.answer.clone();
        (Waiting { call, answer, memory: Arc::clone(self) }, canceller)
    }

    /// A call has its answer.
    fn ended(&self, key: &Key, bytes: usize) {
        let mut state = self.state.lock();
        if let Some(call) = state.by_key.get(key) {
            call.bytes.store(bytes, Ordering::Relaxed);
            state.bytes = state.bytes.saturating_add(bytes);
        }
        state.forget(Instant::now());
    }

    /// Forgets a call, and stops it if it has not ended.
    fn stop(&self, call: &Arc<Remembered>) {
        call.task.abort();
        let mut state = self.state.lock();
        state.remove(call);
    }
}

impl State {
    /// Forgets what is too old, and the oldest of what is too much.
    fn forget(&mut self, now: Instant) {
        while let Some((until, _)) = self.ages.front() {
            let is_early = *until > now;
            if is_early && self.ages.len() < MAX_CALLS && self.bytes <= MAX_BYTES {
                return;
            }
            if is_early {
                self.scopes = self.scopes.wrapping_add(1);
            }
            if let Some(call) = self.ages.pop_front().and_then(|(_, call)| call.upgrade()) {
                self.remove(&call);
            }
        }
    }

    /// Forgets this call, and not another one that has its key by now.
    fn remove(&mut self, call: &Arc<Remembered>) {
        if self.by_key.get(&call.key).is_some_and(|known| Arc::ptr_eq(known, call)) {
            self.by_key.remove(&call.key);
            self.bytes = self.bytes.saturating_sub(call.bytes.load(Ordering::Relaxed));
        }
    }
}

impl Future for Waiting {
    type Output = Result<Payload, ErrorInfo>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.answer.poll_unpin(cx)
    }
}

impl Drop for Waiting {
    /// A call that nobody waits for goes on for a while: its client may be coming back.
    fn drop(&mut self) {
        if self.call.waiting.fetch_sub(1, Ordering::AcqRel) > 1 || self.call.task.is_finished() {
            return;
        }
        let (call, memory) = (Arc::clone(&self.call), Arc::clone(&self.memory));
        // Where the runtime ends, so do its tasks.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                sleep(ABANDONED).await;
                if call.waiting.load(Ordering::Acquire) == 0 && !call.task.is_finished() {
                    memory.stop(&call);
                }
            });
        }
    }
}

impl Canceller {
    /// Stops the call, also for others who wait for it.
    pub(crate) fn cancel(&self) {
        self.memory.stop(&self.call);
    }
}

fn failed(error: &JoinError) -> ErrorInfo {
    if error.is_cancelled() {
        return ErrorInfo::from_code(ErrorCode::CANCELLED);
    }
    tracing::error!("a call's handler panicked; its caller was told so");
    ErrorInfo::from_code(ErrorCode::INTERNAL)
}

/// For how long keys are remembered, as clients are told; and a minute longer, for what is on its way.
const WINDOW: Duration = Duration::from_secs(120);
const KEPT: Duration = Duration::from_secs(180);

/// For how long a call goes on that nobody waits for.
const ABANDONED: Duration = Duration::from_secs(60);

/// How many are remembered, and how many bytes of their answers.
const MAX_CALLS: usize = 100_000;
const MAX_BYTES: usize = 64 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    fn answering(text: &'static str) -> Answering {
        Box::pin(async move { Ok(Payload::json(text)) })
    }

    fn never() -> Answering {
        panic!("it is remembered")
    }

    fn user(name: &str) -> Arc<str> {
        name.into()
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_carried_out_once_for_each_user_and_key() {
        let memory = Arc::new(CallMemory::new());
        let (first, _) = memory.call(user("ann"), "k", || answering("1"));
        let (second, _) = memory.call(user("ann"), "k", never);
        assert_eq!(first.await.unwrap(), Payload::json("1"));
        assert_eq!(second.await.unwrap(), Payload::json("1"));
        let (third, _) = memory.call(user("ann"), "k", never);
        assert_eq!(third.await.unwrap(), Payload::json("1"), "also when it has ended");
        let (other, _) = memory.call(user("bob"), "k", || answering("2"));
        assert_eq!(other.await.unwrap(), Payload::json("2"), "keys are a user's own");
        tokio::time::advance(WINDOW).await;
        let (late, _) = memory.call(user("ann"), "k", never);
        assert_eq!(late.await.unwrap(), Payload::json("1"), "longer than is said");
        tokio::time::advance(KEPT).await;
        let (anew, _) = memory.call(user("ann"), "k", || answering("3"));
        assert_eq!(anew.await.unwrap(), Payload::json("3"));
        assert_eq!(memory.state.lock().by_key.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_goes_on_for_a_while_when_nobody_waits_and_ends_when_it_is_cancelled() {
        let memory = Arc::new(CallMemory::new());
        let endless = || -> Answering { Box::pin(pending()) };
        let (lost, _) = memory.call(user("ann"), "k", endless);
        let task = lost.call.task.clone();
        drop(lost);
        sleep(ABANDONED / 2).await;
        let (again, _) = memory.call(user("ann"), "k", never);
        sleep(ABANDONED).await;
        assert!(!task.is_finished(), "somebody waits");
        drop(again);
        sleep(ABANDONED + Duration::from_secs(1)).await;
        assert!(task.is_finished() && memory.state.lock().by_key.is_empty());

        let (waiting, canceller) = memory.call(user("ann"), "l", endless);
        canceller.cancel();
        assert_eq!(waiting.await.unwrap_err().code, ErrorCode::CANCELLED);
        let (anew, _) = memory.call(user("ann"), "l", || answering("1"));
        assert!(anew.await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn the_age_of_a_cancelled_call_is_not_that_of_its_successor() {
        let memory = Arc::new(CallMemory::new());
        let (_waiting, canceller) = memory.call(user("ann"), "k", || Box::pin(pending()));
        canceller.cancel();
        tokio::time::advance(KEPT / 2).await;
        let (first, _) = memory.call(user("ann"), "k", || answering("1"));
        assert_eq!(first.await.unwrap(), Payload::json("1"));
        tokio::time::advance(KEPT / 2).await;
        let (repeat, _) = memory.call(user("ann"), "k", never);
        assert_eq!(repeat.await.unwrap(), Payload::json("1"));
    }

    #[tokio::test]
    async fn what_is_too_much_is_forgotten_and_clients_are_told_so() {
        let memory = Arc::new(CallMemory::new());
        let scope = memory.idempotency().scope;
        let large = || -> Answering { Box::pin(async { Ok(Payload::bytes(vec![0; MAX_BYTES / 2 + 1])) }) };
        for key in ["1", "2"] {
            memory.call(user("ann"), key, large).0.await.unwrap();
        }
        assert_eq!(memory.state.lock().by_key.len(), 1);
        assert!(memory.state.lock().bytes <= MAX_BYTES);
        assert_ne!(memory.idempotency().scope, scope);
    }
}
