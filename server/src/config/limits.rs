//! `[limits]`.

use serde::Deserialize;
use wirehub_common::Limits;

use super::units::{Bytes, Span};
use crate::{Builder, MemoryEngine};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LimitsSection {
    message_bytes: Option<Bytes>,
    queue_bytes: Option<Bytes>,
    kept_bytes: Option<Bytes>,
    channels: Option<u32>,
    calls: Option<u32>,
    commands_per_second: Option<u32>,
    sessions_per_user: Option<u32>,
    connections_per_address: Option<u32>,
    handshakes_per_second: Option<u32>,
    handshake_timeout: Option<Span>,
    connect_timeout: Option<Span>,
    idle_timeout: Option<Span>,
    ping_interval: Option<Span>,
    reconnect_window: Option<Span>,
}

impl LimitsSection {
    /// Puts what it says into a hub.
    pub(super) fn apply(&self, mut hub: Builder) -> Builder {
        hub = hub.limits(self.limits());
        if let Some(per_second) = self.commands_per_second {
            hub = hub.commands_per_second(per_second);
        }
        if let Some(sessions @ 1..) = self.sessions_per_user {
            hub = hub.sessions_per_user(sessions);
        }
        if let Some(connections @ 1..) = self.connections_per_address {
            hub = hub.connections_per_address(connections);
        }
        if let Some(per_second @ 1..) = self.handshakes_per_second {
            hub = hub.handshakes_per_second(per_second);
        }
        if let Some(timeout) = self.handshake_timeout {
            hub = hub.handshake_timeout(timeout.duration());
        }
        if let Some(timeout) = self.connect_timeout {
            hub = hub.connect_timeout(timeout.duration());
        }
        if let Some(timeout) = self.idle_timeout.map(Span::duration).filter(|timeout| !timeout.is_zero()) {
            hub = hub.idle_timeout(timeout);
        }
        if let Some(bytes) = self.queue_bytes {
            hub = hub.queue_bytes(bytes.count());
        }
        if let Some(bytes) = self.kept_bytes {
            hub = hub.engine(MemoryEngine::within(bytes.count()));
        }
        hub
    }

    /// What clients are told.
    pub(super) fn limits(&self) -> Limits {
        let default = Limits::default();
        let bytes = |bytes: Bytes| u32::try_from(bytes.count()).unwrap_or(u32::MAX);
        Limits {
            message_bytes: self.message_bytes.map_or(default.message_bytes, bytes),
            channels: self.channels.unwrap_or(default.channels),
            calls: self.calls.unwrap_or(default.calls),
            ping_interval: self.ping_interval.map_or(default.ping_interval, Span::duration),
            reconnect_window: self.reconnect_window.map_or(default.reconnect_window, Span::duration),
            ..default
        }
    }
}
