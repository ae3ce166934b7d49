//! A batch: requests become changes of the store, deliveries and answers.

use std::collections::{HashMap, HashSet};
use std::ops::Bound;

use wirehub_common::ChannelName;
use wirehub_common::frame::{Position, Publication};

use crate::channel_in_batch::ChannelInBatch;
use crate::clock::unix_milliseconds;
use crate::error::DiskError;
use crate::figures::Figures;
use crate::keys::bucket_of;
use crate::queue::{Answer, Publish, Request, Then};
use crate::read::{guarded, read_state};
use crate::record::{AgeRecord, ChannelState, Header, KeyRecord, Run, ValueRecord, run_key, split_run_key};
use crate::shared::Shared;
use crate::store::{Changes, Space, Store, corrupt};

/// A batch in the making.
pub(crate) struct Building<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) store: &'a Store,
    pub(crate) header: Header,
    pub(crate) changes: Changes,
    /// The time of [`Shared::time`], and that of [`Shared::clock`] for keys.
    pub(crate) now: u64,
    pub(crate) clock: u64,
    channels: Vec<ChannelInBatch>,
    index: HashMap<ChannelName, usize>,
    /// The keys of this batch's publishes.
    new_keys: HashMap<Vec<u8>, KeyRecord>,
    /// The keys of records of keys that this batch removes.
    pub(crate) removed_ages: HashSet<Vec<u8>>,
    /// The last change of each durable value.
    values: HashMap<Vec<u8>, Option<ValueRecord>>,
    direct: Vec<Publication>,
    settled: Vec<ChannelName>,
    replies: Vec<Reply>,
    has_requests: bool,
}

enum Reply {
    Publish(Answer<Option<Position>>, Published),
    Done(Answer<()>),
    Then(Then, usize),
}

/// The result of a publish.
struct Published {
    result: Result<Option<Position>, DiskError>,
    /// `true` if it is true only after the batch has been written.
    needs_batch: bool,
}

impl Published {
    fn at_once(result: Result<Option<Position>, DiskError>) -> Self {
        Self { result, needs_batch: false }
    }

    fn with_batch(position: Option<Position>) -> Self {
        Self { result: Ok(position), needs_batch: true }
    }
}

impl<'a> Building<'a> {
    pub(crate) fn new(shared: &'a Shared, store: &'a Store, header: Header) -> Self {
        let (now, clock) = (shared.time.now(), shared.clock.now());
        Self {
            shared,
            store,
            header,
            changes: Changes::default(),
            now,
            clock,
            channels: Vec::new(),
            index: HashMap::new(),
            new_keys: HashMap::new(),
            removed_ages: HashSet::new(),
            values: HashMap::new(),
            direct: Vec::new(),
            settled: Vec::new(),
            replies: Vec::new(),
            has_requests: false,
        }
    }

    /// `true` if an answer depends on the batch.
    pub(crate) fn is_for_requests(&self) -> bool {
        self.has_requests
    }

    pub(crate) fn request(&mut self, request: Request) {
        match request {
            Request::Publish(publish, answer) => {
                self.settled.push(publish.channel.clone());
                let published = self.publish(publish).unwrap_or_else(|error| Published::at_once(Err(error)));
                self.replies.push(Reply::Publish(answer, published));
            }
            // An offset that is remembered for longer is no reason to wait for the disk. A new channel is.
            Request::Touch { channel, needed_until, then } => match self.touch(&channel, needed_until) {
                Ok(index) => {
                    self.has_requests |= then.is_some();
                    self.replies.extend(then.map(|then| Reply::Then(then, index)));
                }
                Err(error) => {
                    if let Some(then) = then {
                        then(Err(error));
                    }
                }
            },
            Request::Put { kind, key, value, expires, answer } => {
                self.has_requests = true;
                self.values.insert(ValueRecord::key(kind, &key), Some(ValueRecord { expires, value }));
                self.replies.push(Reply::Done(answer));
            }
            Request::Remove { kind, key, answer } => {
                self.has_requests = true;
                self.values.insert(ValueRecord::key(kind, &key), None);
                self.replies.push(Reply::Done(answer));
            }
        }
    }

    fn touch(&mut self, channel: &ChannelName, needed_until: u64) -> Result<usize, DiskError> {
        let index = self.channel(channel)?;
        if let Some(changed) = self.channels.get_mut(index) {
            changed.state.needed_until = changed.state.needed_until.max(needed_until);
        }
        Ok(index)
    }

