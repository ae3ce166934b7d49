//! Why clients are refused. A browser keeps the reason from its page, so that operators have to find it here: each refusal is
//! counted, and logged once for each origin, path or address.

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
    /// The request is no WebSocket handshake (RFC 6455, section 4.2.1).
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

/// Counts and tells who is refused at one hub.
pub(crate) struct Refusals {
    counters: [(RefusalReason, Count); RefusalReason::ALL.len()],
    told: Mutex<Told>,
}

impl Refusals {
    pub(crate) fn new() -> Self {
        let counters = RefusalReason::ALL.map(|reason| (reason, Count::default()));
        Self { counters, told: Mutex::new(Told::default()) }
    }

    pub(crate) fn count(&self, reason: RefusalReason) {
        if let Some((_, counter)) = self.counters.iter().find(|(of, _)| *of == reason) {
            counter.add(1);
        }
    }

    /// Notes why a session does not begin, where that is for its token, or because there are too many.
    pub(crate) fn note(&self, error: &ErrorInfo) {
        match error.code {
            ErrorCode::UNAUTHORIZED | ErrorCode::TOKEN_EXPIRED => {
                self.count(RefusalReason::Token);
                self.tell(&error.message, format_args!("a client is not let in: {}", error.message));
            }
            ErrorCode::LIMIT_EXCEEDED => self.count(RefusalReason::Limit),
            _ => {}
        }
    }

    /// How many there were for each reason.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (RefusalReason, u64)> {
        self.counters.iter().map(|(reason, counter)| (*reason, counter.total()))
    }

    /// Tells the log, unless it has been told of the same lately. `about` says what is the same.
    pub(crate) fn tell(&self, about: &str, words: impl std::fmt::Display) {
        let verdict = self.told.lock().is_new(about, Instant::now());
        if verdict == Verdict::Known {
            return;
        }
        let words = words.to_string();
        let words = cut(&words, MAX_WORDS);
        match verdict {
            Verdict::New | Verdict::Known => tracing::warn!("{words}"),
            Verdict::Last => tracing::warn!(
                "{words}; so many others are refused that they are not told one by one for an hour: \
                 wirehub_refusals_total counts them"
            ),
        }
    }
}

/// What the log has been told.
#[derive(Default)]
struct Told {
    about: HashSet<Box<str>>,
    began: Option<Instant>,
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    New,
    /// New, and there is no room for more.
    Last,
    Known,
}

/// How many different ones are told of in [`FORGET_AFTER`]: anybody could fill the log otherwise.
const MAX_TOLD: usize = 100;
const FORGET_AFTER: Duration = Duration::from_secs(3600);

/// How much is kept of what one is about.
const MAX_ABOUT: usize = 256;

/// How much is told of one.
const MAX_WORDS: usize = 1024;

/// The beginning of a text.
fn cut(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or_default()
}

impl Told {
    fn is_new(&mut self, about: &str, now: Instant) -> Verdict {
        if self.began.is_none_or(|began| now.saturating_duration_since(began) >= FORGET_AFTER) {
            self.about.clear();
            self.began = Some(now);
        }
        let about = cut(about, MAX_ABOUT);
        if self.about.len() >= MAX_TOLD || self.about.contains(about) {
            return Verdict::Known;
        }
        self.about.insert(about.into());
        if self.about.len() == MAX_TOLD { Verdict::Last } else { Verdict::New }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use super::*;

    #[test]
    fn each_is_told_once_and_all_together_have_a_bound() {
        let mut told = Told::default();
        let now = Instant::now();
        assert_eq!(told.is_new("a", now), Verdict::New);
        assert_eq!(told.is_new("b", now), Verdict::New);
        assert_eq!(told.is_new("a", now), Verdict::Known);
        let long = "é".repeat(10_000);
        for index in 2..1000 {
            let expected = match index {
                ..99 => Verdict::New,
                99 => Verdict::Last,
                _ => Verdict::Known,
            };
            assert_eq!(told.is_new(&format!("{index}{long}"), now), expected);
        }
        assert!(told.about.iter().map(|about| about.len()).sum::<usize>() <= MAX_TOLD * MAX_ABOUT);
        assert_eq!(told.is_new("a", now + FORGET_AFTER), Verdict::New);
    }
}
