//! A store in memory that several hubs share, for tests.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use tokio::runtime::Handle;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until};
use wirehub_common::ChannelName;
use wirehub_common::frame::{HistoryPage, Idempotency, Movement, Position, Publication};

use self::members::{FleetMembers, FleetMove};
use super::{
    Attachments, Delivery, DeliveryRecipient, Engine, EngineError, EngineErrorKind, EngineFuture,
    EnginePublish, Epoch, Locate, Located, MemoryEngine, NODE_EXPIRY, Node, NodeId, NodeReport, Nodes,
    Presence, PresenceEntry, Publications, ReadHistory, Record, RecordKind, Records,
};
use crate::SessionId;
use crate::namespace::History;
use crate::observe::{MemberPage, PresenceCounts};

mod members;

/// A store in memory that several hubs of one process share: each [node](Self::node) is the engine of one hub. It keeps the
/// promises of every trait of engines, and its nodes can [die](MemoryNode::kill) and [lose their connection](MemoryNode::cut).
///
/// Its time is that of tokio, so it can be virtual. Clones are the same store.
#[derive(Clone)]
pub struct MemoryFleet(Arc<Fleet>);

/// A node of a [`MemoryFleet`]. Clones are the same node: one for the hub, and one for the test.
#[derive(Clone)]
pub struct MemoryNode {
    fleet: Arc<Fleet>,
    id: NodeId,
}

struct Fleet {
    /// The publications of all nodes. It delivers under its own locks, so it is never called under the lock of the state.
    memory: MemoryEngine,
    state: Mutex<FleetState>,
    /// The numbers of nodes, if the system has no entropy.
    nodes: AtomicU64,
}

#[derive(Default)]
struct FleetState {
    nodes: BTreeMap<NodeId, NodeState>,
    members: FleetMembers,
    records: BTreeMap<(RecordKind, Bytes), Record>,
    refuses_reports: bool,
    /// The time at which a task checks what has expired.
    scheduled: Option<Instant>,
}

struct NodeState {
    delivery: Option<Delivery>,
    connection: Connection,
    latency: Duration,
    attached: HashSet<ChannelName>,
    last_report: Option<(NodeReport, SystemTime)>,
    /// The time at which the node counts as dead.
    expires: Instant,
    /// `true` after its presence has ended.
    is_expired: bool,
    /// The arrivals on their way to the hub, besides publications.
    arriving: VecDeque<Arrival>,
    /// `true` while a task hands it over.
    is_arriving: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Connection {
    Alive,
    Cut,
    Killed,
}

enum Arrival {
    Probe(u64),
    Moved(Movement, bool),
    PresenceLost,
    Interrupted,
    Message(NodeId, Bytes),
}

impl MemoryFleet {
    /// An empty store without nodes.
    pub fn new() -> Self {
        let fleet = Arc::new(Fleet {
            memory: MemoryEngine::new(),
            state: Mutex::default(),
            nodes: AtomicU64::new(1),
        });
        fleet.memory.start(Delivery::to(Carrier(Arc::downgrade(&fleet))));
        Self(fleet)
    }

    /// A new node. Its life begins now: without a report it ends after [`NODE_EXPIRY`].
    pub fn node(&self) -> MemoryNode {
        let fallback = || NodeId::from_number(self.0.nodes.fetch_add(1, Ordering::Relaxed));
        let id = NodeId::random().unwrap_or_else(|_| fallback());
        let node = NodeState {
            delivery: None,
            connection: Connection::Alive,
            latency: Duration::ZERO,
            attached: HashSet::new(),
            last_report: None,
            expires: members::behind(Instant::now(), NODE_EXPIRY),
            is_expired: false,
            arriving: VecDeque::new(),
            is_arriving: false,
        };
        let mut state = self.0.state.lock();
        state.nodes.insert(id, node);
        self.0.schedule(&mut state);
        drop(state);
        MemoryNode { fleet: Arc::clone(&self.0), id }
    }

