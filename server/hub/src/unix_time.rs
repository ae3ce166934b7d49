//! Times as milliseconds since 1970.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The milliseconds from the Unix epoch to a time; 0 for an earlier one.
pub fn milliseconds(time: SystemTime) -> u64 {
    milliseconds_in(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// The milliseconds in a duration.
pub fn milliseconds_in(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The same for the present time.
pub fn now() -> u64 {
    milliseconds(SystemTime::now())
}
