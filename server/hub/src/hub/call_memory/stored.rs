//! The calls of users as records of the engine.
//!
//! A record says that a call was begun, and later has its answer. The key of a record is a number of its own, so that the record of
//! a call that was forgotten is never taken for that of a later one with the same key.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::ready;
use parking_lot::Mutex;
use tokio::time::Instant;
use wirehub_common::code::ErrorCode;
use wirehub_common::frame::{Called, ErrorInfo, Idempotency, Reply, ReplyBody, ServerFrame};
use wirehub_common::{Codec, Payload};

use super::{CallKey, CallMemory, CallMemoryState, KeyOwner, RememberedCall, bytes_of};
use crate::engine::{EngineFuture, KeyWindow, Record, RecordKind, Records};
use crate::hub::Inner;
use crate::hub::record_value::{ValueReader, ValueWriter};
use crate::unix_time::milliseconds_in;

/// The store of calls. It has the scope and the clock of the engine, because it outlives the process.
pub(super) struct CallStore {
    hub: Weak<Inner>,
    pub(super) window: KeyWindow,
    /// The engine's clock at a moment.
    origin: Mutex<(u64, Instant)>,
    /// Distinguishes the records of this process from those of an earlier one.
    scope: u64,
    /// The number of records so far.
    records: AtomicU64,
    /// The stored clock time before which keys may be forgotten.
    forgotten: AtomicU64,
}

/// A call in a record.
struct StoredCall {
    key: CallKey,
    /// Absent if the call was begun and has not ended.
    answer: Option<Result<Payload, ErrorInfo>>,
}

impl CallStore {
    /// The clock of keys at a moment, in milliseconds.
    pub(super) fn clock(&self, at: Instant) -> u64 {
        let (clock, origin) = *self.origin.lock();
        // Restored calls are older than this process.
        clock
            .saturating_add(milliseconds_in(at.saturating_duration_since(origin)))
            .saturating_sub(milliseconds_in(origin.saturating_duration_since(at)))
    }

    /// The engine's clock, as clients receive it. `None` if the engine does not announce one at the moment.
    ///
    /// It may stand still for a while, such as after the clock of the operating system was set back. Then clients take older
    /// calls for younger ones, so those are no longer promised to be remembered.
    pub(super) fn announced_clock(&self, now: Instant) -> Option<u64> {
        let clock = self.hub.upgrade()?.settings.engine.idempotency()?.clock;
        let expected = self.clock(now);
        if clock.abs_diff(expected) > CLOCK_TOLERANCE {
            if clock < expected {
                self.window.forget_early(clock);
            }
            *self.origin.lock() = (clock, now);
        }
        Some(clock)
    }

    fn with<T>(&self, act: impl FnOnce(&dyn Records) -> T) -> Option<T> {
        self.hub.upgrade()?.settings.engine.records().map(act)
    }

    /// Removes the record of a call that is forgotten before its time, and stores that keys of this age may be forgotten.
    pub(super) fn forget_early(&self, call: &RememberedCall, remembered_at: u64) {
        self.remove(call);
        if remembered_at < self.forgotten.load(Ordering::Relaxed) {
            return;
        }
        // Seldom: in whole seconds, rounded up.
        let forgotten = remembered_at.saturating_add(FORGOTTEN_STEP);
        self.forgotten.store(forgotten, Ordering::Relaxed);
        let mut value = ValueWriter::new(VERSION);
        value.number(forgotten);
        let expires = SystemTime::now().checked_add(FORGOTTEN_MATTERS).unwrap_or_else(SystemTime::now);
        let record = Record {
            kind: RecordKind::Call,
            key: Bytes::from_static(FORGOTTEN_KEY),
            value: value.finish(),
            expires,
        };
        self.with(|store| drop(store.put(record)));
    }

    fn remove(&self, call: &RememberedCall) {
        if let Some(key) = &call.record {
            self.with(|store| drop(store.remove(RecordKind::Call, key.clone())));
        }
    }
}

impl CallMemory {
    /// Stores that a call begins. `None` if it is not stored: there is no store, or no client can come back for it.
    pub(super) fn store_begun(&self, key: &CallKey, until: Instant) -> Option<(Bytes, EngineFuture<()>)> {
        let store = self.store.get()?;
        let value = encode(key, None)?;
        let number = store.records.fetch_add(1, Ordering::Relaxed);
        let record_key = Bytes::from([store.scope.to_be_bytes(), number.to_be_bytes()].concat());
        let record = record(record_key.clone(), value, until);
        Some((record_key, store.with(|store| store.put(record))?))
    }

    /// Stores the answer of a call, if its key is still kept.
    pub(super) fn store_answer(
        &self,
        state: &CallMemoryState,
        number: u64,
        answer: &Result<Payload, ErrorInfo>,
    ) -> Option<EngineFuture<()>> {
        let store = self.store.get()?;
        let call = state.by_age.get(&number)?;
        let key = call.record.clone()?;
        let record = record(key, encode(&call.key, Some(answer))?, call.until);
        store.with(|store| store.put(record))
    }

