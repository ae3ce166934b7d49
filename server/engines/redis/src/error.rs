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
        let code = code_of(&error);
        let (kind, message) = match error.kind() {
            redis::ErrorKind::AuthenticationFailed => (ErrorKind::Permission, LOGIN),
            redis::ErrorKind::Server(ServerErrorKind::NoPerm) => (ErrorKind::Permission, RIGHTS),
            _ if is_right_of_script(&error) => (ErrorKind::Permission, RIGHTS),
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

/// `true` if a script was refused a command, a key or a channel. Such an error has no code of its own.
fn is_right_of_script(error: &redis::RedisError) -> bool {
    let words = ["user executing the script can't", "ACL failure in script"];
    error.detail().is_some_and(|detail| words.iter().any(|words| detail.contains(words)))
}

/// The code of a server's error; empty for other errors.
pub(crate) fn code_of(error: &redis::RedisError) -> &str {
    error.detail().and_then(code_in_script).or_else(|| error.code()).unwrap_or_default()
}

/// The code of an error within a script. Redis 6.2 has it in the text: `Error running script (call to f_…): @user_script:1:
/// @user_script: 1: -OOM command not allowed …`.
fn code_in_script(detail: &str) -> Option<&str> {
    let (_, error) = detail.strip_prefix("Error running script ")?.split_once(": -")?;
    error.split(' ').next()
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

#[cfg(test)]
mod tests {
    use redis::RedisError;

    use super::*;

    fn error(code: &str, detail: &str) -> RedisError {
        redis::make_extension_error(code.into(), Some(detail.into()))
    }

    #[test]
    fn an_error_within_a_script_has_its_own_code_also_before_redis_7() {
        let nested = |words: &str| {
            error("ERR", &format!("Error running script (call to f_b3d8): @user_script:1: {words}"))
        };
        let full = nested("@user_script: 1: -OOM command not allowed when used memory > 'maxmemory'.");
        assert_eq!(code_of(&full), "OOM");
        assert_eq!(Error::of_server("x", full).kind(), ErrorKind::Unavailable);
        assert_eq!(code_of(&nested("@user_script: 1: -READONLY You can't write: -1")), "READONLY");
        let foreign = nested("WRONGTYPE Operation against a key holding the wrong kind of value");
        assert_eq!(Error::of_server("x", foreign).kind(), ErrorKind::Foreign);
        assert_eq!(code_of(&error("OOM", "command not allowed: -1")), "OOM");
    }

    #[test]
    fn a_missing_right_of_a_script_is_a_missing_right_in_every_version() {
        for words in [
            "Error running script (call to f_49): @user_script:1: @user_script: 1: The user executing the script can't \
             access at least one of the keys mentioned in the command arguments",
            "ACL failure in script: No permissions to access a channel script: 4970, on @user_script:1.",
        ] {
            let error = Error::of_server("x", error("ERR", words));
            assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
        }
    }
}
