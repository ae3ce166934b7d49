//! Requests to every other node.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::Fleet;
use super::message::Content;
use super::question::{Answer, Question};
use crate::engine::{EngineError, EngineErrorKind, NodeId};
use crate::hub::Hub;

/// A request that waits for answers.
#[derive(Default)]
pub(super) struct PendingRequest {
    answers: BTreeMap<NodeId, Answer>,
    has_answer: Arc<Notify>,
}

/// The answers of the other nodes.
#[derive(Debug, Default)]
pub(super) struct Answers {
    pub(super) given: Vec<(NodeId, Answer)>,
    /// The living nodes without an answer.
    pub(super) missing: Vec<NodeId>,
}

/// A place among the pending requests, until it is dropped.
struct Pending<'a> {
    fleet: &'a Fleet,
    request: u64,
    has_answer: Arc<Notify>,
}

impl Hub {
    /// Asks every other node. The question is sent before the future is awaited. Waits for the answers of all living nodes, or
    /// for one that `is_enough`, but no longer than [`PATIENCE`].
    pub(super) fn ask_nodes(
        &self,
        question: Question,
        is_enough: impl Fn(&Answer) -> bool + Send + Sync,
    ) -> impl Future<Output = Result<Answers, EngineError>> + Send {
        self.start_nodes();
        let deadline = deadline();
        let pending = self.inner.fleet.begin_request();
        let request = pending.request;
        let sent = self.inner.send_to_nodes(None, Content::Question { request, question });
        async move {
            let Some(nodes) = self.inner.nodes() else { return Ok(Answers::default()) };
            let living = timeout_at(deadline, async {
                // Together, and each is carried out.
                let (sent, living) = futures_util::future::join(sent, self.inner.living_nodes(nodes)).await;
                sent.and(living)
            });
            let words = "its store did not answer: try again later";
            let living =
                living.await.map_err(|_| EngineError::new(EngineErrorKind::Unavailable, words))??;
            let own = nodes.own();
            let others: Vec<NodeId> =
                living.into_iter().map(|node| node.id).filter(|node| *node != own).collect();
            let is_over = |answers: &BTreeMap<NodeId, Answer>| {
                others.iter().all(|node| answers.contains_key(node)) || answers.values().any(&is_enough)
            };
            while !pending.check(is_over) {
                if timeout_at(deadline, pending.has_answer.notified()).await.is_err() {
                    break;
                }
            }
            Ok(pending.take(&others))
        }
    }
}

impl Fleet {
    fn begin_request(&self) -> Pending<'_> {
        let request = self.requests.fetch_add(1, Ordering::Relaxed);
        let has_answer = Arc::default();
        let pending = PendingRequest { answers: BTreeMap::new(), has_answer: Arc::clone(&has_answer) };
        self.pending.lock().insert(request, pending);
        Pending { fleet: self, request, has_answer }
    }

    /// Takes the answer of a node. Nobody may be waiting for it any more.
    pub(super) fn answered(&self, node: NodeId, request: u64, answer: Answer) {
        if let Some(pending) = self.pending.lock().get_mut(&request) {
            pending.answers.entry(node).or_insert(answer);
            pending.has_answer.notify_one();
        }
    }
}

impl Pending<'_> {
    fn check(&self, is_over: impl Fn(&BTreeMap<NodeId, Answer>) -> bool) -> bool {
        self.fleet.pending.lock().get(&self.request).is_none_or(|pending| is_over(&pending.answers))
    }

    fn take(&self, others: &[NodeId]) -> Answers {
        let pending = self.fleet.pending.lock().remove(&self.request).unwrap_or_default();
        let mut given = pending.answers;
        // A node that does not know the question has not answered it.
        given.retain(|_, answer| *answer != Answer::Unknown);
        let missing = others.iter().copied().filter(|node| !given.contains_key(node)).collect();
        Answers { given: given.into_iter().collect(), missing }
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.fleet.pending.lock().remove(&self.request);
    }
}

impl Answers {
    /// An error if a living node has not answered.
    pub(super) fn complete(self) -> Result<Vec<(NodeId, Answer)>, EngineError> {
        match &self.missing[..] {
            [] => Ok(self.given),
            missing => Err(unanswered(missing)),
        }
    }
}

/// The error of a request that these nodes did not answer.
pub(super) fn unanswered(missing: &[NodeId]) -> EngineError {
    let names: Vec<_> = missing.iter().map(ToString::to_string).collect();
    let words = format!(
        "no answer from the nodes {}; every other node has carried the request out: try again later",
        names.join(", ")
    );
    EngineError::new(EngineErrorKind::Unavailable, words)
}

fn deadline() -> Instant {
    let now = Instant::now();
    now.checked_add(PATIENCE).unwrap_or(now)
}

/// The time within which nodes have to answer.
const PATIENCE: Duration = Duration::from_secs(2);
