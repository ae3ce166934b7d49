//! The engine of a single server: everything is in its memory, and gone with it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::Instant;
use wirehub_common::frame::{HistoryPage, Idempotency, Position, Publication};
use wirehub_common::{ChannelName, Payload};

use super::{Delivery, Engine, EngineFuture, History, Locate, Located, Publish, ReadHistory};
use crate::account::{less, take};
use crate::hub::SessionId;
use crate::hub::sharded::Sharded;
use crate::unix_time;

/// Keeps everything in memory. A restart loses it, and clients are told so: their epochs and the scope of their keys
/// are other ones then.
///
/// Channels without history cost nothing here, except for the keys of what clients publish in them. All channels together
/// are kept within a [bound](Self::within): beyond it they lose what they keep, those first that were looked at longest
/// ago. Their clients are told so as well.
pub struct MemoryEngine {
    /// Tells this memory from that before a restart.
    instance: String,
    begun: Instant,
    delivery: OnceLock<Delivery>,
    logs: Sharded<ChannelName, Arc<Log>>,
    /// Counts the logs there have been: each is an epoch.
    epochs: AtomicU64,
    /// Counts how often keys were forgotten before their time: each time the scope becomes another one.
    scopes: AtomicU64,
    /// When to look at which log again.
    sweeps: Mutex<BinaryHeap<Reverse<(Instant, ChannelName)>>>,
    /// How many bytes the logs may take, and about how many they do.
    bound: usize,
    used: AtomicUsize,
    /// Whether the log of the server has been told that there are too many.
    is_told: AtomicBool,
}

/// What is kept of one channel.
///
/// Locks are taken in the order sweeps, shard, log, and then those of the hub.
struct Log {
    epoch: u64,
    state: Mutex<State>,
}

struct State {
    /// Of the newest publication.
    offset: u64,
    /// The newest publications, without gaps.
    entries: VecDeque<Entry>,
    bytes: usize,
    /// The offsets of the publishes with these keys; 0 where there was no history.
    keys: HashMap<Arc<str>, u64>,
    /// The keys by age, with the time at which each is forgotten.
    key_ages: VecDeque<(Instant, Arc<str>)>,
    /// For how long the offset has to be known yet.
    needed_until: Instant,
    /// What of the engine's bytes is counted for it.
    counted: usize,
}

struct Entry {
    publication: Publication,
    expires: Instant,
}

impl MemoryEngine {
    /// An engine that remembers nothing yet, and takes 1 GiB at most.
    pub fn new() -> Self {
        Self::within(DEFAULT_BOUND)
    }

    /// One that takes about so many bytes at most, for the histories and keys of all channels.
    pub fn within(bytes: usize) -> Self {
        // Without entropy the time does it: it is another one after a restart, too.
        let instance = SessionId::random().map_or_else(|_| unix_time::now().to_string(), |id| id.to_string());
        Self {
            instance,
            begun: Instant::now(),
            delivery: OnceLock::new(),
            logs: Sharded::new(),
            epochs: AtomicU64::new(0),
            scopes: AtomicU64::new(0),
            sweeps: Mutex::default(),
            bound: bytes,
            used: AtomicUsize::new(0),
            is_told: AtomicBool::new(false),
        }
    }

    /// The channel's log; a new one where there is none.
    fn log(&self, channel: &ChannelName, now: Instant) -> Arc<Log> {
        let shard = self.logs.shard(channel);
        if let Some(log) = shard.read().get(channel) {
            return Arc::clone(log);
        }
        let log = {
            let mut shard = shard.write();
            let log = shard.entry(channel.clone()).or_insert_with(|| {
                let epoch = self.epochs.fetch_add(1, Ordering::Relaxed);
                Arc::new(Log { epoch, state: Mutex::new(State::new(now)) })
            });
            Arc::clone(log)
        };
        self.sweeps.lock().push(Reverse((after(now, SWEEP), channel.clone())));
        log
    }

    fn position(&self, log: &Log, offset: u64) -> Position {
        Position { offset, epoch: format!("{}.{}", self.instance, log.epoch) }
    }

    /// Looks at a few logs that may have nothing to keep any more, or that there is no more room for. Who makes one or adds
    /// to it does: so the work is spread, and as much as is made is cleared away.
    fn sweep(&self, now: Instant) {
        for _ in 0..MAX_SWEPT {
            let is_full = self.used.load(Ordering::Relaxed) > self.bound;
            // Who finds it locked leaves it to the other one.
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

    /// Forgets what a log keeps, before its time.
    fn empty(&self, channel: &ChannelName, now: Instant) {
        if !self.is_told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "what channels keep takes more than the {} bytes that there are for it: those that were looked at longest \
                 ago lose it, their clients are told so",
                self.bound
            );
        }
        let Some(log) = self.logs.shard(channel).read().get(channel).map(Arc::clone) else { return };
        let mut state = log.state.lock();
        if !state.keys.is_empty() {
            self.scopes.fetch_add(1, Ordering::Relaxed);
        }
        state.empty(now);
        self.count(&mut state);
    }

