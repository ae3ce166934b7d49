//! The calls that a session has in flight.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::sync::mpsc;
use tokio::task::{self, AbortHandle, JoinError, JoinSet};
use wirehub_common::Payload;
use wirehub_common::code::ErrorCode;
use wirehub_common::frame::{Called, ErrorInfo};

use crate::call::{Answering, Responses};
use crate::hub::call_memory::{Canceller, PendingCall};

/// Runs calls as tasks of their own, so that a slow or failing one does not hold up its session. Dropping it stops
/// them.
#[derive(Default)]
pub(super) struct Calls {
    tasks: JoinSet<EndedCall>,
    running: Vec<RunningCall>,
    /// How many bytes the answers have that are there and not queued for the client.
    unsent: Arc<AtomicUsize>,
    /// Both ends of where streams put their responses; there is one as soon as there is a stream.
    responses: Option<(Responses, mpsc::Receiver<(task::Id, Payload)>)>,
    /// What has been taken out of there, and the ends behind it.
    taken: VecDeque<CallStep>,
}

struct RunningCall {
    command: u32,
    task: AbortHandle,
    /// Whether it has responded, and is not at its end.
    has_responded: bool,
    /// Of a call that outlives its session.
    canceller: Option<Canceller>,
}

/// What a task did.
enum CallStep {
    Response(task::Id, Payload),
    End(task::Id, EndedCall),
}

/// How a call ended.
struct EndedCall {
    result: Result<Payload, ErrorInfo>,
    /// For as long as it is not taken.
    _unsent: Option<UnsentBytes>,
}

/// So many bytes of an answer that waits.
struct UnsentBytes {
    bytes: usize,
    all: Arc<AtomicUsize>,
}

/// What a call answers.
pub(super) struct CallAnswer {
    pub(super) command: u32,
    pub(super) result: Result<Called, ErrorInfo>,
    /// It is the call's only answer: its place among others does not matter.
    pub(super) is_alone: bool,
}

impl Calls {
    /// How many are in flight.
    pub(super) fn len(&self) -> usize {
        self.running.len()
    }

    /// Starts one for the command with that id.
    pub(super) fn start(&mut self, command: u32, answering: Answering) {
        let task = self.tasks.spawn(bounded(answering, Arc::clone(&self.unsent)));
        self.running.push(RunningCall { command, task, has_responded: false, canceller: None });
    }

    /// Waits for one that has a key.
    pub(super) fn wait_for(&mut self, command: u32, call: (PendingCall, Canceller)) {
        let (waiting, canceller) = call;
        let task = self.tasks.spawn(bounded(waiting, Arc::clone(&self.unsent)));
        self.running.push(RunningCall { command, task, has_responded: false, canceller: Some(canceller) });
    }

    /// Where the responses of a stream go.
    pub(super) fn responses(&mut self) -> Responses {
        self.responses.get_or_insert_with(|| mpsc::channel(RESPONSES)).0.clone()
    }

    /// Stops the call of that command. Says whether it was in flight.
    pub(super) fn cancel(&mut self, command: u32) -> bool {
        let Some(at) = self.running.iter().position(|call| call.command == command) else { return false };
        let RunningCall { task, canceller, .. } = self.running.swap_remove(at);
        task.abort();
        if let Some(canceller) = canceller {
            canceller.cancel();
        }
        true
    }

    /// The next answer; pending for ever where no call is in flight. One that was cancelled has been answered then.
    pub(super) fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<CallAnswer> {
        loop {
            let Poll::Ready(step) = self.poll_step(cx) else { return Poll::Pending };
            let place = |task| self.running.iter().position(|call| call.task.id() == task);
            match step {
                CallStep::Response(task, payload) => {
                    if let Some(call) = place(task).and_then(|at| self.running.get_mut(at)) {
                        call.has_responded = true;
                        let (command, result) = (call.command, Ok(Called { payload, more: true }));
                        return Poll::Ready(CallAnswer { command, result, is_alone: false });
                    }
                }
                CallStep::End(task, EndedCall { result, .. }) => {
                    if let Some(at) = place(task) {
                        let RunningCall { command, has_responded, .. } = self.running.swap_remove(at);
                        let result = result.map(|payload| Called { payload, more: false });
                        return Poll::Ready(CallAnswer { command, result, is_alone: !has_responded });
                    }
                }
            }
        }
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<CallStep> {
        if let Some(step) = self.taken.pop_front() {
            return Poll::Ready(step);
        }
        if let Some((_, responses)) = &mut self.responses
            && let Poll::Ready(Some((task, payload))) = responses.poll_recv(cx)
        {
            return Poll::Ready(CallStep::Response(task, payload));
        }
        let Poll::Ready(Some(ended)) = self.tasks.poll_join_next_with_id(cx) else { return Poll::Pending };
        let (task, result) = ended.unwrap_or_else(|error| failed(&error));
        // It may have responded since these were looked at: they go before its end. More are not there, but for those that others
        // put in the place of what is taken.
        if let Some((_, responses)) = &mut self.responses {
            for (task, payload) in (0..RESPONSES).map_while(|_| responses.try_recv().ok()) {
                self.taken.push_back(CallStep::Response(task, payload));
            }
        }
        self.taken.push_back(CallStep::End(task, result));
        self.taken.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

/// Bounds what waits for a client that does not take it: an answer that there is no room for is dropped, and it is told so.
async fn bounded(
    answering: impl Future<Output = Result<Payload, ErrorInfo>>,
    all: Arc<AtomicUsize>,
) -> EndedCall {
    let result = answering.await;
    let bytes = result.as_ref().map_or(0, |payload| payload.data.len());
    let before = all.fetch_add(bytes, Ordering::Relaxed);
    let unsent = UnsentBytes { bytes, all };
    if before > 0 && before.saturating_add(bytes) > MAX_UNSENT {
        let message =
            "as much is answered as there may be before the client takes it: call again when it has".into();
        let error = ErrorInfo { message, temporary: true, ..ErrorInfo::from_code(ErrorCode::LIMIT_EXCEEDED) };
        return EndedCall { result: Err(error), _unsent: None };
    }
    EndedCall { result, _unsent: Some(unsent) }
}

impl Drop for UnsentBytes {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

fn failed(error: &JoinError) -> (task::Id, EndedCall) {
    if error.is_panic() {
        tracing::error!("a call's handler panicked; its caller was told so");
    }
    (error.id(), EndedCall { result: Err(ErrorInfo::from_code(ErrorCode::INTERNAL)), _unsent: None })
}

/// How many bytes of answers wait for a session, beside its queue. One is let through whatever its size.
const MAX_UNSENT: usize = 32 * 1024 * 1024;

/// How many responses of all streams of a session wait for it; then the streams do.
const RESPONSES: usize = 16;
