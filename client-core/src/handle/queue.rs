//! A bounded queue from the driver to one stream.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_core::Stream;

use crate::Overflow;

/// The sending end. The queue ends when it is dropped.
#[derive(Debug)]
pub(super) struct QueueSender<T>(Arc<Mutex<Slots<T>>>);

/// The receiving end.
#[derive(Debug)]
pub(super) struct Queue<T>(Arc<Mutex<Slots<T>>>);

/// The reason for which an entry was refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The queue is full, and the policy is [`Overflow::Error`].
    Full,
    /// The receiving end is gone.
    Gone,
}

#[derive(Debug)]
struct Slots<T> {
    entries: VecDeque<(T, usize)>,
    bytes: usize,
    bound: usize,
    overflow: Overflow,
    ended: bool,
    gone: bool,
    waker: Option<Waker>,
}

/// A queue for `bound` bytes of entries; a single larger entry still fits into an empty one.
pub(super) fn new<T>(bound: usize, overflow: Overflow) -> (QueueSender<T>, Queue<T>) {
    let slots = Arc::new(Mutex::new(Slots {
        entries: VecDeque::new(),
        bytes: 0,
        bound,
        overflow,
        ended: false,
        gone: false,
        waker: None,
    }));
    (QueueSender(Arc::clone(&slots)), Queue(slots))
}

/// Adds a queue to the list, and removes the queues whose receivers are gone, so that repeated calls leave nothing
/// behind.
pub(super) fn add<T>(senders: &mut Vec<QueueSender<T>>, sender: QueueSender<T>) {
    senders.retain(|sender| !lock(&sender.0).gone);
    senders.push(sender);
}

impl<T> QueueSender<T> {
    /// Adds an entry of `bytes` bytes, within the policy.
    pub(super) fn push(&self, entry: T, bytes: usize) -> Result<(), Refused> {
        let mut slots = lock(&self.0);
        if slots.gone {
            return Err(Refused::Gone);
        }
        match slots.overflow {
            Overflow::Latest => slots.clear(),
            Overflow::DropOldest => {
                while slots.is_full_for(bytes) {
                    slots.pop();
                }
            }
            Overflow::Error if slots.is_full_for(bytes) => return Err(Refused::Full),
            Overflow::Error => {}
        }
        slots.push(entry, bytes);
        Ok(())
    }

    /// Adds a last entry regardless of the bound.
    pub(super) fn finish(self, entry: Option<T>) {
        if let Some(entry) = entry {
            lock(&self.0).push(entry, 0);
        }
    }
}

impl<T> Drop for QueueSender<T> {
    fn drop(&mut self) {
        let mut slots = lock(&self.0);
        slots.ended = true;
        slots.wake();
    }
}

impl<T> Stream for Queue<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut slots = lock(&self.0);
        match slots.pop() {
            Some(entry) => Poll::Ready(Some(entry)),
            None if slots.ended => Poll::Ready(None),
            None => {
                slots.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for Queue<T> {
    fn drop(&mut self) {
        let mut slots = lock(&self.0);
        slots.gone = true;
        slots.waker = None;
        slots.clear();
    }
}

impl<T> Slots<T> {
    fn is_full_for(&self, bytes: usize) -> bool {
        !self.entries.is_empty() && self.bytes.saturating_add(bytes) > self.bound
    }

    fn push(&mut self, entry: T, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.entries.push_back((entry, bytes));
        self.wake();
    }

    fn pop(&mut self) -> Option<T> {
        let (entry, bytes) = self.entries.pop_front()?;
        self.bytes = self.bytes.saturating_sub(bytes);
        Some(entry)
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

fn lock<T>(slots: &Mutex<Slots<T>>) -> MutexGuard<'_, Slots<T>> {
    slots.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, StreamExt as _};

    use super::*;

    fn taken(queue: Queue<u32>) -> Vec<u32> {
        queue.collect::<Vec<_>>().now_or_never().unwrap()
    }

    #[test]
    fn a_full_queue_refuses_drops_the_oldest_or_keeps_the_newest() {
        for (overflow, expected) in
            [(Overflow::Error, &[1, 2][..]), (Overflow::DropOldest, &[2, 3]), (Overflow::Latest, &[3])]
        {
            let (sender, queue) = new(20, overflow);
            let results = [1, 2, 3].map(|entry| sender.push(entry, 10));
            assert_eq!(results[2].is_err(), overflow == Overflow::Error);
            drop(sender);
            assert_eq!(taken(queue), expected, "{overflow:?}");
        }
    }

    #[test]
    fn an_entry_over_the_bound_fits_into_an_empty_queue() {
        let (sender, queue) = new(20, Overflow::Error);
        assert_eq!(sender.push(1, 100), Ok(()));
        assert_eq!(sender.push(2, 1), Err(Refused::Full));
        sender.finish(Some(3));
        assert_eq!(taken(queue), [1, 3]);
    }

    #[test]
    fn nothing_is_kept_for_a_receiver_that_is_gone() {
        let (sender, queue) = new(20, Overflow::Error);
        drop(queue);
        assert_eq!(sender.push(1, 1), Err(Refused::Gone));
    }

    #[test]
    fn taking_an_entry_makes_room_and_a_new_one_wakes_the_reader() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        use std::task::Wake;

        struct Bell(AtomicUsize);
        impl Wake for Bell {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let bell = Arc::new(Bell(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&bell));
        let mut context = Context::from_waker(&waker);
        let (sender, mut queue) = new(20, Overflow::Error);
        for round in 0..100 {
            assert!(queue.poll_next_unpin(&mut context).is_pending());
            assert_eq!(bell.0.load(Ordering::SeqCst), round);
            assert_eq!(sender.push(1, 10), Ok(()));
            assert_eq!(sender.push(2, 10), Ok(()));
            assert_eq!(sender.push(3, 1), Err(Refused::Full));
            assert!(queue.next().now_or_never().is_some() && queue.next().now_or_never().is_some());
        }
        assert!(queue.poll_next_unpin(&mut context).is_pending());
        drop(sender);
        assert_eq!(bell.0.load(Ordering::SeqCst), 101, "its end wakes it too");
        assert_eq!(queue.poll_next_unpin(&mut context), Poll::Ready(None));
    }
}
