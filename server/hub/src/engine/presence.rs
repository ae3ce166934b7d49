//! The members of channels on all nodes.

use std::time::Duration;

use wirehub_common::ChannelName;
use wirehub_common::frame::Member;

use super::EngineFuture;
use crate::SessionId;
use crate::observe::{MemberPage, PresenceCounts};

/// The sessions in the channels of an engine that serves several hubs, and the number of sessions of each user.
///
/// Each hub enters its own sessions. If its node [dies](super::Nodes), its sessions leave.
///
/// # Promises
/// 1. **Order.** Calls for one session take effect in the order in which they are made. The answers of
///    [`members`](Self::members) and [`counts`](Self::counts) contain the effect of the earlier calls of this hub.
/// 2. **Joins and leaves.** In a channel with a grace period the first session of a user on any node makes a join, and the last
///    one a leave, which comes when the grace has passed without another session. Both arrive at
///    [`Delivery::moved`](super::Delivery::moved) of every hub to which the channel is attached, at most once for each
///    movement. Each anonymous session is a member by itself, and leaves without a grace. They do not arrive within a call of
///    this trait, because the hub may hold the channel's lock meanwhile.
/// 3. **Repetition.** To enter a session again changes nothing.
/// 4. **Failure.** A failed call may have taken effect. The engine calls
///    [`Delivery::presence_lost`](super::Delivery::presence_lost) if the store may have lost members of this hub; then the hub
///    enters all its sessions again.
pub trait Presence: Send + Sync {
    /// Enters a session of this hub in a channel.
    fn enter(&self, entry: PresenceEntry) -> EngineFuture<()>;

    /// Removes a session of this hub from a channel. The entry is the same as that of [`enter`](Self::enter).
    fn leave(&self, entry: PresenceEntry) -> EngineFuture<()>;

    /// At most `most` members of a channel behind the session `after`, in the order of their [ids](SessionId), on all nodes.
    /// The last session of a user whose grace has not passed is still a member.
    fn members(
        &self,
        channel: &ChannelName,
        after: Option<SessionId>,
        most: usize,
    ) -> EngineFuture<MemberPage>;

    /// The number of members of a channel on all nodes. The time that it takes does not depend on their number.
    fn counts(&self, channel: &ChannelName) -> EngineFuture<PresenceCounts>;

    /// Counts a session of this hub as one of its user. `false` if the user has `limit` sessions on all nodes already; then it
    /// is not counted. A session that is counted already is `true`.
    fn count_session(&self, user: &str, session: SessionId, limit: u32) -> EngineFuture<bool>;

    /// Counts a session no longer.
    fn uncount_session(&self, user: &str, session: SessionId) -> EngineFuture<()>;
}

/// A session in a channel.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PresenceEntry {
    /// The channel.
    pub channel: ChannelName,
    /// The id of the session.
    pub session: SessionId,
    /// The session as other clients see it.
    pub member: Member,
    /// The grace of leaving users; `None` in a channel without joins and leaves.
    pub grace: Option<Duration>,
}

impl PresenceEntry {
    /// A session in a channel without joins and leaves.
    pub fn new(channel: ChannelName, session: SessionId, member: Member) -> Self {
        Self { channel, session, member, grace: None }
    }
}
