//! Bounds on the rate of what people do.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use wirehub_server::call::CallError;

use crate::too_often;

/// Lets each key act a few times at once, and then at a steady pace.
#[derive(Debug)]
pub(crate) struct Throttle<K> {
    every: Duration,
    burst: u32,
    /// The time at which everything of a key will be free again.
    taken: Mutex<HashMap<K, Instant>>,
}

/// The most keys. If there are more, those that are free again are forgotten; if that is not enough, everybody waits.
const MOST: usize = 10_000;

impl<K: Eq + Hash> Throttle<K> {
    pub(crate) fn new(every: Duration, burst: u32) -> Self {
        Self { every, burst, taken: Mutex::default() }
    }

    /// Counts an action of the key now. If it is one too many, the error says so in these words.
    pub(crate) fn check<Q>(&self, key: &Q, words: &str) -> Result<(), CallError>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        if self.allows(key, Instant::now()) { Ok(()) } else { Err(too_often(words)) }
    }

    /// `true` if the key may act now, which counts.
    pub(crate) fn allows<Q>(&self, key: &Q, now: Instant) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let mut taken = self.taken.lock();
        let free = taken.get(key).copied().unwrap_or(now).max(now);
        let after = free.checked_add(self.every).unwrap_or(free);
        let longest = self.every.saturating_mul(self.burst);
        if after.saturating_duration_since(now) > longest {
            return false;
        }
        if taken.len() >= MOST {
            taken.retain(|_, free| *free > now);
        }
        if taken.len() >= MOST && !taken.contains_key(key) {
            return false;
        }
        taken.insert(key.to_owned(), after);
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_key_acts_a_few_times_at_once_and_then_at_a_pace() {
        let throttle = Throttle::<String>::new(Duration::from_secs(1), 3);
        let start = Instant::now();
        let allowed = |key: &str, after: u64| throttle.allows(key, start + Duration::from_millis(after));
        assert_eq!([0, 0, 0, 0].map(|after| allowed("ann", after)), [true, true, true, false]);
        assert!(allowed("bob", 0), "the others are not concerned");
        assert_eq!([999, 1000, 1000].map(|after| allowed("ann", after)), [false, true, false]);
        assert_eq!([9000, 9000, 9000, 9000].map(|after| allowed("ann", after)), [true, true, true, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded() {
        let throttle = Throttle::<String>::new(Duration::from_secs(1), 1);
        let start = Instant::now();
        let number = |at: usize, now| throttle.allows(at.to_string().as_str(), now);
        assert!((0..MOST).all(|at| number(at, start)));
        assert!(!number(MOST, start), "nobody is free");
        assert!(number(MOST, start + Duration::from_secs(1)));
        assert_eq!(throttle.taken.lock().len(), 1);
    }
}
