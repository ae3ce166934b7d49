//! The counters of a hub.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::StatusCode;
use parking_lot::Mutex;
use wirehub_common::code::{CloseCode, ErrorCode};
use wirehub_common::frame::Request;

use crate::refusals::{RefusalReason, Refusals};
use crate::traffic::Traffic;

/// The figures of a hub since it was built: see [`Hub::counts`](crate::Hub::counts). Labels have few values, and clients can't
/// choose them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Commands of clients, by name.
    pub commands: Vec<(&'static str, u64)>,
    /// Commands that were answered with an error, by code. All codes of applications count as `application`.
    pub errors: Vec<(String, u64)>,
    /// Messages that were published in a channel.
    pub publications: u64,
    /// Messages that were put into the queue of a session.
    pub deliveries: u64,
    /// Bytes that WebSocket connections have received, as counted at the socket: the frames with their headers, without TLS and
    /// without the HTTP request of the handshake. `/echo` is included.
    pub received_bytes: u64,
    /// Bytes that WebSocket connections have sent, counted in the same way.
    pub sent_bytes: u64,
    /// WebSocket connections that were opened.
    pub connections: u64,
    /// WebSocket connections that ended, by close code. The label is `none` if the client closed or vanished or the connection
    /// was [aborted](crate::Hub::abort_connection), and `application` for the codes of applications.
    pub ended: Vec<(String, u64)>,
    /// WebSocket handshakes that were refused, by HTTP status.
    pub refused_handshakes: Vec<(String, u64)>,
    /// Clients that were refused, by reason. Every reason is present.
    pub refusals: Vec<(RefusalReason, u64)>,
}

/// The counters of one hub.
pub(crate) struct Counters {
    commands: [Count; COMMANDS.len()],
    errors: LabelledCounts,
    publications: Count,
    deliveries: Count,
    opened: Count,
    ended: LabelledCounts,
    refused_handshakes: LabelledCounts,
    refusals: Refusals,
}

/// A counter. Clones are the same counter.
#[derive(Debug, Clone, Default)]
pub(crate) struct Count(Arc<AtomicU64>);

impl Count {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A counter for each of a few labels.
#[derive(Default)]
struct LabelledCounts(Mutex<BTreeMap<Label, u64>>);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Label {
    Number(u16),
    Application,
    None,
}

impl LabelledCounts {
    fn add(&self, label: Label) {
        let mut counts = self.0.lock();
        let count = counts.entry(label).or_default();
        *count = count.saturating_add(1);
    }

    fn totals(&self) -> Vec<(String, u64)> {
        self.0.lock().iter().map(|(label, count)| (label.text(), *count)).collect()
    }
}

impl Label {
    fn text(self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Application => "application".into(),
            Self::None => "none".into(),
        }
    }
}

/// A counter for each command. A lookup by name would cost more than the command.
const COMMANDS: [&str; 11] = [
    "connect",
    "subscribe",
    "unsubscribe",
    "publish",
    "history",
    "presence",
    "call",
    "cancel",
    "refresh",
    "acknowledge",
    "other",
];

const fn place(request: &Request) -> usize {
    match request {
        Request::Connect(_) => 0,
        Request::Subscribe(_) => 1,
        Request::Unsubscribe(_) => 2,
        Request::Publish(_) => 3,
        Request::History(_) => 4,
        Request::Presence(_) => 5,
        Request::Call(_) => 6,
        Request::Cancel(_) => 7,
        Request::Refresh(_) => 8,
        Request::Acknowledge(_) => 9,
        _ => 10,
    }
}

impl Counters {
    pub(crate) fn new() -> Self {
        Self {
            commands: Default::default(),
            errors: LabelledCounts::default(),
            publications: Count::default(),
            deliveries: Count::default(),
            opened: Count::default(),
            ended: LabelledCounts::default(),
            refused_handshakes: LabelledCounts::default(),
            refusals: Refusals::new(),
        }
    }

    pub(crate) fn command(&self, request: &Request) {
        if let Some(count) = self.commands.get(place(request)) {
            count.add(1);
        }
    }

    pub(crate) fn error(&self, code: ErrorCode) {
        self.errors.add(match code.number() {
            own @ ..1000 => Label::Number(own),
            _ => Label::Application,
        });
    }

    pub(crate) fn publication(&self) {
        self.publications.add(1);
    }

    /// The counter of the queued messages.
    pub(crate) fn deliveries(&self) -> Count {
        self.deliveries.clone()
    }

    pub(crate) fn refused(&self, status: StatusCode) {
        self.refused_handshakes.add(Label::Number(status.as_u16()));
    }

    pub(crate) fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    pub(crate) fn opened(&self) {
        self.opened.add(1);
    }

    /// Counts the end of a connection. Without a code the server has not closed it.
    pub(crate) fn ended(&self, code: Option<CloseCode>) {
        self.ended.add(match code.map(CloseCode::number) {
            None => Label::None,
            Some(own @ ..4000) => Label::Number(own),
            Some(_) => Label::Application,
        });
    }

    pub(crate) fn counts(&self, traffic: &Traffic) -> Counts {
        let commands = COMMANDS.into_iter().zip(&self.commands);
        Counts {
            commands: commands.map(|(name, count)| (name, count.total())).collect(),
            errors: self.errors.totals(),
            publications: self.publications.total(),
            deliveries: self.deliveries.total(),
            received_bytes: traffic.received(),
            sent_bytes: traffic.sent(),
            connections: self.opened.total(),
            ended: self.ended.totals(),
            refused_handshakes: self.refused_handshakes.totals(),
            refusals: self.refusals.counts().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use wirehub_common::frame::{Connect, Refresh};

    use super::*;

    #[test]
    fn labels_stay_few_for_any_input() {
        let counters = Counters::new();
        counters.command(&Request::Connect(Connect::default()));
        counters.command(&Request::Refresh(Refresh { token: String::new() }));
        for code in 1000..3000 {
            counters.error(ErrorCode::new(code).unwrap());
        }
        counters.error(ErrorCode::INTERNAL);
        for code in 4000..5000 {
            counters.ended(CloseCode::new(code));
        }
        counters.ended(None);
        let counts = counters.counts(&Traffic::new());
        assert_eq!(counts.commands.iter().filter(|(_, count)| *count == 1).count(), 2);
        let internal = ErrorCode::INTERNAL.number().to_string();
        assert_eq!(counts.errors, [(internal, 1), ("application".into(), 2000)]);
        assert_eq!(counts.ended, [("application".into(), 1000), ("none".into(), 1)]);
        assert_eq!(counts.refusals.len(), RefusalReason::ALL.len());
    }
}
