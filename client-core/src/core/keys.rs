//! Idempotency keys, and how long the server remembers them.
//!
//! On each connect the server sends the name of its key memory (the scope) and the time on its clock. From both the
//! client knows whether a publish sent over an earlier connection can be repeated without doubling the message. The
//! client's own clock is not enough: on many machines it stands still during sleep, while the server's goes on.

use alloc::string::String;
use core::time::Duration;

use wirehub_common::view::Idempotency;

use crate::Time;
use crate::time::Span;

/// Makes keys, and knows how long they are valid.
#[derive(Debug)]
pub(super) struct Keys {
    /// The part of the key that distinguishes this client from all others.
    client: u64,
    pub(super) of_publishes: Memory,
    pub(super) of_calls: Memory,
}

/// The server's memory of keys.
#[derive(Debug)]
pub(super) struct Memory {
    /// The server's name for it.
    scope: String,
    /// How long the server remembers a key, in milliseconds.
    window: u64,
    /// The server's clock when it was last sent.
    clock: u64,
    /// Whether keys have an effect in this connection.
    in_force: bool,
    /// The client's time at that moment.
    told: Time,
    /// Counts the memories so far.
    generation: u32,
}

/// The earliest time at which the server may have seen a key.
#[derive(Debug, Clone, Copy)]
pub(super) struct MemoryMark {
    generation: u32,
    clock: u64,
}

impl Keys {
    /// `seed` has to be as unique as the keys.
    pub(super) const fn new(seed: u64) -> Self {
        Self { client: seed, of_publishes: Memory::new(), of_calls: Memory::new() }
    }

    pub(super) fn seed(&mut self, seed: u64) {
        self.client = seed;
    }

    /// The key of a command.
    pub(super) fn make(&self, command: u32) -> String {
        let mut key = String::new();
        push_digits(&mut key, self.client);
        key.push('.');
        push_digits(&mut key, command.into());
        key
    }
}

impl Memory {
    const fn new() -> Self {
        Self { scope: String::new(), window: 0, clock: 0, in_force: false, told: Time::ZERO, generation: 0 }
    }

    /// The client is connected. Without `said`, keys have no effect.
    pub(super) fn connected(&mut self, now: Time, said: Option<Idempotency<'_>>) {
        self.in_force = false;
        if let Some(said) = said {
            self.hear(now, said.scope(), said.window(), said.clock());
        }
    }

    fn hear(&mut self, now: Time, scope: &str, window: Duration, clock: u64) {
        self.in_force = true;
        if self.scope != scope || self.generation == 0 {
            self.generation = self.generation.wrapping_add(1);
            self.scope = scope.into();
        }
        self.window = Span::from(window).millis();
        self.clock = clock;
        self.told = now;
    }

    /// The mark of a command that is sent now. `since` is any earlier moment; a later one is better. Returns nothing
    /// where keys have no effect.
    pub(super) fn mark(&self, since: Time) -> Option<MemoryMark> {
        // If the client's clock stood still meanwhile, this is too early, which is the safe side.
        let clock = self.clock.saturating_add(since.span_since(self.told).millis());
        self.in_force.then_some(MemoryMark { generation: self.generation, clock })
    }

    /// Whether the server still knows a command with this mark, judged by the clock it last sent and the time since
    /// then. `heard` is a moment in this connection. `share` divides the time.
    pub(super) fn remembers(&self, mark: MemoryMark, heard: Time, share: u64) -> bool {
        let clock = self.clock.saturating_add(heard.span_since(self.told).millis());
        let passed = clock.saturating_sub(mark.clock);
        self.in_force && mark.generation == self.generation && passed.saturating_mul(share) < self.window
    }
}

/// Writes a number in base 32, the lowest digit first.
fn push_digits(text: &mut String, mut number: u64) {
    loop {
        let digit = (number & 31) as u8;
        text.push(char::from(digit.wrapping_add(if digit < 10 { b'0' } else { b'a' - 10 })));
        number >>= 5;
        if number == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use std::collections::BTreeSet;

    use super::*;

    const WINDOW: Duration = Duration::from_secs(10);

    fn at(seconds: u64) -> Time {
        Time::since_origin(Duration::from_secs(seconds))
    }

    #[test]
    fn keys_differ_between_commands_and_between_clients() {
        let mut seen = BTreeSet::new();
        for client in [0, 1, 31, 32, 1 << 40, u64::MAX] {
            for command in [1, 31, 32, 33, 1024, u32::MAX] {
                let key = Keys::new(client).make(command);
                assert!(key.len() <= 21, "{key}");
                assert!(seen.insert(key));
            }
        }
    }

    #[test]
    fn a_server_remembers_for_its_window_by_its_own_clock() {
        let mut keys = Memory::new();
        keys.hear(at(100), "a", WINDOW, 50_000);
        // Sent at 53 s by the server's clock.
        let mark = keys.mark(at(103)).unwrap();
        keys.hear(at(104), "a", WINDOW, 62_999);
        assert!(keys.remembers(mark, at(104), 1));
        assert!(!keys.remembers(mark, at(105), 1), "it took its time to be sent again");
        keys.hear(at(104), "a", WINDOW, 63_000);
        assert!(!keys.remembers(mark, at(104), 1), "this client's clock stood still");
    }

    #[test]
    fn another_memory_knows_nothing_and_neither_does_the_first_one_after_it() {
        let mut keys = Memory::new();
        keys.hear(at(0), "a", WINDOW, 0);
        let mark = keys.mark(at(0)).unwrap();
        keys.hear(at(1), "b", WINDOW, 0);
        assert!(!keys.remembers(mark, at(1), 1));
        keys.hear(at(2), "a", WINDOW, 0);
        assert!(!keys.remembers(mark, at(2), 1), "it may have been lost and made again");
    }

    #[test]
    fn without_a_memory_nothing_is_left_and_nothing_known() {
        let mut keys = Memory::new();
        assert!(keys.mark(at(0)).is_none());
        keys.hear(at(0), "", WINDOW, 0);
        let mark = keys.mark(at(0)).unwrap();
        keys.connected(at(0), None);
        assert!(keys.mark(at(0)).is_none());
        assert!(!keys.remembers(mark, at(0), 1));
    }
}
