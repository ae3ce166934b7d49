//! A subscription as a stream.

use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_channel::oneshot;
use futures_core::Stream;
use futures_util::{FutureExt as _, StreamExt as _};
use wirehub_common::code::ErrorCode;
use wirehub_common::frame::{self, Member, Position};
use wirehub_common::{ChannelName, Payload, PayloadError};

use super::Shared;
use super::lifetime::Lifetime;
use super::members::{MemberChange, MemberChanges, Members};
use super::publications::Publications;
use super::queue::{self, Queue, QueueSender, Refused};
use crate::{Error, ErrorKind, Gap, Overflow, SubscriptionId};

/// The messages of one channel: a stream of [`Update`]s that continues through reconnects. Dropping it unsubscribes.
///
/// A missing message is no error: it is an [`Update::Gap`] in its place, and the stream goes on. [`Self::publications`]
/// leaves gaps out, for applications to which they do not matter.
///
/// An item is an error if one payload does not fit the contract ([`ErrorKind::Payload`]); the stream goes on then. A
/// subscription that ended by itself has an error as its last item: it was refused, ended by the server, or too slow
/// for its [overflow policy](crate::Overflow). [`Error::ends_stream`] tells them apart.
///
/// ```
/// use futures_util::StreamExt as _;
/// use wirehub_client_core::{Error, Subscription, Update};
///
/// async fn show(mut numbers: Subscription<u64>) -> Result<(), Error> {
///     while let Some(update) = numbers.next().await {
///         match update? {
///             Update::Publication(publication) => println!("{}", publication.message),
///             Update::Gap(gap) => println!("some are missing: {gap}"),
///             _ => {}
///         }
///     }
///     Ok(())
/// }
/// ```
#[derive(Debug)]
#[must_use = "dropping a subscription ends it"]
pub struct Subscription<M> {
    id: SubscriptionId,
    feed: FeedId,
    channel: ChannelName,
    queue: Queue<Incoming>,
    ready: Option<oneshot::Receiver<Result<(), Error>>>,
    decode: fn(&Payload) -> Result<M, PayloadError>,
    // Keeps the client alive until this is dropped.
    lifetime: Arc<Lifetime>,
    message: PhantomData<fn() -> M>,
}

/// An item of a subscription: a message, or a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Update<M> {
    /// A message.
    Publication(Publication<M>),
    /// Messages may be missing at this place, and will not come.
    Gap(Gap),
}

impl<M> Update<M> {
    /// The message, if it is one.
    pub fn publication(self) -> Option<Publication<M>> {
        match self {
            Self::Publication(publication) => Some(publication),
            Self::Gap(_) => None,
        }
    }

    /// The gap, if it is one.
    pub fn gap(&self) -> Option<Gap> {
        match self {
            Self::Publication(_) => None,
            Self::Gap(gap) => Some(*gap),
        }
    }
}

/// An entry of a subscription's queue.
#[derive(Debug)]
pub(super) enum Incoming {
    /// A message, and the epoch of its offset.
    Publication(frame::Publication, Option<Arc<str>>),
    Gap(Gap),
    /// The last entry.
    End(Error),
}

/// One message in a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Publication<M> {
    /// The channel.
    pub channel: ChannelName,
    /// The message.
    pub message: M,
    /// The time at which the server accepted it: the time since the Unix epoch by the server's clock.
    pub time: Duration,
    /// The session that published it; absent if the server itself published.
    pub publisher: Option<Member>,
    /// Its offset in the channel's history, from 1; absent if the channel keeps none.
    pub offset: Option<u64>,
    /// The epoch of that history: offsets of different epochs have nothing to do with each other. Absent if the channel
    /// keeps none.
    pub epoch: Option<Arc<str>>,
}

impl From<frame::Publication> for Publication<Payload> {
    fn from(publication: frame::Publication) -> Self {
        let payload = publication.payload.clone();
        Self::with(publication, None, payload)
    }
}

impl<M> Publication<M> {
    pub(super) fn decode(
        publication: frame::Publication,
        epoch: Option<Arc<str>>,
        decode: impl Fn(&Payload) -> Result<M, PayloadError>,
    ) -> Result<Self, PayloadError> {
        let message = decode(&publication.payload)?;
        Ok(Self::with(publication, epoch, message))
    }

    pub(super) fn with(publication: frame::Publication, epoch: Option<Arc<str>>, message: M) -> Self {
        let frame::Publication { channel, time, publisher, offset, .. } = publication;
        let (time, offset) = (Duration::from_millis(time), (offset != 0).then_some(offset));
        let epoch = epoch.filter(|_| offset.is_some());
        Self { channel, message, time, publisher, offset, epoch }
    }

