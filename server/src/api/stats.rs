//! Figures of the whole hub.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use wirehub_hub::unix_time;

use crate::Hub;
use crate::observe::{Counts, RefusalReason};

/// How busy the hub is: what there is now, and what there was since it started. Of two of these, the differences divided
/// by that of `time` are rates.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Stats {
    /// The server's version.
    version: &'static str,
    /// When these figures were taken, in milliseconds since 1970-01-01 UTC.
    time: u64,
    /// Connected sessions.
    sessions: usize,
    /// Channels that somebody is subscribed to.
    channels: usize,
    /// Subscriptions of all sessions.
    subscriptions: usize,
    /// WebSocket connections that were opened.
    connections: u64,
    /// Commands that clients sent.
    commands: u64,
    /// Those that were answered with an error.
    errors: u64,
    /// Messages that went to a channel.
    publications: u64,
    /// Messages that went into the queue of a session.
    deliveries: u64,
    /// Clients that were refused.
    refused: Refused,
}

/// Clients that were refused, by reason: a browser tells none to its page.
#[derive(Debug, Default, Serialize, ToSchema)]
struct Refused {
    /// Pages of an origin that may not connect.
    origin: u64,
    /// Tokens that are not valid, have expired, or are not there.
    token: u64,
    /// Too many connections, handshakes or sessions.
    limit: u64,
    /// WebSockets that were wanted where none is served.
    path: u64,
    /// Offers of unknown subprotocols alone.
    subprotocol: u64,
    /// What came while the server stopped, was no handshake, or failed.
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

/// Say how busy the hub is.
#[utoipa::path(get, path = "/stats", responses((status = OK, body = Stats)))]
pub(super) async fn stats(State(hub): State<Hub>) -> Json<Stats> {
    let channels = hub.channels();
    let subscriptions =
        channels.iter().fold(0_usize, |sum, (_, subscribers)| sum.saturating_add(*subscribers));
    let counts = hub.counts();
    Json(Stats {
        version: env!("CARGO_PKG_VERSION"),
        time: unix_time::now(),
        sessions: hub.sessions(),
        channels: channels.len(),
        subscriptions,
        connections: counts.connections,
        commands: total(&counts.commands),
        errors: total(&counts.errors),
        publications: counts.publications,
        deliveries: counts.deliveries,
        refused: Refused::of(&counts),
    })
}

fn total<L>(counts: &[(L, u64)]) -> u64 {
    counts.iter().fold(0, |sum, (_, count)| sum.wrapping_add(*count))
}
