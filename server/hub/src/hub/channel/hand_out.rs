//! The hand-out of a channel's frames: rows of frames on their way into the subscribers' queues.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use wirehub_common::Codec;

use super::{CatchingUp, Channel, ChannelState, Place, Subscriber};
use crate::hub::segment::{Row, Run, Segment};
use crate::hub::shared_frame::SharedFrame;
use crate::namespace::Overflow;

/// A row of frames for one audience that waits to be handed out.
pub(super) struct PendingRow {
    pub(super) audience: FrameAudience,
    /// The number of the channel's frames before the row.
    pub(super) first: u64,
    pub(super) frames: u32,
    /// The offset of the first frame, if frames have offsets; the others follow without gaps.
    pub(super) offset: u64,
    pub(super) rows: Rows,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameAudience {
    All,
    /// The subscribers that are notified of joins and leaves.
    MemberObservers,
}

pub(super) enum Rows {
    Open([Row; CODECS]),
    Closed([Option<Arc<Segment>>; CODECS]),
}

pub(super) const CODECS: usize = 2;

/// Up to this many subscribers are served by the publisher itself. For more, a task is cheaper than the wait.
const DIRECT_SUBSCRIBERS: usize = 16;

/// The number of subscribers that are served before other tasks run. It is no more than a worker's own queue holds, and small
/// enough that the touched memory is still in the cache when their tasks write.
const HAND_OUT_PIECE: usize = 128;

/// The bytes that may wait to be handed out. Beyond it, the publisher itself hands them out.
const BACKLOG_BYTES: usize = 1024 * 1024;

/// The maximum bytes of a row with several frames. So a queue with its last frame holds on to no more memory than this.
const ROW_BYTES: usize = 64 * 1024;

impl Channel {
    /// Writes a frame into the row, and schedules the hand-out.
    pub(super) fn append(
        self: &Arc<Self>,
        state: &mut ChannelState,
        audience: FrameAudience,
        offset: u64,
        frame: &mut SharedFrame,
    ) {
        if self.len() == 0 {
            return;
        }
        let codecs = state.codecs;
        let first = state.frames;
        state.frames = first.saturating_add(1);
        if !state.pending_rows.back().is_some_and(|row| row.accepts(audience, offset)) {
            close(&mut state.pending_rows);
            state.pending_rows.push_back(PendingRow {
                audience,
                first,
                frames: 0,
                offset,
                rows: Rows::default(),
            });
        }
        let mut added = 0_usize;
        if let Some(row) = state.pending_rows.back_mut() {
            let before = row.bytes();
            row.push(codecs, frame);
            added = row.bytes().saturating_sub(before);
        }
        let is_first = state.pending_rows.len() == 1 && state.cursor == 0;
        if self.len() <= DIRECT_SUBSCRIBERS && is_first {
            self.hand_all_out(state);
            return;
        }
        if state.backlog() > BACKLOG_BYTES {
            // A publisher that is faster than the task hands out as much as it adds.
            let first = state.pending_rows.front().map_or(0, PendingRow::bytes);
            let share = added.saturating_mul(state.places.len()).checked_div(first).unwrap_or_default();
            self.hand_out(state, share.max(HAND_OUT_PIECE));
        }
        if !state.is_scheduled && !state.pending_rows.is_empty() {
            match &state.runtime {
                Some(runtime) => {
                    runtime.spawn(hand_out_all(Arc::clone(self)));
                    state.is_scheduled = true;
                }
                None => self.hand_all_out(state),
            }
        }
    }

    /// Hands out every row to every subscriber.
    pub(super) fn hand_all_out(&self, state: &mut ChannelState) {
        while !state.pending_rows.is_empty() {
            self.hand_out(state, usize::MAX);
        }
    }

