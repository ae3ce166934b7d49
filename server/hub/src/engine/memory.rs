//! The engine of a single server. Its data is in memory, and is lost with the process.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use wirehub_common::ChannelName;
use wirehub_common::frame::{HistoryPage, Idempotency, Position, Publication};

use self::keys::Keys;
use self::log::{KEPT, LogState, after, page};
use super::{
    Delivery, Engine, EngineFuture, EnginePublish, Epoch, Locate, Located, Publications, ReadHistory,
};
use crate::checked_subtraction::subtract_shared;
use crate::hub::SessionId;
use crate::hub::sharded::Sharded;
use crate::unix_time;

mod keys;
mod log;

/// Keeps all data in memory. A restart loses it. Clients notice: their epochs and the scope of their keys change.
///
/// Channels without history cost nothing here, except for the keys of their publishes. All channels together are kept within a
/// [bound](Self::within). Beyond it, the channels that were checked longest ago lose their data first. Their clients notice it
/// in the same way.
pub struct MemoryEngine {
    /// Distinguishes this memory from the one before a restart.
    instance: String,
    begun: Instant,
    delivery: OnceLock<Delivery>,
    /// The epoch of publications without history.
    no_epoch: Epoch,
    logs: Sharded<ChannelName, Arc<Log>>,
    /// The number of logs so far. Each is an epoch.
    epochs: AtomicU64,
    keys: Keys,
    /// The time of the next check of each log.
    sweeps: Mutex<BinaryHeap<Reverse<(Instant, ChannelName)>>>,
    /// The maximum size of all logs in bytes, and their approximate size.
    bound: usize,
    used: AtomicUsize,
    /// `true` after the warning that the bound is exceeded.
    has_warned: AtomicBool,
}

/// The data of one channel.
///
/// Locks are taken in the order sweeps, shard, log, and then those of the hub.
struct Log {
    number: u64,
    epoch: Epoch,
    state: Mutex<LogState>,
}

impl MemoryEngine {
    /// An empty engine with a bound of 1 GiB.
    pub fn new() -> Self {
        Self::within(DEFAULT_BOUND)
    }

    /// An empty engine with a bound of about `bytes` for the histories of all channels.
    pub fn within(bytes: usize) -> Self {
        // Without entropy the time is used: it differs after a restart, too.
        let instance = SessionId::random().map_or_else(|_| unix_time::now().to_string(), |id| id.to_string());
        Self {
            keys: Keys::new(&instance, keys::DEFAULT_BOUND),
            instance,
            begun: Instant::now(),
            delivery: OnceLock::new(),
            no_epoch: Epoch::default(),
            logs: Sharded::new(),
            epochs: AtomicU64::new(0),
            sweeps: Mutex::default(),
            bound: bytes,
            used: AtomicUsize::new(0),
            has_warned: AtomicBool::new(false),
        }
    }

    /// Sets another bound for the keys of publishes in all channels. Default: 256 MiB, about a million keys. If more come within
    /// two minutes, the oldest are forgotten, and a shorter period is announced to clients.
    #[must_use]
    pub fn keys_within(mut self, bytes: usize) -> Self {
        self.keys.set_bound(bytes);
        self
    }

    /// The channel's log; a new one if there is none.
    fn log(&self, channel: &ChannelName, now: Instant) -> Arc<Log> {
        let shard = self.logs.shard(channel);
        if let Some(log) = shard.read().get(channel) {
            return Arc::clone(log);
        }
        let log = {
            let mut shard = shard.write();
            let log = shard.entry(channel.clone()).or_insert_with(|| {
                let number = self.epochs.fetch_add(1, Ordering::Relaxed);
                let epoch = format!("{}.{number}", self.instance).into();
                Arc::new(Log { number, epoch, state: Mutex::new(LogState::new(now)) })
            });
            Arc::clone(log)
        };
        self.sweeps.lock().push(Reverse((after(now, SWEEP), channel.clone())));
        log
    }

    /// The channel's log without expired publications, for a reader.
    fn checked_log(&self, channel: &ChannelName, now: Instant) -> Arc<Log> {
        self.sweep(now);
        let log = self.log(channel, now);
        let mut state = log.state.lock();
        state.expire(now);
        self.count(&mut state);
        drop(state);
        log
    }

