//! What waits to be written to one client: lanes, batches, parts, and what is dropped where there is no room.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use wirehub_common::{ChannelName, Codec};

use crate::account::less;
use crate::hub::segment::Run;

/// The outbound queue of one session, without a lock and without whoever waits for it.
///
/// Publications are bounded in bytes. Where one would go over the bound, those that may be dropped are, the oldest first; if
/// that makes no room it is refused. One frame that is larger than half the bound, and one that finds no other publication,
/// goes in whatever its size. Answers to the session's own commands are never refused, and take no room from publications: the
/// session takes no more commands where too many answers wait.
#[derive(Default)]
pub(crate) struct Queue {
    /// The only entry. Most queues are empty most of the time and most others hold one entry: neither takes memory of its own.
    one: Option<Entry>,
    /// The lane of that one.
    lane: Lane,
    /// Whether whoever takes from the queue has found it empty, and waits. The mailbox's, as the next; here they take no room.
    pub(crate) is_awaited: bool,
    /// Whether nothing but frames has come since the task looked.
    pub(crate) is_calm: bool,
    /// Whether nothing may overtake the answers that wait: see [`Self::answer_first`].
    is_held: bool,
    /// All entries, where there are more or have been.
    many: Option<Box<Many>>,
    bytes: usize,
    /// How many of the bytes may be dropped.
    droppable: usize,
}

#[derive(Default)]
struct Many {
    lanes: Lanes,
    answers: Answers,
}

/// How many bytes answers have.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Answers {
    small: usize,
    /// Those that others may overtake.
    bulk: usize,
}

/// Which frames go first. Order is kept within a lane. The numbers are those of the streams in which parts of their frames
/// are sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Lane {
    /// Answers.
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
pub(crate) type Slot = Mutex<Option<Run>>;

/// What waits in a lane.
enum Entry {
    Run(Run),
    /// What the session itself has made.
    Answer(Run),
    /// Makes room where there is none. The channel is there where its clients can't see by offsets what they did not get.
    Droppable(Run, Option<ChannelName>),
    /// What is in the slot when its turn comes.
    Latest(Arc<Slot>),
}

type Lanes = [LaneQueue; 4];

#[derive(Default)]
struct LaneQueue {
    entries: VecDeque<Entry>,
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
    pub(crate) fn published(&self) -> usize {
        less(self.bytes, self.all_answers())
    }

    /// How many bytes of publications wait that may not be dropped.
    pub(crate) fn kept_bytes(&self) -> usize {
        less(self.published(), self.droppable)
    }

    /// How many bytes of answers wait, but for those that others may overtake.
    pub(crate) fn small_answers(&self) -> usize {
        self.answers().small
    }

    /// How many bytes of answers wait.
    pub(crate) fn all_answers(&self) -> usize {
        let Answers { small, bulk } = self.answers();
        small.saturating_add(bulk)
    }

    fn answers(&self) -> Answers {
        let mut answers = self.many.as_ref().map_or_else(Answers::default, |many| many.answers);
        if matches!(self.one, Some(Entry::Answer(_))) {
            answers.add(self.lane == Lane::Bulk, self.bytes);
        }
        answers
    }

    /// How many answers wait that others may overtake.
    pub(crate) fn bulk_answers(&self) -> usize {
        let lane = self.many.as_ref().map(|many| Lane::Bulk.get(&many.lanes));
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
        self.push(lane, Entry::Answer(run));
    }

