//! Sending messages to other nodes.

use super::message::{Content, NodeMessage};
use crate::engine::{EngineError, EngineErrorKind, EngineFuture, NodeId};
use crate::hub::Inner;

impl Inner {
    /// Sends a message to one node, or to every other node. A lost message to every node is noticed by its recipients.
    pub(super) fn send_to_nodes(&self, to: Option<NodeId>, content: Content) -> EngineFuture<()> {
        let Some(nodes) = self.nodes() else {
            return EngineFuture::Now(Err(EngineError::new(EngineErrorKind::Internal, "there are no nodes")));
        };
        let mut sent = self.fleet.sent.lock();
        let is_to_all = to.is_none();
        *sent = sent.wrapping_add(u64::from(is_to_all));
        nodes.send(to, NodeMessage { number: *sent, is_to_all, content }.encode())
    }
}
