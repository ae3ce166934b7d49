//! A guard around the application's engine: a panic in it is a failed answer.

use std::fmt;

use bytes::Bytes;
use wirehub_common::ChannelName;
use wirehub_common::frame::{HistoryPage, Idempotency, Position};

use super::{
    Attachments, Backup, BackupError, Backups, Delivery, Engine, EngineError, EngineErrorKind, EngineFuture,
    EngineMetric, EnginePublish, Locate, Located, Node, NodeId, NodeReport, Nodes, Presence, PresenceEntry,
    Publications, ReadHistory, Record, RecordKind, Records,
};
use crate::SessionId;
use crate::observe::{MemberPage, PresenceCounts};
use crate::panic_guard::{Panicked, guarded};

/// Guards the methods that sessions call. [`EngineFuture`] guards later answers in the same way.
pub(crate) struct GuardedEngine<E>(pub(crate) E);

impl<E: Engine> fmt::Debug for GuardedEngine<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The guard is no concern of the reader of a log.
        self.0.fmt(f)
    }
}

impl<E: Engine> Engine for GuardedEngine<E> {
    /// Not guarded: a panic reaches the caller that builds the hub.
    fn start(&self, delivery: Delivery) {
        self.0.start(delivery);
    }

    fn ready(&self) -> Result<(), EngineError> {
        guarded(NAME, || self.0.ready()).unwrap_or_else(|panic| Err(panic.into()))
    }

    /// Without figures after a panic.
    fn metrics(&self) -> Vec<EngineMetric> {
        guarded(NAME, || self.0.metrics()).unwrap_or_default()
    }

    fn attachments(&self) -> Option<&dyn Attachments> {
        self.0.attachments().is_some().then_some(self)
    }

    fn records(&self) -> Option<&dyn Records> {
        self.0.records().is_some().then_some(self)
    }

    fn backups(&self) -> Option<&dyn Backups> {
        self.0.backups().is_some().then_some(self)
    }

    fn nodes(&self) -> Option<&dyn Nodes> {
        self.0.nodes().is_some().then_some(self)
    }

    fn presence(&self) -> Option<&dyn Presence> {
        self.0.presence().is_some().then_some(self)
    }

    fn stop(&self) -> EngineFuture<()> {
        guarded(NAME, || self.0.stop()).unwrap_or_else(EngineFuture::from)
    }
}

impl<E: Engine> Publications for GuardedEngine<E> {
    fn idempotency(&self) -> Option<Idempotency> {
        guarded(NAME, || self.0.idempotency()).ok().flatten()
    }

    fn publish(&self, publish: EnginePublish) -> EngineFuture<Option<Position>> {
        guarded(NAME, || self.0.publish(publish)).unwrap_or_else(EngineFuture::from)
    }

    fn locate(&self, locate: Locate) -> EngineFuture<Located> {
        guarded(NAME, || self.0.locate(locate)).unwrap_or_else(EngineFuture::from)
    }

    fn history(&self, read: ReadHistory) -> EngineFuture<Option<HistoryPage>> {
        guarded(NAME, || self.0.history(read)).unwrap_or_else(EngineFuture::from)
    }
}

impl<E: Engine> Attachments for GuardedEngine<E> {
    fn attach(&self, channel: &ChannelName) -> EngineFuture<()> {
        answer(|| Some(self.0.attachments()?.attach(channel)))
    }

    fn detach(&self, channel: &ChannelName) {
        // A panic is logged; there is no answer.
        let _ = guarded(NAME, || self.0.attachments().map(|attachments| attachments.detach(channel)));
    }

    fn probe(&self, number: u64) {
        // A panic is logged, and the probe does not come back.
        let _ = guarded(NAME, || self.0.attachments().map(|attachments| attachments.probe(number)));
    }

    fn renew(&self) -> EngineFuture<()> {
        answer(|| Some(self.0.attachments()?.renew()))
    }

