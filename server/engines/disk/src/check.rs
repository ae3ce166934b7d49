//! The check and the repair of a data directory that no engine uses.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use wirehub_common::ChannelName;

use crate::clock::unix_milliseconds;
use crate::copy::{Copy, complete};
use crate::directory::{Directory, sync_folder};
use crate::error::{DiskError, DiskErrorKind};
use crate::journal::{self, Journal};
use crate::open::{SCOPE, read_number};
use crate::options::DiskOptions;
use crate::record::{
    AgeRecord, ChannelState, Header, KeyRecord, Stored, ValueRecord, channel_name, publication_key,
    split_publication_key,
};
use crate::store::{Changes, Entry, Space, Store};
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
    pub lost: Vec<ChannelName>,
    /// `true` if any channel may have lost something, so that the epochs of all have changed.
    pub all_epochs_changed: bool,
    /// The folder with the damaged files.
    pub kept: Option<PathBuf>,
}

/// Reads and verifies every record of a data directory, and changes nothing in its records.
///
/// # Errors
/// The directory is in use, of a newer version, or not accessible. Damage is no error, but part of the report.
pub fn check(path: impl AsRef<Path>) -> Result<CheckReport, DiskError> {
    let mut directory = Directory::open(path.as_ref(), false)?;
    let mut report = CheckReport::default();
    if let Some(store) = open_for_check(&mut directory, &mut report)? {
        verify(&store, &mut report)?;
    }
    Ok(report)
}

/// The store; `None` if it can't be opened without a change.
fn open_for_check(directory: &mut Directory, report: &mut CheckReport) -> Result<Option<Store>, DiskError> {
    let folder = directory.store();
    match directory.prepare_store() {
        // Never used.
        Ok(true) => return Ok(None),
        Ok(false) => {}
        Err(error) => return as_problem(report, &folder, error),
    }
    let witness = directory.witness()?;
    let opened = journal::check(&folder).and_then(|()| Store::open(&folder, &options()));
    let store = match opened {
        Ok(store) => store,
        Err(error) => return as_problem(report, &folder, error),
    };
    match read_header(&store, &folder) {
        Ok(header) if witness.as_ref().is_some_and(|witness| header.batch < witness.synced) => {
            report.add(&folder, "the newest acknowledged publications are missing");
        }
        Ok(_) => {}
        Err(error) => drop(as_problem(report, &folder, error)?),
    }
    Ok(Some(store))
}

