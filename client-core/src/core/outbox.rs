//! Encoded commands on their way out.

use std::collections::VecDeque;

use bytes::Bytes;
use wirehub_common::Limits;
use wirehub_common::code::ErrorCode;

use crate::{Error, ErrorKind};

/// Commands that are not yet in the transport, in order.
#[derive(Debug)]
pub(super) struct Outbox {
    entries: VecDeque<Outgoing>,
    bytes: usize,
    bound: usize,
}

#[derive(Debug)]
struct Outgoing {
    /// The command, where it is one that outlives the connection.
    command: Option<u32>,
    frame: Bytes,
}

impl Outbox {
    pub(super) fn new(bound: usize) -> Self {
        Self { entries: VecDeque::new(), bytes: 0, bound }
    }

    /// Takes a command that waits for a connection where there is none.
    pub(super) fn push_command(&mut self, command: u32, frame: Bytes) -> Result<(), Error> {
        let bytes = self.bytes.saturating_add(frame.len());
        if bytes > self.bound {
            return Err(Error::from_code(ErrorKind::Usage, ErrorCode::QUEUE_FULL));
        }
        self.push(Some(command), frame);
        Ok(())
    }

    /// Takes a frame that has a meaning in this connection only. Bounded by the number of subscriptions and commands
    /// it is about.
    pub(super) fn push_transient(&mut self, frame: Bytes) {
        self.push(None, frame);
    }

    fn push(&mut self, command: Option<u32>, frame: Bytes) {
        self.bytes = self.bytes.saturating_add(frame.len());
        self.entries.push_back(Outgoing { command, frame });
    }

    /// Takes a command back; `false` where it is not here any more.
    pub(super) fn remove(&mut self, command: u32) -> bool {
        let Some(index) = self.entries.iter().position(|entry| entry.command == Some(command)) else {
            return false;
        };
        if let Some(entry) = self.entries.remove(index) {
            self.bytes = self.bytes.saturating_sub(entry.frame.len());
        }
        true
    }

    /// Forgets what has a meaning in the lost connection only.
    pub(super) fn keep_commands(&mut self) {
        self.entries.retain(|entry| entry.command.is_some());
        self.bytes = self.entries.iter().map(|entry| entry.frame.len()).sum();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
    }

    /// The next WebSocket message, at most `limit` bytes of it, and the commands in it. The first command that is
    /// alone over the limit is an error.
    pub(super) fn next_batch(&mut self, limit: usize) -> Option<Batch> {
        let target = limit.min(Limits::BATCH_BYTES);
        let mut batch = Batch { bytes: Bytes::new(), commands: Vec::new(), oversized: None };
        let mut joined = Vec::new();
        while let Some(entry) = self.entries.front() {
            let first = joined.is_empty() && batch.bytes.is_empty();
            let total = joined.len().saturating_add(batch.bytes.len()).saturating_add(entry.frame.len());
            if !first && total > target {
                break;
            }
            let Some(Outgoing { command, frame }) = self.entries.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(frame.len());
            if first && frame.len() > limit {
                batch.oversized = command;
                return Some(batch);
            }
            batch.commands.extend(command);
            if first {
                // Alone it needs no copy.
                batch.bytes = frame;
            } else {
                if joined.is_empty() {
                    joined.extend_from_slice(&std::mem::take(&mut batch.bytes));
                }
                joined.extend_from_slice(&frame);
            }
        }
        if !joined.is_empty() {
            batch.bytes = joined.into();
        }
        (!batch.bytes.is_empty()).then_some(batch)
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
        let mut outbox = Outbox::new(usize::MAX);
        for (command, &size) in (1..).zip(sizes) {
            outbox.push_command(command, Bytes::from(vec![0; size])).unwrap();
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
        outbox.push_command(2, frame.clone()).unwrap();
        assert_eq!(outbox.next_batch(usize::MAX).unwrap().commands, [1]);
        assert_eq!(outbox.next_batch(usize::MAX).unwrap().bytes.as_ptr(), frame.as_ptr());
    }

    #[test]
    fn the_bound_counts_what_waits() {
        let mut outbox = Outbox::new(100);
        outbox.push_command(1, Bytes::from(vec![0; 60])).unwrap();
        let error = outbox.push_command(2, Bytes::from(vec![0; 60])).unwrap_err();
        assert_eq!(error.code(), ErrorCode::QUEUE_FULL);
        assert!(outbox.remove(1));
        assert!(!outbox.remove(1));
        outbox.push_command(3, Bytes::from(vec![0; 100])).unwrap();
        outbox.push_transient(Bytes::from_static(b"x"));
        outbox.keep_commands();
        assert_eq!(outbox.next_batch(1000).unwrap().commands, [3]);
        assert_eq!(outbox.bytes, 0);
    }
}
