//! Joins and leaves: notifications for a channel's subscribers.
//!
//! They never end a session. If a queue has no room to spare they are left out. When there is room again the client is
//! notified, and requests the list of members anew.

use std::sync::{Arc, Weak};

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, sleep_until};
use wirehub_common::frame::{Member, Movement, Push, ServerFrame};

use super::hand_out::{FrameAudience, PendingRow};
use super::{Channel, ChannelState, SubscriberOptions};
use crate::hub::members::{MemberMove, Members, NOTIFY_INTERVAL};
use crate::hub::segment::Run;
use crate::hub::sessions::Peer;
use crate::hub::shared_frame::SharedFrame;

impl Channel {
    /// Notifies the subscribers of a join or leave, now or later together with others.
    pub(super) fn notify_move(self: &Arc<Self>, state: &mut ChannelState, movement: MemberMove) {
        let Some(members) = &mut state.members else { return };
        if let Some(movement) = members.queued.send_or_queue(movement, Instant::now()) {
            self.notify_now(state, movement);
        }
        self.schedule_queued(state);
    }

    /// Notifies the subscribers of a join or leave that the engine has noticed.
    pub(crate) fn moved(self: &Arc<Self>, member: Member, is_join: bool) {
        let mut state = self.state.lock();
        let Some(members) = &state.members else { return };
        let place = member.session.parse().ok().and_then(|session| members.places.get(&session).copied());
        self.notify_move(&mut state, MemberMove { member, is_join, place });
    }

    /// Notifies the subscribers that joins or leaves may have been lost on the way from the engine.
    pub(crate) fn note_missed_moves(self: &Arc<Self>) {
        let mut state = self.state.lock();
        if state.members.is_none() {
            return;
        }
        for subscriber in state.places.iter_mut().flatten() {
            if let Some(options) = &mut subscriber.options {
                options.has_missed_moves |= options.observes_members;
            }
        }
        self.schedule_queued(&mut state);
    }

    fn notify_now(
        self: &Arc<Self>,
        state: &mut ChannelState,
        MemberMove { member, is_join, place }: MemberMove,
    ) {
        // A session is not notified of itself, also not of a leave because its node was taken for dead.
        if let Some(place) = place
            && state.subscriber(place).is_some_and(|own| own.peer.id.to_string() == member.session)
        {
            self.queue_pending_frames(state, place);
            let behind = state.frames.saturating_add(1);
            if let Some(own) = state.subscriber(place) {
                own.served = behind;
            }
        }
        let movement = self.movement(member);
        let push = if is_join { Push::Join(movement) } else { Push::Leave(movement) };
        self.append(state, FrameAudience::MemberObservers, 0, &mut SharedFrame::new(ServerFrame::Push(push)));
    }

    /// Schedules the notifications that have to wait, and those without room.
    fn schedule_queued(self: &Arc<Self>, state: &mut ChannelState) {
        let runtime = state.runtime.clone();
        let Some(members) = &mut state.members else { return };
        if members.queued.is_scheduled {
            return;
        }
        if let Some(runtime) = runtime {
            members.queued.is_scheduled = true;
            runtime.spawn(notify_queued(Arc::downgrade(self)));
            return;
        }
        // Without a runtime there is no later.
        while let Some(members) = &mut state.members
            && !members.queued.is_empty()
        {
            for movement in members.queued.take_batch() {
                self.notify_now(state, movement);
            }
        }
    }

    /// Sends waiting notifications. Returns `true` if there may be more.
    fn notify_queued(self: &Arc<Self>) -> bool {
        let mut state = self.state.lock();
        let Some(members) = &mut state.members else { return false };
        for movement in members.queued.take_batch() {
            self.notify_now(&mut state, movement);
        }
        let are_all_told = self.notify_incomplete(&mut state) && state.pending_rows.is_empty();
        let Some(members) = &mut state.members else { return false };
        members.queued.is_scheduled = !are_all_told || !members.queued.is_empty();
        members.queued.is_scheduled
    }

    /// Notifies the subscribers with left out notifications that their list of members is incomplete. Returns `true` if there
    /// was room for all of them.
    fn notify_incomplete(&self, state: &mut ChannelState) -> bool {
        let nobody = self.movement(Member::default());
        let mut frame = SharedFrame::new(ServerFrame::Push(Push::Leave(nobody)));
        let mut are_all_told = true;
        for subscriber in state.places.iter_mut().flatten() {
            if let Some(options) = &mut subscriber.options
                && options.has_missed_moves
            {
                let run = Run::of(frame.bytes(subscriber.peer.codec));
                options.has_missed_moves = !subscriber.peer.mailbox.push_if_room(self.lane, run);
                are_all_told &= !options.has_missed_moves;
            }
        }
        are_all_told
    }

    /// Queues joins and leaves for a subscriber, if it observes them and has room.
    pub(super) fn hand_out_moves(
        &self,
        row: &PendingRow,
        from: u64,
        peer: &Peer,
        options: Option<&mut SubscriberOptions>,
    ) {
        if let Some(options) = options
            && options.observes_members
            && !options.has_missed_moves
            && let Ok(from) = u32::try_from(from)
            && let Some(run) = row.segment(peer.codec).and_then(|segment| Run::behind(segment, from))
        {
            options.has_missed_moves = !peer.mailbox.push_if_room(self.lane, run);
        }
    }

    /// Schedules the leaves of members whose grace passes, unless they are scheduled already.
    pub(super) fn schedule_leaves(self: &Arc<Self>, members: &mut Members) {
        // Without a runtime the sessions end too, so there is no subscriber to notify.
        if let (false, Some(_), Ok(runtime)) =
            (members.is_scheduled, members.next_expiry(), Handle::try_current())
        {
            members.is_scheduled = true;
            runtime.spawn(notify_leaves(Arc::downgrade(self)));
        }
    }

    /// Notifies the subscribers of members whose grace has passed. Returns the time of the next one; `None` if there is none.
    fn notify_leaves(self: &Arc<Self>) -> Option<Instant> {
        let mut state = self.state.lock();
        let members = state.members.as_mut()?;
        let left = members.expire(Instant::now());
        let next = members.next_expiry();
        members.is_scheduled = next.is_some();
        for member in left {
            self.notify_move(&mut state, MemberMove::leave(member));
        }
        next
    }

    fn movement(&self, member: Member) -> Movement {
        Movement { channel: self.name.clone(), member }
    }
}

/// Waits for the end of graces, as long as there are any and the channel exists.
async fn notify_leaves(channel: Weak<Channel>) {
    while let Some(next) = channel.upgrade().and_then(|channel| channel.notify_leaves()) {
        sleep_until(next).await;
    }
}

/// Sends waiting notifications, as long as there may be any.
async fn notify_queued(channel: Weak<Channel>) {
    loop {
        sleep(NOTIFY_INTERVAL).await;
        if !channel.upgrade().is_some_and(|channel| channel.notify_queued()) {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
