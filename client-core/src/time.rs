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
    pub fn since_origin(elapsed: Duration) -> Self {
        Self { microseconds: Span::from(elapsed).micros() }
    }

    /// The moment so long after this one; the end of time where there is none.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        self.plus(duration.into())
    }

    #[must_use]
    pub(crate) const fn plus(self, span: Span) -> Self {
        Self { microseconds: self.microseconds.saturating_add(span.micros()) }
    }

    /// How long it is from `earlier` to this moment; zero where `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.span_since(earlier).micros())
    }

    pub(crate) const fn span_since(self, earlier: Self) -> Span {
        Span::from_micros(self.microseconds.saturating_sub(earlier.microseconds))
    }
}

/// A length of time in whole microseconds, a quarter of a million years at most: one number, as [`Time`] is.
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
    // With 128 bits, which `as_micros` computes in as well as `saturating_mul`, it would be a lot of code in a browser, and
    // it is still too much of it to be everywhere.
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
    fn what_is_too_long_is_the_end_of_time() {
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
