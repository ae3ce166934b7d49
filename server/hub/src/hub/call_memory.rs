//! The keys of calls: a call that a client repeats after a lost connection is carried out once.
//!
//! With an engine that has [`Records`](crate::engine::Records), the calls of users outlive the process: see `stored`. Records are
//! put and removed under the lock of the state.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::hash::{BuildHasher as _, RandomState};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use tokio::task::{AbortHandle, JoinError};
use tokio::time::{Instant, timeout_at};
use wirehub_common::Payload;
use wirehub_common::code::ErrorCode;
use wirehub_common::frame::{ErrorInfo, Idempotency};

use self::stored::CallStore;
use super::SessionId;
use crate::call::Answering;
use crate::engine::{KeyWindow, engine_failure};
use crate::panic_guard::guarded_future;
use crate::unix_time::milliseconds_in;

mod stored;

/// The calls with keys that are in flight, or that ended recently.
pub(crate) struct CallMemory {
    window: KeyWindow,
    begun: Instant,
    /// The store of the engine, from the moment at which its calls are restored.
    store: OnceLock<CallStore>,
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
    /// Absent if the call was begun by an earlier process.
    task: Option<AbortHandle>,
    /// The key of its record, if it is stored.
    record: Option<Bytes>,
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
        Self {
            window: KeyWindow::new(scope),
            begun: Instant::now(),
            store: OnceLock::new(),
            state: Mutex::default(),
        }
    }

    /// The period for which a user's keys are remembered, as clients receive it. `None` for an anonymous session, because it
    /// can't come back for an answer.
    pub(crate) fn idempotency(&self, user: &str) -> Option<Idempotency> {
        if user.is_empty() {
            return None;
        }
        let now = Instant::now();
        let clock = match self.store.get() {
            Some(store) => store.announced_clock(now)?,
            None => self.clock(now),
        };
        Some(scope_of(self.window().idempotency(clock), user))
    }

    fn window(&self) -> &KeyWindow {
        self.store.get().map_or(&self.window, |store| &store.window)
    }

    /// The clock of keys at a moment, in milliseconds.
    fn clock(&self, at: Instant) -> u64 {
        match self.store.get() {
            Some(store) => store.clock(at),
            None => milliseconds_in(at.saturating_duration_since(self.begun)),
        }
    }

    /// Forgets expired calls, and the oldest ones beyond the bounds.
    fn forget(&self, state: &mut CallMemoryState) {
        let now = Instant::now();
        while let Some(call) = state.forget_oldest(now) {
            if call.until > now {
                let remembered_at = call.until.checked_sub(KeyWindow::KEPT).unwrap_or(self.begun);
                let remembered_at = self.clock(remembered_at);
                self.window().forget_early(remembered_at);
                if let Some(store) = self.store.get() {
                    store.forget_early(&call, remembered_at);
                }
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
        let (record, stored) = self.store_begun(&key, until).unzip();
        if let Some(stored) = stored {
            let memory = Weak::clone(&memory);
            answering = async move {
                if let Err(error) = stored.await {
                    if let Some(memory) = memory.upgrade() {
                        memory.not_begun(number);
                    }
                    return Err(engine_failure(&error));
                }
                answering.await
            }
            .boxed();
        }
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
                let bytes = bytes_of(&answer);
                let stored = {
                    let mut state = memory.state.lock();
                    let stored = memory.store_answer(&state, number, &answer);
                    state.ended(number, bytes);
                    memory.forget(&mut state);
                    stored
                };
                if let Some(stored) = stored
                    && let Err(error) = stored.await
                {
                    // With its answer the client need not repeat the call.
                    tracing::error!("a call was carried out, and its answer is not stored: {error}");
                }
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
            task: Some(abort),
            record,
            waiting: AtomicUsize::new(0),
            bytes: OnceLock::new(),
        });
        state.by_key.insert(key, Arc::clone(&call));
        state.by_age.insert(number, Arc::clone(&call));
        call
    }

    /// Forgets a call whose handler has not run, because its beginning could not be stored.
    fn not_begun(&self, number: u64) {
        let mut state = self.state.lock();
        if let Some(call) = state.by_age.get(&number).cloned() {
            state.remove(&call);
            // The store may contain it after a failure.
            self.remove_record(&call);
        }
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
            oldest.abort();
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
            return call.abort();
        }
        self.abandoned.insert(call.number, Arc::clone(call));
        if self.abandoned.len() > MAX_ABANDONED
            && let Some((_, oldest)) = self.abandoned.pop_first()
        {
            // The key is kept: a repeat gets an error, and does not start the call anew.
            oldest.abort();
        }
    }
}

impl RememberedCall {
    fn abort(&self) {
        if let Some(task) = &self.task {
            task.abort();
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
        self.call.abort();
        let mut state = self.memory.state.lock();
        state.remove(&self.call);
        self.memory.remove_record(&self.call);
    }
}

/// The memory as a user's clients see it. A client that comes back as another user repeats nothing, because the call would be
/// carried out twice.
pub(crate) fn scope_of(memory: Idempotency, user: &str) -> Idempotency {
    if user.is_empty() { memory } else { Idempotency { scope: format!("{}@{user}", memory.scope), ..memory } }
}

fn bytes_of(answer: &Result<Payload, ErrorInfo>) -> usize {
    answer.as_ref().map_or_else(|error| error.message.len(), |payload| payload.data.len())
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
mod tests;
