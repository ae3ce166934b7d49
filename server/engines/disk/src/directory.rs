//! The data directory: its lock, its format, and the witness of the newest synchronised batch.
//!
//! | name | content |
//! | --- | --- |
//! | `lock` | locked while a process uses the directory |
//! | `format` | the mark of a data directory, with the version of its format |
//! | `synced` | the number of a batch that is known to be on the disk, behind by a second at most, and that of the newest acknowledged one |
//! | `store/` | the storage |

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use crate::error::{DiskError, DiskErrorKind};
use crate::record::{Composer, Reader};
use crate::store::{corrupt, in_use};

/// The version of the format of the whole directory.
pub(crate) const FORMAT: u64 = 1;

/// A locked data directory.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    witness: File,
    lock: File,
}

impl Directory {
    /// Locks a directory; creates it if it does not exist and `may_create` is `true`.
    pub(crate) fn open(path: &Path, may_create: bool) -> Result<Self, DiskError> {
        let is_new = !path.join("format").try_exists().map_err(|error| DiskError::io(path, error))?;
        if is_new {
            if !may_create {
                return Err(not_ours(path));
            }
            create(path)?;
        }
        check_format(path)?;
        let lock_path = path.join("lock");
        let mut options = OpenOptions::new();
        let lock = options.read(true).write(true).create(true).truncate(false).open(&lock_path);
        let lock = lock.map_err(|error| DiskError::io(&lock_path, error))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => in_use(path),
            TryLockError::Error(error) => DiskError::io(&lock_path, error),
        })?;
        let witness_path = path.join("synced");
        let witness =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&witness_path);
        let witness = witness.map_err(|error| DiskError::io(&witness_path, error))?;
        Ok(Self { path: path.to_owned(), witness, lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of the storage.
    pub(crate) fn store(&self) -> PathBuf {
        self.path.join(STORE)
    }

    /// Prepares the folder of the storage. Returns `true` if the storage is to be created there.
    pub(crate) fn prepare_store(&mut self) -> Result<bool, DiskError> {
        let store = self.store();
        let has_store = store.join("version").try_exists().map_err(|error| DiskError::io(&store, error))?;
        if has_store {
            return Ok(false);
        }
        if self.witness()?.is_some() {
            return Err(corrupt(&store, "the storage is missing, or its file `version`"));
        }
        // The directory was created, and nothing has been stored since.
        match fs::remove_dir_all(&store) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(DiskError::io(&store, error)),
            _ => Ok(true),
        }
    }

    /// The last report of the process that used the directory before; `None` if the storage was never used.
    pub(crate) fn witness(&mut self) -> Result<Option<Witness>, DiskError> {
        let mut bytes = Vec::new();
        let path = self.path.join("synced");
        self.witness.seek(SeekFrom::Start(0)).map_err(|error| DiskError::io(&path, error))?;
        self.witness.read_to_end(&mut bytes).map_err(|error| DiskError::io(&path, error))?;
        // It is overwritten in place, so it may be damaged after a loss of power.
        Ok((!bytes.is_empty()).then(|| Witness::decode(&bytes).unwrap_or_else(Witness::unknown)))
    }

    /// Writes a report. It is synchronised only on request, because an older one is true, too.
    pub(crate) fn set_witness(&mut self, witness: &Witness, sync: bool) -> io::Result<()> {
        write_at_start(&mut self.witness, &witness.encode())?;
        if sync { self.witness.sync_all() } else { Ok(()) }
    }

    /// Checks that the directory is still at its path. Another process may use a new one there.
    pub(crate) fn check_place(&self) -> Result<(), DiskError> {
        let there = fs::metadata(self.path.join("lock"));
        let is_same =
            there.is_ok_and(|there| self.lock.metadata().is_ok_and(|ours| is_same_file(&there, &ours)));
        if is_same {
            return Ok(());
        }
        let path = self.path.display();
        Err(DiskError::new(
            DiskErrorKind::Unavailable,
            format!(
                "{path}: the data directory was removed or replaced: bring it back, or restart the server"
            ),
        ))
    }

    /// The free space of the file system; `None` if it is unknown.
    pub(crate) fn free_bytes(&self) -> Option<u64> {
        free_bytes(&self.path)
    }

    /// Checks that a file can be written and synchronised.
    pub(crate) fn probe(&self) -> io::Result<()> {
        let path = self.path.join("probe");
        let result = File::create(&path).and_then(|mut file| {
            file.write_all(&vec![0x55; PROBE_BYTES])?;
            file.sync_all()
        });
        let removed = fs::remove_file(&path);
        result.and(removed)
    }
}

