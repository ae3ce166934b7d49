//! Files that have been compressed, in a bounded memory. Each is compressed once as long as it is asked for: who asks for more
//! files than there is room for gets the others as they are.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use parking_lot::Mutex;
use tokio::sync::{OnceCell, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

/// A file as it was when it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) file: PathBuf,
    pub(super) modified: SystemTime,
    pub(super) length: u64,
}

/// What has been compressed.
pub(super) struct Compressed {
    kept: Mutex<Kept>,
    /// For how many at once.
    slots: Semaphore,
}

#[derive(Default)]
struct Kept {
    files: HashMap<PathBuf, Entry>,
    bytes: usize,
}

struct Entry {
    slot: Arc<Slot>,
    /// How much of the room it takes: the file's length until it is compressed.
    bytes: usize,
    used: Instant,
}

struct Slot {
    version: Version,
    /// Nothing where the file gets no smaller by it.
    bytes: OnceCell<Option<Bytes>>,
}

impl Default for Compressed {
    fn default() -> Self {
        Self { kept: Mutex::default(), slots: Semaphore::new(AT_ONCE) }
    }
}

impl Compressed {
    /// The compressed bytes of a file; nothing where it had better go out as it is.
    pub(super) async fn bytes(self: &Arc<Self>, path: &Path, version: Version) -> Option<Bytes> {
        let length = usize::try_from(version.length).ok().filter(|length| LENGTHS.contains(length))?;
        let slot = self.kept.lock().slot(path, version, length, Instant::now())?;
        if let Some(bytes) = slot.bytes.get() {
            return bytes.clone();
        }
        let (compressed, path) = (Arc::clone(self), path.to_owned());
        // A task of its own: it goes on when who asked first goes away, or each who did so would make it begin again.
        let task = tokio::spawn(async move {
            slot.bytes.get_or_init(|| compressed.compress(&path, &slot)).await.clone()
        });
        task.await.ok()?
    }

    async fn compress(&self, path: &Path, slot: &Arc<Slot>) -> Option<Bytes> {
        // Never closed.
        let _turn = self.slots.acquire().await;
        let version = slot.version.clone();
        let bytes = spawn_blocking(move || compress(&version)).await.unwrap_or_else(|_| Ok(None));
        let bytes = bytes.unwrap_or_else(|error| {
            tracing::debug!("{} is not compressed: {error}", path.display());
            None
        });
        self.kept.lock().settle(path, slot, bytes.as_ref().map_or(0, Bytes::len));
        bytes
    }
}

impl Kept {
    /// The place of a file; none where there is no room for it.
    fn slot(&mut self, path: &Path, version: Version, length: usize, now: Instant) -> Option<Arc<Slot>> {
        if let Some(entry) = self.files.get_mut(path).filter(|entry| entry.slot.version == version) {
            entry.used = now;
            return Some(Arc::clone(&entry.slot));
        }
        self.remove(path);
        if !self.has_room(length) {
            self.forget_the_idle(now);
        }
        if !self.has_room(length) {
            return None;
        }
        self.bytes = self.bytes.saturating_add(length);
        let slot = Arc::new(Slot { version, bytes: OnceCell::new() });
        self.files.insert(path.to_owned(), Entry { slot: Arc::clone(&slot), bytes: length, used: now });
        Some(slot)
    }

    fn has_room(&self, length: usize) -> bool {
        self.bytes.saturating_add(length) <= MAX_BYTES && self.files.len() < MAX_FILES
    }

    /// It is known how much room a file takes, if it is still the same one.
    fn settle(&mut self, path: &Path, slot: &Arc<Slot>, length: usize) {
        if let Some(entry) = self.files.get_mut(path).filter(|entry| Arc::ptr_eq(&entry.slot, slot)) {
            self.bytes = self.bytes.saturating_sub(entry.bytes).saturating_add(length);
            entry.bytes = length;
        }
    }

    fn remove(&mut self, path: &Path) {
        if let Some(entry) = self.files.remove(path) {
            self.bytes = self.bytes.saturating_sub(entry.bytes);
        }
    }

    fn forget_the_idle(&mut self, now: Instant) {
        let mut freed = 0_usize;
        self.files.retain(|_, entry| {
            let stays = now.saturating_duration_since(entry.used) < IDLE;
            freed = freed.saturating_add(if stays { 0 } else { entry.bytes });
            stays
        });
        self.bytes = self.bytes.saturating_sub(freed);
    }
}

fn compress(version: &Version) -> io::Result<Option<Bytes>> {
    let content = fs::read(&version.file)?;
    let metadata = fs::metadata(&version.file)?;
    let is_same = metadata.len() == version.length && metadata.modified()? == version.modified;
    if !is_same || u64::try_from(content.len()).ok() != Some(version.length) {
        return Err(io::Error::other("it changes at the moment"));
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(LEVEL));
    encoder.write_all(&content)?;
    let compressed = encoder.finish()?;
    Ok((compressed.len() < content.len()).then(|| compressed.into()))
}

/// Smaller files are not worth it, and larger ones take too long.
const LENGTHS: std::ops::RangeInclusive<usize> = 512..=16 * 1024 * 1024;

const MAX_BYTES: usize = 64 * 1024 * 1024;
const MAX_FILES: usize = 10_000;

/// How long a file is kept that nobody asks for, where there is no room for another.
const IDLE: Duration = Duration::from_secs(10 * 60);

/// How many are compressed at once.
const AT_ONCE: usize = 2;

/// Half the time of the next one, for hardly more bytes. Who wants fewer puts files beside the others that were compressed
/// with more effort.
const LEVEL: u32 = 3;

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use super::*;

    fn version(length: usize) -> Version {
        Version { file: "x".into(), modified: SystemTime::UNIX_EPOCH, length: length as u64 }
    }

    #[test]
    fn there_is_room_for_so_much_and_who_is_asked_for_keeps_it() {
        let (mut kept, now) = (Kept::default(), Instant::now());
        let length = MAX_BYTES / 4;
        let mut slot =
            |name: usize, now| kept.slot(Path::new(&name.to_string()), version(length), length, now);
        assert!((0..4).all(|name| slot(name, now).is_some()));
        assert!(slot(4, now).is_none());
        let later = now + IDLE;
        // The first is asked for again.
        assert!(slot(0, later).is_some());
        assert!((4..7).all(|name| slot(name, later).is_some()));
        assert!(slot(7, later).is_none());
        assert_eq!((kept.bytes, kept.files.len()), (MAX_BYTES, 4));
    }

    #[test]
    fn what_is_compressed_takes_less_room_and_a_changed_file_takes_the_place_of_the_old() {
        let (mut kept, now, path) = (Kept::default(), Instant::now(), Path::new("a"));
        let slot = kept.slot(path, version(1000), 1000, now).unwrap();
        assert_eq!(kept.bytes, 1000);
        kept.settle(path, &slot, 100);
        assert_eq!(kept.bytes, 100);
        assert!(Arc::ptr_eq(&slot, &kept.slot(path, version(1000), 1000, now).unwrap()));
        let changed = kept.slot(path, version(2000), 2000, now).unwrap();
        assert_eq!(kept.bytes, 2000);
        kept.settle(path, &slot, 7);
        assert_eq!(kept.bytes, 2000, "it is of the old one");
        kept.settle(path, &changed, 200);
        kept.remove(path);
        assert_eq!((kept.bytes, kept.files.len()), (0, 0));
    }
}
