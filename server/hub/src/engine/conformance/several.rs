//! Publications, attachments, nodes and presence of several nodes with one store.
//!
//! The checks may run in real time at a store behind a network. So they wait for what has to happen, with a generous deadline,
//! and watch for a while what must not happen.

use std::sync::Arc;
use std::thread::{self, ThreadId};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use wirehub_common::frame::{Movement, Position, Publication};
use wirehub_common::{ChannelName, Payload};

use super::{KEPT, message, name, number_of};
use crate::engine::{
    Attachments, Delivery, DeliveryRecipient, Engine, EngineFuture, EnginePublish, Epoch, Locate, Located,
    NodeId, NodeReport, Nodes, Presence, ReadHistory,
};

mod attachments;
mod nodes;
mod presence;
mod publications;
#[cfg(test)]
mod tests;

/// Checks the publications of several nodes. `make` returns nodes with one new store each time, without the channels and keys
/// of earlier ones.
///
/// # Panics
/// The engine breaks a promise, or fails.
pub async fn check_several<E: Engine>(make: impl AsyncFn(usize) -> Vec<E>) {
    publications::check(&make).await;
}

/// Checks the promises of [`Attachments`]. `make` is that of [`check_several`].
///
/// # Panics
/// The engine breaks a promise, or fails.
pub async fn check_attachments<E: Engine>(make: impl AsyncFn(usize) -> Vec<E>) {
    attachments::check(&make).await;
}

/// Checks the promises of [`Nodes`]. `make` is that of [`check_several`]. Takes about a minute.
///
/// # Panics
/// The engine breaks a promise, or fails.
pub async fn check_nodes<E: Engine>(make: impl AsyncFn(usize) -> Vec<E>) {
    nodes::check(&make).await;
}

/// Checks the promises of [`Presence`]. `make` is that of [`check_several`]. Takes about a minute.
///
/// # Panics
/// The engine breaks a promise, or fails.
pub async fn check_presence<E: Engine>(make: impl AsyncFn(usize) -> Vec<E>) {
    presence::check(&make).await;
}

/// A node, and what has arrived at its hub.
struct Node<E> {
    engine: Arc<E>,
    arrived: Arc<Arrived>,
    /// The signs of life.
    reports: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Arrived {
    publications: Mutex<Vec<(Publication, String)>>,
    moves: Mutex<Vec<(Movement, bool)>>,
    messages: Mutex<Vec<(NodeId, Bytes)>>,
    probes: Mutex<Vec<u64>>,
    /// The number of times that presence was lost.
    losses: Mutex<usize>,
    /// The thread that is in a call of presence.
    calling: Mutex<Option<ThreadId>>,
}

/// Makes nodes that are ready and report.
async fn nodes<E: Engine, const N: usize>(make: &impl AsyncFn(usize) -> Vec<E>) -> [Node<E>; N] {
    let mut nodes = Vec::new();
    for engine in make(N).await {
        nodes.push(Node::start(engine).await);
    }
    for node in &mut nodes {
        node.report_on().await;
    }
    let Ok(nodes) = nodes.try_into() else { panic!("there are as many nodes as were asked for") };
    nodes
}

impl<E: Engine> Node<E> {
    async fn start(engine: E) -> Self {
        let (engine, arrived) = (Arc::new(engine), Arc::new(Arrived::default()));
        engine.start(Delivery::to(Recipient(Arc::clone(&arrived))));
        until("the engine is ready", || engine.ready().is_ok()).await;
        Self { engine, arrived, reports: None }
    }

    fn nodes(&self) -> &dyn Nodes {
        self.engine.nodes().expect("an engine of several hubs has nodes")
    }

    fn presence(&self) -> &dyn Presence {
        self.engine.presence().expect("an engine of several hubs has presence")
    }

    fn attachments(&self) -> &dyn Attachments {
        self.engine.attachments().expect("an engine of several hubs has attachments")
    }

    /// Reports as a hub does, until [`Self::fall_silent`].
    async fn report_on(&mut self) {
        if self.engine.nodes().is_none() {
            return;
        }
        self.nodes().report(report("node")).await.expect("the engine works");
        let engine = Arc::clone(&self.engine);
        self.reports = Some(tokio::spawn(async move {
            loop {
                sleep(Duration::from_secs(2)).await;
                if let Some(nodes) = engine.nodes() {
                    // A failure shows in what is checked.
                    let _ = nodes.report(report("node")).await;
                }
            }
        }));
    }

