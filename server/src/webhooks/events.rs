//! Tells a backend what happens to sessions: in order, each at least once as long as there is room for what waits.
//!
//! Sessions that begin and end come first: what they are subscribed to, which is theirs to change as often as they like, has a
//! part of the room, and of that each session a share.

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

use super::{Asker, MAX_BYTES, Webhooks, pause, request_id};
use crate::SessionId;
use crate::call::CallContext;
use crate::metrics::{Asked, count_lost_event};
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
    /// All of them.
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

/// Tells a backend by batches. See [`Webhooks::events`](super::Webhooks::events).
#[derive(Clone)]
pub struct EventQueue(Arc<Inner>);

struct Inner {
    asker: Mutex<Arc<Asker>>,
    kinds: Vec<EventKind>,
    /// Another one each time that a server starts: the sessions of the one before are gone then.
    server: String,
    queue: Mutex<Queue>,
    /// Nothing waits any more.
    emptied: Notify,
}

#[derive(Default)]
struct Queue {
    /// Those that are being told stay until they have been.
    events: VecDeque<Waiting>,
    bytes: usize,
    /// Of these, those of subscriptions.
    minor_bytes: usize,
    /// How many events of subscriptions wait, of each session of which some do.
    minor: HashMap<SessionId, usize>,
    lost: u64,
    /// Whether there is a task that tells them.
    is_told: bool,
}

/// An event that waits.
struct Waiting {
    json: Box<RawValue>,
    /// Of a session's subscriptions: whose.
    minor: Option<SessionId>,
}

/// An event as it is told.
#[derive(Serialize)]
struct Told<'a> {
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

/// What is sent.
#[derive(Serialize)]
struct Batch<'a> {
    id: &'a str,
    event: &'static str,
    server: &'a str,
    lost: u64,
    events: &'a [Box<RawValue>],
}

impl EventQueue {
    pub(super) fn new(asker: Arc<Asker>, kinds: &[EventKind]) -> Self {
        // Without entropy nothing is sent either.
        let server = request_id().unwrap_or_default();
        let (asker, queue, emptied) = (Mutex::new(asker), Mutex::default(), Notify::new());
        Self(Arc::new(Inner { asker, kinds: kinds.to_vec(), server, queue, emptied }))
    }

    /// From now on signs as these do, and believes whom they believe; also what waits to be told. Where and what it tells
    /// stays as it was.
    pub fn replace(&self, webhooks: &Webhooks) {
        let mut asker = self.0.asker.lock();
        *asker = webhooks.asker(asker.about, asker.webhook.clone());
    }
}

impl Observer for EventQueue {
    fn notice(&self, who: &CallContext, event: SessionEvent) {
        let Some(kind) = EventKind::of(&event).filter(|kind| self.0.kinds.contains(kind)) else { return };
        let mut told = Told {
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
                (told.client, told.version) = (Some(client.as_str()), Some(version.as_str()));
            }
            SessionEvent::Disconnected { code, .. } => told.code = code.map(CloseCode::number),
            SessionEvent::Subscribed(channel) | SessionEvent::Unsubscribed(channel) => {
                told.channel = Some(channel.as_str());
            }
            _ => {}
        }
        let Ok(json) = serde_json::value::to_raw_value(&told) else { return };
        let minor = matches!(kind, EventKind::Subscribed | EventKind::Unsubscribed).then(|| who.session());
        let mut queue = self.0.queue.lock();
        if !queue.push(Waiting { json, minor }) {
            queue.lost = queue.lost.saturating_add(1);
            count_lost_event();
            return;
        }
        if !std::mem::replace(&mut queue.is_told, true) {
            tokio::spawn(tell(Arc::clone(&self.0)));
        }
    }

    fn finish(&self) -> BoxFuture<'_, ()> {
        async {
            loop {
                let emptied = self.0.emptied.notified();
                if !self.0.queue.lock().is_told {
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
    /// Adds an event where there is room for it.
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

    /// Takes out the first ones, which have been told.
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

/// Tells what waits, until nothing does.
async fn tell(inner: Arc<Inner>) {
    loop {
        let (batch, lost) = {
            let mut queue = inner.queue.lock();
            if queue.events.is_empty() {
                queue.is_told = false;
                break;
            }
            let batch: Vec<_> = queue.events.iter().take(MAX_BATCH).map(|event| event.json.clone()).collect();
            (batch, queue.lost)
        };
        inner.tell_batch(&batch, lost).await;
        let mut queue = inner.queue.lock();
        queue.remove(batch.len());
        queue.lost = queue.lost.saturating_sub(lost);
    }
    inner.emptied.notify_waiters();
}

impl Inner {
    /// Returns when the backend has taken it.
    async fn tell_batch(&self, events: &[Box<RawValue>], lost: u64) {
        let mut attempt = 0;
        // The same for all attempts, as soon as there is one.
        let mut id = String::new();
        loop {
            if id.is_empty() {
                id = request_id().unwrap_or_default();
            }
            let asked = Asked::new("events");
            let asker = Arc::clone(&self.asker.lock());
            let Err(why) = self.attempt(&asker, &id, events, lost).await else { return asked.succeeded() };
            asker.failed(&id, &why);
            drop(asked);
            sleep(pause(attempt).saturating_mul(SLOWER).min(LONGEST_PAUSE)).await;
            attempt = attempt.saturating_add(1);
        }
    }

    async fn attempt(
        &self,
        asker: &Asker,
        id: &str,
        events: &[Box<RawValue>],
        lost: u64,
    ) -> Result<(), String> {
        let batch = Batch { id, event: "events", server: &self.server, lost, events };
        let body = serde_json::to_vec(&batch).map(Bytes::from).map_err(|error| error.to_string())?;
        let headers = asker.headers(id, &body)?;
        let webhook = &asker.webhook;
        let sending = asker.webhooks.outbound.send(Method::POST, &webhook.url, headers, body, MAX_BYTES);
        match timeout(webhook.timeout, sending).await {
            Ok(Ok(answer)) if answer.status.is_success() => Ok(()),
            Ok(Ok(answer)) => Err(format!("it answers with status {}", answer.status)),
            Ok(Err(fault)) => Err(fault.to_string()),
            Err(_) => Err("it did not answer in time".into()),
        }
    }
}

/// How much may wait, as JSON.
const MAX_QUEUE_BYTES: usize = 4 * 1024 * 1024;

/// How much of that those of subscriptions have, and how many of them each session.
const MAX_MINOR_BYTES: usize = MAX_QUEUE_BYTES / 2;
const SHARE: usize = 256;

/// How many events are told at once.
const MAX_BATCH: usize = 500;

/// Nobody waits for events: their pauses are longer than those of questions.
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
    fn what_one_session_is_subscribed_to_has_a_share_and_pushes_out_nothing() {
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
            "as many as were told"
        );
        queue.remove(usize::MAX);
        assert_eq!((queue.bytes, queue.minor_bytes, queue.minor.len(), queue.events.len()), (0, 0, 0, 0));
    }

    #[test]
    fn half_of_the_room_is_for_sessions_that_begin_and_end() {
        let mut queue = Queue::default();
        let mut sessions = (0..).map(session);
        while queue.push(event(sessions.next(), 1024)) {}
        assert_eq!(queue.bytes, MAX_MINOR_BYTES);
        let taken = (0..).take_while(|_| queue.push(event(None, 1024))).count();
        assert_eq!(taken * 1024, MAX_QUEUE_BYTES - MAX_MINOR_BYTES);
    }
}
