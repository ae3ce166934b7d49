//! The hubs of other nodes: messages, requests with answers, and the report of this one.
//!
//! A hub whose engine has [`Nodes`] asks every node for what it does not have itself. Every message has the number of messages
//! that its sender has sent to all nodes, so that a recipient notices a lost one with the next, at the latest two seconds later.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};

use self::asking::PendingRequest;
use self::report::Reports;
use super::{Hub, Inner};
use crate::engine::{EngineError, Node, NodeId, NodeReport, Nodes};

mod alarms;
mod answering;
mod asking;
mod lists;
mod message;
mod orders;
mod page;
mod question;
mod receiving;
mod report;
mod sending;

pub use self::orders::OrderError;
pub use self::page::ListPage;

/// The part of a hub for the other nodes. A hub that is alone uses only its id, name and age.
pub(crate) struct Fleet {
    /// `true` if the engine serves several hubs.
    is_shared: bool,
    /// The id of a hub that is alone.
    own: NodeId,
    started: SystemTime,
    is_running: AtomicBool,
    /// `true` from the stop of the engine on.
    is_over: AtomicBool,
    reports: Mutex<Reports>,
    /// The number of messages to all nodes so far. The lock is held while a message is passed to the engine, so that the numbers
    /// have the order of the messages.
    sent: Mutex<u64>,
    /// The number of requests so far.
    requests: AtomicU64,
    pending: Mutex<HashMap<u64, PendingRequest>>,
    arrivals: mpsc::Sender<(NodeId, Bytes)>,
    /// The other end, until a task takes it.
    arrived: Mutex<Option<mpsc::Receiver<(NodeId, Bytes)>>>,
    /// The bytes of the messages in between.
    arriving_bytes: AtomicUsize,
    /// Messages of other nodes may have been lost.
    has_missed: Arc<Notify>,
}

impl Fleet {
    pub(super) fn new(is_shared: bool) -> Self {
        let (arrivals, arrived) = mpsc::channel(MAX_ARRIVING);
        Self {
            is_shared,
            own: NodeId::random().unwrap_or(NodeId::from_number(0)),
            started: SystemTime::now(),
            is_running: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            reports: Mutex::default(),
            sent: Mutex::new(0),
            requests: AtomicU64::new(0),
            pending: Mutex::default(),
            arrivals,
            arrived: Mutex::new(Some(arrived)),
            arriving_bytes: AtomicUsize::new(0),
            has_missed: Arc::default(),
        }
    }
}

impl Hub {
    /// The living nodes, in the order of their ids: the hubs that share the engine. Their figures are at most two seconds old. A
    /// hub whose engine serves no other hubs is the only one.
    ///
    /// # Errors
    /// The engine failed, or its store has not taken reports, so that living nodes may be missing.
    pub async fn nodes(&self) -> Result<Vec<Node>, EngineError> {
        self.start_nodes();
        match self.inner.nodes() {
            Some(nodes) => self.inner.living_nodes(nodes).await,
            None => Ok(vec![Node::new(self.inner.fleet.own, self.inner.report(), SystemTime::now())]),
        }
    }

    /// Starts the tasks for the other nodes, if there is a runtime and they do not run yet.
    pub(crate) fn start_nodes(&self) {
        let fleet = &self.inner.fleet;
        if !fleet.is_shared || fleet.is_running.load(Ordering::Acquire) {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        if fleet.is_running.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Some(arrived) = fleet.arrived.lock().take() {
            runtime.spawn(receiving::receive(self.downgrade(), arrived));
        }
        runtime.spawn(report::report(self.downgrade()));
        runtime.spawn(alarms::share(self.downgrade()));
        runtime.spawn(alarms::catch_up(self.downgrade()));
        self.start_watch();
    }
}

impl Inner {
    /// The engine's nodes, if it serves several hubs.
    fn nodes(&self) -> Option<&dyn Nodes> {
        self.settings.engine.nodes()
    }

    /// The id of this node, if there may be others.
    fn own_node(&self) -> Option<NodeId> {
        self.nodes().map(Nodes::own)
    }

    /// The present state of this node.
    fn report(&self) -> NodeReport {
        let version = env!("CARGO_PKG_VERSION");
        let mut report = NodeReport::new(self.settings.node_name(), version, self.fleet.started);
        report.sessions = wide(self.sessions.count());
        report.channels = wide(self.channels.count());
        report.is_stopping = self.connections.phase() > super::Phase::Running;
        report
    }

    /// This node says nothing any more, because its engine stops.
    pub(super) fn leave_nodes(&self) {
        self.fleet.is_over.store(true, Ordering::Release);
    }

    /// Notes that messages of other nodes may have been lost.
    pub(super) fn missed_messages(&self) {
        if self.fleet.is_shared {
            self.fleet.has_missed.notify_one();
        }
    }
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn narrow(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

impl Drop for Fleet {
    /// Tasks that wait for losses end.
    fn drop(&mut self) {
        self.has_missed.notify_one();
    }
}

/// The maximum number and bytes of received messages that wait for their turn. Later ones are lost, and their senders' next
/// messages show that.
const MAX_ARRIVING: usize = 4096;
const MAX_ARRIVING_BYTES: usize = 64 * 1024 * 1024;

#[cfg(test)]
mod tests;
