//! Figures of this node.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use wirehub_hub::unix_time;

use crate::Hub;
use crate::observe::{Counts, RefusalReason};

/// The load of this node: present values, and totals since its start. The difference of two totals, divided by the
/// difference of `time`, is a rate.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Stats {
    /// The id of this node, if the server is one of several.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    /// The server's version.
    version: &'static str,
    /// The time of these figures, in milliseconds since 1970-01-01 UTC.
    time: u64,
    /// Connected sessions.
    sessions: usize,
    /// Channels with subscribers.
    channels: usize,
    /// Subscriptions of all sessions.
    subscriptions: usize,
    /// Opened WebSocket connections.
    connections: u64,
    /// Commands from clients.
    commands: u64,
    /// Commands answered with an error.
    errors: u64,
    /// Published messages.
    publications: u64,
    /// Messages queued for sessions.
    deliveries: u64,
    /// Bytes received by WebSockets, with the headers of frames, without TLS and handshakes.
    received_bytes: u64,
    /// Bytes sent by WebSockets, counted in the same way.
    sent_bytes: u64,
    /// Refused clients.
    refused: Refused,
}

/// Refused clients, by reason. A browser hides the reason from its page.
#[derive(Debug, Default, Serialize, ToSchema)]
struct Refused {
    /// Pages of an origin that may not connect.
    origin: u64,
    /// Invalid, expired or missing tokens.
    token: u64,
    /// Too many connections, handshakes or sessions.
    limit: u64,
    /// WebSocket handshakes at a wrong path.
    path: u64,
    /// Handshakes with unknown subprotocols only.
    subprotocol: u64,
    /// Handshakes during a stop, invalid handshakes, and failures.
    other: u64,
}

impl Refused {
    fn of(counts: &Counts) -> Self {
        let mut refused = Self::default();
        for (reason, count) in &counts.refusals {
            let place = match reason {
                RefusalReason::Origin => &mut refused.origin,
                RefusalReason::Token => &mut refused.token,
                RefusalReason::Limit => &mut refused.limit,
                RefusalReason::Path => &mut refused.path,
                RefusalReason::Subprotocol => &mut refused.subprotocol,
                _ => &mut refused.other,
            };
            *place = place.wrapping_add(*count);
        }
        refused
    }
}

/// Show the load of this node.
#[utoipa::path(get, path = "/stats", responses((status = OK, body = Stats)))]
pub(super) async fn stats(State(hub): State<Hub>) -> Json<Stats> {
    let channels = hub.local_channels();
    let subscriptions =
        channels.iter().fold(0_usize, |sum, (_, subscribers)| sum.saturating_add(*subscribers));
    let counts = hub.counts();
    Json(Stats {
        node: hub.engine().nodes().map(|nodes| nodes.own().to_string()),
        version: env!("CARGO_PKG_VERSION"),
        time: unix_time::now(),
        sessions: hub.local_sessions(),
        channels: channels.len(),
        subscriptions,
        connections: counts.connections,
        commands: total(&counts.commands),
        errors: total(&counts.errors),
        publications: counts.publications,
        deliveries: counts.deliveries,
        received_bytes: counts.received_bytes,
        sent_bytes: counts.sent_bytes,
        refused: Refused::of(&counts),
    })
}

fn total<L>(counts: &[(L, u64)]) -> u64 {
    counts.iter().fold(0, |sum, (_, count)| sum.wrapping_add(*count))
}
