//! Questions to hooks and to the engine that are not answered yet.
//!
//! Many answers are ready at once: then the session continues at once. Other answers are awaited here, while the session does
//! other work. The continuation stands next to the question.

use std::panic::AssertUnwindSafe;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::time::timeout;
use wirehub_common::code::ErrorCode;
use wirehub_common::frame::ErrorInfo;

use super::Session;
use super::decisions::Decisions;

/// The pending answers of a session.
#[derive(Default)]
pub(super) struct PendingAnswers {
    answers: FuturesUnordered<BoxFuture<'static, Then>>,
    /// Most hubs have no hooks that decide.
    pub(super) decisions: Option<Box<Decisions>>,
}

/// The continuation of a session after an answer.
type Then = Box<dyn FnOnce(&mut Session) + Send>;

impl PendingAnswers {
    /// `true` if no answer is pending.
    pub(super) fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// `true` if the session has to wait before it takes another command.
    pub(super) fn holds_up(&self, queue_bytes: usize) -> bool {
        let (count, bytes) =
            self.decisions.as_ref().map_or((0, 0), |waiting| (waiting.count(), waiting.bytes()));
        self.answers.len().saturating_add(count) >= MAX_WAITING || bytes > queue_bytes
    }
}

impl Session {
    /// Continues with an answer: at once if it is ready, otherwise later.
    pub(super) fn wait_for<T: Send + 'static>(
        &mut self,
        answer: impl Future<Output = T> + Send + 'static,
        then: impl FnOnce(&mut Self, T) + Send + 'static,
    ) {
        let mut answer = answer.boxed();
        // This wakes nobody: a pending answer is polled again with the session's own waker.
        match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => then(self, value),
            Poll::Pending => {
                let answered =
                    answer.map(|value| Box::new(move |session: &mut Self| then(session, value)) as Then);
                self.pending_answers.get_or_insert_default().answers.push(answered.boxed());
            }
        }
    }

    /// Continues with the answers that are ready. Returns `true` if there was one.
    pub(super) fn poll_waiting(&mut self, cx: &mut Context<'_>) -> bool {
        let mut has_answers = false;
        while let Some(waiting) = &mut self.pending_answers {
            let Poll::Ready(Some(then)) = waiting.answers.poll_next_unpin(cx) else { break };
            then(self);
            has_answers = true;
        }
        has_answers
    }
}

/// The answer of a hook. If the hook hangs or panics, only this command fails.
pub(super) async fn await_hook<T>(hook: impl Future<Output = T>) -> Result<T, ErrorInfo> {
    match timeout(HOOK_TIMEOUT, AssertUnwindSafe(hook).catch_unwind()).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) => {
            tracing::error!("a hook panicked; the client received an error");
            Err(ErrorInfo::from_code(ErrorCode::INTERNAL))
        }
        Err(_) => {
            tracing::error!("a hook did not answer in time");
            Err(ErrorInfo::from_code(ErrorCode::UNAVAILABLE))
        }
    }
}

/// The time that a hook may take.
const HOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// The maximum number of a session's commands that wait for the engine and for hooks. Beyond it, the session waits.
pub(super) const MAX_WAITING: usize = 64;
