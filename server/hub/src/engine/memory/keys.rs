//! The keys of publishes in all channels, with one bound for all of them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use wirehub_common::frame::Idempotency;

use crate::checked_subtraction::subtract;
use crate::engine::KeyWindow;
use crate::unix_time::milliseconds_in;

pub(super) struct Keys {
    window: KeyWindow,
    /// The maximum size of all keys in bytes.
    bound: usize,
    state: Mutex<KeysState>,
}

#[derive(Default)]
struct KeysState {
    /// The offsets of the publishes; 0 for a publish without history.
    offsets: HashMap<LogKey, u64>,
    /// The keys by age, each with the clock time at which it was remembered.
    by_age: VecDeque<(Duration, LogKey)>,
    /// The approximate size.
    bytes: usize,
}

/// A key, and the number of its log: a key is that of one channel.
type LogKey = (u64, Arc<str>);

impl Keys {
    pub(super) fn new(scope: &str, bound: usize) -> Self {
        Self { window: KeyWindow::new(scope), bound, state: Mutex::default() }
    }

    pub(super) fn set_bound(&mut self, bound: usize) {
        self.bound = bound;
    }

    /// The period for which keys are remembered. `clock` is the engine's age.
    pub(super) fn idempotency(&self, clock: Duration) -> Idempotency {
        self.window.idempotency(milliseconds_in(clock))
    }

    /// The offset of the publish with this key, if it is remembered.
    pub(super) fn find(&self, log: u64, key: &Arc<str>, clock: Duration) -> Option<u64> {
        let mut state = self.state.lock();
        state.expire(clock);
        state.offsets.get(&(log, Arc::clone(key))).copied()
    }

    /// Remembers a new key. If there is no room, the oldest keys of all channels are forgotten.
    pub(super) fn remember(&self, log: u64, key: Arc<str>, offset: u64, clock: Duration) {
        let mut state = self.state.lock();
        state.bytes = state.bytes.saturating_add(cost(&key));
        state.offsets.insert((log, Arc::clone(&key)), offset);
        state.by_age.push_back((clock, (log, key)));
        while state.bytes > self.bound && state.by_age.len() > 1 {
            if let Some(remembered_at) = state.forget_oldest() {
                self.window.forget_early(milliseconds_in(remembered_at));
            }
        }
    }

    /// Notes that a log is removed whose newest key was remembered at this time.
    pub(super) fn log_removed(&self, remembered_at: Duration) {
        self.window.forget_early(milliseconds_in(remembered_at));
    }
}

impl KeysState {
    fn expire(&mut self, clock: Duration) {
        while self
            .by_age
            .front()
            .is_some_and(|(remembered_at, _)| remembered_at.saturating_add(KeyWindow::KEPT) <= clock)
        {
            self.forget_oldest();
        }
    }

    /// Forgets the oldest key, and returns the time at which it was remembered.
    fn forget_oldest(&mut self) -> Option<Duration> {
        let (remembered_at, key) = self.by_age.pop_front()?;
        self.offsets.remove(&key);
        self.bytes = subtract(self.bytes, cost(&key.1));
        Some(remembered_at)
    }
}

fn cost(key: &str) -> usize {
    key.len().saturating_add(KEY_BYTES)
}

/// The approximate size of a key besides its text, with the overhead of the allocator and the tables.
const KEY_BYTES: usize = 192;

/// The default bound: about a million keys.
pub(super) const DEFAULT_BOUND: usize = 256 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn without_room_the_oldest_keys_of_all_channels_go_and_the_period_shrinks() {
        let keys = Keys::new("scope", 3 * cost("0"));
        let before = keys.idempotency(Duration::ZERO);
        for (number, seconds) in [(0_u64, 10), (1, 20), (2, 30)] {
            keys.remember(number, "k".into(), number, SECOND * seconds);
        }
        assert_eq!(keys.idempotency(SECOND * 40).window, before.window, "there was room");
        keys.remember(3, "k".into(), 3, SECOND * 40);
        let found = |log| keys.find(log, &"k".into(), SECOND * 50);
        assert_eq!([0, 1, 2, 3].map(found), [None, Some(1), Some(2), Some(3)]);
        let after = keys.idempotency(SECOND * 50);
        // The key of the tenth second is gone: those of the last forty seconds are there, for a repeat within twenty.
        assert_eq!(after.window.as_secs(), 19, "{after:?}");
        assert_eq!(after.scope, before.scope);
    }

    #[test]
    fn a_key_is_forgotten_after_its_time_and_counts_no_more() {
        let keys = Keys::new("scope", DEFAULT_BOUND);
        keys.remember(0, "k".into(), 7, SECOND);
        let last = SECOND + KeyWindow::KEPT;
        assert_eq!(keys.find(0, &"k".into(), last - Duration::from_millis(1)), Some(7));
        assert_eq!(keys.find(0, &"k".into(), last), None);
        assert_eq!(keys.state.lock().bytes, 0);
        assert_eq!(keys.idempotency(last).window, KeyWindow::LONGEST, "it was not early");
    }
}
