//! The deadlines of a session: `connect`, pings and pongs, the token's expiry, and idleness.
//!
//! There is one timer. It moves only when it fires; events in between are only noted.

use std::num::NonZeroU64;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};
use wirehub_common::code::CloseCode;

/// A pong may come later than the ping interval by this time.
pub(crate) const PONG_GRACE: Duration = Duration::from_secs(10);

/// The time after which a client that is sending a large message receives a ping.
const RECEIPT: Duration = Duration::from_secs(2);

/// An event that is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Send an empty message.
    Ping,
    /// Remind the client of its token, because it has not shown a new one by itself.
    Remind,
    /// End the session.
    End(CloseCode),
}

/// The deadlines of a session.
pub(super) struct Clock {
    timer: Pin<Box<Sleep>>,
    liveness: Liveness,
    /// The deadlines of few sessions.
    rare: Option<Box<OptionalTimes>>,
}

/// The signs of life of the client.
enum Liveness {
    /// `connect` must come before this time.
    AwaitsConnect(Instant),
    /// Connected to a client without pings.
    NotPinged,
    Pinged(PingTimes),
}

#[derive(Default)]
struct OptionalTimes {
    token: Option<Token>,
    idle: Option<Idle>,
}

/// The lifetime of the session's token.
struct Token {
    reminder: Option<Instant>,
    end: Instant,
}

/// The time that the session may be idle.
struct Idle {
    timeout: Duration,
    last: Instant,
}

/// The times of the last events, in nanoseconds since `began`. They take half as much memory as `Instant`s, and every session
/// has them.
struct PingTimes {
    began: Instant,
    interval: u64,
    sent: u64,
    received: u64,
    /// The time of the first ping without an answer.
    unanswered: Option<NonZeroU64>,
}

impl Clock {
    /// Starts with the wait for `connect`.
    pub(super) fn new(connect_timeout: Duration) -> Self {
        let until = later(Instant::now(), connect_timeout);
        Self { timer: Box::pin(sleep_until(until)), liveness: Liveness::AwaitsConnect(until), rare: None }
    }

    /// Starts the pings: one after each `interval` of silence; none for an interval of zero.
    pub(super) fn connected(&mut self, interval: Duration) {
        let now = Instant::now();
        self.liveness = if interval.is_zero() {
            Liveness::NotPinged
        } else {
            Liveness::Pinged(PingTimes::new(now, interval))
        };
        self.rearm();
    }

    /// The session's token is valid for `ttl` from now on. `grace` later the session ends. Without `ttl` it does not end.
    pub(super) fn set_token(&mut self, ttl: Option<Duration>, grace: Duration) {
        if ttl.is_none() && self.rare.is_none() {
            return;
        }
        let now = Instant::now();
        self.rare.get_or_insert_default().token = ttl.map(|ttl| {
            // Clients with a token provider renew it at nine tenths.
            let reminder = ttl.saturating_sub(ttl.checked_div(20).unwrap_or_default());
            Token { reminder: Some(later(now, reminder)), end: later(now, ttl.saturating_add(grace)) }
        });
        self.rearm();
    }

    /// The session ends after an idle time of `timeout`.
    pub(super) fn set_idle_timeout(&mut self, timeout: Duration) {
        self.rare.get_or_insert_default().idle = Some(Idle { timeout, last: Instant::now() });
        self.rearm();
    }

    /// Notes a command.
    pub(super) fn note_command(&mut self) {
        if let Some(OptionalTimes { idle: Some(idle), .. }) = self.rare.as_deref_mut() {
            idle.last = Instant::now();
        }
    }

    /// Notes that something was sent.
    pub(super) fn note_sent(&mut self) {
        if let Liveness::Pinged(pings) = &mut self.liveness {
            pings.sent = pings.since(Instant::now());
        }
    }

    /// Notes a sign of life of any kind. Returns `true` if a ping is due because of it: the sender of a large message has to
    /// hear that the server is there.
    pub(super) fn note_received(&mut self, is_unfinished: bool) -> bool {
        let Liveness::Pinged(pings) = &mut self.liveness else { return false };
        pings.received = pings.since(Instant::now());
        pings.unanswered = None;
        let is_due = is_unfinished && pings.received.saturating_sub(pings.sent) >= nanoseconds(RECEIPT);
        if is_due {
            pings.sent = pings.received;
        }
        is_due
    }

