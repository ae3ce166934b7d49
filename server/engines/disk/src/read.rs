//! Reading: positions and pages of histories, from memory if possible, otherwise by the reading threads.

use std::collections::VecDeque;
use std::ops::{Bound, RangeInclusive};
use std::sync::Arc;

use bytes::Bytes;
use futures_channel::oneshot;
use wirehub_common::ChannelName;
use wirehub_common::frame::{HistoryPage, Position, Publication};
use wirehub_hub::engine::{Locate, Located, ReadHistory};

use crate::channels::Channel;
use crate::clock::milliseconds;
use crate::error::{DiskError, DiskErrorKind};
use crate::queue::{Answer, Request};
use crate::record::{ChannelState, Head, Run, Stored, ValueRecord, run_key, split_run_key};
use crate::shared::{KEPT, Shared, Valued};
use crate::store::{Space, Store, corrupt};

/// An answer at once, or later.
pub(crate) enum Reading<T> {
    Now(Result<T, DiskError>),
    Later(oneshot::Receiver<Result<T, DiskError>>),
}

/// Answers a request from memory, or by a reading thread.
pub(crate) fn read<R: Query>(shared: &Arc<Shared>, query: R) -> Reading<R::Answer> {
    let now = shared.time.now();
    if let Some(channel) = shared.channels.get(query.channel()) {
        let loaded = channel.lock();
        if !loaded.is_leaving
            && let Some(state) = loaded.live(now).map(|state| shared.damaged.without(state))
            && let Some(answer) = query.in_memory(shared, &state, &loaded.recent)
        {
            drop(loaded);
            prolong(shared, &query, &state, now);
            return Reading::Now(Ok(answer));
        }
    }
    let (answer, later) = oneshot::channel();
    let accepted = shared.jobs.push(|shared| answer_from_disk(shared, query, answer));
    if !accepted {
        shared.queue.count_refused();
        return Reading::Now(Err(DiskError::new(
            DiskErrorKind::Overloaded,
            "too many requests wait for reading from the disk: try again later",
        )));
    }
    Reading::Later(later)
}

/// A request that reads a channel.
pub(crate) trait Query: Send + Sized + 'static {
    type Answer: Send + 'static;

    fn channel(&self) -> &ChannelName;

    /// The time for which the channel's offset has to be remembered from now on, in milliseconds; 0 for no longer than before.
    fn needed_for(&self) -> u64;

    /// The answer, if the publications in memory are sufficient.
    fn in_memory(
        &self,
        shared: &Shared,
        state: &ChannelState,
        recent: &VecDeque<Stored>,
    ) -> Option<Self::Answer>;

    /// The answer; `None` if publications were trimmed meanwhile.
    fn on_disk(
        &self,
        shared: &Shared,
        store: &Store,
        state: &ChannelState,
    ) -> Result<Option<Self::Answer>, DiskError>;
}

impl Query for Locate {
    type Answer = Located;

    fn channel(&self) -> &ChannelName {
        &self.channel
    }

    fn needed_for(&self) -> u64 {
        milliseconds(self.history.ttl.saturating_add(KEPT))
    }

    fn in_memory(&self, shared: &Shared, state: &ChannelState, _: &VecDeque<Stored>) -> Option<Located> {
        Some(locate(shared, state, self.since.as_ref()))
    }

    fn on_disk(
        &self,
        shared: &Shared,
        _: &Store,
        state: &ChannelState,
    ) -> Result<Option<Located>, DiskError> {
        Ok(Some(locate(shared, state, self.since.as_ref())))
    }
}

fn locate(shared: &Shared, state: &ChannelState, since: Option<&Position>) -> Located {
    let epoch = shared.epoch_name(state.epoch);
    let (offset, complete) = match since {
        None => (state.newest, false),
        Some(since) if since.epoch != epoch => (state.before_oldest(), false),
        // The offset has never existed: every later publication is new to this subscriber.
        Some(since) if since.offset > state.newest => (state.newest, false),
        Some(since) if since.offset >= state.before_oldest() => (since.offset, true),
        Some(_) => (state.before_oldest(), false),
    };
    Located { position: Position { offset, epoch }, newest: state.newest, complete }
}

impl Query for ReadHistory {
    type Answer = Option<HistoryPage>;

    fn channel(&self) -> &ChannelName {
        &self.channel
    }

    fn needed_for(&self) -> u64 {
        0
    }

