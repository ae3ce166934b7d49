//! The channels in memory: their states, and their newest publications. Both are bounded; the rest is on the disk.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::{Mutex, MutexGuard};
use wirehub_common::ChannelName;

use crate::record::{ChannelState, Head, Stored};

/// A channel in memory. Only the writer changes its state.
#[derive(Debug)]
pub(crate) struct Channel {
    loaded: Mutex<Loaded>,
    /// Used since the last look of [`Channels::evict`].
    is_used: AtomicBool,
}

/// The delivered state of a channel, and its newest publications without gaps.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) state: ChannelState,
    pub(crate) recent: VecDeque<Stored>,
    pub(crate) recent_bytes: usize,
    /// Heads of consecutive publications, read ahead: the first one's offset, and the heads.
    pub(crate) window: (u64, Vec<Head>),
    /// `false` if the state is not in the store yet.
    pub(crate) is_saved: bool,
    /// The channel is about to be removed. Its next user has to ask the writer.
    pub(crate) is_leaving: bool,
}

impl Channel {
    fn new(state: ChannelState, is_saved: bool) -> Self {
        let loaded = Loaded {
            state,
            recent: VecDeque::new(),
            recent_bytes: 0,
            window: (0, Vec::new()),
            is_saved,
            is_leaving: false,
        };
        Self { loaded: Mutex::new(loaded), is_used: AtomicBool::new(true) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Loaded> {
        self.loaded.lock()
    }
}

impl Loaded {
    /// The state without expired publications; `None` if only the disk can tell.
    pub(crate) fn live(&self, now: u64) -> Option<ChannelState> {
        let mut state = self.state.clone();
        if state.is_empty() || state.oldest_expires > now {
            return Some(state);
        }
        if state.newest_expires <= now {
            state.set_empty();
            return Some(state);
        }
        let live = self.recent.partition_point(|stored| stored.head.expires <= now);
        let first = self.recent.get(live)?;
        let is_sure = live > 0 || first.publication.offset <= state.oldest;
        is_sure.then(|| {
            state.set_oldest(first.publication.offset, first.head);
            state
        })
    }

    /// The offset of the first publication in memory.
    pub(crate) fn first_recent(&self) -> u64 {
        self.recent.front().map_or(u64::MAX, |stored| stored.publication.offset)
    }

    pub(crate) fn head(&self, offset: u64) -> Option<Head> {
        let at = |first: u64| usize::try_from(offset.checked_sub(first)?).ok();
        let recent = at(self.first_recent()).and_then(|index| self.recent.get(index));
        let (first, heads) = &self.window;
        recent.map(|stored| stored.head).or_else(|| heads.get(at(*first)?).copied())
    }
}

impl ChannelState {
    /// Every publication is gone.
    pub(crate) fn set_empty(&mut self) {
        self.oldest = self.newest.saturating_add(1);
        self.bytes_before = self.bytes;
        self.oldest_expires = 0;
    }

    /// The publications before this offset are gone.
    pub(crate) fn set_oldest(&mut self, offset: u64, head: Head) {
        self.oldest = offset;
        self.bytes_before = head.bytes_before;
        self.oldest_expires = head.expires;
    }
}

/// Every channel in memory.
#[derive(Debug)]
pub(crate) struct Channels {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    /// The approximate bytes of every channel.
    cost: AtomicUsize,
    bound: usize,
    /// The channels in the order of their last look.
    order: Mutex<VecDeque<ChannelName>>,
}

#[derive(Debug, Default)]
struct Shard {
    channels: HashMap<ChannelName, Arc<Channel>>,
    /// The number of channels that were added or removed so far.
    changes: u64,
}

impl Channels {
    pub(crate) fn new(bound: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            cost: AtomicUsize::new(0),
            bound,
            order: Mutex::default(),
        }
    }

    fn shard(&self, name: &ChannelName) -> MutexGuard<'_, Shard> {
        let number = self.hasher.hash_one(name).checked_rem(SHARDS).unwrap_or_default();
        let index = usize::try_from(number).unwrap_or_default();
        #[allow(clippy::indexing_slicing, reason = "there are SHARDS of them")]
        self.shards[index].lock()
    }

    pub(crate) fn get(&self, name: &ChannelName) -> Option<Arc<Channel>> {
        let channel = self.shard(name).channels.get(name).map(Arc::clone)?;
        channel.is_used.store(true, Ordering::Relaxed);
        Some(channel)
    }

    /// The channel, or the number of changes, for [`Self::insert_if`].
    pub(crate) fn get_or_changes(&self, name: &ChannelName) -> Result<Arc<Channel>, u64> {
        let shard = self.shard(name);
        shard.channels.get(name).map(Arc::clone).ok_or(shard.changes)
    }

