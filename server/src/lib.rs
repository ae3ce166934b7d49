//! The Wirehub server: typed realtime messaging over WebSocket, as a library and as the program `wirehub`.
//!
//! A [`Hub`] mounts into an [axum](https://docs.rs/axum) application. This is all of one, `examples/chat.rs`:
//!
//! ```no_run
#![doc = include_str!("../examples/chat.rs")]
//! ```
//!
//! [`run`] takes the place of `axum::serve` where the whole is to be served and stopped by one function, on TCP or a
//! Unix socket, with bounds on everything that a client could pile up.
//!
//! # What a hub promises
//!
//! - A publication is encoded once for each codec, and its bytes are shared by all queues it waits in.
//! - All subscribers of a channel see its publications in the same order; the answers to `subscribe` and
//!   `unsubscribe` stand among them where the subscription begins and ends.
//! - Publishing never waits. A session that does not keep up is closed with
//!   [`SLOW_CONSUMER`](common::code::CloseCode::SLOW_CONSUMER), and nobody else notices.
//! - Everything that waits is bounded in bytes: [`Builder::queue_bytes`], [`Builder::limits`].

#[cfg(feature = "api")]
mod admin;
#[cfg(feature = "api")]
pub mod api;
#[cfg(feature = "config")]
pub mod config;
mod error;
mod health;
#[cfg(feature = "jwt")]
pub mod jwt;
mod listener;
mod metrics;
#[cfg(feature = "backend")]
mod outbound;
mod run;
#[cfg(any(feature = "backend", feature = "jwt"))]
mod secret;
#[cfg(feature = "config")]
pub mod serve;
mod stall_timeout;
mod static_files;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "backend")]
pub mod webhooks;

#[cfg(feature = "api")]
pub use self::api::api;
pub use self::error::{Error, ErrorKind};
pub use self::health::router;
pub use self::listener::{ListenAddress, Listener, UnixSocket};
pub use self::metrics::metrics;
pub use self::run::{STOP_DEADLINE, run};
pub use self::static_files::static_files;
#[cfg(feature = "tls")]
pub use self::tls::Tls;

pub use wirehub_hub::{
    BuildError, Builder, Hub, LiveSettings, MAX_CONNECTIONS, Pattern, PatternError, SessionId,
    SessionIdError, accept, alarm, auth, call, engine, namespace, observe,
};

/// What both ends share: frames, codes, payloads, contracts.
pub use wirehub_common as common;
