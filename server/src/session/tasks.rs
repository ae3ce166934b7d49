//! What the engine was asked for on behalf of a session, and what is done when it has answered.
//!
//! An engine in memory answers at once, and so does the session. Others are waited for here, while the session goes on;
//! only `connect`, which comes before all else, holds up what is behind it.

use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use wirehub_common::code::ErrorCode;
use wirehub_common::frame::{
    Answer, Connected, ErrorInfo, HistoryPage, Position, Published, Reply, Subscribe, SubscribeOutcome,
};

use super::commands::subscribed;
use super::{Session, answer, encode};
use crate::engine::{self, EngineError, Recovered};

/// The engine's answer of what a subscription missed; none where its channel keeps no history.
pub(super) type Recovering = Option<engine::Answer<Recovered>>;

/// A command that the engine has a part in.
pub(super) enum Task {
    Connect { id: u32, connected: Connected, restoring: Vec<Restoring> },
    Subscribe { id: u32, subscribe: Subscribe, recovering: Recovering },
    Publish { id: u32, accepted: engine::Answer<Option<Position>> },
    History { id: u32, page: engine::Answer<Option<HistoryPage>> },
}

/// A subscription that `connect` asked for.
pub(super) enum Restoring {
    Refused(Subscribe, ErrorInfo),
    Begun(Subscribe, Recovering),
}

/// The same with the engine's answers.
enum Done {
    Connect { id: u32, connected: Connected, restored: Vec<Restored> },
    Subscribe { id: u32, subscribe: Subscribe, recovered: Result<Option<Recovered>, ErrorInfo> },
    Reply { id: u32, result: Result<Answer, ErrorInfo> },
}

enum Restored {
    Refused(Subscribe, ErrorInfo),
    Begun(Subscribe, Result<Option<Recovered>, ErrorInfo>),
}

/// What is waited for.
#[derive(Default)]
pub(super) struct Tasks {
    waiting: FuturesUnordered<BoxFuture<'static, Done>>,
    connecting: bool,
}

impl Tasks {
    /// Whether the session has to wait before it takes another command.
    pub(super) fn hold_up(&self) -> bool {
        self.connecting || self.waiting.len() >= MAX_WAITING
    }
}

impl Session {
    /// Does what is to be done when the engine has answered: now, where it has.
    pub(super) fn finish(&mut self, task: Task) {
        let is_connect = matches!(task, Task::Connect { .. });
        let mut answered = answers(task);
        // Nobody is woken by this: what is not there yet is polled again with the session's own waker.
        match answered.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop())) {
            Poll::Ready(done) => self.carry_through(done),
            Poll::Pending => {
                let tasks = self.tasks.get_or_insert_default();
                tasks.connecting |= is_connect;
                tasks.waiting.push(answered);
            }
        }
    }

    /// Finishes what the engine has answered meanwhile.
    pub(super) fn poll_tasks(&mut self, cx: &mut Context<'_>) {
        while let Some(tasks) = &mut self.tasks {
            let Poll::Ready(Some(done)) = tasks.waiting.poll_next_unpin(cx) else { return };
            if matches!(done, Done::Connect { .. }) {
                tasks.connecting = false;
            }
            self.carry_through(done);
        }
    }

    fn carry_through(&mut self, done: Done) {
        match done {
            Done::Connect { id, connected, restored } => self.connected(id, connected, restored),
            Done::Subscribe { id, subscribe, recovered } => self.subscribed(id, &subscribe, recovered),
            Done::Reply { id, result } => answer(&self.peer, Reply { id, result }),
        }
    }

    fn connected(&mut self, id: u32, mut connected: Connected, restored: Vec<Restored>) {
        let mut released = Vec::new();
        for restored in restored {
            let (Subscribe { channel, number, .. }, result) = match restored {
                Restored::Refused(subscribe, error) => (subscribe, Err(error)),
                Restored::Begun(subscribe, Ok(recovered)) => {
                    released.push((subscribe.channel.clone(), newest_offset(recovered.as_ref())));
                    let subscribed = subscribed(&subscribe, recovered);
                    (subscribe, Ok(subscribed))
                }
                Restored::Begun(subscribe, Err(error)) => {
                    self.leave(&subscribe.channel, None);
                    (subscribe, Err(error))
                }
            };
            connected.subscriptions.push(SubscribeOutcome { channel, number, result });
        }
        answer(&self.peer, Reply { id, result: Ok(Answer::Connected(Box::new(connected))) });
        for (name, up_to) in released {
            if let Some(subscription) = self.subscriptions.get(&name) {
                subscription.channel.release(&self.peer, None, up_to);
            }
        }
    }

    fn subscribed(
        &mut self,
        id: u32,
        subscribe: &Subscribe,
        recovered: Result<Option<Recovered>, ErrorInfo>,
    ) {
        let current = self.subscriptions.get(&subscribe.channel);
        let Some(current) = current.filter(|current| current.number == subscribe.number) else {
            // A newer command of the client has put an end to it.
            return answer(&self.peer, Reply { id, result: Err(ErrorInfo::from_code(ErrorCode::CANCELLED)) });
        };
        match recovered {
            Ok(recovered) => {
                let up_to = newest_offset(recovered.as_ref());
                let result = Ok(Answer::Subscribed(subscribed(subscribe, recovered)));
                current.channel.release(&self.peer, encode(&self.peer, Reply { id, result }), up_to);
            }
            Err(error) => {
                let reply = encode(&self.peer, Reply { id, result: Err(error) });
                self.leave(&subscribe.channel, reply);
            }
        }
    }
}

fn newest_offset(recovered: Option<&Recovered>) -> u64 {
    recovered.map_or(0, |recovered| recovered.position.offset)
}

fn answers(task: Task) -> BoxFuture<'static, Done> {
    async move {
        match task {
            Task::Connect { id, connected, restoring } => {
                let mut restored = Vec::with_capacity(restoring.len());
                for restoring in restoring {
                    restored.push(match restoring {
                        Restoring::Refused(subscribe, error) => Restored::Refused(subscribe, error),
                        Restoring::Begun(subscribe, recovering) => {
                            Restored::Begun(subscribe, recovered(recovering).await)
                        }
                    });
                }
                Done::Connect { id, connected, restored }
            }
            Task::Subscribe { id, subscribe, recovering } => {
                Done::Subscribe { id, subscribe, recovered: recovered(recovering).await }
            }
            Task::Publish { id, accepted } => {
                let result = accepted.await.map_err(|error| failed(&error));
                Done::Reply { id, result: result.map(|position| Answer::Published(Published { position })) }
            }
            Task::History { id, page } => {
                let result = page.await.map_err(|error| failed(&error)).and_then(|page| {
                    page.map(Answer::History).ok_or_else(|| ErrorInfo::from_code(ErrorCode::UNRECOVERABLE))
                });
                Done::Reply { id, result }
            }
        }
    }
    .boxed()
}

async fn recovered(recovering: Recovering) -> Result<Option<Recovered>, ErrorInfo> {
    match recovering {
        Some(answer) => answer.await.map(Some).map_err(|error| failed(&error)),
        None => Ok(None),
    }
}

fn failed(error: &EngineError) -> ErrorInfo {
    tracing::error!("{error}");
    ErrorInfo::from_code(ErrorCode::INTERNAL)
}

/// How many of a session's commands may wait for the engine; then the session waits for them.
const MAX_WAITING: usize = 64;
