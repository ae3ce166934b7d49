//! `[limits]`.

use std::time::Duration;

use serde::Deserialize;
use wirehub_common::Limits;

use super::units::{Bytes, Span};
use crate::engine::MemoryEngine;
use crate::{Builder, LiveSettings, MAX_CONNECTIONS};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LimitsSection {
    message_bytes: Option<Bytes>,
    queue_bytes: Option<Bytes>,
    kept_bytes: Option<Bytes>,
    alarm_bytes: Option<Bytes>,
    channels: Option<u32>,
    calls: Option<u32>,
    commands_per_second: Option<u32>,
    user_commands_per_second: Option<u32>,
    sessions_per_user: Option<u32>,
    connections: Option<usize>,
    connections_per_address: Option<u32>,
    handshakes_per_second: Option<u32>,
    handshake_timeout: Option<Span>,
    connect_timeout: Option<Span>,
    idle_timeout: Option<Span>,
    ping_interval: Option<Span>,
    reconnect_window: Option<Span>,
}

impl LimitsSection {
    /// `true` if a limit is about the engine in memory.
    pub(super) fn bounds_engine(&self) -> bool {
        self.kept_bytes.is_some()
    }

    /// Opens the engine in memory, within its limit.
    pub(super) fn open_engine(&self, hub: Builder) -> Builder {
        match self.kept_bytes {
            Some(bytes) => hub.engine(MemoryEngine::within(bytes.count())),
            None => hub,
        }
    }

    /// Applies the limits that can change while a hub runs to its settings.
    pub(super) fn apply_live(&self, live: &mut LiveSettings) {
        live.limits(self.limits());
        if let Some(per_second) = self.commands_per_second {
            live.commands_per_second(per_second);
        }
        if let Some(per_second) = self.user_commands_per_second {
            live.user_commands_per_second(per_second);
        }
        if let Some(sessions @ 1..) = self.sessions_per_user {
            live.sessions_per_user(Some(sessions));
        }
        if let Some(connections @ 1..) = self.connections {
            live.max_connections(connections);
        }
        if let Some(connections @ 1..) = self.connections_per_address {
            live.connections_per_address(Some(connections));
        }
        if let Some(per_second @ 1..) = self.handshakes_per_second {
            live.handshakes_per_second(Some(per_second));
        }
        if let Some(timeout) = self.handshake_timeout {
            live.handshake_timeout(timeout.duration());
        }
        if let Some(timeout) = self.connect_timeout {
            live.connect_timeout(timeout.duration());
        }
        if let Some(timeout) = self.idle_timeout.map(Span::duration).filter(|timeout| !timeout.is_zero()) {
            live.idle_timeout(Some(timeout));
        }
        if let Some(bytes) = self.queue_bytes {
            live.queue_bytes(bytes.count());
        }
        if let Some(bytes) = self.alarm_bytes {
            live.alarm_bytes(bytes.count());
        }
    }

    /// The limits as clients get them.
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

    /// The values of the limits on clients. An absent limit has the largest number.
    pub(super) fn bounds(&self) -> [(&'static str, u64); 12] {
        let Limits { message_bytes, channels, calls, .. } = self.limits();
        let count = |limit: u32| if limit == 0 { u64::MAX } else { limit.into() };
        let optional = |limit: Option<u32>| limit.map_or(u64::MAX, count);
        let time = |time: Option<Span>, default: Duration| {
            let time = time.map_or(default, Span::duration);
            u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
        };
        let bytes = self.queue_bytes.map_or(1024 * 1024, Bytes::count);
        let idle = self.idle_timeout.map(Span::duration).filter(|timeout| !timeout.is_zero());
        [
            ("message_bytes", message_bytes.into()),
            ("queue_bytes", bytes as u64),
            ("channels", count(channels)),
            ("calls", count(calls)),
            ("commands_per_second", self.commands_per_second.map_or(10_000, count)),
            ("sessions_per_user", optional(self.sessions_per_user)),
            ("connections", self.connections() as u64),
            ("connections_per_address", optional(self.connections_per_address)),
            ("handshakes_per_second", optional(self.handshakes_per_second)),
            ("handshake_timeout", time(self.handshake_timeout, Duration::from_secs(10))),
            ("connect_timeout", time(self.connect_timeout, Duration::from_secs(10))),
            (
                "idle_timeout",
                idle.map_or(u64::MAX, |idle| u64::try_from(idle.as_millis()).unwrap_or(u64::MAX)),
            ),
        ]
    }

    /// The number of connections of all kinds at once.
    fn connections(&self) -> usize {
        self.connections.filter(|connections| *connections > 0).unwrap_or(MAX_CONNECTIONS)
    }
}