    fn in_memory(
        &self,
        shared: &Shared,
        state: &ChannelState,
        recent: &VecDeque<Stored>,
    ) -> Option<Self::Answer> {
        let Some(span) = Span::of(self, shared, state) else { return Some(None) };
        let mut page = Page::new(self, &span);
        let first = recent.front().map_or(u64::MAX, |stored| stored.publication.offset);
        let at = |offset: u64| {
            let index = usize::try_from(offset.checked_sub(first)?).ok()?;
            recent.get(index).map(|stored| stored.publication.clone())
        };
        while let Some(offset) = page.wanted() {
            page.add(at(offset)?);
        }
        Some(Some(page.finish(shared, state)))
    }

    fn on_disk(
        &self,
        shared: &Shared,
        store: &Store,
        state: &ChannelState,
    ) -> Result<Option<Self::Answer>, DiskError> {
        let Some(span) = Span::of(self, shared, state) else { return Ok(Some(None)) };
        let mut page = Page::new(self, &span);
        if page.wanted().is_some() {
            let span = span.first..=span.last;
            let mut entries = publications(store, store_path(shared), state.id, span, self.reverse)?;
            while let Some(offset) = page.wanted() {
                let Some(publication) = entries.next().transpose()? else { return Ok(None) };
                if publication.offset != offset {
                    return Ok(None);
                }
                page.add(publication);
            }
        }
        Ok(Some(Some(page.finish(shared, state))))
    }
}

/// The offsets that a page may contain.
struct Span {
    first: u64,
    last: u64,
}

impl Span {
    /// `None` if the request's position is of another epoch, or if publications behind it are lost.
    fn of(read: &ReadHistory, shared: &Shared, state: &ChannelState) -> Option<Self> {
        if let Some(since) = &read.since
            && (since.offset > state.newest || since.epoch != shared.epoch_name(state.epoch))
        {
            return None;
        }
        if read.reverse {
            let last = read.since.as_ref().map_or(state.newest, |since| since.offset.saturating_sub(1));
            return Some(Self { first: state.oldest, last });
        }
        let after = read.since.as_ref().map_or(state.before_oldest(), |since| since.offset);
        (after >= state.before_oldest()).then(|| Self { first: after.saturating_add(1), last: state.newest })
    }
}

/// A page that is being filled.
struct Page {
    publications: Vec<Publication>,
    /// The offset of the next publication; `None` if there is none.
    next: Option<u64>,
    span: (u64, u64),
    limit: usize,
    bytes: usize,
    is_full: bool,
    reverse: bool,
}

impl Page {
    fn new(read: &ReadHistory, span: &Span) -> Self {
        let start = if read.reverse { span.last } else { span.first };
        let next = (span.first <= span.last && span.first > 0).then_some(start);
        Self {
            publications: Vec::new(),
            next,
            span: (span.first, span.last),
            limit: read.limit,
            bytes: read.bytes,
            is_full: false,
            reverse: read.reverse,
        }
    }

    /// The offset of the publication to be added.
    fn wanted(&self) -> Option<u64> {
        let has_room = !self.is_full && self.publications.len() < self.limit;
        self.next.filter(|_| has_room)
    }

    fn add(&mut self, publication: Publication) {
        match self.bytes.checked_sub(publication.payload.data.len()) {
            Some(rest) => self.bytes = rest,
            None if self.publications.is_empty() => self.bytes = 0,
            None => {
                self.is_full = true;
                return;
            }
        }
        let offset = publication.offset;
        self.publications.push(publication);
        let next = if self.reverse { offset.checked_sub(1) } else { offset.checked_add(1) };
        self.next = next.filter(|next| (self.span.0..=self.span.1).contains(next));
    }

    fn finish(self, shared: &Shared, state: &ChannelState) -> HistoryPage {
        HistoryPage {
            position: shared.position(state.epoch, state.newest),
            // A request for no entries has no use for more.
            more: self.limit > 0 && self.next.is_some(),
            publications: self.publications,
        }
    }
}