    /// Waits for the next event. `is_busy` returns `true` if the session is in use at the moment.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, is_busy: impl Fn() -> bool) -> Poll<Due> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let due = self.due(Instant::now(), &is_busy);
            self.rearm();
            if let Some(due) = due {
                return Poll::Ready(due);
            }
        }
    }

    /// The event that is due now.
    fn due(&mut self, now: Instant, is_busy: &impl Fn() -> bool) -> Option<Due> {
        match &mut self.liveness {
            Liveness::AwaitsConnect(until) if *until <= now => {
                return Some(Due::End(CloseCode::CONNECT_TIMEOUT));
            }
            Liveness::Pinged(pings) => {
                if let Some(due) = pings.due_ping(pings.since(now)) {
                    return Some(due);
                }
            }
            Liveness::AwaitsConnect(_) | Liveness::NotPinged => {}
        }
        let OptionalTimes { token, idle } = self.rare.as_deref_mut()?;
        if let Some(Token { reminder, end }) = token {
            if *end <= now {
                return Some(Due::End(CloseCode::TOKEN_EXPIRED));
            }
            if reminder.take_if(|reminder| *reminder <= now).is_some() {
                return Some(Due::Remind);
            }
        }
        if let Some(idle) = idle
            && later(idle.last, idle.timeout) <= now
        {
            if !is_busy() {
                return Some(Due::End(CloseCode::IDLE));
            }
            idle.last = now;
        }
        None
    }

    /// Sets the timer to the next possible event.
    fn rearm(&mut self) {
        let liveness = match &self.liveness {
            Liveness::AwaitsConnect(until) => Some(*until),
            Liveness::NotPinged => None,
            Liveness::Pinged(pings) => Some(later(pings.began, Duration::from_nanos(pings.next()))),
        };
        let rare = self.rare.as_ref();
        let token = rare
            .and_then(|rare| rare.token.as_ref())
            .map(|token| token.reminder.map_or(token.end, |reminder| reminder.min(token.end)));
        let idle = rare.and_then(|rare| rare.idle.as_ref()).map(|idle| later(idle.last, idle.timeout));
        let next = [liveness, token, idle].into_iter().flatten().min();
        // Without any deadline it fires once a year.
        let next = next.unwrap_or_else(|| later(Instant::now(), Duration::MAX));
        self.timer.as_mut().reset(next);
    }
}

impl PingTimes {
    fn new(began: Instant, interval: Duration) -> Self {
        Self { began, interval: nanoseconds(interval), sent: 0, received: 0, unanswered: None }
    }

    fn since(&self, now: Instant) -> u64 {
        nanoseconds(now.saturating_duration_since(self.began))
    }

    fn due_ping(&mut self, now: u64) -> Option<Due> {
        if self.unanswered.is_some_and(|unanswered| now >= self.pong_deadline(unanswered)) {
            return Some(Due::End(CloseCode::PONG_TIMEOUT));
        }
        if now < self.ping_due() {
            return None;
        }
        self.sent = now;
        if self.unanswered.is_none() {
            self.unanswered = NonZeroU64::new(now);
        }
        Some(Due::Ping)
    }

    fn next(&self) -> u64 {
        let ping = self.ping_due();
        self.unanswered.map_or(ping, |unanswered| ping.min(self.pong_deadline(unanswered)))
    }

    /// A ping is due after an interval in which nothing was sent. If publications flow all the time, it is due after two
    /// intervals in which nothing was received. Otherwise a vanished client would not be noticed.
    fn ping_due(&self) -> u64 {
        let silent = self.sent.saturating_add(self.interval);
        let unheard = self.received.saturating_add(self.interval.saturating_mul(2));
        if self.unanswered.is_some() { silent } else { silent.min(unheard) }
    }

    fn pong_deadline(&self, unanswered: NonZeroU64) -> u64 {
        unanswered.get().saturating_add(self.interval).saturating_add(nanoseconds(PONG_GRACE))
    }
}