    fn newest(&self, seen: Vec<(ChannelName, Option<Position>)>) -> EngineFuture<Vec<Option<Position>>> {
        answer(|| Some(self.0.attachments()?.newest(seen)))
    }
}

impl<E: Engine> Nodes for GuardedEngine<E> {
    fn own(&self) -> NodeId {
        let own = guarded(NAME, || self.0.nodes().map(Nodes::own));
        own.ok().flatten().unwrap_or(NodeId::from_number(0))
    }

    fn report(&self, report: NodeReport) -> EngineFuture<()> {
        answer(|| Some(self.0.nodes()?.report(report)))
    }

    fn list(&self) -> EngineFuture<Vec<Node>> {
        answer(|| Some(self.0.nodes()?.list()))
    }

    fn send(&self, to: Option<NodeId>, message: Bytes) -> EngineFuture<()> {
        answer(|| Some(self.0.nodes()?.send(to, message)))
    }
}

impl<E: Engine> Presence for GuardedEngine<E> {
    fn enter(&self, entry: PresenceEntry) -> EngineFuture<()> {
        answer(|| Some(self.0.presence()?.enter(entry)))
    }

    fn leave(&self, entry: PresenceEntry) -> EngineFuture<()> {
        answer(|| Some(self.0.presence()?.leave(entry)))
    }

    fn members(
        &self,
        channel: &ChannelName,
        after: Option<SessionId>,
        most: usize,
    ) -> EngineFuture<MemberPage> {
        answer(|| Some(self.0.presence()?.members(channel, after, most)))
    }

    fn counts(&self, channel: &ChannelName) -> EngineFuture<PresenceCounts> {
        answer(|| Some(self.0.presence()?.counts(channel)))
    }

    fn count_session(&self, user: &str, session: SessionId, limit: u32) -> EngineFuture<bool> {
        answer(|| Some(self.0.presence()?.count_session(user, session, limit)))
    }

    fn uncount_session(&self, user: &str, session: SessionId) -> EngineFuture<()> {
        answer(|| Some(self.0.presence()?.uncount_session(user, session)))
    }
}

impl<E: Engine> Records for GuardedEngine<E> {
    fn put(&self, record: Record) -> EngineFuture<()> {
        answer(|| Some(self.0.records()?.put(record)))
    }

    fn remove(&self, kind: RecordKind, key: Bytes) -> EngineFuture<()> {
        answer(|| Some(self.0.records()?.remove(kind, key)))
    }

    fn load(&self, kind: RecordKind) -> EngineFuture<Vec<Record>> {
        answer(|| Some(self.0.records()?.load(kind)))
    }
}

impl<E: Engine> Backups for GuardedEngine<E> {
    fn begin(&self, name: &str) -> Result<(), BackupError> {
        let begun = guarded(NAME, || self.0.backups().map(|backups| backups.begin(name)));
        begun.ok().flatten().unwrap_or(Err(BackupError::System))
    }

    fn latest(&self) -> Option<Backup> {
        guarded(NAME, || self.0.backups()?.latest()).ok().flatten()
    }
}

/// The answer of a part of the engine. A part that has gone meanwhile has nothing to do.
fn answer<T: Default>(ask: impl FnOnce() -> Option<EngineFuture<T>>) -> EngineFuture<T> {
    guarded(NAME, ask).map_or_else(EngineFuture::from, |answer| {
        answer.unwrap_or_else(|| EngineFuture::Now(Ok(T::default())))
    })
}

/// The engine's name in the log.
pub(super) const NAME: &str = "the engine";

impl<T> From<Panicked> for EngineFuture<T> {
    fn from(panic: Panicked) -> Self {
        Self::Now(Err(panic.into()))
    }
}

impl From<Panicked> for EngineError {
    fn from(Panicked: Panicked) -> Self {
        Self::new(EngineErrorKind::Internal, "it panicked")
    }
}
