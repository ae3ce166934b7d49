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
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
        if let (Some(number), Some("jnl")) = (number, path.extension().and_then(|it| it.to_str())) {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// Reads every journal of a store, and fails if one is damaged. An incomplete end of the newest one is cut off: the storage
/// would do so, too, but it trusts the lengths that it finds there.
pub(crate) fn check(store: &Path) -> Result<(), DiskError> {
    let paths = paths(store)?;
    let mut newest = 0;
    for (index, path) in paths.iter().enumerate() {
        let bytes = fs::read(path).map_err(|error| DiskError::io(path, error))?;
        let journal = read(&bytes);
        let headers = journal.batches.iter().filter_map(|batch| batch.header);
        newest = headers.fold(newest, |newest: u64, header| newest.max(header.batch));
        let Some(torn_at) = journal.torn_at else { continue };
        let is_active = index.saturating_add(1) == paths.len();
        // A journal that is not the last one was complete before the next one began.
        if !is_active || headers_behind(&bytes, torn_at).any(|(_, header)| header.synced > newest) {
            return Err(damaged(path, torn_at));
        }
        tracing::warn!(
            "{}: the last batch is incomplete from byte {torn_at} on: it is dropped",
            path.display()
        );
        cut(path, torn_at).map_err(|error| DiskError::io(path, error))?;
    }
    Ok(())
}

fn cut(path: &Path, end: usize) -> io::Result<()> {
    let file = fs::OpenOptions::new().write(true).open(path)?;
    file.set_len(u64::try_from(end).unwrap_or(u64::MAX))?;
    file.sync_all()
}

fn damaged(path: &Path, offset: usize) -> DiskError {
    DiskError::corrupt(format!(
        "{}: damaged at byte {offset}, before acknowledged publications: {}",
        path.display(),
        crate::check::REMEDY
    ))
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
    let mut cursor = Cursor { bytes, position: start };
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

struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Cursor<'a> {
    fn skip(&mut self, count: usize) -> Option<&'a [u8]> {
        let end = self.position.checked_add(count)?;
        let skipped = self.bytes.get(self.position..end)?;
        self.position = end;
        Some(skipped)
    }

    fn byte(&mut self) -> Option<u8> {
        self.skip(1)?.first().copied()
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.skip(2)?.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.skip(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.skip(8)?.try_into().ok()?))
    }
}
