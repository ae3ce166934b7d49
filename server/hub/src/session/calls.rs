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

/// Runs calls as separate tasks, so that a slow or failing call does not hold up its session. Dropping it stops them.
#[derive(Default)]
pub(super) struct Calls {
    tasks: JoinSet<EndedCall>,
    running: Vec<RunningCall>,
    /// The bytes of finished answers that are not queued for the client yet.
    unsent: Arc<AtomicUsize>,
    /// Both ends of the queue for responses of streams; created with the first stream.
    responses: Option<(Responses, mpsc::Receiver<(task::Id, Payload)>)>,
    /// Responses taken from the queue, and the ends of calls behind them.
    taken: VecDeque<CallStep>,
}

struct RunningCall {
    command: u32,
    task: AbortHandle,
    /// `true` if it may have several responses.
    is_stream: bool,
    /// `true` from the first response to the end of the call.
    has_responded: bool,
    /// Present for a call that outlives its session.
    canceller: Option<Canceller>,
}

/// One step of a task.
enum CallStep {
    Response(task::Id, Payload),
    End(task::Id, EndedCall),
}

/// The end of a call.
struct EndedCall {
    result: Result<Payload, ErrorInfo>,
    /// Counts the answer's bytes until it is taken.
    _unsent: Option<UnsentBytes>,
}

/// The bytes of a waiting answer.
struct UnsentBytes {
    bytes: usize,
    all: Arc<AtomicUsize>,
}

/// One answer of a call.
pub(super) struct CallAnswer {
    pub(super) command: u32,
    pub(super) result: Result<Called, ErrorInfo>,
    /// `true` for the only answer of a call: other replies may overtake it.
    pub(super) is_alone: bool,
}

impl Calls {
    /// The number of calls in flight.
    pub(super) fn len(&self) -> usize {
        self.running.len()
    }

    /// Starts a call for the command with this id.
    pub(super) fn start(&mut self, command: u32, is_stream: bool, answering: Answering) {
        let task = self.tasks.spawn(bounded(answering, Arc::clone(&self.unsent)));
        self.running.push(RunningCall { command, task, is_stream, has_responded: false, canceller: None });
    }

    /// Waits for a call with a key.
    pub(super) fn wait_for(&mut self, command: u32, call: (PendingCall, Canceller)) {
        let (waiting, canceller) = call;
        let task = self.tasks.spawn(bounded(waiting, Arc::clone(&self.unsent)));
        let canceller = Some(canceller);
        self.running.push(RunningCall { command, task, is_stream: false, has_responded: false, canceller });
    }

    /// The destination of a stream's responses.
    pub(super) fn responses(&mut self) -> Responses {
        self.responses.get_or_insert_with(|| mpsc::channel(RESPONSES)).0.clone()
    }

    /// Stops the call of a command. Returns `true` if it was in flight.
    pub(super) fn cancel(&mut self, command: u32) -> bool {
        let Some(at) = self.running.iter().position(|call| call.command == command) else { return false };
        let RunningCall { task, canceller, .. } = self.running.swap_remove(at);
        task.abort();
        if let Some(canceller) = canceller {
            canceller.cancel();
        }
        true
    }

    /// Stops every stream. Returns their commands.
    pub(super) fn stop_streams(&mut self) -> Vec<u32> {
        let streams: Vec<u32> =
            self.running.iter().filter(|call| call.is_stream).map(|call| call.command).collect();
        for &stream in &streams {
            self.cancel(stream);
        }
        streams
    }

    /// The next answer; pending forever if no call is in flight. A cancelled call has been answered already.
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
        // The task may have sent responses after the check above. They go before its end. There are at most `RESPONSES` of
        // them, except for those that other tasks add meanwhile.
        if let Some((_, responses)) = &mut self.responses {
            for (task, payload) in (0..RESPONSES).map_while(|_| responses.try_recv().ok()) {
                self.taken.push_back(CallStep::Response(task, payload));
            }
        }
        self.taken.push_back(CallStep::End(task, result));
        self.taken.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

/// Bounds the answers that wait for a slow client. An answer without room is dropped, and the client receives an error.
async fn bounded(
    answering: impl Future<Output = Result<Payload, ErrorInfo>>,
    all: Arc<AtomicUsize>,
) -> EndedCall {
    let result = answering.await;
    let bytes = result.as_ref().map_or(0, |payload| payload.data.len());
    let before = all.fetch_add(bytes, Ordering::Relaxed);
    let unsent = UnsentBytes { bytes, all };
    if before > 0 && before.saturating_add(bytes) > MAX_UNSENT {
        let message = "too many answers wait for the client: call again when it has received them".into();
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
        tracing::error!("a call's handler panicked; the caller received an error");
    }
    (error.id(), EndedCall { result: Err(ErrorInfo::from_code(ErrorCode::INTERNAL)), _unsent: None })
}

/// The bytes of answers that may wait for a session, in addition to its queue. One answer is accepted whatever its size.
const MAX_UNSENT: usize = 32 * 1024 * 1024;

/// The number of responses of all streams that may wait for a session. Beyond it, the streams wait.
const RESPONSES: usize = 16;