/// Damage becomes a problem; everything else stays an error.
fn as_problem(report: &mut CheckReport, path: &Path, error: DiskError) -> Result<Option<Store>, DiskError> {
    if error.kind() != DiskErrorKind::Corrupt {
        return Err(error);
    }
    report.add(path, error.to_string());
    Ok(None)
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
        let offset = split_publication_key(key).map_or(0, |(_, offset)| offset);
        if offset < state.oldest {
            // It is no longer part of the history.
            return;
        }
        report.publications = report.publications.saturating_add(1);
        if offset != expected {
            report.add(&folder, format!("the publications {expected} and following of `{name}` are missing"));
        }
        expected = offset.saturating_add(1);
        if Stored::decode(key, value).is_none() {
            report.add(&folder, format!("the publication {offset} of `{name}` is damaged"));
        }
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

/// Drops everything that can't be read, and changes the epochs of the channels that lost something. The damaged files are kept
/// in a folder of the directory.
///
/// # Errors
/// The directory is in use, of a newer version or not accessible, or the damage can't be repaired. The message describes the
/// next step.
pub fn repair(path: impl AsRef<Path>) -> Result<RepairReport, DiskError> {
    let mut directory = Directory::open(path.as_ref(), false)?;
    let folder = directory.store();
    let mut report = RepairReport::default();
    if directory.prepare_store()? {
        return Ok(report);
    }
    let kept = directory.path().join(format!("damaged-{}", unix_milliseconds()));
    if let Err(error) = journal::check(&folder) {
        if error.kind() != DiskErrorKind::Corrupt {
            return Err(error);
        }
        report.problems.push(Problem { path: folder.clone(), description: error.to_string() });
        repair_journals(&folder, &kept)?;
        report.kept = Some(kept.clone());
        report.all_epochs_changed = true;
    }
    let store = Store::open(&folder, &options()).map_err(beyond_repair)?;
    let witness = directory.witness()?;
    let header = match read_header(&store, &folder) {
        Ok(header) => header,
        Err(error) if error.kind() == DiskErrorKind::Corrupt => {
            report.problems.push(Problem { path: folder.clone(), description: error.to_string() });
            report.all_epochs_changed = true;
            // New channels must not get ids that are in use.
            Header { next_id: crate::random() >> 1, clock: unix_milliseconds(), ..Header::default() }
        }
        Err(error) => return Err(error),
    };
    if witness.is_some_and(|witness| header.batch < witness.synced) {
        let description = "the newest acknowledged publications are missing".to_owned();
        report.problems.push(Problem { path: folder.clone(), description });
        report.all_epochs_changed = true;
    }
    let mut found = CheckReport::default();
    verify(&store, &mut found)?;
    let is_damaged = !found.problems.is_empty() || header.batch == 0;
    report.problems.extend(found.problems);
    if report.problems.is_empty() {
        return Ok(report);
    }
    let generation = if report.all_epochs_changed { crate::random() } else { header.generation };
    let mut header = Header { generation, ..header };
    if is_damaged {
        let new = directory.path().join("repaired");
        remove_folder(&new)?;
        header = copy_readable(&store, &new, header, &mut report)?;
        drop(store);
        move_folder(&folder, &kept)?;
        fs::rename(&new, &folder).map_err(|error| DiskError::io(&folder, error))?;
        report.kept = Some(kept);
    } else {
        header.batch = header.batch.saturating_add(1);
        store.commit(&header, &Changes::default(), true)?;
    }
    complete(&mut directory, &header)?;
    Ok(report)
}

/// Keeps the readable batches of each journal, also those behind damage.
fn repair_journals(store: &Path, kept: &Path) -> Result<(), DiskError> {
    fs::create_dir_all(kept).map_err(|error| DiskError::io(kept, error))?;
    for path in journal::paths(store)? {
        let failed = |error| DiskError::io(&path, error);
        let bytes = fs::read(&path).map_err(failed)?;
        let Journal { batches, torn_at } = journal::read(&bytes);
        let Some(torn_at) = torn_at else { continue };
        let Some(name) = path.file_name() else { continue };
        fs::copy(&path, kept.join(name)).map_err(failed)?;
        let mut readable = Vec::new();
        let mut end = 0;
        let behind = journal::headers_behind(&bytes, torn_at)
            .filter_map(|(start, _)| journal::batch_at(&bytes, start));
        for batch in batches.into_iter().chain(behind) {
            if batch.start >= end {
                readable.extend_from_slice(bytes.get(batch.start..batch.end).unwrap_or_default());
                end = batch.end;
            }
        }
        let new = path.with_extension("new");
        let write = || {
            fs::write(&new, &readable)?;
            fs::File::open(&new)?.sync_all()?;
            fs::rename(&new, &path)?;
            sync_folder(store)
        };
        write().map_err(failed)?;
    }
    Ok(())
}

/// Copies every readable record into a new store.
fn copy_readable(
    store: &Store,
    into: &Path,
    header: Header,
    report: &mut RepairReport,
) -> Result<Header, DiskError> {
    let mut copy = Copy::create(into, header, &options())?;
    let mut channels = HashMap::new();
    for_each(store, Space::Channels, &[], |(key, value)| {
        if let (Some(name), Some(state)) = (channel_name(key), ChannelState::decode(key, value)) {
            channels.insert(name, state);
        }
    })?;
    for (name, state) in channels {
        let (state, publications, has_lost) = readable_channel(store, state)?;
        if has_lost {
            report.lost.push(name.clone());
        }
        let key = name.as_str().as_bytes();
        copy.put(Space::Channels, key, state.encode(key))?;
        for stored in publications {
            let key = publication_key(state.id, stored.publication.offset);
            copy.put(Space::Publications, &key, stored.encode(&key))?;
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

/// The newest publications of a channel without gaps, and its state with them alone. Its epoch is new if something is missing.
fn readable_channel(
    store: &Store,
    state: ChannelState,
) -> Result<(ChannelState, Vec<Stored>, bool), DiskError> {
    let mut state = state;
    let mut readable: Vec<Stored> = Vec::new();
    for_each(store, Space::Publications, &state.id.to_be_bytes(), |(key, value)| {
        let offset = split_publication_key(key).map_or(0, |(_, offset)| offset);
        if offset < state.oldest || offset > state.newest {
            return;
        }
        let Some(stored) = Stored::decode(key, value) else { return readable.clear() };
        let follows = |last: &Stored| last.publication.offset.checked_add(1) == Some(offset);
        if readable.last().is_some_and(|last| !follows(last)) {
            readable.clear();
        }
        readable.push(stored);
    })?;
    let ends_well = readable.last().map_or(state.is_empty(), |last| last.publication.offset == state.newest);
    if !ends_well {
        readable.clear();
    }
    let first = readable.first().map(|stored| (stored.publication.offset, stored.head));
    let has_lost = first.map_or(state.oldest <= state.newest, |(offset, _)| offset != state.oldest);
    match first {
        Some((offset, head)) => state.set_oldest(offset, head),
        None => state.set_empty(),
    }
    state.swept = state.oldest;
    if has_lost {
        state.epoch = crate::random();
    }
    Ok((state, readable, has_lost))
}

fn beyond_repair(error: DiskError) -> DiskError {
    if error.kind() != DiskErrorKind::Corrupt {
        return error;
    }
    let message = format!(
        "this damage can't be repaired: restore a backup, or move the directory away to begin with an empty one ({error})"
    );
    DiskError::corrupt(message).with(error)
}

fn move_folder(from: &Path, to: &Path) -> Result<(), DiskError> {
    fs::create_dir_all(to)
        .and_then(|()| fs::rename(from, to.join("store")))
        .map_err(|error| DiskError::io(to, error))
}

fn remove_folder(path: &Path) -> Result<(), DiskError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(DiskError::io(path, error)),
        _ => Ok(()),
    }
}

fn options() -> DiskOptions {
    DiskOptions::default().cache_bytes(16 * 1024 * 1024)
}

const MAX_PROBLEMS: usize = 1000;
