//! Subscriptions of the hub's own program: streams, without a session and a socket.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use wirehub_common::contract::{Channel, Message};
use wirehub_common::frame::{Member, Publication, Push, ServerFrame};
use wirehub_common::{ChannelName, Codec, Payload, PayloadError, PayloadErrorKind};

use super::channel::{self, NewSubscriber, Place};
use super::sessions::Peer;
use super::{Hub, Inner, SessionId};
use crate::session::mailbox::{Mailbox, TakenBatch, TurnReason};

/// A subscription of the program itself: a stream of [`LocalUpdate`]s. [`Hub::subscribe`] returns it. Dropping it leaves the
/// channel.
///
/// A slow program loses messages, and never blocks the channel. If more than [`queue_bytes`](crate::Builder::queue_bytes) would
/// wait, messages are dropped by the channel's [`Overflow`](crate::namespace::Overflow): the oldest, or all but the latest.
/// With [`Disconnect`](crate::namespace::Overflow::Disconnect), which ends a session, every waiting message is dropped. A
/// [`LocalUpdate::Gap`] takes their place, and the stream goes on. If the channel keeps a history, [`Hub::history`] has them.
///
/// An item is an error if its payload does not fit the contract; the stream goes on. If the hub's contract has no such channel,
/// or the channel is reserved, the only item is an error of the kind [`PayloadErrorKind::Channel`].
///
/// The stream ends when the hub begins to close its sessions, after the messages from before. It also ends when the hub is
/// gone; it does not keep the hub alive.
#[must_use = "dropping a subscription ends it"]
pub struct LocalSubscription<M> {
    /// Absent after the end.
    seat: Option<Seat>,
    /// The reason for a refused subscription.
    refused: Option<PayloadError>,
    /// Absent after the hub has begun to stop.
    stopping: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// The publications that have left the mailbox.
    taken: VecDeque<Publication>,
    /// The offset of the newest publication, if the channel has offsets.
    newest: u64,
    decode: fn(&Payload) -> Result<M, PayloadError>,
}

/// An item of a [`LocalSubscription`]: a message, or the place of missing ones.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LocalUpdate<M> {
    /// A message.
    Publication(LocalPublication<M>),
    /// Some messages are missing between the one before and the one after. They were dropped because the program was too slow.
    Gap,
}

impl<M> LocalUpdate<M> {
    /// The message; `None` for a gap.
    pub fn publication(self) -> Option<LocalPublication<M>> {
        match self {
            Self::Publication(publication) => Some(publication),
            Self::Gap => None,
        }
    }
}

/// One message in a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LocalPublication<M> {
    /// The channel.
    pub channel: ChannelName,
    /// The message.
    pub message: M,
    /// The time since the Unix epoch at which the message was accepted.
    pub time: Duration,
    /// The session of the publisher. Absent if the server itself published the message.
    pub publisher: Option<Member>,
    /// The offset in the channel's history, from 1. Absent if the channel keeps no history.
    pub offset: Option<u64>,
}

/// A place among the subscribers of the channel. Dropping it leaves the channel.
struct Seat {
    hub: Weak<Inner>,
    channel: Arc<channel::Channel>,
    place: Place,
    peer: Arc<Peer>,
}

impl Hub {
    /// Subscribes this program itself to a channel. Returns the messages from now on, in the same order as for all other
    /// subscribers. With an engine that several hubs share, the messages of other hubs begin a moment later, when the engine
    /// has attached the channel; it needs a tokio runtime for that. No hook is called. The subscription is not a session: it is not counted, it is not a member of the channel,
    /// and it gets neither [broadcasts](Self::broadcast) nor alarms. See [`LocalSubscription`] for slow programs.
    ///
    /// ```
    /// # extern crate wirehub_hub as wirehub_server;
    /// use futures_util::StreamExt as _;
    /// use wirehub_server::Hub;
    /// use wirehub_server::observe::LocalUpdate;
    ///
    /// wirehub_common::contract! {
    ///     contract Meters = "meters";
    ///     /// The readings of a room.
    ///     channel Readings { room } = "meter:{room}": f64;
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let hub = Hub::builder().contract::<Meters>().build();
    /// let kitchen = Readings::new("kitchen")?;
    /// let mut readings = hub.subscribe(&kitchen);
    /// # drop(hub.publish(&kitchen, &21.5)?);
    /// # hub.shutdown(std::time::Duration::ZERO).await;
    /// while let Some(update) = readings.next().await {
    ///     match update? {
    ///         LocalUpdate::Publication(reading) => println!("{} degrees", reading.message),
    ///         LocalUpdate::Gap => println!("too slow: some are missing"),
    ///         _ => {}
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn subscribe<C: Channel>(&self, channel: &C) -> LocalSubscription<C::Message> {
        LocalSubscription::new(self, channel.name(), C::Message::from_payload)
    }

    /// Like [`Self::subscribe`], for a channel that is known only at run time. Returns payloads as they are.
    pub fn subscribe_raw(&self, channel: &ChannelName) -> LocalSubscription<Payload> {
        LocalSubscription::new(self, channel, |payload| Ok(payload.clone()))
    }
}

