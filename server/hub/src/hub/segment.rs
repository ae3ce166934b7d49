//! Encoded frames in consecutive memory, shared by all queues.

use std::sync::Arc;

use bytes::Bytes;

/// Encoded frames in a row: the publications of a channel since the last hand-out.
#[derive(Debug)]
pub(crate) struct Segment {
    bytes: Bytes,
    /// The end of each frame; empty for a single frame.
    ends: Box<[u32]>,
}

/// A range of a segment's frames. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    segment: Arc<Segment>,
    from: u32,
    to: u32,
}

/// A segment under construction.
#[derive(Debug, Default)]
pub(crate) struct Row {
    /// The first frame as it came: most rows have only one.
    first: Bytes,
    /// All frames, if there are several.
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

    /// The number of bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len().max(self.first.len())
    }

    /// The finished segment, to be shared.
    pub(crate) fn finish(self) -> Arc<Segment> {
        let bytes = if self.ends.is_empty() { self.first } else { self.bytes.into() };
        Arc::new(Segment { bytes, ends: self.ends.into() })
    }
}

fn end_of(bytes: &[u8]) -> u32 {
    // Rows end far below this size.
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

impl Segment {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    fn frames(&self) -> u32 {
        // The ends have 32 bits, so the number of frames fits too.
        u32::try_from(self.ends.len().max(1)).unwrap_or(u32::MAX)
    }

    /// The beginning of a frame.
    fn start(&self, frame: u32) -> usize {
        match frame.checked_sub(1) {
            None => 0,
            Some(before) => self.ends.get(before as usize).map_or(self.bytes.len(), |end| *end as usize),
        }
    }
}

impl Run {
    /// A run of a single frame.
    pub(crate) fn of(frame: Bytes) -> Self {
        Self { segment: Arc::new(Segment { bytes: frame, ends: Box::default() }), from: 0, to: 1 }
    }

    /// The frames of a segment from number `from` on; `None` if there are none.
    pub(crate) fn behind(segment: &Arc<Segment>, from: u32) -> Option<Self> {
        let to = segment.frames();
        (from < to).then(|| Self { segment: Arc::clone(segment), from, to })
    }

    /// The last frame alone.
    pub(crate) fn last(mut self) -> Self {
        self.from = self.from.max(self.to.saturating_sub(1));
        self
    }

    /// The number of frames; at least one in a new run.
    pub(crate) fn frames(&self) -> usize {
        self.to.saturating_sub(self.from) as usize
    }

    /// The bytes of the frames.
    pub(crate) fn bytes(&self) -> usize {
        self.segment.start(self.to).saturating_sub(self.segment.start(self.from))
    }

    /// The bytes of the first frame.
    pub(crate) fn first_bytes(&self) -> usize {
        self.segment.start(self.from.saturating_add(1)).saturating_sub(self.segment.start(self.from))
    }

    /// Removes frames from the front, as many as have at most `room` bytes together, and returns their bytes. Afterwards the
    /// run may be [empty](Self::is_empty).
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

    /// Removes the first frame, and returns it.
    pub(crate) fn take_first(&mut self) -> Bytes {
        self.take_within(self.first_bytes())
    }

    /// Drops frames from the front until at least this many bytes are gone, or all frames. Returns the number of dropped bytes
    /// and frames.
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

    /// `true` if no frame is left.
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
    fn only_whole_frames_are_taken() {
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
