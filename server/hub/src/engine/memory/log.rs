//! The log of one channel: its newest publications, its offset, and the keys of its publishes.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use wirehub_common::Payload;
use wirehub_common::frame::Publication;

use crate::account::subtract;
use crate::namespace::History;

pub(super) struct LogState {
    /// Of the newest publication.
    pub(super) offset: u64,
    /// The newest publications, without gaps.
    pub(super) entries: VecDeque<StoredPublication>,
    pub(super) bytes: usize,
    /// The offsets of the publishes with these keys; 0 where there was no history.
    pub(super) keys: HashMap<Arc<str>, u64>,
    /// The keys by age, with the time at which each is forgotten.
    pub(super) key_ages: VecDeque<(Instant, Arc<str>)>,
    /// For how long the offset has to be known yet.
    pub(super) needed_until: Instant,
    /// What of the engine's bytes is counted for it.
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
            keys: HashMap::new(),
            key_ages: VecDeque::new(),
            needed_until: now,
            counted: 0,
        }
    }

    /// About how many bytes it takes.
    pub(super) fn cost(&self) -> usize {
        let entries = self.entries.len().saturating_mul(ENTRY_BYTES);
        let keys = self.keys.len().saturating_mul(KEY_BYTES);
        LOG_BYTES.saturating_add(self.bytes).saturating_add(entries).saturating_add(keys)
    }

    /// Forgets all but the offset, and that only for as long as somebody is subscribed.
    pub(super) fn empty(&mut self, now: Instant) {
        (self.entries, self.bytes) = (VecDeque::new(), 0);
        (self.keys, self.key_ages) = (HashMap::new(), VecDeque::new());
        self.needed_until = now;
    }

    /// Adds a publication, and gives its offset.
    pub(super) fn append(&mut self, publication: &Publication, history: &History, now: Instant) -> u64 {
        self.offset = self.offset.saturating_add(1);
        self.needed_until = self.needed_until.max(after(now, history.ttl.saturating_add(KEPT)));
        // A copy: what came in holds on to all that came in with it.
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

    /// Remembers a key. Says whether none had to be forgotten for it.
    pub(super) fn remember(&mut self, key: String, offset: u64, now: Instant) -> bool {
        let key: Arc<str> = key.into();
        self.keys.insert(Arc::clone(&key), offset);
        self.key_ages.push_back((after(now, KEY_WINDOW.saturating_add(KEY_GRACE)), key));
        let fits = self.keys.len() <= MAX_KEYS;
        if !fits && let Some((_, oldest)) = self.key_ages.pop_front() {
            self.keys.remove(&oldest);
        }
        fits
    }

    /// The offset before that of the oldest entry.
    pub(super) fn before_oldest(&self) -> u64 {
        self.offset.saturating_sub(self.entries.len() as u64)
    }

    /// What comes after an offset; nothing where some of it is gone, or the offset has not been reached.
    pub(super) fn since(&self, offset: u64) -> Option<impl Iterator<Item = &StoredPublication>> {
        let missing = usize::try_from(self.offset.checked_sub(offset)?).ok()?;
        let skipped = self.entries.len().checked_sub(missing)?;
        Some(self.entries.iter().skip(skipped))
    }

    /// Forgets what is too old.
    pub(super) fn expire(&mut self, now: Instant) {
        while self.entries.front().is_some_and(|entry| entry.expires <= now) {
            self.drop_oldest();
        }
        while self.key_ages.front().is_some_and(|(until, _)| *until <= now) {
            if let Some((_, key)) = self.key_ages.pop_front() {
                self.keys.remove(&key);
            }
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.bytes = subtract(self.bytes, entry.publication.payload.data.len());
        }
    }
}

/// The first of these: so many, and so many bytes of payload. Says whether there are more.
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
    // Who asks for none has no use for more.
    let more = limit > 0 && entries.next().is_some();
    (publications, more)
}

pub(super) fn after(now: Instant, duration: Duration) -> Instant {
    // Beyond what the clock can show, "very late" is as good.
    now.checked_add(duration).or_else(|| now.checked_add(CENTURY)).unwrap_or(now)
}

/// For how long clients are told that keys are remembered.
pub(super) const KEY_WINDOW: Duration = Duration::from_secs(120);

/// For how much longer they are: what is repeated has to arrive.
const KEY_GRACE: Duration = Duration::from_secs(60);

/// How many keys a channel remembers. Where more come in their time, the oldest are forgotten, and clients that connect
/// from then on repeat nothing from before.
pub(super) const MAX_KEYS: usize = 1_000_000;

/// For how long a channel's offset outlives its history, so that who missed nothing is told so.
pub(super) const KEPT: Duration = Duration::from_secs(3600);

/// About how much a log takes by itself, a publication beside its payload, and a key: with what the allocator and the tables
/// take. Keys of clients are short.
const LOG_BYTES: usize = 512;
const ENTRY_BYTES: usize = 320;
const KEY_BYTES: usize = 256;

const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
