//! How long a session's token is good for.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::pulse::later;

/// What it is time for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// To remind the client, which has not shown a new one by itself.
    Remind,
    /// To end the session.
    Expired,
}

/// Counts down to the end of a token.
pub(super) struct TokenClock {
    timer: Pin<Box<Sleep>>,
    end: Instant,
    reminded: bool,
}

impl TokenClock {
    /// A token that is good for `ttl` from now on; `grace` later its session ends.
    pub(super) fn new(ttl: Duration, grace: Duration) -> Self {
        let now = Instant::now();
        // Clients with a provider do it at nine tenths.
        let reminder = ttl.saturating_sub(ttl.checked_div(20).unwrap_or_default());
        Self {
            timer: Box::pin(sleep_until(later(now, reminder))),
            end: later(now, ttl.saturating_add(grace)),
            reminded: false,
        }
    }

    /// Waits for the next turn.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        ready!(self.timer.as_mut().poll(cx));
        if self.reminded {
            return Poll::Ready(Turn::Expired);
        }
        self.reminded = true;
        self.timer.as_mut().reset(self.end);
        Poll::Ready(Turn::Remind)
    }
}