/// The report of a process about its use of the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Witness {
    /// The number of a batch that is on the disk.
    pub(crate) synced: u64,
    /// The number of the newest batch whose publications were acknowledged. The operating system has it, and the file's record
    /// is never newer on the disk than a batch that was synchronised before.
    pub(crate) acknowledged: u64,
    /// `true` if acknowledged publications may be lost when the machine stops.
    pub(crate) may_lose: bool,
    /// Identifies the time since the machine started; 0 if it is unknown.
    pub(crate) boot: u64,
}

impl Witness {
    fn unknown() -> Self {
        Self { synced: 0, acknowledged: 0, may_lose: true, boot: 0 }
    }

    /// `true` if the machine may have stopped since the report, with acknowledged publications lost.
    pub(crate) fn has_lost(&self) -> bool {
        self.may_lose && (self.boot == 0 || self.boot != boot())
    }

    fn encode(&self) -> Vec<u8> {
        let composer = Composer::new(32).number(self.synced).number(u64::from(self.may_lose));
        composer.number(self.boot).number(self.acknowledged).seal(WITNESS)
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::open(WITNESS, bytes)?;
        let (synced, may_lose, boot) = (reader.number()?, reader.number()? != 0, reader.number()?);
        Some(Self { synced, acknowledged: reader.number().unwrap_or(synced), may_lose, boot })
    }
}

/// Identifies the time since the machine started; 0 if it is unknown.
pub(crate) fn boot() -> u64 {
    fs::read("/proc/sys/kernel/random/boot_id").map_or(0, |id| xxhash_rust::xxh3::xxh3_64(&id))
}

/// Overwrites the beginning of a file: a killed process leaves the old record or the new one.
#[cfg(unix)]
fn write_at_start(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, 0)
}

#[cfg(not(unix))]
fn write_at_start(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(0))?;
    file.write_all(bytes)
}

#[cfg(unix)]
fn is_same_file(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// A file that is in use can't be removed there.
#[cfg(not(unix))]
fn is_same_file(_: &fs::Metadata, _: &fs::Metadata) -> bool {
    true
}

#[cfg(unix)]
fn free_bytes(path: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(path).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(not(unix))]
fn free_bytes(_: &Path) -> Option<u64> {
    None
}

/// Creates the directory, with the mark as its last step.
fn create(path: &Path) -> Result<(), DiskError> {
    fs::create_dir_all(path).map_err(|error| DiskError::io(path, error))?;
    if path.join(STORE).exists() {
        return Err(corrupt(&path.join("format"), "the file is missing"));
    }
    for entry in fs::read_dir(path).map_err(|error| DiskError::io(path, error))? {
        let name = entry.map_err(|error| DiskError::io(path, error))?.file_name();
        if name != "lost+found" && name != NEW_FORMAT && name != "lock" {
            return Err(not_ours(path));
        }
    }
    let write = || {
        let new = path.join(NEW_FORMAT);
        let mut file = File::create(&new)?;
        file.write_all(format!("wirehub disk {FORMAT}\n").as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path.join("format"))?;
        sync_folder(path)
    };
    write().map_err(|error| DiskError::io(path, error))
}

pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(windows) {
        // A folder can't be opened there.
        return Ok(());
    }
    File::open(path)?.sync_all()
}

fn check_format(path: &Path) -> Result<(), DiskError> {
    let file = path.join("format");
    let text = fs::read_to_string(&file).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => corrupt(&file, "damaged"),
        _ => DiskError::io(&file, error),
    })?;
    let version = text.strip_prefix("wirehub disk ").and_then(|it| it.trim_end().parse::<u64>().ok());
    match version {
        None => Err(corrupt(&file, "damaged")),
        Some(version) => require_format(&file, version),
    }
}

pub(crate) fn require_format(path: &Path, version: u64) -> Result<(), DiskError> {
    if version > FORMAT {
        let path = path.display();
        return Err(DiskError::new(
            DiskErrorKind::NewerFormat,
            format!(
                "{path}: the format {version} is newer than this program, which knows {FORMAT}: use a newer program"
            ),
        ));
    }
    Ok(())
}

fn not_ours(path: &Path) -> DiskError {
    DiskError::new(
        DiskErrorKind::Refused,
        format!("{}: this is no data directory of Wirehub: use an empty directory", path.display()),
    )
}

const STORE: &str = "store";
const NEW_FORMAT: &str = "format.new";
const WITNESS: &[u8] = b"synced";
const PROBE_BYTES: usize = 1024 * 1024;