    /// Counts what a log takes now.
    fn count(&self, state: &mut State) {
        let cost = state.cost();
        let counted = std::mem::replace(&mut state.counted, cost);
        self.used.fetch_add(cost.saturating_sub(counted), Ordering::Relaxed);
        take(&self.used, counted.saturating_sub(cost));
    }

    /// Removes a log that nobody needs, and says whether it is gone.
    fn remove_unneeded(&self, channel: &ChannelName, now: Instant) -> bool {
        let mut shard = self.logs.shard(channel).write();
        let Some(log) = shard.get(channel) else { return true };
        // Nobody is in the middle of something with it: that takes the shard's lock first.
        if Arc::strong_count(log) > 1 {
            // Who has it may be waiting for a channel: that must not hold up those who need another log.
            return false;
        }
        let (is_needed, counted) = {
            let mut state = log.state.lock();
            state.expire(now);
            self.count(&mut state);
            let is_needed = state.needed_until > now || !state.entries.is_empty() || !state.keys.is_empty();
            (is_needed, state.counted)
        };
        // A subscriber's position is measured by this epoch.
        let is_wanted = || self.delivery.get().is_some_and(|delivery| delivery.is_wanted(channel));
        let is_gone = !is_needed && !is_wanted();
        if is_gone {
            shard.remove(channel);
            take(&self.used, counted);
        }
        is_gone
    }

    fn deliver(&self, publication: Publication) {
        if let Some(delivery) = self.delivery.get() {
            delivery.deliver(publication);
        }
    }
}

impl Engine for MemoryEngine {
    fn start(&self, delivery: Delivery) {
        // Another hub's engine has been started: the first one keeps it.
        let _ = self.delivery.set(delivery);
    }

    fn idempotency(&self) -> Option<Idempotency> {
        let clock = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let scope = format!("{}.{}", self.instance, self.scopes.load(Ordering::Relaxed));
        Some(Idempotency { scope, window: KEY_WINDOW, clock })
    }

    fn publish(&self, publish: Publish) -> EngineFuture<Option<Position>> {
        let Publish { channel, payload, publisher, key, history } = publish;
        let mut publication = Publication { channel, payload, time: unix_time::now(), publisher, offset: 0 };
        if history.is_none() && key.is_empty() {
            self.deliver(publication);
            return EngineFuture::Now(Ok(None));
        }
        let now = Instant::now();
        self.sweep(now);
        let log = self.log(&publication.channel, now);
        let mut state = log.state.lock();
        state.expire(now);
        if let Some(&offset) = state.keys.get(key.as_str()) {
            return EngineFuture::Now(Ok((offset != 0).then(|| self.position(&log, offset))));
        }
        if let Some(history) = history {
            publication.offset = state.append(&publication, &history, now);
        }
        if !key.is_empty() && !state.remember(key, publication.offset, now) {
            self.scopes.fetch_add(1, Ordering::Relaxed);
        }
        self.count(&mut state);
        let offset = publication.offset;
        // Under the log's lock: publications are delivered in the order of their offsets.
        self.deliver(publication);
        drop(state);
        EngineFuture::Now(Ok((offset != 0).then(|| self.position(&log, offset))))
    }

