//! Counts that never go below zero.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Subtracts `gone` from a count. A result below zero is a bug: a debug build panics, and any other build continues with zero.
#[track_caller]
pub(crate) fn subtract(count: usize, gone: usize) -> usize {
    debug_assert!(gone <= count, "{gone} can't be subtracted from {count}");
    count.saturating_sub(gone)
}

/// The same for a count that many threads change.
#[track_caller]
pub(crate) fn subtract_shared(count: &AtomicUsize, gone: usize) -> usize {
    subtract(count.fetch_sub(gone, Ordering::Relaxed), gone)
}

/// Subtracts one.
#[track_caller]
pub(crate) fn decrement(count: &mut u32) {
    debug_assert!(*count > 0, "the count is zero already");
    *count = count.saturating_sub(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_go_down_to_nothing() {
        let (shared, mut small) = (AtomicUsize::new(3), 1);
        assert_eq!((subtract(3, 3), subtract_shared(&shared, 2), shared.load(Ordering::Relaxed)), (0, 1, 1));
        decrement(&mut small);
        assert_eq!(small, 0);
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "4 can't be subtracted from 3")]
    fn a_debug_build_panics_below_zero() {
        subtract(3, 4);
    }
}