    /// From now on the store refuses the reports of nodes, as one does whose memory is full; or it takes them again.
    pub fn refuse_reports(&self, refuses: bool) {
        self.0.state.lock().refuses_reports = refuses;
    }
}

impl MemoryNode {
    /// The node dies: every request fails, and nothing is delivered to its hub any more. [`NODE_EXPIRY`] after its last report
    /// it is no longer listed, and its presence ends.
    pub fn kill(&self) {
        self.disconnect(Connection::Killed);
    }

    /// The connection to the store fails: every request fails, and what would be delivered is lost.
    pub fn cut(&self) {
        self.disconnect(Connection::Cut);
    }

    /// The connection works again after a [cut](Self::cut), with the same attached channels. The hub is notified that deliveries
    /// were [interrupted](Delivery::interrupted).
    pub fn heal(&self) {
        self.with(|node| {
            if node.connection == Connection::Cut {
                node.connection = Connection::Alive;
                self.fleet.post(self.id, node, Arrival::Interrupted);
            }
        });
    }

    /// Sets the time after which the node's requests are answered. Their order is that of the calls, and they take effect at
    /// once. Default: zero, which is still later than the return of the call.
    pub fn set_latency(&self, latency: Duration) {
        self.with(|node| node.latency = latency);
    }

    /// The channels that are attached.
    pub fn attached(&self) -> Vec<ChannelName> {
        self.with(|node| node.attached.iter().cloned().collect()).unwrap_or_default()
    }

    fn disconnect(&self, connection: Connection) {
        self.with(|node| {
            if node.connection != Connection::Killed {
                node.connection = connection;
            }
            node.arriving.clear();
        });
    }

    fn with<T>(&self, act: impl FnOnce(&mut NodeState) -> T) -> Option<T> {
        self.fleet.state.lock().nodes.get_mut(&self.id).map(act)
    }

    /// Carries out a request under the lock of the state. The answer comes later.
    fn ask<T: Send + Unpin + 'static>(&self, act: impl FnOnce(&mut FleetState) -> T) -> EngineFuture<T> {
        match self.fleet.connected(self.id) {
            Ok((mut state, latency)) => {
                let answer = act(&mut state);
                self.fleet.schedule(&mut state);
                later(EngineFuture::Now(Ok(answer)), latency)
            }
            Err(error) => EngineFuture::Now(Err(error)),
        }
    }

    /// Passes a request to the engine of publications. The answer comes later.
    fn pass<T: Send + Unpin + 'static>(
        &self,
        request: impl FnOnce(&MemoryEngine) -> EngineFuture<T>,
    ) -> EngineFuture<T> {
        match self.fleet.connected(self.id).map(|(_, latency)| latency) {
            Ok(latency) => later(request(&self.fleet.memory), latency),
            Err(error) => EngineFuture::Now(Err(error)),
        }
    }
}

/// The same answer some time later.
fn later<T: Send + Unpin + 'static>(answer: EngineFuture<T>, latency: Duration) -> EngineFuture<T> {
    EngineFuture::Later(Box::pin(async move {
        yield_now().await;
        if !latency.is_zero() {
            sleep(latency).await;
        }
        answer.await
    }))
}

impl Fleet {
    /// The state, if a node is connected, with its latency.
    fn connected(
        self: &Arc<Self>,
        node: NodeId,
    ) -> Result<(MutexGuard<'_, FleetState>, Duration), EngineError> {
        let mut state = self.state.lock();
        self.tidy(&mut state, Instant::now());
        match state.nodes.get(&node) {
            Some(NodeState { connection: Connection::Alive, latency, .. }) => {
                let latency = *latency;
                Ok((state, latency))
            }
            _ => {
                Err(EngineError::new(EngineErrorKind::Unavailable, "the node has no connection to its store"))
            }
        }
    }

