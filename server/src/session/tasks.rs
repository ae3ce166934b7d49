//! What the engine was asked for on behalf of a session, and what is done when it has answered.
//!
//! An engine in memory answers at once, and so does the session. Others are waited for here, while the session goes on;
//! only `connect`, which comes before all else, holds up what is behind it.

use std::panic::AssertUnwindSafe;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::time::timeout;
use wirehub_common::code::ErrorCode;
use wirehub_common::frame::{
    Answer, Connect, Connected, ErrorInfo, HistoryPage, Position, Published, Push, Refreshed, Reply,
    ServerFrame, Subscribe, SubscribeOutcome,
};
use wirehub_common::{ChannelName, Payload};

use super::commands::{MAX_RECOVERED_BYTES, subscribed};
use super::decisions::{Decisions, Reading};
use super::{Session, answer, encode};
use crate::auth::{Action, Authenticated, Refusal};
use crate::engine::{self, EngineError, Recovered};
use crate::hooks::Verdict;

/// The engine's answer of what a subscription missed; none where its channel keeps no history.
pub(super) type Recovering = Option<engine::Answer<Recovered>>;

/// What the hook finds out about a client.
pub(super) type Identifying = BoxFuture<'static, Result<Authenticated, Refusal>>;

/// A command that the engine, or a hook of the application, has a part in.
pub(super) enum Task {
    Authenticate {
        id: u32,
        connect: Connect,
        identity: Identifying,
    },
    Refresh {
        id: u32,
        identity: Identifying,
    },
    /// The hooks decide on the subscriptions that `connect` asks for.
    MayConnect {
        id: u32,
        connected: Connected,
        asked: Vec<(Subscribe, Verdict<()>)>,
        own: Vec<ChannelName>,
    },
    Connect {
        id: u32,
        connected: Connected,
        restoring: Vec<Restoring>,
        own: Vec<(Subscribe, Recovering)>,
    },
    MaySubscribe {
        id: u32,
        subscribe: Subscribe,
        verdict: Verdict<()>,
    },
    Subscribe {
        id: u32,
        subscribe: Subscribe,
        recovering: Recovering,
    },
    /// One that the server makes.
    SubscribeOwn {
        subscribe: Subscribe,
        recovering: Recovering,
    },
    MayPublish {
        id: u32,
        channel: ChannelName,
        key: String,
        verdict: Verdict<Payload>,
    },
    Publish {
        id: u32,
        accepted: engine::Answer<Option<Position>>,
    },
    MayRead {
        id: u32,
        reading: Reading,
        verdict: Verdict<()>,
    },
    History {
        id: u32,
        page: engine::Answer<Option<HistoryPage>>,
    },
}

/// A subscription that `connect` asked for.
pub(super) enum Restoring {
    Refused(Subscribe, ErrorInfo),
    Begun(Subscribe, Recovering),
}

/// The same with the engine's answers.
enum Done {
    Authenticate { id: u32, connect: Connect, identity: Result<Authenticated, ErrorInfo> },
    Refresh { id: u32, identity: Result<Authenticated, ErrorInfo> },
    MayConnect { id: u32, connected: Connected, admitted: Vec<Admitted>, own: Vec<ChannelName> },
    Connect { id: u32, connected: Connected, restored: Vec<Restored>, own: Vec<(Subscribe, Recovery)> },
    MaySubscribe { id: u32, subscribe: Subscribe, verdict: Result<(), ErrorInfo> },
    Subscribe { id: u32, subscribe: Subscribe, recovered: Recovery },
    SubscribeOwn { subscribe: Subscribe, recovered: Recovery },
    MayPublish { id: u32, channel: ChannelName, key: String, verdict: Result<Payload, ErrorInfo> },
    MayRead { id: u32, reading: Reading, verdict: Result<(), ErrorInfo> },
    Reply { id: u32, result: Result<Answer, ErrorInfo> },
}

enum Restored {
    Refused(Subscribe, ErrorInfo),
    Begun(Subscribe, Recovery),
}

type Recovery = Result<Option<Recovered>, ErrorInfo>;

/// A subscription, and whether it may be.
pub(super) type Admitted = (Subscribe, Result<(), ErrorInfo>);

/// What is waited for.
#[derive(Default)]
pub(super) struct Tasks {
    waiting: FuturesUnordered<BoxFuture<'static, Done>>,
    connecting: bool,
    /// Most hubs have no hooks to decide.
    pub(super) decisions: Option<Box<Decisions>>,
}

impl Tasks {
    /// Whether the reply to `connect` is still to come.
    pub(super) fn is_connecting(&self) -> bool {
        self.connecting
    }

