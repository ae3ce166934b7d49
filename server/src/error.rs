//! What can go wrong with a server as a whole.

use std::fmt;
use std::io;

/// The server can't be started, or can't go on.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    /// What to do about it, with the names it is about.
    message: String,
    source: Option<io::Error>,
}

/// The kinds of [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// What is given does not go together or is no address.
    Usage,
    /// The configuration is wrong.
    Config,
    /// Something else listens there.
    AddressInUse,
    /// The system does not let the server listen there.
    Listen,
    /// A certificate or its key can't be used.
    Tls,
    /// The directory of static files can't be read.
    StaticFiles,
    /// The runtime or the output failed.
    System,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    pub(crate) fn with_source(kind: ErrorKind, message: impl Into<String>, source: io::Error) -> Self {
        Self { source: Some(source), ..Self::new(kind, message) }
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.source.as_ref().map_or(Ok(()), |source| write!(f, " ({source})"))
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}