    /// The newest position of a channel.
    fn newest(&self, channel: &ChannelName) -> Option<Position> {
        let (channel, history) = (channel.clone(), History::new(0, Duration::ZERO));
        let read = ReadHistory { channel, history, since: None, limit: 0, bytes: 0, reverse: true };
        match self.memory.history(read) {
            EngineFuture::Now(Ok(page)) => page.map(|page| page.position),
            _ => None,
        }
    }

    /// Ends what has expired: nodes, and graces.
    fn tidy(self: &Arc<Self>, state: &mut FleetState, now: Instant) {
        let mut moves = Vec::new();
        let FleetState { nodes, members, .. } = state;
        for (id, node) in nodes {
            if node.expires <= now && !node.is_expired {
                node.is_expired = true;
                moves.extend(members.end_node(*id, now));
            }
        }
        moves.extend(members.expire(now));
        for movement in moves {
            self.notify(state, &movement);
        }
    }

    /// Lets a task tidy at the next time at which something expires.
    fn schedule(self: &Arc<Self>, state: &mut FleetState) {
        let nodes = state.nodes.values().filter(|node| !node.is_expired).map(|node| node.expires);
        let Some(due) = nodes.chain(state.members.next_expiry()).min() else { return };
        if state.scheduled.is_none_or(|scheduled| due < scheduled)
            && let Ok(runtime) = Handle::try_current()
        {
            state.scheduled = Some(due);
            let fleet = Arc::downgrade(self);
            runtime.spawn(async move {
                sleep_until(due).await;
                let Some(fleet) = fleet.upgrade() else { return };
                let mut state = fleet.state.lock();
                state.scheduled = state.scheduled.filter(|scheduled| *scheduled != due);
                fleet.tidy(&mut state, Instant::now());
                fleet.schedule(&mut state);
            });
        }
    }

    /// Sends a join or leave to the hubs to which its channel is attached.
    fn notify(self: &Arc<Self>, state: &mut FleetState, FleetMove { movement, is_join }: &FleetMove) {
        for (id, node) in &mut state.nodes {
            if node.attached.contains(&movement.channel) {
                self.post(*id, node, Arrival::Moved(movement.clone(), *is_join));
            }
        }
    }

    /// Sends something to a hub. It arrives in a task of its own: the sender may hold locks that the recipient takes.
    fn post(self: &Arc<Self>, id: NodeId, node: &mut NodeState, arrival: Arrival) {
        let (Connection::Alive, Ok(runtime)) = (node.connection, Handle::try_current()) else { return };
        node.arriving.push_back(arrival);
        if !std::mem::replace(&mut node.is_arriving, true) {
            runtime.spawn(hand_over(Arc::downgrade(self), id));
        }
    }

    /// The next thing that arrives at a hub.
    fn next_arrival(&self, id: NodeId) -> Option<(Delivery, Arrival)> {
        let mut state = self.state.lock();
        let node = state.nodes.get_mut(&id)?;
        let next = node.arriving.pop_front().zip(node.delivery.clone());
        node.is_arriving = next.is_some();
        next.map(|(arrival, delivery)| (delivery, arrival))
    }
}

async fn hand_over(fleet: Weak<Fleet>, id: NodeId) {
    while let Some((delivery, arrival)) = fleet.upgrade().and_then(|fleet| fleet.next_arrival(id)) {
        match arrival {
            Arrival::Probe(number) => delivery.probed(number),
            Arrival::Moved(movement, is_join) => delivery.moved(movement, is_join),
            Arrival::PresenceLost => delivery.presence_lost(),
            Arrival::Interrupted => delivery.interrupted(),
            Arrival::Message(sender, message) => delivery.node_message(sender, message),
        }
    }
}

/// Carries publications to the hubs to which their channels are attached.
struct Carrier(Weak<Fleet>);

