//! Durations.

use std::time::Duration;

use anyhow::{Result, ensure};

/// The median, the 99th percentile and the maximum, in milliseconds.
pub(super) fn summary(mut took: Vec<Duration>) -> Result<[f64; 3]> {
    took.sort();
    ensure!(!took.is_empty(), "nothing was measured");
    let at = |percent: usize| took[(took.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    Ok([at(50), at(99), at(100)])
}

/// The figures of [`summary`].
pub(super) const NAMES: [&str; 3] = ["p50", "p99", "max"];
