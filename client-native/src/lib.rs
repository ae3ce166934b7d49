//! The Wirehub client on tokio.
//!
//! ```no_run
//! use futures_util::StreamExt as _;
//! use serde::{Deserialize, Serialize};
//! use wirehub_client::common::contract::Schema;
//! use wirehub_client::{Address, Config};
//!
//! #[derive(Serialize, Deserialize, Schema)]
//! pub struct Line { pub nick: String, pub text: String }
//!
//! wirehub_client::common::contract! {
//!     pub contract Chat = "chat";
//!     channel Room { room } = "chat:{room}": Line;
//! }
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = wirehub_client::client(Address::parse("ws://127.0.0.1:8080/ws")?, Config::default());
//! let lobby = Room::new("lobby")?;
//! let mut subscription = client.subscribe(&lobby)?;
//! client.connect().await?;
//! subscription.ready().await?;
//! client.publish(&lobby, &Line { nick: "ann".into(), text: "hi".into() }).await?;
//! let mut lines = subscription.publications();
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
//! An address is `wss://…`, `ws://…` or `unix:…`; everything else is the same. With TLS the server's certificate has to
//! be trusted by the operating system (`SSL_CERT_FILE` and `SSL_CERT_DIR` are respected), or by the authorities of
//! [`Address::with_root_certificates`]. An untrusted server ends the client, with an error that describes the remedy.
//! If only the validity period of the certificate is wrong, the client tries again.
//!
//! The rules (reconnecting, queueing, timeouts) are those of [`wirehub_client_core`], the same as in a browser.

mod address;
mod runner;
mod tls;
mod tokens;
mod transport;

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;
use wirehub_client_core::{Driver, Time};

pub use wirehub_client_core::{
    Alarm, Alarms, Client, ClientState, Config, Error, ErrorKind, Gap, HistoryPage, MemberChange,
    MemberChanges, Members, Offers, Overflow, PresenceCounts, Progress, Publication, Publications, Responses,
    StateChange, StateChanges, SubscribeOptions, Subscription, Unreadable, Update,
};
pub use wirehub_common as common;

pub use self::address::{Address, AddressError};

/// A client of the server at `address`, run by a task on the current tokio runtime. It does nothing before
/// [`Client::connect`]; the task ends when the client is closed.
///
/// # Panics
/// The function is called outside a tokio runtime with time and I/O enabled.
pub fn client(address: Address, config: Config) -> Client {
    spawn(address, config, None)
}

/// [`client()`] with a token provider. The provider is asked before the first connect, when the server demands a new
/// token, and when it refuses one that is not fresh.
///
/// The provider returns [`Error::token_unavailable`] if asking again later may help, and [`Error::signed_out`] if it
/// will not. A provider that takes longer than [`Config::connect_timeout`] is asked anew, and its first answer is
/// dropped.
///
/// ```no_run
/// # use wirehub_client::{Address, Config, Error};
/// # async fn fetch_token() -> Result<String, std::io::Error> { unimplemented!() }
/// # fn example(address: Address) {
/// let client = wirehub_client::client_with_tokens(address, Config::default(), || async {
///     fetch_token().await.map_err(Error::token_unavailable)
/// });
/// # }
/// ```
///
/// # Panics
/// As [`client()`].
pub fn client_with_tokens<F>(
    address: Address,
    config: Config,
    provider: impl Fn() -> F + Send + 'static,
) -> Client
where
    F: Future<Output = Result<String, Error>> + Send + 'static,
{
    let config = config.provides_tokens(true);
    spawn(address, config, Some(Box::new(move || Box::pin(provider()))))
}

fn spawn(address: Address, config: Config, provider: Option<tokens::Provider>) -> Client {
    let origin = Instant::now();
    let clock = move || Time::since_origin(origin.elapsed());
    // Without entropy the delays are still within their bounds, but no longer spread.
    let seed = getrandom::u64().unwrap_or_else(|_| u64::from(std::process::id()));
    let (client, driver) = Driver::pair(with_name(config), seed, clock);
    tokio::spawn(runner::run(address, driver, origin, tokens::Tokens::new(provider)));
    client
}

/// The client's name, unless the caller sets one.
fn with_name(config: Config) -> Config {
    if !config.client.is_empty() {
        return config;
    }
    config.client(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
}

/// How long the peer may take to answer a close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
