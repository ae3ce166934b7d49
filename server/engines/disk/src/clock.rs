//! The store's clock: milliseconds that never go backwards, also over restarts.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub(crate) use wirehub_hub::unix_time::{milliseconds_in as milliseconds, now as unix_milliseconds};

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

    /// `true` if the clock is ahead of its source, and stands still.
    pub(crate) fn is_ahead(&self) -> bool {
        (self.source.0)() < self.latest.load(Ordering::SeqCst)
    }

    pub(crate) fn now(&self) -> u64 {
        let time = (self.source.0)();
        self.latest.fetch_max(time, Ordering::SeqCst).max(time)
    }
}

/// The time that a new header promises, if the clock is near the promised one. A clock that is ahead is near it after each
/// start, and promises nothing further: otherwise each crash would move it.
pub(crate) fn promised(clock: &Clock, before: u64) -> u64 {
    let now = clock.now();
    if clock.is_ahead() {
        now.max(before)
    } else if now.saturating_add(milliseconds(RESERVE) / 2) < before {
        before
    } else {
        now.saturating_add(milliseconds(RESERVE))
    }
}

/// A time that the clock had certainly reached when it promised that one.
pub(crate) fn reached(promised: u64) -> u64 {
    promised.saturating_sub(milliseconds(RESERVE))
}

/// The reserve of the clock. After a crash the clock may be ahead by this time, and then stands still.
const RESERVE: Duration = Duration::from_secs(30);
