//! The Wirehub client for browsers: pages and workers.
//!
//! ```no_run
//! use futures_util::StreamExt as _;
//! use wirehub_client_wasm::Config;
//! use wirehub_demo_contract::{ChatMessage, ChatRoom};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = wirehub_client_wasm::client("wss://example.org/ws", Config::default())?;
//! let lobby = ChatRoom::new("lobby")?;
//! let mut lines = client.subscribe(&lobby)?.publications();
//! client.connect().await?;
//! client.publish(&lobby, &ChatMessage { nick: "ann".into(), text: "hi".into() }).await?;
//! while let Some(line) = lines.next().await {
//!     let line = line?.message;
//!     println!("{}: {}", line.nick, line.text);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A subscription itself also reports gaps: an [`Update::Gap`] in the place of messages that this client missed.
//!
//! The rules (reconnecting, queueing, timeouts) are those of [`wirehub_client_core`], the same as in a backend. The
//! client is built on [`Socket`], the browser's WebSocket with typed messages, which can also be used by itself: as a
//! stream and sink, or with a function for each event ([`Handlers`]).
//!
//! `web-sys` is used directly: `gloo-net` would make the module a quarter larger, does not bound its receive queue, and
//! does not wait while sending. A WebSocket of `gloo-net` that an application already has can be taken over, with the
//! feature `gloo`: `GlooSocket`.

#![cfg_attr(not(any(feature = "handles", test)), no_std)]

extern crate alloc;

mod browser;
#[cfg(feature = "handles")]
mod client;
mod page;
mod runner;
mod scope;
#[cfg(feature = "handles")]
mod socket;
#[cfg(feature = "handles")]
mod url;
mod wire;

/// The lower half of every client and socket here, for a package that has an application's half of its own. The npm
/// package `@wirehub/client` is built on it.
pub mod driver {
    pub use crate::browser::{Timer, now, seed};
    pub use crate::runner::{Machine, PageEvent, Runner};
    pub use crate::scope::{Ear, Guard, Scope, Signal};
    pub use crate::wire::{DRAIN_POLL, SEND_BUFFER, Wire, WireEvent};
}

#[cfg(feature = "handles")]
pub use wirehub_client_core::{
    Alarm, Alarms, Client, ClientState, Config, Error, ErrorKind, Gap, HistoryPage, MemberChange,
    MemberChanges, Members, Offers, Overflow, PresenceCounts, Progress, Publication, Publications, Responses,
    StateChange, StateChanges, SubscribeOptions, Subscription, Unreadable, Update,
};
pub use wirehub_common as common;

#[cfg(feature = "handles")]
pub use self::client::{client, client_with_tokens};
#[cfg(feature = "gloo")]
pub use self::socket::GlooSocket;
#[cfg(feature = "handles")]
pub use self::socket::{
    EventSocket, Frame, Handlers, Message, ReadyState, Socket, SocketError, SocketErrorKind,
};
pub use self::wire::Closed;