    /// Hands out the first row to the next `most` subscribers.
    fn hand_out(&self, state: &mut ChannelState, most: usize) {
        let ChannelState { places, pending_rows, cursor, .. } = state;
        let Some(row) = pending_rows.front_mut() else { return };
        row.close();
        let mut deliveries = 0_usize;
        let unserved = places.get_mut(*cursor..).unwrap_or_default();
        let piece = unserved.len().min(most);
        for subscriber in unserved.iter_mut().take(piece).flatten() {
            deliveries = deliveries.saturating_add(self.hand(row, subscriber));
        }
        self.deliveries.add(deliveries as u64);
        *cursor = cursor.saturating_add(piece);
        if *cursor >= places.len() {
            *cursor = 0;
            pending_rows.pop_front();
        }
    }

    /// Queues the frames of a row that are for this subscriber. Returns the number of queued frames.
    fn hand(&self, row: &PendingRow, subscriber: &mut Subscriber) -> usize {
        let Subscriber { peer, served, options } = subscriber;
        let mut from = served.saturating_sub(row.first);
        let options = options.as_deref_mut();
        if row.audience == FrameAudience::MemberObservers {
            self.hand_out_moves(row, from, peer, options);
            return 0;
        }
        let (mut slot, mut is_local) = (None, false);
        if let Some(options) = options {
            slot = options.slot.as_ref();
            is_local = options.is_local;
            match options.catching_up {
                Some(CatchingUp::Reading) => return 0,
                Some(CatchingUp::Behind(offset)) if row.offset > 0 => {
                    from = from.max(offset.saturating_add(1).saturating_sub(row.offset));
                    if from < row.frames.into() {
                        options.catching_up = None;
                    }
                }
                _ => {}
            }
        }
        let Ok(from) = u32::try_from(from) else { return 0 };
        let Some(run) = row.segment(peer.codec).and_then(|segment| Run::behind(segment, from)) else {
            return 0;
        };
        let frames = run.frames();
        let without_offsets = (row.offset == 0).then_some(&self.name);
        let (is_queued, frames) = match (slot, self.overflow) {
            (Some(slot), _) => (peer.mailbox.push_latest(self.lane, slot, run.last(), without_offsets), 1),
            (None, Overflow::DropOldest) => {
                (peer.mailbox.push_droppable(self.lane, run, without_offsets), frames)
            }
            (None, _) => {
                peer.mailbox.push_or_disconnect(self.lane, run);
                (true, frames)
            }
        };
        if is_queued && !is_local { frames } else { 0 }
    }

