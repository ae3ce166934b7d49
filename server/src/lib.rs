//! The Wirehub server.

mod call;
#[cfg(feature = "cli")]
pub mod cli;
mod echo;
mod error;
mod http;
mod hub;
mod listener;
mod run;
mod session;
mod socket;

pub use self::call::{CallContext, CallError};
pub use self::error::{Error, ErrorKind};
pub use self::http::origin::{Origin, OriginError};
pub use self::http::static_files;
pub use self::hub::{Builder, Hub, SessionId, SessionIdError};
pub use self::listener::{ListenAddress, Listener, UnixSocket};
pub use self::run::{MAX_CONNECTIONS, STOP_DEADLINE, run};

/// What both ends share: frames, codes, payloads, contracts.
pub use wirehub_common as common;
