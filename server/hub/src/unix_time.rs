//! Moments as clients and backends are told them.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds from the Unix epoch to a moment; 0 for one before it.
pub fn milliseconds(time: SystemTime) -> u64 {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}

/// The same of this moment.
pub fn now() -> u64 {
    milliseconds(SystemTime::now())
}
