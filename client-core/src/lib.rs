//! The Wirehub client without I/O.
//!
//! [`Core`] is the whole client as a state machine. It owns every rule (connecting, subscribing, queueing, retrying,
//! timeouts) and performs no I/O. Its driver reports events (`handle_*`), and asks for the next actions (`poll_*`).
//! Time and randomness are arguments.
//!
//! ```
//! use wirehub_client_core::{Config, Core, ClientState, Time, Transmit};
//!
//! let mut core = Core::new(Config::default(), 42);
//! let now = Time::ZERO;
//! core.connect(now);
//! assert_eq!(core.state(), ClientState::Connecting);
//! assert_eq!(core.poll_transmit(true), Some(Transmit::Open));
//!
//! // The driver opens a WebSocket; once that is open, the first message goes out.
//! core.handle_open("wirehub.v1.protobuf");
//! assert!(matches!(core.poll_transmit(true), Some(Transmit::Send(_))));
//! ```
//!
//! [`Client`] and [`Subscription`] are for applications: cloneable handles, futures and streams over a core that a
//! [`Driver`] runs. `wirehub-client` runs it on tokio, `wirehub-client-wasm` in a browser.

#![cfg_attr(not(any(feature = "handles", test)), no_std)]

extern crate alloc;

mod backoff;
mod config;
mod core;
mod error;
mod event;
#[cfg(feature = "handles")]
mod handle;
mod listener;
mod time;

pub use self::config::{Config, Overflow};
pub use self::core::{
    CommandId, Core, MembersChange, SendOptions, SubscribeOptions, SubscriptionId, TokenRequest, Transmit,
};
pub use self::error::{Error, ErrorKind};
pub use self::event::{ClientState, Event, Gap, Outcome, Recovery, StateChange};
#[cfg(feature = "handles")]
pub use self::handle::{
    Alarm, Alarms, Client, Driver, HistoryPage, MemberChange, MemberChanges, Members, Offers, PresenceCounts,
    Progress, Publication, Publications, Responses, StateChanges, Subscription, Unreadable, Update,
};
pub use self::listener::{Events, Listener, OutcomeView, StateView};
pub use self::time::Time;
