//! Counts of what is there.

use std::sync::atomic::{AtomicUsize, Ordering};

/// What is left of a count when so much of it goes. More than it has is a mistake in the accounts: a debug build stops there, and
/// any other goes on from nothing.
#[track_caller]
pub(crate) fn less(count: usize, gone: usize) -> usize {
    debug_assert!(gone <= count, "{gone} are to go of {count}");
    count.saturating_sub(gone)
}

/// The same for a count that many threads change.
#[track_caller]
pub(crate) fn take(count: &AtomicUsize, gone: usize) -> usize {
    less(count.fetch_sub(gone, Ordering::Relaxed), gone)
}

/// One fewer.
#[track_caller]
pub(crate) fn one_less(count: &mut u32) {
    debug_assert!(*count > 0, "there is none that could go");
    *count = count.saturating_sub(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_go_down_to_nothing() {
        let (shared, mut small) = (AtomicUsize::new(3), 1);
        assert_eq!((less(3, 3), take(&shared, 2), shared.load(Ordering::Relaxed)), (0, 1, 1));
        one_less(&mut small);
        assert_eq!(small, 0);
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "4 are to go of 3")]
    fn a_debug_build_stops_where_more_goes_than_there_is() {
        less(3, 4);
    }
}
