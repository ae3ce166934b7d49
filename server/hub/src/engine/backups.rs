//! Backups of an engine's data while it works.

use std::fmt;

/// Makes backups of everything that the engine stores, one at a time.
///
/// # Promises
/// 1. **Content.** A backup is of one moment after the call of [`begin`](Self::begin). It has everything that was acknowledged
///    before.
/// 2. **Place.** The operator has configured it. A caller chooses only a name there, and can't replace anything.
/// 3. **Completeness.** Nothing is found under the name before the backup is complete and on the disk.
pub trait Backups: Send + Sync {
    /// Begins a backup with that name. It goes on without the caller.
    ///
    /// # Errors
    /// The name is not valid, or another backup is at work.
    fn begin(&self, name: &str) -> Result<(), BackupError>;

    /// The newest backup since the start.
    fn latest(&self) -> Option<Backup>;
}

/// A backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: BackupState,
}

/// The state of a [`Backup`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackupState {
    /// It is being made.
    Running,
    /// It is complete.
    Done,
    /// It failed, for this reason. Nothing of it is left.
    Failed(String),
}

/// A backup that can't begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BackupError {
    /// The name is not valid.
    Name,
    /// Another backup is at work.
    Busy,
    /// The system could not begin it.
    System,
}

impl fmt::Display for BackupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => {
                "this is no name for a backup: use 1 to 100 letters, digits, `-`, `_` and `.`, with a letter or digit first"
            }
            Self::Busy => "another backup is at work: try again after its end",
            Self::System => "the backup can't begin: the system has no thread for it; try again",
        })
    }
}

impl std::error::Error for BackupError {}

/// Checks the name of a backup: a plain name of a folder on every system.
///
/// # Errors
/// The name is not valid.
pub fn check_backup_name(name: &str) -> Result<(), BackupError> {
    let is_valid = name.len() <= 100
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    if is_valid { Ok(()) } else { Err(BackupError::Name) }
}
