//! What waits to be written to one client: lanes, batches, parts, and what is dropped where there is no room.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use wirehub_common::{ChannelName, Codec};

use self::batch::OutgoingBatch;
use crate::account::subtract;
use crate::hub::segment::Run;

mod batch;

/// The outbound queue of one session, without a lock and without whoever waits for it.
///
/// Publications are bounded in bytes. Where one would go over the bound, those that may be dropped are, the oldest first; if
/// that makes no room it is refused. One frame that is larger than half the bound, and one that finds no other publication,
/// goes in whatever its size. AnswerBytes to the session's own commands are never refused, and take no room from publications: the
/// session takes no more commands where too many answers wait.
#[derive(Default)]
pub(crate) struct Queue {
    /// The only entry. Most queues are empty most of the time and most others hold one entry: neither takes memory of its own.
    one: Option<QueuedItem>,
    /// The lane of that one.
    lane: Lane,
    /// Whether whoever takes from the queue has found it empty, and waits. The mailbox's, as the next; here they take no room.
    pub(crate) is_awaited: bool,
    /// Whether nothing but frames has come since the task looked.
    pub(crate) is_calm: bool,
    /// Whether nothing may overtake the answers that wait: see [`Self::answer_first`].
    is_held: bool,
    /// All entries, where there are more or have been.
    many: Option<Box<LaneQueues>>,
    bytes: usize,
    /// How many of the bytes may be dropped.
    droppable: usize,
}

#[derive(Default)]
struct LaneQueues {
    lanes: Lanes,
    answers: AnswerBytes,
}

/// How many bytes answers have.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct AnswerBytes {
    small: usize,
    /// Those that others may overtake.
    bulk: usize,
}

/// Which frames go first. Order is kept within a lane. The numbers are those of the streams in which parts of their frames
/// are sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Lane {
    /// AnswerBytes.
    #[default]
    Control,
    /// Publications that must not wait, as alarms.
    Urgent,
    /// All other publications.
    Normal,
    /// Large answers that others may overtake.
    Bulk,
}

/// Room for one publication of a channel whose latest one is all that counts.
pub(crate) type LatestSlot = Mutex<Option<Run>>;

/// What waits in a lane.
enum QueuedItem {
    Run(Run),
    /// What the session itself has made.
    Answer(Run),
    /// An answer that says that something of this channel was dropped before what is behind it.
    Gap(Run, ChannelName),
    /// Makes room where there is none. The channel is there where its clients can't see by offsets what they did not get.
    Droppable(Run, Option<ChannelName>),
    /// What is in the slot when its turn comes.
    Latest(Arc<LatestSlot>),
}

type Lanes = [LaneQueue; 4];

#[derive(Default)]
struct LaneQueue {
    entries: VecDeque<QueuedItem>,
    /// What is left of a frame that is being sent in parts. It goes before the entries.
    unsent: Bytes,
    /// Whether that is an answer.
    is_answer: bool,
}

impl Queue {
    /// How many bytes wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.one.is_none() && self.many.is_none()
    }

    /// How many bytes of publications wait.
    pub(crate) fn published_bytes(&self) -> usize {
        subtract(self.bytes, self.all_answers())
    }

    /// How many bytes of publications wait that may not be dropped.
    pub(crate) fn undroppable_bytes(&self) -> usize {
        subtract(self.published_bytes(), self.droppable)
    }

    /// How many bytes of answers wait, but for those that others may overtake.
    pub(crate) fn small_answers(&self) -> usize {
        self.answers().small
    }

    /// How many bytes of answers wait.
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

    /// How many answers wait that others may overtake.
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

    /// Queues the answer that comes before everything else, also where it goes in parts.
    pub(crate) fn answer_first(&mut self, frame: Bytes) {
        self.is_held = true;
        self.answer(Lane::Control, frame);
    }

    /// Queues what the session itself has read.
    pub(crate) fn answer_run(&mut self, lane: Lane, run: Run) {
        self.push(lane, QueuedItem::Answer(run));
    }

    /// Queues what tells of a gap before all that waits in the lane, unless one of the channel waits there already. A frame that
    /// is under way in parts was there before the gap.
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

    /// Queues publications; `false` where there is no room for them.
    #[must_use]
    pub(crate) fn push_run(&mut self, lane: Lane, run: Run, limit: usize, dropped: &mut Dropped) -> bool {
        let fits = self.make_room(cost(&run), limit, dropped);
        if fits {
            self.push(lane, QueuedItem::Run(run));
        }
        fits
    }

    /// Queues publications that may be dropped, or drops them where others have taken all the room. Says how it went.
    pub(crate) fn push_droppable(
        &mut self,
        lane: Lane,
        mut run: Run,
        channel: Option<&ChannelName>,
        limit: usize,
        dropped: &mut Dropped,
    ) -> bool {
        while cost(&run) > limit && run.frames() > 1 {
            // The newest of it are what there can be room for.
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

    /// Puts a publication into its channel's slot. Where one waits there it takes that one's place, and its turn; then
    /// this is `false`. If it is larger, and there is no room for that, neither of them stays.
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
        *self = Self { is_awaited: self.is_awaited, is_calm: self.is_calm, ..Self::default() };
    }

    /// Hands the pieces of the next WebSocket message over, at most so many bytes; a frame that is larger goes in parts. Says
    /// whether there was anything.
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

    /// The lanes, each with its own entries.
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
            // Before the bytes: as long as there is one entry they are its own.
            let many = self.many();
            if entry.is_answer() {
                many.answers.add(lane == Lane::Bulk, cost);
            }
            lane.of(&mut many.lanes).entries.push_back(entry);
        }
        self.bytes = self.bytes.saturating_add(cost);
    }

    /// Whether so many bytes more are within the bound, perhaps after what may be dropped has been.
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
            // A quarter at once: who is too slow for one is too slow for the next, and this looks at all that waits.
            self.drop_oldest(bytes.saturating_add(limit / 4), dropped);
        }
        fits(self)
    }

    /// Drops so many bytes of what may be dropped, or all of it.
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

/// The channels of which something was dropped, where their clients can't see that by offsets.
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

    /// What it is when its turn has come; nothing where that is an empty slot.
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

/// What a run counts for: also many empty frames must not be free.
fn cost(run: &Run) -> usize {
    run.bytes().saturating_add(run.frames().saturating_mul(FRAME_BYTES))
}

/// What waiting takes beside the frame itself.
const FRAME_BYTES: usize = size_of::<QueuedItem>();

#[cfg(test)]
mod tests;
