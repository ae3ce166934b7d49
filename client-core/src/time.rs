//! Time as an argument.

use core::time::Duration;

/// A moment: the time since an origin chosen by the driver, in whole microseconds. It never goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time {
    // One number, because comparing and adding a `Duration` takes three times the code in a browser's module.
    microseconds: u64,
}

impl Time {
    /// The origin.
    pub const ZERO: Self = Self { microseconds: 0 };

    /// The end of time, which is the deadline of things without one. A number of its own, because an `Option` takes
    /// twice the code in a browser's module.
    pub(crate) const NEVER: Self = Self { microseconds: u64::MAX };

    /// The moment this many microseconds after the origin.
    pub const fn from_micros(microseconds: u64) -> Self {
        Self { microseconds }
    }

    /// The moment `elapsed` after the origin.
    pub fn since_origin(elapsed: Duration) -> Self {
        Self { microseconds: Span::from(elapsed).micros() }
    }

    /// The moment `duration` after this one; the end of time if it is out of range.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        self.plus(duration.into())
    }

    #[must_use]
    pub(crate) const fn plus(self, span: Span) -> Self {
        Self { microseconds: self.microseconds.saturating_add(span.micros()) }
    }

    /// The time from `earlier` to this moment; zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.span_since(earlier).micros())
    }

    pub(crate) const fn span_since(self, earlier: Self) -> Span {
        Span::from_micros(self.microseconds.saturating_sub(earlier.microseconds))
    }
}

/// A length of time in whole microseconds, a quarter of a million years at most. It is one number, as [`Time`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    microseconds: u64,
}

impl Span {
    pub(crate) const fn from_micros(microseconds: u64) -> Self {
        Self { microseconds }
    }

    pub(crate) const fn from_millis(milliseconds: u32) -> Self {
        Self { microseconds: (milliseconds as u64).wrapping_mul(1000) }
    }

    pub(crate) const fn micros(self) -> u64 {
        self.microseconds
    }

    pub(crate) const fn millis(self) -> u64 {
        self.microseconds / 1000
    }
}

impl From<Duration> for Span {
    // `as_micros` and `saturating_mul` compute with 128 bits, which is a lot of code in a browser. Even without them
    // there is too much code to inline it everywhere.
    #[inline(never)]
    fn from(duration: Duration) -> Self {
        if duration.as_secs() > u64::MAX / 2_000_000 {
            return Self::from_micros(u64::MAX);
        }
        Self::from_micros(
            duration.as_secs().wrapping_mul(1_000_000).wrapping_add(duration.subsec_micros().into()),
        )
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        Self::from_micros(span.microseconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_beyond_the_range_is_the_end_of_time() {
        let long = Duration::from_micros(u64::MAX / 3);
        assert_eq!(Span::from(long), Span::from_micros(u64::MAX / 3));
        assert_eq!(Span::from(Duration::new(3, 4_567_891)).millis(), 3_004);
        assert_eq!(Span::from(Duration::MAX), Span::from_micros(u64::MAX));
        let bound = u64::MAX / 2_000_000;
        assert_eq!(Span::from(Duration::from_secs(bound)), Span::from_micros(bound.wrapping_mul(1_000_000)));
        let end = Time::ZERO.after(Duration::MAX);
        assert_eq!(Time::since_origin(long).after(Duration::MAX), end);
        assert_eq!(end.since(Time::ZERO), Duration::from_micros(u64::MAX));
    }
}
