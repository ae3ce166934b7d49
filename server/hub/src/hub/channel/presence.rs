//! Presence: the members of a channel.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashSet};

use tokio::time::Instant;
use wirehub_common::frame::Member;

use super::{Channel, ChannelState};
use crate::hub::{PresenceCounts, SessionId};

/// A page of a channel's members.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct MemberPage {
    /// The members, in the order of their sessions.
    pub members: Vec<Member>,
    /// `true` if there are more behind the last of them.
    pub more: bool,
}

impl Channel {
    /// Notes that a client reads the members, so that its list is corrected by the next joins and leaves.
    pub(crate) fn note_read(&self) {
        if let Some(members) = &mut self.state.lock().members {
            members.queued.note_read(Instant::now());
        }
    }

    /// The members of the channel: the subscribed sessions, and the last sessions of users whose leave is still pending. At
    /// most `most` of them, behind the session `after`.
    pub(crate) fn members(&self, after: Option<SessionId>, most: usize) -> MemberPage {
        let state = self.state.lock();
        // The first ones, with the last of them on top.
        let mut first = BinaryHeap::new();
        let mut more = false;
        let mut add = |id: SessionId, who| {
            if after.is_some_and(|after| id <= after) {
                return;
            }
            first.push(ById(id, who));
            if first.len() > most {
                more = true;
                first.pop();
            }
        };
        for subscriber in state.sessions() {
            add(subscriber.peer.id, PresentMember::Here(&subscriber.peer));
        }
        for member in state.leaving() {
            if let Ok(id) = member.session.parse() {
                add(id, PresentMember::Leaving(member));
            }
        }
        let shown = first.into_sorted_vec().into_iter().map(|ById(_, who)| match who {
            PresentMember::Here(peer) => peer.shown(),
            PresentMember::Leaving(member) => member.clone(),
        });
        MemberPage { members: shown.collect(), more }
    }

    /// The number of sessions and the number of users in the channel.
    pub(crate) fn counts(&self) -> PresenceCounts {
        let state = self.state.lock();
        let (mut users, mut anonymous) = (HashSet::new(), 0_usize);
        for subscriber in state.sessions() {
            let user = subscriber.peer.user();
            if user.is_empty() {
                anonymous = anonymous.saturating_add(1);
            } else {
                users.insert(user);
            }
        }
        let leaving = state.leaving().count();
        let sessions = self.sessions().saturating_add(leaving);
        let users = users.len().saturating_add(anonymous).saturating_add(leaving);
        PresenceCounts { sessions, users }
    }
}

impl ChannelState {
    fn leaving(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().flat_map(|members| members.leaving()).map(|(member, _)| member)
    }
}

enum PresentMember<'a> {
    Here(&'a crate::hub::sessions::Peer),
    Leaving(&'a Member),
}

struct ById<'a>(SessionId, PresentMember<'a>);

impl Ord for ById<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for ById<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ById<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for ById<'_> {}
