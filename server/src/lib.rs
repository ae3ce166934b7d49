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

pub mod accept;
mod account;
#[cfg(feature = "api")]
mod admin;
mod alarm;
#[cfg(feature = "api")]
mod api;
mod auth;
mod call;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "cli")]
pub mod config;
mod counters;
mod echo;
mod engine;
mod error;
mod events;
mod guard;
mod health;
mod hooks;
mod hub;
#[cfg(feature = "jwt")]
pub mod jwt;
mod listener;
mod metrics;
#[cfg(feature = "backend")]
mod outbound;
mod rate;
mod readiness;
mod refusals;
mod run;
#[cfg(any(feature = "backend", feature = "jwt"))]
mod secret;
#[cfg(feature = "cli")]
pub mod serve;
mod session;
mod socket;
mod static_files;
#[cfg(feature = "tls")]
mod tls;
#[doc(hidden)]
pub mod unix_time;
mod unstalled;
mod upgrade;
#[cfg(feature = "backend")]
pub mod webhooks;

#[cfg(feature = "api")]
pub use self::admin::admin_page;
pub use self::alarm::{Alarm, AlarmError, AlarmProgress, AlarmRecipient, AlarmReport, AlarmState};
#[cfg(feature = "api")]
pub use self::api::{ApiKey, ApiKeyError, ApiKeys, api};
pub use self::auth::{
    Authenticated, ChannelPattern, ChannelPatternError, Credentials, Refusal, Rights, UserNameError,
};
pub use self::call::{CallContext, CallError, CallPattern, CallPatternError, RawCall};
pub use self::counters::Counts;
#[cfg(feature = "conformance")]
pub use self::engine::conformance;
pub use self::engine::{
    Answer, Delivery, Engine, EngineError, History, Locate, Located, MemoryEngine, Publish, ReadHistory,
};
pub use self::error::{Error, ErrorKind};
pub use self::events::{Observer, SessionEvent};
pub use self::health::router;
pub use self::hooks::PublishRequest;
pub use self::hub::inspect::{
    ChannelSummary, ConnectedSession, MemberPage, Phase, RecipientPage, RecipientPlace, RecipientPlaceError,
};
pub use self::hub::live::MAX_CONNECTIONS;
pub use self::hub::{
    Access, BuildError, Builder, Hub, Namespace, Overflow, PresenceCounts, SessionId, SessionIdError,
};
pub use self::listener::{ListenAddress, Listener, UnixSocket};
pub use self::metrics::metrics;
#[cfg(feature = "backend")]
pub use self::outbound::{BackendUrl, BackendUrlError, CertificateError};
pub use self::refusals::RefusalReason;
pub use self::run::{STOP_DEADLINE, run};
pub use self::static_files::static_files;
#[cfg(feature = "tls")]
pub use self::tls::Tls;
pub use self::upgrade::client_address::{TrustedProxy, TrustedProxyError};
pub use self::upgrade::origin::{Origin, OriginError};

/// What both ends share: frames, codes, payloads, contracts.
pub use wirehub_common as common;
