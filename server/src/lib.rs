//! The Wirehub server: typed realtime messaging over WebSocket, as a library and as the program `wirehub`.
//!
//! A [`Hub`] mounts into an [axum](https://docs.rs/axum) application. What clients and server say to each other is
//! a contract, which both compile:
//!
//! ```
//! use axum::{Router, routing::get};
//! use serde::{Deserialize, Serialize};
//! use wirehub_common::contract::Schema;
//! use wirehub_server::{CallError, Hub, STOP_DEADLINE};
//!
//! #[derive(Serialize, Deserialize, Schema)]
//! pub struct Line {
//!     pub nick: String,
//!     pub text: String,
//! }
//!
//! wirehub_common::contract! {
//!     pub contract Chat = "chat";
//!     /// One room.
//!     channel Room { room } = "chat:{room}": Line;
//!     /// Lets somebody into a room, and gives back how many are there.
//!     call Greet = "chat.greet": fn(Line) -> u32;
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let hub = Hub::builder()
//!         .contract::<Chat>()
//!         .call::<Greet, _, _>(async |context, line| {
//!             if line.nick.is_empty() {
//!                 return Err(CallError::application::<1001>("choose a nick first"));
//!             }
//!             let lobby = Room::new("lobby").map_err(CallError::internal)?;
//!             context.hub().publish(&lobby, &line).map_err(CallError::internal)?;
//!             Ok(context.hub().sessions() as u32)
//!         })
//!         .build();
//!
//!     // Beside `/ws`, `/echo` and `/health`, the application's own routes.
//!     let app = Router::new().route("/", get(async || "hello")).merge(hub.router());
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//!     let serving = tokio::spawn(async move { axum::serve(listener, app).await });
//!
//!     // From anywhere in the application. A message of another type would not compile.
//!     let line = Line { nick: "server".into(), text: "welcome".into() };
//!     hub.publish(&Room::new("lobby")?, &line)?;
//!
//!     // Clients are told when to come back, and their queues are flushed.
//!     hub.shutdown(STOP_DEADLINE).await;
//!     serving.abort();
//!     Ok(())
//! }
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
mod alarm;
#[cfg(feature = "api")]
mod api;
mod auth;
mod call;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "cli")]
pub mod config;
mod echo;
mod engine;
mod error;
mod events;
mod hooks;
mod http;
mod hub;
#[cfg(feature = "jwt")]
pub mod jwt;
mod listener;
mod metrics;
#[cfg(feature = "backend")]
mod outbound;
mod rate;
mod run;
mod session;
mod socket;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "backend")]
pub mod webhooks;

#[cfg(feature = "api")]
pub use self::admin::admin_page;
pub use self::alarm::{Alarm, AlarmError, AlarmProgress, AlarmRecipient, AlarmReport, AlarmState};
#[cfg(feature = "api")]
pub use self::api::{ApiKey, ApiKeyError, ApiKeys};
pub use self::auth::{Authenticated, ChannelPattern, ChannelPatternError, Credentials, Refusal, Rights};
pub use self::call::{CallContext, CallError, CallPattern, CallPatternError, RawCall};
#[cfg(feature = "conformance")]
pub use self::engine::conformance;
pub use self::engine::{
    Answer, Delivery, Engine, EngineError, History, MemoryEngine, Publish, ReadHistory, Recover, Recovered,
};
pub use self::error::{Error, ErrorKind};
pub use self::events::{Observer, SessionEvent};
pub use self::hooks::PublishRequest;
pub use self::http::client_address::{TrustedProxy, TrustedProxyError};
pub use self::http::origin::{Origin, OriginError};
pub use self::http::static_files;
pub use self::hub::{Access, Builder, Hub, Namespace, Overflow, PresenceCounts, SessionId, SessionIdError};
pub use self::listener::{ListenAddress, Listener, UnixSocket};
#[cfg(feature = "backend")]
pub use self::outbound::{BackendUrl, BackendUrlError, CertificateError};
pub use self::run::{MAX_CONNECTIONS, STOP_DEADLINE, run};
#[cfg(feature = "tls")]
pub use self::tls::Tls;

/// What both ends share: frames, codes, payloads, contracts.
pub use wirehub_common as common;
