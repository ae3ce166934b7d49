//! Figures of the whole hub.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::Hub;
use crate::metrics::Totals;
use crate::unix_time;

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
}

/// Say how busy the hub is.
#[utoipa::path(get, path = "/stats", responses((status = OK, body = Stats)))]
pub(super) async fn stats(State(hub): State<Hub>) -> Json<Stats> {
    let channels = hub.channels();
    let subscriptions =
        channels.iter().fold(0_usize, |sum, (_, subscribers)| sum.saturating_add(*subscribers));
    let Totals { connections, commands, errors, publications, deliveries } = hub.counters().totals();
    Json(Stats {
        version: env!("CARGO_PKG_VERSION"),
        time: unix_time::now(),
        sessions: hub.sessions(),
        channels: channels.len(),
        subscriptions,
        connections,
        commands,
        errors,
        publications,
        deliveries,
    })
}