    /// Queues publications; `false` where there is no room for them.
    #[must_use]
    pub(crate) fn push_run(&mut self, lane: Lane, run: Run, limit: usize, dropped: &mut Dropped) -> bool {
        let fits = self.make_room(cost(&run), limit, dropped);
        if fits {
            self.push(lane, Entry::Run(run));
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
            self.push(lane, Entry::Droppable(run, channel.cloned()));
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
        slot: &Arc<Slot>,
        run: Run,
        channel: Option<&ChannelName>,
        limit: usize,
        dropped: &mut Dropped,
    ) -> bool {
        let mut waiting = slot.lock();
        if let Some(old) = waiting.take() {
            self.bytes = less(self.bytes, cost(&old));
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
            self.push(lane, Entry::Latest(Arc::clone(slot)));
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
            let bytes = entry.ready().map(|run| run.take_within(room)).unwrap_or_default();
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
        let Many { lanes, answers: waiting } = self.many();
        let answers = Answers::default();
        let mut batch = Batch { codec, room, taken: 0, bytes: 0, droppable: 0, answers, take };
        let is_shared = lanes.iter().any(|lane| !lane.unsent.is_empty());
        batch.take_whole_frames(lanes, is_held, is_shared);
        batch.take_parts(lanes);
        let holds_on = is_held && lanes.first().is_some_and(|lane| !lane.unsent.is_empty());
        let is_empty = lanes.iter().all(|lane| lane.unsent.is_empty() && lane.entries.is_empty());
        let Batch { taken, bytes, droppable, answers, .. } = batch;
        waiting.small = less(waiting.small, answers.small);
        waiting.bulk = less(waiting.bulk, answers.bulk);
        self.bytes = less(self.bytes, bytes);
        self.droppable = less(self.droppable, droppable);
        self.is_held = holds_on;
        if is_empty {
            self.clear();
        }
        taken > 0
    }

    /// The lanes, each with its own entries.
    fn many(&mut self) -> &mut Many {
        let answers = self.answers();
        let one = self.one.take();
        let many = self.many.get_or_insert_default();
        if let Some(entry) = one {
            self.lane.of(&mut many.lanes).entries.push_back(entry);
            many.answers = answers;
        }
        many
    }

    fn push(&mut self, lane: Lane, entry: Entry) {
        let cost = entry.cost();
        if matches!(entry, Entry::Droppable(..)) {
            self.droppable = self.droppable.saturating_add(cost);
        }
        if self.is_empty() {
            (self.one, self.lane) = (Some(entry), lane);
        } else {
            // Before the bytes: as long as there is one entry they are its own.
            let many = self.many();
            if matches!(entry, Entry::Answer(_)) {
                many.answers.add(lane == Lane::Bulk, cost);
            }
            lane.of(&mut many.lanes).entries.push_back(entry);
        }
        self.bytes = self.bytes.saturating_add(cost);
    }

    /// Whether so many bytes more are within the bound, perhaps after what may be dropped has been.
    fn make_room(&mut self, bytes: usize, limit: usize, dropped: &mut Dropped) -> bool {
        let fits = |queue: &Self| {
            let waiting = queue.published();
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
        let mut drop_from = |entry: &mut Entry| {
            let Entry::Droppable(run, channel) = entry else { return true };
            if left == 0 {
                return true;
            }
            let (bytes, frames) = run.drop_front(left);
            dropped.note(channel.as_ref());
            let cost = bytes.saturating_add(frames.saturating_mul(FRAME_BYTES));
            left = left.saturating_sub(cost);
            self.droppable = less(self.droppable, cost);
            self.bytes = less(self.bytes, cost);
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

/// A WebSocket message that is being put together.
struct Batch<'a> {
    codec: Codec,
    room: usize,
    /// How many bytes it has.
    taken: usize,
    /// How many bytes the queue has less.
    bytes: usize,
    droppable: usize,
    answers: Answers,
    take: &'a mut dyn FnMut(Bytes),
}

impl Batch<'_> {
    /// Takes frames by rank, of each lane up to the first that there is no room for. Where a frame is under way in parts half of
    /// the room is for those: neither waits for the other's end. Where both answers and urgent frames wait each has half: a
    /// client that asks all the time puts off no alarm.
    fn take_whole_frames(&mut self, lanes: &mut Lanes, is_held: bool, is_shared: bool) {
        let most = if is_shared { self.room / 2 } else { self.room };
        let [control, urgent, ..] = &*lanes;
        let is_contended = !is_held && !control.entries.is_empty() && !urgent.entries.is_empty();
        let half = if is_contended { most / 2 } else { most };
        // Up to where each lane fills the message, and above which size its frames go in parts.
        let bounds = [(half, half), (most, half), (most, most), (most, most)];
        let ranks = if is_held { 1 } else { lanes.len() };
        for (rank, (lane, (until, largest))) in lanes.iter_mut().zip(bounds).take(ranks).enumerate() {
            let is_bulk = rank == Lane::Bulk as usize;
            while lane.unsent.is_empty()
                && let Some(entry) = lane.entries.front_mut()
            {
                let is_droppable = matches!(entry, Entry::Droppable(..));
                let is_answer = matches!(entry, Entry::Answer(_));
                let Some(run) = entry.ready() else {
                    // A slot that is empty.
                    lane.entries.pop_front();
                    continue;
                };
                let before = cost(run);
                if run.first_bytes() > largest {
                    lane.unsent = self.codec.undelimited(&run.take_first());
                    lane.is_answer = is_answer;
                } else {
                    let bytes = run.take_within(until.saturating_sub(self.taken));
                    if bytes.is_empty() {
                        break;
                    }
                    self.taken = self.taken.saturating_add(bytes.len());
                    (self.take)(bytes);
                }
                let gone = less(before, cost(run));
                let sent = less(gone, lane.unsent.len());
                self.bytes = self.bytes.saturating_add(sent);
                if is_droppable {
                    self.droppable = self.droppable.saturating_add(gone);
                }
                if is_answer {
                    self.answers.add(is_bulk, sent);
                }
                if run.is_empty() {
                    lane.entries.pop_front();
                }
            }
        }
    }

    /// Fills the rest of the room with parts, the same for each lane that has a frame under way.
    fn take_parts(&mut self, lanes: &mut Lanes) {
        let mut under_way = lanes.iter().filter(|lane| !lane.unsent.is_empty()).count();
        for (stream, lane) in (0..).zip(lanes).filter(|(_, lane)| !lane.unsent.is_empty()) {
            let share = self.room.saturating_sub(self.taken).checked_div(under_way).unwrap_or_default();
            under_way = under_way.saturating_sub(1);
            if share < LEAST_PART && self.taken > 0 {
                continue;
            }
            let before = lane.unsent.len();
            let (head, data) = self.codec.cut_part(stream, &mut lane.unsent, share);
            let sent = less(before, lane.unsent.len());
            self.bytes = self.bytes.saturating_add(sent);
            if lane.is_answer {
                self.answers.add(stream == Lane::Bulk as u32, sent);
            }
            self.taken = self.taken.saturating_add(head.len()).saturating_add(data.len());
            (self.take)(head);
            if !data.is_empty() {
                (self.take)(data);
            }
        }
    }
}

impl Answers {
    fn add(&mut self, is_bulk: bool, bytes: usize) {
        let count = if is_bulk { &mut self.bulk } else { &mut self.small };
        *count = count.saturating_add(bytes);
    }
}

impl Lane {
    fn get(self, lanes: &Lanes) -> &LaneQueue {
        let [control, urgent, normal, bulk] = lanes;
        match self {
            Self::Control => control,
            Self::Urgent => urgent,
            Self::Normal => normal,
            Self::Bulk => bulk,
        }
    }

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

impl Entry {
    fn bytes(&self) -> usize {
        match self {
            Self::Run(run) | Self::Answer(run) | Self::Droppable(run, _) => run.bytes(),
            Self::Latest(slot) => slot.lock().as_ref().map_or(0, Run::bytes),
        }
    }

    fn cost(&self) -> usize {
        match self {
            Self::Run(run) | Self::Answer(run) | Self::Droppable(run, _) => cost(run),
            Self::Latest(slot) => slot.lock().as_ref().map_or(0, cost),
        }
    }

    /// What it is when its turn has come; nothing where that is an empty slot.
    fn ready(&mut self) -> Option<&mut Run> {
        if let Self::Latest(slot) = self {
            let run = slot.lock().take()?;
            *self = Self::Run(run);
        }
        match self {
            Self::Run(run) | Self::Answer(run) | Self::Droppable(run, _) => Some(run),
            Self::Latest(_) => None,
        }
    }
}

/// What a run counts for: also many empty frames must not be free.
fn cost(run: &Run) -> usize {
    run.bytes().saturating_add(run.frames().saturating_mul(FRAME_BYTES))
}

/// What waiting takes beside the frame itself.
const FRAME_BYTES: usize = size_of::<Entry>();

/// Smaller parts are more head than body: they wait for the next message.
const LEAST_PART: usize = 512;

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use wirehub_common::frame::ServerFrame;
    use wirehub_common::{Assembler, Limits, frame};

    use super::*;

    const ROOM: usize = Limits::BATCH_BYTES;

    fn frame(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    fn run(text: &'static str) -> Run {
        Run::of(frame(text))
    }

    fn taken_within(queue: &mut Queue, room: usize) -> Vec<Bytes> {
        let mut frames = Vec::new();
        queue.take_batch(Codec::Protobuf, room, &mut |frame| frames.push(frame));
        frames
    }

    fn taken(queue: &mut Queue) -> Vec<Bytes> {
        taken_within(queue, ROOM)
    }

    fn push(queue: &mut Queue, lane: Lane, frame: impl Into<Bytes>) {
        assert!(queue.push_run(lane, Run::of(frame.into()), 1 << 30, &mut Dropped::default()));
    }

    /// A publication with its delimiter.
    fn large(bytes: usize) -> Bytes {
        let channel = ChannelName::new("a").unwrap();
        let payload = wirehub_common::Payload::bytes(vec![7; bytes]);
        let publication = frame::Publication { channel, payload, time: 1, publisher: None, offset: 0 };
        Codec::Protobuf.encode_frame(&ServerFrame::Push(frame::Push::Publication(publication)))
    }

    #[test]
    fn lanes_go_by_rank_and_keep_their_order() {
        let mut queue = Queue::default();
        push(&mut queue, Lane::Normal, "n1");
        push(&mut queue, Lane::Urgent, "u1");
        push(&mut queue, Lane::Normal, "n2");
        queue.answer(Lane::Control, frame("c1"));
        push(&mut queue, Lane::Urgent, "u2");
        assert_eq!(taken(&mut queue), ["c1", "u1", "u2", "n1", "n2"]);
        assert!(taken(&mut queue).is_empty());
        assert_eq!((queue.bytes, queue.droppable), (0, 0));
    }

    #[test]
    fn a_batch_ends_before_it_would_be_too_large() {
        let mut queue = Queue::default();
        for _ in 0..5 {
            push(&mut queue, Lane::Normal, vec![0; ROOM / 2]);
        }
        let mut lengths = || taken(&mut queue).iter().map(Bytes::len).sum::<usize>();
        assert_eq!([lengths(), lengths(), lengths(), lengths()], [ROOM, ROOM, ROOM / 2, 0]);
        assert_eq!(queue.bytes, 0);
    }

    #[test]
    fn a_large_frame_goes_in_parts_and_others_between_them() {
        for codec in [Codec::Protobuf, Codec::Json] {
            let mut queue = Queue::default();
            let channel = ChannelName::new("a").unwrap();
            let payload = wirehub_common::Payload::bytes(vec![7; 300_000]);
            let publication = frame::Publication { channel, payload, time: 1, publisher: None, offset: 0 };
            let whole = ServerFrame::Push(frame::Push::Publication(publication));
            let due = ServerFrame::Push(frame::Push::RefreshDue);
            push(&mut queue, Lane::Normal, codec.encode_frame(&whole));
            let (mut assembler, mut seen, mut batches) = (Assembler::new(), Vec::new(), 0);
            loop {
                let mut message = Vec::new();
                if !queue.take_batch(codec, ROOM, &mut |piece| message.extend_from_slice(&piece)) {
                    break;
                }
                assert!(message.len() <= ROOM, "{}", message.len());
                batches += 1;
                if batches == 1 {
                    push(&mut queue, Lane::Urgent, codec.encode_frame(&due));
                }
                for frame in codec.decode_frames(&message.into()).map(Result::unwrap) {
                    let ServerFrame::Part(part) = frame else {
                        seen.push((batches, frame));
                        continue;
                    };
                    assert_eq!(part.stream, Lane::Normal as u32);
                    if let Some(frame) = assembler.take(2, &part.data, part.left, 1 << 20).unwrap() {
                        seen.push((batches, codec.decode_frame(&frame).unwrap()));
                    }
                }
            }
            assert_eq!(seen, [(2, due), (batches, whole)], "{codec:?}");
            assert_eq!(queue.bytes, 0);
        }
    }

    #[test]
    fn nothing_overtakes_the_first_answer_though_it_goes_in_parts() {
        let mut queue = Queue::default();
        queue.answer_first(large(200_000));
        push(&mut queue, Lane::Urgent, "alarm");
        push(&mut queue, Lane::Normal, "publication");
        let mut batches = 0;
        loop {
            let batch = taken(&mut queue);
            batches += 1;
            if batch.iter().any(|piece| *piece == "alarm") {
                break;
            }
        }
        assert_eq!(batches, 5, "200 kB are four messages");
        assert_eq!(queue.bytes, 0);
    }

    #[test]
    fn answers_put_off_no_alarm_however_many_there_are() {
        for size in [100, 8 * 1024, 20 * 1024] {
            let mut queue = Queue::default();
            for _ in 0..200 {
                queue.answer(Lane::Control, vec![0; size].into());
            }
            push(&mut queue, Lane::Urgent, large(9 * 1024));
            let batch = taken_within(&mut queue, 16_384);
            let bytes = batch.iter().map(Bytes::len).sum::<usize>();
            assert!((8 * 1024..=16_384).contains(&bytes), "{size}: {bytes}");
            let mut batches = 1;
            while queue.many.as_ref().is_some_and(|many| !many.lanes[1].unsent.is_empty()) {
                queue.answer(Lane::Control, vec![0; size].into());
                taken_within(&mut queue, 16_384);
                batches += 1;
            }
            assert!(batches <= 3, "{size}: {batches}");
        }
    }

    #[test]
    fn answers_take_no_room_from_publications() {
        let (mut queue, mut dropped) = (Queue::default(), Dropped::default());
        queue.answer(Lane::Bulk, large(100_000));
        queue.answer(Lane::Control, frame("answer"));
        assert!(queue.push_run(Lane::Normal, run("0123456789"), 200, &mut dropped));
        assert!(queue.push_droppable(Lane::Normal, run("droppable"), None, 200, &mut dropped));
        assert!(dropped.is_empty());
        let slot = Arc::new(Slot::default());
        assert!(queue.push_latest(Lane::Urgent, &slot, run("1"), None, 1000, &mut dropped));
        assert_eq!(queue.bulk_answers(), 1);
        while !taken_within(&mut queue, 16_384).is_empty() {
            assert_eq!(queue.published(), 0, "they go first");
        }
        assert_eq!((queue.bytes, queue.droppable, queue.all_answers(), queue.bulk_answers()), (0, 0, 0, 0));
    }

    #[test]
    fn frames_under_way_share_the_room() {
        let mut queue = Queue::default();
        for lane in [Lane::Normal, Lane::Bulk] {
            push(&mut queue, lane, large(100_000));
        }
        let first = taken_within(&mut queue, 16_384);
        assert!(first.iter().map(Bytes::len).sum::<usize>() <= 16_384);
        let lengths: Vec<usize> = first.iter().map(Bytes::len).filter(|length| *length > 100).collect();
        assert!(lengths.len() == 2 && lengths.iter().all(|length| *length > 8000), "{lengths:?}");
        for _ in 0..1000 {
            push(&mut queue, Lane::Control, vec![0; 100]);
        }
        let second = taken_within(&mut queue, 16_384);
        assert!(
            second.iter().filter(|piece| piece.len() > 3000).count() == 2,
            "small ones leave room for parts"
        );
        assert_eq!(second[0].len(), 100, "and go before them");
    }

    #[test]
    fn publications_over_the_bound_are_refused() {
        let mut queue = Queue::default();
        let dropped = &mut Dropped::default();
        for _ in 0..3 {
            assert!(queue.push_run(Lane::Normal, run("0123456789"), 200, dropped));
        }
        assert!(!queue.push_run(
            Lane::Normal,
            run("01234567890123456789012345678901234567890"),
            200,
            dropped
        ));
        assert_eq!(taken(&mut queue).len(), 3);
    }

    #[test]
    fn a_frame_larger_than_the_bound_goes_into_a_queue_that_is_half_empty() {
        let (mut queue, dropped) = (Queue::default(), &mut Dropped::default());
        assert!(queue.push_run(Lane::Normal, run("small"), 200, dropped));
        let long = Run::of(vec![0; 1000].into());
        assert!(queue.push_run(Lane::Normal, long.clone(), 200, dropped));
        assert!(!queue.push_run(Lane::Normal, long, 200, dropped));
    }

    #[test]
    fn what_may_be_dropped_makes_room_the_oldest_first() {
        let limit = 10 * cost(&run("0"));
        let (mut queue, mut dropped) = (Queue::default(), Dropped::default());
        let channel = ChannelName::new("a").unwrap();
        assert!(queue.push_run(Lane::Normal, run("k"), limit, &mut dropped));
        for text in ["0", "1", "2", "3", "4", "5", "6", "7", "8"] {
            assert!(queue.push_droppable(Lane::Normal, run(text), Some(&channel), limit, &mut dropped));
        }
        assert!(dropped.is_empty());
        assert!(queue.push_run(Lane::Normal, run("l"), limit, &mut dropped));
        assert_eq!(
            taken(&mut queue),
            ["k", "4", "5", "6", "7", "8", "l"],
            "a quarter, and room for the new one"
        );
        assert_eq!((queue.bytes, queue.droppable), (0, 0));
        assert_eq!(dropped.into_channels(), [channel]);
    }

    #[test]
    fn of_a_row_that_is_too_long_the_newest_are_queued() {
        let mut row = crate::hub::segment::Row::default();
        for text in ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"] {
            row.push(frame(text));
        }
        let run = Run::behind(&row.finish(), 0).unwrap();
        let (mut queue, mut dropped) = (Queue::default(), Dropped::default());
        let channel = ChannelName::new("a").unwrap();
        let limit = 4 * cost(&Run::of(frame("0")));
        assert!(queue.push_droppable(Lane::Normal, run, Some(&channel), limit, &mut dropped));
        let taken = taken(&mut queue).concat();
        assert!(taken.len() <= 4 && b"0123456789".ends_with(&taken), "{taken:?}");
        assert_eq!(dropped.into_channels(), [channel]);
    }

    #[test]
    fn what_may_be_dropped_is_where_others_have_taken_the_room() {
        let limit = 4 * cost(&run("0"));
        let (mut queue, mut dropped) = (Queue::default(), Dropped::default());
        for text in ["a", "b", "c", "d"] {
            assert!(queue.push_run(Lane::Normal, run(text), limit, &mut dropped));
        }
        assert!(!queue.push_droppable(Lane::Normal, run("e"), None, limit, &mut dropped));
        assert_eq!(taken(&mut queue), ["a", "b", "c", "d"]);
    }

    #[test]
    fn the_latest_takes_the_turn_of_the_one_before() {
        let (mut queue, mut dropped) = (Queue::default(), Dropped::default());
        let slot = Arc::new(Slot::default());
        assert!(queue.push_latest(Lane::Normal, &slot, run("1"), None, 1000, &mut dropped));
        push(&mut queue, Lane::Normal, "other");
        assert!(!queue.push_latest(Lane::Normal, &slot, run("two"), None, 1000, &mut dropped));
        assert_eq!(taken(&mut queue), ["two", "other"]);
        assert_eq!(queue.bytes, 0);
        assert!(queue.push_latest(Lane::Normal, &slot, run("3"), None, 1000, &mut dropped));
        assert_eq!(taken(&mut queue), ["3"]);
    }

    #[test]
    fn the_latest_that_is_too_large_for_the_queue_is_dropped_and_the_next_one_is_not() {
        let limit = 400;
        let (mut queue, mut dropped) = (Queue::default(), Dropped::default());
        let (slot, other) = (Arc::new(Slot::default()), Arc::new(Slot::default()));
        let channel = ChannelName::new("a").unwrap();
        let long = || Run::of(vec![0; 180].into());
        assert!(queue.push_latest(Lane::Normal, &slot, run("1"), Some(&channel), limit, &mut dropped));
        assert!(queue.push_latest(Lane::Normal, &other, long(), None, limit, &mut dropped));
        assert!(!queue.push_latest(Lane::Normal, &slot, long(), Some(&channel), limit, &mut dropped));
        assert_eq!(std::mem::take(&mut dropped).into_channels().len(), 1);
        assert!(queue.bytes() <= limit, "{}", queue.bytes());
        assert!(queue.push_latest(Lane::Normal, &slot, run("3"), Some(&channel), limit, &mut dropped));
        assert!(dropped.is_empty());
        assert_eq!(taken(&mut queue)[0], "3", "in the place of the first");
        assert_eq!(queue.bytes(), 0);
    }

    #[test]
    fn the_bytes_of_the_latest_are_those_of_what_waits_there_however_often_it_was_replaced() {
        let (mut queue, mut dropped) = (Queue::default(), Dropped::default());
        let slots = [(); 2].map(|()| Arc::new(Slot::default()));
        let frames: [&'static str; 5] = ["12345", "1", "1234567890", "12", "123"];
        for (step, text) in frames.into_iter().enumerate() {
            for slot in &slots {
                let is_new = queue.push_latest(Lane::Normal, slot, run(text), None, 1000, &mut dropped);
                assert_eq!(is_new, step == 0, "{text:?}");
            }
            assert_eq!((queue.bytes(), queue.kept_bytes()), (2 * cost(&run(text)), 2 * cost(&run(text))));
        }
        let mut one = || taken_within(&mut queue, 3).iter().map(Bytes::len).sum::<usize>();
        assert_eq!(one(), 3);
        assert_eq!(queue.bytes(), cost(&run("123")), "the other one waits");
        assert!(queue.push_latest(Lane::Normal, &slots[0], run("1"), None, 1000, &mut dropped));
        assert_eq!(queue.bytes(), cost(&run("123")) + cost(&run("1")));
        assert_eq!(taken(&mut queue), ["123", "1"]);
        assert_eq!(queue.bytes(), 0);
    }
}
