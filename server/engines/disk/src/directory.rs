//! The data directory: its lock, its format, and the witness of the newest synchronised batch.
//!
//! | name | content |
//! | --- | --- |
//! | `lock` | locked while a process uses the directory |
//! | `format` | the mark of a data directory, with the version of its format |
//! | `synced` | the number of a batch that is known to be on the disk, behind by a second at most, and that of the newest acknowledged one |
//! | `store/` | the storage. It is there as a whole or not at all |
//! | `store.new/` | a storage that is being created |
//! | `repaired.new/`, `repaired/` | the result of a repair, incomplete and complete; it becomes `store/` |
//! | `damaged-…/` | the storage before a repair |
//! | `checking/` | a copy for a check or a repair |

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use crate::error::{DiskError, DiskErrorKind};
use crate::record::{Composer, Reader};
use crate::store::{corrupt, in_use};

/// The version of the format of the whole directory. Version 1, which no released program wrote, had a record for each
/// publication.
pub(crate) const FORMAT: u64 = 2;

/// A locked data directory.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    witness: Option<File>,
    format: Result<(), DiskError>,
    /// Absent where nothing can be written.
    lock: Option<Lock>,
}

/// The locked file `lock`.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // A process that is just being started may hold the file for a moment longer, and the lock with it.
        let _ = self.0.unlock();
    }
}

/// The purpose for which a directory is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It is created if it does not exist.
    Use,
    Repair,
    /// Nothing is written.
    Check,
}

