//! The signs of life of this node.

use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};

use super::message::Content;
use crate::hub::Inner;

/// Reports this node to the others, until the hub is gone.
pub(super) async fn report(hub: Weak<Inner>) {
    let Some(mut phases) = hub.upgrade().map(|hub| hub.connections.phases()) else { return };
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_failing = false;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            // A stop is reported at once. Without the hub there are no more phases.
            changed = phases.changed() => if changed.is_err() { return },
        }
        let reported = {
            let Some(hub) = hub.upgrade() else { return };
            let Some(nodes) = hub.nodes().filter(|_| !hub.fleet.is_over.load(Ordering::Acquire)) else {
                return;
            };
            drop(hub.send_to_nodes(None, Content::Here));
            nodes.report(hub.report())
        };
        let words = match timeout(INTERVAL, reported).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("the engine did not answer".into()),
        };
        match &words {
            Some(words) if !is_failing => {
                tracing::warn!("other nodes may take this one for dead, its report fails: {words}");
            }
            None if is_failing => tracing::info!("this node reports again"),
            _ => {}
        }
        is_failing = words.is_some();
    }
}

/// The time between two reports.
const INTERVAL: Duration = Duration::from_secs(2);
