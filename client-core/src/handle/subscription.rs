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
use wirehub_common::frame::{self, Member};
use wirehub_common::{ChannelName, Payload, PayloadError};

use super::Shared;
use super::client::Lifetime;
use super::members::{MemberChange, MemberChanges};
use super::queue::{self, Queue, QueueSender, Refused};
use crate::{Error, ErrorKind, Overflow, SubscriptionId};

/// The messages of one channel: a stream that goes on through reconnects. Dropping it unsubscribes.
///
/// An item is an error where a payload does not fit the contract, and where messages are missing: after a reconnect, in a
/// channel that keeps no history ([`NO_HISTORY`](ErrorCode::NO_HISTORY)) or whose history was lost or does not reach back so
/// far, or because this client is slower than the channel and the channel's overflow policy drops some (both
/// [`UNRECOVERABLE`](ErrorCode::UNRECOVERABLE), in words that say why). The stream goes on after both. It is one as the
/// last item where the subscription ended by itself: refused, ended by the server, or too slow for its
/// [overflow policy](crate::Overflow).
#[derive(Debug)]
#[must_use = "dropping a subscription ends it"]
pub struct Subscription<M> {
    id: SubscriptionId,
    channel: ChannelName,
    queue: Queue<Result<frame::Publication, Error>>,
    ready: Option<oneshot::Receiver<Result<(), Error>>>,
    decode: fn(&Payload) -> Result<M, PayloadError>,
    // Keeps the client alive as long as somebody listens.
    lifetime: Arc<Lifetime>,
    message: PhantomData<fn() -> M>,
}

/// One message in a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication<M> {
    /// The channel.
    pub channel: ChannelName,
    /// The message.
    pub message: M,
    /// When the server accepted it: the time since the Unix epoch by the server's clock.
    pub time: Duration,
    /// The session it came from; absent where the server itself published.
    pub publisher: Option<Member>,
    /// Its place in the channel's history, from 1; absent where the channel keeps none.
    pub offset: Option<u64>,
}

impl Publication<Payload> {
    pub(super) fn raw(publication: frame::Publication) -> Self {
        let payload = publication.payload.clone();
        Self::with(publication, payload)
    }
}

impl<M> Publication<M> {
    pub(super) fn decode(
        publication: frame::Publication,
        decode: impl Fn(&Payload) -> Result<M, PayloadError>,
    ) -> Result<Self, PayloadError> {
        let message = decode(&publication.payload)?;
        Ok(Self::with(publication, message))
    }

    pub(super) fn with(publication: frame::Publication, message: M) -> Self {
        let frame::Publication { channel, time, publisher, offset, .. } = publication;
        let (time, offset) = (Duration::from_millis(time), (offset != 0).then_some(offset));
        Self { channel, message, time, publisher, offset }
    }
}

/// The driver's end of a subscription.
#[derive(Debug)]
pub(super) struct Feed {
    sender: QueueSender<Result<frame::Publication, Error>>,
    ready: Option<oneshot::Sender<Result<(), Error>>>,
    watchers: Vec<QueueSender<MemberChange>>,
}

/// A subscription that the server began, on its way to whoever takes it.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) subscription: SubscriptionId,
    pub(super) channel: ChannelName,
    pub(super) queue: Queue<Result<frame::Publication, Error>>,
    pub(super) ready: oneshot::Receiver<Result<(), Error>>,
}

/// The subscriptions that the server begins. See [`Client::offers`](crate::Client::offers).
#[derive(Debug)]
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
        // Each that nobody took is ended as it is dropped.
        while let Some(Some(subscription)) = self.next().now_or_never() {
            drop(subscription);
        }
    }
}

impl Stream for Offers {
    type Item = Subscription<Payload>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let offer = ready!(Pin::new(&mut self.offers).poll_next(context));
        Poll::Ready(offer.map(|Offer { subscription, channel, queue, ready }| {
            let lifetime = Arc::clone(&self.lifetime);
            Subscription::new(subscription, channel, queue, ready, |payload| Ok(payload.clone()), lifetime)
        }))
    }
}

