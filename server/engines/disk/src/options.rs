//! Settings of the engine.

use std::path::PathBuf;
use std::time::Duration;

/// The moment at which a publish is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// After the data has reached the disk. Nothing that was acknowledged is lost, also if the machine loses power. Publishes
    /// that wait at the same time share one synchronisation.
    Always,
    /// After the data has reached the operating system. It is on the disk after this time at most. A crash of the process loses
    /// nothing. A crash of the machine loses up to this time of acknowledged publications; clients are notified of a gap.
    /// Publishes are answered during a synchronisation, and wait only if acknowledged ones would get older than this time.
    Interval(Duration),
}

/// Settings of a [`DiskEngine`](crate::DiskEngine).
///
/// ```
/// use std::time::Duration;
/// use wirehub_disk::{DiskOptions, Durability};
///
/// let options = DiskOptions::default().durability(Durability::Interval(Duration::from_secs(1))).cache_bytes(64 << 20);
/// # drop(options);
/// ```
#[derive(Debug, Clone)]
pub struct DiskOptions {
    pub(crate) durability: Durability,
    pub(crate) cache_bytes: usize,
    pub(crate) queue_bytes: usize,
    pub(crate) queue_requests: usize,
    pub(crate) channel_keys: u64,
    pub(crate) total_keys: u64,
    pub(crate) free_bytes: u64,
    pub(crate) readers: usize,
    pub(crate) memtable_bytes: u64,
    pub(crate) backups: Option<PathBuf>,
    pub(crate) clock: Clock,
    #[cfg(test)]
    pub(crate) before_sync: Hook,
}

/// The source of the time in milliseconds. Tests set their own.
pub(crate) type Clock = crate::clock::Source;

/// A call before each synchronisation beside the writer, for tests. An error fails it.
#[cfg(test)]
#[derive(Clone, Default)]
pub(crate) struct Hook(Option<std::sync::Arc<dyn Fn() -> std::io::Result<()> + Send + Sync>>);

#[cfg(test)]
impl Hook {
    pub(crate) fn call(&self) -> std::io::Result<()> {
        self.0.as_ref().map_or(Ok(()), |hook| hook())
    }
}

#[cfg(test)]
impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hook")
    }
}

impl Default for DiskOptions {
    fn default() -> Self {
        Self {
            durability: Durability::Always,
            cache_bytes: 256 << 20,
            queue_bytes: 64 << 20,
            queue_requests: 100_000,
            channel_keys: 1_000_000,
            total_keys: 10_000_000,
            free_bytes: 256 << 20,
            readers: 2,
            memtable_bytes: 16 << 20,
            backups: None,
            clock: Clock::system(),
            #[cfg(test)]
            before_sync: Hook::default(),
        }
    }
}

impl DiskOptions {
    /// The moment at which a publish is acknowledged. Default: [`Durability::Always`].
    #[must_use]
    pub fn durability(self, durability: Durability) -> Self {
        Self { durability, ..self }
    }

    /// The approximate bound of memory for the newest publications and the states of channels. Half of it is used by the
    /// storage for blocks of files. Default: 256 MiB.
    #[must_use]
    pub fn cache_bytes(self, bytes: usize) -> Self {
        Self { cache_bytes: bytes, ..self }
    }

    /// The maximum size of the publishes that wait for the disk. Further ones fail as overloaded. Default: 64 MiB.
    #[must_use]
    pub fn queue_bytes(self, bytes: usize) -> Self {
        Self { queue_bytes: bytes, ..self }
    }

    /// The maximum number of requests that wait for the disk. Further ones fail as overloaded. Default: 100,000.
    #[must_use]
    pub fn queue_requests(self, requests: usize) -> Self {
        Self { queue_requests: requests, ..self }
    }

    /// The maximum number of keys of one channel. If there are more, the oldest are forgotten early, and the time for which
    /// clients may repeat a publish becomes shorter. Default: 1,000,000.
    #[must_use]
    pub fn channel_keys(self, keys: u64) -> Self {
        Self { channel_keys: keys.max(1), ..self }
    }

    /// The maximum number of keys of all channels, with the same rule. Default: 10,000,000.
    #[must_use]
    pub fn total_keys(self, keys: u64) -> Self {
        Self { total_keys: keys.max(1), ..self }
    }

    /// The free space of the file system below which publishes are refused. The storage needs some of it to tidy up.
    /// Default: 256 MiB.
    #[must_use]
    pub fn free_bytes(self, bytes: u64) -> Self {
        Self { free_bytes: bytes, ..self }
    }

    /// The folder in which the hub's backups get a folder each: see `Engine::backups`. Default: none, it makes no backups.
    #[must_use]
    pub fn backups(self, folder: impl Into<PathBuf>) -> Self {
        Self { backups: Some(folder.into()), ..self }
    }

    /// The number of threads that read from the disk. Default: 2.
    #[must_use]
    pub fn readers(self, threads: usize) -> Self {
        Self { readers: threads.max(1), ..self }
    }

    #[cfg(test)]
    pub(crate) fn memtable_bytes(self, bytes: u64) -> Self {
        Self { memtable_bytes: bytes, ..self }
    }

    #[cfg(test)]
    pub(crate) fn before_sync(self, hook: impl Fn() -> std::io::Result<()> + Send + Sync + 'static) -> Self {
        Self { before_sync: Hook(Some(std::sync::Arc::new(hook))), ..self }
    }

    #[cfg(test)]
    pub(crate) fn clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }
}
