//! The sequence of a channel's deliveries: the hub compares each delivery of an engine with the ones before.

use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Handle;
use wirehub_common::frame::Position;

use super::hand_out::FrameAudience;
use super::repair::repair;
use super::{CatchingUp, Channel, Place};
use crate::engine::{Epoch, Located};
use crate::hub::Inner;
use crate::hub::shared_frame::SharedFrame;
use crate::session::mailbox::Order;

/// The newest position of a channel with history, as its subscribers have seen it.
#[derive(Debug, Default)]
pub(super) struct Sequence {
    /// Absent before the first delivery, and before the first subscriber has read the history.
    epoch: Option<Epoch>,
    newest: u64,
    /// `true` while missing publications are read. Then deliveries that do not follow are dropped: the history has them.
    is_repairing: bool,
    /// The highest offset that was delivered during the repair.
    awaited: u64,
}

/// The verdict about a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It is the next one.
    Next,
    /// The subscribers have had it, or a repair will read it.
    Known,
    /// Publications before it are missing, or its epoch is another.
    Strange,
}

impl Sequence {
    fn judge(&mut self, epoch: &Epoch, offset: u64) -> Verdict {
        let Some(current) = &self.epoch else {
            (self.epoch, self.newest) = (Some(Arc::clone(epoch)), offset);
            return Verdict::Next;
        };
        let is_same = Arc::ptr_eq(current, epoch) || current == epoch;
        if is_same && offset <= self.newest {
            return Verdict::Known;
        }
        if is_same && offset == self.newest.saturating_add(1) {
            self.newest = offset;
            return Verdict::Next;
        }
        if is_same {
            self.awaited = self.awaited.max(offset);
        }
        if std::mem::replace(&mut self.is_repairing, true) { Verdict::Known } else { Verdict::Strange }
    }
}

impl Channel {
    /// Delivers a publication of the engine to every subscriber, if it is the next one. `offset` is its offset in the history, 0
    /// for none. Returns `true` if the channel needs a repair: the caller has to start one.
    pub(crate) fn deliver(self: &Arc<Self>, epoch: &Epoch, offset: u64, frame: &mut SharedFrame) -> bool {
        let mut state = self.state.lock();
        if offset > 0 {
            match state.sequence.judge(epoch, offset) {
                Verdict::Next => {}
                Verdict::Known => return false,
                Verdict::Strange => return true,
            }
        }
        state.publications = state.publications.saturating_add(1);
        self.append(&mut state, FrameAudience::All, offset, frame);
        false
    }

    /// Ends a subscriber's read of the history at a position, if nothing newer is in the history. Then it receives new
    /// publications, and this returns `true`. Otherwise there is more to read. `anyway` skips the check.
    pub(crate) fn catch_up(&self, place: Place, position: &Position, anyway: bool) -> bool {
        let mut state = self.state.lock();
        let sequence = &mut state.sequence;
        match &sequence.epoch {
            None => {
                sequence.epoch = Some(position.epoch.as_str().into());
                sequence.newest = position.offset;
            }
            // The subscriber reads on, and learns where the channel is now.
            Some(epoch) if **epoch != *position.epoch => return false,
            // The subscriber may be ahead of the channel. The others still need the publications in between.
            Some(_) => {}
        }
        if position.offset < sequence.newest && !anyway {
            return false;
        }
        if let Some(subscriber) = state.subscriber(place) {
            subscriber.change(|options| options.catching_up = Some(CatchingUp::Behind(position.offset)));
        }
        true
    }

    /// Starts the task that [repairs](super::repair) the channel.
    pub(crate) fn start_repair(self: &Arc<Self>, hub: &Arc<Inner>) {
        let runtime = self.state.lock().runtime.clone().or_else(|| Handle::try_current().ok());
        match runtime {
            Some(runtime) => drop(runtime.spawn(repair(Arc::downgrade(hub), Arc::clone(self)))),
            // There are local subscribers alone, and no runtime: a later delivery tries again.
            None => self.state.lock().sequence.is_repairing = false,
        }
    }

    /// Starts a repair if the engine's newest position is another than the channel's. Returns `true` if the caller has to
    /// [repair](super::repair) the channel.
    pub(crate) fn compare(&self, newest: &Position) -> bool {
        let sequence = &mut self.state.lock().sequence;
        let Some(epoch) = &sequence.epoch else { return false };
        let is_same = **epoch == *newest.epoch;
        if is_same && newest.offset <= sequence.newest {
            return false;
        }
        if is_same {
            sequence.awaited = sequence.awaited.max(newest.offset);
        }
        !std::mem::replace(&mut sequence.is_repairing, true)
    }

