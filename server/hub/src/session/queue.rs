//! The frames that wait to be written to one client: lanes, batches, parts, and dropped publications.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use wirehub_common::{ChannelName, Codec};

use self::batch::OutgoingBatch;
use crate::checked_subtraction::subtract;
use crate::hub::segment::Run;

mod batch;

/// The outbound queue of one session, without a lock and a waker.
///
/// Publications are bounded in bytes. If a new one exceeds the bound, the oldest droppable ones are dropped. If this makes too
/// little room, the new one is refused. Two publications are accepted whatever their size: a single frame that is larger than
/// half the bound, and the only publication in the queue. Answers to the session's own commands are never refused, and take no
/// room from publications. Instead the session takes no more commands if too many answers wait.
#[derive(Default)]
pub(crate) struct Queue {
    /// The only item. Most queues are empty most of the time, and most others have one item. Neither needs an allocation.
    one: Option<QueuedItem>,
    /// The lane of the only item.
    lane: Lane,
    /// `true` if the reader has found the queue empty, and waits. This and the next field belong to the mailbox; here they take
    /// no extra memory.
    pub(crate) is_awaited: bool,
    /// `true` if only frames have come since the task looked.
    pub(crate) has_only_frames: bool,
    /// `true` if nothing may overtake the waiting answers: see [`Self::answer_first`].
    is_held: bool,
    /// All items, if there are several or have been.
    many: Option<Box<LaneQueues>>,
    bytes: usize,
    /// The bytes that may be dropped.
    droppable: usize,
}

#[derive(Default)]
struct LaneQueues {
    lanes: Lanes,
    answers: AnswerBytes,
}

/// The bytes of answers.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct AnswerBytes {
    small: usize,
    /// Answers that others may overtake.
    bulk: usize,
}

/// The priority of frames. The order within a lane is kept. The numbers are also those of the streams for parts of frames.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Lane {
    /// Replies.
    #[default]
    Control,
    /// Publications that must not wait, such as alarms.
    Urgent,
    /// All other publications.
    Normal,
    /// Large answers that others may overtake.
    Bulk,
}

/// The place for one publication of a channel that keeps only the latest.
pub(crate) type LatestSlot = Mutex<Option<Run>>;

/// An item in a lane.
enum QueuedItem {
    Run(Run),
    /// Frames of the session itself.
    Answer(Run),
    /// The report that publications of this channel were dropped before the frames behind it.
    Gap(Run, ChannelName),
    /// May be dropped to make room. The channel is present if its publications have no offsets, so that its clients can't
    /// notice the gap.
    Droppable(Run, Option<ChannelName>),
    /// The content of the slot when its turn comes.
    Latest(Arc<LatestSlot>),
}

type Lanes = [LaneQueue; 4];

#[derive(Default)]
struct LaneQueue {
    entries: VecDeque<QueuedItem>,
    /// The rest of a frame that is being sent in parts. It goes before the items.
    unsent: Bytes,
    /// `true` if that frame is an answer.
    is_answer: bool,
}

