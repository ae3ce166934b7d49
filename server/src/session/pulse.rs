//! The times of a session: the wait for `connect`, and from then on whether there is life at both ends.

use std::num::NonZeroU64;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};
use wirehub_common::code::CloseCode;

/// A ping may stay without an answer for so much longer than the ping interval.
pub(super) const PONG_GRACE: Duration = Duration::from_secs(10);

/// What it is time for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Beat {
    /// To send an empty message.
    Ping,
    /// To give the connection up.
    Lost(CloseCode),
}

/// One timer. It is moved only when it fires: what is sent and received in between is merely noted.
pub(super) struct Pulse {
    timer: Pin<Box<Sleep>>,
    stage: Stage,
}

enum Stage {
    AwaitingConnect,
    /// Connected to a client that is never pinged.
    Unpaced,
    Paced(Paced),
}

/// When what happened last. All times are nanoseconds since `began`, which take half as much room as moments: there is one
/// of these for each session.
struct Paced {
    began: Instant,
    interval: u64,
    sent: u64,
    received: u64,
    /// When the ping was sent that has seen no answer.
    asked: Option<NonZeroU64>,
}

impl Pulse {
    /// Begins with the wait for `connect`, for so long.
    pub(super) fn new(connect_timeout: Duration) -> Self {
        let timer = Box::pin(sleep_until(later(Instant::now(), connect_timeout)));
        Self { timer, stage: Stage::AwaitingConnect }
    }

    /// From now on pings are sent: after each `interval` of silence; an interval of zero stands for none.
    pub(super) fn connected(&mut self, interval: Duration) {
        let now = Instant::now();
        self.stage = if interval.is_zero() {
            Stage::Unpaced
        } else {
            self.timer.as_mut().reset(later(now, interval));
            Stage::Paced(Paced::new(now, interval))
        };
    }

    /// Something was sent.
    pub(super) fn note_sent(&mut self) {
        if let Stage::Paced(paced) = &mut self.stage {
            paced.sent = paced.since(Instant::now());
        }
    }

    /// There was a sign of life, whatever it was.
    pub(super) fn note_received(&mut self) {
        if let Stage::Paced(paced) = &mut self.stage {
            paced.received = paced.since(Instant::now());
            paced.asked = None;
        }
    }

    /// Waits for the next beat.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Beat> {
        if matches!(self.stage, Stage::Unpaced) {
            return Poll::Pending;
        }
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let now = Instant::now();
            let beat = self.stage.beat(now);
            if let Some(next) = self.stage.next() {
                self.timer.as_mut().reset(next);
            }
            if let Some(beat) = beat {
                return Poll::Ready(beat);
            }
        }
    }
}

impl Stage {
    /// What is due.
    fn beat(&mut self, now: Instant) -> Option<Beat> {
        match self {
            Self::AwaitingConnect => Some(Beat::Lost(CloseCode::CONNECT_TIMEOUT)),
            Self::Unpaced => None,
            Self::Paced(paced) => paced.beat(paced.since(now)),
        }
    }

    /// When something may be due next.
    fn next(&self) -> Option<Instant> {
        match self {
            Self::AwaitingConnect | Self::Unpaced => None,
            Self::Paced(paced) => Some(later(paced.began, Duration::from_nanos(paced.next()))),
        }
    }
}

impl Paced {
    fn new(began: Instant, interval: Duration) -> Self {
        Self { began, interval: nanoseconds(interval), sent: 0, received: 0, asked: None }
    }

    fn since(&self, now: Instant) -> u64 {
        nanoseconds(now.saturating_duration_since(self.began))
    }

    fn beat(&mut self, now: u64) -> Option<Beat> {
        if self.asked.is_some_and(|asked| now >= self.lost(asked)) {
            return Some(Beat::Lost(CloseCode::PONG_TIMEOUT));
        }
        if now < self.ping_due() {
            return None;
        }
        self.sent = now;
        if self.asked.is_none() {
            self.asked = NonZeroU64::new(now);
        }
        Some(Beat::Ping)
    }

