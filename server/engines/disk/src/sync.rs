//! The synchronisation of the journal beside the work of the writer, on a thread of its own.
//!
//! The storage synchronises under the lock under which it writes. So the thread opens the journal itself: a synchronisation of
//! a file covers everything that was written to it before, through any handle. Older journals are on the disk already: the
//! storage synchronises a journal, its folder and the next one before it writes the next one.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use crate::error::{DiskError, DiskErrorKind};
use crate::figures::Unsynced;
use crate::shared::Shared;
use crate::store::Store;

/// The writer's side.
#[derive(Debug)]
pub(crate) struct Syncs {
    /// At most one waits.
    jobs: SyncSender<Arc<Store>>,
    results: Receiver<Result<(), DiskError>>,
    /// The changes of the present synchronisation, and those after its beginning.
    running: Option<Part>,
    open: Option<Part>,
}

/// Written changes up to a batch.
#[derive(Debug, Clone, Copy)]
struct Part {
    batch: u64,
    unsynced: Unsynced,
}

impl Part {
    fn and(self, later: Option<Self>) -> Self {
        let batch = later.map_or(self.batch, |later| later.batch.max(self.batch));
        Self { batch, unsynced: self.unsynced.and(later.map(|later| later.unsynced)) }
    }
}

impl Syncs {
    /// Starts the thread. It ends after the drop of its writer.
    pub(crate) fn start(shared: &Arc<Shared>) -> io::Result<(Self, JoinHandle<()>)> {
        let (jobs, work) = sync_channel::<Arc<Store>>(1);
        let (done, results) = sync_channel(1);
        let shared = Arc::clone(shared);
        let thread = Builder::new().name("wirehub-disk-sync".into()).spawn(move || {
            let mut journal = Journal::default();
            for store in work {
                let began = Instant::now();
                let synced = std::panic::AssertUnwindSafe(|| journal.sync(&shared, &store));
                let synced = std::panic::catch_unwind(synced).unwrap_or_else(|_| Err(ended()));
                // The writer may close the store from here on.
                drop(store);
                if synced.is_ok() {
                    shared.figures.synced(began.elapsed());
                }
                if done.send(synced).is_err() {
                    return;
                }
                shared.queue.wake();
            }
        })?;
        Ok((Self { jobs, results, running: None, open: None }, thread))
    }

    /// Notes changes that were written and not synchronised.
    pub(crate) fn wrote(&mut self, batch: u64, unsynced: Unsynced) {
        let part = Part { batch, unsynced };
        self.open = Some(self.open.map_or(part, |open| open.and(Some(part))));
    }

    /// Everything is on the disk.
    pub(crate) fn all_synced(&mut self) {
        self.open = None;
    }

    /// Everything that may not be on the disk.
    pub(crate) fn unsynced(&self) -> Option<Unsynced> {
        self.running.map_or(self.open, |running| Some(running.and(self.open))).map(|part| part.unsynced)
    }

    /// The time of the next beginning if changes wait at most so long for it.
    pub(crate) fn next(&self, wait: Duration) -> Option<Duration> {
        let open = self.open.filter(|_| self.running.is_none())?;
        Some(wait.saturating_sub(open.unsynced.since.elapsed()))
    }

    /// Begins, unless one is running or there is nothing to do.
    pub(crate) fn begin(&mut self, store: &Arc<Store>) {
        if self.running.is_none() && self.open.is_some() && self.jobs.try_send(Arc::clone(store)).is_ok() {
            self.running = self.open.take();
        }
    }

    /// The result of a finished one: the newest batch that is certainly on the disk.
    pub(crate) fn finished(&mut self) -> Option<Result<u64, DiskError>> {
        self.running?;
        let result = self.results.try_recv().ok()?;
        self.end(result)
    }

    /// Waits for the end of the running one.
    pub(crate) fn wait(&mut self) -> Option<Result<u64, DiskError>> {
        self.running?;
        let result = self.results.recv().unwrap_or_else(|_| Err(ended()));
        self.end(result)
    }

    fn end(&mut self, result: Result<(), DiskError>) -> Option<Result<u64, DiskError>> {
        let part = self.running.take()?;
        if result.is_err() {
            self.open = Some(part.and(self.open));
        }
        Some(result.map(|()| part.batch))
    }
}

fn ended() -> DiskError {
    DiskError::new(DiskErrorKind::Unavailable, "the thread that syncs the journal failed; see the log")
}

/// The newest journal. It stays open, so that the operating system reports every failed write to it.
#[derive(Debug, Default)]
struct Journal(Option<(PathBuf, File)>);

impl Journal {
    fn sync(&mut self, shared: &Shared, store: &Store) -> Result<(), DiskError> {
        #[cfg(test)]
        shared.options.before_sync.call().map_err(|error| DiskError::io(&shared.path, error))?;
        let _ = shared;
        loop {
            let path = newest(store.path())?;
            if self.0.as_ref().is_none_or(|(open, _)| *open != path) {
                // The end of the last one is on the disk: the storage did that before it began this one.
                self.0 = match OpenOptions::new().write(true).open(&path) {
                    Ok(file) => Some((path, file)),
                    // It was replaced meanwhile, and removed.
                    Err(error)
                        if error.kind() == io::ErrorKind::NotFound && newest(store.path())? != path =>
                    {
                        continue;
                    }
                    Err(error) => return Err(DiskError::io(&path, error)),
                };
            }
            return match &self.0 {
                Some((path, file)) => file.sync_data().map_err(|error| DiskError::io(path, error)),
                None => Ok(()),
            };
        }
    }
}

fn newest(store: &Path) -> Result<PathBuf, DiskError> {
    let newest = crate::journal::paths(store)?.pop();
    newest.ok_or_else(|| crate::store::corrupt(store, "every journal (`*.jnl`) is missing"))
}