    /// The newest position that the subscribers have seen; `None` if the channel is closed or has seen nothing.
    pub(crate) fn seen(&self) -> Option<Position> {
        let state = self.state.lock();
        let epoch = state.sequence.epoch.as_ref().filter(|_| !self.is_closed())?;
        Some(Position { offset: state.sequence.newest, epoch: (**epoch).into() })
    }

    /// Ends a repair if everything that was delivered meanwhile is there.
    pub(super) fn end_repair(&self) -> bool {
        let sequence = &mut self.state.lock().sequence;
        let is_done = sequence.newest >= sequence.awaited;
        if is_done {
            (sequence.is_repairing, sequence.awaited) = (false, 0);
        }
        is_done
    }

    /// Ends a repair without result: the engine delivered publications that its history does not have. The subscribers continue
    /// behind them, and are notified.
    pub(super) fn give_up_repair(&self) {
        let Some(seen) = self.seen() else { return };
        let newest = self.state.lock().sequence.awaited;
        let position = Position { offset: newest, ..seen };
        self.reset(&Located { position, newest, complete: false });
    }

    /// Notifies every subscriber of a channel without history that publications may be missing.
    pub(crate) fn report_interruption(&self) {
        let mut state = self.state.lock();
        self.hand_all_out(&mut state);
        for subscriber in state.places.iter_mut().flatten() {
            if subscriber.is_local() {
                subscriber.peer.mailbox.report_gap(self.lane, &self.name, Bytes::new());
            } else {
                subscriber.peer.mailbox.order(Order::ReportGap(self.name.clone()));
            }
        }
    }

    /// Goes on from another position: the publications in between are lost. Every session that has read its history is
    /// notified, and reads what is there.
    pub(super) fn reset(&self, located: &Located) {
        let mut state = self.state.lock();
        self.hand_all_out(&mut state);
        let epoch: Epoch = located.position.epoch.as_str().into();
        let is_same_epoch = state.sequence.epoch.as_ref() == Some(&epoch);
        if is_same_epoch && state.sequence.newest >= located.position.offset {
            // The channel went on while the position was awaited, and has lost nothing.
            return;
        }
        tracing::warn!(
            "the history of {} is lost up to offset {} of epoch {}: its subscribers are notified",
            self.name,
            located.position.offset,
            located.position.epoch
        );
        state.sequence = Sequence { epoch: Some(epoch), newest: located.newest, ..Sequence::default() };
        for subscriber in state.places.iter_mut().flatten() {
            if subscriber.is_local() {
                subscriber.peer.mailbox.report_gap(self.lane, &self.name, Bytes::new());
                continue;
            }
            let mut before = None;
            subscriber.change(|options| before = options.catching_up.replace(CatchingUp::Reading));
            let mut located = located.clone();
            match before {
                // It learns the same by itself.
                Some(CatchingUp::Reading) => continue,
                // It was ahead of the channel, and has lost nothing.
                Some(CatchingUp::Behind(offset)) if is_same_epoch && offset >= located.position.offset => {
                    located.position.offset = offset;
                    located.complete = true;
                }
                _ => {}
            }
            subscriber.peer.mailbox.order(Order::Relocate { channel: self.name.clone(), located });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_is_next_known_or_strange() {
        let (mut sequence, a, b): (_, Epoch, Epoch) = (Sequence::default(), "a".into(), "b".into());
        let verdicts: Vec<_> =
            [(&a, 5), (&a, 6), (&a, 6), (&a, 3), (&a, 8), (&a, 9), (&a, 7), (&b, 1), (&a, 8)]
                .map(|(epoch, offset)| sequence.judge(epoch, offset))
                .into();
        use Verdict::{Known, Next, Strange};
        assert_eq!(verdicts, [Next, Next, Known, Known, Strange, Known, Next, Known, Next]);
        assert_eq!((sequence.newest, sequence.awaited, sequence.is_repairing), (8, 9, true));
    }

    #[test]
    fn another_epoch_is_strange() {
        let (mut sequence, a, b): (_, Epoch, Epoch) = (Sequence::default(), "a".into(), "b".into());
        assert_eq!(sequence.judge(&a, 5), Verdict::Next);
        assert_eq!(sequence.judge(&b, 6), Verdict::Strange);
        assert_eq!((sequence.newest, sequence.awaited), (5, 0), "offsets of two epochs have no order");
    }
}
