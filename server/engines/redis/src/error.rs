//! Failures of the store.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use redis::ServerErrorKind;
use wirehub_hub::engine::{EngineError, EngineErrorKind};

/// A failure of the engine. The message describes the next step, and never contains a password.
#[derive(Debug, Clone)]
pub struct Error {
    kind: ErrorKind,
    message: Box<str>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// The kind of an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The settings are not valid.
    Settings,
    /// Redis can't be reached, or did not answer in time. This passes when it is back.
    Unavailable,
    /// Too many requests wait. This passes by itself.
    Overloaded,
    /// The user name or password is wrong, or the user lacks a right.
    Permission,
    /// The server is too old, or has a setting with which the engine can't keep its promises.
    Unsuitable,
    /// The keys with this prefix belong to another program, or to a newer version of this one.
    Foreign,
    /// The server gave an answer that the engine does not understand.
    Unexpected,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<Box<str>>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    pub(crate) fn with(self, source: impl StdError + Send + Sync + 'static) -> Self {
        Self { source: Some(Arc::new(source)), ..self }
    }

    pub(crate) fn unexpected(message: impl Into<Box<str>>) -> Self {
        Self::new(ErrorKind::Unexpected, message)
    }

    /// A failure of a connection to a server, or an error that the server has sent.
    pub(crate) fn of_server(server: &str, error: redis::RedisError) -> Self {
        let code = error.code().unwrap_or_default();
        let (kind, message) = match error.kind() {
            redis::ErrorKind::AuthenticationFailed => (ErrorKind::Permission, LOGIN),
            redis::ErrorKind::Server(ServerErrorKind::NoPerm) => (ErrorKind::Permission, RIGHTS),
            // From within a script.
            _ if error.detail().is_some_and(|detail| detail.contains("user executing the script can't")) => {
                (ErrorKind::Permission, RIGHTS)
            }
            _ if is_wrong_type(&error) => (ErrorKind::Foreign, OTHERS),
            redis::ErrorKind::RESP3NotSupported => (ErrorKind::Unsuitable, VERSION),
            _ if matches!(code, "WRONGPASS" | "NOAUTH") => (ErrorKind::Permission, LOGIN),
            _ if error.is_io_error() || error.is_connection_dropped() || error.is_timeout() => {
                (ErrorKind::Unavailable, UNREACHABLE)
            }
            _ if is_temporary_code(code) => (ErrorKind::Unavailable, NOT_NOW),
            redis::ErrorKind::Parse | redis::ErrorKind::UnexpectedReturnType => {
                (ErrorKind::Unexpected, STRANGE)
            }
            _ => (ErrorKind::Unexpected, STRANGE),
        };
        Self::new(kind, format!("Redis at {server}: {error}: {message}")).with(error)
    }

    /// The kind of the failure.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// `true` if the same request may succeed later without a change by an operator.
    pub fn is_temporary(&self) -> bool {
        matches!(self.kind, ErrorKind::Unavailable | ErrorKind::Overloaded)
    }
}

fn is_wrong_type(error: &redis::RedisError) -> bool {
    error.code() == Some("WRONGTYPE") || error.detail().is_some_and(|detail| detail.contains("WRONGTYPE"))
}

/// `true` for errors of a server that pass by themselves.
pub(crate) fn is_temporary_code(code: &str) -> bool {
    matches!(
        code,
        "LOADING"
            | "CLUSTERDOWN"
            | "MASTERDOWN"
            | "TRYAGAIN"
            | "READONLY"
            | "MOVED"
            | "ASK"
            | "BUSY"
            | "OOM"
            | "NOREPLICAS"
            | "UNKILLABLE"
            | "MISCONF"
    )
}

const LOGIN: &str = "check the user name and the password";
const RIGHTS: &str = "give the user the rights that docs/engines.md lists";
const OTHERS: &str =
    "another program has written a key with this prefix: remove the key, or use another prefix";
const VERSION: &str = "use Redis 6.2 or later, or Valkey";
const UNREACHABLE: &str = "check that it runs and that this machine can reach it";
const NOT_NOW: &str = "the server can't do this at the moment: look into its log if this does not pass";
const STRANGE: &str = "check that this is a Redis server";

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

impl From<Error> for EngineError {
    fn from(error: Error) -> Self {
        let kind = match error.kind {
            ErrorKind::Unavailable => EngineErrorKind::Unavailable,
            ErrorKind::Overloaded => EngineErrorKind::Overloaded,
            ErrorKind::Settings | ErrorKind::Permission | ErrorKind::Unsuitable | ErrorKind::Foreign => {
                EngineErrorKind::Refused
            }
            ErrorKind::Unexpected => EngineErrorKind::Internal,
        };
        Self::new(kind, error)
    }
}
