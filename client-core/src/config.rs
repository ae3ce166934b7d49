//! What a client can be told before it starts.

use alloc::string::String;
use core::time::Duration;

use wirehub_common::frame::ContractDigest;

/// How a client behaves. Times are bounds, not pauses.
#[derive(Debug, Clone)]
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
    /// What [`Default`] gives.
    pub(crate) const fn new() -> Self {
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