    fn publish(&mut self, publish: Publish) -> Result<Published, DiskError> {
        let Publish { channel, payload, publisher, key, history } = publish;
        let mut publication =
            Publication { channel, payload, time: unix_milliseconds(), publisher, offset: 0 };
        if history.is_none() && key.is_empty() {
            let index = self.index.get(&publication.channel);
            return Ok(match index.and_then(|index| self.channels.get_mut(*index)) {
                Some(changed) => {
                    changed.deliveries.push(publication);
                    Published::with_batch(None)
                }
                None => {
                    self.direct.push(publication);
                    Published::at_once(Ok(None))
                }
            });
        }
        let index = self.channel(&publication.channel)?;
        let (now, clock, batch) = (self.now, self.clock, self.header.batch);
        let shared = self.shared;
        let Some(changed) = self.channels.get_mut(index) else { return Ok(Published::with_batch(None)) };
        let position =
            |known: &KeyRecord| (known.offset != 0).then(|| shared.position(known.epoch, known.offset));
        if !key.is_empty() {
            let record = KeyRecord::key(changed.state.id, &key);
            if let Some(known) = self.new_keys.get(&record) {
                return Ok(Published::with_batch(position(known)));
            }
            if let Some(known) = read_key(self.store, shared, &record)? {
                return Ok(Published::at_once(Ok(position(&known))));
            }
        }
        self.has_requests = true;
        if let Some(history) = history {
            publication.offset = changed.append(&publication, &history, now);
        }
        let offset = publication.offset;
        let answer = (offset != 0).then(|| Position { offset, epoch: changed.epoch.as_ref().into() });
        if !key.is_empty() {
            let id = changed.state.id;
            let known =
                KeyRecord { published: clock, offset: publication.offset, epoch: changed.state.epoch };
            let record = KeyRecord::key(id, &key);
            let bucket = bucket_of(clock);
            let age_key = AgeRecord::key(bucket, id, batch, self.new_keys.len() as u64);
            let age = AgeRecord { published: clock, key: record.clone() };
            self.changes.put(Space::Keys, &record, known.encode(&record));
            self.changes.put(Space::Ages, &age_key, age.encode(&age_key));
            self.new_keys.insert(record, known);
            changed.state.keys.add(bucket);
            self.header.keys = self.header.keys.saturating_add(1);
        }
        changed.deliveries.push(publication);
        Ok(Published::with_batch(answer))
    }

    pub(crate) fn new_keys(&self) -> usize {
        self.new_keys.len()
    }

    /// The number of the channel's entry in this batch. A new channel is created.
    fn channel(&mut self, name: &ChannelName) -> Result<usize, DiskError> {
        if let Some(index) = self.index.get(name) {
            return Ok(*index);
        }
        let channel = match self.shared.channels.get(name) {
            Some(channel) => channel,
            None => match read_state(self.store, name, &self.shared.path)? {
                Some(state) => self.shared.channels.insert(name, state, true),
                None => {
                    let state = ChannelState::new(self.header.next_id, crate::random(), self.now);
                    self.header.next_id = self.header.next_id.saturating_add(1);
                    self.shared.channels.insert(name, state, false)
                }
            },
        };
        let state = channel.lock().state.clone();
        // An id that was given in a failed batch.
        self.header.next_id = self.header.next_id.max(state.id.saturating_add(1));
        let (oldest_seen, first_new) = (state.oldest, state.newest.saturating_add(1));
        let index = self.channels.len();
        self.channels.push(ChannelInBatch {
            name: name.clone(),
            channel,
            epoch: self.shared.epoch_name(state.epoch).into(),
            state,
            history: None,
            oldest_seen,
            first_new,
            new: Vec::new(),
            deliveries: Vec::new(),
            is_visited: false,
            is_removed: false,
        });
        self.index.insert(name.clone(), index);
        Ok(index)
    }

    /// Removes an expired value, unless the batch has a newer one.
    pub(crate) fn remove_value(&mut self, key: &[u8]) {
        self.values.entry(key.to_vec()).or_insert(None);
    }

    /// `true` if the batch changes that channel already.
    pub(crate) fn contains(&self, name: &ChannelName) -> bool {
        self.index.contains_key(name)
    }

