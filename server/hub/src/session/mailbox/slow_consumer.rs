//! The disconnect of a slow client. Its session ends with [`CloseCode::SLOW_CONSUMER`] (3008) if its queue has no room for a
//! frame. The client reconnects, and recovers the missed messages.

use bytes::Bytes;
use wirehub_common::code::CloseCode;

use super::super::queue::{Dropped, Lane};
use super::{Ending, Mailbox, MailboxState};
use crate::hub::segment::Run;

impl Mailbox {
    /// Queues publications, or disconnects the client if there is no room for them.
    pub(crate) fn push_or_disconnect(&self, lane: Lane, run: Run) {
        self.change(|state, limit| {
            if state.is_slow_consumer() {
                return;
            }
            let mut dropped = Dropped::default();
            let fits = state.queue.push_run(lane, run, limit, &mut dropped);
            state.note_dropped(dropped);
            if !fits {
                state.disconnect_slow_consumer();
                state.queue.clear();
            }
        });
    }

    /// The same for an unrequested frame.
    pub(crate) fn push(&self, lane: Lane, frame: Bytes) {
        self.push_or_disconnect(lane, Run::of(frame));
    }
}

impl MailboxState {
    /// Ends the session. Its client reconnects.
    pub(super) fn disconnect_slow_consumer(&mut self) {
        self.end(Ending::from(CloseCode::SLOW_CONSUMER));
    }

    /// `true` if the session ends as a slow consumer, so that nothing more is queued. A session that ends for another reason
    /// still receives earlier publications.
    pub(super) fn is_slow_consumer(&self) -> bool {
        let ending = self.rare.as_ref().and_then(|rare| rare.ending.as_ref());
        ending.is_some_and(|ending| ending.code == CloseCode::SLOW_CONSUMER)
    }
}