/// On a reading thread.
fn answer_from_disk<R: Query>(shared: &Arc<Shared>, query: R, answer: Answer<R::Answer>) {
    let (mut tries, mut seen) = (0_u32, None);
    while tries < MAX_TRIES {
        match state(shared, query.channel()) {
            Err(error) => return drop(answer.send(Err(error))),
            Ok(None) => return create(shared, query, answer),
            Ok(Some(state)) => {
                let state = shared.damaged.without(state);
                // Publications that were trimmed meanwhile are no reason to give up.
                tries = if seen.replace(state.oldest) == Some(state.oldest) {
                    tries.saturating_add(1)
                } else {
                    0
                };
                let now = shared.time.now();
                match find(shared, &query, state.clone(), now) {
                    // Otherwise the client would come back again and again, and reach the same damage.
                    Err(error) if error.kind() == DiskErrorKind::Corrupt => {
                        if !pass_over(shared, query.channel(), &state, &error) {
                            return drop(answer.send(Err(error)));
                        }
                        tries = 0;
                    }
                    Err(error) => return drop(answer.send(Err(error))),
                    Ok(Some((state, found))) => {
                        prolong(shared, &query, &state, now);
                        return drop(answer.send(Ok(found)));
                    }
                    Ok(None) if tries.saturating_add(1) < MAX_TRIES => std::thread::yield_now(),
                    Ok(None) => {
                        let reason = format!("publications of the channel `{}` are missing", query.channel());
                        let error = corrupt(store_path(shared), &reason);
                        if !pass_over(shared, query.channel(), &state, &error) {
                            return drop(answer.send(Err(error)));
                        }
                        tries = 0;
                    }
                }
            }
        }
    }
}

/// Notes the newest unreadable publication of a channel, so that it counts as lost with every older one. Returns `false` if
/// every publication can be read.
fn pass_over(shared: &Shared, channel: &ChannelName, state: &ChannelState, error: &DiskError) -> bool {
    let Ok(store) = shared.store() else { return false };
    match newest_unreadable(shared, &store, state.id, state.oldest, state.newest) {
        Ok(Some(offset)) => shared.damaged.add(channel, state.id, offset, error),
        Ok(None) | Err(_) => return false,
    }
    true
}

/// The newest of these publications that is damaged or missing; `None` if there is none.
pub(crate) fn newest_unreadable(
    shared: &Shared,
    store: &Store,
    id: u64,
    oldest: u64,
    newest: u64,
) -> Result<Option<u64>, DiskError> {
    let to = run_key(id, newest);
    let from = run_key(id, oldest);
    let mut entries = Some(store.scan(Space::Publications, Bound::Included(&from), Bound::Included(&to)));
    // Everything behind it is readable.
    let mut wanted = newest;
    while wanted >= oldest {
        let entry = match &mut entries {
            Some(entries) => guarded(shared, || entries.next_back().transpose()),
            // The damage may be elsewhere. From here on, one at a time.
            None => guarded(shared, || {
                let from = run_key(id, wanted);
                store
                    .scan(Space::Publications, Bound::Included(&from), Bound::Included(&to))
                    .next()
                    .transpose()
            }),
        };
        let first = match &entry {
            Ok(Some((key, value))) => readable_run(id, key, value)
                .filter(|run| (run.first()..=run.last()).contains(&wanted))
                .map(|run| run.first()),
            Ok(None) => None,
            Err(error) if error.kind() != DiskErrorKind::Corrupt => return Err(error.clone()),
            Err(_) => None,
        };
        match first {
            Some(first) => wanted = first.saturating_sub(1),
            None if entries.take().is_some() => {}
            None => return Ok(Some(wanted)),
        }
    }
    Ok(None)
}

/// A record of the channel whose every publication is readable.
fn readable_run<'a>(id: u64, key: &[u8], value: &'a [u8]) -> Option<Run<'a>> {
    let run = Run::open(key, value).filter(|_| split_run_key(key).is_some_and(|(of, _)| of == id))?;
    run.publications(&(0..=u64::MAX)).map(|_| run)
}

/// Some kinds of damage make the storage panic.
pub(crate) fn guarded<T>(
    shared: &Shared,
    read: impl FnOnce() -> Result<T, DiskError>,
) -> Result<T, DiskError> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(corrupt(store_path(shared), "the storage panicked: a table is damaged")))
}

/// The state without expired publications, and the answer; `None` if publications were trimmed meanwhile.
fn find<R: Query>(
    shared: &Shared,
    query: &R,
    state: ChannelState,
    now: u64,
) -> Result<Option<(ChannelState, R::Answer)>, DiskError> {
    let store = shared.store()?;
    let Some(live) = guarded(shared, || live(shared, &store, state, now))? else { return Ok(None) };
    let found = guarded(shared, || query.on_disk(shared, &store, &live))?;
    Ok(found.map(|found| (live, found)))
}