    /// Whether nothing is waited for.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether the session has to wait before it takes another command.
    pub(super) fn hold_up(&self, queue_bytes: usize) -> bool {
        let (count, bytes) =
            self.decisions.as_ref().map_or((0, 0), |waiting| (waiting.count(), waiting.bytes()));
        let waiting = self.waiting.len().saturating_add(count);
        self.connecting || waiting >= MAX_WAITING || bytes >= queue_bytes
    }
}

impl Session {
    /// Does what is to be done when the engine has answered: now, where it has.
    pub(super) fn finish(&mut self, task: Task) {
        let is_connect =
            matches!(task, Task::Authenticate { .. } | Task::MayConnect { .. } | Task::Connect { .. });
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
            if matches!(done, Done::Authenticate { .. } | Done::MayConnect { .. } | Done::Connect { .. }) {
                tasks.connecting = false;
            }
            self.carry_through(done);
        }
    }

    fn carry_through(&mut self, done: Done) {
        match done {
            Done::Authenticate { id, connect, identity: Ok(identity) } => self.connect(id, connect, identity),
            Done::Authenticate { id, identity: Err(error), .. } => self.reply(id, Err(error)),
            Done::Refresh { id, identity } => {
                let result = identity.and_then(|identity| self.refreshed(identity));
                self.reply(id, result);
            }
            Done::MayConnect { id, connected, admitted, own } => {
                self.begin_all(id, connected, admitted, own);
            }
            Done::Connect { id, connected, restored, own } => {
                self.connected(id, connected, restored);
                for (subscribe, recovered) in own {
                    self.subscribed_own(&subscribe, recovered);
                }
            }
            Done::MaySubscribe { id, subscribe, verdict } => {
                self.subscription_decided(id, subscribe, verdict);
            }
            Done::Subscribe { id, subscribe, recovered } => self.subscribed(id, &subscribe, recovered),
            Done::SubscribeOwn { subscribe, recovered } => self.subscribed_own(&subscribe, recovered),
            Done::MayPublish { id, channel, key, verdict } => {
                self.publication_decided(id, channel, key, verdict);
            }
            Done::MayRead { id, reading, verdict } => self.reading_decided(id, reading, verdict),
            Done::Reply { id, result } => self.reply(id, result),
        }
    }

    fn connected(&mut self, id: u32, mut connected: Connected, restored: Vec<Restored>) {
        let (mut released, mut bytes_left) = (Vec::new(), MAX_RECOVERED_BYTES);
        for restored in restored {
            let (Subscribe { channel, number, .. }, result) = match restored {
                Restored::Refused(subscribe, error) => (subscribe, Err(error)),
                Restored::Begun(subscribe, Ok(recovered)) => {
                    released.push((subscribe.channel.clone(), newest_offset(recovered.as_ref())));
                    let recovered = recovered.map(|recovered| within(recovered, &mut bytes_left));
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
        // Found by others from here on: what they send comes behind the reply.
        self.hub.session_registry().connected(self.peer.id);
        if let Some(unsent) = self.hub.ledgers().greet(&self.peer) {
            self.extras.get_or_insert_default().alarms = Some(unsent);
        }
        for (name, up_to) in released {
            if let Some(subscription) = self.subscriptions.get(&name) {
                subscription.channel.release(&self.peer, None, up_to);
            }
        }
    }

    /// A new token takes the place of the old one. What it does not allow any more ends.
    fn refreshed(&mut self, identity: Authenticated) -> Result<Answer, ErrorInfo> {
        if identity.user != self.peer.user() {
            return Err(ErrorInfo {
                message: "the token is another user's: connect anew with it".into(),
                ..ErrorInfo::from_code(ErrorCode::UNAUTHORIZED)
            });
        }
        let channels = identity.channels.clone();
        let token_ttl = self.take_rights(identity);
        let mut lost = Vec::new();
        for (name, subscription) in self.subscriptions.iter() {
            if !subscription.is_ordered && self.check(Action::Subscribe, name).is_err() {
                lost.push(name.clone());
            } else if self.hub.settings().namespaces.of(name).join_leave.is_some() {
                subscription.channel.set_witness(&self.peer, self.is_witness(name));
            }
        }
        for channel in lost {
            self.unsubscribe_own(&channel, ErrorInfo::from_code(ErrorCode::PERMISSION_DENIED));
        }
        for channel in channels {
            self.subscribe_own(channel);
        }
        Ok(Answer::Refreshed(Refreshed { token_ttl }))
    }

    /// A subscription that the server makes is in force, or can't be.
    fn subscribed_own(&mut self, subscribe: &Subscribe, recovered: Recovery) {
        let Some(current) = self.subscriptions.get(&subscribe.channel) else { return };
        if current.number != subscribe.number {
            // The client has made one of its own, which has taken over what was held back.
            return;
        }
        match recovered {
            Ok(recovered) => {
                let up_to = newest_offset(recovered.as_ref());
                let push = Push::Subscribed(subscribed(subscribe, recovered));
                let frame = self.peer.codec.encode_frame(&ServerFrame::Push(push));
                current.channel.release(&self.peer, Some(frame), up_to);
            }
            Err(error) => {
                tracing::warn!(session = %self.peer.id, channel = %subscribe.channel, "not subscribed: {}", error.message);
                self.leave(&subscribe.channel, None);
            }
        }
    }

    fn subscribed(&mut self, id: u32, subscribe: &Subscribe, recovered: Recovery) {
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

/// The newest of it for which there are bytes left.
fn within(mut recovered: Recovered, bytes_left: &mut usize) -> Recovered {
    let newest_first = recovered.publications.iter().rev();
    let fitting = newest_first
        .map_while(|publication| {
            *bytes_left = bytes_left.checked_sub(publication.payload.data.len())?;
            Some(())
        })
        .count();
    let dropped = recovered.publications.len().saturating_sub(fitting);
    recovered.complete &= dropped == 0;
    recovered.publications.drain(..dropped);
    recovered
}

fn newest_offset(recovered: Option<&Recovered>) -> u64 {
    recovered.map_or(0, |recovered| recovered.position.offset)
}

fn answers(task: Task) -> BoxFuture<'static, Done> {
    async move {
        match task {
            Task::Authenticate { id, connect, identity } => {
                Done::Authenticate { id, connect, identity: identified(identity).await }
            }
            Task::Refresh { id, identity } => Done::Refresh { id, identity: identified(identity).await },
            Task::MayConnect { id, connected, asked, own } => {
                let decide = |(subscribe, verdict)| async { (subscribe, decided(verdict).await) };
                let admitted = join_all(asked.into_iter().map(decide)).await;
                Done::MayConnect { id, connected, admitted, own }
            }
            Task::Connect { id, connected, restoring, own: begun } => {
                let mut restored = Vec::with_capacity(restoring.len());
                for restoring in restoring {
                    restored.push(match restoring {
                        Restoring::Refused(subscribe, error) => Restored::Refused(subscribe, error),
                        Restoring::Begun(subscribe, recovering) => {
                            Restored::Begun(subscribe, recovered(recovering).await)
                        }
                    });
                }
                let mut own = Vec::with_capacity(begun.len());
                for (subscribe, recovering) in begun {
                    own.push((subscribe, recovered(recovering).await));
                }
                Done::Connect { id, connected, restored, own }
            }
            Task::SubscribeOwn { subscribe, recovering } => {
                Done::SubscribeOwn { subscribe, recovered: recovered(recovering).await }
            }
            Task::MaySubscribe { id, subscribe, verdict } => {
                Done::MaySubscribe { id, subscribe, verdict: decided(verdict).await }
            }
            Task::Subscribe { id, subscribe, recovering } => {
                Done::Subscribe { id, subscribe, recovered: recovered(recovering).await }
            }
            Task::MayPublish { id, channel, key, verdict } => {
                Done::MayPublish { id, channel, key, verdict: decided(verdict).await }
            }
            Task::MayRead { id, reading, verdict } => {
                Done::MayRead { id, reading, verdict: decided(verdict).await }
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

async fn identified(identity: Identifying) -> Result<Authenticated, ErrorInfo> {
    match asked(identity).await {
        Ok(identity) => identity.map_err(|refusal| refusal.0),
        Err(error) => Err(error),
    }
}

async fn decided<T>(verdict: Verdict<T>) -> Result<T, ErrorInfo> {
    asked(verdict).await?
}

/// What a hook answers. One that hangs or panics fails this one command.
async fn asked<T>(hook: impl Future<Output = T>) -> Result<T, ErrorInfo> {
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

async fn recovered(recovering: Recovering) -> Recovery {
    match recovering {
        Some(answer) => answer.await.map(Some).map_err(|error| failed(&error)),
        None => Ok(None),
    }
}

fn failed(error: &EngineError) -> ErrorInfo {
    tracing::error!("{error}");
    ErrorInfo::from_code(ErrorCode::INTERNAL)
}

/// How long a hook may take to decide.
const HOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// How many of a session's commands may wait for the engine and for hooks; then the session waits for them.
const MAX_WAITING: usize = 64;
