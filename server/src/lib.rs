//! The Wirehub server as a library: typed realtime messaging over WebSocket. The program `wirehub` is in `wirehub-cli`.
//!
//! A [`Hub`] mounts into an [axum](https://docs.rs/axum) application. A complete program, `examples/chat.rs`:
//!
//! ```no_run
#![doc = include_str!("../examples/chat.rs")]
//! ```
//!
//! The example uses `axum::serve`. [`run`] replaces it where this crate is to accept the connections: it serves on TCP, TLS or a
//! Unix socket, limits connections of every kind, and stops in order. Under `axum::serve` only WebSockets are counted.
//!
//! | purpose | items |
//! | --- | --- |
//! | mount a hub | [`router`] (`/ws`, `/health`, `/ready`), [`Hub::echo`], [`metrics()`], [`static_files()`] |
//! | publish, read history, disconnect | [`Hub`] |
//! | receive a channel in the same process | [`Hub::subscribe`] |
//! | authenticate clients, authorize actions | [`auth`], `jwt`, [`Builder::authenticate`], [`Builder::authorize_subscribe`] |
//! | answer calls | [`Builder::call`], [`call`] |
//! | rules of channels: access, history, overflow | [`namespace`] |
//! | alarms with acknowledgements | [`alarm`] |
//! | origins, proxies, connections | [`accept`] |
//! | settings that change while a hub runs | [`Hub::update`], [`LiveSettings`] |
//! | events and figures of a hub | [`observe`] |
//! | storage and transport of publications | [`engine`] |
//! | backends in other languages | `api`, `webhooks` |
//! | a server from a configuration file | `config`, `serve` |
//!
//! A hub without a contract is closed: see [`Builder::default_namespace`].
//!
//! # Features
//!
//! `api` (the HTTP API and the admin page), `jwt`, `backend` (webhooks and key sets at a URL) and `tls` are on by default.
//! `config` adds the modules `config` and `serve`, `disk` and `redis` the engines of these names to them; `conformance` adds the suite for engines to [`engine`].
//!
//! # Guarantees of a hub
//!
//! - A publication is encoded once for each codec. All queues share its bytes.
//! - All subscribers of a channel see its publications in the same order. The answers to `subscribe` and `unsubscribe`
//!   stand among them exactly at the beginning and the end of the subscription.
//! - Publishing never waits. A session that does not keep up is closed with
//!   [`SLOW_CONSUMER`](common::code::CloseCode::SLOW_CONSUMER), without effect on others.
//! - Every queue has a limit in bytes: [`Builder::queue_bytes`], [`Builder::limits`].

#[cfg(feature = "api")]
mod admin;
#[cfg(feature = "api")]
pub mod api;
#[cfg(feature = "config")]
pub mod config;
mod error;
mod health;
/// For the program `wirehub`.
#[cfg(any(feature = "api", feature = "backend"))]
#[doc(hidden)]
pub mod json_payload;
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
#[cfg_attr(not(feature = "config"), allow(unreachable_pub, reason = "`serve` exports it"))]
mod signals;
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
pub use self::signals::shutdown_signal;
pub use self::static_files::static_files;
#[cfg(feature = "tls")]
pub use self::tls::Tls;

pub use wirehub_hub::{
    BuildError, Builder, Hub, LiveSettings, MAX_CONNECTIONS, OrderError, Pattern, PatternError, SessionId,
    SessionIdError, accept, alarm, auth, call, engine, namespace, observe,
};

/// The common parts of both ends: frames, codes, payloads, contracts.
pub use wirehub_common as common;