    /// Adds a channel to the batch because it has something to tidy up.
    pub(crate) fn tidy(&mut self, name: &ChannelName) -> Result<(), DiskError> {
        let index = self.channel(name)?;
        let (now, clock) = (self.now, self.clock);
        let Some(changed) = self.channels.get_mut(index) else { return Ok(()) };
        changed.is_visited = true;
        changed.state.keys.expire(crate::keys::first_kept(clock));
        let is_expired = changed.state.is_empty() || changed.state.newest_expires <= now;
        if is_expired && changed.state.needed_until <= now && changed.state.keys.total() == 0 {
            // From here on, a new subscriber asks the writer. One that came before is seen by the hub.
            changed.channel.lock().is_leaving = true;
            changed.is_removed = !self.shared.target.get().is_some_and(|target| target.is_wanted(name));
            if !changed.is_removed {
                changed.channel.lock().is_leaving = false;
            }
        }
        Ok(())
    }

    /// The finished batch.
    pub(crate) fn finish(mut self) -> Batch {
        let mut channels = std::mem::take(&mut self.channels);
        let mut budget = SWEPT;
        for changed in &mut channels {
            if let Err(error) = self.finish_channel(changed, &mut budget) {
                // The channel is damaged: its older publications stay. Everything new is written.
                tracing::error!(%error, channel = %changed.name, "the history can't be trimmed");
            }
            self.write_channel(changed);
        }
        for (key, value) in std::mem::take(&mut self.values) {
            match value {
                Some(value) => self.changes.put(Space::Values, key.clone(), value.encode(&key)),
                None => self.changes.remove(Space::Values, key),
            }
        }
        self.header.clock = crate::clock::promised(&self.shared.clock, self.header.clock);
        Batch {
            header: self.header,
            changes: self.changes,
            channels,
            direct: self.direct,
            settled: self.settled,
            replies: self.replies,
        }
    }

    fn finish_channel(&mut self, changed: &mut ChannelInBatch, budget: &mut u64) -> Result<(), DiskError> {
        changed.state.keys.expire(crate::keys::first_kept(self.clock));
        let excess = changed.state.keys.total().saturating_sub(self.shared.options.channel_keys);
        if excess > 0 {
            let ChannelInBatch { state, .. } = changed;
            crate::keys::forget(self, state, excess)?;
        }
        if let Err(error) = changed.trim(self.shared, self.store, self.now) {
            changed.drop_unreadable(self.shared, self.store, &error)?;
            changed.trim(self.shared, self.store, self.now)?;
        }
        // Readers may still look for the others until this batch has been delivered. And a batch can't remove what it writes.
        let end = changed.oldest_seen.min(changed.first_new);
        let swept = changed.state.swept;
        if end > swept && (changed.is_visited || end.saturating_sub(swept) >= SWEPT_AT_ONCE) {
            changed.state.swept = self.sweep(changed.state.id, swept, end, budget);
        }
        if changed.state.swept >= changed.first_new {
            // The following ones were never written.
            changed.state.swept = changed.state.swept.max(changed.state.oldest);
        }
        Ok(())
    }

    /// Removes the records that end between two offsets. Returns the offset before which none is left.
    fn sweep(&mut self, id: u64, from: u64, end: u64, budget: &mut u64) -> u64 {
        let (first, last) = (run_key(id, from), run_key(id, end.saturating_sub(1)));
        let count = usize::try_from(*budget).unwrap_or(usize::MAX);
        let keys = guarded(self.shared, || {
            let keys = self.store.keys(Space::Publications, Bound::Included(&first), Bound::Included(&last));
            keys.take(count).collect::<Result<Vec<_>, _>>()
        });
        let keys = keys.unwrap_or_else(|error| {
            // They are no longer part of the history. A repair removes them.
            tracing::warn!(%error, "old publications can't be removed from a damaged table");
            Vec::new()
        });
        for key in &keys {
            self.changes.remove(Space::Publications, key);
        }
        *budget = budget.saturating_sub(u64::try_from(keys.len()).unwrap_or(u64::MAX));
        match keys.last().and_then(|key| split_run_key(key)) {
            Some((_, last)) if *budget == 0 => last.saturating_add(1),
            _ if count == 0 => from,
            _ => end,
        }
    }

    fn write_channel(&mut self, changed: &mut ChannelInBatch) {
        let trimmed = changed.new.partition_point(|stored| stored.publication.offset < changed.state.oldest);
        for piece in Run::pieces(changed.new.get(trimmed..).unwrap_or_default()) {
            let (key, value) = Run::encode(changed.state.id, piece);
            self.changes.put(Space::Publications, key, value);
        }
        let name = changed.name.as_str().as_bytes();
        if changed.is_removed && changed.state.swept > changed.state.newest {
            self.changes.remove(Space::Channels, name);
            return;
        }
        if changed.is_removed {
            changed.is_removed = false;
            changed.channel.lock().is_leaving = false;
        }
        let (is_saved, is_same) = {
            let loaded = changed.channel.lock();
            (loaded.is_saved, loaded.state == changed.state)
        };
        if !is_saved || !is_same {
            self.changes.put(Space::Channels, name, changed.state.encode(name));
        }
    }
}