    /// Its position in the channel's history, for [`SubscribeOptions::since`](crate::SubscribeOptions::since) and
    /// [`Client::history`](crate::Client::history); absent if the channel keeps none.
    pub fn position(&self) -> Option<Position> {
        Some(Position { offset: self.offset?, epoch: self.epoch.as_deref()?.into() })
    }
}

/// Distinguishes the readers of one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct FeedId(u64);

impl FeedId {
    pub(super) fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

/// The driver's end of one reader of a subscription.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) id: FeedId,
    sender: QueueSender<Incoming>,
    ready: Option<oneshot::Sender<Result<(), Error>>>,
    /// The epoch of the messages that arrive.
    epoch: Option<Arc<str>>,
    /// The offset of the last message.
    newest: u64,
    /// The subscription begins anew somewhere in the history: messages may come again, or be missing.
    begins_anew: bool,
    watchers: Vec<QueueSender<MemberChange>>,
    member_lists: Vec<QueueSender<Result<(), Error>>>,
}

/// A subscription that the server began, on its way to its reader.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) subscription: SubscriptionId,
    pub(super) feed: FeedId,
    pub(super) channel: ChannelName,
    pub(super) queue: Queue<Incoming>,
    pub(super) ready: oneshot::Receiver<Result<(), Error>>,
}

/// The subscriptions that the server begins. See [`Client::offers`](crate::Client::offers).
#[derive(Debug)]
#[must_use = "dropping it declines the offers"]
pub struct Offers {
    offers: Queue<Offer>,
    lifetime: Arc<Lifetime>,
}

impl Offers {
    pub(super) fn new(offers: Queue<Offer>, lifetime: Arc<Lifetime>) -> Self {
        Self { offers, lifetime }
    }
}

impl Drop for Offers {
    fn drop(&mut self) {
        let lifetime = Arc::clone(&self.lifetime);
        lifetime.shared().act(|inner, _| inner.offers = None);
        // Dropping a subscription ends it: those without a reader end here.
        while let Some(Some(subscription)) = self.next().now_or_never() {
            drop(subscription);
        }
    }
}

impl Stream for Offers {
    type Item = Subscription<Payload>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let offer = ready!(Pin::new(&mut self.offers).poll_next(context));
        Poll::Ready(
            offer.map(|offer| {
                Subscription::new(offer, |payload| Ok(payload.clone()), Arc::clone(&self.lifetime))
            }),
        )
    }
}

impl<M> Subscription<M> {
    pub(super) fn new(
        Offer { subscription: id, feed, channel, queue, ready }: Offer,
        decode: fn(&Payload) -> Result<M, PayloadError>,
        lifetime: Arc<Lifetime>,
    ) -> Self {
        Self { id, feed, channel, queue, ready: Some(ready), decode, lifetime, message: PhantomData }
    }

    /// The channel.
    pub fn channel(&self) -> &ChannelName {
        &self.channel
    }

    /// The publications, without the gaps; [`Publications::on_gap`] calls a function for them.
    ///
    /// ```
    /// use futures_util::StreamExt as _;
    /// use wirehub_client_core::{Error, Subscription};
    ///
    /// async fn add_up(numbers: Subscription<u64>) -> Result<u64, Error> {
    ///     let mut numbers = numbers.publications().on_gap(|gap| eprintln!("the sum is too small: {gap}"));
    ///     let mut sum = 0;
    ///     while let Some(number) = numbers.next().await {
    ///         sum += number?.message;
    ///     }
    ///     Ok(sum)
    /// }
    /// ```
    pub fn publications(self) -> Publications<M> {
        Publications::new(self)
    }

    /// Waits until the server has confirmed the subscription. Returns at once if it has.
    ///
    /// # Errors
    /// The subscription was refused, or ended before it began.
    pub async fn ready(&mut self) -> Result<(), Error> {
        let Some(ready) = &mut self.ready else { return Ok(()) };
        let result = ready.await;
        self.ready = None;
        result.unwrap_or_else(|_| Err(Error::from_code(ErrorKind::Usage, ErrorCode::CLOSED)))
    }

    /// The members of the channel, each time they change: a list that keeps itself. It is read once and again after
    /// a reconnect or when changes were lost, and follows the members that enter and leave, if the server reports them.
    /// The client itself is one of them.
    ///
    /// ```
    #[doc = include_str!("../../docs/who_is_there.rs")]
    /// ```
    pub fn members(&self) -> Members {
        // Only the newest list matters.
        let (sender, changes) = queue::new(1, Overflow::Latest);
        self.shared().act(|inner, now| {
            let mut feeds = inner.subscriptions.get_mut(self.id).into_iter().flatten();
            let Some(feed) = feeds.find(|feed| feed.id == self.feed) else { return };
            if inner.core.members(self.id).is_some() {
                // The reader is there.
                let _ = sender.push(Ok(()), 1);
            }
            queue::add(&mut feed.member_lists, sender);
            inner.core.watch_members(now, self.id);
        });
        Members { subscription: self.id, changes, lifetime: Arc::clone(&self.lifetime) }
    }

