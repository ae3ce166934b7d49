//! The speed of the line between a client and the server.

use std::time::Duration;

use wirehub_client_core::Time;

use crate::random::Random;

/// The lines of a world. Rates are in bytes per second and direction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lines {
    /// The slowest and the fastest rate.
    pub(crate) rates: (u64, u64),
    /// A second has between a quarter and seven quarters of the rate.
    pub(crate) uneven: bool,
    /// The longest stall in seconds. After it the line continues, as lost packets are sent again.
    pub(crate) stall: u64,
}

/// The line of one client. Its two directions are independent.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    up: u64,
    down: u64,
    seed: u64,
    lines: Lines,
    /// From this time on it is even.
    steady: Time,
}

impl Line {
    pub(crate) fn new(lines: Lines, random: &mut Random) -> Self {
        let (slowest, fastest) = lines.rates;
        // Slow lines are as frequent as fast ones.
        let mut rate = || {
            let factor = random.below(1000) as f64 / 1000.0;
            (slowest as f64 * (fastest as f64 / slowest as f64).powf(factor)) as u64
        };
        let (up, down) = (rate(), rate());
        Self { up, down, seed: random.next(), lines, steady: Time::from_micros(u64::MAX) }
    }

    pub(crate) fn steady_from(&mut self, now: Time) {
        self.steady = now;
    }

    pub(crate) fn down(&self) -> u64 {
        self.down
    }

    /// The time at which `bytes` bytes have passed if the first begins at `start`.
    pub(crate) fn passed(&self, start: Time, bytes: usize, up: bool) -> Time {
        let mut now = start.since(Time::ZERO);
        let mut left = bytes as f64;
        loop {
            let second = now.as_secs();
            let rate = self.rate(second, up);
            let rest = Duration::from_secs(second + 1) - now;
            let passing = rate * rest.as_secs_f64();
            if left <= passing {
                // One microsecond more, so that nothing passes in no time.
                let needed = if left > 0.0 { left / rate } else { 0.0 };
                return Time::since_origin(now + Duration::from_secs_f64(needed) + Duration::from_micros(1));
            }
            left -= passing;
            now = Duration::from_secs(second + 1);
        }
    }

    /// Bytes per second.
    fn rate(&self, second: u64, up: bool) -> f64 {
        let base = if up { self.up } else { self.down } as f64;
        if Time::since_origin(Duration::from_secs(second)) >= self.steady {
            return base;
        }
        // At most once in twenty seconds, so that two stalls never make a longer one.
        let (part, place) = (second / 20, second % 20);
        let mut random = Random::new(self.seed ^ part.wrapping_mul(0x5851_f42d_4c95_7f2d));
        if self.lines.stall > 0 && random.one_in(2) {
            let length = 1 + random.below(self.lines.stall);
            let begin = random.below(20 - length);
            if (begin..begin + length).contains(&place) {
                return 0.0;
            }
        }
        if self.lines.uneven {
            let mut random = Random::new(self.seed ^ second.wrapping_mul(2).wrapping_add(u64::from(up)));
            return base * (0.25 + random.below(1500) as f64 / 1000.0);
        }
        base
    }
}
