//! The records of an earlier process.

use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::SetOnce;
use tokio::time::{sleep, timeout};

use super::{Hub, Inner};
use crate::engine::{EngineError, EngineErrorKind, EngineFuture, Record, RecordKind, Records};

/// The state of the records that are restored.
pub(crate) struct Restoring {
    is_done: Arc<SetOnce<()>>,
    /// The records that are being loaded, until a task waits for them.
    loading: Mutex<Vec<Loading>>,
}

type Loading = (RecordKind, EngineFuture<Vec<Record>>);

impl Restoring {
    pub(super) fn new() -> Self {
        Self { is_done: Arc::default(), loading: Mutex::default() }
    }

    fn set_done(&self) {
        // It can't be done already.
        let _ = self.is_done.set(());
    }
}

impl Hub {
    /// Restores the records of the engine: at once if they are there, otherwise later.
    pub(super) fn restore(&self) {
        let restoring = &self.inner.restoring;
        if let Some(store) = self.engine().records() {
            // Calls are stored for the next process with the scope of the engine, which several nodes share: a client that comes back
            // on another node would repeat a call there. So each node has a scope of its own, and nothing is stored.
            let has_calls = self.engine().nodes().is_none();
            for kind in RecordKind::ALL.into_iter().filter(|kind| has_calls || *kind != RecordKind::Call) {
                match store.load(kind) {
                    EngineFuture::Now(Ok(records)) => self.restore_records(kind, records),
                    later => restoring.loading.lock().push((kind, later)),
                }
            }
        }
        if restoring.loading.lock().is_empty() {
            restoring.set_done();
        }
        self.continue_restoring();
    }

    /// Waits for the records in a task. If there was no runtime when the hub was built, the first session does this.
    pub(crate) fn continue_restoring(&self) {
        if let Ok(runtime) = Handle::try_current() {
            let loading = std::mem::take(&mut *self.inner.restoring.loading.lock());
            if !loading.is_empty() {
                runtime.spawn(restore_later(self.downgrade(), loading));
            }
        }
    }

    /// `true` if the records of the engine are restored.
    pub(crate) fn is_restored(&self) -> bool {
        self.inner.restoring.is_done.initialized()
    }

    /// Waits until the records are restored, for a limited time.
    pub(crate) fn restored(&self) -> impl Future<Output = Result<(), EngineError>> + Send + use<> {
        self.continue_restoring();
        let is_done = Arc::clone(&self.inner.restoring.is_done);
        async move {
            let waited = timeout(PATIENCE, is_done.wait()).await;
            waited.copied().map_err(|_| {
                let words = "its stored alarms and calls are not loaded yet: try again later";
                EngineError::new(EngineErrorKind::Unavailable, words)
            })
        }
    }

    fn restore_records(&self, kind: RecordKind, records: Vec<Record>) {
        let damaged = match kind {
            RecordKind::Alarm => self.restore_alarms(records, SystemTime::now()),
            RecordKind::Call => match self.engine().idempotency() {
                Some(memory) => {
                    self.call_memory().restore(self.downgrade(), &memory, records, SystemTime::now())
                }
                // Without a scope of the engine no client repeats a call after a restart.
                None => 0,
            },
        };
        if damaged > 0 {
            tracing::error!("{damaged} records of the engine are damaged and are skipped: {kind:?}");
        }
    }

    /// Removes records that are not needed any more, a few at a time.
    pub(crate) fn remove_records(&self, kind: RecordKind, keys: Vec<Bytes>) {
        if keys.is_empty() {
            return;
        }
        let hub = self.downgrade();
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                for keys in keys.chunks(REMOVED_AT_ONCE) {
                    let Some(inner) = hub.upgrade() else { return };
                    let removed = inner.settings.engine.records().map(|store| remove(store, kind, keys));
                    drop(inner);
                    // A record that is left expires.
                    join_all(removed.into_iter().flatten()).await;
                }
            });
        } else if let Some(store) = self.engine().records() {
            drop(remove(store, kind, &keys));
        }
    }
}

fn remove(store: &dyn Records, kind: RecordKind, keys: &[Bytes]) -> Vec<EngineFuture<()>> {
    keys.iter().map(|key| store.remove(kind, key.clone())).collect()
}

async fn restore_later(hub: Weak<Inner>, loading: Vec<Loading>) {
    join_all(loading.into_iter().map(|loading| restore_kind(&hub, loading))).await;
    if let Some(inner) = hub.upgrade() {
        inner.restoring.set_done();
    }
}

/// Restores the records of a kind, as soon as they can be loaded.
async fn restore_kind(hub: &Weak<Inner>, (kind, mut loading): Loading) {
    loop {
        match loading.await {
            Ok(records) => {
                if let Some(hub) = Hub::upgrade(hub) {
                    hub.restore_records(kind, records);
                }
                return;
            }
            Err(error) => tracing::error!("stored records can't be loaded; this is tried again: {error}"),
        }
        sleep(RETRY).await;
        let Some(inner) = hub.upgrade() else { return };
        let Some(store) = inner.settings.engine.records() else { return };
        loading = store.load(kind);
    }
}

/// Carries a request out even if its caller does not wait for the end.
pub(crate) async fn carry_out<T: Send + 'static>(
    request: impl Future<Output = Result<T, EngineError>> + Send + 'static,
) -> Result<T, EngineError> {
    let mut request = Box::pin(request);
    // Mostly the answer is there. A pending one is polled again with the right waker.
    if let Poll::Ready(result) = request.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        return result;
    }
    let Ok(runtime) = Handle::try_current() else { return request.await };
    let stopped = |_| Err(EngineError::new(EngineErrorKind::Internal, "the runtime is stopping"));
    runtime.spawn(request).await.unwrap_or_else(stopped)
}

/// The time that a command waits for the records, and the time between two tries to load them.
const PATIENCE: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_secs(5);

/// The number of records that are removed at once.
const REMOVED_AT_ONCE: usize = 64;
