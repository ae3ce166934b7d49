//! The check and the repair of a data directory that no engine uses.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use wirehub_common::ChannelName;

use crate::clock::unix_milliseconds;
use crate::copy::{Copy, complete};
use crate::directory::{Directory, Purpose, require_format};
use crate::error::{DiskError, DiskErrorKind};
use crate::open::{FORMAT_KEY, LOST, SCOPE, read_number};
use crate::options::DiskOptions;
use crate::record::{
    AgeRecord, ChannelState, Header, KeyRecord, Run, Stored, ValueRecord, channel_name, split_run_key,
};
use crate::store::{Entry, Space, Store};
use crate::view::View;
use crate::writer::read_header;

/// The next step after damage.
pub(crate) const REMEDY: &str =
    "run `wirehub data check`, then restore a backup or run `wirehub data repair`";

/// The result of [`check`].
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct CheckReport {
    /// The number of channels.
    pub channels: u64,
    /// The number of publications.
    pub publications: u64,
    /// The number of keys of publishes.
    pub keys: u64,
    /// The number of durable values.
    pub values: u64,
    /// The problems; none if the directory is in order.
    pub problems: Vec<Problem>,
    /// Facts that are no problem: an incomplete end of a journal, in which nothing was acknowledged.
    pub notes: Vec<Problem>,
    /// `true` if [`repair`] can do nothing about the problems.
    pub is_beyond_repair: bool,
}

impl CheckReport {
    /// `true` if there is no problem.
    pub fn is_in_order(&self) -> bool {
        self.problems.is_empty()
    }

    fn add(&mut self, path: &Path, description: impl Into<String>) {
        // A damaged file may make a million records unreadable.
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem { path: path.to_owned(), description: description.into() });
        }
    }

    fn add_error(&mut self, path: &Path, error: &DiskError) {
        self.problems.push(Problem::from_error(path, error));
    }
}

/// A problem in a data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// The damaged file, or its folder.
    pub path: PathBuf,
    /// A description, with the place if it is known.
    pub description: String,
}

impl Problem {
    /// The damage that an error describes. The next step is not part of it, because a report has many of them.
    pub(crate) fn from_error(path: &Path, error: &DiskError) -> Self {
        let message = error.to_string();
        let message = message.strip_suffix(REMEDY).and_then(|it| it.strip_suffix(": ")).unwrap_or(&message);
        match message.split_once(": ") {
            Some((file, description)) if Path::new(file).starts_with(path) => {
                Self { path: file.into(), description: description.into() }
            }
            _ => Self { path: path.to_owned(), description: message.into() },
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.description)
    }
}

/// The result of [`repair`].
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RepairReport {
    /// The problems that were found. Nothing was changed if there is none.
    pub problems: Vec<Problem>,
    /// The channels that certainly lost something.
    pub lost: Vec<LostPublications>,
    /// `true` if any channel may have lost something, so that the epochs of all have changed.
    pub all_epochs_changed: bool,
    /// The folder with the damaged files.
    pub kept: Option<PathBuf>,
}

/// The loss of a channel in a [`repair`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LostPublications {
    /// The name of the channel.
    pub channel: ChannelName,
    /// The number of its publications that are no longer in its history.
    pub publications: u64,
}

/// Reads and verifies every record of a data directory, and everything else that a start needs. It changes nothing: the storage
/// works on a copy of its journals.
///
/// # Errors
/// The directory is in use, of a newer version, or not accessible. Damage is no error, but part of the report.
pub fn check(path: impl AsRef<Path>) -> Result<CheckReport, DiskError> {
    let mut directory = Directory::open(path.as_ref(), Purpose::Check)?;
    let mut report = CheckReport::default();
    if let Err(error) = directory.check_repair() {
        report.add_error(directory.path(), &error);
        return Ok(report);
    }
    match examine(&mut directory, &mut report) {
        Err(error) if error.kind() == DiskErrorKind::Corrupt => {
            report.is_beyond_repair = true;
            report.add_error(directory.path(), &error);
        }
        examined => drop(examined?),
    }
    Ok(report)
}