/// The channel is unknown: the writer creates it.
fn create<R: Query>(shared: &Arc<Shared>, query: R, answer: Answer<R::Answer>) {
    let channel = query.channel().clone();
    let now = shared.time.now();
    let needed_until = needed_until(now, &query);
    let then_shared = Arc::clone(shared);
    let then = Box::new(move |state: Result<ChannelState, DiskError>| match state {
        Err(error) => drop(answer.send(Err(error))),
        // Usually it is new and empty, so there is nothing to read.
        Ok(state) => match query.in_memory(&then_shared, &state, &VecDeque::new()) {
            Some(found) => drop(answer.send(Ok(found))),
            // If too many requests wait, the answer is dropped, and so the request fails.
            None => drop(then_shared.jobs.push(|shared| answer_from_disk(shared, query, answer))),
        },
    });
    shared.queue.push(Request::Touch { channel, needed_until, then: Some(then) });
}

/// Makes the writer remember the offset for longer if necessary. It is asked rarely, and for a longer time.
fn prolong<R: Query>(shared: &Shared, query: &R, state: &ChannelState, now: u64) {
    if query.needed_for() > 0 && state.needed_until < now.saturating_add(query.needed_for()) {
        let channel = query.channel().clone();
        shared.queue.push(Request::Touch { channel, needed_until: needed_until(now, query), then: None });
    }
}

fn needed_until<R: Query>(now: u64, query: &R) -> u64 {
    now.saturating_add(query.needed_for()).saturating_add(SLACK)
}

/// The state of a channel, from memory or from the disk; `None` if there is none, or if only the writer can tell.
fn state(shared: &Shared, name: &ChannelName) -> Result<Option<ChannelState>, DiskError> {
    let of = |channel: Arc<Channel>| {
        let loaded = channel.lock();
        (!loaded.is_leaving).then(|| loaded.state.clone())
    };
    let changes = match shared.channels.get_or_changes(name) {
        Ok(channel) => return Ok(of(channel)),
        Err(changes) => changes,
    };
    let read = read_state(&*shared.store()?, name, store_path(shared))?;
    // The writer puts a channel into memory before it changes it. So the state from the disk is the latest if the channel is
    // still not there.
    if let Ok(channel) = shared.channels.get_or_changes(name) {
        return Ok(of(channel));
    }
    if let Some(state) = &read {
        shared.channels.insert_if(name, state.clone(), changes);
    }
    Ok(read)
}

/// The state of a channel on the disk.
pub(crate) fn read_state(
    store: &Store,
    name: &ChannelName,
    path: &std::path::Path,
) -> Result<Option<ChannelState>, DiskError> {
    let key = name.as_str().as_bytes();
    let Some(value) = store.get(Space::Channels, key)? else { return Ok(None) };
    let state = ChannelState::decode(key, &value);
    state.map(Some).ok_or_else(|| corrupt(path, &format!("the record of the channel `{name}` is damaged")))
}

/// The state without expired publications; `None` if it has changed meanwhile.
fn live(
    shared: &Shared,
    store: &Store,
    state: ChannelState,
    now: u64,
) -> Result<Option<ChannelState>, DiskError> {
    let mut state = state;
    if state.is_empty() || state.oldest_expires > now {
        return Ok(Some(state));
    }
    let found = first_where(state.oldest, state.newest, |offset| {
        let head = read_heads(store, shared, state.id, offset, 1)?.pop();
        Ok(head.map(|head| (head, head.expires > now)))
    })?;
    match found {
        Found::Missing => return Ok(None),
        Found::None => state.set_empty(),
        Found::At(offset, head) => state.set_oldest(offset, head),
    }
    Ok(Some(state))
}

/// The result of [`first_where`].
pub(crate) enum Found {
    At(u64, Head),
    None,
    /// A publication is not there.
    Missing,
}

/// The first offset for which a condition is met. The condition stays met from there on. Nearby offsets are tried first.
pub(crate) fn first_where(
    first: u64,
    last: u64,
    mut is_met: impl FnMut(u64) -> Result<Option<(Head, bool)>, DiskError>,
) -> Result<Found, DiskError> {
    let (mut low, mut step, mut found) = (first, 1_u64, None);
    // Not met below `low`.
    while low <= last {
        let at = low.saturating_add(step.saturating_sub(1)).min(last);
        let Some((head, met)) = is_met(at)? else { return Ok(Found::Missing) };
        if met {
            found = Some((at, head));
            break;
        }
        low = at.saturating_add(1);
        step = step.saturating_mul(2);
    }
    let Some((mut high, mut head)) = found else { return Ok(Found::None) };
    while low < high {
        let middle = low.midpoint(high);
        let Some((it, met)) = is_met(middle)? else { return Ok(Found::Missing) };
        if met {
            (high, head) = (middle, it);
        } else {
            low = middle.saturating_add(1);
        }
    }
    Ok(Found::At(high, head))
}