impl<M> Subscription<M> {
    pub(super) fn new(
        id: SubscriptionId,
        channel: ChannelName,
        queue: Queue<Result<frame::Publication, Error>>,
        ready: oneshot::Receiver<Result<(), Error>>,
        decode: fn(&Payload) -> Result<M, PayloadError>,
        lifetime: Arc<Lifetime>,
    ) -> Self {
        Self { id, channel, queue, ready: Some(ready), decode, lifetime, message: PhantomData }
    }

    /// The channel.
    pub fn channel(&self) -> &ChannelName {
        &self.channel
    }

    /// Waits until the server has confirmed the subscription; at once where it has before.
    ///
    /// # Errors
    /// The subscription was refused, or ended before it began.
    pub async fn ready(&mut self) -> Result<(), Error> {
        let Some(ready) = &mut self.ready else { return Ok(()) };
        let result = ready.await;
        self.ready = None;
        result.unwrap_or_else(|_| Err(Error::from_code(ErrorKind::Usage, ErrorCode::CLOSED)))
    }

    /// Who comes and goes from now on, where the server tells that. The stream ends with the subscription, and where so many
    /// wait that it would take more than the receive queue.
    ///
    /// ```
    #[doc = include_str!("../../docs/who_is_there.rs")]
    /// ```
    pub fn member_changes(&self) -> MemberChanges {
        let mut inner = self.shared().lock();
        let (sender, queue) = queue::new(inner.core.config().receive_queue, Overflow::Error);
        if let Some(feed) = inner.subscriptions.get_mut(&self.id) {
            queue::add(&mut feed.watchers, sender);
        }
        MemberChanges(queue)
    }

    /// Ends the subscription. Messages that have come already can still be taken.
    pub fn unsubscribe(&mut self) {
        self.shared().act(|inner, _| inner.core.unsubscribe(self.id));
    }

    fn shared(&self) -> &Shared {
        self.lifetime.shared()
    }
}

impl<M> Stream for Subscription<M> {
    type Item = Result<Publication<M>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let decode = self.decode;
        let item = ready!(Pin::new(&mut self.queue).poll_next(context));
        Poll::Ready(item.map(|publication| Ok(Publication::decode(publication?, decode)?)))
    }
}

impl<M> Drop for Subscription<M> {
    fn drop(&mut self) {
        self.unsubscribe();
    }
}

impl Feed {
    pub(super) fn new(
        sender: QueueSender<Result<frame::Publication, Error>>,
        ready: oneshot::Sender<Result<(), Error>>,
    ) -> Self {
        Self { sender, ready: Some(ready), watchers: Vec::new() }
    }

    /// Tells whoever waits whether the subscription is in force.
    pub(super) fn confirm(&mut self, result: Result<(), Error>) {
        if let Some(ready) = self.ready.take() {
            // Nobody has to wait.
            let _ = ready.send(result);
        }
    }

    /// `false` where the queue is full and the subscription has to end; its error is in the queue then.
    pub(super) fn push(&mut self, publication: frame::Publication) -> bool {
        let bytes = publication.payload.data.len().saturating_add(ENTRY_BYTES);
        self.sender.push(Ok(publication), bytes) != Err(Refused::Full)
    }

    /// Tells that messages may be missing; `false` as for [`Self::push`].
    pub(super) fn push_gap(&mut self, (code, words): (ErrorCode, &'static str)) -> bool {
        let error = Error::in_words(ErrorKind::Connection, code, words);
        self.sender.push(Err(error), ENTRY_BYTES) != Err(Refused::Full)
    }

    /// Tells those who watch who comes and goes.
    pub(super) fn push_change(&mut self, change: &MemberChange) {
        self.watchers.retain(|watcher| watcher.push(change.clone(), size_of::<Member>()).is_ok());
    }

    /// The last word of the subscription. Without an error it was the application's wish, or an overflow.
    pub(super) fn end(mut self, error: Option<Error>) {
        let result = error.clone().map_or(Ok(()), Err);
        self.confirm(result);
        self.sender.finish(error.map(Err));
    }
}

/// What a queued publication costs beside its payload.
const ENTRY_BYTES: usize = size_of::<frame::Publication>();
