//! Presence on all nodes: the entries of this hub's sessions in the engine's store.
//!
//! Requests are made at once, in the order of the sessions' subscriptions, and no session waits for their answers. After a
//! failure the store may be behind. It is brought up to date: failed ends are repeated, and then all sessions are entered again,
//! a few at a time.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::timeout;
use wirehub_common::ChannelName;
use wirehub_common::frame::Member;

use super::channel::MemberPage;
use super::sessions::Peer;
use super::{Hub, Inner, PresenceCounts, SessionId};
use crate::engine::{EngineError, EngineErrorKind, EngineFuture, Presence, PresenceEntry};

/// The repair of a store that may be behind.
#[derive(Default)]
pub(crate) struct SharedPresence {
    state: Mutex<RepairState>,
    /// Ends the wait for the next try.
    hurry: Arc<Notify>,
}

#[derive(Default)]
struct RepairState {
    /// The ends that failed, the oldest first.
    ends: VecDeque<End>,
    /// `true` if all sessions have to be entered again.
    is_entering_needed: bool,
    /// `true` while a task repairs the store.
    is_scheduled: bool,
}

/// The end of an entry.
#[derive(Clone)]
enum End {
    Leave(PresenceEntry),
    Uncount(Arc<str>, SessionId),
}

/// Sessions that are counted, or asked for. Dropped before the session begins, it takes the count back.
pub(crate) struct CountedSession {
    hub: Hub,
    user: Arc<str>,
    session: SessionId,
    has_begun: bool,
}

impl Hub {
    /// All sessions that are subscribed to a channel, on all nodes, in the order of their ids. In a channel with
    /// [joins and leaves](crate::namespace::Namespace::join_leave) a user whose grace has not passed is still included.
    ///
    /// # Errors
    /// The store of an engine that serves [several hubs](crate::engine::Presence) is unavailable. A hub that is alone knows its
    /// sessions itself.
    pub async fn presence(&self, channel: &ChannelName) -> Result<Vec<Member>, EngineError> {
        let mut members = Vec::new();
        let mut after = None;
        loop {
            let page = self.members(channel, after, usize::MAX).await?;
            after = page.members.last().and_then(|last| last.session.parse().ok());
            members.extend(page.members);
            if !page.more || after.is_none() {
                return Ok(members);
            }
        }
    }

    /// The number of sessions [in](Self::presence) a channel, and the number of their users, on all nodes.
    ///
    /// # Errors
    /// As for [`Self::presence`].
    pub async fn presence_counts(&self, channel: &ChannelName) -> Result<PresenceCounts, EngineError> {
        match self.engine().presence() {
            Some(store) => store.counts(channel).await,
            None => Ok(self.channel_registry().counts(channel)),
        }
    }

    /// The first `limit` [members](Self::presence) of a channel behind `after`, in the order of their sessions, on all nodes.
    ///
    /// # Errors
    /// As for [`Self::presence`].
    pub async fn members(
        &self,
        channel: &ChannelName,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<MemberPage, EngineError> {
        match self.engine().presence() {
            Some(store) => store.members(channel, after, limit).await,
            None => Ok(self.channel_registry().members(channel, after, limit)),
        }
    }

    /// Enters a session in a channel on all nodes, if the engine serves several hubs.
    pub(crate) fn enter_presence(&self, channel: &ChannelName, peer: &Peer) {
        if let Some(store) = self.engine().presence() {
            self.inner.note_entered(store.enter(self.inner.entry(channel, peer)));
        }
    }

    /// Removes a session from a channel on all nodes, if the engine serves several hubs.
    pub(super) fn leave_presence(&self, channel: &ChannelName, peer: &Peer) {
        if self.engine().presence().is_some() {
            self.inner.end_entry(End::Leave(self.inner.entry(channel, peer)));
        }
    }

    /// Counts a session of a user on all nodes. The future returns `None` if the user has `limit` sessions already.
    pub(crate) fn count_session(
        &self,
        store: &dyn Presence,
        user: &Arc<str>,
        session: SessionId,
        limit: u32,
    ) -> impl Future<Output = Result<Option<CountedSession>, EngineError>> + Send + use<> {
        let answer = store.count_session(user, session, limit);
        // A failed count may have taken effect.
        let counted = CountedSession { hub: self.clone(), user: Arc::clone(user), session, has_begun: false };
        async move {
            let is_counted = answer.await?;
            Ok(if is_counted { Some(counted) } else { counted.forget() })
        }
    }

    /// Counts a session that has ended no longer, if the engine serves several hubs.
    pub(crate) fn uncount_session(&self, peer: &Peer) {
        if self.engine().presence().is_some() {
            self.inner.end_entry(End::Uncount(peer.user(), peer.id));
        }
    }
}

impl CountedSession {
    /// The session has begun, and is counted until its end.
    pub(crate) fn begin(mut self) {
        self.has_begun = true;
        self.hub.session_registry().set_counted(self.session);
    }

