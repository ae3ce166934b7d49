//! The errors of a server as a whole.

use std::error::Error as StdError;
use std::fmt;

/// The server cannot start, or cannot continue.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    /// The remedy, with the names of the settings or files concerned.
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The kinds of [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The settings are invalid or contradict each other.
    Usage,
    /// The configuration is wrong.
    Config,
    /// Another program listens on the address.
    AddressInUse,
    /// The system refuses to listen on the address.
    Listen,
    /// A certificate or its key is unusable.
    Tls,
    /// The directory of static files can't be read.
    StaticFiles,
    /// The data of the engine can't be opened, or its servers can't be used.
    Engine,
    /// The runtime or the output failed.
    System,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    pub(crate) fn with_source(
        kind: ErrorKind,
        message: impl Into<String>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self { source: Some(source.into()), ..Self::new(kind, message) }
    }

    /// The kind of the error.
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

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