    pub(super) fn remove_record(&self, call: &RememberedCall) {
        if let Some(store) = self.store.get() {
            store.remove(call);
        }
    }

    /// Restores the calls of an earlier process, and stores calls from now on. `idempotency` is that of the engine, and `wall`
    /// the present time of the wall clock. Returns the number of damaged records, which are skipped.
    pub(crate) fn restore(
        &self,
        hub: Weak<Inner>,
        idempotency: &Idempotency,
        mut records: Vec<Record>,
        wall: SystemTime,
    ) -> usize {
        let now = Instant::now();
        let window = KeyWindow::new(format!("{}/calls", idempotency.scope));
        let mut state = self.state.lock();
        let mut damaged = 0_usize;
        // By age. The ones of a process are in their order already.
        records.sort_by_key(|record| record.expires);
        let mut forgotten = 0;
        for Record { key, value, expires, .. } in records {
            if *key == *FORGOTTEN_KEY {
                match ValueReader::new(&value, VERSION).and_then(|mut value| value.number()) {
                    // Never later than the present, or nothing would be announced any more.
                    Some(clock) => forgotten = clock.min(idempotency.clock.saturating_add(FORGOTTEN_STEP)),
                    None => damaged = damaged.saturating_add(1),
                }
                continue;
            }
            let Some(call) = decode(&value) else {
                damaged = damaged.saturating_add(1);
                continue;
            };
            let left = expires.duration_since(wall).unwrap_or_default().min(KeyWindow::KEPT);
            if let Some(until) = now.checked_add(left).filter(|until| *until > now) {
                state.restore(call, key, until);
            }
        }
        if forgotten > 0 {
            window.forget_early(forgotten);
        }
        let store = CallStore {
            hub,
            window,
            origin: Mutex::new((idempotency.clock, now)),
            scope: RandomState::new().hash_one(0),
            records: AtomicU64::new(0),
            forgotten: AtomicU64::new(forgotten),
        };
        // Records are loaded once.
        let _ = self.store.set(store);
        self.forget(&mut state);
        damaged
    }
}

impl CallMemoryState {
    fn restore(&mut self, StoredCall { key, answer }: StoredCall, record: Bytes, until: Instant) {
        if let Some(older) = self.by_key.get(&key).cloned() {
            self.remove(&older);
        }
        // A call without an answer may have been carried out.
        let answer = answer.unwrap_or_else(|| Err(ErrorInfo::from_code(ErrorCode::CONNECTION_LOST)));
        let bytes = bytes_of(&answer);
        let number = self.numbers;
        self.numbers = number.wrapping_add(1);
        let call = Arc::new(RememberedCall {
            number,
            key: key.clone(),
            until,
            answer: ready(answer).boxed().shared(),
            task: None,
            record: Some(record),
            waiting: AtomicUsize::new(0),
            bytes: OnceLock::new(),
        });
        self.by_key.insert(key, Arc::clone(&call));
        self.by_age.insert(number, call);
        self.ended(number, bytes);
    }
}

fn record(key: Bytes, value: Bytes, until: Instant) -> Record {
    let now = SystemTime::now();
    let left = until.saturating_duration_since(Instant::now());
    Record { kind: RecordKind::Call, key, value, expires: now.checked_add(left).unwrap_or(now) }
}

/// The value of a record; `None` for a call of an anonymous session.
fn encode(
    CallKey { owner, name, key }: &CallKey,
    answer: Option<&Result<Payload, ErrorInfo>>,
) -> Option<Bytes> {
    let KeyOwner::User(user) = owner else { return None };
    let mut value = ValueWriter::new(VERSION);
    for text in [user, name, key] {
        value.bytes(text.as_bytes());
    }
    if let Some(answer) = answer {
        let result = answer.clone().map(|payload| ReplyBody::Called(Called { payload, more: false }));
        value.bytes(&Codec::Protobuf.encode_frame(&ServerFrame::Reply(Reply { id: 1, result })));
    }
    Some(value.finish())
}

/// `None` for a damaged value.
fn decode(value: &Bytes) -> Option<StoredCall> {
    let mut value = ValueReader::new(value, VERSION)?;
    let [user, name, key] = [value.text()?, value.text()?, value.text()?];
    let key = CallKey { owner: KeyOwner::User(user.into()), name: name.into(), key: key.into() };
    if value.is_at_end() {
        return Some(StoredCall { key, answer: None });
    }
    let frame = value.bytes().filter(|_| value.is_at_end())?;
    let ServerFrame::Reply(reply) = Codec::Protobuf.decode_frames(&frame).next()?.ok()? else { return None };
    let answer = match reply.result {
        Ok(ReplyBody::Called(called)) => Ok(called.payload),
        Ok(_) => return None,
        Err(error) => Err(error),
    };
    Some(StoredCall { key, answer: Some(answer) })
}

/// The version of the records' values.
const VERSION: u8 = 1;