    /// The session was not counted.
    fn forget(mut self) -> Option<Self> {
        self.has_begun = true;
        None
    }
}

impl Drop for CountedSession {
    fn drop(&mut self) {
        if !self.has_begun {
            self.hub.inner.end_entry(End::Uncount(Arc::clone(&self.user), self.session));
        }
    }
}

impl Inner {
    fn entry(&self, channel: &ChannelName, peer: &Peer) -> PresenceEntry {
        let grace = self.settings.namespaces.of(channel).join_leave;
        PresenceEntry { grace, ..PresenceEntry::new(channel.clone(), peer.id, peer.shown()) }
    }

    /// Watches the answer to an entry.
    fn note_entered(self: &Arc<Self>, answer: EngineFuture<()>) {
        self.watch_answer(answer, |hub| hub.enter_again_later(false));
    }

    /// Ends an entry. After a failure the end is repeated.
    fn end_entry(self: &Arc<Self>, end: End) {
        if let Some(answer) = self.ask_to_end(&end) {
            self.watch_answer(answer, |hub| hub.repeat_later(end));
        }
    }

    fn ask_to_end(&self, end: &End) -> Option<EngineFuture<()>> {
        let store = self.settings.engine.presence()?;
        Some(match end {
            End::Leave(entry) => store.leave(entry.clone()),
            End::Uncount(user, session) => store.uncount_session(user, *session),
        })
    }

    fn watch_answer(
        self: &Arc<Self>,
        mut answer: EngineFuture<()>,
        failed: impl FnOnce(&Arc<Self>) + Send + 'static,
    ) {
        // This wakes nobody: a pending answer is polled again by its task.
        match (&mut answer).now_or_never() {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                report(&error);
                failed(self);
            }
            None => {
                // Without a runtime the process ends.
                let Ok(runtime) = Handle::try_current() else { return };
                let hub = Arc::downgrade(self);
                runtime.spawn(async move {
                    if let Err(error) = answer.await
                        && let Some(hub) = hub.upgrade()
                    {
                        report(&error);
                        failed(&hub);
                    }
                });
            }
        }
    }

    fn repeat_later(self: &Arc<Self>, end: End) {
        let mut state = self.presence.state.lock();
        if state.ends.len() >= MAX_ENDS {
            // After so many the store has ended the presence of this node, or does so soon.
            state.ends.pop_front();
        }
        // The session may have come back into the channel before the failure was known.
        state.is_entering_needed |=
            matches!(&end, End::Leave(entry) if self.sessions.contains(entry.session));
        state.ends.push_back(end);
        self.schedule_repair(&mut state, RETRY);
    }

    /// Enters all sessions again, because the store may have lost some: at once, or a moment after a failure.
    pub(crate) fn enter_again_later(self: &Arc<Self>, at_once: bool) {
        let mut state = self.presence.state.lock();
        state.is_entering_needed = true;
        self.schedule_repair(&mut state, if at_once { Duration::ZERO } else { RETRY });
        if at_once {
            self.presence.hurry.notify_one();
        }
    }

    fn schedule_repair(self: &Arc<Self>, state: &mut RepairState, wait: Duration) {
        if !state.is_scheduled
            && let Ok(runtime) = Handle::try_current()
        {
            state.is_scheduled = true;
            runtime.spawn(repair(Arc::downgrade(self), wait));
        }
    }

    /// Brings the store up to date. Returns `false` if something is left.
    async fn repair_presence(self: &Arc<Self>) -> bool {
        // A request that the store refuses for good holds up nothing else.
        let is_away = |ended: &Result<(), EngineError>| ended.as_ref().is_err_and(EngineError::is_temporary);
        let ended = self.repeat_ends().await;
        let entered = if is_away(&ended) { Ok(()) } else { self.enter_all().await };
        let mut state = self.presence.state.lock();
        state.is_entering_needed |= entered.is_err();
        for error in [ended, entered].into_iter().filter_map(Result::err) {
            report(&error);
        }
        state.is_scheduled = state.is_entering_needed || !state.ends.is_empty();
        !state.is_scheduled
    }

