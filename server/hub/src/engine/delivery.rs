//! The way of publications from an engine to a hub.

use std::fmt;
use std::sync::{Arc, Weak};

use wirehub_common::ChannelName;
use wirehub_common::frame::{Publication, Push, ServerFrame};

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
    Function(Arc<DeliveryFunction>),
}

type DeliveryFunction = dyn Fn(Publication, &Epoch) + Send + Sync;

impl Delivery {
    pub(crate) fn new(hub: Weak<Inner>) -> Self {
        Self(DeliveryTarget::Hub(hub))
    }

    /// A delivery to a function in place of a hub, for an engine around another engine, and for tests. The function must not
    /// block, and must not call the engine.
    pub fn from_fn(deliver: impl Fn(Publication, &Epoch) + Send + Sync + 'static) -> Self {
        Self(DeliveryTarget::Function(Arc::new(deliver)))
    }

    fn hub(&self) -> Option<Arc<Inner>> {
        match &self.0 {
            DeliveryTarget::Hub(hub) => hub.upgrade(),
            DeliveryTarget::Function(_) => None,
        }
    }

    /// Queues a publication for every subscriber of its channel. Never waits.
    ///
    /// In a channel with history the hub compares epoch and offset with the ones before. A publication that it has had is
    /// dropped. If some are missing, or if the epoch is another, the hub reads the history, and goes on from there.
    pub fn deliver(&self, publication: Publication, epoch: &Epoch) {
        if let DeliveryTarget::Function(deliver) = &self.0 {
            return deliver(publication, epoch);
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
        if let Some(hub) = self.hub() {
            hub.probes.returned(number);
        }
    }

    /// `true` if the channel has a subscriber.
    pub fn is_wanted(&self, channel: &ChannelName) -> bool {
        self.hub().is_some_and(|hub| hub.channels.find(channel).is_some())
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Delivery")
    }
}
