//! The publications of a subscription as a stream, without its gaps.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use super::subscription::{Publication, Subscription, Update};
use crate::{Error, Gap};

/// The publications of a [`Subscription`], without its gaps. See [`Subscription::publications`].
#[must_use = "dropping a subscription ends it"]
pub struct Publications<M, F = fn(Gap)> {
    subscription: Subscription<M>,
    on_gap: F,
}

impl<M> Publications<M> {
    pub(super) fn new(subscription: Subscription<M>) -> Self {
        Self { subscription, on_gap: |_| {} }
    }
}

impl<M, F> Publications<M, F> {
    /// The same, with a function that is called for each gap, in the order of the stream.
    pub fn on_gap<G: FnMut(Gap)>(self, on_gap: G) -> Publications<M, G> {
        Publications { subscription: self.subscription, on_gap }
    }

    /// The subscription, for waiting until it is ready and for ending it.
    pub fn subscription(&mut self) -> &mut Subscription<M> {
        &mut self.subscription
    }

    /// The subscription as a stream with gaps.
    pub fn into_subscription(self) -> Subscription<M> {
        self.subscription
    }
}

// Nothing in it is pinned.
impl<M, F> Unpin for Publications<M, F> {}

impl<M, F: FnMut(Gap)> Stream for Publications<M, F> {
    type Item = Result<Publication<M>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            return Poll::Ready(match ready!(Pin::new(&mut self.subscription).poll_next(context)) {
                Some(Ok(Update::Publication(publication))) => Some(Ok(publication)),
                Some(Ok(Update::Gap(gap))) => {
                    (self.on_gap)(gap);
                    continue;
                }
                Some(Err(error)) => Some(Err(error)),
                None => None,
            });
        }
    }
}

impl<M, F> fmt::Debug for Publications<M, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publications").field("channel", self.subscription.channel()).finish_non_exhaustive()
    }
}
