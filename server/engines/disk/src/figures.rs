//! The figures of the engine for `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use wirehub_hub::engine::EngineMetric;

use crate::shared::Shared;

/// The figures that the writer counts.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) stored: AtomicU64,
    pub(crate) batches: AtomicU64,
    syncs: AtomicU64,
    sync_micros: AtomicU64,
    pub(crate) refused: AtomicU64,
    /// The size of the storage's files, and the free space of their file system.
    pub(crate) disk_bytes: AtomicU64,
    pub(crate) free_bytes: AtomicU64,
    pub(crate) unsynced: Mutex<Option<Unsynced>>,
}

/// Acknowledged changes that are not on the disk yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unsynced {
    /// The time of the oldest one.
    pub(crate) since: Instant,
    pub(crate) bytes: u64,
}

impl Unsynced {
    /// Both together.
    pub(crate) fn and(self, later: Option<Self>) -> Self {
        let Some(later) = later else { return self };
        Self { since: self.since.min(later.since), bytes: self.bytes.saturating_add(later.bytes) }
    }
}

impl Figures {
    pub(crate) fn add(counter: &AtomicU64, count: usize) {
        counter.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Counts a synchronisation.
    pub(crate) fn synced(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.sync_micros.fetch_add(micros, Ordering::Relaxed);
        Self::add(&self.syncs, 1);
    }
}

/// The figures as they are now.
pub(crate) fn metrics(shared: &Shared) -> Vec<EngineMetric> {
    let figures = &shared.figures;
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let unsynced = *figures.unsynced.lock();
    let (waiting, waiting_bytes) = shared.queue.waiting();
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let sync_seconds = Duration::from_micros(read(&figures.sync_micros)).as_secs_f64();
    let age = unsynced.map_or(Duration::ZERO, |unsynced| unsynced.since.elapsed());
    vec![
        EngineMetric::counter("stored", "Messages stored in histories", read(&figures.stored)),
        EngineMetric::counter("batches", "Batches written to the disk", read(&figures.batches)),
        EngineMetric::counter("syncs", "Synchronisations with the disk", read(&figures.syncs)),
        EngineMetric::seconds(
            "sync_seconds",
            "Seconds of synchronisations, with the write that belongs to them",
            sync_seconds,
        ),
        EngineMetric::counter(
            "refused",
            "Requests that were refused: the disk is full or fails, or too many waited",
            read(&figures.refused).saturating_add(shared.queue.refused()),
        ),
        EngineMetric::gauge("waiting_requests", "Requests that wait for the disk", count(waiting)),
        EngineMetric::gauge("waiting_bytes", "Bytes of the requests that wait", count(waiting_bytes)),
        EngineMetric::gauge(
            "unsynced_bytes",
            "Acknowledged bytes that a loss of power would lose now",
            unsynced.map_or(0, |unsynced| unsynced.bytes),
        ),
        EngineMetric::gauge_of("unsynced_seconds", "Age of the oldest of these bytes", age.as_secs_f64()),
        EngineMetric::gauge("disk_bytes", "Size of the storage's files", read(&figures.disk_bytes)),
        EngineMetric::gauge("free_bytes", "Free space of their file system", read(&figures.free_bytes)),
        EngineMetric::gauge("cached_channels", "Channels in memory", count(shared.channels.len())),
        EngineMetric::gauge("cached_bytes", "Bytes of these channels", count(shared.channels.cost())),
        EngineMetric::gauge(
            "damaged_channels",
            "Channels with unreadable messages that were met since the start",
            count(shared.damaged.len()),
        ),
    ]
}