    /// The age of the engine: the clock of keys.
    fn clock(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.begun)
    }

    /// Checks a few logs, and removes those that are empty or for which there is no more room. Every creation of a log and
    /// every publish calls this. So the work is spread, and as much is removed as is added.
    fn sweep(&self, now: Instant) {
        for _ in 0..MAX_SWEPT {
            let is_full = self.used.load(Ordering::Relaxed) > self.bound;
            // If it is locked, another caller does the work.
            let Some(mut sweeps) = self.sweeps.try_lock() else { return };
            let Some(Reverse((due, _))) = sweeps.peek() else { return };
            if *due > now && !is_full {
                return;
            }
            let Some(Reverse((_, channel))) = sweeps.pop() else { return };
            drop(sweeps);
            if is_full {
                self.empty(&channel, now);
            }
            if !self.remove_unneeded(&channel, now) {
                self.sweeps.lock().push(Reverse((after(now, SWEEP), channel)));
            }
        }
    }

    /// Forgets a log's data before its time.
    fn empty(&self, channel: &ChannelName, now: Instant) {
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "the histories of all channels exceed the bound of {} bytes: the channels that were checked longest ago \
                 lose theirs, and their clients are notified",
                self.bound
            );
        }
        let Some(log) = self.logs.shard(channel).read().get(channel).map(Arc::clone) else { return };
        let mut state = log.state.lock();
        if let Some(newest) = state.newest_key.take() {
            self.keys.log_removed(self.clock(newest));
        }
        state.empty(now);
        self.count(&mut state);
    }

    /// Updates the counted size of a log.
    fn count(&self, state: &mut LogState) {
        let cost = state.cost();
        let counted = std::mem::replace(&mut state.counted, cost);
        self.used.fetch_add(cost.saturating_sub(counted), Ordering::Relaxed);
        subtract_shared(&self.used, counted.saturating_sub(cost));
    }

    /// Forgets a channel: its next publication begins a new epoch. Returns `false` if the log is in use at the moment.
    #[cfg(any(test, feature = "conformance"))]
    pub(super) fn begin_epoch(&self, channel: &ChannelName) -> bool {
        let mut shard = self.logs.shard(channel).write();
        // Nobody begins to use it: users take the shard's lock first.
        if shard.get(channel).is_some_and(|log| Arc::strong_count(log) > 1) {
            return false;
        }
        if let Some(log) = shard.remove(channel) {
            let state = log.state.lock();
            if let Some(newest) = state.newest_key {
                self.keys.log_removed(self.clock(newest));
            }
            subtract_shared(&self.used, state.counted);
        }
        true
    }

    /// Removes a log that is no longer needed. Returns `true` if it is gone.
    fn remove_unneeded(&self, channel: &ChannelName, now: Instant) -> bool {
        let mut shard = self.logs.shard(channel).write();
        let Some(log) = shard.get(channel) else { return true };
        // Nobody uses it: users take the shard's lock first.
        if Arc::strong_count(log) > 1 {
            // Its user may be waiting for a channel. That must not delay the users of other logs.
            return false;
        }
        let (is_needed, counted) = {
            let mut state = log.state.lock();
            state.expire(now);
            self.count(&mut state);
            let is_needed =
                state.needed_until > now || !state.entries.is_empty() || state.newest_key.is_some();
            (is_needed, state.counted)
        };
        // A subscriber's position refers to this epoch.
        let is_wanted = || self.delivery.get().is_some_and(|delivery| delivery.is_wanted(channel));
        let is_gone = !is_needed && !is_wanted();
        if is_gone {
            shard.remove(channel);
            subtract_shared(&self.used, counted);
        }
        is_gone
    }

    fn deliver(&self, publication: Publication, epoch: &Epoch) {
        if let Some(delivery) = self.delivery.get() {
            delivery.deliver(publication, epoch);
        }
    }
}

impl Log {
    fn position(&self, offset: u64) -> Position {
        Position { offset, epoch: (*self.epoch).into() }
    }
}

impl Engine for MemoryEngine {
    fn start(&self, delivery: Delivery) {
        // If another hub's engine has been started already, the first one keeps the delivery.
        let _ = self.delivery.set(delivery);
    }
}