/// A storage that was read as far as possible.
struct Examined {
    view: View,
    header: Option<Header>,
    /// The number of a batch that is not before any acknowledged one.
    newest: u64,
    /// `true` if any channel may have lost something.
    has_lost: bool,
}

/// Examines everything that a start needs, and adds the problems. `None` if nothing was ever stored.
fn examine(directory: &mut Directory, report: &mut CheckReport) -> Result<Option<Examined>, DiskError> {
    let folder = directory.store();
    if let Err(error) = directory.format() {
        report.add_error(directory.path(), &error);
    }
    if directory.is_unused()? {
        return Ok(None);
    }
    let view = View::open(directory)?;
    report.problems.extend(view.problems.iter().cloned());
    report.notes.extend(view.notes.iter().cloned());
    let store = &view.store;
    let mut has_lost = view.has_lost;
    let format = noted(report, &folder, read_number(store, &folder, FORMAT_KEY))?;
    if let Some(format) = format {
        require_format(&folder, format)?;
    }
    // The copy of a backup has it at its end, and so may be incomplete.
    has_lost |= format.is_none();
    noted(report, &folder, read_number(store, &folder, SCOPE))?;
    let header = noted(report, &folder, read_header(store, &folder))?;
    let synced = directory.witness()?.map_or(0, |witness| witness.synced);
    if header.is_some_and(|header| header.batch < synced) {
        report.add(&folder, LOST);
        has_lost = true;
    }
    has_lost |= header.is_none();
    verify(store, report)?;
    let newest = header.map_or(0, |header| header.batch).max(synced);
    Ok(Some(Examined { view, header, newest, has_lost }))
}

