//! Notices about a state that lasts: its beginning, its end, and now and then the number of refused requests. The log is often
//! on the disk that is full.

use std::time::{Duration, Instant};

/// The least time between two notices about the same kind of state.
const REST: Duration = Duration::from_secs(60);

/// Decides which notices are logged.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    last: Option<Instant>,
    /// The beginning of the present state has been logged.
    is_known: bool,
    refused: u64,
}

impl Notices {
    /// The state begins, or has another reason. Returns `true` if this is to be logged.
    pub(crate) fn begin(&mut self, now: Instant) -> bool {
        let is_logged = self.has_rested(now);
        if is_logged {
            self.last = Some(now);
            self.is_known = true;
        }
        is_logged
    }

    /// Counts refused requests. Returns their number since the last notice if it is to be logged.
    pub(crate) fn refuse(&mut self, requests: u64, now: Instant) -> Option<u64> {
        self.refused = self.refused.saturating_add(requests);
        if self.refused == 0 || !self.has_rested(now) {
            return None;
        }
        self.last = Some(now);
        self.is_known = true;
        Some(std::mem::take(&mut self.refused))
    }

    /// The state ends. Returns the number of refused requests since the last notice if the end is to be logged.
    pub(crate) fn end(&mut self) -> Option<u64> {
        std::mem::take(&mut self.is_known).then(|| std::mem::take(&mut self.refused))
    }

    fn has_rested(&self, now: Instant) -> bool {
        self.last.is_none_or(|last| now.saturating_duration_since(last) >= REST)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, reason = "a wrong number fails the test")]

    use super::*;

    #[test]
    fn a_lasting_state_is_logged_at_its_beginning_and_end_and_once_a_minute() {
        let begun = Instant::now();
        let at = |milliseconds| begun + Duration::from_millis(milliseconds);
        let mut notices = Notices::default();
        assert!(notices.begin(begun));
        assert!(!notices.begin(at(10)), "another reason");
        let counts: Vec<u64> = (1..=3_000).filter_map(|tenth| notices.refuse(1, at(tenth * 100))).collect();
        assert_eq!(counts, [600; 5]);
        assert_eq!(notices.refuse(7, at(300_100)), None);
        assert_eq!(notices.end(), Some(7));
    }

    #[test]
    fn a_state_that_comes_and_goes_is_logged_once_a_minute() {
        let begun = Instant::now();
        let mut notices = Notices::default();
        let mut logged = 0;
        for tenth in 0..1_200 {
            let now = begun + Duration::from_millis(tenth * 100);
            logged += u32::from(notices.begin(now));
            logged += u32::from(notices.refuse(1, now).is_some());
            logged += u32::from(notices.end().is_some());
        }
        assert_eq!(logged, 4, "two beginnings and their ends");
    }
}
