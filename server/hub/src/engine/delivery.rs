//! The way of publications from an engine to a hub.

use std::fmt;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use wirehub_common::ChannelName;
use wirehub_common::frame::{Movement, Publication, Push, ServerFrame};

use super::NodeId;
use crate::hub::Inner;
use crate::hub::shared_frame::SharedFrame;

/// The name of an epoch, shared by all deliveries of a channel; empty for a channel without history.
pub type Epoch = Arc<str>;

/// The recipient of an engine's accepted publications: the sessions of one hub.
#[derive(Clone)]
pub struct Delivery(DeliveryTarget);

#[derive(Clone)]
enum DeliveryTarget {
    Hub(Weak<Inner>),
    Other(Arc<dyn DeliveryRecipient>),
}

/// A recipient in place of a hub, for an engine around another engine, and for tests. Its methods must not block, and must not
/// call the engine.
pub trait DeliveryRecipient: Send + Sync {
    /// See [`Delivery::deliver`].
    fn deliver(&self, publication: Publication, epoch: &Epoch);

    /// See [`Delivery::probed`].
    fn probed(&self, _number: u64) {}

    /// See [`Delivery::moved`].
    fn moved(&self, _movement: Movement, _is_join: bool) {}

    /// See [`Delivery::interrupted`].
    fn interrupted(&self) {}

    /// See [`Delivery::presence_lost`].
    fn presence_lost(&self) {}

    /// See [`Delivery::node_message`].
    fn node_message(&self, _sender: NodeId, _message: Bytes) {}

    /// See [`Delivery::is_wanted`].
    fn is_wanted(&self, _channel: &ChannelName) -> bool {
        false
    }
}

impl<F: Fn(Publication, &Epoch) + Send + Sync> DeliveryRecipient for F {
    fn deliver(&self, publication: Publication, epoch: &Epoch) {
        self(publication, epoch);
    }
}

impl Delivery {
    pub(crate) fn new(hub: Weak<Inner>) -> Self {
        Self(DeliveryTarget::Hub(hub))
    }

    /// A delivery of publications to a function in place of a hub. The function must not block, and must not call the engine.
    pub fn from_fn(deliver: impl Fn(Publication, &Epoch) + Send + Sync + 'static) -> Self {
        Self::to(deliver)
    }

    /// A delivery to a [recipient](DeliveryRecipient) in place of a hub.
    pub fn to(recipient: impl DeliveryRecipient + 'static) -> Self {
        Self(DeliveryTarget::Other(Arc::new(recipient)))
    }

    fn hub(&self) -> Option<Arc<Inner>> {
        match &self.0 {
            DeliveryTarget::Hub(hub) => hub.upgrade(),
            DeliveryTarget::Other(_) => None,
        }
    }

    fn other(&self) -> Option<&dyn DeliveryRecipient> {
        match &self.0 {
            DeliveryTarget::Hub(_) => None,
            DeliveryTarget::Other(recipient) => Some(&**recipient),
        }
    }

    /// Queues a publication for every subscriber of its channel. Never waits.
    ///
    /// In a channel with history the hub compares epoch and offset with the ones before. A publication that it has had is
    /// dropped. If some are missing, or if the epoch is another, the hub reads the history, and goes on from there.
    pub fn deliver(&self, publication: Publication, epoch: &Epoch) {
        if let Some(other) = self.other() {
            return other.deliver(publication, epoch);
        }
        if let Some(hub) = self.hub() {
            let (channel, offset) = (publication.channel.clone(), publication.offset);
            let mut frame = SharedFrame::new(ServerFrame::Push(Push::Publication(publication)));
            hub.counters.publication();
            if let Some(channel) = hub.channels.find(&channel)
                && channel.deliver(epoch, offset, &mut frame)
            {
                channel.start_repair(&hub);
            }
        }
    }

    /// Takes the number of a [probe](super::Attachments::probe) that has come back.
    pub fn probed(&self, number: u64) {
        if let Some(other) = self.other() {
            return other.probed(number);
        }
        if let Some(hub) = self.hub() {
            hub.probes.returned(number);
        }
    }

    /// Notifies the subscribers of a channel on this node of a join or leave. Never waits. It must not be called within a call
    /// of the engine, because the caller may hold a channel's lock.
    pub fn moved(&self, movement: Movement, is_join: bool) {
        if let Some(other) = self.other() {
            return other.moved(movement, is_join);
        }
        if let Some(hub) = self.hub()
            && let Some(channel) = hub.channels.find(&movement.channel)
        {
            channel.moved(movement.member, is_join);
        }
    }

    /// Deliveries to this hub were interrupted, and arrive again: publications may be missing. The hub compares the positions of
    /// all channels with the [newest](super::Attachments::newest) ones at once, and notifies the subscribers of channels without
    /// history of a gap.
    pub fn interrupted(&self) {
        if let Some(other) = self.other() {
            return other.interrupted();
        }
        if let Some(hub) = self.hub() {
            hub.probes.set_interrupted();
        }
    }

    /// The store may have lost members of this hub: the hub enters all its sessions again.
    pub fn presence_lost(&self) {
        if let Some(other) = self.other() {
            return other.presence_lost();
        }
        if let Some(hub) = self.hub() {
            hub.enter_again_later(true);
        }
    }

    /// Takes a message of another node.
    pub fn node_message(&self, sender: NodeId, message: Bytes) {
        if let Some(other) = self.other() {
            return other.node_message(sender, message);
        }
        if let Some(hub) = self.hub() {
            hub.node_message(sender, message);
        }
    }

    /// `true` if the channel has a subscriber.
    pub fn is_wanted(&self, channel: &ChannelName) -> bool {
        if let Some(other) = self.other() {
            return other.is_wanted(channel);
        }
        self.hub().is_some_and(|hub| hub.channels.find(channel).is_some())
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Delivery")
    }
}
