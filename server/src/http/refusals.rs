//! Who is refused, and why. A browser keeps the reason to itself, so that whoever looks for it has to find it here: each is
//! counted, and told in the log once for each origin, path or address.

use std::collections::HashSet;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tokio::time::Instant;
use wirehub_common::code::ErrorCode;
use wirehub_common::frame::ErrorInfo;

/// What a client was refused for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// A page that may not connect.
    Origin,
    /// The token is not valid, or has expired, or there is none.
    Token,
    /// Too many connections, handshakes or sessions.
    Limit,
    /// No WebSocket is served there.
    Path,
    /// None of those that it offers is known.
    Subprotocol,
    /// The server stops.
    Stopping,
    /// It is no handshake as RFC 6455 has it.
    Handshake,
    /// The server could not.
    Failure,
}

impl Reason {
    pub(crate) const ALL: [Self; 8] = [
        Self::Origin,
        Self::Token,
        Self::Limit,
        Self::Path,
        Self::Subprotocol,
        Self::Stopping,
        Self::Handshake,
        Self::Failure,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
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

type Labels = [(&'static str, &'static str); 1];

/// Counts and tells who is refused at one hub.
pub(crate) struct Refusals {
    counters: Vec<(Reason, Counter)>,
    told: Mutex<Told>,
}

impl Refusals {
    /// Those of all reasons are there from the beginning, so that the first one is seen as a change.
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let family = Family::<Labels, Counter>::default();
        let counter = |reason: Reason| (reason, family.get_or_create_owned(&[("reason", reason.as_str())]));
        let counters = Reason::ALL.map(counter).into();
        registry.register("refusals", "Clients that were refused, by reason", family);
        Self { counters, told: Mutex::new(Told::default()) }
    }

    pub(crate) fn count(&self, reason: Reason) {
        if let Some((_, counter)) = self.counters.iter().find(|(of, _)| *of == reason) {
            counter.inc();
        }
    }

    /// Notes why a session does not begin, where that is for its token, or because there are too many.
    pub(crate) fn note(&self, error: &ErrorInfo) {
        match error.code {
            ErrorCode::UNAUTHORIZED | ErrorCode::TOKEN_EXPIRED => {
                self.count(Reason::Token);
                self.tell(&error.message, format_args!("a client is not let in: {}", error.message));
            }
            ErrorCode::LIMIT_EXCEEDED => self.count(Reason::Limit),
            _ => {}
        }
    }

    /// How many there were for each reason.
    #[cfg(feature = "api")]
    pub(crate) fn counts(&self) -> impl Iterator<Item = (Reason, u64)> {
        self.counters.iter().map(|(reason, counter)| (*reason, counter.get()))
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
