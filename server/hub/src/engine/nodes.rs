//! The hubs that share a store.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::EngineFuture;

/// The nodes of an engine that serves several hubs: each hub is a node. They exchange messages by way of the store.
///
/// # Promises
/// 1. **Order.** The messages of one node arrive at another in the order of its calls of [`send`](Self::send), each at most once.
///    They arrive at [`Delivery::node_message`](super::Delivery::node_message).
/// 2. **Failure.** A message may be lost with a connection, also if it was answered. The hub repeats what must not be lost.
/// 3. **Life.** A node is [listed](Self::list) while it [reports](Self::report). A node without a report for [`NODE_EXPIRY`] is
///    not listed, and its [presence](super::Presence) ends. If this happens to a node that is alive, such as after a long pause,
///    the engine calls [`Delivery::presence_lost`](super::Delivery::presence_lost).
/// 4. **Stop.** A node whose engine has [stopped](super::Engine::stop) is listed no longer. Otherwise every request to the nodes
///    would wait for its answer until it expires.
pub trait Nodes: Send + Sync {
    /// The id of this node. It never changes, and no other node has ever had it.
    fn own(&self) -> NodeId;

    /// Publishes the present state of this node. The hub calls it every two seconds as the node's sign of life.
    fn report(&self, report: NodeReport) -> EngineFuture<()>;

    /// The living nodes, in the order of their ids. This node is among them after its first report.
    fn list(&self) -> EngineFuture<Vec<Node>>;

    /// Sends a message to one node, or to every other node. The answer comes when the store has taken it.
    fn send(&self, to: Option<NodeId>, message: Bytes) -> EngineFuture<()>;
}

/// The time after its last report at which a node counts as dead.
pub const NODE_EXPIRY: Duration = Duration::from_secs(15);

/// The id of a node: 64 random bits, written as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u64);

/// A living node.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Node {
    /// Its id.
    pub id: NodeId,
    /// Its last report.
    pub report: NodeReport,
    /// The time of that report by the clock of the store.
    pub reported: SystemTime,
}

/// The state of a node, as it reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeReport {
    /// The name of the machine or container, for people.
    pub name: String,
    /// The version of the server.
    pub version: String,
    /// The time at which the hub was built, by the node's own clock.
    pub started: SystemTime,
    /// The number of connected sessions.
    pub sessions: u64,
    /// The number of channels with subscribers on this node.
    pub channels: u64,
    /// `true` while the node takes no new connections, because it stops.
    pub is_stopping: bool,
}

impl NodeId {
    /// A new id; an error if the system has no entropy.
    ///
    /// # Errors
    /// The system has no entropy.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes)?;
        Ok(Self(u64::from_be_bytes(bytes)))
    }

    /// The id with this number.
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The number of the id.
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl Node {
    /// A node with its last report.
    pub fn new(id: NodeId, report: NodeReport, reported: SystemTime) -> Self {
        Self { id, report, reported }
    }
}

impl NodeReport {
    /// The report of a node without sessions.
    pub fn new(name: impl Into<String>, version: impl Into<String>, started: SystemTime) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            started,
            sessions: 0,
            channels: 0,
            is_stopping: false,
        }
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for NodeId {
    type Err = NodeIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_written_so = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = is_written_so.then(|| u64::from_str_radix(text, 16).ok()).flatten();
        number.map(Self).ok_or(NodeIdError)
    }
}

/// The text is not a [`NodeId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeIdError;

impl fmt::Display for NodeIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a node id is 16 hexadecimal digits: take it from the list of nodes")
    }
}

impl std::error::Error for NodeIdError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_and_survive_being_written() {
        let (one, other) = (NodeId::random().unwrap(), NodeId::random().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.to_string().parse(), Ok(one));
        assert_eq!(NodeId::from_number(255).to_string(), "00000000000000ff");
        for bad in ["", "ff", "+0000000000000ff", "00000000000000fg", "00000000000000ff0"] {
            assert_eq!(bad.parse::<NodeId>(), Err(NodeIdError), "{bad}");
        }
    }
}
