//! What a hub counts, in the format of OpenMetrics, which Prometheus reads.

use std::sync::Arc;
#[cfg(feature = "backend")]
use std::sync::LazyLock;
#[cfg(feature = "backend")]
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
#[cfg(feature = "backend")]
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use wirehub_common::code::{CloseCode, ErrorCode};
use wirehub_common::frame::Request;

use crate::Hub;
use crate::http::refusals::Refusals;

/// A name and a value of a label.
type Labels = Vec<(&'static str, String)>;

/// The counters of one hub. Labels have few values: nothing that clients choose is one.
pub(crate) struct Metrics {
    registry: Registry,
    commands: Commands,
    errors: Family<Labels, Counter>,
    /// All of the errors together.
    all_errors: Counter,
    publications: Counter,
    deliveries: Counter,
    opened: Counter,
    refused: Family<Labels, Counter>,
    refusals: Refusals,
    ended: Family<Labels, Counter>,
    sessions: Gauge,
    channels: Gauge,
    subscriptions: Gauge,
}

/// A counter for each command: looking one up by its label would cost more than the command.
struct Commands {
    connect: Arc<Counter>,
    subscribe: Arc<Counter>,
    unsubscribe: Arc<Counter>,
    publish: Arc<Counter>,
    history: Arc<Counter>,
    presence: Arc<Counter>,
    call: Arc<Counter>,
    cancel: Arc<Counter>,
    refresh: Arc<Counter>,
    acknowledge: Arc<Counter>,
    other: Arc<Counter>,
}

/// What was counted since the hub began.
#[cfg(feature = "api")]
pub(crate) struct Totals {
    pub(crate) connections: u64,
    pub(crate) commands: u64,
    pub(crate) errors: u64,
    pub(crate) publications: u64,
    pub(crate) deliveries: u64,
}

#[cfg(feature = "api")]
impl Commands {
    fn total(&self) -> u64 {
        let Self {
            connect,
            subscribe,
            unsubscribe,
            publish,
            history,
            presence,
            call,
            cancel,
            refresh,
            acknowledge,
            other,
        } = self;
        let all = [
            connect,
            subscribe,
            unsubscribe,
            publish,
            history,
            presence,
            call,
            cancel,
            refresh,
            acknowledge,
            other,
        ];
        all.iter().fold(0, |sum, counter| sum.wrapping_add(counter.get()))
    }
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("wirehub");
        let commands = Family::<Labels, Counter>::default();
        let refusals = Refusals::new(&mut registry);
        let command = |name: &str| Arc::new(commands.get_or_create(&vec![("command", name.into())]).clone());
        let metrics = Self {
            commands: Commands {
                connect: command("connect"),
                subscribe: command("subscribe"),
                unsubscribe: command("unsubscribe"),
                publish: command("publish"),
                history: command("history"),
                presence: command("presence"),
                call: command("call"),
                cancel: command("cancel"),
                refresh: command("refresh"),
                acknowledge: command("acknowledge"),
                other: command("other"),
            },
            errors: Family::default(),
            all_errors: Counter::default(),
            publications: Counter::default(),
            deliveries: Counter::default(),
            opened: Counter::default(),
            refused: Family::default(),
            refusals,
            ended: Family::default(),
            sessions: Gauge::default(),
            channels: Gauge::default(),
            subscriptions: Gauge::default(),
            registry: Registry::default(),
        };
        registry.register("commands", "Commands that clients sent", commands);
        registry.register(
            "errors",
            "Commands that were answered with an error, by its code",
            metrics.errors.clone(),
        );
        registry.register("publications", "Messages that went to a channel", metrics.publications.clone());
        registry.register(
            "deliveries",
            "Messages that went into the queue of a session",
            metrics.deliveries.clone(),
        );
        registry.register(
            "handshakes_refused",
            "WebSocket handshakes that were refused, by HTTP status",
            metrics.refused.clone(),
        );
        registry.register("connections_opened", "WebSocket connections of clients", metrics.opened.clone());
        registry.register(
            "connections_ended",
            "The same when they ended, by close code",
            metrics.ended.clone(),
        );
        registry.register("sessions", "Connected sessions", metrics.sessions.clone());
        registry.register("channels", "Channels with subscribers", metrics.channels.clone());
        registry.register("subscriptions", "Subscriptions of all sessions", metrics.subscriptions.clone());
        #[cfg(feature = "backend")]
        Backends::of_process().register(&mut registry);
        Self { registry, ..metrics }
    }

    pub(crate) fn command(&self, request: &Request) {
        let commands = &self.commands;
        let counter = match request {
            Request::Connect(_) => &commands.connect,
            Request::Subscribe(_) => &commands.subscribe,
            Request::Unsubscribe(_) => &commands.unsubscribe,
            Request::Publish(_) => &commands.publish,
            Request::History(_) => &commands.history,
            Request::Presence(_) => &commands.presence,
            Request::Call(_) => &commands.call,
            Request::Cancel(_) => &commands.cancel,
            Request::Refresh(_) => &commands.refresh,
            Request::Acknowledge(_) => &commands.acknowledge,
            _ => &commands.other,
        };
        counter.inc();
    }

    pub(crate) fn error(&self, code: ErrorCode) {
        self.all_errors.inc();
        let code = match code.number() {
            own @ ..1000 => own.to_string(),
            _ => APPLICATION.into(),
        };
        self.errors.get_or_create(&vec![("code", code)]).inc();
    }

    /// A message went to so many sessions.
    pub(crate) fn publication(&self) {
        self.publications.inc();
    }

    /// What counts the messages that go into queues.
    pub(crate) fn deliveries(&self) -> Counter {
        self.deliveries.clone()
    }

    pub(crate) fn refused(&self, status: StatusCode) {
        self.refused.get_or_create(&vec![("status", status.as_str().into())]).inc();
    }

    /// Counts by reason, and tells the log.
    pub(crate) fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    pub(crate) fn opened(&self) {
        self.opened.inc();
    }

    /// A connection ended; without a code its client closed it or is gone.
    pub(crate) fn ended(&self, code: Option<CloseCode>) {
        let code = match code.map(CloseCode::number) {
            None => "none".into(),
            Some(own @ ..4000) => own.to_string(),
            Some(_) => APPLICATION.into(),
        };
        self.ended.get_or_create(&vec![("code", code)]).inc();
    }

    /// What was counted, without its labels.
    #[cfg(feature = "api")]
    pub(crate) fn totals(&self) -> Totals {
        Totals {
            connections: self.opened.get(),
            commands: self.commands.total(),
            errors: self.all_errors.get(),
            publications: self.publications.get(),
            deliveries: self.deliveries.get(),
        }
    }

    fn text(&self, hub: &Hub) -> Result<String, std::fmt::Error> {
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let channels = hub.channels();
        self.sessions.set(gauge(hub.sessions()));
        self.channels.set(gauge(channels.len()));
        let subscriptions =
            channels.iter().fold(0_usize, |sum, (_, subscribers)| sum.saturating_add(*subscribers));
        self.subscriptions.set(gauge(subscriptions));
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl Hub {
    /// `/metrics`, for Prometheus: to be merged into a router beside [`Hub::router`], or into one that only the inside
    /// reaches. What is in it tells how busy the hub is, and of nobody in particular.
    pub fn metrics(&self) -> Router {
        Router::new().route("/metrics", get(scrape)).with_state(self.clone())
    }
}

/// Requests to others. There is one of it in a process, and all its hubs show it: a hub's hooks, which make requests, can
/// be others from one moment to the next.
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
        let words =
            "Requests to backends, by what they were about and whether an answer came that could be used";
        registry.register("backend_requests", words, self.requests.clone());
        registry.register("backend_request_seconds", "How long these took", self.seconds.clone());
        let words = "Events of sessions that no backend was told, because too many waited";
        registry.register("backend_events_lost", words, self.lost_events.clone());
    }
}

