//! Checks the storage's own files before it opens them.
//!
//! The storage takes a keyspace without its file `current` for one that was never finished, and removes it with everything in it.
//! It removes each table, too, that the list of a keyspace does not name, without a check of that list. So the lists are checked
//! here first. The format is that of fjall 3: `current` has the number and the checksum of a list `v…`, which has the numbers and
//! checksums of the tables.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::error::{DiskError, DiskErrorKind};
use crate::journal::Cursor;
use crate::store::{Space, corrupt};

/// The content of the file `version`.
pub(crate) const VERSION: &[u8; 4] = b"FJL\x03";

/// The keyspace with the names and settings of the others.
pub(crate) const NAMES: usize = 0;

/// The numbers of the keyspaces: a new storage numbers ours from 1.
pub(crate) fn keyspaces() -> std::ops::RangeInclusive<usize> {
    NAMES..=Space::ALL.len()
}

/// The folder of a keyspace.
pub(crate) fn folder(store: &Path, keyspace: usize) -> PathBuf {
    store.join("keyspaces").join(keyspace.to_string())
}

/// Checks that nothing is missing which the storage would replace by something empty.
pub(crate) fn check(store: &Path) -> Result<(), DiskError> {
    check_version(store)?;
    for keyspace in keyspaces() {
        for table in List::read(&folder(store, keyspace))?.tables {
            table.check_presence()?;
            if keyspace == NAMES {
                table.verify()?;
            }
        }
    }
    Ok(())
}

pub(crate) fn check_version(store: &Path) -> Result<(), DiskError> {
    let path = store.join("version");
    match read(&path)?.as_slice() {
        content if content.starts_with(VERSION) => Ok(()),
        [b'F', b'J', b'L', version] if *version > 3 => Err(DiskError::new(
            DiskErrorKind::NewerFormat,
            format!("{}: the storage has the unknown version {version}: use a newer program", path.display()),
        )),
        _ => Err(corrupt(&path, "the file is damaged")),
    }
}

/// The first table whose content does not match its checksum.
pub(crate) fn damaged_table(store: &Path) -> Option<PathBuf> {
    let lists = keyspaces().filter_map(|keyspace| List::read(&folder(store, keyspace)).ok());
    lists.flat_map(|list| list.tables).find(|table| table.verify().is_err()).map(|table| table.path)
}

/// The list of a keyspace's tables.
#[derive(Debug)]
pub(crate) struct List {
    /// The file.
    pub(crate) path: PathBuf,
    pub(crate) tables: Vec<Table>,
}

#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) path: PathBuf,
    checksum: u128,
}

impl List {
    pub(crate) fn read(keyspace: &Path) -> Result<Self, DiskError> {
        let current = keyspace.join("current");
        let content = read(&current)?;
        let mut cursor = Cursor::new(&content, 0);
        let (Some(number), Some(checksum), Some(0)) = (cursor.u64(), cursor.u128(), cursor.byte()) else {
            return Err(corrupt(&current, "the file is damaged"));
        };
        let path = keyspace.join(format!("v{number}"));
        let content = match read(&path) {
            Err(error) if error.kind() == DiskErrorKind::Corrupt => {
                let reason = format!("the file names `v{number}`, which is missing: one of both is damaged");
                return Err(corrupt(&current, &reason));
            }
            content => content?,
        };
        if xxh3_128(&content) != checksum {
            return Err(corrupt(&path, "the file does not match its checksum in `current`"));
        }
        let numbers = numbers(&content).ok_or_else(|| corrupt(&path, "the file has an unknown structure"))?;
        let folder = keyspace.join("tables");
        let table = |(number, checksum): (u64, _)| Table { path: folder.join(number.to_string()), checksum };
        Ok(Self { path, tables: numbers.into_iter().map(table).collect() })
    }
}

impl Table {
    pub(crate) fn check_presence(&self) -> Result<(), DiskError> {
        match self.path.try_exists() {
            Ok(true) => Ok(()),
            Ok(false) => Err(corrupt(&self.path, MISSING)),
            Err(error) => Err(DiskError::io(&self.path, error)),
        }
    }

    /// Reads the whole table.
    pub(crate) fn verify(&self) -> Result<(), DiskError> {
        let failed = |error| failed(&self.path, error);
        let mut file = fs::File::open(&self.path).map_err(failed)?;
        let mut hasher = Xxh3::new();
        let mut buffer = vec![0; BUFFER];
        loop {
            let count = file.read(&mut buffer).map_err(failed)?;
            if count == 0 {
                break;
            }
            hasher.update(buffer.get(..count).unwrap_or_default());
        }
        if hasher.digest128() == self.checksum {
            return Ok(());
        }
        Err(corrupt(&self.path, "the table does not match its checksum"))
    }
}

/// The numbers and checksums of the tables in a list. It is an archive: sections, their table, and a trailer.
fn numbers(content: &[u8]) -> Option<Vec<(u64, u128)>> {
    let mut trailer = Cursor::new(content, content.len().checked_sub(TRAILER_BYTES)?);
    if trailer.skip(4)? != b"SFA!" || trailer.byte()? != 1 {
        return None;
    }
    trailer.skip(1 + 16)?;
    let mut sections = Cursor::new(content, usize::try_from(trailer.u64()?).ok()?);
    if sections.skip(4)? != b"TOC!" {
        return None;
    }
    for _ in 0..sections.u32()? {
        let position = usize::try_from(sections.u64()?).ok()?;
        let _length = sections.u64()?;
        let name = usize::from(sections.u16()?);
        if sections.skip(name)? == b"tables" {
            return tables(Cursor::new(content, position));
        }
    }
    None
}

fn tables(mut section: Cursor<'_>) -> Option<Vec<(u64, u128)>> {
    let mut tables = Vec::new();
    for _level in 0..section.byte()? {
        for _run in 0..section.byte()? {
            for _table in 0..section.u32()? {
                let number = section.u64()?;
                if section.byte()? != 0 {
                    return None;
                }
                tables.push((number, section.u128()?));
                // A sequence number.
                section.skip(8)?;
            }
        }
    }
    Some(tables)
}

fn read(path: &Path) -> Result<Vec<u8>, DiskError> {
    fs::read(path).map_err(|error| failed(path, error))
}

fn failed(path: &Path, error: io::Error) -> DiskError {
    match error.kind() {
        io::ErrorKind::NotFound => corrupt(path, MISSING).with(error),
        _ => DiskError::io(path, error),
    }
}

const MISSING: &str = "the file is missing";
const TRAILER_BYTES: usize = 4 + 1 + 1 + 16 + 8 + 8;
const BUFFER: usize = 256 * 1024;
