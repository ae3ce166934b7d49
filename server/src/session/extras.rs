//! What only some sessions have, in one place: the others need room for no more than a pointer.

use std::ops::Range;
use std::task::{Context, Poll};

use tokio::time::Instant;

use super::idle::IdleClock;
use super::token::{TokenClock, Turn};
use crate::auth::Rights;
use crate::rate::Rate;

/// By a token, by a bound on what sessions may do, or because there is more to say than there is room for.
#[derive(Default)]
pub(super) struct Extras {
    pub(super) rights: Rights,
    pub(super) rate: Option<Rate>,
    pub(super) token: Option<TokenClock>,
    pub(super) idle: Option<IdleClock>,
    /// The alarms of before that are still to be sent, by their numbers.
    pub(super) alarms: Option<Range<u64>>,
}

impl Extras {
    /// A command came; `false` where there are too many.
    pub(super) fn take_command(&mut self) -> bool {
        if let Some(idle) = &mut self.idle {
            idle.note_command();
        }
        self.rate.as_mut().is_none_or(|rate| rate.take(Instant::now()))
    }

    /// Waits for what is due because of the token.
    pub(super) fn poll_token(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        self.token.as_mut().map_or(Poll::Pending, |token| token.poll(cx))
    }

    /// Ready when the session has been idle for too long.
    pub(super) fn poll_idle(&mut self, cx: &mut Context<'_>, is_busy: bool) -> Poll<()> {
        self.idle.as_mut().map_or(Poll::Pending, |idle| idle.poll(cx, is_busy))
    }
}