impl Queue {
    /// The number of waiting bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// `true` if nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.one.is_none() && self.many.is_none()
    }

    /// The bytes of waiting publications.
    pub(crate) fn published_bytes(&self) -> usize {
        subtract(self.bytes, self.all_answers())
    }

    /// The bytes of waiting publications that may not be dropped.
    pub(crate) fn undroppable_bytes(&self) -> usize {
        subtract(self.published_bytes(), self.droppable)
    }

    /// The bytes of waiting answers, without those that others may overtake.
    pub(crate) fn small_answers(&self) -> usize {
        self.answers().small
    }

    /// The bytes of all waiting answers.
    pub(crate) fn all_answers(&self) -> usize {
        let AnswerBytes { small, bulk } = self.answers();
        small.saturating_add(bulk)
    }

    fn answers(&self) -> AnswerBytes {
        let mut answers = self.many.as_ref().map_or_else(AnswerBytes::default, |many| many.answers);
        if self.one.as_ref().is_some_and(QueuedItem::is_answer) {
            answers.add(self.lane == Lane::Bulk, self.bytes);
        }
        answers
    }

    /// The number of waiting answers that others may overtake.
    pub(crate) fn bulk_answers(&self) -> usize {
        let lane = self.many.as_ref().map(|many| {
            let [.., bulk] = &many.lanes;
            bulk
        });
        let of_many =
            lane.map_or(0, |lane| lane.entries.len().saturating_add(usize::from(!lane.unsent.is_empty())));
        let is_one = self.one.is_some() && self.lane == Lane::Bulk;
        of_many.saturating_add(is_one.into())
    }

    /// Queues an answer.
    pub(crate) fn answer(&mut self, lane: Lane, frame: Bytes) {
        self.answer_run(lane, Run::of(frame));
    }

    /// Queues the answer that goes before everything else, even if it goes in parts.
    pub(crate) fn answer_first(&mut self, frame: Bytes) {
        self.is_held = true;
        self.answer(Lane::Control, frame);
    }

    /// Queues publications that the session itself has read.
    pub(crate) fn answer_run(&mut self, lane: Lane, run: Run) {
        self.push(lane, QueuedItem::Answer(run));
    }

    /// Queues the report of a gap before everything in the lane, unless there is one for the channel already. A frame that is
    /// being sent in parts precedes the gap.
    pub(crate) fn report_gap(&mut self, lane: Lane, channel: &ChannelName, frame: Bytes) {
        let gap = QueuedItem::Gap(Run::of(frame), channel.clone());
        let cost = gap.cost();
        let many = self.many();
        let entries = &mut lane.of(&mut many.lanes).entries;
        let gaps = entries.iter().take_while(|entry| matches!(entry, QueuedItem::Gap(..)));
        if gaps.clone().any(|entry| matches!(entry, QueuedItem::Gap(_, of) if of == channel)) {
            return;
        }
        let behind = gaps.count();
        entries.insert(behind, gap);
        many.answers.add(lane == Lane::Bulk, cost);
        self.bytes = self.bytes.saturating_add(cost);
    }

    /// Queues publications. Returns `false` if there is no room for them.
    #[must_use]
    pub(crate) fn push_run(&mut self, lane: Lane, run: Run, limit: usize, dropped: &mut Dropped) -> bool {
        let fits = self.make_room(cost(&run), limit, dropped);
        if fits {
            self.push(lane, QueuedItem::Run(run));
        }
        fits
    }

    /// Queues droppable publications, or drops them if other frames have taken all the room. Returns `true` if they were
    /// queued.
    pub(crate) fn push_droppable(
        &mut self,
        lane: Lane,
        mut run: Run,
        channel: Option<&ChannelName>,
        limit: usize,
        dropped: &mut Dropped,
    ) -> bool {
        while cost(&run) > limit && run.frames() > 1 {
            // There is room for the newest ones only.
            run.drop_front(1);
            dropped.note(channel);
        }
        let fits = self.make_room(cost(&run), limit, dropped);
        if fits {
            self.push(lane, QueuedItem::Droppable(run, channel.cloned()));
        } else {
            dropped.note(channel);
        }
        fits
    }

    /// Puts a publication into its channel's slot. If the slot is full, the publication replaces the old one at its place in
    /// the queue, and this returns `false`. If the new one is larger, and there is no room for it, both are dropped.
    pub(crate) fn push_latest(
        &mut self,
        lane: Lane,
        slot: &Arc<LatestSlot>,
        run: Run,
        channel: Option<&ChannelName>,
        limit: usize,
        dropped: &mut Dropped,
    ) -> bool {
        let mut waiting = slot.lock();
        if let Some(old) = waiting.take() {
            self.bytes = subtract(self.bytes, cost(&old));
            dropped.note(channel);
            if cost(&run) <= cost(&old) || self.make_room(cost(&run), limit, dropped) {
                self.bytes = self.bytes.saturating_add(cost(&run));
                *waiting = Some(run);
            }
            return false;
        }
        let fits = self.make_room(cost(&run), limit, dropped);
        if fits {
            *waiting = Some(run);
            drop(waiting);
            self.push(lane, QueuedItem::Latest(Arc::clone(slot)));
        } else {
            dropped.note(channel);
        }
        fits
    }

    /// Empties the queue.
    pub(crate) fn clear(&mut self) {
        *self =
            Self { is_awaited: self.is_awaited, has_only_frames: self.has_only_frames, ..Self::default() };
    }

    /// Passes the pieces of the next WebSocket message to `take`, at most `room` bytes. A larger frame goes in parts. Returns
    /// `true` if there was anything.
    pub(crate) fn take_batch(&mut self, codec: Codec, room: usize, take: &mut dyn FnMut(Bytes)) -> bool {
        if let Some(entry) = &mut self.one
            && entry.bytes() <= room
        {
            let bytes = entry.current_run().map(|run| run.take_within(room)).unwrap_or_default();
            self.clear();
            let is_some = !bytes.is_empty();
            if is_some {
                take(bytes);
            }
            return is_some;
        }
        if self.is_empty() {
            return false;
        }
        let is_held = self.is_held;
        let LaneQueues { lanes, answers: waiting } = self.many();
        let answers = AnswerBytes::default();
        let mut batch = OutgoingBatch { codec, room, taken: 0, bytes: 0, droppable: 0, answers, take };
        let is_shared = lanes.iter().any(|lane| !lane.unsent.is_empty());
        batch.take_whole_frames(lanes, is_held, is_shared);
        batch.take_parts(lanes);
        let holds_on = is_held && lanes.first().is_some_and(|lane| !lane.unsent.is_empty());
        let is_empty = lanes.iter().all(|lane| lane.unsent.is_empty() && lane.entries.is_empty());
        let OutgoingBatch { taken, bytes, droppable, answers, .. } = batch;
        waiting.small = subtract(waiting.small, answers.small);
        waiting.bulk = subtract(waiting.bulk, answers.bulk);
        self.bytes = subtract(self.bytes, bytes);
        self.droppable = subtract(self.droppable, droppable);
        self.is_held = holds_on;
        if is_empty {
            self.clear();
        }
        taken > 0
    }

    /// The lanes with their items.
    fn many(&mut self) -> &mut LaneQueues {
        let answers = self.answers();
        let one = self.one.take();
        let many = self.many.get_or_insert_default();
        if let Some(entry) = one {
            self.lane.of(&mut many.lanes).entries.push_back(entry);
            many.answers = answers;
        }
        many
    }

    fn push(&mut self, lane: Lane, entry: QueuedItem) {
        let cost = entry.cost();
        if matches!(entry, QueuedItem::Droppable(..)) {
            self.droppable = self.droppable.saturating_add(cost);
        }
        if self.is_empty() {
            (self.one, self.lane) = (Some(entry), lane);
        } else {
            // Before the bytes are added: the only item's bytes are taken from the total.
            let many = self.many();
            if entry.is_answer() {
                many.answers.add(lane == Lane::Bulk, cost);
            }
            lane.of(&mut many.lanes).entries.push_back(entry);
        }
        self.bytes = self.bytes.saturating_add(cost);
    }

    /// Returns `true` if there is room for these bytes, possibly after droppable publications have been dropped.
    fn make_room(&mut self, bytes: usize, limit: usize, dropped: &mut Dropped) -> bool {
        let fits = |queue: &Self| {
            let waiting = queue.published_bytes();
            let is_large = bytes > limit / 2 && waiting <= limit / 2;
            waiting == 0 || is_large || waiting.saturating_add(bytes) <= limit
        };
        if fits(self) {
            return true;
        }
        if self.droppable > 0 {
            // A quarter at once: a slow client will be too slow for the next one too, and this visits every item.
            self.drop_oldest(bytes.saturating_add(limit / 4), dropped);
        }
        fits(self)
    }

    /// Drops droppable publications until this many bytes are gone, or all of them.
    fn drop_oldest(&mut self, bytes: usize, dropped: &mut Dropped) {
        let mut left = bytes;
        let mut drop_from = |entry: &mut QueuedItem| {
            let QueuedItem::Droppable(run, channel) = entry else { return true };
            if left == 0 {
                return true;
            }
            let (bytes, frames) = run.drop_front(left);
            dropped.note(channel.as_ref());
            let cost = bytes.saturating_add(frames.saturating_mul(FRAME_BYTES));
            left = left.saturating_sub(cost);
            self.droppable = subtract(self.droppable, cost);
            self.bytes = subtract(self.bytes, cost);
            !run.is_empty()
        };
        if let Some(entry) = &mut self.one
            && !drop_from(entry)
        {
            self.one = None;
        }
        if let Some(many) = &mut self.many {
            for lane in [Lane::Normal, Lane::Urgent] {
                lane.of(&mut many.lanes).entries.retain_mut(&mut drop_from);
            }
        }
    }
}

