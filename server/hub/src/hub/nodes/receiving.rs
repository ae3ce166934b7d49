//! Receiving messages of other nodes.

use std::collections::HashMap;
use std::sync::Weak;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::message::{Content, NodeMessage};
use super::{MAX_ARRIVING_BYTES, question::Question};
use crate::checked_subtraction::subtract_shared;
use crate::engine::{NODE_EXPIRY, NodeId};
use crate::hub::{Hub, Inner};

impl Inner {
    /// Takes a message of another node. The engine calls this and may hold locks, so a task looks at it later.
    pub(crate) fn node_message(&self, sender: NodeId, message: Bytes) {
        let fleet = &self.fleet;
        let bytes = message.len();
        let before = fleet.arriving_bytes.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > MAX_ARRIVING_BYTES
            || fleet.arrivals.try_send((sender, message)).is_err()
        {
            subtract_shared(&fleet.arriving_bytes, bytes);
            tracing::warn!("a message of the node {sender} is lost: too many are waiting");
        }
    }
}

/// Handles the messages in the order of their arrival, until the hub is gone.
pub(super) async fn receive(hub: Weak<Inner>, mut arrived: mpsc::Receiver<(NodeId, Bytes)>) {
    let mut senders = Senders::default();
    while let Some((sender, message)) = arrived.recv().await {
        let Some(hub) = Hub::upgrade(&hub) else { return };
        subtract_shared(&hub.inner.fleet.arriving_bytes, message.len());
        let Some(message) = NodeMessage::decode(&message) else {
            tracing::debug!(
                "a message of the node {sender} is skipped: it is of another release, or damaged"
            );
            continue;
        };
        if senders.has_missed(sender, &message) {
            hub.inner.missed_messages();
        }
        hub.take_node_message(sender, message.content);
        drop(hub);
        // Many of them must not hold up sessions.
        tokio::task::yield_now().await;
    }
}

/// The number of the last message to all nodes, and its time, for each sender.
#[derive(Default)]
struct Senders(HashMap<NodeId, (u64, Instant)>);

impl Senders {
    /// `true` if earlier messages of this sender to all nodes have not arrived.
    fn has_missed(&mut self, sender: NodeId, NodeMessage { number, is_to_all, .. }: &NodeMessage) -> bool {
        let now = Instant::now();
        let last = self.0.insert(sender, (*number, now));
        if last.is_none() {
            // Nodes that are gone have sent nothing for a long time.
            self.0.retain(|_, (_, heard)| now.saturating_duration_since(*heard) < FORGOTTEN);
        }
        last.is_some_and(|(last, _)| last.wrapping_add(u64::from(*is_to_all)) != *number)
    }
}

impl Hub {
    fn take_node_message(&self, sender: NodeId, content: Content) {
        match content {
            Content::Here => {}
            Content::Question { request, question } => {
                if question == Question::Unknown {
                    tracing::debug!("a question of the node {sender} is of another release, or damaged");
                }
                let answer = self.answer_node(question);
                // A lost answer is missed by its recipient.
                drop(self.inner.send_to_nodes(Some(sender), Content::Answer { request, answer }));
            }
            Content::Answer { request, answer } => self.inner.fleet.answered(sender, request, answer),
            Content::Alarm(news) => self.take_alarm_news(sender, news),
            Content::Unknown { kind } => {
                tracing::debug!("a message of the node {sender} is skipped: its kind is {kind}");
            }
        }
    }
}

/// The time after which a silent sender is forgotten: longer than the life of a node without a report.
const FORGOTTEN: std::time::Duration = NODE_EXPIRY.saturating_mul(4);
