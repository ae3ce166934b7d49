//! `/metrics`: the figures of a hub in the format of OpenMetrics, which Prometheus reads.

use std::collections::HashSet;
use std::fmt;
#[cfg(feature = "backend")]
use std::sync::LazyLock;
#[cfg(feature = "backend")]
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
#[cfg(feature = "backend")]
use prometheus_client::metrics::counter::Counter;
#[cfg(feature = "backend")]
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
#[cfg(feature = "backend")]
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::Hub;
use crate::engine::EngineMetricValue;

/// The route `/metrics` for Prometheus. Merge it into a router beside [`router`](crate::router), or into one that only
/// internal clients reach. The figures describe the load of the hub, and no single client.
pub fn metrics(hub: &Hub) -> Router {
    Router::new().route("/metrics", get(scrape)).with_state(hub.clone())
}

async fn scrape(State(hub): State<Hub>) -> Response {
    match text(&hub) {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => {
            tracing::error!("the metrics cannot be written: {error}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

fn text(hub: &Hub) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("wirehub");
    registry.register_collector(Box::new(Figures(hub.clone())));
    #[cfg(feature = "backend")]
    Backends::of_process().register(&mut registry);
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

/// Encodes the current figures of a hub.
#[derive(Debug)]
struct Figures(Hub);

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let hub = &self.0;
        let counts = hub.counts();
        counters(&mut encoder, "commands", "Commands that clients sent", "command", counts.commands)?;
        let words = "Commands answered with an error, by error code";
        counters(&mut encoder, "errors", words, "code", counts.errors)?;
        counter(&mut encoder, "publications", "Messages published in a channel", counts.publications)?;
        let words = "Messages queued for a session";
        counter(&mut encoder, "deliveries", words, counts.deliveries)?;
        let words = "Bytes received by WebSockets, headers included, without TLS and handshakes";
        counter(&mut encoder, "received_bytes", words, counts.received_bytes)?;
        let words = "Bytes sent by WebSockets, headers included, without TLS and handshakes";
        counter(&mut encoder, "sent_bytes", words, counts.sent_bytes)?;
        let words = "Refused WebSocket handshakes, by HTTP status";
        counters(&mut encoder, "handshakes_refused", words, "status", counts.refused_handshakes)?;
        let reasons = counts.refusals.iter().map(|(reason, count)| (reason.as_str(), *count));
        counters(&mut encoder, "refusals", "Refused clients, by reason", "reason", reasons)?;
        counter(&mut encoder, "connections_opened", "WebSocket connections of clients", counts.connections)?;
        let words = "WebSocket connections that ended, by close code";
        counters(&mut encoder, "connections_ended", words, "code", counts.ended)?;
        let channels = hub.local_channels();
        let subscriptions =
            channels.iter().fold(0_usize, |sum, (_, subscribers)| sum.saturating_add(*subscribers));
        gauge(&mut encoder, "sessions", "Connected sessions", hub.local_sessions())?;
        gauge(&mut encoder, "channels", "Channels with subscribers", channels.len())?;
        gauge(&mut encoder, "subscriptions", "Subscriptions of all sessions", subscriptions)?;
        of_engine(&mut encoder, hub)
    }
}

/// The state of the engine, and its own figures.
fn of_engine(encoder: &mut DescriptorEncoder<'_>, hub: &Hub) -> fmt::Result {
    let is_ready = hub.engine().ready().is_ok();
    gauge(encoder, "engine_ready", "1 while the engine takes messages, otherwise 0", usize::from(is_ready))?;
    let mut names = HashSet::from(["ready"]);
    for metric in hub.engine().metrics() {
        // A scrape with a wrong or doubled name would be refused as a whole.
        if !metric.has_valid_name() || !names.insert(metric.name) {
            tracing::debug!("the figure `{}` of the engine is left out: it needs another name", metric.name);
            continue;
        }
        let name = format!("engine_{}", metric.name);
        let kind = match metric.value {
            EngineMetricValue::Counter(_) | EngineMetricValue::CounterOf(_) => MetricType::Counter,
            _ => MetricType::Gauge,
        };
        let encoder = encoder.encode_descriptor(&name, metric.help, None, kind)?;
        match metric.value {
            EngineMetricValue::Counter(count) => ConstCounter::new(count).encode(encoder)?,
            EngineMetricValue::CounterOf(sum) => ConstCounter::new(sum).encode(encoder)?,
            EngineMetricValue::Gauge(state) => {
                ConstGauge::new(i64::try_from(state).unwrap_or(i64::MAX)).encode(encoder)?;
            }
            EngineMetricValue::GaugeOf(state) => ConstGauge::new(state).encode(encoder)?,
            _ => {}
        }
    }
    Ok(())
}

fn counter(encoder: &mut DescriptorEncoder<'_>, name: &str, words: &str, count: u64) -> fmt::Result {
    let counter = ConstCounter::new(count);
    counter.encode(encoder.encode_descriptor(name, words, None, MetricType::Counter)?)
}

fn counters<L: AsRef<str>>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    words: &str,
    label: &str,
    counts: impl IntoIterator<Item = (L, u64)>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, words, None, MetricType::Counter)?;
    for (value, count) in counts {
        let labels = [(label, value.as_ref())];
        ConstCounter::new(count).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, words: &str, count: usize) -> fmt::Result {
    let gauge = ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX));
    gauge.encode(encoder.encode_descriptor(name, words, None, MetricType::Gauge)?)
}

