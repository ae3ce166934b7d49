//! How a channel's subscribers are told who comes and goes.
//!
//! That is never why one of them ends: where a queue has no room to spare it is left out, and when there is room again the client is
//! told so, and asks anew who is there.

use std::sync::{Arc, Weak};

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, sleep_until};
use wirehub_common::frame::{Member, Movement, Push, ServerFrame};

use super::{Audience, Batch, Channel, Special, State};
use crate::hub::members::{Members, Move, TURN};
use crate::hub::segment::Run;
use crate::hub::sessions::Peer;
use crate::hub::shared_frame::SharedFrame;

impl Channel {
    /// Tells those who see who comes and goes, now or together with others.
    pub(super) fn tell(self: &Arc<Self>, state: &mut State, movement: Move) {
        let Some(members) = &mut state.members else { return };
        if let Some(movement) = members.untold.keep(movement, Instant::now()) {
            self.tell_now(state, movement);
        }
        self.watch_untold(state);
    }

    fn tell_now(self: &Arc<Self>, state: &mut State, Move { member, place }: Move) {
        let joins = place.is_some();
        // Nobody is told of their own session.
        if let Some(place) = place
            && state.subscriber(place).is_some_and(|own| own.peer.id.to_string() == member.session)
        {
            self.serve(state, place);
            let behind = state.frames.saturating_add(1);
            if let Some(own) = state.subscriber(place) {
                own.served = behind;
            }
        }
        let movement = self.movement(member);
        let push = if joins { Push::Join(movement) } else { Push::Leave(movement) };
        self.append(state, Audience::Witnesses, 0, &mut SharedFrame::new(ServerFrame::Push(push)));
    }

    /// Has somebody look after what was not told at once, and after those for whom there was no room.
    fn watch_untold(self: &Arc<Self>, state: &mut State) {
        let runtime = state.runtime.clone();
        let Some(members) = &mut state.members else { return };
        if members.untold.is_watched {
            return;
        }
        if let Some(runtime) = runtime {
            members.untold.is_watched = true;
            runtime.spawn(tell_untold(Arc::downgrade(self)));
            return;
        }
        // Nobody is there who could do it later.
        while let Some(members) = &mut state.members
            && !members.untold.is_empty()
        {
            for movement in members.untold.take_some() {
                self.tell_now(state, movement);
            }
        }
    }

    /// Tells what has waited. Says whether there may be more to tell.
    fn tell_untold(self: &Arc<Self>) -> bool {
        let mut state = self.state.lock();
        let Some(members) = &mut state.members else { return false };
        for movement in members.untold.take_some() {
            self.tell_now(&mut state, movement);
        }
        let are_all_told = self.tell_missed(&mut state) && state.batches.is_empty();
        let Some(members) = &mut state.members else { return false };
        members.untold.is_watched = !are_all_told || !members.untold.is_empty();
        members.untold.is_watched
    }

    /// Tells those for whom there was no room that they have to ask who is there. Says whether there was room for all of them now.
    fn tell_missed(&self, state: &mut State) -> bool {
        let nobody = self.movement(Member::default());
        let mut frame = SharedFrame::new(ServerFrame::Push(Push::Leave(nobody)));
        let mut are_all_told = true;
        for subscriber in state.places.iter_mut().flatten() {
            if let Some(special) = &mut subscriber.special
                && special.has_missed
            {
                let run = Run::of(frame.bytes(subscriber.peer.codec));
                special.has_missed = !subscriber.peer.mailbox.push_spare(self.lane, run);
                are_all_told &= !special.has_missed;
            }
        }
        are_all_told
    }

    /// Hands moves to a subscriber, if it is told of them and has room for them.
    pub(super) fn hand_moves(&self, batch: &Batch, from: u64, peer: &Peer, special: Option<&mut Special>) {
        if let Some(special) = special
            && special.is_witness
            && !special.has_missed
            && let Ok(from) = u32::try_from(from)
            && let Some(run) = batch.segment(peer.codec).and_then(|segment| Run::behind(segment, from))
        {
            special.has_missed = !peer.mailbox.push_spare(self.lane, run);
        }
    }

    /// Has those told whose grace passes, if nobody does that already.
    pub(super) fn watch(self: &Arc<Self>, members: &mut Members) {
        // Outside of a runtime, where sessions end with it, there is nobody left to be told.
        if let (false, Some(_), Ok(runtime)) =
            (members.is_watched, members.next_expiry(), Handle::try_current())
        {
            members.is_watched = true;
            runtime.spawn(tell_leaves(Arc::downgrade(self)));
        }
    }

    /// Tells who has left for good. Gives the next moment to look again; none where nobody is leaving.
    fn tell_leaves(self: &Arc<Self>) -> Option<Instant> {
        let mut state = self.state.lock();
        let members = state.members.as_mut()?;
        let left = members.expire(Instant::now());
        let next = members.next_expiry();
        members.is_watched = next.is_some();
        for member in left {
            self.tell(&mut state, Move { member, place: None });
        }
        next
    }

    fn movement(&self, member: Member) -> Movement {
        Movement { channel: self.name.clone(), member }
    }
}

/// Waits until graces pass, as long as somebody is leaving and the channel is there.
async fn tell_leaves(channel: Weak<Channel>) {
    while let Some(next) = channel.upgrade().and_then(|channel| channel.tell_leaves()) {
        sleep_until(next).await;
    }
}

/// Tells what has waited, as long as there may be something.
async fn tell_untold(channel: Weak<Channel>) {
    loop {
        sleep(TURN).await;
        if !channel.upgrade().is_some_and(|channel| channel.tell_untold()) {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
