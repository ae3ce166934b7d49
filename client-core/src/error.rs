//! Why something failed.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use wirehub_common::code::ErrorCode;
use wirehub_common::frame::ErrorInfo;
use wirehub_common::{ChannelNameError, PayloadError};

/// Why something failed: a code of the [one table](wirehub_common::code), words, and what caused it.
#[derive(Debug, Clone)]
pub struct Error {
    kind: ErrorKind,
    code: ErrorCode,
    message: Cow<'static, str>,
    temporary: bool,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

/// Who says that something failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The server answered with an error.
    Server,
    /// The connection, or time.
    Connection,
    /// The caller asked for what can't be.
    Usage,
    /// A payload does not fit the contract.
    Payload,
}

impl Error {
    /// One of the codes of the table, in its words.
    pub fn from_code(kind: ErrorKind, code: ErrorCode) -> Self {
        Self { kind, code, message: code.message().into(), temporary: code.is_temporary(), source: None }
    }

    pub(crate) fn with_message(kind: ErrorKind, code: ErrorCode, message: String) -> Self {
        Self { message: message.into(), ..Self::from_code(kind, code) }
    }

    /// For a token provider that has no token for now: it will be asked again.
    pub fn token_unavailable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self {
            source: Some(source.into().into()),
            ..Self::from_code(ErrorKind::Usage, ErrorCode::TOKEN_UNAVAILABLE)
        }
    }

    /// For a token provider that will have no token any more, because the user signed out: the client ends.
    pub fn signed_out() -> Self {
        Self::from_code(ErrorKind::Usage, ErrorCode::UNAUTHORIZED)
    }

    /// Who says it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Which error.
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// What happened and what to do, for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether the same may succeed later.
    pub fn is_temporary(&self) -> bool {
        self.temporary
    }
}

impl From<ErrorInfo> for Error {
    fn from(info: ErrorInfo) -> Self {
        Self {
            kind: ErrorKind::Server,
            code: info.code,
            message: info.message.into(),
            temporary: info.temporary,
            source: None,
        }
    }
}

impl From<PayloadError> for Error {
    fn from(error: PayloadError) -> Self {
        Self {
            source: Some(Arc::new(error)),
            ..Self::from_code(ErrorKind::Payload, ErrorCode::PAYLOAD_MISMATCH)
        }
    }
}

impl From<ChannelNameError> for Error {
    fn from(error: ChannelNameError) -> Self {
        Self { message: error.as_str().into(), ..Self::from_code(ErrorKind::Usage, ErrorCode::BAD_REQUEST) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)?;
        self.source.as_ref().map_or(Ok(()), |source| write!(f, ": {source}"))
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
