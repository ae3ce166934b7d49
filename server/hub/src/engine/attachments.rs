//! The channels that an engine carries to a hub.

use wirehub_common::ChannelName;
use wirehub_common::frame::Position;

use super::EngineFuture;

/// The attached channels of an engine that serves several hubs: a hub gets the publications of these alone, over a connection
/// that may fail without a sign.
///
/// # Promises
/// 1. **Nothing in between.** Every publication that is accepted, on any node, after the answer of [`attach`](Self::attach)
///    and before the call of [`detach`](Self::detach) is delivered, as long as the connection lives.
/// 2. **Order.** Calls for one channel take effect in the order in which they are made. The hub attaches a channel that is
///    attached already only after it has detached it.
/// 3. **Failure.** A channel whose `attach` failed is not attached, and need not be detached.
///
/// The hub does not rely on the first promise: it [probes](Self::probe) the connection, and compares the positions of quiet
/// channels with the [newest](Self::newest) ones.
pub trait Attachments: Send + Sync {
    /// Delivers the channel's publications to this hub from the answer on. The hub answers the channel's first subscriber
    /// after it.
    fn attach(&self, channel: &ChannelName) -> EngineFuture<()>;

    /// Ends the delivery of the channel's publications. The hub calls it some seconds after the last subscriber has left.
    fn detach(&self, channel: &ChannelName);

    /// Sends a number to this hub's own [`Delivery::probed`](super::Delivery::probed), by the way of all publications. There is
    /// no other answer.
    fn probe(&self, number: u64);

    /// Makes the connection for deliveries anew, with all attached channels, because probes have not come back.
    fn renew(&self) -> EngineFuture<()>;

    /// The newest positions of channels with history, in the same order; `None` for a channel without publications. The hub
    /// passes the newest position that its subscribers have seen. An engine whose store is behind it in the same epoch has lost
    /// publications, and begins a new epoch.
    fn newest(&self, seen: Vec<(ChannelName, Option<Position>)>) -> EngineFuture<Vec<Option<Position>>>;
}
