//! The engine: the hub's traits on the store.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use futures_channel::oneshot;
use wirehub_common::ChannelName;
use wirehub_common::frame::{HistoryPage, Idempotency, Position, Publication};
use wirehub_hub::engine::{
    Backup, BackupError, Backups, Delivery, Engine, EngineError, EngineErrorKind, EngineFuture, EngineMetric,
    EnginePublish, Locate, Located, Publications, ReadHistory, Record, RecordKind, Records,
};

use crate::clock::milliseconds;
use crate::error::{DiskError, DiskErrorKind};
use crate::open;
use crate::options::DiskOptions;
use crate::queue::{Answer, Publish, Request, stopped};
use crate::read::{Reading, read};
use crate::shared::{Shared, Target};

/// Keeps the history of channels, their offsets and epochs, and the keys of publishes in a directory.
///
/// A restart loses nothing that was acknowledged, see [`Durability`](crate::Durability). One process uses a directory at a time.
/// If it is dropped, waiting publishes are written first.
pub struct DiskEngine {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl DiskEngine {
    /// Opens a data directory, or creates it.
    ///
    /// # Errors
    /// The directory is in use, damaged, of a newer version, or not accessible. The message describes the next step.
    pub fn open(path: impl AsRef<Path>, options: DiskOptions) -> Result<Self, DiskError> {
        let (shared, threads) = open::open(path.as_ref(), options)?;
        Ok(Self { shared, threads })
    }

    /// Copies the store into a new data directory while the engine works. The copy is of one moment. It can be opened like
    /// every data directory. This takes as long as reading and writing the whole store, so call it on a thread of its own.
    ///
    /// # Errors
    /// `into` exists and is not empty, or the copy could not be read or written. Remove an incomplete copy.
    pub fn backup(&self, into: impl AsRef<Path>) -> Result<(), DiskError> {
        crate::copy::backup(&self.shared, into.as_ref())
    }

    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Engine for DiskEngine {
    fn start(&self, delivery: Delivery) {
        // If another hub's engine has been started already, the first one keeps the delivery.
        let _ = self.shared.target.set(Box::new(delivery));
    }

    fn ready(&self) -> Result<(), EngineError> {
        self.shared.health.lock().clone().map_or(Ok(()), |error| Err(engine_error(error)))
    }

    fn metrics(&self) -> Vec<EngineMetric> {
        crate::figures::metrics(&self.shared)
    }

    fn records(&self) -> Option<&dyn Records> {
        Some(self)
    }

    fn backups(&self) -> Option<&dyn Backups> {
        self.shared.options.backups.as_ref().map(|_| self as _)
    }

    fn stop(&self) -> EngineFuture<()> {
        let (answer, later) = oneshot::channel();
        self.shared.end.wait(answer);
        self.shared.queue.close();
        future(later)
    }
}

impl Publications for DiskEngine {
    fn idempotency(&self) -> Option<Idempotency> {
        // A time that was announced must not come again after a restart.
        let promised = self.shared.clock_limit.load(Ordering::Relaxed);
        Some(self.shared.keys.idempotency(self.shared.clock.now().min(promised)))
    }

    fn publish(&self, publish: EnginePublish) -> EngineFuture<Option<Position>> {
        let EnginePublish { channel, payload, publisher, key, history, .. } = publish;
        if history.is_none() && key.is_empty() && self.shared.queue.is_idle(&channel) {
            let time = crate::clock::unix_milliseconds();
            self.shared.deliver(Publication { channel, payload, time, publisher, offset: 0 });
            return EngineFuture::Now(Ok(None));
        }
        let publish = Publish { channel, payload, publisher, key, history };
        self.request(|answer| Request::Publish(publish, answer))
    }

    fn locate(&self, locate: Locate) -> EngineFuture<Located> {
        reading(read(&self.shared, locate))
    }

