//! The opening of a data directory.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::thread::{Builder, JoinHandle};

use parking_lot::{Mutex, RwLock};
use wirehub_hub::engine::{KeyWindow, RecordKind};

use crate::channels::Channels;
use crate::clock::{Clock, promised, reached, unix_milliseconds};
use crate::directory::{Directory, FORMAT, Purpose, Witness, boot, require_format};
use crate::error::DiskError;
use crate::figures::Figures;
use crate::options::{DiskOptions, Durability};
use crate::queue::Queue;
use crate::record::{Composer, Header, Reader};
use crate::shared::{Damaged, End, Jobs, Shared, name};
use crate::store::{Changes, Space, Store, corrupt};
use crate::sync::Syncs;
use crate::writer::{Writer, read_header};

/// Opens a directory, and starts the threads.
pub(crate) fn open(
    path: &Path,
    options: DiskOptions,
) -> Result<(Arc<Shared>, Vec<JoinHandle<()>>), DiskError> {
    let mut directory = Directory::open(path, Purpose::Use)?;
    let (store, mut header) = open_store(&mut directory, &options)?;
    let folder = directory.store();
    let scope = read_number(&store, &folder, SCOPE)?;
    let clock = Clock::new(options.clock.clone(), header.clock);
    let time = Clock::new(options.clock.clone(), reached(header.clock));
    let keys = KeyWindow::new(name(scope, header.generation));
    if header.forgotten_until > 0 {
        keys.forget_early(header.forgotten_until);
    }
    let mut values = HashMap::new();
    let now = time.now().min(unix_milliseconds());
    for kind in RecordKind::ALL.map(RecordKind::number) {
        values.insert(kind, crate::read::values(&store, &folder, kind, now)?);
    }
    // The promised time must be on the disk before it is announced.
    header.clock = promised(&clock, header.clock);
    header.batch = header.batch.saturating_add(1);
    // Everything before is on the disk: the storage synchronises its journal when it opens it.
    header.synced = header.batch.saturating_sub(1);
    store.commit(&header, &Changes::default(), true)?;
    let may_lose = options.durability != Durability::Always;
    let witness = Witness { synced: header.batch, acknowledged: header.batch, may_lose, boot: boot() };
    directory.set_witness(&witness, true).map_err(|error| DiskError::io(directory.path(), error))?;
    let shared = Arc::new(Shared {
        path: path.to_owned(),
        clock,
        time,
        queue: Queue::new(options.queue_bytes, options.queue_requests),
        channels: Channels::new(options.cache_bytes / 2),
        jobs: Jobs::new(),
        target: OnceLock::new(),
        store: RwLock::new(Some(Arc::new(store))),
        health: Mutex::new(None),
        keys,
        scope,
        generation: header.generation,
        no_epoch: Arc::from(""),
        damaged: Damaged::default(),
        figures: Figures::default(),
        backup: Mutex::default(),
        values: Mutex::new(values),
        end: End::default(),
        clock_limit: AtomicU64::new(header.clock),
        synced: AtomicU64::new(header.batch),
        written: AtomicU64::new(header.batch),
        options,
    });
    let mut threads = Vec::new();
    let failed = |error| DiskError::io(path, error);
    for number in 0..shared.options.readers {
        let reader = Arc::clone(&shared);
        let builder = Builder::new().name(format!("wirehub-disk-read-{number}"));
        threads.push(builder.spawn(move || reader.jobs.work(&reader)).map_err(failed)?);
    }
    let (syncs, thread) = Syncs::start(&shared).map_err(failed)?;
    threads.push(thread);
    let writer = Writer::new(Arc::clone(&shared), directory, header, syncs);
    threads
        .push(Builder::new().name("wirehub-disk-write".into()).spawn(move || writer.run()).map_err(failed)?);
    Ok((shared, threads))
}

/// Opens the storage in a directory, and checks that nothing acknowledged is missing.
pub(crate) fn open_store(
    directory: &mut Directory,
    options: &DiskOptions,
) -> Result<(Store, Header), DiskError> {
    let folder = directory.store();
    directory.check_repair()?;
    let is_new = directory.is_unused()?;
    directory.clean()?;
    if is_new {
        directory.create_store(|folder| create(folder, options))?;
    }
    crate::journal::check(&folder)?;
    let store = Store::open(&folder, options)?;
    require_format(&folder, read_number(&store, &folder, FORMAT_KEY)?)?;
    let mut header = read_header(&store, &folder)?;
    if is_new {
        return Ok((store, header));
    }
    let witness = directory.witness()?.unwrap_or_else(Witness::unknown);
    if header.batch < witness.synced {
        return Err(corrupt(&folder, LOST));
    }
    let is_behind = header.batch < witness.acknowledged;
    if is_behind || witness.has_lost() {
        header.generation = crate::random();
    }
    if is_behind && !witness.has_lost() {
        tracing::warn!(
            "{}: the newest acknowledged publications are missing, from batch {} to {}: the end of a journal was damaged. \
             The epoch of every channel changes, and clients that come back are notified of a gap",
            folder.display(),
            header.batch.saturating_add(1),
            witness.acknowledged
        );
    }
    if witness.has_lost() {
        tracing::warn!(
            "the machine stopped before the newest publications were on the disk: the epoch of every channel changes, \
             and clients that come back are notified of a gap"
        );
    }
    Ok((store, header))
}

/// A new store with its first records.
fn create(folder: &Path, options: &DiskOptions) -> Result<(), DiskError> {
    let store = Store::create(folder, options)?;
    let header = Header { batch: 1, next_id: 1, ..Header::default() };
    let mut changes = Changes::default();
    put_number(&mut changes, FORMAT_KEY, FORMAT);
    put_number(&mut changes, SCOPE, crate::random());
    store.commit(&header, &changes, true)
}

pub(crate) fn put_number(changes: &mut Changes, key: &[u8], number: u64) {
    changes.put(Space::Meta, key, Composer::new(24).number(number).seal(key));
}

pub(crate) fn read_number(store: &Store, path: &Path, key: &[u8]) -> Result<u64, DiskError> {
    let value = store.get(Space::Meta, key)?;
    let number = value.as_deref().and_then(|value| Reader::open(key, value)?.number());
    number.ok_or_else(|| corrupt(path, &format!("the record `{}` is missing or damaged", key.escape_ascii())))
}

pub(crate) const FORMAT_KEY: &[u8] = b"format";
pub(crate) const SCOPE: &[u8] = b"scope";

pub(crate) const LOST: &str = "the newest acknowledged publications are missing";