impl Directory {
    /// Locks a directory.
    pub(crate) fn open(path: &Path, purpose: Purpose) -> Result<Self, DiskError> {
        let format_path = path.join("format");
        let has_format = format_path.try_exists().map_err(|error| DiskError::io(path, error))?;
        if !has_format && purpose == Purpose::Use {
            create(path)?;
        }
        let has_store = path.join(STORE).join("keyspaces").exists() || path.join(REPAIRED).exists();
        let format = match check_format(path) {
            Err(error) if error.kind() != DiskErrorKind::Corrupt || purpose == Purpose::Use => {
                return Err(error);
            }
            // Any file may have that name.
            Err(_) if !has_store => return Err(not_ours(path)),
            format => format,
        };
        let lock = lock(path, purpose)?;
        let witness_path = path.join("synced");
        let mut options = OpenOptions::new();
        options.read(true);
        if purpose != Purpose::Check {
            options.write(true).create(true).truncate(false);
        }
        let witness = match options.open(&witness_path) {
            Err(error) if purpose == Purpose::Check && error.kind() == io::ErrorKind::NotFound => None,
            witness => Some(witness.map_err(|error| DiskError::io(&witness_path, error))?),
        };
        Ok(Self { path: path.to_owned(), witness, format, lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The damage of the file `format`.
    pub(crate) fn format(&self) -> Result<(), DiskError> {
        self.format.clone()
    }

    /// Writes the file `format` anew if it is damaged.
    pub(crate) fn repair_format(&mut self) -> Result<(), DiskError> {
        if self.format.is_err() {
            write_format(&self.path).map_err(|error| DiskError::io(&self.path, error))?;
            self.format = Ok(());
        }
        Ok(())
    }

    /// The folder of the storage.
    pub(crate) fn store(&self) -> PathBuf {
        self.path.join(STORE)
    }

    /// `true` if nothing was ever stored, and the storage is to be created.
    pub(crate) fn is_unused(&mut self) -> Result<bool, DiskError> {
        let store = self.store();
        let has_store = store.try_exists().map_err(|error| DiskError::io(&store, error))?;
        if has_store {
            return Ok(false);
        }
        if self.witness()?.is_some() {
            return Err(DiskError::corrupt(format!(
                "{}: the folder is missing: restore a backup, or move the whole data directory away to begin with an empty one",
                store.display()
            )));
        }
        Ok(true)
    }

    /// Creates the storage under another name, so that it is there as a whole or not at all.
    pub(crate) fn create_store(
        &self,
        fill: impl FnOnce(&Path) -> Result<(), DiskError>,
    ) -> Result<(), DiskError> {
        let new = self.path.join(NEW_STORE);
        remove_folder(&new)?;
        fill(&new)?;
        self.rename(&new, &self.store())
    }

    /// Fails if a repair was interrupted after its last decision.
    pub(crate) fn check_repair(&self) -> Result<(), DiskError> {
        let path = self.path.join(REPAIRED);
        if path.exists() {
            return Err(DiskError::corrupt(format!(
                "{}: a repair was interrupted: run `wirehub data repair` again, which completes it",
                path.display()
            )));
        }
        Ok(())
    }

    /// Fills a new storage, and puts it in the place of the damaged one. If this is interrupted, either nothing has happened, or
    /// [`Self::check_repair`] fails until [`Self::complete_repair`]. Returns the folder with the damaged storage.
    pub(crate) fn replace_store<T>(
        &self,
        fill: impl FnOnce(&Path) -> Result<T, DiskError>,
    ) -> Result<(T, Option<PathBuf>), DiskError> {
        let new = self.path.join(NEW_REPAIRED);
        remove_folder(&new)?;
        let filled = fill(&new)?;
        self.rename(&new, &self.path.join(REPAIRED))?;
        Ok((filled, self.complete_repair()?))
    }

    /// Completes a repair. Returns the folder with the damaged storage.
    pub(crate) fn complete_repair(&self) -> Result<Option<PathBuf>, DiskError> {
        let store = self.store();
        let kept = self.path.join(format!("damaged-{}", crate::clock::unix_milliseconds()));
        let has_store = store.exists();
        if has_store {
            fs::create_dir_all(&kept).map_err(|error| DiskError::io(&kept, error))?;
            self.rename(&store, &kept.join(STORE))?;
        }
        self.rename(&self.path.join(REPAIRED), &store)?;
        Ok(has_store.then_some(kept))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        let parent = to.parent().unwrap_or(&self.path);
        let renamed =
            fs::rename(from, to).and_then(|()| sync_folder(parent)).and_then(|()| sync_folder(&self.path));
        renamed.map_err(|error| DiskError::io(to, error))
    }

    /// Removes what an interrupted creation, check or repair has left behind.
    pub(crate) fn clean(&self) -> Result<(), DiskError> {
        [NEW_STORE, NEW_REPAIRED, CHECKING].iter().try_for_each(|name| remove_folder(&self.path.join(name)))
    }

    /// An empty folder for a copy. Without a way to write in the directory it is in the system's folder for temporary files.
    pub(crate) fn scratch(&self) -> Result<PathBuf, DiskError> {
        let here = self.path.join(CHECKING);
        let is_read_only =
            |error: &DiskError| matches!(error.kind(), DiskErrorKind::ReadOnly | DiskErrorKind::Permission);
        match remove_folder(&here).and_then(|()| create_private(&here)) {
            Err(error) if is_read_only(&error) => {
                let there = std::env::temp_dir().join(format!("wirehub-checking-{:x}", crate::random()));
                create_private(&there).map(|()| there)
            }
            created => created.map(|()| here),
        }
    }

    /// The last report of the process that used the directory before; `None` if the storage was never used.
    pub(crate) fn witness(&mut self) -> Result<Option<Witness>, DiskError> {
        let mut bytes = Vec::new();
        let path = self.path.join("synced");
        let Some(witness) = &mut self.witness else { return Ok(None) };
        witness.seek(SeekFrom::Start(0)).map_err(|error| DiskError::io(&path, error))?;
        witness.read_to_end(&mut bytes).map_err(|error| DiskError::io(&path, error))?;
        // It is overwritten in place, so it may be damaged after a loss of power.
        Ok((!bytes.is_empty()).then(|| Witness::decode(&bytes).unwrap_or_else(Witness::unknown)))
    }

    /// Writes a report. It is synchronised only on request, because an older one is true, too.
    pub(crate) fn set_witness(&mut self, witness: &Witness, sync: bool) -> io::Result<()> {
        let Some(file) = &mut self.witness else { return Ok(()) };
        write_at_start(file, &witness.encode())?;
        if sync { file.sync_all() } else { Ok(()) }
    }

    /// Checks that the directory is still at its path. Another process may use a new one there.
    pub(crate) fn check_place(&self) -> Result<(), DiskError> {
        let there = fs::metadata(self.path.join("lock"));
        let ours = self.lock.as_ref().and_then(|Lock(file)| file.metadata().ok());
        let is_same = there.is_ok_and(|there| ours.is_some_and(|ours| is_same_file(&there, &ours)));
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
    /// The report if there is none: the newest publications may be lost.
    pub(crate) fn unknown() -> Self {
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
    if path.join(STORE).exists() || path.join(REPAIRED).exists() {
        return Err(corrupt(&path.join("format"), "the file is missing"));
    }
    for entry in fs::read_dir(path).map_err(|error| DiskError::io(path, error))? {
        let name = entry.map_err(|error| DiskError::io(path, error))?.file_name();
        if name != "lost+found" && name != NEW_FORMAT && name != "lock" {
            return Err(not_ours(path));
        }
    }
    write_format(path).map_err(|error| DiskError::io(path, error))
}

fn write_format(path: &Path) -> io::Result<()> {
    let new = path.join(NEW_FORMAT);
    let mut file = File::create(&new)?;
    file.write_all(format!("wirehub disk {FORMAT}\n").as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path.join("format"))?;
    sync_folder(path)
}

/// Locks the directory; a check of a read-only file system needs no lock.
fn lock(path: &Path, purpose: Purpose) -> Result<Option<Lock>, DiskError> {
    let lock_path = path.join("lock");
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    if purpose != Purpose::Check {
        options.create(true).truncate(false);
    }
    let lock = match options.open(&lock_path) {
        Err(error)
            if purpose == Purpose::Check
                && matches!(error.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::NotFound) =>
        {
            return Ok(None);
        }
        lock => lock.map_err(|error| DiskError::io(&lock_path, error))?,
    };
    match lock.try_lock() {
        Ok(()) => Ok(Some(Lock(lock))),
        Err(TryLockError::WouldBlock) => Err(in_use(path)),
        Err(TryLockError::Error(error)) => Err(DiskError::io(&lock_path, error)),
    }
}

/// Creates a folder that only this user can read.
fn create_private(path: &Path) -> Result<(), DiskError> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|error| DiskError::io(path, error))
}

pub(crate) fn remove_folder(path: &Path) -> Result<(), DiskError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(DiskError::io(path, error)),
        _ => Ok(()),
    }
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
        io::ErrorKind::InvalidData => corrupt(&file, "the file is damaged"),
        io::ErrorKind::NotFound => corrupt(&file, "the file is missing"),
        _ => DiskError::io(&file, error),
    })?;
    let version = text.strip_prefix("wirehub disk ").and_then(|it| it.trim_end().parse::<u64>().ok());
    match version {
        None | Some(0) => Err(corrupt(&file, "the file is damaged")),
        Some(version) => require_format(&file, version),
    }
}

pub(crate) fn require_format(path: &Path, version: u64) -> Result<(), DiskError> {
    let path = path.display();
    if version < FORMAT {
        return Err(DiskError::new(
            DiskErrorKind::Refused,
            format!(
                "{path}: the format {version} is older than the first release, and this program only knows {FORMAT}: move the whole data \
                 directory away to begin with an empty one"
            ),
        ));
    }
    if version > FORMAT {
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
const NEW_STORE: &str = "store.new";
const REPAIRED: &str = "repaired";
const NEW_REPAIRED: &str = "repaired.new";
const CHECKING: &str = "checking";
const NEW_FORMAT: &str = "format.new";
const WITNESS: &[u8] = b"synced";
const PROBE_BYTES: usize = 1024 * 1024;
