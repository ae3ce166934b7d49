//! A channel in a batch: what the batch appends to its history, and what it trims.

use std::sync::Arc;

use wirehub_common::ChannelName;
use wirehub_common::frame::Publication;
use wirehub_hub::namespace::History;

use crate::channels::Channel;
use crate::clock::milliseconds;
use crate::error::{DiskError, DiskErrorKind};
use crate::read::{Found, first_where, read_heads};
use crate::record::{ChannelState, Head, Stored};
use crate::shared::{KEPT, Shared};
use crate::store::{Store, corrupt};

/// A channel that a batch changes.
pub(crate) struct ChannelInBatch {
    pub(crate) name: ChannelName,
    pub(crate) channel: Arc<Channel>,
    pub(crate) state: ChannelState,
    /// The name of its epoch.
    pub(crate) epoch: Arc<str>,
    pub(crate) history: Option<History>,
    /// The oldest publication that readers see until the batch is delivered.
    pub(crate) oldest_seen: u64,
    /// The offset of the first new publication, and every new one.
    pub(crate) first_new: u64,
    pub(crate) new: Vec<Stored>,
    /// The publications for subscribers, with and without history.
    pub(crate) deliveries: Vec<Publication>,
    /// The channel is here because it has something to tidy up.
    pub(crate) is_visited: bool,
    pub(crate) is_removed: bool,
}

impl ChannelInBatch {
    pub(crate) fn append(&mut self, publication: &Publication, history: &History, now: u64) -> u64 {
        let state = &mut self.state;
        let is_first = state.is_empty();
        let expires = state.newest_expires.max(now.saturating_add(milliseconds(history.ttl)));
        let head = Head { expires, bytes_before: state.bytes };
        state.newest = state.newest.saturating_add(1);
        state.newest_expires = expires;
        state.bytes = state.bytes.saturating_add(publication.payload.data.len() as u64);
        let needed = now.saturating_add(milliseconds(history.ttl.saturating_add(KEPT)));
        state.needed_until = state.needed_until.max(needed);
        if is_first {
            state.set_oldest(state.newest, head);
        }
        let mut publication = publication.clone();
        publication.offset = state.newest;
        // A copy, because the original shares its memory with the whole message in which it came.
        publication.payload.data = bytes::Bytes::copy_from_slice(&publication.payload.data);
        self.new.push(Stored { publication, head });
        self.history = Some(*history);
        state.newest
    }

    /// Drops the oldest publications from the history, by number, age and bytes.
    pub(crate) fn trim(&mut self, shared: &Shared, store: &Store, now: u64) -> Result<(), DiskError> {
        if self.state.is_empty() {
            return Ok(());
        }
        if let Some(history) = self.history {
            let size = u64::try_from(history.size.max(1)).unwrap_or(u64::MAX);
            let first = self.state.newest.saturating_add(1).saturating_sub(size);
            if first > self.state.oldest {
                let head = self.head(shared, store, first)?;
                self.state.set_oldest(first, head);
            }
        }
        if self.state.oldest_expires <= now {
            if self.state.newest_expires <= now {
                self.state.set_empty();
                return Ok(());
            }
            self.trim_to(shared, store, |_, head| head.expires > now)?;
        }
        if let Some(history) = self.history {
            let (bytes, newest) = (self.state.bytes, self.state.newest);
            let limit = u64::try_from(history.bytes).unwrap_or(u64::MAX);
            let fits = |head: &Head| bytes.saturating_sub(head.bytes_before) <= limit;
            if bytes.saturating_sub(self.state.bytes_before) > limit {
                self.trim_to(shared, store, |offset, head| fits(head) || offset == newest)?;
            }
        }
        Ok(())
    }

    /// Drops the publications up to the newest unreadable one from the history: otherwise it would never be trimmed again.
    pub(crate) fn drop_unreadable(
        &mut self,
        shared: &Shared,
        store: &Store,
        error: &DiskError,
    ) -> Result<(), DiskError> {
        if error.kind() != DiskErrorKind::Corrupt {
            return Err(error.clone());
        }
        let (id, oldest, newest) = (self.state.id, self.state.oldest, self.first_new.saturating_sub(1));
        let Some(offset) = crate::read::newest_unreadable(shared, store, id, oldest, newest)? else {
            return Err(error.clone());
        };
        shared.damaged.add(&self.name, id, offset, error);
        let first = offset.saturating_add(1);
        if first > self.state.newest {
            self.state.set_empty();
        } else {
            let head = self.head(shared, store, first)?;
            self.state.set_oldest(first, head);
        }
        Ok(())
    }

    fn trim_to(
        &mut self,
        shared: &Shared,
        store: &Store,
        is_kept: impl Fn(u64, &Head) -> bool,
    ) -> Result<(), DiskError> {
        let (oldest, newest) = (self.state.oldest, self.state.newest);
        let found = first_where(oldest, newest, |offset| {
            let head = self.head(shared, store, offset)?;
            Ok(Some((head, is_kept(offset, &head))))
        })?;
        match found {
            Found::At(offset, head) => self.state.set_oldest(offset, head),
            Found::None | Found::Missing => self.state.set_empty(),
        }
        Ok(())
    }

    /// The head of a publication: a new one, one in memory, or one on the disk.
    fn head(&self, shared: &Shared, store: &Store, offset: u64) -> Result<Head, DiskError> {
        let new = offset.checked_sub(self.first_new).and_then(|index| usize::try_from(index).ok());
        if let Some(stored) = new.and_then(|index| self.new.get(index)) {
            return Ok(stored.head);
        }
        if let Some(head) = self.channel.lock().head(offset) {
            return Ok(head);
        }
        let heads = read_heads(store, shared, self.state.id, offset, READ_AHEAD)?;
        let Some(head) = heads.first().copied() else {
            let reason = format!("the publication {offset} of the channel `{}` is missing", self.name);
            return Err(corrupt(&shared.path, &reason));
        };
        self.channel.lock().window = (offset, heads);
        Ok(head)
    }
}

/// The number of publications that are read at once to trim a history.
const READ_AHEAD: u64 = 64;
