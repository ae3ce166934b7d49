//! Sends events of sessions to a backend: in order, each at least once, as long as the queue has room.
//!
//! Beginnings and ends of sessions have priority. Clients can change their subscriptions as often as they like, so
//! those events have only a part of the queue, and each session a share of that part.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use wirehub_common::code::CloseCode;
use wirehub_hub::unix_time;

use super::{MAX_BYTES, WebhookClient, Webhooks, pause, request_id};
use crate::SessionId;
use crate::call::CallContext;
use crate::metrics::{BackendRequest, count_dropped_event};
use crate::observe::{Observer, SessionEvent};

/// A kind of [`SessionEvent`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum EventKind {
    /// [`SessionEvent::Connected`].
    Connected,
    /// [`SessionEvent::Disconnected`].
    Disconnected,
    /// [`SessionEvent::Subscribed`].
    Subscribed,
    /// [`SessionEvent::Unsubscribed`].
    Unsubscribed,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Connected, Self::Disconnected, Self::Subscribed, Self::Unsubscribed];

    /// The kind of an event; `None` for those that backends are not notified of.
    fn of(event: &SessionEvent) -> Option<Self> {
        match event {
            SessionEvent::Connected { .. } => Some(Self::Connected),
            SessionEvent::Disconnected { .. } => Some(Self::Disconnected),
            SessionEvent::Subscribed(_) => Some(Self::Subscribed),
            SessionEvent::Unsubscribed(_) => Some(Self::Unsubscribed),
            _ => None,
        }
    }
}

/// Sends events to a backend in batches. See [`Webhooks::events`](super::Webhooks::events).
#[derive(Clone)]
pub struct EventQueue(Arc<Inner>);

struct Inner {
    client: Mutex<Arc<WebhookClient>>,
    kinds: Vec<EventKind>,
    /// Changes with every start of a server, so that a backend knows that the earlier sessions have ended.
    server: String,
    queue: Mutex<Queue>,
    /// Notified when the queue becomes empty.
    emptied: Notify,
}

#[derive(Default)]
struct Queue {
    /// Events stay here until the backend has accepted them.
    events: VecDeque<Waiting>,
    bytes: usize,
    /// The bytes of the events about subscriptions.
    minor_bytes: usize,
    /// The number of waiting events about subscriptions, by session.
    minor: HashMap<SessionId, usize>,
    lost: u64,
    /// True if a task is sending them.
    is_sending: bool,
}

/// A waiting event.
struct Waiting {
    json: Box<RawValue>,
    /// The session, for an event about a subscription.
    minor: Option<SessionId>,
}

/// The JSON of an event.
#[derive(Serialize)]
struct EventRecord<'a> {
    kind: EventKind,
    session: String,
    user: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
    /// In milliseconds since 1970.
    time: u64,
}

/// The JSON of a request.
#[derive(Serialize)]
struct Batch<'a> {
    id: &'a str,
    event: &'static str,
    server: &'a str,
    lost: u64,
    events: &'a [Box<RawValue>],
}

impl EventQueue {
    pub(super) fn new(client: Arc<WebhookClient>, kinds: &[EventKind]) -> Self {
        // Without entropy nothing can be sent either.
        let server = request_id().unwrap_or_default();
        let (client, queue, emptied) = (Mutex::new(client), Mutex::default(), Notify::new());
        Self(Arc::new(Inner { client, kinds: kinds.to_vec(), server, queue, emptied }))
    }

    /// Signs with the secret of these webhooks, and trusts their authorities, from now on. That includes waiting
    /// events. The URL and the kinds of events stay.
    pub fn replace(&self, webhooks: &Webhooks) {
        let mut client = self.0.client.lock();
        *client = webhooks.client(client.about, client.webhook.clone());
    }
}

impl Observer for EventQueue {
    fn notice(&self, who: &CallContext, event: SessionEvent) {
        let Some(kind) = EventKind::of(&event).filter(|kind| self.0.kinds.contains(kind)) else { return };
        let mut record = EventRecord {
            kind,
            session: who.session().to_string(),
            user: who.user(),
            channel: None,
            client: None,
            version: None,
            code: None,
            time: unix_time::now(),
        };
        match &event {
            SessionEvent::Connected { client, version, .. } => {
                (record.client, record.version) = (Some(client.as_str()), Some(version.as_str()));
            }
            SessionEvent::Disconnected { code, .. } => record.code = code.map(CloseCode::number),
            SessionEvent::Subscribed(channel) | SessionEvent::Unsubscribed(channel) => {
                record.channel = Some(channel.as_str());
            }
            _ => {}
        }
        let Ok(json) = serde_json::value::to_raw_value(&record) else { return };
        let minor = matches!(kind, EventKind::Subscribed | EventKind::Unsubscribed).then(|| who.session());
        let mut queue = self.0.queue.lock();
        if !queue.push(Waiting { json, minor }) {
            queue.lost = queue.lost.saturating_add(1);
            count_dropped_event();
            return;
        }
        if !std::mem::replace(&mut queue.is_sending, true) {
            tokio::spawn(send_events(Arc::clone(&self.0)));
        }
    }

    fn finish(&self) -> BoxFuture<'_, ()> {
        async {
            loop {
                let emptied = self.0.emptied.notified();
                if !self.0.queue.lock().is_sending {
                    return;
                }
                emptied.await;
            }
        }
        .boxed()
    }
}

impl std::fmt::Debug for EventQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventQueue")
            .field("waiting", &self.0.queue.lock().events.len())
            .finish_non_exhaustive()
    }
}

