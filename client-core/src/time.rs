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

    /// The end of time: the deadline of what has none. A number of its own, because a browser's module computes with an
    /// `Option` in twice the code.
    pub(crate) const NEVER: Self = Self { microseconds: u64::MAX };

    /// The moment so many microseconds after the origin.
    pub const fn from_micros(microseconds: u64) -> Self {
        Self { microseconds }
    }

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

/// Whole milliseconds; see [`microseconds`].
pub(crate) const fn milliseconds(duration: Duration) -> u64 {
    microseconds(duration) / 1000
}

/// Whole microseconds, a quarter of a million years at most. With 128 bits, which `as_micros` computes in as well as
/// `saturating_mul`, it would be a lot of code in a browser, and it is still too much of it to be everywhere.
#[inline(never)]
pub(crate) const fn microseconds(duration: Duration) -> u64 {
    if duration.as_secs() > u64::MAX / 2_000_000 {
        return u64::MAX;
    }
    duration.as_secs().wrapping_mul(1_000_000).wrapping_add(duration.subsec_micros() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_the_end_of_time() {
        let long = Duration::from_micros(u64::MAX / 3);
        assert_eq!(microseconds(long), u64::MAX / 3);
        assert_eq!(milliseconds(Duration::new(3, 4_567_891)), 3_004);
        assert_eq!(microseconds(Duration::MAX), u64::MAX);
        let end = Time::ZERO.after(Duration::MAX);
        assert_eq!(Time::since_origin(long).after(Duration::MAX), end);
        assert_eq!(end.since(Time::ZERO), Duration::from_micros(u64::MAX));
    }
}