    /// Repeats the ends that failed. Those that fail again stay.
    async fn repeat_ends(&self) -> Result<(), EngineError> {
        let mut result = Ok(());
        let mut left = self.presence.state.lock().ends.len();
        while left > 0 {
            let ends: Vec<End> = {
                let mut state = self.presence.state.lock();
                let count = state.ends.len().min(left).min(AT_ONCE);
                state.ends.drain(..count).collect()
            };
            left = left.saturating_sub(ends.len().max(1));
            let ended = all(ends.iter().filter_map(|end| self.ask_to_end(end)).collect()).await;
            if ended.is_err() {
                self.presence.state.lock().ends.extend(ends);
                keep_going(&mut result, ended)?;
            }
        }
        result
    }

    /// Enters all sessions in their channels, and counts them.
    async fn enter_all(self: &Arc<Self>) -> Result<(), EngineError> {
        if !std::mem::take(&mut self.presence.state.lock().is_entering_needed) {
            return Ok(());
        }
        let Some(store) = self.settings.engine.presence() else { return Ok(()) };
        let mut result = Ok(());
        for channel in self.channels.every() {
            let mut from = Some(0);
            while let Some(next) = from {
                let mut answers = Vec::new();
                // Under the channel's lock: the end of a session comes behind its entry.
                from = channel.visit_sessions(next, AT_ONCE, |peer| {
                    answers.push(store.enter(self.entry(channel.name(), peer)));
                });
                keep_going(&mut result, all(answers).await)?;
            }
            channel.note_missed_moves();
        }
        for peers in self.sessions.counted().chunks(AT_ONCE) {
            let counted = peers.iter().map(|peer| store.count_session(&peer.user(), peer.id, u32::MAX));
            let counted = all(counted.map(|counted| counted.map(drop)).collect()).await;
            // A session that ended meanwhile may have been counted behind its end.
            for peer in peers.iter().filter(|peer| !self.sessions.contains(peer.id)) {
                self.end_entry(End::Uncount(peer.user(), peer.id));
            }
            keep_going(&mut result, counted)?;
        }
        result
    }
}

/// Notes the first error. Only if the store is away, there is no use in going on.
fn keep_going(
    result: &mut Result<(), EngineError>,
    next: Result<(), EngineError>,
) -> Result<(), EngineError> {
    match next {
        Err(error) if error.is_temporary() => Err(error),
        next => {
            if result.is_ok() {
                *result = next;
            }
            Ok(())
        }
    }
}

/// Waits for all answers, and returns the first error.
async fn all(answers: Vec<EngineFuture<()>>) -> Result<(), EngineError> {
    let silent = |_| EngineError::new(EngineErrorKind::Unavailable, "the store of presence did not answer");
    timeout(PATIENCE, join_all(answers)).await.map_err(silent)?.into_iter().collect()
}

/// Brings the store up to date, in several tries if needed.
async fn repair(hub: Weak<Inner>, mut wait: Duration) {
    loop {
        let Some(hurry) = hub.upgrade().map(|hub| Arc::clone(&hub.presence.hurry)) else { return };
        // A hint from the store shortens the wait.
        let hurried = timeout(wait, hurry.notified()).await.is_ok();
        let Some(hub) = hub.upgrade() else { return };
        if hub.repair_presence().await {
            return;
        }
        wait = if hurried { RETRY } else { wait.saturating_mul(2).clamp(RETRY, LONGEST_RETRY) };
    }
}

/// The engine itself reports a temporary state.
fn report(error: &EngineError) {
    if error.is_temporary() {
        tracing::debug!("the presence on all nodes is repaired later: {error}");
    } else {
        tracing::error!("the presence on all nodes is repaired later: {error}");
    }
}

/// The number of requests that wait for answers at once.
const AT_ONCE: usize = 64;

/// The time after a failure until the next try.
const RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(10);

/// The time in which the store has to answer a few requests.
const PATIENCE: Duration = Duration::from_secs(10);

/// The number of failed ends that are repeated.
const MAX_ENDS: usize = 100_000;