    /// The members that enter and leave from now on, if the server reports them. The stream ends with the subscription,
    /// and when the waiting changes would take more than the receive queue. [`Self::members`] keeps a list.
    pub fn member_changes(&self) -> MemberChanges {
        let mut inner = self.shared().lock();
        let (sender, queue) = queue::new(inner.core.config().receive_queue, Overflow::Error);
        let mut feeds = inner.subscriptions.get_mut(self.id).into_iter().flatten();
        if let Some(feed) = feeds.find(|feed| feed.id == self.feed) {
            queue::add(&mut feed.watchers, sender);
        }
        MemberChanges(queue)
    }

    /// Ends the subscription. Messages that have already arrived can still be read.
    pub fn unsubscribe(&mut self) {
        self.shared().act(|inner, _| inner.end_feed(self.id, self.feed));
    }

    fn shared(&self) -> &Shared {
        self.lifetime.shared()
    }
}

impl<M> Stream for Subscription<M> {
    type Item = Result<Update<M>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = ready!(Pin::new(&mut self.queue).poll_next(context));
        Poll::Ready(item.map(|incoming| match incoming {
            Incoming::Publication(publication, epoch) => {
                Ok(Update::Publication(Publication::decode(publication, epoch, self.decode)?))
            }
            Incoming::Gap(gap) => Ok(Update::Gap(gap)),
            Incoming::End(error) => Err(error),
        }))
    }
}

impl<M> Drop for Subscription<M> {
    fn drop(&mut self) {
        self.unsubscribe();
    }
}

impl Feed {
    pub(super) fn new(sender: QueueSender<Incoming>, ready: oneshot::Sender<Result<(), Error>>) -> Self {
        let (id, ready) = (FeedId::default(), Some(ready));
        Self {
            id,
            sender,
            ready,
            epoch: None,
            newest: 0,
            begins_anew: false,
            watchers: Vec::new(),
            member_lists: Vec::new(),
        }
    }

    /// Joins another reader of the same subscription.
    pub(super) fn join(&mut self, other: &Self) {
        self.epoch.clone_from(&other.epoch);
    }

    /// The subscription begins anew somewhere in the history.
    pub(super) fn begin_anew(&mut self) {
        self.begins_anew = true;
    }

    /// The messages from now on belong to another epoch.
    pub(super) fn set_epoch(&mut self, epoch: &str) {
        if self.epoch.as_deref().unwrap_or_default() == epoch {
            return;
        }
        self.epoch = (!epoch.is_empty()).then(|| epoch.into());
        self.newest = 0;
        self.begins_anew = false;
    }

    /// Notifies the waiting [`Subscription::ready`], with the result.
    pub(super) fn confirm(&mut self, result: Result<(), Error>) {
        if let Some(ready) = self.ready.take() {
            // There may be no waiter.
            let _ = ready.send(result);
        }
    }

    /// Adds a message. Without room for it the reader has to end.
    pub(super) fn push(&mut self, publication: frame::Publication) -> Result<(), Refused> {
        let offset = publication.offset;
        if self.begins_anew {
            if offset <= self.newest {
                return Ok(());
            }
            self.begins_anew = false;
            if self.newest > 0 && offset > self.newest.saturating_add(1) {
                self.push_gap(Gap::Lost)?;
            }
        }
        self.newest = offset;
        let bytes = publication.payload.data.len().saturating_add(ENTRY_BYTES);
        self.sender.push(Incoming::Publication(publication, self.epoch.clone()), bytes)
    }

    /// Adds a gap, as [`Self::push`] does.
    pub(super) fn push_gap(&mut self, gap: Gap) -> Result<(), Refused> {
        self.sender.push(Incoming::Gap(gap), ENTRY_BYTES)
    }

    /// Passes a change of the members to the streams that watch it.
    pub(super) fn push_change(&mut self, change: &MemberChange) {
        self.watchers.retain(|watcher| watcher.push(change.clone(), size_of::<Member>()).is_ok());
    }

    /// Notifies the streams that the list of members has changed.
    pub(super) fn push_members(&mut self, error: Option<&Error>) {
        let result = error.map_or(Ok(()), |error| Err(error.clone()));
        self.member_lists.retain(|list| list.push(result.clone(), 1).is_ok());
    }

    /// Ends the subscription. Without an error the application ended it.
    pub(super) fn end(mut self, error: Option<Error>) {
        let never_began = || Error::from_code(ErrorKind::Usage, ErrorCode::CANCELLED);
        self.confirm(Err(error.clone().unwrap_or_else(never_began)));
        self.sender.finish(error.map(Incoming::End));
    }
}

/// The size of a queued publication besides its payload.
const ENTRY_BYTES: usize = size_of::<Incoming>();