impl DeliveryRecipient for Carrier {
    fn deliver(&self, publication: Publication, epoch: &Epoch) {
        let Some(fleet) = self.0.upgrade() else { return };
        let deliveries: Vec<Delivery> = {
            let state = fleet.state.lock();
            let wanting = state.nodes.values().filter(|node| {
                node.connection == Connection::Alive && node.attached.contains(&publication.channel)
            });
            wanting.filter_map(|node| node.delivery.clone()).collect()
        };
        for delivery in deliveries {
            delivery.deliver(publication.clone(), epoch);
        }
    }

    fn is_wanted(&self, channel: &ChannelName) -> bool {
        let is_attached =
            |fleet: Arc<Fleet>| fleet.state.lock().nodes.values().any(|node| node.attached.contains(channel));
        self.0.upgrade().is_some_and(is_attached)
    }
}

impl Engine for MemoryNode {
    fn start(&self, delivery: Delivery) {
        // Only the first hub is served.
        self.with(|node| node.delivery.get_or_insert(delivery).clone());
    }

    fn ready(&self) -> Result<(), EngineError> {
        self.fleet.connected(self.id).map(drop)
    }

    fn attachments(&self) -> Option<&dyn Attachments> {
        Some(self)
    }

    fn records(&self) -> Option<&dyn Records> {
        Some(self)
    }

    fn nodes(&self) -> Option<&dyn Nodes> {
        Some(self)
    }

    fn presence(&self) -> Option<&dyn Presence> {
        Some(self)
    }

    /// The node ends at once.
    fn stop(&self) -> EngineFuture<()> {
        let now = Instant::now();
        let stopped = self.ask(|state| {
            if let Some(node) = state.nodes.get_mut(&self.id) {
                node.expires = now;
            }
            self.fleet.tidy(state, now);
        });
        self.kill();
        stopped
    }
}

impl Publications for MemoryNode {
    fn idempotency(&self) -> Option<Idempotency> {
        self.fleet.memory.idempotency()
    }

    fn publish(&self, publish: EnginePublish) -> EngineFuture<Option<Position>> {
        self.pass(|memory| memory.publish(publish))
    }

    fn locate(&self, locate: Locate) -> EngineFuture<Located> {
        self.pass(|memory| memory.locate(locate))
    }

    fn history(&self, read: ReadHistory) -> EngineFuture<Option<HistoryPage>> {
        self.pass(|memory| memory.history(read))
    }
}

impl Attachments for MemoryNode {
    fn attach(&self, channel: &ChannelName) -> EngineFuture<()> {
        self.ask(|state| {
            if let Some(node) = state.nodes.get_mut(&self.id) {
                node.attached.insert(channel.clone());
            }
        })
    }

    fn detach(&self, channel: &ChannelName) {
        self.with(|node| node.attached.remove(channel));
    }

    fn probe(&self, number: u64) {
        self.with(|node| self.fleet.post(self.id, node, Arrival::Probe(number)));
    }

    fn renew(&self) -> EngineFuture<()> {
        self.ask(|_| ())
    }

    fn newest(&self, seen: Vec<(ChannelName, Option<Position>)>) -> EngineFuture<Vec<Option<Position>>> {
        if let Err(error) = self.fleet.connected(self.id) {
            return EngineFuture::Now(Err(error));
        }
        let newest = seen.into_iter().map(|(channel, seen)| {
            let newest = self.fleet.newest(&channel);
            match (&newest, seen) {
                (Some(newest), Some(seen)) if newest.epoch == seen.epoch && newest.offset < seen.offset => {
                    while !self.fleet.memory.begin_epoch(&channel) {
                        thread::yield_now();
                    }
                    self.fleet.newest(&channel)
                }
                _ => newest.filter(|newest| newest.offset > 0),
            }
        });
        let newest = newest.collect();
        self.ask(|_| newest)
    }
}

impl Records for MemoryNode {
    fn put(&self, record: Record) -> EngineFuture<()> {
        self.ask(|state| drop(state.records.insert((record.kind, record.key.clone()), record)))
    }

