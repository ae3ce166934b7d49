//! The storage below: the only file, with `journal.rs` and `layout.rs`, that knows fjall.

use std::fmt;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::error::{DiskError, DiskErrorKind};
use crate::options::DiskOptions;
use crate::record::Header;

/// A part of the store with keys of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Space {
    /// The header, the format, the scope of keys.
    Meta,
    /// The states of channels, by name.
    Channels,
    Publications,
    Keys,
    /// The keys by age.
    Ages,
    /// Durable values of other concerns.
    Values,
}

impl Space {
    pub(crate) const ALL: [Self; 6] =
        [Self::Meta, Self::Channels, Self::Publications, Self::Keys, Self::Ages, Self::Values];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Channels => "channels",
            Self::Publications => "publications",
            Self::Keys => "keys",
            Self::Ages => "ages",
            Self::Values => "values",
        }
    }
}

/// Changes that are written together or not at all. Each key occurs once.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    list: Vec<(Space, fjall::UserKey, Option<Value>)>,
    bytes: usize,
}

impl Changes {
    pub(crate) fn put(&mut self, space: Space, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let (key, value) = (key.as_ref(), value.as_ref());
        self.bytes = self.bytes.saturating_add(key.len()).saturating_add(value.len());
        self.list.push((space, key.into(), Some(value.into())));
    }

    pub(crate) fn remove(&mut self, space: Space, key: impl AsRef<[u8]>) {
        let key = key.as_ref();
        self.bytes = self.bytes.saturating_add(key.len());
        self.list.push((space, key.into(), None));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// The size of all keys and values.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// An open store.
pub(crate) struct Store {
    path: PathBuf,
    database: Database,
    spaces: [Keyspace; 6],
    /// The size at which the memory of a space has to be sealed before anything is added, in bytes.
    max_memory: u64,
}

pub(crate) type Value = fjall::UserValue;
pub(crate) type Entry = (fjall::UserKey, Value);

impl Store {
    /// Opens the store in that folder. Nothing is changed if a file is missing.
    pub(crate) fn open(path: &Path, options: &DiskOptions) -> Result<Self, DiskError> {
        crate::layout::check(path)?;
        // It has no content, and the storage requires it.
        let lock = path.join("lock");
        let opened = std::fs::OpenOptions::new().write(true).create(true).truncate(false).open(&lock);
        opened.map_err(|error| DiskError::io(&lock, error))?;
        Self::create(path, options)
    }

    /// Creates the store in that folder, or opens one whose files were checked.
    pub(crate) fn create(path: &Path, options: &DiskOptions) -> Result<Self, DiskError> {
        // Some kinds of damage make the library panic.
        let opened = in_background(|| Self::open_unguarded(path, options))
            .unwrap_or_else(|_| Err(corrupt(path, "its structure is damaged")));
        match opened {
            Err(error) if error.kind() == DiskErrorKind::Corrupt => Err(crate::layout::damaged_table(path)
                .map_or(error, |table| {
                    corrupt(&table, "the table does not match its checksum, and the storage can't be opened")
                })),
            opened => opened,
        }
    }

    /// The same store, which calls itself by another path in its messages.
    pub(crate) fn shown_as(self, path: &Path) -> Self {
        Self { path: path.to_owned(), ..self }
    }

    fn open_unguarded(path: &Path, options: &DiskOptions) -> Result<Self, DiskError> {
        let cache = u64::try_from(options.cache_bytes / 2).unwrap_or(u64::MAX);
        let builder = Database::builder(path).cache_size(cache).max_journaling_size(JOURNAL_BYTES);
        let database = builder.worker_threads(2).open().map_err(|error| failure(path, error))?;
        let space = |space: Space| {
            let settings = || KeyspaceCreateOptions::default().max_memtable_size(options.memtable_bytes);
            database.keyspace(space.name(), settings).map_err(|error| failure(path, error))
        };
        let [a, b, c, d, e, f] = Space::ALL.map(space);
        let spaces = [a?, b?, c?, d?, e?, f?];
        let max_memory = options.memtable_bytes.saturating_mul(2);
        Ok(Self { path: path.to_owned(), database, spaces, max_memory })
    }

    /// The folder of the store.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn space(&self, space: Space) -> &Keyspace {
        let [meta, channels, publications, keys, ages, values] = &self.spaces;
        match space {
            Space::Meta => meta,
            Space::Channels => channels,
            Space::Publications => publications,
            Space::Keys => keys,
            Space::Ages => ages,
            Space::Values => values,
        }
    }

    /// The folder of a space's files.
    pub(crate) fn folder(&self, space: Space) -> PathBuf {
        let name = self.space(space).path().file_name().unwrap_or_default();
        self.path.join("keyspaces").join(name)
    }

    pub(crate) fn get(&self, space: Space, key: &[u8]) -> Result<Option<Value>, DiskError> {
        self.space(space).get(key).map_err(|error| failure(&self.folder(space), error))
    }

    /// The entries between two keys, as they are now.
    pub(crate) fn scan(
        &self,
        space: Space,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
    ) -> impl DoubleEndedIterator<Item = Result<Entry, DiskError>> + use<'_> {
        let entries = self.space(space).range::<&[u8], _>((from, to));
        entries.map(move |entry| entry.into_inner().map_err(|error| failure(&self.folder(space), error)))
    }

