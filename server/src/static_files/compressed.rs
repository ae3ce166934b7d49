//! Compressed files, in bounded memory. Each file is compressed once while it is in use. Without room for another file,
//! that file is sent uncompressed.

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

/// The version of a file when it was looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) file: PathBuf,
    pub(super) modified: SystemTime,
    pub(super) length: u64,
}

/// The compressed files.
pub(super) struct Compressed {
    cache: Mutex<Cache>,
    /// Limits concurrent compression.
    slots: Semaphore,
}

#[derive(Default)]
struct Cache {
    files: HashMap<PathBuf, CacheEntry>,
    bytes: usize,
}

struct CacheEntry {
    slot: Arc<Slot>,
    /// The memory it counts for: the file's length until it is compressed.
    bytes: usize,
    used: Instant,
}

struct Slot {
    version: Version,
    /// `None` if compression does not make the file smaller.
    bytes: OnceCell<Option<Bytes>>,
}

impl Default for Compressed {
    fn default() -> Self {
        Self { cache: Mutex::default(), slots: Semaphore::new(AT_ONCE) }
    }
}

impl Compressed {
    /// The compressed bytes of a file; `None` if it should be sent as it is.
    pub(super) async fn bytes(self: &Arc<Self>, path: &Path, version: Version) -> Option<Bytes> {
        let length = usize::try_from(version.length).ok().filter(|length| LENGTHS.contains(length))?;
        let slot = self.cache.lock().slot(path, version, length, Instant::now())?;
        if let Some(bytes) = slot.bytes.get() {
            return bytes.clone();
        }
        let (compressed, path) = (Arc::clone(self), path.to_owned());
        // A task of its own: it continues after the first client has gone. Otherwise every such client would restart
        // the work.
        let task = tokio::spawn(async move {
            slot.bytes.get_or_init(|| compressed.compress(&path, &slot)).await.clone()
        });
        task.await.ok()?
    }

    async fn compress(&self, path: &Path, slot: &Arc<Slot>) -> Option<Bytes> {
        // The semaphore is never closed.
        let _turn = self.slots.acquire().await;
        let version = slot.version.clone();
        let bytes = spawn_blocking(move || compress(&version)).await.unwrap_or_else(|_| Ok(None));
        let bytes = bytes.unwrap_or_else(|error| {
            tracing::debug!("{} is not compressed: {error}", path.display());
            None
        });
        self.cache.lock().settle(path, slot, bytes.as_ref().map_or(0, Bytes::len));
        bytes
    }
}

impl Cache {
    /// The slot of a file; `None` if there is no room for it.
    fn slot(&mut self, path: &Path, version: Version, length: usize, now: Instant) -> Option<Arc<Slot>> {
        if let Some(entry) = self.files.get_mut(path).filter(|entry| entry.slot.version == version) {
            entry.used = now;
            return Some(Arc::clone(&entry.slot));
        }
        self.remove(path);
        if !self.has_room(length) {
            self.evict_idle(now);
        }
        if !self.has_room(length) {
            return None;
        }
        self.bytes = self.bytes.saturating_add(length);
        let slot = Arc::new(Slot { version, bytes: OnceCell::new() });
        self.files.insert(path.to_owned(), CacheEntry { slot: Arc::clone(&slot), bytes: length, used: now });
        Some(slot)
    }

    fn has_room(&self, length: usize) -> bool {
        self.bytes.saturating_add(length) <= MAX_BYTES && self.files.len() < MAX_FILES
    }

    /// Records the compressed length of a file, if its slot is still the current one.
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

    fn evict_idle(&mut self, now: Instant) {
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
        return Err(io::Error::other("it is being changed"));
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

/// How long an unused file is kept when another file needs the room.
const IDLE: Duration = Duration::from_secs(10 * 60);

/// The most files that are compressed at once.
const AT_ONCE: usize = 2;

/// The next level takes twice the time and saves few bytes. For smaller files, place precompressed ones beside the
/// originals.
const LEVEL: u32 = 3;

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use super::*;

    fn version(length: usize) -> Version {
        Version { file: "x".into(), modified: SystemTime::UNIX_EPOCH, length: length as u64 }
    }

    #[test]
    fn memory_is_bounded_and_a_file_in_use_keeps_its_place() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        let length = MAX_BYTES / 4;
        let mut slot =
            |name: usize, now| cache.slot(Path::new(&name.to_string()), version(length), length, now);
        assert!((0..4).all(|name| slot(name, now).is_some()));
        assert!(slot(4, now).is_none());
        let later = now + IDLE;
        // The first is requested again.
        assert!(slot(0, later).is_some());
        assert!((4..7).all(|name| slot(name, later).is_some()));
        assert!(slot(7, later).is_none());
        assert_eq!((cache.bytes, cache.files.len()), (MAX_BYTES, 4));
    }

    #[test]
    fn a_compressed_file_takes_less_room_and_a_changed_one_replaces_the_old() {
        let (mut cache, now, path) = (Cache::default(), Instant::now(), Path::new("a"));
        let slot = cache.slot(path, version(1000), 1000, now).unwrap();
        assert_eq!(cache.bytes, 1000);
        cache.settle(path, &slot, 100);
        assert_eq!(cache.bytes, 100);
        assert!(Arc::ptr_eq(&slot, &cache.slot(path, version(1000), 1000, now).unwrap()));
        let changed = cache.slot(path, version(2000), 2000, now).unwrap();
        assert_eq!(cache.bytes, 2000);
        cache.settle(path, &slot, 7);
        assert_eq!(cache.bytes, 2000, "this is the length of the old one");
        cache.settle(path, &changed, 200);
        cache.remove(path);
        assert_eq!((cache.bytes, cache.files.len()), (0, 0));
    }
}
