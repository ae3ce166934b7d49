//! The nodes of the fleet, and their messages.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use parking_lot::Mutex;
use redis::Value;
use wirehub_hub::engine::{EngineError, EngineFuture, NODE_EXPIRY, Node, NodeId, NodeReport, Nodes};

use crate::command::Command;
use crate::engine::{RedisEngine, Shared};
use crate::error::Error;
use crate::keys::Key;
use crate::message::{bytes, number};
use crate::partition::Partition;
use crate::queue::{answer_of, strange};
use crate::scripts::ScriptName;

impl Nodes for RedisEngine {
    fn own(&self) -> NodeId {
        self.shared.subscriptions.own
    }

    fn report(&self, report: NodeReport) -> EngineFuture<()> {
        let shared = Arc::clone(&self.shared);
        EngineFuture::Later(Box::pin(async move {
            if !shared.report(&report).await? {
                shared.begin_life();
                shared.report(&report).await?;
            }
            Ok(())
        }))
    }

    fn list(&self) -> EngineFuture<Vec<Node>> {
        let shared = Arc::clone(&self.shared);
        EngineFuture::Later(Box::pin(async move {
            let (living, _) = shared.nodes().await.map_err(EngineError::from)?;
            Ok(living)
        }))
    }

    fn send(&self, to: Option<NodeId>, message: Bytes) -> EngineFuture<()> {
        let message = [&b"m"[..], &self.own().number().to_be_bytes(), &message].concat();
        let inbox = self.shared.keys.inbox(Partition::FLEET, to);
        let command = self.shared.publish_command(inbox, &message[..]);
        answer_of(self.shared.queues.push(Partition::FLEET, 0, false, command), |_| Some(()))
    }
}

impl Shared {
    /// Stores a report. Returns `false` if the owner of this node's members counts as dead.
    async fn report(&self, report: &NodeReport) -> Result<bool, Error> {
        let (owner, is_first) = self.owner.report();
        let command = Command::script(ScriptName::Report)
            .key(self.nodes_key())
            .arg(owner)
            .arg(write(self.subscriptions.own, report))
            .arg(NODE_EXPIRY.as_millis())
            .arg(u8::from(is_first));
        let answer = self.ask(command).await.inspect_err(|_| self.owner.has_not_reported(is_first))?;
        Ok(number(&answer).ok_or_else(strange)? == 1)
    }

    /// Goes on with another owner: the members of the present one are lost, or will be removed.
    fn begin_life(&self) {
        tracing::warn!("Redis has lost this node, or took it for dead: its sessions are entered again");
        self.owner.renew();
        self.subscriptions.report_lost_presence();
    }

    pub(crate) fn nodes_key(&self) -> Key<'_, &'static str> {
        self.keys.of_fleet("nodes")
    }

    /// The living nodes, and the dead owners.
    pub(crate) async fn nodes(&self) -> Result<(Vec<Node>, Vec<NodeId>), Error> {
        let command = Command::script(ScriptName::Nodes).key(self.nodes_key());
        let Value::Array(answer) = self.ask(command).await? else { return Err(strange()) };
        let (now, entries) = answer.split_first().ok_or_else(strange)?;
        let now = time_of(number(now).ok_or_else(strange)?);
        let (mut living, mut dead) = (Vec::new(), Vec::new());
        for entry in entries.chunks_exact(2) {
            let [owner, stored] = entry else { continue };
            let owner = std::str::from_utf8(bytes(owner).ok_or_else(strange)?).ok();
            let owner = owner.and_then(|owner| owner.parse().ok()).ok_or_else(strange)?;
            match read(bytes(stored).ok_or_else(strange)?) {
                Some(node) if now.duration_since(node.reported).unwrap_or_default() < NODE_EXPIRY => {
                    living.push(node);
                }
                _ => dead.push(owner),
            }
        }
        // A node with two owners has its newer one first.
        living.sort_unstable_by_key(|node| (node.id, std::cmp::Reverse(node.reported)));
        living.dedup_by_key(|node| node.id);
        Ok((living, dead))
    }
}

/// The owner of this node's members: one for each life of the node.
#[derive(Debug)]
pub(crate) struct Owner(Mutex<OwnerState>);

#[derive(Debug)]
struct OwnerState {
    id: NodeId,
    has_reported: bool,
}

impl Owner {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(OwnerState { id: NodeId::from_number(crate::random()), has_reported: false }))
    }

    pub(crate) fn id(&self) -> NodeId {
        self.0.lock().id
    }

    fn renew(&self) {
        *self.0.lock() = OwnerState { id: NodeId::from_number(crate::random()), has_reported: false };
    }

    /// The owner, and `true` for its first report.
    fn report(&self) -> (NodeId, bool) {
        let mut state = self.0.lock();
        (state.id, !std::mem::replace(&mut state.has_reported, true))
    }

    /// A report has failed.
    fn has_not_reported(&self, was_first: bool) {
        if was_first {
            self.0.lock().has_reported = false;
        }
    }
}

/// A report as it is stored. A later version may add lines.
fn write(own: NodeId, report: &NodeReport) -> String {
    let line = |text: &str| text.replace(char::is_control, " ");
    let started = report.started.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let (name, version) = (line(&report.name), line(&report.version));
    let stopping = u8::from(report.is_stopping);
    format!("{own}\n{started}\n{}\n{}\n{stopping}\n{version}\n{name}", report.sessions, report.channels)
}

/// A stored report: the time of the store, a space, and the report.
fn read(stored: &[u8]) -> Option<Node> {
    let (reported, report) = std::str::from_utf8(stored).ok()?.split_once(' ')?;
    let mut lines = report.split('\n');
    let id = lines.next()?.parse().ok()?;
    let started = time_of(lines.next()?.parse().ok()?);
    let (sessions, channels) = (lines.next()?.parse().ok()?, lines.next()?.parse().ok()?);
    let is_stopping = lines.next()? == "1";
    let (version, name) = (lines.next()?, lines.next()?);
    let mut report = NodeReport::new(name, version, started);
    (report.sessions, report.channels, report.is_stopping) = (sessions, channels, is_stopping);
    Some(Node::new(id, report, time_of(reported.parse().ok()?)))
}

fn time_of(milliseconds: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_millis(milliseconds)).unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_as_it_was_written() {
        let mut report = NodeReport::new("node\n1", "0.2.0", time_of(123));
        (report.sessions, report.channels, report.is_stopping) = (4, 5, true);
        let id = NodeId::from_number(7);
        let node = read(format!("999 {}", write(id, &report)).as_bytes()).unwrap();
        assert_eq!((node.id, node.reported), (id, time_of(999)));
        report.name = "node 1".into();
        assert_eq!(node.report, report);
        assert_eq!(read(b"damaged"), None);
    }
}
