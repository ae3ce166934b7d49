//! The signs of life of this node.

use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::message::Content;
use crate::engine::{EngineError, EngineErrorKind, NODE_EXPIRY, Node, Nodes};
use crate::hub::Inner;

/// The results of this node's reports. A store that takes none of them, because its memory is full, takes none of other nodes
/// either, and they are listed no longer.
#[derive(Debug, Default)]
pub(super) struct Reports {
    /// `true` after the first one that the store has taken.
    is_known: bool,
    failing_since: Option<Instant>,
    /// The end of the time in which other nodes may not have reported again.
    incomplete_until: Option<Instant>,
}

impl Reports {
    fn note(&mut self, is_taken: bool, now: Instant) {
        if !is_taken {
            self.failing_since.get_or_insert(now);
            return;
        }
        self.is_known = true;
        if let Some(since) = self.failing_since.take()
            && now.saturating_duration_since(since) >= LISTED
        {
            self.incomplete_until = now.checked_add(ROUND);
        }
    }

    /// `true` if a list with or without this node may lack other living ones.
    fn is_incomplete(&self, has_own: bool, now: Instant) -> bool {
        let has_ended = |since| now.saturating_duration_since(since) >= LISTED;
        !has_own && (self.is_known || self.failing_since.is_some())
            || self.failing_since.is_some_and(has_ended)
            || self.incomplete_until.is_some_and(|until| now < until)
    }
}

impl Inner {
    /// The living nodes. An error if some of them may be missing.
    pub(super) async fn living_nodes(&self, nodes: &dyn Nodes) -> Result<Vec<Node>, EngineError> {
        let living = nodes.list().await?;
        let own = nodes.own();
        let has_own = living.iter().any(|node| node.id == own);
        let is_over = self.fleet.is_over.load(Ordering::Acquire);
        if !is_over && self.fleet.reports.lock().is_incomplete(has_own, Instant::now()) {
            let words = "living nodes may be missing in the list of nodes, because the store takes or took no reports: look \
                         at its memory and its log, and try again later";
            return Err(EngineError::new(EngineErrorKind::Unavailable, words));
        }
        Ok(living)
    }
}

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
        let Some(hub) = hub.upgrade() else { return };
        hub.fleet.reports.lock().note(!is_failing, Instant::now());
    }
}

/// The time between two reports.
const INTERVAL: Duration = Duration::from_secs(2);

/// The time in which every node reports: it waits for an interval, and for an answer no longer than another one.
const ROUND: Duration = INTERVAL.saturating_mul(2);

/// The time for which other nodes are listed at least when no reports are taken any more.
const LISTED: Duration = NODE_EXPIRY.saturating_sub(ROUND);
