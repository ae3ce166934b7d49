//! The configuration of a client.

use alloc::string::String;
use core::time::Duration;

use wirehub_common::contract::Contract;
use wirehub_common::frame::ContractDigest;

/// The settings of a client. Times are upper bounds, not pauses.
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
    /// Whether there is a token provider. It is asked by [`Event::TokenNeeded`](crate::Event::TokenNeeded). If `token`
    /// is set too, that token is used first.
    pub provides_tokens: bool,
    /// The name of the program in the server's log.
    pub client: String,
    /// The program's version.
    pub version: String,
    /// The contract that the program was built with, if any. A server with a different contract is reported.
    pub contract: Option<ContractDigest>,
    /// The time limit of a connection attempt, from opening the connection to the reply to `connect`. It starts anew
    /// whenever data comes from the server or the transport accepts data.
    pub connect_timeout: Duration,
    /// The shortest delay before another connection attempt. Each delay is random, between this and a bound that doubles
    /// with each attempt, up to [`max_delay`](field@Self::max_delay).
    pub min_delay: Duration,
    /// The longest delay before another connection attempt, unless the server asks for a longer one.
    pub max_delay: Duration,
    /// The time limit of a command without one of its own: see [`SendOptions::timeout`](crate::SendOptions::timeout).
    pub command_timeout: Duration,
    /// How many bytes of commands may wait: for a connection, for room in it, or for the answer to a publish. Further
    /// commands fail with [`QUEUE_FULL`](wirehub_common::code::ErrorCode::QUEUE_FULL). One larger command at a time has
    /// room of its own, up to the server's size limit. Before the first connect that limit is unknown, and 1 MiB is
    /// assumed.
    pub send_queue: usize,
    /// How many bytes of frames that arrive in parts are kept at the same time. A frame beyond this bound ends the
    /// connection, as an unreadable frame does.
    pub frame_bytes: usize,
    /// How many commands may be unfinished at once. Further commands fail with
    /// [`QUEUE_FULL`](wirehub_common::code::ErrorCode::QUEUE_FULL).
    pub max_commands: usize,
    /// How many bytes of messages each subscription may hold for its reader.
    pub receive_queue: usize,
    /// The policy of a full receive queue.
    pub overflow: Overflow,
}

impl Config {
    /// The defaults, the same as [`Default`]: an anonymous client without a contract.
    pub const fn new() -> Self {
        Self {
            token: String::new(),
            provides_tokens: false,
            client: String::new(),
            version: String::new(),
            contract: None,
            connect_timeout: Duration::from_secs(10),
            min_delay: Duration::from_millis(500),
            max_delay: Duration::from_secs(20),
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

    /// Sets [`provides_tokens`](field@Self::provides_tokens). `client_with_tokens` sets it by itself.
    pub fn provides_tokens(self, provides_tokens: bool) -> Self {
        Self { provides_tokens, ..self }
    }

    /// Sets [`client`](field@Self::client) and [`version`](field@Self::version), the name and version of the program.
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

    /// Sets [`min_delay`](field@Self::min_delay) and [`max_delay`](field@Self::max_delay).
    pub fn delays(self, min_delay: Duration, max_delay: Duration) -> Self {
        Self { min_delay, max_delay, ..self }
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

/// The policy of a full receive queue when one more message arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Overflow {
    /// Ends the subscription with [`OVERFLOW`](wirehub_common::code::ErrorCode::OVERFLOW), behind the messages that are
    /// queued.
    #[default]
    Error,
    /// Drops the oldest message.
    DropOldest,
    /// Keeps only the newest message.
    Latest,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setter_sets_its_own_field_and_no_other() {
        let second = Duration::from_secs(1);
        let config = Config::new()
            .client("name", "version")
            .connect_timeout(second)
            .command_timeout(second * 2)
            .delays(second * 3, second * 4)
            .send_queue(3)
            .frame_bytes(4)
            .max_commands(5)
            .receive_queue(6)
            .overflow(Overflow::Latest);
        assert_eq!((&*config.client, &*config.version), ("name", "version"));
        assert_eq!((config.connect_timeout, config.command_timeout), (second, second * 2));
        assert_eq!((config.min_delay, config.max_delay), (second * 3, second * 4));
        let numbers = (config.send_queue, config.frame_bytes, config.max_commands, config.receive_queue);
        assert_eq!((numbers, config.overflow), ((3, 4, 5, 6), Overflow::Latest));
    }
}