impl Publications for MemoryEngine {
    fn idempotency(&self) -> Option<Idempotency> {
        Some(self.keys.idempotency(self.clock(Instant::now())))
    }

    fn publish(&self, publish: EnginePublish) -> EngineFuture<Option<Position>> {
        let EnginePublish { channel, payload, publisher, key, history } = publish;
        let mut publication = Publication { channel, payload, time: unix_time::now(), publisher, offset: 0 };
        if history.is_none() && key.is_empty() {
            self.deliver(publication, &self.no_epoch);
            return EngineFuture::Now(Ok(None));
        }
        let now = Instant::now();
        self.sweep(now);
        let log = self.log(&publication.channel, now);
        let key: Option<Arc<str>> = (!key.is_empty()).then(|| key.into());
        let mut state = log.state.lock();
        state.expire(now);
        if let Some(key) = &key
            && let Some(offset) = self.keys.find(log.number, key, self.clock(now))
        {
            return EngineFuture::Now(Ok((offset != 0).then(|| log.position(offset))));
        }
        if let Some(history) = history {
            publication.offset = state.append(&publication, &history, now);
        }
        if let Some(key) = key {
            self.keys.remember(log.number, key, publication.offset, self.clock(now));
            state.newest_key = Some(now);
        }
        self.count(&mut state);
        let offset = publication.offset;
        // Under the log's lock, so that publications are delivered in the order of their offsets.
        self.deliver(publication, if offset == 0 { &self.no_epoch } else { &log.epoch });
        drop(state);
        EngineFuture::Now(Ok((offset != 0).then(|| log.position(offset))))
    }

    fn locate(&self, locate: Locate) -> EngineFuture<Located> {
        let Locate { channel, history, since } = locate;
        let now = Instant::now();
        let log = self.checked_log(&channel, now);
        let mut state = log.state.lock();
        state.needed_until = state.needed_until.max(after(now, history.ttl.saturating_add(KEPT)));
        let newest = state.offset;
        let located = |offset, complete| Located { position: log.position(offset), newest, complete };
        EngineFuture::Now(Ok(match since {
            None => located(newest, false),
            Some(since) => {
                let is_of_epoch = *since.epoch == *log.epoch;
                if is_of_epoch && state.since(since.offset).is_some() {
                    located(since.offset, true)
                } else if is_of_epoch && since.offset > newest {
                    // The offset has never existed: every later publication is new to this subscriber.
                    located(newest, false)
                } else {
                    located(state.before_oldest(), false)
                }
            }
        }))
    }

    fn history(&self, read: ReadHistory) -> EngineFuture<Option<HistoryPage>> {
        let ReadHistory { channel, since, limit, bytes, reverse, .. } = read;
        let now = Instant::now();
        let log = self.checked_log(&channel, now);
        let state = log.state.lock();
        let position = log.position(state.offset);
        if since.as_ref().is_some_and(|since| since.epoch != position.epoch || since.offset > state.offset) {
            return EngineFuture::Now(Ok(None));
        }
        let (publications, more) = if reverse {
            let before = since.map_or(u64::MAX, |since| since.offset);
            let newer = state.offset.saturating_sub(before.saturating_sub(1));
            let skipped = usize::try_from(newer).unwrap_or(usize::MAX);
            page(state.entries.iter().rev().skip(skipped), limit, bytes)
        } else {
            let after = since.map_or_else(|| state.before_oldest(), |since| since.offset);
            let Some(entries) = state.since(after) else { return EngineFuture::Now(Ok(None)) };
            page(entries, limit, bytes)
        };
        EngineFuture::Now(Ok(Some(HistoryPage { position, publications, more })))
    }
}

impl Default for MemoryEngine {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryEngine").field("instance", &self.instance).finish_non_exhaustive()
    }
}

/// The time between two checks of a log.
const SWEEP: Duration = Duration::from_secs(60);

/// The number of logs that are checked at once. It is more than one because a new log may be larger than a removed one.
const MAX_SWEPT: usize = 4;

/// The default bound for all logs.
const DEFAULT_BOUND: usize = 1024 * 1024 * 1024;

#[cfg(test)]
mod tests;