    fn locate(&self, locate: Locate) -> EngineFuture<Located> {
        let Locate { channel, history, since } = locate;
        let now = Instant::now();
        self.sweep(now);
        let log = self.log(&channel, now);
        let mut state = log.state.lock();
        state.expire(now);
        self.count(&mut state);
        state.needed_until = state.needed_until.max(after(now, history.ttl.saturating_add(KEPT)));
        let newest = state.offset;
        let located = |offset, complete| Located { position: self.position(&log, offset), newest, complete };
        EngineFuture::Now(Ok(match since {
            None => located(newest, false),
            Some(since) => {
                let is_of_epoch = since.epoch == self.position(&log, 0).epoch;
                if is_of_epoch && state.since(since.offset).is_some() {
                    located(since.offset, true)
                } else if is_of_epoch && since.offset > newest {
                    // Nobody has been there: what comes is new to it in any case.
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
        self.sweep(now);
        let log = self.log(&channel, now);
        let mut state = log.state.lock();
        state.expire(now);
        self.count(&mut state);
        let position = self.position(&log, state.offset);
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

impl State {
    fn new(now: Instant) -> Self {
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
    fn cost(&self) -> usize {
        let entries = self.entries.len().saturating_mul(ENTRY_BYTES);
        let keys = self.keys.len().saturating_mul(KEY_BYTES);
        LOG_BYTES.saturating_add(self.bytes).saturating_add(entries).saturating_add(keys)
    }

    /// Forgets all but the offset, and that only for as long as somebody is subscribed.
    fn empty(&mut self, now: Instant) {
        (self.entries, self.bytes) = (VecDeque::new(), 0);
        (self.keys, self.key_ages) = (HashMap::new(), VecDeque::new());
        self.needed_until = now;
    }

    /// Adds a publication, and gives its offset.
    fn append(&mut self, publication: &Publication, history: &History, now: Instant) -> u64 {
        self.offset = self.offset.saturating_add(1);
        self.needed_until = self.needed_until.max(after(now, history.ttl.saturating_add(KEPT)));
        // A copy: what came in holds on to all that came in with it.
        let Payload { content, data } = &publication.payload;
        let payload = Payload { content: *content, data: Bytes::copy_from_slice(data) };
        let kept = Publication { payload, offset: self.offset, ..publication.clone() };
        self.bytes = self.bytes.saturating_add(data.len());
        self.entries.push_back(Entry { publication: kept, expires: after(now, history.ttl) });
        while self.entries.len() > history.size.max(1)
            || (self.bytes > history.bytes && self.entries.len() > 1)
        {
            self.drop_oldest();
        }
        self.offset
    }

    /// Remembers a key. Says whether none had to be forgotten for it.
    fn remember(&mut self, key: String, offset: u64, now: Instant) -> bool {
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
    fn before_oldest(&self) -> u64 {
        self.offset.saturating_sub(self.entries.len() as u64)
    }

    /// What comes after an offset; nothing where some of it is gone, or the offset has not been reached.
    fn since(&self, offset: u64) -> Option<impl Iterator<Item = &Entry>> {
        let missing = usize::try_from(self.offset.checked_sub(offset)?).ok()?;
        let skipped = self.entries.len().checked_sub(missing)?;
        Some(self.entries.iter().skip(skipped))
    }

    /// Forgets what is too old.
    fn expire(&mut self, now: Instant) {
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
            self.bytes = less(self.bytes, entry.publication.payload.data.len());
        }
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

/// The first of these: so many, and so many bytes of payload. Says whether there are more.
fn page<'a>(
    mut entries: impl Iterator<Item = &'a Entry>,
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

fn after(now: Instant, duration: Duration) -> Instant {
    // Beyond what the clock can show, "very late" is as good.
    now.checked_add(duration).or_else(|| now.checked_add(CENTURY)).unwrap_or(now)
}

/// For how long clients are told that keys are remembered.
const KEY_WINDOW: Duration = Duration::from_secs(120);

/// For how much longer they are: what is repeated has to arrive.
const KEY_GRACE: Duration = Duration::from_secs(60);

/// How many keys a channel remembers. Where more come in their time, the oldest are forgotten, and clients that connect
/// from then on repeat nothing from before.
const MAX_KEYS: usize = 1_000_000;

/// For how long a channel's offset outlives its history, so that who missed nothing is told so.
const KEPT: Duration = Duration::from_secs(3600);

/// How long it is from one look at a log to the next.
const SWEEP: Duration = Duration::from_secs(60);

/// How many logs are looked at at once. More than one: what is made may be larger than what is cleared away.
const MAX_SWEPT: usize = 4;

/// How much all logs may take, unless somebody says otherwise.
const DEFAULT_BOUND: usize = 1024 * 1024 * 1024;

/// About how much a log takes by itself, a publication beside its payload, and a key: with what the allocator and the tables
/// take. Keys of clients are short.
const LOG_BYTES: usize = 512;
const ENTRY_BYTES: usize = 320;
const KEY_BYTES: usize = 256;

const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use std::sync::Weak;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn channel() -> ChannelName {
        ChannelName::new("a").unwrap()
    }

    fn engine() -> MemoryEngine {
        let engine = MemoryEngine::new();
        engine.start(Delivery::new(Weak::new()));
        engine
    }

    fn now<T>(answer: EngineFuture<T>) -> T {
        match answer {
            EngineFuture::Now(result) => result.unwrap(),
            EngineFuture::Later(_) => panic!("it is in memory"),
        }
    }

    fn publish(engine: &MemoryEngine, history: History, payload: &[u8], key: &str) -> Position {
        let payload = Payload::bytes(payload.to_vec());
        let publish = Publish { key: key.into(), history: Some(history), ..Publish::new(channel(), payload) };
        now(engine.publish(publish)).unwrap()
    }

    fn located(engine: &MemoryEngine, history: History, since: &Position) -> Located {
        now(engine.locate(Locate { channel: channel(), history, since: Some(since.clone()) }))
    }

    /// How many publications a subscriber missed, where none is gone.
    fn missed(engine: &MemoryEngine, history: History, since: &Position) -> Option<u64> {
        let Located { position, newest, complete } = located(engine, history, since);
        complete.then_some(newest - position.offset)
    }

    #[tokio::test(start_paused = true)]
    async fn publications_are_kept_for_their_time_and_offsets_go_on() {
        let (engine, history) = (engine(), History::new(100, Duration::from_secs(10)));
        let first = publish(&engine, history, b"1", "");
        tokio::time::advance(Duration::from_secs(6)).await;
        let second = publish(&engine, history, b"2", "");
        assert_eq!(missed(&engine, history, &first), Some(1));
        tokio::time::advance(Duration::from_secs(6)).await;
        assert_eq!(missed(&engine, history, &first), Some(1), "the first is gone, not the second");
        tokio::time::advance(Duration::from_secs(6)).await;
        assert_eq!(missed(&engine, history, &first), None);
        assert_eq!(missed(&engine, history, &second), Some(0), "nothing was missed");
        let third = publish(&engine, history, b"3", "");
        assert_eq!((third.offset, &third.epoch), (3, &first.epoch));
    }

    #[test]
    fn the_newest_are_kept_up_to_a_number_and_a_size() {
        let engine = engine();
        let history = History::new(3, HOUR).with_bytes(10);
        let start = Position { offset: 0, ..publish(&engine, history, b"1", "") };
        let at = |offset| Position { offset, ..start.clone() };
        for _ in 0..4 {
            publish(&engine, history, b"1", "");
        }
        assert_eq!(missed(&engine, history, &at(2)), Some(3));
        assert_eq!(missed(&engine, history, &at(1)), None);
        publish(&engine, history, b"12345678", "");
        assert_eq!(missed(&engine, history, &at(3)), Some(3), "ten bytes");
        publish(&engine, history, &[0; 50], "");
        assert_eq!(missed(&engine, history, &at(6)), Some(1), "one is kept whatever its size");
        assert_eq!(missed(&engine, history, &at(5)), None);
    }

    #[test]
    fn who_missed_what_is_gone_goes_on_at_the_oldest() {
        let (engine, history) = (engine(), History::new(3, HOUR));
        let start = Position { offset: 0, ..publish(&engine, history, b"12345", "") };
        for _ in 0..4 {
            publish(&engine, history, b"12345", "");
        }
        let other = Position { offset: 77, epoch: "other".into() };
        for since in [&start, &other] {
            let position = Position { offset: 2, ..start.clone() };
            assert_eq!(located(&engine, history, since), Located { position, newest: 5, complete: false });
        }
        let ahead = located(&engine, history, &Position { offset: 6, ..start });
        assert_eq!((ahead.position.offset, ahead.complete), (5, false), "nobody has been there");
    }

    #[test]
    fn a_page_is_bounded_in_bytes_and_says_so() {
        let (engine, history) = (engine(), History::new(100, HOUR));
        let start = Position { offset: 0, ..publish(&engine, history, b"12345", "") };
        for _ in 0..3 {
            publish(&engine, history, b"12345", "");
        }
        let page = |offset, limit, bytes, reverse| {
            let since = Some(Position { offset, ..start.clone() });
            let read = ReadHistory { channel: channel(), history, since, limit, bytes, reverse };
            let page = now(engine.history(read)).unwrap();
            (page.publications.iter().map(|entry| entry.offset).collect::<Vec<_>>(), page.more)
        };
        assert_eq!(page(0, 100, 20, false), (vec![1, 2, 3, 4], false));
        assert_eq!(page(0, 100, 19, false), (vec![1, 2, 3], true));
        assert_eq!(page(1, 100, 1, false), (vec![2], true), "one comes whatever its size");
        assert_eq!(page(3, 100, 1, false), (vec![4], false));
        assert_eq!(page(0, 2, 100, false), (vec![1, 2], true), "as many as were asked for");
        assert_eq!(page(2, 2, 100, false), (vec![3, 4], false));
        assert_eq!(page(0, 0, 100, false), (vec![], false), "the position alone");
        assert_eq!(page(4, 100, 10, true), (vec![3, 2], true));
    }

    #[test]
    fn keys_that_are_forgotten_before_their_time_change_the_scope() {
        let engine = engine();
        let before = engine.idempotency().unwrap().scope;
        let mut state = State::new(Instant::now());
        for number in 0..MAX_KEYS {
            assert!(state.remember(number.to_string(), 0, Instant::now()));
        }
        assert!(!state.remember("one more".into(), 0, Instant::now()));
        assert!(!state.keys.contains_key("0") && state.keys.contains_key("1"));
        let log = engine.log(&channel(), Instant::now());
        *log.state.lock() = state;
        let payload = Payload::default();
        now(engine.publish(Publish { key: "two more".into(), ..Publish::new(channel(), payload) }));
        assert_ne!(engine.idempotency().unwrap().scope, before);
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_needs_is_cleared_away_and_begins_another_epoch() {
        let (engine, history) = (engine(), History::new(100, Duration::from_secs(10)));
        let first = publish(&engine, history, b"1", "key");
        let other = ChannelName::new("other").unwrap();
        let mut passed = Duration::ZERO;
        while channels_kept(&engine) > 0 {
            assert!(passed < Duration::from_secs(2 * 3600), "it is cleared away at last");
            tokio::time::advance(SWEEP).await;
            passed += SWEEP;
            engine.sweep(Instant::now());
        }
        assert!(passed > KEPT, "{passed:?}");
        let again = publish(&engine, history, b"1", "key");
        assert_eq!(again.offset, 1);
        assert_ne!(again.epoch, first.epoch);
        assert!(!engine.logs.shard(&other).read().contains_key(&other));
    }

    fn channels_kept(engine: &MemoryEngine) -> usize {
        engine.logs.shards().map(|shard| shard.read().len()).sum()
    }

    #[test]
    fn all_channels_together_stay_within_the_bound_and_the_oldest_lose_what_they_keep() {
        const BOUND: usize = 1024 * 1024;
        let engine = MemoryEngine::within(BOUND);
        engine.start(Delivery::new(Weak::new()));
        let history = History::new(100, HOUR);
        let publish = |number: usize, key: &str| {
            let channel = ChannelName::new(&number.to_string()).unwrap();
            let payload = Payload::bytes(vec![0; 10_000]);
            let publish =
                Publish { history: Some(history), key: key.into(), ..Publish::new(channel, payload) };
            now(engine.publish(publish)).unwrap()
        };
        let scope = engine.idempotency().unwrap().scope;
        let first = publish(0, "key");
        for number in 1..1000 {
            publish(number, "");
            let used = engine.used.load(Ordering::Relaxed);
            assert!(used < BOUND + 20_000, "{used}");
        }
        assert!((90..110).contains(&channels_kept(&engine)), "{}", channels_kept(&engine));
        assert_eq!(publish(999, "").offset, 2, "the newest are there");
        assert_ne!(engine.idempotency().unwrap().scope, scope, "its keys are forgotten");
        let again = publish(0, "key");
        assert_eq!(again.offset, 1);
        assert_ne!(again.epoch, first.epoch);
        // What is counted is what is there.
        let costs = engine
            .logs
            .shards()
            .flat_map(|shard| shard.read().values().map(|log| log.state.lock().cost()).collect::<Vec<_>>());
        assert_eq!(costs.sum::<usize>(), engine.used.load(Ordering::Relaxed));
    }

    #[tokio::test(start_paused = true)]
    async fn who_only_reads_leaves_nothing_behind() {
        let (engine, history) = (engine(), History::new(100, Duration::from_secs(10)));
        for number in 0..1000 {
            let channel = ChannelName::new(&number.to_string()).unwrap();
            let read = ReadHistory { channel, history, since: None, limit: 1, bytes: 1, reverse: false };
            assert!(now(engine.history(read)).is_some());
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert!(channels_kept(&engine) < 100, "{}", channels_kept(&engine));
    }

    #[test]
    fn another_instance_has_another_epoch_and_another_scope() {
        let (first, second) = (engine(), engine());
        let history = History::new(10, HOUR);
        assert_ne!(publish(&first, history, b"1", "").epoch, publish(&second, history, b"1", "").epoch);
        assert_ne!(first.idempotency().unwrap().scope, second.idempotency().unwrap().scope);
    }

    #[test]
    fn what_is_kept_does_not_hold_on_to_what_came_with_it() {
        let engine = engine();
        let batch = Bytes::from(vec![7; 60_000]);
        let payload = Payload::bytes(batch.slice(..10));
        let history = Some(History::new(10, HOUR));
        now(engine.publish(Publish { history, ..Publish::new(channel(), payload) }));
        assert!(batch.is_unique());
    }
}
