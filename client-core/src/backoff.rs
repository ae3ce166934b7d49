//! Delays between attempts, with full jitter: clients that lost their server together do not come back together.

use crate::time::Span;

/// Counts attempts and draws delays.
#[derive(Debug)]
pub(crate) struct Backoff {
    random: Random,
    shortest: Span,
    longest: Span,
    attempts: u32,
}

impl Backoff {
    /// Delays from `shortest` to `longest`. A shortest delay of nothing is a millisecond, so that a server that refuses
    /// connections at once is not asked without a pause.
    pub(crate) fn new(seed: u64, shortest: Span, longest: Span) -> Self {
        let shortest = shortest.max(Span::from_millis(1));
        Self { shortest, longest: longest.max(shortest), ..Self::idle(seed) }
    }

    /// Without delays.
    pub(crate) const fn idle(seed: u64) -> Self {
        let none = Span::from_millis(0);
        Self { random: Random(seed), shortest: none, longest: none, attempts: 0 }
    }

    /// The delay before the next attempt: a random time between the shortest one and a bound that doubles with each
    /// attempt, up to the longest one.
    pub(crate) fn next_delay(&mut self) -> Span {
        self.attempts = self.attempts.saturating_add(1);
        let shortest = self.shortest.micros();
        let bound = shortest.saturating_mul(1_u64 << self.attempts.min(16)).min(self.longest.micros());
        Span::from_micros(shortest.saturating_add(self.random.within(bound.saturating_sub(shortest))))
    }

    /// Whether no attempt has been made since the last success.
    pub(crate) fn is_fresh(&self) -> bool {
        self.attempts == 0
    }

    /// The first delay after a loss: a random time within `window`.
    pub(crate) fn first_delay(&mut self, window: Span) -> Span {
        self.attempts = self.attempts.saturating_add(1);
        self.spread(window)
    }

    /// A random delay within `window`.
    pub(crate) fn spread(&mut self, window: Span) -> Span {
        Span::from_micros(self.random.within(window.micros()))
    }

    /// Starts over after a success.
    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }
}

/// Knuth's linear congruential generator. It is good enough to spread clients, and has no other use.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn within(&mut self, bound: u64) -> u64 {
        (bound as f64 * self.unit()) as u64
    }

    /// From 0 up to, but not including, 1.
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        // The upper bits are the most random, and 53 bits fill a double's mantissa exactly.
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use super::*;

    #[test]
    fn delays_grow_to_20_seconds_and_stay_there() {
        let [shortest, longest] = [500, 20_000].map(Span::from_millis);
        let mut backoff = Backoff::new(7, shortest, longest);
        for attempt in 1..100_u32 {
            let bound = Span::from_millis(500 * 2_u32.pow(attempt.min(6)));
            let delay = backoff.next_delay();
            assert!((shortest..=bound.min(longest)).contains(&delay), "attempt {attempt}: {delay:?}");
        }
        backoff.reset();
        assert!(backoff.next_delay() <= Span::from_millis(1000));
    }

    #[test]
    fn bounds_that_contradict_each_other_are_no_endless_loop() {
        let [none, second] = [0, 1000].map(Span::from_millis);
        assert!(Backoff::new(7, none, none).next_delay() >= Span::from_millis(1));
        assert_eq!(Backoff::new(7, second, none).next_delay(), second);
    }

    #[test]
    fn clients_spread_over_the_whole_window() {
        let window = Span::from_millis(10_000);
        let mut tenths = [0; 10];
        for seed in 0..10_000 {
            let delay = Backoff::idle(seed).spread(window);
            tenths[(delay.millis() / 1000) as usize] += 1;
        }
        for count in tenths {
            assert!((850..1150).contains(&count), "{tenths:?}");
        }
    }
}
