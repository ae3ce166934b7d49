//! Failures of engines.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use wirehub_common::code::ErrorCode;
use wirehub_common::frame::ErrorInfo;

/// An engine failed. The kind decides what a client receives; the details are for the log.
#[derive(Debug, Clone)]
pub struct EngineError {
    kind: EngineErrorKind,
    source: Arc<dyn StdError + Send + Sync>,
}

/// The kinds of [`EngineError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EngineErrorKind {
    /// The store can't be reached or written at the moment. A later try may succeed. Clients receive
    /// [`UNAVAILABLE`](ErrorCode::UNAVAILABLE).
    Unavailable,
    /// More is waiting than the engine accepts. A later try may succeed. Clients receive
    /// [`UNAVAILABLE`](ErrorCode::UNAVAILABLE).
    Overloaded,
    /// Stored data is damaged. An operator has to act. Clients receive [`INTERNAL`](ErrorCode::INTERNAL).
    Corrupt,
    /// The store refuses the request for good: a missing right, a wrong version. An operator has to act. Clients receive
    /// [`INTERNAL`](ErrorCode::INTERNAL).
    Refused,
    /// The engine has a fault of its own. Clients receive [`INTERNAL`](ErrorCode::INTERNAL).
    Internal,
}

impl EngineError {
    /// An error with its kind and its cause.
    pub fn new(kind: EngineErrorKind, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { kind, source: Arc::from(source.into()) }
    }

    /// The kind.
    pub fn kind(&self) -> EngineErrorKind {
        self.kind
    }

    /// `true` if a later try may succeed.
    pub fn is_temporary(&self) -> bool {
        matches!(self.kind, EngineErrorKind::Unavailable | EngineErrorKind::Overloaded)
    }

    /// The code that a client receives.
    pub(crate) fn code(&self) -> ErrorCode {
        if self.is_temporary() { ErrorCode::UNAVAILABLE } else { ErrorCode::INTERNAL }
    }
}

/// Logs a failure of the engine, and returns the error for the client. The engine itself reports a temporary state: a line for
/// each request would fill a disk that is nearly full.
pub(crate) fn engine_failure(error: &EngineError) -> ErrorInfo {
    if error.is_temporary() {
        tracing::debug!("{error}");
    } else {
        tracing::error!("{error}");
    }
    ErrorInfo::from_code(error.code())
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            EngineErrorKind::Unavailable => "the engine is unavailable",
            EngineErrorKind::Overloaded => "the engine is overloaded",
            EngineErrorKind::Corrupt => "the engine's data is damaged",
            EngineErrorKind::Refused => "the engine's store refuses the request",
            EngineErrorKind::Internal => "the engine failed",
        };
        write!(f, "{what}: {}", self.source)
    }
}

impl StdError for EngineError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.source)
    }
}