impl<M> LocalSubscription<M> {
    fn new(hub: &Hub, channel: &ChannelName, decode: fn(&Payload) -> Result<M, PayloadError>) -> Self {
        let (seat, refused) = match hub.has_channel(channel) {
            Ok(()) => (Some(Seat::take(hub, channel)), None),
            Err(error) => {
                let words = format!("{channel}: {}", error.message);
                (None, Some(PayloadError::new(PayloadErrorKind::Channel, Some(words.into()))))
            }
        };
        let stopping: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(hub.connections().stopping());
        Self { seat, refused, stopping: Some(stopping), taken: VecDeque::new(), newest: 0, decode }
    }

    /// The next item from the taken publications. A gap comes before the message after it.
    fn next_taken(&mut self) -> Option<Result<LocalUpdate<M>, PayloadError>> {
        let offset = self.taken.front()?.offset;
        let is_behind_gap = self.newest > 0 && offset > self.newest.saturating_add(1);
        self.newest = if is_behind_gap { offset.saturating_sub(1) } else { offset };
        if is_behind_gap {
            return Some(Ok(LocalUpdate::Gap));
        }
        let Publication { channel, payload, time, publisher, offset } = self.taken.pop_front()?;
        let message = match (self.decode)(&payload) {
            Ok(message) => message,
            Err(error) => return Some(Err(error)),
        };
        let (time, offset) = (Duration::from_millis(time), (offset > 0).then_some(offset));
        Some(Ok(LocalUpdate::Publication(LocalPublication { channel, message, time, publisher, offset })))
    }
}

impl<M> Stream for LocalSubscription<M> {
    type Item = Result<LocalUpdate<M>, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Some(error) = this.refused.take() {
            return Poll::Ready(Some(Err(error)));
        }
        loop {
            if let Some(item) = this.next_taken() {
                return Poll::Ready(Some(item));
            }
            let Some(seat) = &this.seat else { return Poll::Ready(None) };
            // Checked before the mailbox, so that messages from before the end still come.
            if this.stopping.as_mut().is_some_and(|stopping| stopping.as_mut().poll(cx).is_ready()) {
                this.stopping = None;
            }
            if seat.has_overflowed(cx) {
                let hub = seat.hub.upgrade().map(|inner| Hub { inner });
                this.seat = hub.map(|hub| Seat::take(&hub, seat.channel.name()));
                // The next publication follows none of the earlier ones.
                this.newest = 0;
                return Poll::Ready(Some(Ok(LocalUpdate::Gap)));
            }
            match seat.take_waiting(&mut this.taken) {
                TakenBatch::Gaps(_) => return Poll::Ready(Some(Ok(LocalUpdate::Gap))),
                TakenBatch::More | TakenBatch::Last => {}
                TakenBatch::Empty if this.stopping.is_none() => this.seat = None,
                TakenBatch::Empty => return Poll::Pending,
            }
        }
    }
}

impl<M> fmt::Debug for LocalSubscription<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let channel = self.seat.as_ref().map(|seat| seat.channel.name());
        f.debug_struct("LocalSubscription").field("channel", &channel).finish_non_exhaustive()
    }
}

impl Seat {
    fn take(hub: &Hub, name: &ChannelName) -> Self {
        let mailbox = Mailbox::new(hub.live().queue_bytes);
        let peer = Arc::new(Peer::new(SessionId::NONE, CODEC, None, mailbox));
        let entrant = NewSubscriber { peer: &peer, observes_members: false, is_local: true };
        let rules = hub.settings().namespaces.of(name);
        let (channel, place) = hub.channel_registry().subscribe(name, rules, entrant, None, false);
        hub.keep_attached(name);
        Self { hub: hub.downgrade(), channel, place, peer }
    }

    /// `true` if too much was waiting, so that nothing follows. Registers the task.
    fn has_overflowed(&self, cx: &Context<'_>) -> bool {
        // Only sessions get orders and other endings.
        matches!(self.peer.mailbox.begin_turn(cx), TurnReason::Everything(Some(mail)) if mail.ending.is_some())
    }

    /// Takes every waiting publication.
    fn take_waiting(&self, publications: &mut VecDeque<Publication>) -> TakenBatch {
        // Without a limit no frame is split.
        self.peer.mailbox.take_batch(CODEC, usize::MAX, &mut |piece| {
            publications.extend(CODEC.decode_frames(&piece).filter_map(|frame| match frame {
                Ok(ServerFrame::Push(Push::Publication(publication))) => Some(publication),
                other => {
                    tracing::error!("a subscription of the program itself gets no such frame: {other:?}");
                    None
                }
            }));
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(inner) = self.hub.upgrade() {
            inner.leave_channel(&self.channel, self.place, None);
        }
    }
}

/// The codec whose frames hold payloads as they are.
const CODEC: Codec = Codec::Protobuf;

#[cfg(test)]
mod tests;
