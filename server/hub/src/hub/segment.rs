//! Frames that lie one behind the other, and are the same for every queue that they are in.

use std::sync::Arc;

use bytes::Bytes;

/// Encoded frames in a row: what a channel published since its subscribers were served last.
#[derive(Debug)]
pub(crate) struct Segment {
    bytes: Bytes,
    /// Where each frame ends; nothing for a single frame, which ends where the bytes do.
    ends: Box<[u32]>,
}

/// Some frames of a segment, in a row. Cloning shares them.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    segment: Arc<Segment>,
    from: u32,
    to: u32,
}

/// Frames of a segment that is being written.
#[derive(Debug, Default)]
pub(crate) struct Row {
    /// The first frame, as it is: most rows have no other one.
    first: Bytes,
    /// All of them, where there are more.
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Row {
    /// Adds an encoded frame.
    pub(crate) fn push(&mut self, frame: Bytes) {
        if self.first.is_empty() {
            self.first = frame;
            return;
        }
        if self.bytes.is_empty() {
            self.bytes.extend_from_slice(&self.first);
            self.ends.push(end_of(&self.bytes));
        }
        self.bytes.extend_from_slice(&frame);
        self.ends.push(end_of(&self.bytes));
    }

    /// How many bytes there are.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len().max(self.first.len())
    }

    /// What was written, to be shared.
    pub(crate) fn finish(self) -> Arc<Segment> {
        let bytes = if self.ends.is_empty() { self.first } else { self.bytes.into() };
        Arc::new(Segment { bytes, ends: self.ends.into() })
    }
}

fn end_of(bytes: &[u8]) -> u32 {
    // Who fills a row ends it far below.
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

impl Segment {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    fn frames(&self) -> u32 {
        // As many as fit into the bytes, whose places have 32 bits.
        u32::try_from(self.ends.len().max(1)).unwrap_or(u32::MAX)
    }

    /// Where a frame begins.
    fn start(&self, frame: u32) -> usize {
        match frame.checked_sub(1) {
            None => 0,
            Some(before) => self.ends.get(before as usize).map_or(self.bytes.len(), |end| *end as usize),
        }
    }
}

impl Run {
    /// A single frame.
    pub(crate) fn of(frame: Bytes) -> Self {
        Self { segment: Arc::new(Segment { bytes: frame, ends: Box::default() }), from: 0, to: 1 }
    }

    /// The frames of a segment from the one with this number on; nothing where there are no more.
    pub(crate) fn behind(segment: &Arc<Segment>, from: u32) -> Option<Self> {
        let to = segment.frames();
        (from < to).then(|| Self { segment: Arc::clone(segment), from, to })
    }

    /// The last frame alone.
    pub(crate) fn last(mut self) -> Self {
        self.from = self.from.max(self.to.saturating_sub(1));
        self
    }

    /// How many frames there are; never none.
    pub(crate) fn frames(&self) -> usize {
        self.to.saturating_sub(self.from) as usize
    }

    /// How many bytes they have.
    pub(crate) fn bytes(&self) -> usize {
        self.segment.start(self.to).saturating_sub(self.segment.start(self.from))
    }

    /// How many bytes the first frame has.
    pub(crate) fn first_bytes(&self) -> usize {
        self.segment.start(self.from.saturating_add(1)).saturating_sub(self.segment.start(self.from))
    }

    /// Takes as many frames off the front as have at most so many bytes together: their bytes. Nothing is left of a run that
    /// is [empty](Self::is_empty) then.
    pub(crate) fn take_within(&mut self, room: usize) -> Bytes {
        let start = self.segment.start(self.from);
        let end = start.saturating_add(room);
        let from = self.from;
        if self.segment.start(self.to) <= end {
            self.from = self.to;
        }
        while self.from < self.to && self.segment.start(self.from.saturating_add(1)) <= end {
            self.from = self.from.saturating_add(1);
        }
        if self.from == from {
            return Bytes::new();
        }
        self.segment.bytes.slice(start..self.segment.start(self.from))
    }

    /// Takes the first frame off.
    pub(crate) fn take_first(&mut self) -> Bytes {
        self.take_within(self.first_bytes())
    }

    /// Drops so many bytes or more off the front, frame by frame; all of it where there are not so many. How many bytes and
    /// frames that was.
    pub(crate) fn drop_front(&mut self, bytes: usize) -> (usize, usize) {
        let start = self.segment.start(self.from);
        let (mut dropped, mut frames) = (0_usize, 0_usize);
        while self.from < self.to && dropped < bytes {
            self.from = self.from.saturating_add(1);
            frames = frames.saturating_add(1);
            dropped = self.segment.start(self.from).saturating_sub(start);
        }
        (dropped, frames)
    }

    /// Whether all frames have been taken off.
    pub(crate) fn is_empty(&self) -> bool {
        self.from >= self.to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(frames: &[&'static str]) -> Arc<Segment> {
        let mut row = Row::default();
        for frame in frames {
            row.push(Bytes::from_static(frame.as_bytes()));
        }
        row.finish()
    }

    #[test]
    fn frames_are_taken_off_whole() {
        let segment = segment(&["one", "three", "five"]);
        let mut run = Run::behind(&segment, 0).unwrap();
        assert_eq!((run.frames(), run.bytes(), run.first_bytes()), (3, 12, 3));
        assert_eq!(run.take_within(2), "");
        assert_eq!(run.take_within(8), "onethree");
        assert_eq!((run.frames(), run.bytes()), (1, 4));
        assert_eq!(run.take_within(100), "five");
        assert!(run.is_empty());
        assert_eq!(Run::behind(&segment, 2).unwrap().take_first(), "five");
        assert!(Run::behind(&segment, 3).is_none());
    }

    #[test]
    fn a_run_shares_its_bytes() {
        let segment = segment(&["one", "two"]);
        let (mut run, mut other) = (Run::behind(&segment, 0).unwrap(), Run::behind(&segment, 1).unwrap());
        assert_eq!(run.take_within(6)[3..].as_ptr(), other.take_first().as_ptr());
    }

    #[test]
    fn the_front_is_dropped_frame_by_frame() {
        let mut run = Run::behind(&segment(&["one", "three", "five"]), 0).unwrap();
        assert_eq!(run.clone().last().take_first(), "five");
        assert_eq!(run.drop_front(4), (8, 2));
        assert_eq!(run.take_first(), "five");
        assert_eq!(run.drop_front(1), (0, 0));
        let mut single = Run::of(Bytes::from_static(b"alone"));
        assert_eq!((single.frames(), single.bytes(), single.drop_front(1)), (1, 5, (5, 1)));
        assert!(single.is_empty());
    }
}
