//! The reasons for refused clients. A browser hides the reason from its page, so operators have to find it here: each refusal
//! is counted, and logged once for each origin, path or address.

use std::collections::HashSet;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use wirehub_common::code::ErrorCode;
use wirehub_common::frame::ErrorInfo;

use crate::counters::Count;

/// The reason for which a client was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefusalReason {
    /// The page's origin may not connect.
    Origin,
    /// The token is invalid, expired or missing.
    Token,
    /// Too many connections, handshakes or sessions.
    Limit,
    /// No WebSocket is served at the path.
    Path,
    /// None of the offered subprotocols is known.
    Subprotocol,
    /// The server is stopping.
    Stopping,
    /// The request is not a WebSocket handshake (RFC 6455, section 4.2.1).
    Handshake,
    /// The server failed.
    Failure,
}

impl RefusalReason {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::Origin,
        Self::Token,
        Self::Limit,
        Self::Path,
        Self::Subprotocol,
        Self::Stopping,
        Self::Handshake,
        Self::Failure,
    ];

    /// The name, as in metrics: `origin`, `token` and so on.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Origin => "origin",
            Self::Token => "token",
            Self::Limit => "limit",
            Self::Path => "path",
            Self::Subprotocol => "subprotocol",
            Self::Stopping => "stopping",
            Self::Handshake => "handshake",
            Self::Failure => "failure",
        }
    }
}

/// Counts and logs the refused clients of one hub.
pub(crate) struct Refusals {
    counters: [(RefusalReason, Count); RefusalReason::ALL.len()],
    logged: Mutex<LoggedRefusals>,
}

impl Refusals {
    pub(crate) fn new() -> Self {
        let counters = RefusalReason::ALL.map(|reason| (reason, Count::default()));
        Self { counters, logged: Mutex::new(LoggedRefusals::default()) }
    }

    pub(crate) fn count(&self, reason: RefusalReason) {
        if let Some((_, counter)) = self.counters.iter().find(|(of, _)| *of == reason) {
            counter.add(1);
        }
    }

    /// Counts a refused session, if the reason is its token or a limit.
    pub(crate) fn count_refused_session(&self, error: &ErrorInfo) {
        match error.code {
            ErrorCode::UNAUTHORIZED | ErrorCode::TOKEN_EXPIRED => {
                self.count(RefusalReason::Token);
                self.log_once(&error.message, format_args!("a client is refused: {}", error.message));
            }
            ErrorCode::LIMIT_EXCEEDED => self.count(RefusalReason::Limit),
            _ => {}
        }
    }

    /// The number of refusals for each reason.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (RefusalReason, u64)> {
        self.counters.iter().map(|(reason, counter)| (*reason, counter.total()))
    }

    /// Logs a message, unless the same `subject` was logged recently.
    pub(crate) fn log_once(&self, subject: &str, message: impl std::fmt::Display) {
        let verdict = self.logged.lock().decide(subject, Instant::now());
        if verdict == LogDecision::Known {
            return;
        }
        let message = message.to_string();
        let message = truncated(&message, MAX_MESSAGE_BYTES);
        match verdict {
            LogDecision::New | LogDecision::Known => tracing::warn!("{message}"),
            LogDecision::Last => tracing::warn!(
                "{message}; further refusals are not logged for up to an hour, but \
                 wirehub_refusals_total counts them"
            ),
        }
    }
}

/// The recently logged subjects.
#[derive(Default)]
struct LoggedRefusals {
    subjects: HashSet<Box<str>>,
    began: Option<Instant>,
}

#[derive(Debug, PartialEq, Eq)]
enum LogDecision {
    New,
    /// New, but the last one for some time.
    Last,
    Known,
}

/// The maximum number of subjects that are logged in [`FORGET_AFTER`]. Otherwise any client could fill the log.
const MAX_SUBJECTS: usize = 100;
const FORGET_AFTER: Duration = Duration::from_secs(3600);

/// The maximum remembered bytes of a subject.
const MAX_SUBJECT_BYTES: usize = 256;

/// The maximum logged bytes of a message.
const MAX_MESSAGE_BYTES: usize = 1024;

/// The beginning of a text.
fn truncated(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or_default()
}

impl LoggedRefusals {
    fn decide(&mut self, subject: &str, now: Instant) -> LogDecision {
        if self.began.is_none_or(|began| now.saturating_duration_since(began) >= FORGET_AFTER) {
            self.subjects.clear();
            self.began = Some(now);
        }
        let subject = truncated(subject, MAX_SUBJECT_BYTES);
        if self.subjects.len() >= MAX_SUBJECTS || self.subjects.contains(subject) {
            return LogDecision::Known;
        }
        self.subjects.insert(subject.into());
        if self.subjects.len() == MAX_SUBJECTS { LogDecision::Last } else { LogDecision::New }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use super::*;

    #[test]
    fn each_subject_is_logged_once_and_all_together_are_bounded() {
        let mut logged = LoggedRefusals::default();
        let now = Instant::now();
        assert_eq!(logged.decide("a", now), LogDecision::New);
        assert_eq!(logged.decide("b", now), LogDecision::New);
        assert_eq!(logged.decide("a", now), LogDecision::Known);
        let long = "é".repeat(10_000);
        for index in 2..1000 {
            let expected = match index {
                ..99 => LogDecision::New,
                99 => LogDecision::Last,
                _ => LogDecision::Known,
            };
            assert_eq!(logged.decide(&format!("{index}{long}"), now), expected);
        }
        assert!(
            logged.subjects.iter().map(|subject| subject.len()).sum::<usize>()
                <= MAX_SUBJECTS * MAX_SUBJECT_BYTES
        );
        assert_eq!(logged.decide("a", now + FORGET_AFTER), LogDecision::New);
    }
}