    fn remove(&self, kind: RecordKind, key: Bytes) -> EngineFuture<()> {
        self.ask(|state| drop(state.records.remove(&(kind, key))))
    }

    fn load(&self, kind: RecordKind) -> EngineFuture<Vec<Record>> {
        let now = SystemTime::now();
        self.ask(|state| {
            state.records.retain(|_, record| record.expires > now);
            state.records.values().filter(|record| record.kind == kind).cloned().collect()
        })
    }
}

impl Nodes for MemoryNode {
    fn own(&self) -> NodeId {
        self.id
    }

    fn report(&self, report: NodeReport) -> EngineFuture<()> {
        let taken = self.ask(|state| {
            if state.refuses_reports {
                return false;
            }
            self.live_on(state);
            if let Some(node) = state.nodes.get_mut(&self.id) {
                node.expires = members::behind(Instant::now(), NODE_EXPIRY);
                node.last_report = Some((report, SystemTime::now()));
            }
            true
        });
        EngineFuture::Later(Box::pin(async move {
            let refused = || EngineError::new(EngineErrorKind::Unavailable, "the store takes no reports");
            taken.await?.then_some(()).ok_or_else(refused)
        }))
    }

    fn list(&self) -> EngineFuture<Vec<Node>> {
        self.ask(|state| {
            let living = state.nodes.iter().filter(|(_, node)| !node.is_expired);
            let reported = living.filter_map(|(id, node)| Some((*id, node.last_report.clone()?)));
            reported.map(|(id, (report, reported))| Node::new(id, report, reported)).collect()
        })
    }

    fn send(&self, to: Option<NodeId>, message: Bytes) -> EngineFuture<()> {
        self.ask(|state| {
            for (id, node) in &mut state.nodes {
                if to.map_or(*id != self.id, |to| *id == to) {
                    self.fleet.post(*id, node, Arrival::Message(self.id, message.clone()));
                }
            }
        })
    }
}

impl MemoryNode {
    /// Begins the node's life again, if it has ended while the node was alive.
    fn live_on(&self, state: &mut FleetState) {
        if let Some(node) = state.nodes.get_mut(&self.id)
            && std::mem::take(&mut node.is_expired)
        {
            node.expires = members::behind(Instant::now(), NODE_EXPIRY);
            self.fleet.post(self.id, node, Arrival::PresenceLost);
        }
    }
}

impl Presence for MemoryNode {
    fn enter(&self, entry: PresenceEntry) -> EngineFuture<()> {
        self.ask(|state| {
            self.live_on(state);
            if let Some(join) = state.members.enter(self.id, entry) {
                self.fleet.notify(state, &join);
            }
        })
    }

    fn leave(&self, entry: PresenceEntry) -> EngineFuture<()> {
        self.ask(|state| {
            if let Some(leave) = state.members.leave(&entry.channel, entry.session, Instant::now()) {
                self.fleet.notify(state, &leave);
            }
        })
    }

    fn members(
        &self,
        channel: &ChannelName,
        after: Option<SessionId>,
        most: usize,
    ) -> EngineFuture<MemberPage> {
        self.ask(|state| state.members.page(channel, after, most))
    }

    fn counts(&self, channel: &ChannelName) -> EngineFuture<PresenceCounts> {
        self.ask(|state| state.members.counts(channel))
    }

    fn count_session(&self, user: &str, session: SessionId, limit: u32) -> EngineFuture<bool> {
        self.ask(|state| {
            self.live_on(state);
            state.members.count(self.id, user.into(), session, limit)
        })
    }

    fn uncount_session(&self, user: &str, session: SessionId) -> EngineFuture<()> {
        self.ask(|state| state.members.uncount(user, session))
    }
}

impl Default for MemoryFleet {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryFleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryFleet").field("nodes", &self.0.state.lock().nodes.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for MemoryNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryNode").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
