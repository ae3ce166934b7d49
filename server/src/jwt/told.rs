//! Which refusals the log tells of. Anybody could fill it otherwise.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use wirehub_common::code::ErrorCode;

use crate::Refusal;

/// How often each reason was told lately.
#[derive(Default)]
pub(super) struct Told(Mutex<HashMap<String, Lately>>);

struct Lately {
    since: Instant,
    times: u32,
}

impl Told {
    /// Tells why a token is refused, to whoever issues tokens or runs the server.
    pub(super) fn tell(&self, refusal: &Refusal, address: Option<IpAddr>) {
        let address = address.map(tracing::field::display);
        match refusal.code() {
            // The reason is in the log already.
            ErrorCode::UNAVAILABLE => {}
            // Every token's end.
            ErrorCode::TOKEN_EXPIRED => tracing::debug!(address, "a token is refused: {refusal}"),
            _ => match self.note(&refusal.0.message, Instant::now()) {
                Tell::Nothing => {}
                Tell::It => tracing::warn!(address, "a token is refused: {refusal}"),
                Tell::Last => {
                    tracing::warn!(address, "a token is refused: {refusal} (no more of these for a minute)");
                }
            },
        }
    }

    fn note(&self, reason: &str, now: Instant) -> Tell {
        let mut told = self.0.lock();
        told.retain(|_, lately| now.saturating_duration_since(lately.since) < PERIOD);
        if !told.contains_key(reason) && told.len() >= MAX_REASONS {
            return Tell::Nothing;
        }
        let lately = told.entry(reason.to_owned()).or_insert(Lately { since: now, times: 0 });
        lately.times = lately.times.saturating_add(1);
        match lately.times {
            ..MOST => Tell::It,
            MOST => Tell::Last,
            _ => Tell::Nothing,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Tell {
    It,
    Last,
    Nothing,
}

const PERIOD: Duration = Duration::from_secs(60);
/// How often each reason is told in that time.
const MOST: u32 = 5;
/// There are fewer, but for those that say which entry of a list is wrong.
const MAX_REASONS: usize = 50;

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use super::*;

    #[test]
    fn each_reason_is_told_some_times_a_minute_and_not_more_of_them_than_can_be_read() {
        let (told, now) = (Told::default(), Instant::now());
        let said = |reason: &str, now| (0..10).map(|_| told.note(reason, now)).collect::<Vec<_>>();
        let first = said("a", now);
        assert_eq!(first.iter().filter(|tell| **tell == Tell::It).count(), 4);
        assert_eq!((&first[4], &first[5]), (&Tell::Last, &Tell::Nothing));
        assert_eq!(told.note("b", now), Tell::It);
        assert_eq!(said("a", now + PERIOD), first);
        let loud = (0..1000).filter(|index| told.note(&format!("{index}"), now + PERIOD) == Tell::It);
        assert!(loud.count() < MAX_REASONS);
        assert!(told.0.lock().len() <= MAX_REASONS);
    }
}
