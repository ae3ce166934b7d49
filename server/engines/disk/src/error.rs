//! Failures of the store.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// A failure of the store. The message describes the next step.
#[derive(Debug, Clone)]
pub struct DiskError {
    kind: DiskErrorKind,
    message: Box<str>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// The kind of a [`DiskError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DiskErrorKind {
    /// Another process uses the directory.
    InUse,
    /// Files are damaged or missing. The message names the file, and the place if it is known.
    Corrupt,
    /// The directory was written by a newer version of this program.
    NewerFormat,
    /// The file system is read-only.
    ReadOnly,
    /// The process may not read or write the directory.
    Permission,
    /// The disk is full. This passes when there is room again.
    Full,
    /// Too many requests wait. This passes by itself.
    Overloaded,
    /// The store does not work at the moment, and is opened again in the background.
    Unavailable,
    /// The directory is not that of a store, or a request is not valid.
    Refused,
    /// Another failure of the operating system.
    Io,
}

impl DiskError {
    pub(crate) fn new(kind: DiskErrorKind, message: impl Into<Box<str>>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    pub(crate) fn with(self, source: impl StdError + Send + Sync + 'static) -> Self {
        Self { source: Some(Arc::new(source)), ..self }
    }

    pub(crate) fn corrupt(message: impl Into<Box<str>>) -> Self {
        Self::new(DiskErrorKind::Corrupt, message)
    }

    /// A failure of the operating system with a file or folder.
    pub(crate) fn io(path: &Path, error: io::Error) -> Self {
        let path = path.display();
        let (kind, message) = match error.kind() {
            io::ErrorKind::PermissionDenied => (
                DiskErrorKind::Permission,
                format!("{path}: permission denied: make the server's user the owner of this directory"),
            ),
            io::ErrorKind::ReadOnlyFilesystem => (
                DiskErrorKind::ReadOnly,
                format!(
                    "{path}: the file system is read-only: mount it for writing, or use another directory"
                ),
            ),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                (DiskErrorKind::Full, format!("{path}: the disk is full: make room, or keep less history"))
            }
            _ => (DiskErrorKind::Io, format!("{path}: {error}: check the disk and the system's log")),
        };
        Self::new(kind, message).with(error)
    }

    /// The kind of the failure.
    pub fn kind(&self) -> DiskErrorKind {
        self.kind
    }

    /// `true` if the same request may succeed later without a change by an operator.
    pub fn is_temporary(&self) -> bool {
        matches!(self.kind, DiskErrorKind::Full | DiskErrorKind::Overloaded | DiskErrorKind::Unavailable)
    }
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for DiskError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
