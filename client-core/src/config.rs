//! What a client can be told before it starts.

use alloc::string::String;
use core::time::Duration;

use wirehub_common::contract::Contract;
use wirehub_common::frame::ContractDigest;

/// How a client behaves. Times are bounds, not pauses.
///
/// ```
/// use std::time::Duration;
/// use wirehub_client_core::Config;
///
/// let config = Config::new().token("…").command_timeout(Duration::from_secs(30));
/// assert_eq!(config.command_timeout.as_secs(), 30);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
#[must_use = "a configuration does nothing before a client has it"]
pub struct Config {
    /// The token; empty for an anonymous client.
    pub token: String,
    /// Whether a token provider is there to be asked, by [`Event::TokenNeeded`](crate::Event::TokenNeeded). Where
    /// `token` is set too, it is the first.
    pub provides_tokens: bool,
    /// The name that the server's log knows the program by.
    pub client: String,
    /// The program's version.
    pub version: String,
    /// The contract that the program was built with, if any: a server with another one is reported.
    pub contract: Option<ContractDigest>,
    /// How long an attempt may take, from opening the connection to the reply to `connect`. While something comes from the
    /// server, or the transport takes something, it is counted from that moment.
    pub connect_timeout: Duration,
    /// How long a command may take where the caller does not say: see [`SendOptions::timeout`](crate::SendOptions::timeout).
    pub command_timeout: Duration,
    /// How many bytes of commands may wait for a connection, for room in it, or for the answer to a publish; more fail
    /// with [`QUEUE_FULL`](wirehub_common::code::ErrorCode::QUEUE_FULL). Beside them there is room for one larger command at
    /// a time, as large as the server takes it; before the first connect that is not known, and 1 MiB.
    pub send_queue: usize,
    /// How many bytes the server's frames may have that come in parts, all together that come at the same time. A frame
    /// beyond that ends the connection, as one does that can't be read.
    pub frame_bytes: usize,
    /// How many commands may be unfinished at once; more fail with
    /// [`QUEUE_FULL`](wirehub_common::code::ErrorCode::QUEUE_FULL).
    pub max_commands: usize,
    /// How many bytes each subscription may hold that nobody has taken yet.
    pub receive_queue: usize,
    /// What happens when that is not enough.
    pub overflow: Overflow,
}

impl Config {
    /// The defaults, as [`Default`] has them: an anonymous client without a contract.
    pub const fn new() -> Self {
        Self {
            token: String::new(),
            provides_tokens: false,
            client: String::new(),
            version: String::new(),
            contract: None,
            connect_timeout: Duration::from_secs(10),
            command_timeout: Duration::from_secs(10),
            send_queue: 1024 * 1024,
            frame_bytes: 64 * 1024 * 1024,
            max_commands: 10_000,
            receive_queue: 1024 * 1024,
            overflow: Overflow::Error,
        }
    }

    /// Sets [`token`](field@Self::token).
    pub fn token(self, token: impl Into<String>) -> Self {
        Self { token: token.into(), ..self }
    }

    /// Sets [`provides_tokens`](field@Self::provides_tokens). `client_with_tokens` does it by itself.
    pub fn provides_tokens(self, provides_tokens: bool) -> Self {
        Self { provides_tokens, ..self }
    }

    /// Sets [`client`](field@Self::client) and [`version`](field@Self::version): what the program is called.
    pub fn client(self, name: impl Into<String>, version: impl Into<String>) -> Self {
        Self { client: name.into(), version: version.into(), ..self }
    }

    /// Sets [`contract`](field@Self::contract).
    pub fn contract<C: Contract>(self) -> Self {
        Self { contract: Some(C::digest()), ..self }
    }

    /// Sets [`connect_timeout`](field@Self::connect_timeout).
    pub fn connect_timeout(self, connect_timeout: Duration) -> Self {
        Self { connect_timeout, ..self }
    }

    /// Sets [`command_timeout`](field@Self::command_timeout).
    pub fn command_timeout(self, command_timeout: Duration) -> Self {
        Self { command_timeout, ..self }
    }

    /// Sets [`send_queue`](field@Self::send_queue), in bytes.
    pub fn send_queue(self, send_queue: usize) -> Self {
        Self { send_queue, ..self }
    }

    /// Sets [`frame_bytes`](field@Self::frame_bytes).
    pub fn frame_bytes(self, frame_bytes: usize) -> Self {
        Self { frame_bytes, ..self }
    }

    /// Sets [`max_commands`](field@Self::max_commands).
    pub fn max_commands(self, max_commands: usize) -> Self {
        Self { max_commands, ..self }
    }

    /// Sets [`receive_queue`](field@Self::receive_queue), in bytes.
    pub fn receive_queue(self, receive_queue: usize) -> Self {
        Self { receive_queue, ..self }
    }

    /// Sets [`overflow`](field@Self::overflow).
    pub fn overflow(self, overflow: Overflow) -> Self {
        Self { overflow, ..self }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

/// What a full receive queue does with one more message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Overflow {
    /// Ends the subscription with [`OVERFLOW`](wirehub_common::code::ErrorCode::OVERFLOW), after what is queued.
    #[default]
    Error,
    /// Drops the oldest.
    DropOldest,
    /// Keeps the newest alone.
    Latest,
}