/// Damage becomes a problem; everything else stays an error.
fn noted<T>(
    report: &mut CheckReport,
    path: &Path,
    result: Result<T, DiskError>,
) -> Result<Option<T>, DiskError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == DiskErrorKind::Corrupt => {
            report.add_error(path, &error);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Reads and verifies every record.
fn verify(store: &Store, report: &mut CheckReport) -> Result<(), DiskError> {
    let mut states = Vec::new();
    let problems = for_each(store, Space::Channels, &[], |(key, value)| {
        report.channels = report.channels.saturating_add(1);
        match (channel_name(key), ChannelState::decode(key, value)) {
            (Some(name), Some(state)) => states.push((name, state)),
            _ => report.add(
                &store.folder(Space::Channels),
                format!("the record of the channel `{}` is damaged", key.escape_ascii()),
            ),
        }
    })?;
    add_all(report, problems);
    for (name, state) in states {
        verify_channel(store, report, &name, &state)?;
    }
    for (space, is_valid) in [
        (Space::Keys, (|key, value| KeyRecord::decode(key, value).is_some()) as fn(&[u8], &[u8]) -> bool),
        (Space::Ages, |key, value| AgeRecord::decode(key, value).is_some()),
        (Space::Values, |key, value| ValueRecord::decode(key, value).is_some()),
    ] {
        let mut count = 0_u64;
        let problems = for_each(store, space, &[], |(key, value)| {
            count = count.saturating_add(1);
            if !is_valid(key, value) {
                report.add(&store.folder(space), format!("the record `{}` is damaged", key.escape_ascii()));
            }
        })?;
        add_all(report, problems);
        match space {
            Space::Keys => report.keys = count,
            Space::Values => report.values = count,
            _ => {}
        }
    }
    Ok(())
}

fn add_all(report: &mut CheckReport, problems: Vec<Problem>) {
    for problem in problems {
        report.add(&problem.path, problem.description);
    }
}

fn verify_channel(
    store: &Store,
    report: &mut CheckReport,
    name: &ChannelName,
    state: &ChannelState,
) -> Result<(), DiskError> {
    let folder = store.folder(Space::Publications);
    let mut expected = state.oldest;
    let problems = for_each(store, Space::Publications, &state.id.to_be_bytes(), |(key, value)| {
        let last = split_run_key(key).map_or(0, |(_, last)| last);
        if last < state.oldest {
            // It is no longer part of the history.
            return;
        }
        let wanted = state.oldest..=u64::MAX;
        let publications = Run::open(key, value).and_then(|run| run.publications(&wanted));
        let Some(publications) = publications else {
            report.add(&folder, format!("the record of publications up to {last} of `{name}` is damaged"));
            expected = last.saturating_add(1);
            return;
        };
        let count = u64::try_from(publications.len()).unwrap_or(u64::MAX);
        report.publications = report.publications.saturating_add(count);
        if publications.first().is_some_and(|first| first.publication.offset != expected) {
            report.add(&folder, format!("the publications {expected} and following of `{name}` are missing"));
        }
        expected = last.saturating_add(1);
    })?;
    add_all(report, problems);
    if expected <= state.newest {
        report
            .add(&folder, format!("the publications {expected} to {} of `{name}` are missing", state.newest));
    }
    Ok(())
}

/// Calls a function with every readable entry in the order of the keys. Returns the unreadable places.
fn for_each(
    store: &Store,
    space: Space,
    prefix: &[u8],
    mut f: impl FnMut((&[u8], &[u8])),
) -> Result<Vec<Problem>, DiskError> {
    let mut last = prefix.to_vec();
    let mut failed = None;
    for entry in store.prefix(space, prefix) {
        match entry {
            Ok((key, value)) => {
                f((&key, &value));
                last = key.to_vec();
            }
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    let Some(error) = failed else { return Ok(Vec::new()) };
    if error.kind() != DiskErrorKind::Corrupt {
        return Err(error);
    }
    // The part behind the damage is readable from its end.
    let behind: Vec<Entry> = store
        .prefix(space, prefix)
        .rev()
        .map_while(|entry| entry.ok().filter(|(key, _)| **key > *last))
        .collect();
    for (key, value) in behind.iter().rev() {
        f((key, value));
    }
    let description = format!("records behind `{}` are unreadable: {error}", last.escape_ascii());
    Ok(vec![Problem { path: store.folder(space), description }])
}

/// Drops everything that can't be read, and changes the epochs of the channels that lost something. Of a channel its newest
/// readable publications without a gap remain. The whole damaged storage is kept in a folder of the directory.
///
/// The readable rest is copied into a new storage, which then takes the place of the old one. So this needs as much room as the
/// data, and after an interruption it can be repeated.
///
/// # Errors
/// The directory is in use, of a newer version or not accessible, or the damage can't be repaired. The message describes the
/// next step.
pub fn repair(path: impl AsRef<Path>) -> Result<RepairReport, DiskError> {
    let mut directory = Directory::open(path.as_ref(), Purpose::Repair)?;
    let mut report = RepairReport::default();
    if let Err(error) = directory.check_repair() {
        report.problems.push(Problem::from_error(directory.path(), &error));
        report.kept = directory.complete_repair()?;
        report.all_epochs_changed = true;
    }
    directory.clean()?;
    let mut found = CheckReport::default();
    let examined = examine(&mut directory, &mut found)?;
    if found.problems.is_empty() {
        return Ok(report);
    }
    report.problems.append(&mut found.problems);
    if let Some(Examined { view, header, newest, has_lost }) = examined {
        report.all_epochs_changed |= has_lost;
        let header = header.unwrap_or_else(|| Header {
            // New channels must not get ids that are in use.
            next_id: crate::random() >> 1,
            clock: unix_milliseconds(),
            ..Header::default()
        });
        let generation = if has_lost { crate::random() } else { header.generation };
        let header = Header { generation, batch: newest, ..header };
        let (header, kept) = directory.replace_store(|folder| {
            let copied = copy_readable(&view.store, folder, header, &mut report.lost);
            // Its links lead to the damaged storage, which is moved next.
            drop(view);
            copied
        })?;
        report.kept = kept;
        complete(&mut directory, &header)?;
    }
    directory.repair_format()?;
    Ok(report)
}

/// Copies every readable record into a new store.
fn copy_readable(
    store: &Store,
    into: &Path,
    header: Header,
    all_lost: &mut Vec<LostPublications>,
) -> Result<Header, DiskError> {
    let mut copy = Copy::create(into, header, &options())?;
    let mut channels = HashMap::new();
    for_each(store, Space::Channels, &[], |(key, value)| {
        if let (Some(name), Some(state)) = (channel_name(key), ChannelState::decode(key, value)) {
            channels.insert(name, state);
        }
    })?;
    for (name, state) in channels {
        let (state, publications, lost) = readable_channel(store, state)?;
        if lost > 0 {
            all_lost.push(LostPublications { channel: name.clone(), publications: lost });
        }
        let key = name.as_str().as_bytes();
        copy.put(Space::Channels, key, state.encode(key))?;
        for piece in Run::pieces(&publications) {
            let (key, value) = Run::encode(state.id, piece);
            copy.put(Space::Publications, &key, value)?;
        }
    }
    let mut error = None;
    let (mut keys, mut has_lost_keys) = (0_u64, false);
    for space in [Space::Keys, Space::Ages, Space::Values] {
        let problems = for_each(store, space, &[], |(key, value)| {
            let is_valid = match space {
                Space::Keys => KeyRecord::decode(key, value).is_some(),
                Space::Ages => AgeRecord::decode(key, value).is_some(),
                _ => ValueRecord::decode(key, value).is_some(),
            };
            if is_valid {
                keys = keys.saturating_add(u64::from(space == Space::Ages));
                error = error.take().or(copy.put(space, key, value.to_vec()).err());
            }
            has_lost_keys |= !is_valid && space == Space::Keys;
        })?;
        has_lost_keys |= !problems.is_empty() && space == Space::Keys;
    }
    if let Some(error) = error {
        return Err(error);
    }
    // A lost key would let a repeat pass. Clients of another scope do not repeat.
    let scope = match read_number(store, into, SCOPE) {
        Ok(scope) if !has_lost_keys => scope,
        _ => crate::random(),
    };
    copy.finish(scope, keys)
}

/// The newest publications of a channel without gaps, its state with them alone, and the number of those that are lost. Its
/// epoch is new if something is missing.
fn readable_channel(
    store: &Store,
    state: ChannelState,
) -> Result<(ChannelState, Vec<Stored>, u64), DiskError> {
    let mut state = state;
    let mut readable: Vec<Stored> = Vec::new();
    for_each(store, Space::Publications, &state.id.to_be_bytes(), |(key, value)| {
        let wanted = state.oldest..=state.newest;
        let publications = Run::open(key, value).and_then(|run| run.publications(&wanted));
        for stored in publications.unwrap_or_default() {
            let next = Some(stored.publication.offset);
            if readable.last().is_some_and(|last| last.publication.offset.checked_add(1) != next) {
                readable.clear();
            }
            readable.push(stored);
        }
    })?;
    let before = state.newest.saturating_add(1).saturating_sub(state.oldest);
    let lost = before.saturating_sub(u64::try_from(readable.len()).unwrap_or(u64::MAX));
    if let Some(last) = readable.last().filter(|last| last.publication.offset != state.newest) {
        // In the new epoch the offsets go on behind the newest readable one.
        let bytes = u64::try_from(last.publication.payload.data.len()).unwrap_or(u64::MAX);
        state.newest = last.publication.offset;
        state.newest_expires = last.head.expires;
        state.bytes = last.head.bytes_before.saturating_add(bytes);
    }
    match readable.first() {
        Some(first) => state.set_oldest(first.publication.offset, first.head),
        None => state.set_empty(),
    }
    state.swept = state.oldest;
    if lost > 0 {
        state.epoch = crate::random();
    }
    Ok((state, readable, lost))
}

pub(crate) fn options() -> DiskOptions {
    DiskOptions::default().cache_bytes(16 * 1024 * 1024)
}

const MAX_PROBLEMS: usize = 1000;