/// The names and values of labels.
#[cfg(feature = "backend")]
type Labels = Vec<(&'static str, String)>;

/// Requests to backends. One instance per process, shown by all its hubs: the hooks of a hub make the requests, and
/// hooks can change at any moment.
#[cfg(feature = "backend")]
struct Backends {
    requests: Family<Labels, Counter>,
    seconds: Family<Labels, Histogram>,
    lost_events: Counter,
}

#[cfg(feature = "backend")]
impl Backends {
    fn of_process() -> &'static Self {
        static BACKENDS: LazyLock<Backends> = LazyLock::new(|| Backends {
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 2.5, 12))),
            lost_events: Counter::default(),
        });
        &BACKENDS
    }

    fn register(&self, registry: &mut Registry) {
        let words = "Requests to backends, by subject and outcome";
        registry.register("backend_requests", words, self.requests.clone());
        registry.register(
            "backend_request_seconds",
            "Duration of requests to backends",
            self.seconds.clone(),
        );
        let words = "Events of sessions that were dropped because the queue was full";
        registry.register("backend_events_lost", words, self.lost_events.clone());
    }
}

/// Counts an event that was dropped.
#[cfg(feature = "backend")]
pub(crate) fn count_dropped_event() {
    Backends::of_process().lost_events.inc();
}

/// A request to a backend, for the metrics. It counts as failed unless `succeeded` is called.
#[cfg(feature = "backend")]
pub(crate) struct BackendRequest {
    about: &'static str,
    began: Instant,
    outcome: &'static str,
}

#[cfg(feature = "backend")]
impl BackendRequest {
    pub(crate) fn new(about: &'static str) -> Self {
        Self { about, began: Instant::now(), outcome: "failed" }
    }

    pub(crate) fn succeeded(mut self) {
        self.outcome = "ok";
    }
}

#[cfg(feature = "backend")]
impl Drop for BackendRequest {
    fn drop(&mut self) {
        let backends = Backends::of_process();
        let about = ("about", self.about.to_owned());
        let seconds = backends.seconds.get_or_create_owned(&vec![about.clone()]);
        seconds.observe(self.began.elapsed().as_secs_f64());
        backends.requests.get_or_create_owned(&vec![about, ("outcome", self.outcome.into())]).inc();
    }
}