    fn history(&self, request: ReadHistory) -> EngineFuture<Option<HistoryPage>> {
        reading(read(&self.shared, request))
    }
}

impl Records for DiskEngine {
    fn put(&self, record: Record) -> EngineFuture<()> {
        let Record { kind, key, value, expires } = record;
        let expires = expires.duration_since(UNIX_EPOCH).map_or(0, milliseconds);
        self.request(|answer| Request::Put { kind: kind.number(), key, value, expires, answer })
    }

    fn remove(&self, kind: RecordKind, key: Bytes) -> EngineFuture<()> {
        self.request(|answer| Request::Remove { kind: kind.number(), key, answer })
    }

    fn load(&self, kind: RecordKind) -> EngineFuture<Vec<Record>> {
        let record = move |(key, value, expires)| {
            let expires = UNIX_EPOCH.checked_add(Duration::from_millis(expires)).unwrap_or(UNIX_EPOCH);
            Record { kind, key, value, expires }
        };
        let records = move |values: Vec<_>| values.into_iter().map(record).collect();
        if let Some(values) = self.shared.values.lock().remove(&kind.number()) {
            return EngineFuture::Now(Ok(records(values)));
        }
        let (answer, later) = oneshot::channel();
        // If too many requests wait, the answer is dropped, and so the request fails.
        self.shared.jobs.push(move |shared| drop(answer.send(shared.read_values(kind.number()))));
        future(later).map(records)
    }
}

impl Backups for DiskEngine {
    fn begin(&self, name: &str) -> Result<(), BackupError> {
        let folder = self.shared.options.backups.as_deref().ok_or(BackupError::System)?;
        crate::backups::begin(&self.shared, folder, name)
    }

    fn latest(&self) -> Option<Backup> {
        self.shared.backup.lock().clone()
    }
}

impl DiskEngine {
    fn request<T: Send + 'static>(&self, request: impl FnOnce(Answer<T>) -> Request) -> EngineFuture<T> {
        let (answer, later) = oneshot::channel();
        self.shared.queue.push(request(answer));
        future(later)
    }
}

impl Target for Delivery {
    fn deliver(&self, publication: Publication, epoch: &Arc<str>) {
        Delivery::deliver(self, publication, epoch);
    }

    fn is_wanted(&self, channel: &ChannelName) -> bool {
        Delivery::is_wanted(self, channel)
    }
}

fn reading<T: Send + Unpin + 'static>(reading: Reading<T>) -> EngineFuture<T> {
    match reading {
        Reading::Now(result) => EngineFuture::Now(result.map_err(engine_error)),
        Reading::Later(later) => future(later),
    }
}

fn future<T: Send + 'static>(later: oneshot::Receiver<Result<T, DiskError>>) -> EngineFuture<T> {
    EngineFuture::Later(Box::pin(async move {
        later.await.unwrap_or_else(|_| Err(dropped())).map_err(engine_error)
    }))
}

/// The request was dropped without an answer, by a panic or at the end.
fn dropped() -> DiskError {
    DiskError::new(DiskErrorKind::Unavailable, format!("the request was not answered, or {}", stopped()))
}

fn engine_error(error: DiskError) -> EngineError {
    let kind = match error.kind() {
        DiskErrorKind::Overloaded => EngineErrorKind::Overloaded,
        DiskErrorKind::Full | DiskErrorKind::Unavailable | DiskErrorKind::Io => EngineErrorKind::Unavailable,
        DiskErrorKind::Corrupt => EngineErrorKind::Corrupt,
        DiskErrorKind::InUse
        | DiskErrorKind::NewerFormat
        | DiskErrorKind::ReadOnly
        | DiskErrorKind::Permission
        | DiskErrorKind::Refused => EngineErrorKind::Refused,
    };
    EngineError::new(kind, error)
}

impl Drop for DiskEngine {
    fn drop(&mut self) {
        self.shared.queue.close();
        self.shared.jobs.close();
        for thread in self.threads.drain(..) {
            // It has logged its panic.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for DiskEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskEngine").field("path", &self.shared.path).finish_non_exhaustive()
    }
}