impl Queue {
    /// Adds an event, if there is room for it.
    fn push(&mut self, event: Waiting) -> bool {
        let bytes = event.json.get().len();
        let all = self.bytes.saturating_add(bytes);
        if all > MAX_QUEUE_BYTES {
            return false;
        }
        if let Some(session) = event.minor {
            let minor_bytes = self.minor_bytes.saturating_add(bytes);
            let count = self.minor.get(&session).copied().unwrap_or_default();
            if minor_bytes > MAX_MINOR_BYTES || count >= SHARE {
                return false;
            }
            self.minor_bytes = minor_bytes;
            self.minor.insert(session, count.saturating_add(1));
        }
        self.bytes = all;
        self.events.push_back(event);
        true
    }

    /// Removes the first events, which have been sent.
    fn remove(&mut self, count: usize) {
        for event in self.events.drain(..count.min(self.events.len())) {
            let bytes = event.json.get().len();
            self.bytes = self.bytes.saturating_sub(bytes);
            let Some(session) = event.minor else { continue };
            self.minor_bytes = self.minor_bytes.saturating_sub(bytes);
            match self.minor.get_mut(&session) {
                Some(count) if *count > 1 => *count = count.saturating_sub(1),
                _ => drop(self.minor.remove(&session)),
            }
        }
    }
}

/// Sends the waiting events until none is left.
async fn send_events(inner: Arc<Inner>) {
    loop {
        let (batch, lost) = {
            let mut queue = inner.queue.lock();
            if queue.events.is_empty() {
                queue.is_sending = false;
                break;
            }
            let batch: Vec<_> = queue.events.iter().take(MAX_BATCH).map(|event| event.json.clone()).collect();
            (batch, queue.lost)
        };
        inner.send_batch(&batch, lost).await;
        let mut queue = inner.queue.lock();
        queue.remove(batch.len());
        queue.lost = queue.lost.saturating_sub(lost);
    }
    inner.emptied.notify_waiters();
}

impl Inner {
    /// Returns when the backend has accepted the batch.
    async fn send_batch(&self, events: &[Box<RawValue>], lost: u64) {
        let mut attempt = 0;
        // The same id for every attempt, once there is one.
        let mut id = String::new();
        loop {
            if id.is_empty() {
                id = request_id().unwrap_or_default();
            }
            let request_metrics = BackendRequest::new("events");
            let client = Arc::clone(&self.client.lock());
            let Err(why) = self.attempt(&client, &id, events, lost).await else {
                return request_metrics.succeeded();
            };
            client.failed(&id, &why);
            drop(request_metrics);
            sleep(pause(attempt).saturating_mul(SLOWER).min(LONGEST_PAUSE)).await;
            attempt = attempt.saturating_add(1);
        }
    }

    async fn attempt(
        &self,
        client: &WebhookClient,
        id: &str,
        events: &[Box<RawValue>],
        lost: u64,
    ) -> Result<(), String> {
        let batch = Batch { id, event: "events", server: &self.server, lost, events };
        let body = serde_json::to_vec(&batch).map(Bytes::from).map_err(|error| error.to_string())?;
        let headers = client.headers(id, &body)?;
        let webhook = &client.webhook;
        let sending = client.webhooks.outbound.send(Method::POST, &webhook.url, headers, body, MAX_BYTES);
        match timeout(webhook.timeout, sending).await {
            Ok(Ok(answer)) if answer.status.is_success() => Ok(()),
            Ok(Ok(answer)) => Err(format!("it answered with status {}", answer.status)),
            Ok(Err(fault)) => Err(fault.to_string()),
            Err(_) => Err("it did not answer in time".into()),
        }
    }
}

/// The most bytes that may wait, as JSON.
const MAX_QUEUE_BYTES: usize = 4 * 1024 * 1024;

/// The bytes of these for events about subscriptions, and the number of such events for each session.
const MAX_MINOR_BYTES: usize = MAX_QUEUE_BYTES / 2;
const SHARE: usize = 256;

/// The most events in a batch.
const MAX_BATCH: usize = 500;

/// No client waits for events, so their pauses are longer than those of decisions.
const SLOWER: u32 = 4;
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use super::*;

    fn session(number: u32) -> SessionId {
        format!("{number:0>21}A").parse().unwrap()
    }

    fn event(minor: Option<SessionId>, bytes: usize) -> Waiting {
        let json = RawValue::from_string(format!("\"{}\"", "x".repeat(bytes - 2))).unwrap();
        Waiting { json, minor }
    }

    #[test]
    fn subscriptions_of_one_session_have_a_share_and_displace_nothing() {
        let mut queue = Queue::default();
        let [busy, other] = [1, 2].map(session);
        let taken = (0..10_000).filter(|_| queue.push(event(Some(busy), 150))).count();
        assert_eq!(taken, SHARE);
        assert!(queue.push(event(Some(other), 150)), "another session has a share of its own");
        assert!(queue.push(event(None, 150)));
        queue.remove(10);
        assert_eq!(
            (0..100).filter(|_| queue.push(event(Some(busy), 150))).count(),
            10,
            "as many as were sent"
        );
        queue.remove(usize::MAX);
        assert_eq!((queue.bytes, queue.minor_bytes, queue.minor.len(), queue.events.len()), (0, 0, 0, 0));
    }

    #[test]
    fn half_of_the_room_is_for_beginnings_and_ends_of_sessions() {
        let mut queue = Queue::default();
        let mut sessions = (0..).map(session);
        while queue.push(event(sessions.next(), 1024)) {}
        assert_eq!(queue.bytes, MAX_MINOR_BYTES);
        let taken = (0..).take_while(|_| queue.push(event(None, 1024))).count();
        assert_eq!(taken * 1024, MAX_QUEUE_BYTES - MAX_MINOR_BYTES);
    }
}
