//! Encoded commands on their way out.

use alloc::vec::Vec;

use wirehub_common::{Bytes, Limits};

/// Commands that are not yet in the transport, in order. Who puts them here keeps the bounds.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    entries: Vec<Outgoing>,
}

#[derive(Debug)]
struct Outgoing {
    /// The command, where it is one that outlives the connection.
    command: Option<u32>,
    frame: Bytes,
}

impl Outbox {
    /// Takes a command that waits for a connection where there is none.
    pub(super) fn push_command(&mut self, command: u32, frame: Bytes) {
        self.entries.push(Outgoing { command: Some(command), frame });
    }

    /// Takes a frame that has a meaning in this connection only. Bounded by the number of subscriptions and commands
    /// it is about.
    pub(super) fn push_transient(&mut self, frame: Bytes) {
        self.entries.push(Outgoing { command: None, frame });
    }

    /// Takes commands that go before all others, in their order.
    pub(super) fn put_in_front(&mut self, commands: Vec<(u32, Bytes)>) {
        let mut behind = core::mem::take(&mut self.entries);
        for (command, frame) in commands {
            self.push_command(command, frame);
        }
        self.entries.append(&mut behind);
    }

    /// Takes a command back, if it is still here.
    pub(super) fn remove(&mut self, command: u32) {
        if let Some(index) = self.entries.iter().position(|entry| entry.command == Some(command)) {
            self.entries.remove(index);
        }
    }

    /// Forgets what has a meaning in the lost connection only, and the commands that are not to be kept.
    pub(super) fn keep_commands(&mut self, keep: impl Fn(u32) -> bool) {
        self.entries.retain(|entry| entry.command.is_some_and(&keep));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    /// The next WebSocket message, at most `limit` bytes of it, and the commands in it. The first command that is
    /// alone over the limit is an error.
    pub(super) fn next_batch(&mut self, limit: usize) -> Option<Batch> {
        let target = limit.min(Limits::BATCH_BYTES);
        let mut batch = Batch { bytes: Bytes::new(), commands: Vec::new(), oversized: None };
        let mut total = 0_usize;
        // The first goes out in any case, if only to be told that it can't.
        let fitting = self.entries.iter().take_while(|entry| {
            let first = total == 0;
            total = total.saturating_add(entry.frame.len());
            first || total <= target
        });
        let count = fitting.count();
        let first = self.entries.first()?;
        if first.frame.len() > limit {
            batch.oversized = first.command;
        } else if count == 1 {
            // Alone it needs no copy.
            batch.bytes = first.frame.clone();
        } else {
            let mut joined = Vec::new();
            for entry in self.entries.iter().take(count) {
                joined.extend_from_slice(&entry.frame);
            }
            batch.bytes = joined.into();
        }
        for entry in self.entries.drain(..count) {
            if let (Some(command), None) = (entry.command, batch.oversized) {
                batch.commands.push(command);
            }
        }
        Some(batch)
    }
}

/// What goes into one WebSocket message.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) bytes: Bytes,
    pub(super) commands: Vec<u32>,
    /// A command that can't go out over this connection; `bytes` is empty then.
    pub(super) oversized: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox(sizes: &[usize]) -> Outbox {
        let mut outbox = Outbox::default();
        for (command, &size) in (1..).zip(sizes) {
            outbox.push_command(command, Bytes::from(vec![0; size]));
        }
        outbox
    }

    #[test]
    fn a_batch_holds_what_fits_in_order() {
        let mut outbox = outbox(&[10, 20, 30, 40]);
        let mut batch = || outbox.next_batch(60).map(|batch| (batch.bytes.len(), batch.commands));
        assert_eq!(batch(), Some((60, vec![1, 2, 3])));
        assert_eq!(batch(), Some((40, vec![4])));
        assert_eq!(batch(), None);
    }

    #[test]
    fn a_command_over_the_limit_is_told_and_does_not_stop_the_others() {
        let mut outbox = outbox(&[100, 5]);
        assert_eq!(outbox.next_batch(60).unwrap().oversized, Some(1));
        assert_eq!(outbox.next_batch(60).unwrap().commands, [2]);
    }

    #[test]
    fn large_commands_go_alone_without_a_copy() {
        let frame = Bytes::from(vec![7; Limits::BATCH_BYTES + 1]);
        let mut outbox = outbox(&[10]);
        outbox.push_command(2, frame.clone());
        assert_eq!(outbox.next_batch(usize::MAX).unwrap().commands, [1]);
        assert_eq!(outbox.next_batch(usize::MAX).unwrap().bytes.as_ptr(), frame.as_ptr());
    }

    #[test]
    fn what_is_repeated_goes_before_what_waits() {
        let mut outbox = outbox(&[10, 20]);
        outbox.push_transient(Bytes::from_static(b"x"));
        outbox.keep_commands(|command| command != 1);
        outbox.put_in_front(vec![(7, Bytes::from_static(b"7")), (8, Bytes::from_static(b"8"))]);
        let batch = outbox.next_batch(1000).unwrap();
        assert_eq!((batch.commands, batch.bytes.len()), (vec![7, 8, 2], 22));
    }

    #[test]
    fn a_command_that_was_taken_back_does_not_go_out() {
        let mut outbox = outbox(&[10, 20]);
        outbox.remove(1);
        outbox.remove(1);
        assert_eq!(outbox.next_batch(1000).unwrap().commands, [2]);
    }
}
