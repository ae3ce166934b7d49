//! When a session that does nothing is to end.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::pulse::later;

/// Runs from the session's last command on, while it is subscribed to nothing and waits for nothing.
pub(super) struct IdleClock {
    timer: Pin<Box<Sleep>>,
    timeout: Duration,
    last: Instant,
}

impl IdleClock {
    /// A session that has just connected, and may be idle for so long.
    pub(super) fn new(timeout: Duration) -> Self {
        let now = Instant::now();
        Self { timer: Box::pin(sleep_until(later(now, timeout))), timeout, last: now }
    }

    /// A command came.
    pub(super) fn note_command(&mut self) {
        self.last = Instant::now();
    }

    /// Ready when the session has been idle for too long. `is_busy` tells whether there is something that it is there for,
    /// now.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, is_busy: bool) -> Poll<()> {
        loop {
            // Moved only when it fires: what happens in between is merely noted.
            ready!(self.timer.as_mut().poll(cx));
            let now = Instant::now();
            let end = later(if is_busy { now } else { self.last }, self.timeout);
            if end <= now {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(end);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(60);

    async fn ended(clock: &mut IdleClock, start: Instant) -> Duration {
        poll_fn(|cx| clock.poll(cx, false)).await;
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn it_counts_from_the_last_command() {
        let start = Instant::now();
        let mut clock = IdleClock::new(TIMEOUT);
        tokio::time::advance(Duration::from_secs(40)).await;
        clock.note_command();
        assert_eq!(ended(&mut clock, start).await, Duration::from_secs(100));
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_busy_is_not_idle() {
        let start = Instant::now();
        let mut clock = IdleClock::new(TIMEOUT);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        for _ in 0..5 {
            tokio::time::advance(TIMEOUT).await;
            assert!(clock.poll(&mut cx, true).is_pending());
        }
        // Its subscription has ended, by a command.
        clock.note_command();
        assert_eq!(ended(&mut clock, start).await, Duration::from_secs(360));
    }
}
