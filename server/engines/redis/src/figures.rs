//! The engine's figures for `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering};

use wirehub_hub::engine::EngineMetric;

use crate::engine::Shared;

/// The counters of the queues.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// The pipelines that were sent, and the requests in them.
    pub(crate) pipelines: AtomicU64,
    pub(crate) requests: AtomicU64,
    /// The requests that were sent again, because a server had moved or had lost its scripts.
    pub(crate) repeats: AtomicU64,
}

impl Shared {
    pub(crate) fn metrics(&self) -> Vec<EngineMetric> {
        let Figures { pipelines, requests, repeats } = self.queues.figures();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (servers, connections) = self.queues.servers().counts();
        vec![
            EngineMetric::counter("pipelines", "Pipelines that were sent to Redis.", count(pipelines)),
            EngineMetric::counter("requests", "Requests in these pipelines.", count(requests)),
            EngineMetric::counter(
                "repeated",
                "Requests that were sent again, because a server had moved.",
                count(repeats),
            ),
            EngineMetric::gauge("waiting_requests", "Requests that wait for Redis.", self.queues.waiting()),
            EngineMetric::gauge("servers", "Servers of Redis that have a part of the keys.", servers),
            EngineMetric::gauge(
                "connected_servers",
                "Servers of Redis with a connection for commands.",
                connections,
            ),
            EngineMetric::gauge(
                "attached_channels",
                "Channels whose deliveries are subscribed.",
                self.subscriptions.attached(),
            ),
        ]
    }
}
