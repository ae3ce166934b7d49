//! What was asked of hooks and of the engine on behalf of a session, and is not answered yet.
//!
//! Many answers are there at once: then the session goes on at once. Others are waited for here, while the session does other
//! things. What is done with an answer stands where the question is asked.

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
use crate::engine::EngineError;

/// What is waited for.
#[derive(Default)]
pub(super) struct PendingAnswers {
    answers: FuturesUnordered<BoxFuture<'static, Then>>,
    /// Most hubs have no hooks to decide.
    pub(super) decisions: Option<Box<Decisions>>,
}

/// What a session does once an answer is there.
type Then = Box<dyn FnOnce(&mut Session) + Send>;

impl PendingAnswers {
    /// Whether nothing is waited for.
    pub(super) fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// Whether the session has to wait before it takes another command.
    pub(super) fn holds_up(&self, queue_bytes: usize) -> bool {
        let (count, bytes) =
            self.decisions.as_ref().map_or((0, 0), |waiting| (waiting.count(), waiting.bytes()));
        self.answers.len().saturating_add(count) >= MAX_WAITING || bytes > queue_bytes
    }
}

impl Session {
    /// Does something with an answer: now, where it is there, and else when it is.
    pub(super) fn wait_for<T: Send + 'static>(
        &mut self,
        answer: impl Future<Output = T> + Send + 'static,
        then: impl FnOnce(&mut Self, T) + Send + 'static,
    ) {
        let mut answer = answer.boxed();
        // Nobody is woken by this: what is not there yet is polled again with the session's own waker.
        match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => then(self, value),
            Poll::Pending => {
                let answered =
                    answer.map(|value| Box::new(move |session: &mut Self| then(session, value)) as Then);
                self.pending_answers.get_or_insert_default().answers.push(answered.boxed());
            }
        }
    }

    /// Goes on with what has been answered meanwhile. Says whether anything was.
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

/// What a hook answers. One that hangs or panics fails this one command.
pub(super) async fn await_hook<T>(hook: impl Future<Output = T>) -> Result<T, ErrorInfo> {
    match timeout(HOOK_TIMEOUT, AssertUnwindSafe(hook).catch_unwind()).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) => {
            tracing::error!("a hook panicked; the client was told that it failed");
            Err(ErrorInfo::from_code(ErrorCode::INTERNAL))
        }
        Err(_) => {
            tracing::error!("a hook did not answer in time");
            Err(ErrorInfo::from_code(ErrorCode::UNAVAILABLE))
        }
    }
}

/// What a client is told where the engine failed.
pub(super) fn engine_failure(error: &EngineError) -> ErrorInfo {
    tracing::error!("{error}");
    ErrorInfo::from_code(ErrorCode::INTERNAL)
}

/// How long a hook may take to decide.
const HOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// How many of a session's commands may wait for the engine and for hooks; then the session waits for them.
pub(super) const MAX_WAITING: usize = 64;
