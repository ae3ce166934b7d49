//! Copies of stores: backups, and the readable rest of a damaged one.

use std::path::Path;

use crate::directory::{Directory, FORMAT, Purpose, Witness, boot, sync_folder};
use crate::error::{DiskError, DiskErrorKind};
use crate::open::{FORMAT_KEY, SCOPE, put_number};
use crate::options::DiskOptions;
use crate::record::Header;
use crate::shared::Shared;
use crate::store::{Changes, Space, Store, corrupt};

/// A new store that is being filled.
pub(crate) struct Copy {
    store: Store,
    header: Header,
    changes: Changes,
    bytes: usize,
}

impl Copy {
    /// An empty store in that folder, whose batches go on after that of the header. Until [`Self::finish`] it can't be opened
    /// as a whole one.
    pub(crate) fn create(folder: &Path, header: Header, options: &DiskOptions) -> Result<Self, DiskError> {
        let store = Store::create(folder, options)?;
        Ok(Self { store, header: Header { synced: 0, ..header }, changes: Changes::default(), bytes: 0 })
    }

    pub(crate) fn put(&mut self, space: Space, key: &[u8], value: Vec<u8>) -> Result<(), DiskError> {
        self.bytes = self.bytes.saturating_add(key.len()).saturating_add(value.len());
        self.changes.put(space, key, value);
        if self.bytes >= CHUNK || self.changes.len() >= CHUNK_RECORDS { self.write(false) } else { Ok(()) }
    }

    fn write(&mut self, sync: bool) -> Result<(), DiskError> {
        self.header.synced = if sync { self.header.batch } else { 0 };
        self.header.batch = self.header.batch.saturating_add(1);
        self.bytes = 0;
        self.store.commit(&self.header, &std::mem::take(&mut self.changes), sync)
    }

    /// Completes the store. Returns its header.
    pub(crate) fn finish(mut self, scope: u64, keys: u64) -> Result<Header, DiskError> {
        // Everything before is on the disk before the store counts as complete.
        self.write(true)?;
        self.header.keys = keys;
        put_number(&mut self.changes, FORMAT_KEY, FORMAT);
        put_number(&mut self.changes, SCOPE, scope);
        self.write(true)?;
        Ok(self.header)
    }
}

/// Copies the store of a running engine into a new directory.
pub(crate) fn backup(shared: &Shared, into: &Path) -> Result<(), DiskError> {
    let mut directory = Directory::open(into, Purpose::Use)?;
    if directory.check_repair().is_err() || !directory.is_unused()? {
        return Err(DiskError::new(
            DiskErrorKind::Refused,
            format!("{}: this directory has data already: use a new one for each backup", into.display()),
        ));
    }
    let source = shared.store()?;
    let expected = source.bytes().unwrap_or(0);
    check_room(shared, &directory, expected)?;
    // Of the same moment as the rest: it has the numbers of channels that were given so far.
    let snapshot = source.snapshot();
    let header = snapshot.get(Space::Meta, Header::KEY)?;
    let header = header.as_deref().and_then(Header::decode);
    let header =
        header.ok_or_else(|| corrupt(&shared.path, "the header of the store is missing or damaged"))?;
    // Clients of the original will know newer positions and keys than the copy has.
    let header = Header { generation: crate::random(), batch: 0, ..header };
    // A small cache is enough for writing.
    let options = DiskOptions::default().cache_bytes(CACHE);
    let mut copy = Copy::create(&directory.store(), header, &options)?;
    let (mut keys, mut copied) = (0_u64, 0_u64);
    for space in [Space::Channels, Space::Publications, Space::Keys, Space::Ages, Space::Values] {
        for entry in snapshot.scan(space, std::ops::Bound::Unbounded) {
            let (key, value) = entry?;
            keys = keys.saturating_add(u64::from(space == Space::Ages));
            copy.put(space, &key, value.to_vec())?;
            copied = copied.saturating_add(1);
            if copied.is_multiple_of(CHUNK_RECORDS as u64) {
                check_room(shared, &directory, 0)?;
            }
            if shared.store.read().is_none() {
                return Err(DiskError::new(
                    DiskErrorKind::Unavailable,
                    format!("{}: the engine stopped: remove this incomplete copy", into.display()),
                ));
            }
        }
    }
    let header = copy.finish(shared.scope, keys)?;
    complete(&mut directory, &header)
}

/// A backup must not take the room in which the server works: both may be on one disk.
fn check_room(shared: &Shared, directory: &Directory, expected: u64) -> Result<(), DiskError> {
    let wanted = expected.saturating_add(shared.options.free_bytes);
    match directory.free_bytes() {
        Some(free) if free < wanted => Err(DiskError::new(
            DiskErrorKind::Full,
            format!(
                "{}: only {free} bytes of the disk are free, and the backup needs {wanted}: make room, or use another disk",
                directory.path().display()
            ),
        )),
        _ => Ok(()),
    }
}

/// Marks a directory as complete, after its store has been written.
pub(crate) fn complete(directory: &mut Directory, header: &Header) -> Result<(), DiskError> {
    let witness = Witness { synced: header.batch, acknowledged: header.batch, may_lose: false, boot: boot() };
    let result = directory.set_witness(&witness, true).and_then(|()| sync_folder(directory.path()));
    result.map_err(|error| DiskError::io(directory.path(), error))
}

/// The size of a batch of a copy.
const CHUNK: usize = 1024 * 1024;
const CHUNK_RECORDS: usize = 4096;

const CACHE: usize = 8 * 1024 * 1024;