fn read_key(store: &Store, shared: &Shared, key: &[u8]) -> Result<Option<KeyRecord>, DiskError> {
    let Some(value) = store.get(Space::Keys, key)? else { return Ok(None) };
    let record = KeyRecord::decode(key, &value);
    record.map(Some).ok_or_else(|| corrupt(&shared.path, "the record of a key is damaged"))
}

/// A batch that is ready to be written.
pub(crate) struct Batch {
    pub(crate) header: Header,
    pub(crate) changes: Changes,
    channels: Vec<ChannelInBatch>,
    direct: Vec<Publication>,
    settled: Vec<ChannelName>,
    replies: Vec<Reply>,
}

impl Batch {
    /// Delivers the publications and answers, after the batch has been written.
    pub(crate) fn deliver(self, shared: &Shared) {
        for publication in self.direct {
            shared.deliver(publication);
        }
        let mut states = Vec::new();
        for changed in self.channels {
            // Under the channel's lock: a reader sees the publications of this batch and their deliveries, or neither.
            let mut loaded = changed.channel.lock();
            loaded.state = changed.state.clone();
            loaded.is_saved = true;
            Figures::add(&shared.figures.stored, changed.new.len());
            for stored in changed.new {
                shared.channels.remember(&mut loaded, stored);
            }
            for publication in changed.deliveries {
                let epoch = if publication.offset == 0 { &shared.no_epoch } else { &changed.epoch };
                if let Some(target) = shared.target.get() {
                    target.deliver(publication, epoch);
                }
            }
            drop(loaded);
            if changed.is_removed {
                shared.channels.remove(&changed.name);
            }
            states.push(changed.state);
        }
        shared.queue.settle(self.settled.iter());
        for reply in self.replies {
            match reply {
                Reply::Publish(answer, published) => drop(answer.send(published.result)),
                Reply::Done(answer) => drop(answer.send(Ok(()))),
                Reply::Then(then, index) => {
                    if let Some(state) = states.get(index) {
                        then(Ok(state.clone()));
                    }
                }
            }
        }
    }

    /// Answers every request with a failure.
    pub(crate) fn fail(&mut self, shared: &Shared, error: &DiskError) {
        for changed in &self.channels {
            changed.channel.lock().is_leaving = false;
        }
        for publication in self.direct.drain(..) {
            shared.deliver(publication);
        }
        shared.queue.settle(self.settled.drain(..).collect::<Vec<_>>().iter());
        for reply in self.replies.drain(..) {
            match reply {
                Reply::Publish(answer, published) if !published.needs_batch => {
                    drop(answer.send(published.result));
                }
                Reply::Publish(answer, _) => {
                    Figures::add(&shared.figures.refused, 1);
                    drop(answer.send(Err(error.clone())));
                }
                Reply::Done(answer) => {
                    Figures::add(&shared.figures.refused, 1);
                    drop(answer.send(Err(error.clone())));
                }
                Reply::Then(then, _) => then(Err(error.clone())),
            }
        }
    }
}

/// Refuses requests that need the store. The others are carried out.
pub(crate) fn refuse(shared: &Shared, requests: Vec<Request>, error: &DiskError) {
    for request in requests {
        match request {
            Request::Publish(publish, answer) => {
                let channel = publish.channel.clone();
                let result = if publish.history.is_none() && publish.key.is_empty() {
                    let Publish { channel, payload, publisher, .. } = publish;
                    let time = unix_milliseconds();
                    shared.deliver(Publication { channel, payload, time, publisher, offset: 0 });
                    Ok(None)
                } else {
                    Figures::add(&shared.figures.refused, 1);
                    Err(error.clone())
                };
                shared.queue.settle(std::iter::once(&channel));
                drop(answer.send(result));
            }
            request => {
                Figures::add(&shared.figures.refused, 1);
                request.fail(error);
            }
        }
    }
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch").field("header", &self.header).finish_non_exhaustive()
    }
}

/// The maximum number of records of publications that one batch removes.
const SWEPT: u64 = 4096;

/// The number of publications of a channel at which requests remove them: looking for their records costs more than the removal.
const SWEPT_AT_ONCE: u64 = 64;
