//! Members entering and leaving a channel, as a stream.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_util::StreamExt as _;
use wirehub_common::frame::Member;

use super::lifetime::Lifetime;
use super::queue::Queue;
use crate::{Error, SubscriptionId};

/// A change of the members of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemberChange {
    /// A user entered with a first session, or an anonymous session entered.
    Joined(Member),
    /// A user left with the last session, or an anonymous session left.
    Left(Member),
    /// The client was away or too slow, and changes may be missing. [`Client::presence`](crate::Client::presence)
    /// returns the members anew.
    Unknown,
}

/// The changes of the members of a channel. See [`Subscription::member_changes`](crate::Subscription::member_changes).
#[derive(Debug)]
#[must_use = "a stream does nothing before it is polled"]
pub struct MemberChanges(pub(super) Queue<MemberChange>);

impl Stream for MemberChanges {
    type Item = MemberChange;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<MemberChange>> {
        self.0.poll_next_unpin(context)
    }
}

/// The members of a channel, each time they change: all of them, each user once and each anonymous session, users by
/// name before anonymous sessions. For a slow reader only the newest list is kept. An item is an error if the list can't
/// be read; it is read again after the next reconnect. The stream ends with the subscription. See
/// [`Subscription::members`](crate::Subscription::members).
#[derive(Debug)]
#[must_use = "a stream does nothing before it is polled"]
pub struct Members {
    pub(super) subscription: SubscriptionId,
    pub(super) changes: Queue<Result<(), Error>>,
    // Keeps the client alive until this is dropped.
    pub(super) lifetime: Arc<Lifetime>,
}

impl Stream for Members {
    type Item = Result<Vec<Member>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let change = ready!(self.changes.poll_next_unpin(context));
        Poll::Ready(match change {
            Some(Ok(())) => {
                let inner = self.lifetime.shared().lock();
                let members = inner.core.members(self.subscription);
                members.map(|members| Ok(members.iter().map(|member| (**member).clone()).collect()))
            }
            Some(Err(error)) => Some(Err(error)),
            None => None,
        })
    }
}

/// The numbers of sessions and users in a channel. See [`Client::presence_counts`](crate::Client::presence_counts).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PresenceCounts {
    /// The number of sessions.
    pub sessions: u32,
    /// The number of their users; each anonymous session counts as one.
    pub users: u32,
}