/// The key of the record with the clock time before which keys may be forgotten.
const FORGOTTEN_KEY: &[u8] = b"forgotten";

/// The difference from the engine's clock that is of no importance, in milliseconds. After a crash the clock of the engine on disk
/// stands still for half a minute at most, and keys are kept for a minute longer than announced.
const CLOCK_TOLERANCE: u64 = 31_000;

/// The step of that time, in milliseconds, and the time for which it matters: half of it is announced.
const FORGOTTEN_STEP: u64 = 1000;
const FORGOTTEN_MATTERS: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::super::{MAX_BYTES, PendingCall};
    use super::*;
    use crate::engine::storing::StoringEngine;
    use crate::{Builder, Hub};

    fn hub(engine: &StoringEngine) -> Hub {
        Builder::open().engine(engine.restarted()).build()
    }

    fn call(hub: &Hub, key: &str, bytes: usize) -> PendingCall {
        let answer = Payload::bytes(vec![0; bytes]);
        let owner = KeyOwner::User("ann".into());
        hub.call_memory().call(owner, "f", key, || Box::pin(async { Ok(answer) })).0
    }

    #[tokio::test(start_paused = true)]
    async fn the_announced_period_is_short_after_a_restart_if_keys_were_forgotten() {
        let engine = StoringEngine::default();
        let before = hub(&engine);
        for key in ["1", "2"] {
            assert!(call(&before, key, MAX_BYTES / 2 + 1).await.is_ok());
            tokio::time::advance(Duration::from_secs(10)).await;
        }
        let after = hub(&engine);
        let windows = [before, after].map(|hub| hub.call_memory().idempotency("ann").unwrap());
        assert_eq!(windows.clone().map(|memory| memory.window.as_secs()), [9, 9], "{windows:?}");
        let keys: Vec<_> = engine.stored(RecordKind::Call).into_iter().map(|record| record.key).collect();
        assert_eq!(keys.len(), 2, "the record of the first call is gone: {keys:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn restored_calls_have_their_age_and_the_bounds_of_others() {
        let engine = StoringEngine::default();
        assert!(call(&hub(&engine), "k", 1).await.is_ok());
        let records = engine.stored(RecordKind::Call);
        let memory = || Idempotency { scope: "store".into(), window: Duration::ZERO, clock: 1_000_000 };
        let restored = |records: Vec<Record>, passed| {
            let restored = Arc::new(CallMemory::new());
            let wall = SystemTime::now() + Duration::from_secs(passed);
            assert_eq!(restored.restore(Weak::new(), &memory(), records, wall), 0);
            restored
        };
        for (passed, left) in [(0, 1), (100, 1), (180, 0)] {
            assert_eq!(restored(records.clone(), passed).state.lock().by_key.len(), left, "{passed}");
        }
        let aged = restored(records, 100);
        tokio::time::advance(Duration::from_secs(81)).await;
        aged.forget(&mut aged.state.lock());
        assert!(aged.state.lock().by_key.is_empty());
        let window = |memory: &CallMemory| memory.window().idempotency(memory.clock(Instant::now())).window;
        assert_eq!(window(&aged), KeyWindow::LONGEST, "it was not early");

        let large = || {
            let key = CallKey {
                owner: KeyOwner::User("ann".into()),
                name: "f".into(),
                key: RandomState::new().hash_one(0).to_string().into(),
            };
            let answer = Ok(Payload::bytes(vec![0; MAX_BYTES / 4 + 1]));
            let value = encode(&key, Some(&answer)).unwrap();
            record(Bytes::from(key.key.to_string()), value, Instant::now() + KeyWindow::KEPT)
        };
        let full = restored((0..6).map(|_| large()).collect(), 20);
        assert_eq!(full.state.lock().by_key.len(), 3);
        assert!(full.state.lock().bytes <= MAX_BYTES);
        assert!(window(&full) < Duration::from_secs(11));
    }

    #[tokio::test(start_paused = true)]
    async fn the_announced_clock_is_the_engine_s_and_older_keys_are_not_promised_if_it_stood_still() {
        let engine = StoringEngine::default();
        let hub = hub(&engine);
        let announced = || hub.call_memory().idempotency("ann").unwrap();
        tokio::time::advance(Duration::from_secs(100)).await;
        assert_eq!((announced().clock, announced().window), (100_000, KeyWindow::LONGEST));
        engine.set_clock_lag(30_000);
        assert_eq!((announced().clock, announced().window), (70_000, KeyWindow::LONGEST), "after a crash");
        engine.set_clock_lag(40_000);
        assert_eq!((announced().clock, announced().window), (60_000, Duration::ZERO));
        tokio::time::advance(Duration::from_secs(20)).await;
        assert_eq!((announced().clock, announced().window.as_secs()), (80_000, 9));
        tokio::time::advance(Duration::from_secs(300)).await;
        engine.set_clock_lag(0);
        assert_eq!((announced().clock, announced().window), (420_000, KeyWindow::LONGEST), "it is ahead");
    }
}
