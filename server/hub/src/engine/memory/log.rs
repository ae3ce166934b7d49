//! The log of one channel: its newest publications, and its offset.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use wirehub_common::Payload;
use wirehub_common::frame::Publication;

use crate::checked_subtraction::subtract;
use crate::engine::KeyWindow;
use crate::namespace::History;

pub(super) struct LogState {
    /// The offset of the newest publication.
    pub(super) offset: u64,
    /// The newest publications, without gaps.
    pub(super) entries: VecDeque<StoredPublication>,
    pub(super) bytes: usize,
    /// The time at which the newest key of a publish was remembered.
    pub(super) newest_key: Option<Instant>,
    /// The time until which the offset must be remembered.
    pub(super) needed_until: Instant,
    /// The share of this log in the engine's total bytes.
    pub(super) counted: usize,
}

pub(super) struct StoredPublication {
    pub(super) publication: Publication,
    pub(super) expires: Instant,
}

impl LogState {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            offset: 0,
            entries: VecDeque::new(),
            bytes: 0,
            newest_key: None,
            needed_until: now,
            counted: 0,
        }
    }

    /// Its approximate size in bytes.
    pub(super) fn cost(&self) -> usize {
        let entries = self.entries.len().saturating_mul(ENTRY_BYTES);
        LOG_BYTES.saturating_add(self.bytes).saturating_add(entries)
    }

    /// Forgets everything but the offset. The offset stays only as long as the channel has subscribers, or keys.
    pub(super) fn empty(&mut self, now: Instant) {
        (self.entries, self.bytes) = (VecDeque::new(), 0);
        self.needed_until = now;
    }

    /// Adds a publication, and returns its offset.
    pub(super) fn append(&mut self, publication: &Publication, history: &History, now: Instant) -> u64 {
        self.offset = self.offset.saturating_add(1);
        self.needed_until = self.needed_until.max(after(now, history.ttl.saturating_add(KEPT)));
        // A copy, because the original shares its memory with the whole message in which it came.
        let Payload { content, data } = &publication.payload;
        let payload = Payload { content: *content, data: Bytes::copy_from_slice(data) };
        let kept = Publication { payload, offset: self.offset, ..publication.clone() };
        self.bytes = self.bytes.saturating_add(data.len());
        self.entries.push_back(StoredPublication { publication: kept, expires: after(now, history.ttl) });
        while self.entries.len() > history.size.max(1)
            || (self.bytes > history.bytes && self.entries.len() > 1)
        {
            self.drop_oldest();
        }
        self.offset
    }

    /// The offset before the oldest entry.
    pub(super) fn before_oldest(&self) -> u64 {
        self.offset.saturating_sub(self.entries.len() as u64)
    }

    /// The entries behind an offset; `None` if some of them are gone, or if the offset has not been reached.
    pub(super) fn since(&self, offset: u64) -> Option<impl Iterator<Item = &StoredPublication>> {
        let missing = usize::try_from(self.offset.checked_sub(offset)?).ok()?;
        let skipped = self.entries.len().checked_sub(missing)?;
        Some(self.entries.iter().skip(skipped))
    }

    /// Forgets old entries.
    pub(super) fn expire(&mut self, now: Instant) {
        while self.entries.front().is_some_and(|entry| entry.expires <= now) {
            self.drop_oldest();
        }
        // The keys themselves are forgotten elsewhere.
        self.newest_key = self.newest_key.filter(|newest| after(*newest, KeyWindow::KEPT) > now);
    }

    fn drop_oldest(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.bytes = subtract(self.bytes, entry.publication.payload.data.len());
        }
    }
}

/// The first entries within both limits, and if there are more.
pub(super) fn page<'a>(
    mut entries: impl Iterator<Item = &'a StoredPublication>,
    limit: usize,
    bytes: usize,
) -> (Vec<Publication>, bool) {
    let (mut publications, mut left) = (Vec::new(), bytes);
    for entry in entries.by_ref().take(limit) {
        match left.checked_sub(entry.publication.payload.data.len()) {
            Some(rest) => left = rest,
            None if publications.is_empty() => left = 0,
            None => return (publications, true),
        }
        publications.push(entry.publication.clone());
    }
    // A request for no entries has no use for more.
    let more = limit > 0 && entries.next().is_some();
    (publications, more)
}

pub(super) fn after(now: Instant, duration: Duration) -> Instant {
    // A time beyond the clock's range is replaced by a very late one.
    now.checked_add(duration).or_else(|| now.checked_add(CENTURY)).unwrap_or(now)
}

/// The time for which a channel's offset outlives its history, so that a subscriber that missed nothing learns so.
pub(super) const KEPT: Duration = Duration::from_secs(3600);

/// The approximate sizes of an empty log, and of a publication without its payload, with the overhead of the allocator and the
/// tables.
const LOG_BYTES: usize = 512;
const ENTRY_BYTES: usize = 320;

const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