    /// Adds a state that was read from the disk, if it is certainly the latest.
    pub(crate) fn insert_if(&self, name: &ChannelName, state: ChannelState, changes: u64) {
        let mut shard = self.shard(name);
        if shard.changes == changes && !shard.channels.contains_key(name) {
            self.add(&mut shard, name, state, true);
        }
    }

    /// Adds a state, or returns the present channel. For the writer.
    pub(crate) fn insert(&self, name: &ChannelName, state: ChannelState, is_saved: bool) -> Arc<Channel> {
        let mut shard = self.shard(name);
        match shard.channels.get(name) {
            Some(channel) => Arc::clone(channel),
            None => self.add(&mut shard, name, state, is_saved),
        }
    }

    fn add(
        &self,
        shard: &mut Shard,
        name: &ChannelName,
        state: ChannelState,
        is_saved: bool,
    ) -> Arc<Channel> {
        let channel = Arc::new(Channel::new(state, is_saved));
        shard.changes = shard.changes.saturating_add(1);
        shard.channels.insert(name.clone(), Arc::clone(&channel));
        self.cost.fetch_add(CHANNEL_BYTES, Ordering::Relaxed);
        self.order.lock().push_back(name.clone());
        channel
    }

    pub(crate) fn remove(&self, name: &ChannelName) {
        let mut shard = self.shard(name);
        if let Some(channel) = shard.channels.remove(name) {
            shard.changes = shard.changes.saturating_add(1);
            self.uncount(CHANNEL_BYTES.saturating_add(channel.lock().recent_bytes));
        }
    }

    /// Adds a delivered publication to the newest ones of its channel.
    pub(crate) fn remember(&self, loaded: &mut Loaded, stored: Stored) {
        if loaded
            .recent
            .back()
            .is_some_and(|last| last.publication.offset.checked_add(1) != Some(stored.publication.offset))
        {
            self.forget_recent(loaded, usize::MAX);
        }
        let cost = recent_cost(&stored);
        loaded.recent.push_back(stored);
        loaded.recent_bytes = loaded.recent_bytes.saturating_add(cost);
        self.cost.fetch_add(cost, Ordering::Relaxed);
        // One channel must not take the room of all.
        while loaded.recent_bytes > self.bound / 4 && !loaded.recent.is_empty() {
            self.forget_recent(loaded, 1);
        }
        // Those before the oldest are no longer read.
        while loaded.first_recent() < loaded.state.oldest && !loaded.recent.is_empty() {
            self.forget_recent(loaded, 1);
        }
    }

    fn forget_recent(&self, loaded: &mut Loaded, count: usize) {
        for _ in 0..count.min(loaded.recent.len()) {
            let Some(stored) = loaded.recent.pop_front() else { return };
            let cost = recent_cost(&stored);
            loaded.recent_bytes = loaded.recent_bytes.saturating_sub(cost);
            self.uncount(cost);
        }
    }

    fn uncount(&self, cost: usize) {
        let _ =
            self.cost.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |it| Some(it.saturating_sub(cost)));
    }

    /// Removes channels that were not used lately, until everything is within the bound. For the writer, between batches.
    pub(crate) fn evict(&self) {
        let mut looks = self.order.lock().len().saturating_mul(2);
        while self.cost.load(Ordering::Relaxed) > self.bound && looks > 0 {
            looks = looks.saturating_sub(1);
            let Some(name) = self.order.lock().pop_front() else { return };
            let mut shard = self.shard(&name);
            let Some(channel) = shard.channels.get(&name).map(Arc::clone) else { continue };
            let is_used = channel.is_used.swap(false, Ordering::Relaxed);
            let mut loaded = channel.lock();
            if is_used || !loaded.is_saved || loaded.is_leaving {
                // Used channels keep half of their publications: the newest ones are read most.
                let half = loaded.recent.len() / 2;
                self.forget_recent(&mut loaded, half);
                self.order.lock().push_back(name.clone());
                continue;
            }
            let cost = CHANNEL_BYTES.saturating_add(loaded.recent_bytes);
            drop(loaded);
            shard.channels.remove(&name);
            shard.changes = shard.changes.saturating_add(1);
            self.uncount(cost);
        }
    }

    /// The number of channels in memory.
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().fold(0, |sum, shard| sum.saturating_add(shard.lock().channels.len()))
    }

    /// Their approximate bytes.
    pub(crate) fn cost(&self) -> usize {
        self.cost.load(Ordering::Relaxed)
    }

    /// Forgets every channel, so that all are read from the disk again.
    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            shard.channels.clear();
            shard.changes = shard.changes.saturating_add(1);
        }
        self.cost.store(0, Ordering::Relaxed);
        self.order.lock().clear();
    }
}

fn recent_cost(stored: &Stored) -> usize {
    stored.publication.payload.data.len().saturating_add(ENTRY_BYTES)
}

const SHARDS: u64 = 32;

/// The approximate sizes of a channel and of a publication without its payload, with their places in tables.
const CHANNEL_BYTES: usize = 768;
const ENTRY_BYTES: usize = 320;
