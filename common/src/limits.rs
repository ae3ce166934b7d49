//! The limits in force on a connection.

use core::time::Duration;

use wirehub_derive::message;

/// The server's limits and intervals for a connection. The server announces them in its reply to `connect`; before
/// that, both sides assume [`Limits::default`]. A number of 0 stands for no limit. A time of 0 turns the feature off:
/// no pings, no spreading.
#[message(view)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest command that the server accepts, in bytes. A command larger than a WebSocket message may be comes in
    /// parts.
    #[field(1, always)]
    pub message_bytes: u32,
    /// How many channels a session may be subscribed to at once.
    #[field(2, always)]
    pub channels: u32,
    /// How many calls a session may have in flight.
    #[field(3, always)]
    pub calls: u32,
    /// The server sends an empty message after this long without any other message.
    #[field(4, always)]
    pub ping_interval: Duration,
    /// After a server stops without a close message, clients spread their first attempt over this window.
    #[field(5, always)]
    pub reconnect_window: Duration,
    /// The largest WebSocket message in either direction, in bytes. A larger frame comes in
    /// [parts](crate::frame::Part), so that urgent messages wait for one part at most, and each part is a sign of life.
    #[field(6, always)]
    pub batch_bytes: u32,
}

impl Limits {
    /// The largest WebSocket message that either side sends, in bytes.
    pub const BATCH_BYTES: usize = 64 * 1024;

    /// How many entries a repeated field may hold. It bounds the memory that a small message can make its reader
    /// allocate.
    pub const REPEATED: usize = 16 * 1024;

    /// The largest idempotency key, in bytes.
    pub const KEY_BYTES: usize = 256;

    /// The limits before a server has announced its own.
    pub const DEFAULT: Self = Self {
        message_bytes: 1024 * 1024,
        channels: 128,
        calls: 32,
        ping_interval: Duration::from_secs(25),
        reconnect_window: Duration::from_secs(5),
        batch_bytes: 64 * 1024,
    };

    /// The meaning of absent fields.
    #[cfg(feature = "json")]
    pub(crate) const fn none() -> Self {
        Self {
            message_bytes: 0,
            channels: 0,
            calls: 0,
            ping_interval: Duration::ZERO,
            reconnect_window: Duration::ZERO,
            batch_bytes: 0,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