    /// Their keys.
    pub(crate) fn keys(
        &self,
        space: Space,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
    ) -> impl Iterator<Item = Result<fjall::UserKey, DiskError>> + use<'_> {
        let entries = self.space(space).range::<&[u8], _>((from, to));
        entries.map(move |entry| entry.key().map_err(|error| failure(&self.folder(space), error)))
    }

    /// The entries whose keys begin with these bytes.
    pub(crate) fn prefix(
        &self,
        space: Space,
        prefix: &[u8],
    ) -> impl DoubleEndedIterator<Item = Result<Entry, DiskError>> + use<'_> {
        let entries = self.space(space).prefix(prefix);
        entries.map(move |entry| entry.into_inner().map_err(|error| failure(&self.folder(space), error)))
    }

    /// A view of one moment.
    pub(crate) fn snapshot(&self) -> Snapshot<'_> {
        Snapshot { store: self, snapshot: self.database.snapshot() }
    }

    /// Writes changes, and synchronises them to the disk if wanted.
    pub(crate) fn commit(&self, header: &Header, changes: &Changes, sync: bool) -> Result<(), DiskError> {
        self.wait_for_room()?;
        let mode = if sync { PersistMode::SyncData } else { PersistMode::Buffer };
        let room = changes.len().saturating_add(1);
        let mut batch =
            fjall::OwnedWriteBatch::with_capacity(self.database.clone(), room).durability(Some(mode));
        // The first one, because a damaged file is searched for it.
        batch.insert(self.space(Space::Meta), Header::KEY, header.encode());
        for (space, key, value) in &changes.list {
            match value {
                Some(value) => batch.insert(self.space(*space), key.clone(), value.clone()),
                None => batch.remove(self.space(*space), key.clone()),
            }
        }
        batch.commit().map_err(|error| failure(&self.path, error))
    }

    /// The size of the files; `None` after a failure.
    pub(crate) fn bytes(&self) -> Option<u64> {
        self.database.disk_space().ok()
    }

    /// Waits while the storage has too much to tidy up. It would wait itself, but for ever if its own threads have failed.
    fn wait_for_room(&self) -> Result<(), DiskError> {
        self.seal_large_memory()?;
        while self.spaces.iter().any(|space| {
            space.sealed_memtable_count() > MAX_SEALED || space.l0_table_count() > MAX_YOUNG_TABLES
        }) {
            self.database.persist(PersistMode::Buffer).map_err(|error| failure(&self.path, error))?;
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        Ok(())
    }

    /// Begins a new memory for each space whose present one is too large, so that the old one is written into a table. The storage
    /// does that on its own threads, which have a low priority: the memory would grow until they get to it.
    fn seal_large_memory(&self) -> Result<(), DiskError> {
        use fjall::AbstractTree as _;
        for space in &self.spaces {
            if space.tree.active_memtable().size() > self.max_memory {
                space.rotate_memtable().map_err(|error| failure(&self.path, error))?;
            }
        }
        Ok(())
    }

    /// The storage's number of the newest batch that is in tables.
    #[cfg(test)]
    pub(crate) fn newest_in_tables(&self) -> Option<u64> {
        use fjall::AbstractTree as _;
        self.spaces.iter().filter_map(|space| space.tree.get_highest_persisted_seqno()).max()
    }

    /// Writes a space from memory into tables. Returns the folder of its files.
    #[cfg(test)]
    pub(crate) fn flush(&self, space: Space) -> Result<PathBuf, DiskError> {
        let result = self.space(space).rotate_memtable_and_wait();
        result.map_err(|error| failure(&self.path, error))?;
        Ok(self.folder(space))
    }

    /// An error of the storage's own threads, if there was one.
    pub(crate) fn check(&self) -> Result<(), DiskError> {
        self.database.persist(PersistMode::Buffer).map_err(|error| failure(&self.path, error))
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("path", &self.path).finish_non_exhaustive()
    }
}