/// The channels of dropped publications, if their clients can't notice the gap by offsets.
#[derive(Default)]
pub(crate) struct Dropped(Vec<ChannelName>);

impl Dropped {
    fn note(&mut self, channel: Option<&ChannelName>) {
        if let Some(channel) = channel
            && !self.0.contains(channel)
        {
            self.0.push(channel.clone());
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn add(&mut self, other: Self) {
        for channel in other.0 {
            self.note(Some(&channel));
        }
    }

    pub(crate) fn into_channels(self) -> Vec<ChannelName> {
        self.0
    }
}

impl AnswerBytes {
    fn add(&mut self, is_bulk: bool, bytes: usize) {
        let count = if is_bulk { &mut self.bulk } else { &mut self.small };
        *count = count.saturating_add(bytes);
    }
}

impl Lane {
    fn of(self, lanes: &mut Lanes) -> &mut LaneQueue {
        let [control, urgent, normal, bulk] = lanes;
        match self {
            Self::Control => control,
            Self::Urgent => urgent,
            Self::Normal => normal,
            Self::Bulk => bulk,
        }
    }
}

impl QueuedItem {
    fn is_answer(&self) -> bool {
        matches!(self, Self::Answer(_) | Self::Gap(..))
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Run(run) | Self::Answer(run) | Self::Gap(run, _) | Self::Droppable(run, _) => run.bytes(),
            Self::Latest(slot) => slot.lock().as_ref().map_or(0, Run::bytes),
        }
    }

    fn cost(&self) -> usize {
        match self {
            Self::Run(run) | Self::Answer(run) | Self::Gap(run, _) | Self::Droppable(run, _) => cost(run),
            Self::Latest(slot) => slot.lock().as_ref().map_or(0, cost),
        }
    }

    /// The frames of the item when its turn comes; `None` for an empty slot.
    fn current_run(&mut self) -> Option<&mut Run> {
        if let Self::Latest(slot) = self {
            let run = slot.lock().take()?;
            *self = Self::Run(run);
        }
        match self {
            Self::Run(run) | Self::Answer(run) | Self::Gap(run, _) | Self::Droppable(run, _) => Some(run),
            Self::Latest(_) => None,
        }
    }
}

/// The cost of a run. Empty frames must not be free.
fn cost(run: &Run) -> usize {
    run.bytes().saturating_add(run.frames().saturating_mul(FRAME_BYTES))
}

/// The memory for a waiting frame in addition to the frame itself.
const FRAME_BYTES: usize = size_of::<QueuedItem>();

#[cfg(test)]
mod tests;
