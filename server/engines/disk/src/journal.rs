//! Checks the storage's journals before it opens them.
//!
//! The storage cuts a journal at the first unreadable byte. That is right for the end of a file that was being written when the
//! machine stopped, and wrong for damage in its middle: acknowledged data behind the damage would be lost in silence. Each of
//! our batches begins with a [`Header`], and says which batches were on the disk when it was written. So the two cases can be
//! told apart. The format is that of fjall 3, "FJL" version 3.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use crate::error::DiskError;
use crate::record::Header;
use crate::store::corrupt;

/// A journal, as far as it is readable.
#[derive(Debug)]
pub(crate) struct Journal {
    pub(crate) batches: Vec<Batch>,
    /// The first unreadable byte, if there is more than an empty end.
    pub(crate) torn_at: Option<usize>,
}

/// A readable batch in a journal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batch {
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// The storage's own number of the batch.
    #[cfg(test)]
    pub(crate) sequence: u64,
    /// Absent in batches of the storage itself.
    pub(crate) header: Option<Header>,
}

/// The paths of the journals in a store, oldest first.
pub(crate) fn paths(store: &Path) -> Result<Vec<PathBuf>, DiskError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(store).map_err(|error| DiskError::io(store, error))? {
        let path = entry.map_err(|error| DiskError::io(store, error))?.path();
        if let Some(number) = number(&path) {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// The number in the name of a journal.
fn number(path: &Path) -> Option<u64> {
    let is_journal = path.extension().is_some_and(|extension| extension == "jnl");
    path.file_stem().filter(|_| is_journal)?.to_str()?.parse().ok()
}

/// The end of a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Whole,
    /// The last batch was being written. It was not acknowledged.
    Incomplete(usize),
    /// Acknowledged batches are unreadable from this byte on.
    Damaged(usize),
}

/// Reads every journal of a store, oldest first.
pub(crate) fn for_each(
    store: &Path,
    mut f: impl FnMut(&Path, &[u8], Journal, End) -> Result<(), DiskError>,
) -> Result<(), DiskError> {
    let paths = paths(store)?;
    let mut newest = 0;
    for (index, path) in paths.iter().enumerate() {
        let bytes = fs::read(path).map_err(|error| DiskError::io(path, error))?;
        let journal = read(&bytes);
        let headers = journal.batches.iter().filter_map(|batch| batch.header);
        newest = headers.fold(newest, |newest: u64, header| newest.max(header.batch));
        let is_active = index.saturating_add(1) == paths.len();
        let end = match journal.torn_at {
            None => End::Whole,
            // A journal that is not the last one was complete before the next one began.
            Some(torn_at)
                if !is_active
                    || headers_behind(&bytes, torn_at).any(|(_, header)| header.synced > newest) =>
            {
                End::Damaged(torn_at)
            }
            Some(torn_at) => End::Incomplete(torn_at),
        };
        f(path, &bytes, journal, end)?;
    }
    Ok(())
}

/// Fails if a journal is missing. Their numbers follow each other, and there is always one.
pub(crate) fn check_presence(store: &Path) -> Result<(), DiskError> {
    let mut expected = None;
    for path in paths(store)? {
        let number = number(&path).unwrap_or_default();
        if let Some(expected) = expected.filter(|expected| *expected != number) {
            return Err(corrupt(&store.join(format!("{expected}.jnl")), "the journal is missing"));
        }
        expected = Some(number.saturating_add(1));
    }
    if expected.is_none() {
        return Err(corrupt(store, "every journal (`*.jnl`) is missing"));
    }
    Ok(())
}

/// Reads every journal of a store, and fails if one is damaged or missing. An incomplete end of the newest one is cut off: the
/// storage would do so, too, but it trusts the lengths that it finds there.
pub(crate) fn check(store: &Path) -> Result<(), DiskError> {
    check_presence(store)?;
    for_each(store, |path, _, _, end| match end {
        End::Whole => Ok(()),
        End::Damaged(offset) => Err(damaged(path, offset)),
        End::Incomplete(offset) => {
            tracing::warn!(
                "{}: the last batch is incomplete from byte {offset} on: it is dropped",
                path.display()
            );
            cut(path, offset).map_err(|error| DiskError::io(path, error))
        }
    })
}

/// The readable batches of a journal, also those behind damage.
pub(crate) fn readable(bytes: &[u8], journal: &Journal) -> Vec<u8> {
    let mut readable = Vec::new();
    let mut end = 0;
    let behind = journal
        .torn_at
        .into_iter()
        .flat_map(|torn_at| headers_behind(bytes, torn_at).filter_map(|(start, _)| batch_at(bytes, start)));
    for batch in journal.batches.iter().copied().chain(behind) {
        if batch.start >= end {
            readable.extend_from_slice(bytes.get(batch.start..batch.end).unwrap_or_default());
            end = batch.end;
        }
    }
    readable
}

fn cut(path: &Path, end: usize) -> io::Result<()> {
    let file = fs::OpenOptions::new().write(true).open(path)?;
    file.set_len(u64::try_from(end).unwrap_or(u64::MAX))?;
    file.sync_all()
}

pub(crate) fn damaged(path: &Path, offset: usize) -> DiskError {
    corrupt(path, &format!("damaged at byte {offset}, before acknowledged publications"))
}

/// Reads a journal up to the first unreadable byte.
pub(crate) fn read(bytes: &[u8]) -> Journal {
    let mut batches = Vec::new();
    let mut position = 0;
    while let Some(batch) = batch_at(bytes, position) {
        position = batch.end;
        batches.push(batch);
    }
    let is_clean = bytes.get(position..).is_none_or(is_zero);
    Journal { batches, torn_at: (!is_clean).then_some(position) }
}

/// Compares blocks, because an empty end is large.
fn is_zero(bytes: &[u8]) -> bool {
    const ZEROS: [u8; 4096] = [0; 4096];
    bytes.chunks(ZEROS.len()).all(|block| ZEROS.starts_with(block))
}

/// The readable headers behind a position, each with the beginning of its batch.
pub(crate) fn headers_behind(bytes: &[u8], from: usize) -> impl Iterator<Item = (usize, Header)> {
    let mut position = from;
    std::iter::from_fn(move || {
        loop {
            let rest = bytes.get(position..)?;
            // A search for one byte is fast.
            let [first, ..] = Header::MAGIC;
            let at = position.checked_add(rest.iter().position(|byte| *byte == first)?)?;
            position = at.checked_add(1)?;
            if bytes.get(at..).is_some_and(|rest| rest.starts_with(&Header::MAGIC)) {
                // The record begins with a byte for its version.
                let record = at.checked_sub(1)?;
                let value = bytes.get(record..record.checked_add(Header::BYTES)?)?;
                if let Some(header) = Header::decode(value) {
                    return Some((record.saturating_sub(HEAD_BYTES), header));
                }
            }
        }
    })
}

/// The bytes of a batch before the record of its header: the start, and the head and key of the first item.
const HEAD_BYTES: usize = 13 + 21 + Header::KEY.len();

/// Reads a whole batch, and checks its checksum.
pub(crate) fn batch_at(bytes: &[u8], start: usize) -> Option<Batch> {
    let mut cursor = Cursor::new(bytes, start);
    if cursor.byte()? != START {
        return None;
    }
    let items = cursor.u32()?;
    let _sequence = cursor.u64()?;
    let mut hasher = Xxh3::new();
    let mut header = None;
    for _ in 0..items {
        let begin = cursor.position;
        match cursor.byte()? {
            ITEM => {
                // The type of the value, no compression, the number of the keyspace.
                cursor.skip(1)?;
                if cursor.byte()? != 0 {
                    return None;
                }
                cursor.skip(8)?;
                let key_bytes = usize::from(cursor.u16()?);
                let value_bytes = usize::try_from(cursor.u32()?).ok()?;
                let stored_bytes = usize::try_from(cursor.u32()?).ok()?;
                if value_bytes != stored_bytes {
                    return None;
                }
                let key = cursor.skip(key_bytes)?;
                let value = cursor.skip(value_bytes)?;
                if header.is_none() && key == Header::KEY {
                    header = Header::decode(value);
                }
            }
            CLEAR => drop(cursor.skip(8)?),
            _ => return None,
        }
        hasher.update(bytes.get(begin..cursor.position)?);
    }
    if cursor.byte()? != END || cursor.u64()? != hasher.digest() || cursor.skip(4)? != TRAILER {
        return None;
    }
    Some(Batch {
        start,
        end: cursor.position,
        #[cfg(test)]
        sequence: _sequence,
        header,
    })
}

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const TRAILER: &[u8] = b"FJL\x03";

/// Reads numbers as the storage writes them.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8], position: usize) -> Self {
        Self { bytes, position }
    }

    pub(crate) fn skip(&mut self, count: usize) -> Option<&'a [u8]> {
        let end = self.position.checked_add(count)?;
        let skipped = self.bytes.get(self.position..end)?;
        self.position = end;
        Some(skipped)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.skip(1)?.first().copied()
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.skip(2)?.try_into().ok()?))
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.skip(4)?.try_into().ok()?))
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.skip(8)?.try_into().ok()?))
    }

    pub(crate) fn u128(&mut self) -> Option<u128> {
        Some(u128::from_le_bytes(self.skip(16)?.try_into().ok()?))
    }
}