/// An event of a session was not told.
#[cfg(feature = "backend")]
pub(crate) fn count_lost_event() {
    Backends::of_process().lost_events.inc();
}

/// A request to somebody else. What is not said to have succeeded has failed, or was given up.
#[cfg(feature = "backend")]
pub(crate) struct Asked {
    about: &'static str,
    began: Instant,
    outcome: &'static str,
}

#[cfg(feature = "backend")]
impl Asked {
    pub(crate) fn new(about: &'static str) -> Self {
        Self { about, began: Instant::now(), outcome: "failed" }
    }

    pub(crate) fn succeeded(mut self) {
        self.outcome = "ok";
    }
}

#[cfg(feature = "backend")]
impl Drop for Asked {
    fn drop(&mut self) {
        let backends = Backends::of_process();
        let about = ("about", self.about.to_owned());
        let seconds = backends.seconds.get_or_create_owned(&vec![about.clone()]);
        seconds.observe(self.began.elapsed().as_secs_f64());
        backends.requests.get_or_create_owned(&vec![about, ("outcome", self.outcome.into())]).inc();
    }
}

async fn scrape(State(hub): State<Hub>) -> Response {
    match hub.counters().text(&hub) {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => {
            tracing::error!("the metrics can't be written: {error}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The label for all codes of applications: they could be many.
const APPLICATION: &str = "application";
