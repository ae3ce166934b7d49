//! Who comes and goes in a channel, as a stream.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use futures_util::StreamExt as _;
use wirehub_common::frame::Member;

use super::queue::Queue;

/// A change in who is in a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemberChange {
    /// Somebody entered: the first session of a user, or an anonymous one.
    Joined(Member),
    /// Somebody left: the last session of a user, or an anonymous one.
    Left(Member),
    /// The client was away, or too slow: others may have come and gone. [`Client::presence`](crate::Client::presence) tells anew who is
    /// there.
    Unknown,
}

/// The changes in who is in a channel. See [`Subscription::member_changes`](crate::Subscription::member_changes).
#[derive(Debug)]
#[must_use = "a stream does nothing before it is polled"]
pub struct MemberChanges(pub(super) Queue<MemberChange>);

impl Stream for MemberChanges {
    type Item = MemberChange;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<MemberChange>> {
        self.0.poll_next_unpin(context)
    }
}

/// How many are in a channel. See [`Client::presence_counts`](crate::Client::presence_counts).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PresenceCounts {
    /// Sessions.
    pub sessions: u32,
    /// The users that they belong to; each anonymous session counts as one.
    pub users: u32,
}
