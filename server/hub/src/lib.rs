//! The heart of the Wirehub server: a [`Hub`] with its sessions, channels, engines and the WebSocket endpoint.
//!
//! Applications use `wirehub-server`, which re-exports this crate and adds the HTTP API, tokens, webhooks, TLS, metrics and an
//! accept loop. This crate alone is enough where all of that comes from elsewhere, and is what an engine depends on.
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
mod account;
mod alarm;
mod auth;
mod call;
mod counters;
mod echo;
mod engine;
mod events;
mod guard;
mod hooks;
mod hub;
mod rate;
mod readiness;
mod refusals;
mod session;
mod socket;
#[doc(hidden)]
pub mod unix_time;
mod upgrade;

pub use self::alarm::{Alarm, AlarmError, AlarmProgress, AlarmRecipient, AlarmReport, AlarmState};
pub use self::auth::{
    Authenticated, ChannelPattern, ChannelPatternError, Credentials, Refusal, Rights, UserNameError,
};
pub use self::call::{CallContext, CallError, CallPattern, CallPatternError, RawCall};
pub use self::counters::Counts;
#[cfg(feature = "conformance")]
pub use self::engine::conformance;
pub use self::engine::{
    Delivery, Engine, EngineError, EngineFuture, History, Locate, Located, MemoryEngine, Publish, ReadHistory,
};
pub use self::events::{Observer, SessionEvent};
pub use self::hooks::PublishRequest;
pub use self::hub::inspect::{
    ChannelSummary, ConnectedSession, MemberPage, Phase, RecipientPage, RecipientPlace, RecipientPlaceError,
};
pub use self::hub::live::MAX_CONNECTIONS;
pub use self::hub::{
    Access, BuildError, Builder, Hub, Namespace, Overflow, Payer, PresenceCounts, SessionId, SessionIdError,
};
pub use self::refusals::RefusalReason;
pub use self::upgrade::client_address::{TrustedProxy, TrustedProxyError};
pub use self::upgrade::origin::{Origin, OriginError};

/// What both ends share: frames, codes, payloads, contracts.
pub use wirehub_common as common;
