//! Values that outlive a process.

use std::time::SystemTime;

use bytes::Bytes;

use super::EngineFuture;

/// A store of small values that outlive the process: alarms with their ledgers, and the answers of calls with a key.
///
/// # Promises
/// 1. **Order.** Changes of one key take effect in the order of the calls, even if the caller did not wait for an answer.
/// 2. **Durability.** A change that was answered outlives the process to the same degree as an answered publish.
/// 3. **Atomicity.** After a crash a record is there as a whole or not at all.
pub trait Records: Send + Sync {
    /// Stores a record. One with the same kind and key is replaced.
    fn put(&self, record: Record) -> EngineFuture<()>;

    /// Removes a record. It is no error if there is none.
    fn remove(&self, kind: RecordKind, key: Bytes) -> EngineFuture<()>;

    /// The records of a kind that have not expired, in the order of their keys. Called once for each kind, when the hub starts,
    /// and again after a failure. A future that is ready at once lets the hub begin with them.
    fn load(&self, kind: RecordKind) -> EngineFuture<Vec<Record>>;
}

/// A value with its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The kind. Keys of different kinds are different.
    pub kind: RecordKind,
    /// The key: at most 1 KiB.
    pub key: Bytes,
    /// The value: at most a few MiB.
    pub value: Bytes,
    /// The time from which on the record is no longer needed. The store removes it some time later.
    pub expires: SystemTime,
}

/// A kind of [`Record`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum RecordKind {
    /// Alarms, and the progress of their recipients.
    Alarm,
    /// The answers of calls with a key.
    Call,
}

impl RecordKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Alarm, Self::Call];

    /// The number of the kind in a store. It never changes.
    pub const fn number(self) -> u8 {
        match self {
            Self::Alarm => 1,
            Self::Call => 2,
        }
    }
}
