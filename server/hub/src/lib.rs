//! The heart of the Wirehub server: a [`Hub`] with its sessions, channels, engines and the WebSocket endpoint.
//!
//! Applications use `wirehub-server`, which re-exports this crate and adds the HTTP API, tokens, webhooks, TLS, metrics and an
//! accept loop. This crate alone is enough if an application has its own of these. Engines depend on this crate.
//!
//! ```no_run
//! use wirehub_hub::Hub;
//!
//! # async fn serve() -> std::io::Result<()> {
//! let hub = Hub::builder().build();
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! axum::serve(listener, hub.websocket()).await
//! # }
//! ```

pub mod accept;
pub mod alarm;
pub mod auth;
pub mod call;
mod checked_subtraction;
mod counters;
mod echo;
pub mod engine;
mod hooks;
mod hub;
pub mod namespace;
pub mod observe;
mod panic_guard;
mod pattern;
mod readiness;
mod refusals;
mod session;
mod shared_state;
mod socket;
mod token_bucket;
mod traffic;
#[doc(hidden)]
pub mod unix_time;
mod upgrade;

pub use self::hub::live::{LiveSettings, MAX_CONNECTIONS};
pub use self::hub::{BuildError, Builder, Hub, OrderError, SessionId, SessionIdError};
pub use self::pattern::{Pattern, PatternError};

/// The common parts of both ends: frames, codes, payloads, contracts.
pub use wirehub_common as common;
