//! The common state of the engine, the writer and the readers.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex, RwLock};
use wirehub_common::ChannelName;
use wirehub_common::frame::{Position, Publication};
use wirehub_hub::engine::{Backup, KeyWindow};

use crate::channels::Channels;
use crate::clock::{Clock, unix_milliseconds};
use crate::error::{DiskError, DiskErrorKind};
use crate::figures::Figures;
use crate::options::DiskOptions;
use crate::queue::{Answer, Queue};
use crate::record::ChannelState;
use crate::store::Store;

/// The recipient of accepted publications.
pub(crate) trait Target: Send + Sync {
    fn deliver(&self, publication: Publication, epoch: &Arc<str>);
    /// `true` if the channel has a subscriber.
    fn is_wanted(&self, channel: &ChannelName) -> bool;
}

pub(crate) struct Shared {
    pub(crate) path: std::path::PathBuf,
    pub(crate) options: DiskOptions,
    /// The announced clock, and that of keys. A crash moves it forward by a reserve.
    pub(crate) clock: Clock,
    /// The clock of everything else that expires. A crash does not move it.
    pub(crate) time: Clock,
    pub(crate) queue: Queue,
    pub(crate) channels: Channels,
    pub(crate) jobs: Jobs,
    pub(crate) target: OnceLock<Box<dyn Target>>,
    /// `None` while the store is opened again.
    pub(crate) store: RwLock<Option<Arc<Store>>>,
    /// The reason why publishes are refused at the moment.
    pub(crate) health: Mutex<Option<DiskError>>,
    /// The period for which keys are remembered, and the number in its scope.
    pub(crate) keys: KeyWindow,
    pub(crate) scope: u64,
    pub(crate) generation: u64,
    /// The epoch of channels without history.
    pub(crate) no_epoch: Arc<str>,
    pub(crate) damaged: Damaged,
    pub(crate) figures: Figures,
    /// The newest backup.
    pub(crate) backup: Mutex<Option<Backup>>,
    /// The durable values by kind, as they were at the start, until they are asked for.
    pub(crate) values: Mutex<HashMap<u8, Vec<Valued>>>,
    pub(crate) end: End,
    /// The clock's time that is promised in the store: a restart does not go behind it.
    pub(crate) clock_limit: AtomicU64,
    /// The newest batch that is on the disk, and the newest that is written.
    pub(crate) synced: AtomicU64,
    pub(crate) written: AtomicU64,
}

impl Shared {
    /// The store, for one request. A reader must not keep it.
    pub(crate) fn store(&self) -> Result<Arc<Store>, DiskError> {
        self.store.read().clone().ok_or_else(|| {
            let reason = self.health.lock().clone();
            reason.unwrap_or_else(|| {
                DiskError::new(DiskErrorKind::Unavailable, "the store is opened again: try again")
            })
        })
    }

    pub(crate) fn epoch_name(&self, epoch: u64) -> String {
        name(epoch, self.generation)
    }

    /// Delivers a publication without history.
    pub(crate) fn deliver(&self, publication: Publication) {
        if let Some(target) = self.target.get() {
            target.deliver(publication, &self.no_epoch);
        }
    }

    pub(crate) fn read_values(&self, kind: u8) -> Result<Vec<Valued>, DiskError> {
        let now = self.time.now().min(unix_milliseconds());
        crate::read::values(&*self.store()?, &self.path, kind, now)
    }

    pub(crate) fn position(&self, epoch: u64, offset: u64) -> Position {
        Position { offset, epoch: self.epoch_name(epoch) }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("store", &self.store).finish_non_exhaustive()
    }
}

/// The newest unreadable publication of each channel, by the channel's id. Readers take it for the newest lost one.
#[derive(Debug, Default)]
pub(crate) struct Damaged(RwLock<HashMap<u64, u64>>);

impl Damaged {
    /// Notes damage, and logs it once.
    pub(crate) fn add(&self, channel: &ChannelName, id: u64, offset: u64, error: &DiskError) {
        let mut damaged = self.0.write();
        let known = damaged.entry(id).or_default();
        if offset > *known {
            *known = offset;
            tracing::error!(%error, %channel, "publications up to the offset {offset} can't be read: they count as lost");
        }
    }

    /// The number of channels with damage.
    pub(crate) fn len(&self) -> usize {
        self.0.read().len()
    }

    /// The state without what can't be read.
    pub(crate) fn without(&self, state: ChannelState) -> ChannelState {
        let mut state = state;
        match self.0.read().get(&state.id).copied() {
            Some(offset) if offset >= state.newest => state.set_empty(),
            Some(offset) => state.oldest = state.oldest.max(offset.saturating_add(1)),
            None => {}
        }
        state
    }
}

/// The name of an epoch or scope.
pub(crate) fn name(number: u64, generation: u64) -> String {
    format!("{number:x}.{generation:x}")
}

/// A durable value: its key, content and expiry in milliseconds of the Unix time.
pub(crate) type Valued = (Bytes, Bytes, u64);

/// The end of the writer.
#[derive(Debug, Default)]
pub(crate) struct End(Mutex<EndState>);

#[derive(Debug, Default)]
struct EndState {
    result: Option<Result<(), DiskError>>,
    waiting: Vec<Answer<()>>,
}

impl End {
    /// Answers when the writer has ended.
    pub(crate) fn wait(&self, answer: Answer<()>) {
        let mut state = self.0.lock();
        match &state.result {
            Some(result) => drop(answer.send(result.clone())),
            None => state.waiting.push(answer),
        }
    }

    pub(crate) fn reach(&self, result: Result<(), DiskError>) {
        let mut state = self.0.lock();
        for answer in state.waiting.drain(..) {
            let _ = answer.send(result.clone());
        }
        state.result = Some(result);
    }
}

/// The requests for the reading threads.
pub(crate) struct Jobs {
    state: Mutex<(VecDeque<Job>, bool)>,
    arrived: Condvar,
}

type Job = Box<dyn FnOnce(&Arc<Shared>) + Send>;

impl Jobs {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::default(), arrived: Condvar::new() }
    }

    /// Adds a job; returns `false` if too many wait.
    pub(crate) fn push(&self, job: impl FnOnce(&Arc<Shared>) + Send + 'static) -> bool {
        let mut state = self.state.lock();
        let (jobs, is_closed) = &mut *state;
        if *is_closed || jobs.len() >= MAX_JOBS {
            return false;
        }
        jobs.push_back(Box::new(job));
        drop(state);
        self.arrived.notify_one();
        true
    }

    /// Carries out jobs until the end.
    pub(crate) fn work(&self, shared: &Arc<Shared>) {
        loop {
            let mut state = self.state.lock();
            while state.0.is_empty() && !state.1 {
                self.arrived.wait(&mut state);
            }
            let Some(job) = state.0.pop_front() else { return };
            drop(state);
            // A panic of the storage fails the one request: its answer is dropped.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| job(shared)));
        }
    }

    pub(crate) fn close(&self) {
        self.state.lock().1 = true;
        self.arrived.notify_all();
    }
}

/// The maximum number of waiting reads.
const MAX_JOBS: usize = 10_000;

/// The time for which a channel's offset outlives its history, so that a subscriber that missed nothing learns so.
pub(crate) const KEPT: Duration = Duration::from_secs(3600);