/// The heads of consecutive publications, at most `count`; none if the first one is missing.
pub(crate) fn read_heads(
    store: &Store,
    shared: &Shared,
    id: u64,
    first: u64,
    count: u64,
) -> Result<Vec<Head>, DiskError> {
    let (from, to) = (run_key(id, first), run_key(id, u64::MAX));
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let mut heads = Vec::new();
    let mut expected = first;
    for entry in store.scan(Space::Publications, Bound::Included(&from), Bound::Included(&to)) {
        let entry = entry?;
        for (offset, head) in open_run(store_path(shared), &entry)?.heads().filter(|(it, _)| *it >= first) {
            if offset != expected || heads.len() >= count {
                return Ok(heads);
            }
            heads.push(head);
            expected = expected.saturating_add(1);
        }
        if heads.len() >= count {
            break;
        }
    }
    Ok(heads)
}

/// The publications of a channel in that span, oldest first or newest first.
fn publications<'a>(
    store: &'a Store,
    path: &'a std::path::Path,
    id: u64,
    span: RangeInclusive<u64>,
    reverse: bool,
) -> Result<impl Iterator<Item = Result<Publication, DiskError>> + use<'a>, DiskError> {
    let (from, last) = (run_key(id, *span.start()), run_key(id, *span.end()));
    let mut to = run_key(id, u64::MAX);
    if reverse {
        // The record with the last publication may end behind it.
        let end = store.scan(Space::Publications, Bound::Included(&last), Bound::Included(&to)).next();
        to = end.transpose()?.and_then(|(key, _)| key.as_ref().try_into().ok()).unwrap_or(last);
    }
    let mut entries = store.scan(Space::Publications, Bound::Included(&from), Bound::Included(&to));
    let next = move || if reverse { entries.next_back() } else { entries.next() };
    let runs = std::iter::from_fn(next).map(move |entry| {
        let entry = entry?;
        let stored =
            open_run(path, &entry)?.publications(&span).ok_or_else(|| damaged_run(path, &entry.0))?;
        let publications = stored.into_iter().map(|stored| Ok(stored.publication));
        Ok(if reverse { publications.rev().collect() } else { publications.collect::<Vec<_>>() })
    });
    // Behind the span.
    let runs = runs.take_while(|run| run.as_ref().map_or(true, |run| !run.is_empty()));
    Ok(runs.flat_map(|run| run.unwrap_or_else(|error| vec![Err(error)])))
}

/// Every durable value of a kind that has not expired, in the order of the keys.
pub(crate) fn values(
    store: &Store,
    path: &std::path::Path,
    kind: u8,
    now: u64,
) -> Result<Vec<Valued>, DiskError> {
    let mut values = Vec::new();
    for entry in store.prefix(Space::Values, &[kind]) {
        let (key, value) = entry?;
        let Some(record) = ValueRecord::decode(&key, &value) else {
            return Err(corrupt(path, &format!("a durable value of the kind {kind} is damaged")));
        };
        if record.expires > now {
            let key = key.get(1..).unwrap_or_default();
            values.push((Bytes::copy_from_slice(key), record.value, record.expires));
        }
    }
    Ok(values)
}

fn open_run<'a>(path: &std::path::Path, (key, value): &'a crate::store::Entry) -> Result<Run<'a>, DiskError> {
    Run::open(key, value).ok_or_else(|| damaged_run(path, key))
}

fn damaged_run(path: &std::path::Path, key: &[u8]) -> DiskError {
    let (id, last) = split_run_key(key).unwrap_or_default();
    corrupt(path, &format!("the record of publications up to {last} of the channel number {id} is damaged"))
}

fn store_path(shared: &Shared) -> &std::path::Path {
    &shared.path
}

/// The number of tries of a read that finds a publication missing while the state of its channel is the same.
const MAX_TRIES: u32 = 8;

/// The additional time for which an offset is remembered, so that the writer is asked once in this time. In milliseconds.
const SLACK: u64 = 15 * 60 * 1000;
