//! The members of a fleet's channels, and the sessions of its users.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;
use wirehub_common::ChannelName;
use wirehub_common::frame::Movement;

use crate::SessionId;
use crate::checked_subtraction::subtract;
use crate::engine::{NodeId, PresenceEntry};
use crate::observe::{MemberPage, PresenceCounts};

#[derive(Default)]
pub(super) struct FleetMembers {
    channels: HashMap<ChannelName, ChannelMembers>,
    /// The ends of graces.
    leaving: BTreeSet<(Instant, ChannelName, SessionId)>,
    /// The counted sessions of each user, each with its node.
    counted: HashMap<String, BTreeMap<SessionId, NodeId>>,
}

#[derive(Default)]
struct ChannelMembers {
    by_session: BTreeMap<SessionId, FleetMember>,
    users: HashMap<String, UserSessions>,
    anonymous: usize,
}

struct FleetMember {
    entry: PresenceEntry,
    node: NodeId,
    /// The end of the grace, if the session has left.
    until: Option<Instant>,
}

#[derive(Default)]
struct UserSessions {
    here: usize,
    /// The last session, during its grace.
    leaving: Option<SessionId>,
}

/// A join or leave.
pub(super) struct FleetMove {
    pub(super) movement: Movement,
    pub(super) is_join: bool,
}

impl FleetMembers {
    /// Enters a session. Returns a join if it is the first one of its user.
    pub(super) fn enter(&mut self, node: NodeId, entry: PresenceEntry) -> Option<FleetMove> {
        let channel = self.channels.entry(entry.channel.clone()).or_default();
        if let Some(present) = channel.by_session.get_mut(&entry.session)
            && present.until.is_none()
        {
            present.node = node;
            return None;
        }
        let is_first = if entry.member.user.is_empty() {
            channel.anonymous = channel.anonymous.saturating_add(1);
            true
        } else {
            let user = channel.users.entry(entry.member.user.clone()).or_default();
            let is_first = user.here == 0 && user.leaving.is_none();
            user.here = user.here.saturating_add(1);
            if let Some(last) = user.leaving.take()
                && let Some(FleetMember { until: Some(until), .. }) = channel.by_session.remove(&last)
            {
                self.leaving.remove(&(until, entry.channel.clone(), last));
            }
            is_first
        };
        let join = (is_first && entry.grace.is_some()).then(|| FleetMove::of(&entry, true));
        channel.by_session.insert(entry.session, FleetMember { entry, node, until: None });
        join
    }

    /// Removes a session. Returns a leave if it is the last one of its user, and has no grace.
    pub(super) fn leave(
        &mut self,
        name: &ChannelName,
        session: SessionId,
        now: Instant,
    ) -> Option<FleetMove> {
        let channel = self.channels.get_mut(name)?;
        let member = channel.by_session.get_mut(&session).filter(|member| member.until.is_none())?;
        let grace = member.entry.grace.filter(|grace| !grace.is_zero());
        let user = &member.entry.member.user;
        let is_last = match channel.users.get_mut(user) {
            None => {
                channel.anonymous = subtract(channel.anonymous, 1);
                true
            }
            Some(sessions) => {
                sessions.here = subtract(sessions.here, 1);
                if let (0, Some(until)) = (sessions.here, grace.and_then(|grace| now.checked_add(grace))) {
                    sessions.leaving = Some(session);
                    member.until = Some(until);
                    self.leaving.insert((until, name.clone(), session));
                    return None;
                }
                sessions.here == 0
            }
        };
        self.remove(name, session).filter(|_| is_last)
    }

    /// Forgets a member without another session. Returns its leave, in a channel with joins and leaves.
    fn remove(&mut self, name: &ChannelName, session: SessionId) -> Option<FleetMove> {
        let channel = self.channels.get_mut(name)?;
        let FleetMember { entry, .. } = channel.by_session.remove(&session)?;
        if let Some(user) = channel.users.get_mut(&entry.member.user) {
            user.leaving = user.leaving.filter(|last| *last != session);
            if user.here == 0 && user.leaving.is_none() {
                channel.users.remove(&entry.member.user);
            }
        }
        if channel.by_session.is_empty() {
            self.channels.remove(name);
        }
        entry.grace.is_some().then(|| FleetMove::of(&entry, false))
    }

    /// Removes the members whose grace has passed.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<FleetMove> {
        let mut left = Vec::new();
        while let Some((until, _, _)) = self.leaving.first()
            && *until <= now
            && let Some((_, channel, session)) = self.leaving.pop_first()
        {
            left.extend(self.remove(&channel, session));
        }
        left
    }

    /// The end of the next grace.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.leaving.first().map(|(until, _, _)| *until)
    }

    /// Removes the sessions of a node.
    pub(super) fn end_node(&mut self, node: NodeId, now: Instant) -> Vec<FleetMove> {
        let mut ended = Vec::new();
        for (name, channel) in &self.channels {
            let own = channel.by_session.values().filter(|member| member.node == node);
            ended.extend(own.map(|member| (name.clone(), member.entry.session)));
        }
        self.counted.retain(|_, sessions| {
            sessions.retain(|_, of| *of != node);
            !sessions.is_empty()
        });
        ended.into_iter().filter_map(|(channel, session)| self.leave(&channel, session, now)).collect()
    }

    pub(super) fn page(&self, channel: &ChannelName, after: Option<SessionId>, most: usize) -> MemberPage {
        let behind = self.channels.get(channel).into_iter().flat_map(|channel| &channel.by_session);
        let mut behind = behind.filter(|(id, _)| after.is_none_or(|after| **id > after));
        let members =
            behind.by_ref().take(most).map(|(_, member)| member.entry.member.clone()).collect::<Vec<_>>();
        MemberPage { members, more: behind.next().is_some() }
    }

    pub(super) fn counts(&self, channel: &ChannelName) -> PresenceCounts {
        self.channels.get(channel).map_or_else(PresenceCounts::default, |channel| PresenceCounts {
            sessions: channel.by_session.len(),
            users: channel.users.len().saturating_add(channel.anonymous),
        })
    }

    pub(super) fn count(&mut self, node: NodeId, user: String, session: SessionId, limit: u32) -> bool {
        let sessions = self.counted.entry(user).or_default();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        if !sessions.contains_key(&session) && sessions.len() >= limit {
            return false;
        }
        sessions.insert(session, node);
        true
    }

    pub(super) fn uncount(&mut self, user: &str, session: SessionId) {
        if let Some(sessions) = self.counted.get_mut(user) {
            sessions.remove(&session);
            if sessions.is_empty() {
                self.counted.remove(user);
            }
        }
    }
}

impl FleetMove {
    fn of(entry: &PresenceEntry, is_join: bool) -> Self {
        let movement = Movement { channel: entry.channel.clone(), member: entry.member.clone() };
        Self { movement, is_join }
    }
}

/// The time that is `time` after `now`.
pub(super) fn behind(now: Instant, time: Duration) -> Instant {
    now.checked_add(time).unwrap_or(now)
}