    /// Queues every pending frame for one subscriber, before its turn.
    pub(super) fn queue_pending_frames(&self, state: &mut ChannelState, place: Place) {
        let frames = state.frames;
        let is_behind = place.0 as usize >= state.cursor;
        let ChannelState { places, pending_rows, .. } = state;
        let Some(Some(subscriber)) = places.get_mut(place.0 as usize) else { return };
        let mut deliveries = 0_usize;
        for (index, row) in pending_rows.iter_mut().enumerate() {
            if index > 0 || is_behind {
                row.close();
                deliveries = deliveries.saturating_add(self.hand(row, subscriber));
            }
        }
        subscriber.served = frames;
        self.deliveries.add(deliveries as u64);
    }
}

impl ChannelState {
    /// The bytes that wait to be handed out.
    fn backlog(&self) -> usize {
        self.pending_rows.iter().map(PendingRow::bytes).fold(0, usize::saturating_add)
    }
}

/// Hands out the rows, piece by piece, until there are none.
///
/// The task runs behind all other tasks, at first and after each piece. So the served sessions have written before the next row
/// begins, and all new publications are in that row.
async fn hand_out_all(channel: Arc<Channel>) {
    loop {
        go_behind_others().await;
        let mut state = channel.state.lock();
        channel.hand_out(&mut state, HAND_OUT_PIECE);
        if state.pending_rows.is_empty() {
            state.is_scheduled = false;
            return;
        }
    }
}

/// Lets the tasks run that are woken already. [`yield_now`](tokio::task::yield_now) would only let events of the system run,
/// and then this task before the others.
async fn go_behind_others() {
    let mut has_gone = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut has_gone, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

pub(super) fn close(pending_rows: &mut VecDeque<PendingRow>) {
    if let Some(row) = pending_rows.back_mut() {
        row.close();
    }
}

impl PendingRow {
    /// `true` if another frame may go into the row.
    fn accepts(&self, audience: FrameAudience, offset: u64) -> bool {
        let follows = match self.offset {
            0 => offset == 0,
            first => first.saturating_add(self.frames.into()) == offset,
        };
        matches!(self.rows, Rows::Open(_)) && self.audience == audience && follows && self.bytes() < ROW_BYTES
    }

    fn push(&mut self, codecs: [usize; CODECS], frame: &mut SharedFrame) {
        self.frames = self.frames.saturating_add(1);
        let Rows::Open(rows) = &mut self.rows else { return };
        for ((row, count), codec) in rows.iter_mut().zip(codecs).zip([Codec::Protobuf, Codec::Json]) {
            if count > 0 {
                row.push(frame.bytes(codec));
            }
        }
    }

    fn bytes(&self) -> usize {
        match &self.rows {
            Rows::Open(rows) => rows.iter().map(Row::bytes).fold(0, usize::max),
            Rows::Closed(segments) => {
                segments.iter().flatten().map(|segment| segment.bytes()).fold(0, usize::max)
            }
        }
    }

    fn close(&mut self) {
        if let Rows::Open(rows) = &mut self.rows {
            let segments = std::mem::take(rows).map(|row| (row.bytes() > 0).then(|| row.finish()));
            self.rows = Rows::Closed(segments);
        }
    }

    pub(super) fn segment(&self, codec: Codec) -> Option<&Arc<Segment>> {
        match &self.rows {
            Rows::Open(_) => None,
            Rows::Closed(segments) => segments.get(codec_index(codec))?.as_ref(),
        }
    }
}

impl Default for Rows {
    fn default() -> Self {
        Self::Open(Default::default())
    }
}

pub(super) fn codec_index(codec: Codec) -> usize {
    match codec {
        Codec::Json => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

    use futures_util::FutureExt as _;
    use wirehub_common::{ChannelName, Payload};

    use super::super::NewSubscriber;
    use super::*;
    use crate::hub::sessions::Peer;
    use crate::session::mailbox::Mailbox;
    use crate::{Builder, Hub, SessionId};

    const SUBSCRIBERS: usize = 10_000;

    fn enter(hub: &Hub, name: &ChannelName) -> Arc<Peer> {
        let mailbox = Mailbox::new(100_000);
        let peer = Arc::new(Peer::new(SessionId::random().unwrap(), Codec::Protobuf, None, mailbox));
        let entrant = NewSubscriber { peer: &peer, observes_members: false, is_local: false };
        let rules = hub.settings().namespaces.of(name);
        hub.channel_registry().subscribe(name, rules, entrant, None, false);
        peer
    }

    /// The engine delivers within this call.
    fn publish(hub: &Hub, name: &ChannelName) {
        hub.publish_raw(name, Payload::json("1")).unwrap().now_or_never().unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_large_channel_holds_up_neither_the_engine_nor_other_channels() {
        let hub = Builder::open().build();
        let [large, small] = ["large", "small"].map(|name| ChannelName::new(name).unwrap());
        let many: Vec<_> = (0..SUBSCRIBERS).map(|_| enter(&hub, &large)).collect();
        let one = enter(&hub, &small);
        let work = async move {
            publish(&hub, &large);
            assert_eq!(hub.counts().deliveries, 0, "the engine's call serves none of many subscribers");
            let mut turns = 0;
            while many.iter().any(|peer| peer.mailbox.bytes() == 0) {
                let (before, waiting) = (hub.counts().deliveries, one.mailbox.bytes());
                publish(&hub, &small);
                assert!(one.mailbox.bytes() > waiting, "the other channel is served at once");
                go_behind_others().await;
                let served = hub.counts().deliveries - before - 1;
                assert!(served <= HAND_OUT_PIECE as u64, "{served} at a time");
                turns += 1;
            }
            assert!(turns >= SUBSCRIBERS / HAND_OUT_PIECE, "{turns}");
            assert_eq!(hub.counts().deliveries, (SUBSCRIBERS + turns) as u64);
        };
        // As one task among others.
        tokio::spawn(work).await.unwrap();
    }
}