/// A view of the store at one moment.
pub(crate) struct Snapshot<'a> {
    store: &'a Store,
    snapshot: fjall::Snapshot,
}

impl Snapshot<'_> {
    pub(crate) fn get(&self, space: Space, key: &[u8]) -> Result<Option<Value>, DiskError> {
        use fjall::Readable;
        let value = self.snapshot.get(self.store.space(space), key);
        value.map_err(|error| failure(&self.store.folder(space), error))
    }

    pub(crate) fn scan(
        &self,
        space: Space,
        from: Bound<&[u8]>,
    ) -> impl DoubleEndedIterator<Item = Result<Entry, DiskError>> + use<'_> {
        use fjall::Readable;
        let entries = self.snapshot.range::<&[u8], _>(self.store.space(space), (from, Bound::Unbounded));
        entries
            .map(move |entry| entry.into_inner().map_err(|error| failure(&self.store.folder(space), error)))
    }
}

/// Runs work on a thread with a lower priority, and catches its panics. The threads that the work starts inherit the priority: the
/// storage's own ones, which write tables and merge them. On a busy core they would take as much of it as the writer, and a
/// publish would wait for a fifth of a second now and then. If they get too little, the writer waits for them,
/// see [`Store::wait_for_room`].
fn in_background<T: Send>(work: impl FnOnce() -> T + Send) -> std::thread::Result<T> {
    std::thread::scope(|scope| {
        let lowered = || {
            #[cfg(target_os = "linux")]
            if let Err(error) = rustix::process::nice(BACKGROUND) {
                tracing::debug!(%error, "the storage's threads keep the priority of the others");
            }
            work()
        };
        scope.spawn(lowered).join()
    })
}

/// The niceness that is added: a tenth of the time of a thread without it, where both want the same core.
#[cfg(target_os = "linux")]
const BACKGROUND: i32 = 10;

/// Every journal together; a start reads them. Two files at least.
const JOURNAL_BYTES: u64 = 128 * 1024 * 1024;

/// Below the numbers at which the library itself waits.
const MAX_SEALED: usize = 2;
const MAX_YOUNG_TABLES: usize = 18;

fn failure(path: &Path, error: fjall::Error) -> DiskError {
    match error {
        fjall::Error::Io(error) => io_failure(path, error),
        fjall::Error::Storage(fjall::LsmError::Io(error)) => io_failure(path, error),
        fjall::Error::Locked => in_use(path),
        fjall::Error::Poisoned => DiskError::new(
            DiskErrorKind::Unavailable,
            format!("{}: an earlier write failed; the store is opened again soon", path.display()),
        ),
        fjall::Error::InvalidVersion(Some(version)) => DiskError::new(
            DiskErrorKind::NewerFormat,
            format!("{}: the storage has the unknown version {version}: use a newer program", path.display()),
        ),
        error => {
            let reason = match &error {
                fjall::Error::JournalRecovery(_) => "a journal is damaged",
                fjall::Error::InvalidVersion(None) => "the file `version` is damaged",
                fjall::Error::Storage(_) => "a table is damaged",
                _ => "files are damaged or missing",
            };
            corrupt(path, reason).with(error)
        }
    }
}

fn io_failure(path: &Path, error: io::Error) -> DiskError {
    match error.kind() {
        io::ErrorKind::NotFound => corrupt(path, "a file is missing").with(error),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => {
            corrupt(path, "a file is too short or damaged").with(error)
        }
        _ => DiskError::io(path, error),
    }
}

/// Damage at an unknown place.
pub(crate) fn corrupt(path: &Path, reason: &str) -> DiskError {
    DiskError::corrupt(format!("{}: {reason}: {}", path.display(), crate::check::REMEDY))
}

pub(crate) fn in_use(path: &Path) -> DiskError {
    DiskError::new(
        DiskErrorKind::InUse,
        format!("{}: another process uses this directory: stop it, or use another directory", path.display()),
    )
}