/// Enough for 584 years.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The time `after` the moment. A time beyond the clock's range is replaced by a very late one.
pub(crate) fn later(moment: Instant, after: Duration) -> Instant {
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

    async fn next(clock: &mut Clock, start: Instant) -> (Due, Duration) {
        let due_ping = poll_fn(|cx| clock.poll(cx, || false)).await;
        (due_ping, start.elapsed())
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_connect_is_given_up() {
        let start = Instant::now();
        let mut clock = Clock::new(CONNECT_TIMEOUT);
        clock.note_received(false);
        assert_eq!(next(&mut clock, start).await, (Due::End(CloseCode::CONNECT_TIMEOUT), CONNECT_TIMEOUT));
    }

    #[tokio::test(start_paused = true)]
    async fn pings_go_on_until_the_first_one_is_unanswered_for_too_long() {
        let start = Instant::now();
        let mut clock = Clock::new(CONNECT_TIMEOUT);
        clock.connected(INTERVAL);
        assert_eq!(next(&mut clock, start).await, (Due::Ping, seconds(25)));
        assert_eq!(next(&mut clock, start).await, (Due::Ping, seconds(50)));
        assert_eq!(next(&mut clock, start).await, (Due::End(CloseCode::PONG_TIMEOUT), seconds(60)));
    }

    #[tokio::test(start_paused = true)]
    async fn sent_frames_delay_the_ping_and_received_ones_answer_it() {
        let start = Instant::now();
        let mut clock = Clock::new(CONNECT_TIMEOUT);
        clock.connected(INTERVAL);
        tokio::time::advance(seconds(20)).await;
        clock.note_sent();
        assert_eq!(next(&mut clock, start).await, (Due::Ping, seconds(45)));
        tokio::time::advance(seconds(1)).await;
        clock.note_received(false);
        assert_eq!(next(&mut clock, start).await, (Due::Ping, seconds(70)));
        assert_eq!(next(&mut clock, start).await, (Due::Ping, seconds(95)));
        assert_eq!(next(&mut clock, start).await, (Due::End(CloseCode::PONG_TIMEOUT), seconds(105)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_only_listens_is_asked_for_a_sign_of_life_too() {
        let start = Instant::now();
        let mut clock = Clock::new(CONNECT_TIMEOUT);
        clock.connected(INTERVAL);
        for _ in 0..4 {
            tokio::time::advance(seconds(10)).await;
            clock.note_sent();
        }
        assert_eq!(next(&mut clock, start).await, (Due::Ping, seconds(50)));
    }

    #[tokio::test(start_paused = true)]
    async fn without_an_interval_nothing_is_ever_due() {
        let mut clock = Clock::new(CONNECT_TIMEOUT);
        clock.connected(Duration::ZERO);
        tokio::time::advance(seconds(3600)).await;
        assert!(clock.poll(&mut Context::from_waker(std::task::Waker::noop()), || false).is_pending());
    }

    #[tokio::test(start_paused = true)]
    async fn the_sender_of_a_large_message_receives_a_ping_every_two_seconds() {
        let mut clock = Clock::new(CONNECT_TIMEOUT);
        clock.connected(INTERVAL);
        assert!(!clock.note_received(true));
        tokio::time::advance(seconds(2)).await;
        assert!(!clock.note_received(false), "that was small");
        assert!(clock.note_received(true));
        assert!(!clock.note_received(true));
        tokio::time::advance(seconds(1)).await;
        clock.note_sent();
        tokio::time::advance(seconds(1)).await;
        assert!(!clock.note_received(true), "it has heard something else");
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_asked_for_before_its_end_and_the_session_ends_after_the_grace() {
        let start = Instant::now();
        let mut clock = Clock::new(CONNECT_TIMEOUT);
        clock.connected(Duration::ZERO);
        clock.set_token(Some(seconds(100)), seconds(10));
        assert_eq!(next(&mut clock, start).await, (Due::Remind, seconds(95)));
        assert_eq!(next(&mut clock, start).await, (Due::End(CloseCode::TOKEN_EXPIRED), seconds(110)));
        clock.set_token(None, seconds(10));
        tokio::time::advance(seconds(3600)).await;
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(clock.poll(&mut cx, || false).is_pending());
    }

    #[tokio::test(start_paused = true)]
    async fn idleness_counts_from_the_last_command() {
        let start = Instant::now();
        let mut clock = Clock::new(CONNECT_TIMEOUT);
        clock.connected(Duration::ZERO);
        clock.set_idle_timeout(seconds(60));
        tokio::time::advance(seconds(40)).await;
        clock.note_command();
        assert_eq!(next(&mut clock, start).await, (Due::End(CloseCode::IDLE), seconds(100)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_session_is_not_idle() {
        let start = Instant::now();
        let mut clock = Clock::new(CONNECT_TIMEOUT);
        clock.connected(Duration::ZERO);
        clock.set_idle_timeout(seconds(60));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        for _ in 0..5 {
            tokio::time::advance(seconds(60)).await;
            assert!(clock.poll(&mut cx, || true).is_pending());
        }
        // A command has ended its subscription.
        clock.note_command();
        assert_eq!(next(&mut clock, start).await, (Due::End(CloseCode::IDLE), seconds(360)));
    }
}
