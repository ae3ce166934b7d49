//! A WebSocket message that is composed from the queue.

use bytes::Bytes;
use wirehub_common::Codec;

use super::{AnswerBytes, Lane, Lanes, QueuedItem, cost};
use crate::checked_subtraction::subtract;

/// A WebSocket message under construction.
pub(super) struct OutgoingBatch<'a> {
    pub(super) codec: Codec,
    pub(super) room: usize,
    /// The bytes of the message.
    pub(super) taken: usize,
    /// The bytes that are taken from the queue.
    pub(super) bytes: usize,
    pub(super) droppable: usize,
    pub(super) answers: AnswerBytes,
    pub(super) take: &'a mut dyn FnMut(Bytes),
}

impl OutgoingBatch<'_> {
    /// Takes frames by priority, from each lane up to the first one without room. If a frame is being sent in parts, half of
    /// the room is for parts, so that neither waits for the end of the other. If both answers and urgent frames wait, each has
    /// half: many answers do not delay an alarm.
    pub(super) fn take_whole_frames(&mut self, lanes: &mut Lanes, is_held: bool, is_shared: bool) {
        let most = if is_shared { self.room / 2 } else { self.room };
        let [control, urgent, ..] = &*lanes;
        let is_contended = !is_held && !control.entries.is_empty() && !urgent.entries.is_empty();
        let half = if is_contended { most / 2 } else { most };
        // The fill level up to which each lane is used, and the frame size above which its frames go in parts.
        let bounds = [(half, half), (most, half), (most, most), (most, most)];
        let ranks = if is_held { 1 } else { lanes.len() };
        for (rank, (lane, (until, largest))) in lanes.iter_mut().zip(bounds).take(ranks).enumerate() {
            let is_bulk = rank == Lane::Bulk as usize;
            while lane.unsent.is_empty()
                && let Some(entry) = lane.entries.front_mut()
            {
                let is_droppable = matches!(entry, QueuedItem::Droppable(..));
                let is_answer = entry.is_answer();
                let Some(run) = entry.current_run() else {
                    // An empty slot.
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
                let gone = subtract(before, cost(run));
                let sent = subtract(gone, lane.unsent.len());
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

    /// Fills the rest of the room with parts, the same for each lane with a partly sent frame.
    pub(super) fn take_parts(&mut self, lanes: &mut Lanes) {
        let mut under_way = lanes.iter().filter(|lane| !lane.unsent.is_empty()).count();
        for (stream, lane) in (0..).zip(lanes).filter(|(_, lane)| !lane.unsent.is_empty()) {
            let share = self.room.saturating_sub(self.taken).checked_div(under_way).unwrap_or_default();
            under_way = under_way.saturating_sub(1);
            if share < LEAST_PART && self.taken > 0 {
                continue;
            }
            let before = lane.unsent.len();
            let (head, data) = self.codec.cut_part(stream, &mut lane.unsent, share);
            let sent = subtract(before, lane.unsent.len());
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

/// Smaller parts have too much overhead: they wait for the next message.
const LEAST_PART: usize = 512;