    /// The node reports no more.
    fn fall_silent(&mut self) {
        if let Some(reports) = self.reports.take() {
            reports.abort();
        }
    }

    async fn attach(&self, channel: &str) {
        self.attachments().attach(&name(channel)).await.expect("the engine works");
    }

    /// Publishes a number in a channel with a history of five.
    async fn publish(&self, channel: &str, number: u64, key: &str) -> Position {
        let position = self.engine.publish(message(channel, number, key)).await;
        position.expect("the engine works").expect("the channel keeps history")
    }

    /// Publishes a number in a channel without history.
    fn tell(&self, channel: &str, number: u64) -> EngineFuture<Option<Position>> {
        self.engine.publish(EnginePublish::new(name(channel), Payload::json(number.to_string())))
    }

    async fn locate(&self, channel: &str, since: Option<Position>) -> Located {
        let locate = Locate { channel: name(channel), history: KEPT, since };
        self.engine.locate(locate).await.expect("the engine works")
    }

    /// The numbers in the history of a channel.
    async fn kept(&self, channel: &str) -> Vec<u64> {
        let (channel, history, bytes) = (name(channel), KEPT, 1000);
        let read = ReadHistory { channel, history, since: None, limit: 100, bytes, reverse: false };
        let page = self.engine.history(read).await.expect("the engine works").expect("it is there");
        page.publications.iter().map(number_of).collect()
    }

    /// The offsets and numbers of the deliveries in a channel.
    fn delivered_in(&self, channel: &str) -> Vec<(u64, u64)> {
        let delivered = self.arrived.publications.lock();
        let of_channel = delivered.iter().filter(|(publication, _)| publication.channel.as_str() == channel);
        of_channel.map(|(publication, _)| (publication.offset, number_of(publication))).collect()
    }

    /// The numbers of the deliveries in a channel.
    fn heard_in(&self, channel: &str) -> Vec<u64> {
        self.delivered_in(channel).into_iter().map(|(_, number)| number).collect()
    }
}

impl<E> Drop for Node<E> {
    fn drop(&mut self) {
        if let Some(reports) = &self.reports {
            reports.abort();
        }
    }
}

struct Recipient(Arc<Arrived>);

impl DeliveryRecipient for Recipient {
    fn deliver(&self, publication: Publication, epoch: &Epoch) {
        self.0.publications.lock().push((publication, epoch.to_string()));
    }

    fn probed(&self, number: u64) {
        self.0.probes.lock().push(number);
    }

    fn moved(&self, movement: Movement, is_join: bool) {
        let calling = *self.0.calling.lock();
        assert_ne!(calling, Some(thread::current().id()), "joins and leaves do not arrive within a call");
        self.0.moves.lock().push((movement, is_join));
    }

    fn presence_lost(&self) {
        *self.0.losses.lock() += 1;
    }

    fn node_message(&self, sender: NodeId, message: Bytes) {
        self.0.messages.lock().push((sender, message));
    }

    fn is_wanted(&self, _channel: &ChannelName) -> bool {
        true
    }
}

fn report(name: &str) -> NodeReport {
    NodeReport::new(name, "1.2.3", SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123))
}

/// Waits until something has happened.
async fn until(what: &str, mut has_happened: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !has_happened() {
        assert!(Instant::now() < deadline, "{what}");
        sleep(LOOK).await;
    }
}

/// Waits until something of the engine's answers has happened.
async fn until_answered(what: &str, has_happened: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !has_happened().await {
        assert!(Instant::now() < deadline, "{what}");
        sleep(LOOK).await;
    }
}

/// Watches for a while that something stays so.
async fn stays(what: &str, time: Duration, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        assert!(is_so(), "{what}");
        sleep(LOOK).await;
    }
}

/// The time in which something has to happen beyond its own time.
const DEADLINE: Duration = Duration::from_secs(30);

/// The time between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// The time for which something is watched that must not happen.
const WHILE: Duration = Duration::from_millis(300);
