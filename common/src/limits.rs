//! The limits that are in force on a connection.

use core::time::Duration;

/// What a server allows and how it paces one connection. The server announces them in its reply to `connect`;
/// until then both sides count on [`Limits::default`]. A number of 0 stands for no limit, a time of 0 for none of
/// the kind: no pings, no spreading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest command the server takes, in bytes. What is larger than a WebSocket message may be comes in parts.
    pub message_bytes: u32,
    /// How many channels a session may be subscribed to at once.
    pub channels: u32,
    /// How many calls a session may have in flight.
    pub calls: u32,
    /// The server sends an empty message after this long without having sent anything else.
    pub ping_interval: Duration,
    /// After a server that stopped without a word, clients spread their first attempt over this window.
    pub reconnect_window: Duration,
    /// The largest WebSocket message, in either direction, in bytes. A larger frame comes in [parts](crate::frame::Part),
    /// so that nothing urgent waits for longer than one of them, and each is a sign of life.
    pub batch_bytes: u32,
}

impl Limits {
    /// The largest WebSocket message that either side sends, in bytes.
    pub const BATCH_BYTES: usize = 64 * 1024;

    /// How many entries a repeated field may hold: bounds what a small message can make its reader allocate.
    pub const REPEATED: usize = 16 * 1024;

    /// What holds before a server has announced its own.
    pub const DEFAULT: Self = Self {
        message_bytes: 1024 * 1024,
        channels: 128,
        calls: 32,
        ping_interval: Duration::from_secs(25),
        reconnect_window: Duration::from_secs(5),
        batch_bytes: 64 * 1024,
    };

    /// What absent fields stand for.
    pub(crate) const NONE: Self = Self {
        message_bytes: 0,
        channels: 0,
        calls: 0,
        ping_interval: Duration::ZERO,
        reconnect_window: Duration::ZERO,
        batch_bytes: 0,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