    fn next(&self) -> u64 {
        let ping = self.ping_due();
        self.asked.map_or(ping, |asked| ping.min(self.lost(asked)))
    }

    /// After an interval in which nothing was sent. And where publications flow all the time: after two in which nothing
    /// came back, or a client that went away without a word would not be noticed.
    fn ping_due(&self) -> u64 {
        let silent = self.sent.saturating_add(self.interval);
        let unheard = self.received.saturating_add(self.interval.saturating_mul(2));
        if self.asked.is_some() { silent } else { silent.min(unheard) }
    }

    fn lost(&self, asked: NonZeroU64) -> u64 {
        asked.get().saturating_add(self.interval).saturating_add(nanoseconds(PONG_GRACE))
    }
}

/// Enough for 584 years.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// `after` the moment; a time beyond what the clock can hold is as good as never.
pub(super) fn later(moment: Instant, after: Duration) -> Instant {
    const NEVER: Duration = Duration::from_secs(60 * 60 * 24 * 365);
    moment.checked_add(after.min(NEVER)).unwrap_or(moment)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use std::future::poll_fn;

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(25);
    const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

    async fn next(pulse: &mut Pulse, start: Instant) -> (Beat, Duration) {
        let beat = poll_fn(|cx| pulse.poll(cx)).await;
        (beat, start.elapsed())
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_connect_is_given_up() {
        let start = Instant::now();
        let mut pulse = Pulse::new(CONNECT_TIMEOUT);
        pulse.note_received();
        assert_eq!(next(&mut pulse, start).await, (Beat::Lost(CloseCode::CONNECT_TIMEOUT), CONNECT_TIMEOUT));
    }

    #[tokio::test(start_paused = true)]
    async fn pings_go_on_until_the_first_one_is_unanswered_for_too_long() {
        let start = Instant::now();
        let mut pulse = Pulse::new(CONNECT_TIMEOUT);
        pulse.connected(INTERVAL);
        assert_eq!(next(&mut pulse, start).await, (Beat::Ping, seconds(25)));
        assert_eq!(next(&mut pulse, start).await, (Beat::Ping, seconds(50)));
        assert_eq!(next(&mut pulse, start).await, (Beat::Lost(CloseCode::PONG_TIMEOUT), seconds(60)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_sent_puts_the_ping_off_and_what_is_received_answers_it() {
        let start = Instant::now();
        let mut pulse = Pulse::new(CONNECT_TIMEOUT);
        pulse.connected(INTERVAL);
        tokio::time::advance(seconds(20)).await;
        pulse.note_sent();
        assert_eq!(next(&mut pulse, start).await, (Beat::Ping, seconds(45)));
        tokio::time::advance(seconds(1)).await;
        pulse.note_received();
        assert_eq!(next(&mut pulse, start).await, (Beat::Ping, seconds(70)));
        assert_eq!(next(&mut pulse, start).await, (Beat::Ping, seconds(95)));
        assert_eq!(next(&mut pulse, start).await, (Beat::Lost(CloseCode::PONG_TIMEOUT), seconds(105)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_only_listens_is_asked_for_a_sign_of_life_too() {
        let start = Instant::now();
        let mut pulse = Pulse::new(CONNECT_TIMEOUT);
        pulse.connected(INTERVAL);
        for _ in 0..4 {
            tokio::time::advance(seconds(10)).await;
            pulse.note_sent();
        }
        assert_eq!(next(&mut pulse, start).await, (Beat::Ping, seconds(50)));
    }

    #[tokio::test(start_paused = true)]
    async fn without_an_interval_nothing_is_ever_due() {
        let mut pulse = Pulse::new(CONNECT_TIMEOUT);
        pulse.connected(Duration::ZERO);
        tokio::time::advance(seconds(3600)).await;
        assert!(pulse.poll(&mut Context::from_waker(std::task::Waker::noop())).is_pending());
    }
}
