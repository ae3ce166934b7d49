//! Time as an argument.

use core::time::Duration;

/// A moment: how long it is since an origin that the driver chose, in whole microseconds. It never goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time {
    // One number: a browser's module compares and adds a `Duration` in three times the code.
    microseconds: u64,
}

impl Time {
    /// The origin.
    pub const ZERO: Self = Self { microseconds: 0 };

    /// The moment so long after the origin.
    pub const fn since_origin(elapsed: Duration) -> Self {
        Self { microseconds: microseconds(elapsed) }
    }

    /// The moment so long after this one; the end of time where there is none.
    #[must_use]
    pub const fn after(self, duration: Duration) -> Self {
        Self { microseconds: self.microseconds.saturating_add(microseconds(duration)) }
    }

    /// How long it is from `earlier` to this moment; zero where `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.microseconds.saturating_sub(earlier.microseconds))
    }
}

/// Whole milliseconds. Not `as_millis`: its 128 bits are a lot of code in a browser.
pub(crate) const fn milliseconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1000).saturating_add(duration.subsec_millis() as u64)
}

/// Half a million years at most.
pub(crate) const fn microseconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000).saturating_add(duration.subsec_micros() as u64)
}

/// The earlier of two moments that may not be there.
pub(crate) fn earlier(one: Option<Time>, other: Option<Time>) -> Option<Time> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
