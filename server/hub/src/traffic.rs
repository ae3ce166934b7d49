//! The bytes of a hub's WebSockets.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The bytes that were received and sent. Each thread counts in a part of its own, because a counter that threads share would
/// cost every write of every connection.
pub(crate) struct Traffic {
    parts: [TrafficPart; PARTS],
}

/// The counters of one thread, or of several if there are more threads than parts. Processors fetch two lines of 64 bytes
/// together, so each part has both.
#[derive(Default)]
#[repr(align(128))]
struct TrafficPart {
    received: AtomicU64,
    sent: AtomicU64,
}

const PARTS: usize = 32;

/// The threads that have counted so far, in all hubs.
static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The part of this thread.
    static PART: usize = THREADS.fetch_add(1, Ordering::Relaxed) % PARTS;
}

impl Traffic {
    pub(crate) fn new() -> Self {
        Self { parts: std::array::from_fn(|_| TrafficPart::default()) }
    }

    pub(crate) fn add_received(&self, bytes: usize) {
        self.own_part().received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn add_sent(&self, bytes: usize) {
        self.own_part().sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The bytes that were received by all threads.
    pub(crate) fn received(&self) -> u64 {
        self.sum(|part| &part.received)
    }

    /// The bytes that were sent by all threads.
    pub(crate) fn sent(&self) -> u64 {
        self.sum(|part| &part.sent)
    }

    #[allow(clippy::indexing_slicing, reason = "a remainder by the array's length is within it")]
    fn own_part(&self) -> &TrafficPart {
        &self.parts[PART.with(|part| *part)]
    }

    fn sum(&self, counter: impl Fn(&TrafficPart) -> &AtomicU64) -> u64 {
        self.parts.iter().fold(0, |sum, part| sum.wrapping_add(counter(part).load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_more_threads_than_parts_are_counted() {
        let traffic = Traffic::new();
        std::thread::scope(|scope| {
            for bytes in 1..=100 {
                let traffic = &traffic;
                scope.spawn(move || {
                    traffic.add_received(bytes);
                    traffic.add_sent(1000);
                });
            }
        });
        assert_eq!((traffic.received(), traffic.sent()), (5050, 100_000));
    }

    #[test]
    fn threads_do_not_share_a_line() {
        assert_eq!(size_of::<TrafficPart>(), 128);
    }
}
