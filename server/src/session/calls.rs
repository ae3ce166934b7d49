//! The calls that a session has in flight.

use std::task::{Context, Poll};

use tokio::task::{AbortHandle, JoinSet};
use wirehub_common::Payload;
use wirehub_common::code::ErrorCode;
use wirehub_common::frame::ErrorInfo;

use crate::call::Answering;

/// Runs calls as tasks of their own, so that a slow or failing one does not hold up its session. Dropping it stops
/// them.
#[derive(Default)]
pub(super) struct Calls {
    tasks: JoinSet<Result<Payload, ErrorInfo>>,
    running: Vec<Running>,
}

struct Running {
    command: u32,
    task: AbortHandle,
}

/// What came of a call.
pub(super) struct Finished {
    pub(super) command: u32,
    pub(super) result: Result<Payload, ErrorInfo>,
}

impl Calls {
    /// How many are in flight.
    pub(super) fn len(&self) -> usize {
        self.running.len()
    }

    /// Starts one for the command with that id.
    pub(super) fn start(&mut self, command: u32, answering: Answering) {
        let task = self.tasks.spawn(answering);
        self.running.push(Running { command, task });
    }

    /// Stops the call of that command. Says whether it was in flight.
    pub(super) fn cancel(&mut self, command: u32) -> bool {
        let Some(at) = self.running.iter().position(|call| call.command == command) else { return false };
        self.running.swap_remove(at).task.abort();
        true
    }

    /// The next call that is finished; pending for ever where none is in flight.
    pub(super) fn poll_finished(&mut self, cx: &mut Context<'_>) -> Poll<Finished> {
        loop {
            let Poll::Ready(Some(ended)) = self.tasks.poll_join_next_with_id(cx) else {
                return Poll::Pending;
            };
            let (id, result) = match ended {
                Ok((id, result)) => (id, result),
                Err(error) => {
                    if error.is_panic() {
                        tracing::error!("a call's handler panicked; its caller was told so");
                    }
                    (error.id(), Err(ErrorInfo::from_code(ErrorCode::INTERNAL)))
                }
            };
            // One that was cancelled has been answered then.
            if let Some(at) = self.running.iter().position(|call| call.task.id() == id) {
                let command = self.running.swap_remove(at).command;
                return Poll::Ready(Finished { command, result });
            }
        }
    }
}
