//! An engine with records, for tests.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::Instant;
use wirehub_common::frame::{HistoryPage, Idempotency, Position};

use super::{
    Delivery, Engine, EngineError, EngineErrorKind, EngineFuture, EnginePublish, KeyWindow, Locate, Located,
    MemoryEngine, Publications, ReadHistory, Record, RecordKind, Records,
};

/// A [`MemoryEngine`] with a store of records. Clones are the same engine; [`Self::restarted`] is another one with the same
/// store, as after the restart of a process.
#[derive(Debug, Clone, Default)]
pub(crate) struct StoringEngine {
    memory: Arc<MemoryEngine>,
    store: Arc<Store>,
}

#[derive(Debug, Default)]
struct Store {
    records: Mutex<BTreeMap<(RecordKind, Bytes), Record>>,
    mode: watch::Sender<StoreMode>,
    /// The clock of keys goes on after a restart.
    begun: OnceLock<Instant>,
    clock_lag: AtomicU64,
}

/// The way in which requests are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum StoreMode {
    #[default]
    AtOnce,
    /// Later, as by a store on a disk.
    Later,
    /// When the mode changes. The change takes place before.
    Held,
    Failing,
}

impl StoringEngine {
    pub(crate) fn restarted(&self) -> Self {
        Self { memory: Arc::default(), store: Arc::clone(&self.store) }
    }

    pub(crate) fn set_mode(&self, mode: StoreMode) {
        self.store.mode.send_replace(mode);
    }

    /// Sets the time for which the clock of keys stood still, in milliseconds.
    pub(crate) fn set_clock_lag(&self, lag: u64) {
        self.store.clock_lag.store(lag, Ordering::Relaxed);
    }

    pub(crate) fn stored(&self, kind: RecordKind) -> Vec<Record> {
        let records = self.store.records.lock();
        records.values().filter(|record| record.kind == kind).cloned().collect()
    }

    /// Puts a record regardless of the mode.
    pub(crate) fn overwrite(&self, record: Record) {
        self.store.records.lock().insert((record.kind, record.key.clone()), record);
    }

    fn answer<T: Send + Unpin + 'static>(&self, act: impl FnOnce(&Self) -> T) -> EngineFuture<T> {
        let mode = *self.store.mode.borrow();
        let failed = || EngineError::new(EngineErrorKind::Unavailable, "it is away");
        if mode == StoreMode::Failing {
            return EngineFuture::Now(Err(failed()));
        }
        let value = act(self);
        if mode == StoreMode::AtOnce {
            return EngineFuture::Now(Ok(value));
        }
        let mut modes = self.store.mode.subscribe();
        EngineFuture::Later(Box::pin(async move {
            yield_now().await;
            match modes.wait_for(|mode| *mode != StoreMode::Held).await.as_deref() {
                Ok(StoreMode::Failing) | Err(_) => Err(failed()),
                Ok(_) => Ok(value),
            }
        }))
    }
}

impl Engine for StoringEngine {
    fn start(&self, delivery: Delivery) {
        self.memory.start(delivery);
    }

    fn records(&self) -> Option<&dyn Records> {
        Some(self)
    }
}

impl Records for StoringEngine {
    fn put(&self, record: Record) -> EngineFuture<()> {
        self.answer(|engine| engine.overwrite(record))
    }

    fn remove(&self, kind: RecordKind, key: Bytes) -> EngineFuture<()> {
        self.answer(|engine| drop(engine.store.records.lock().remove(&(kind, key))))
    }

    fn load(&self, kind: RecordKind) -> EngineFuture<Vec<Record>> {
        self.answer(|engine| engine.stored(kind))
    }
}

impl Publications for StoringEngine {
    fn idempotency(&self) -> Option<Idempotency> {
        let begun = self.store.begun.get_or_init(Instant::now);
        let clock = u64::try_from(begun.elapsed().as_millis()).ok()?;
        let lag = self.store.clock_lag.load(Ordering::Relaxed);
        Some(KeyWindow::new("store").idempotency(clock.saturating_sub(lag)))
    }

    fn publish(&self, publish: EnginePublish) -> EngineFuture<Option<Position>> {
        self.memory.publish(publish)
    }

    fn locate(&self, locate: Locate) -> EngineFuture<Located> {
        self.memory.locate(locate)
    }

    fn history(&self, read: ReadHistory) -> EngineFuture<Option<HistoryPage>> {
        self.memory.history(read)
    }
}
