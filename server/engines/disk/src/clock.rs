//! The store's clock: milliseconds that never go backwards, also over restarts.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The source of the time in milliseconds.
#[derive(Clone)]
pub(crate) struct Source(Arc<dyn Fn() -> u64 + Send + Sync>);

impl Source {
    /// The time of the operating system at the start, and from then on the time that has passed: a clock that is set does not
    /// matter to a running server.
    pub(crate) fn system() -> Self {
        let (wall, begun) = (unix_milliseconds(), Instant::now());
        Self(Arc::new(move || wall.saturating_add(milliseconds(begun.elapsed()))))
    }

    #[cfg(test)]
    pub(crate) fn manual(time: Arc<AtomicU64>) -> Self {
        Self(Arc::new(move || time.load(Ordering::SeqCst)))
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

/// The clock. After a restart with an earlier time of the operating system it stands still until that time is reached.
#[derive(Debug)]
pub(crate) struct Clock {
    source: Source,
    latest: AtomicU64,
}

impl Clock {
    pub(crate) fn new(source: Source, floor: u64) -> Self {
        Self { source, latest: AtomicU64::new(floor) }
    }

    pub(crate) fn now(&self) -> u64 {
        let time = (self.source.0)();
        self.latest.fetch_max(time, Ordering::SeqCst).max(time)
    }
}

pub(crate) fn unix_milliseconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, milliseconds)
}

pub(crate) fn milliseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
