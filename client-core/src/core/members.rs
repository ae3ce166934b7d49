//! Lists of members that keep themselves: read once, then changed by joins and leaves, and read again when changes may be
//! missing.
//!
//! The answer to the question for the members may overtake joins and leaves, or be overtaken by them. So those that come
//! while the list is read are applied to it afterwards. For each member the last one of them is right, whether the list
//! was made before or after it.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cmp::Ordering;

use wirehub_common::code::ErrorCode;
use wirehub_common::frame::Member;
use wirehub_common::view::{self, Body};
use wirehub_common::{ChannelName, compose};

use super::Core;
use super::subscriptions::{RETRY_AFTER, RETRY_SPREAD, SubscriptionId};
use crate::{Error, ErrorKind, Listener, Time};

/// A change of a list of members. See [`Core::watch_members`].
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum MembersChange<'a> {
    /// From the place `at` on, as many members as `removed` says were replaced by others. A listener that makes the same
    /// change has the same list, in the same order.
    Replaced {
        /// The place in the list, from 0.
        at: usize,
        /// The number of members that are not there any more.
        removed: usize,
        /// The members that are there instead.
        by: &'a [Box<Member>],
    },
    /// The list can't be read. It is tried again with the next connection.
    Failed(&'a Error),
}

/// The members of one channel.
#[derive(Debug)]
pub(super) struct MemberList {
    /// Sorted: users by name, then anonymous sessions. They are in boxes because there can be many, and they are moved.
    #[allow(clippy::vec_box, reason = "as the docs say")]
    there: Vec<Box<Member>>,
    /// Whether it has been read.
    is_read: bool,
    reading: Option<Reading>,
    /// The time at which it has to be read.
    due: Time,
}

/// A list that is being read.
#[derive(Debug)]
pub(super) struct Reading {
    /// The command for the next page.
    command: u32,
    #[allow(clippy::vec_box, reason = "as for the list")]
    read: Vec<Box<Member>>,
    /// The last join (`true`) or leave of each member meanwhile, sorted like the list.
    changes: Vec<(Box<Member>, bool)>,
    /// Changes were lost meanwhile: it has to be read once more.
    is_outdated: bool,
}

/// The questions for members that are in flight, and the earliest time at which a list has to be read.
#[derive(Debug)]
pub(super) struct MemberReads {
    commands: Vec<u32>,
    due: Time,
}

impl MemberReads {
    pub(super) const fn new() -> Self {
        Self { commands: Vec::new(), due: Time::NEVER }
    }

    pub(super) fn deadline(&self) -> Time {
        self.due
    }

    /// A list has to be read at this time.
    pub(super) fn note(&mut self, due: Time) {
        self.due = self.due.min(due);
    }

    pub(super) fn have_asked(&self, command: u32) -> bool {
        self.commands.contains(&command)
    }

    /// The connection is lost.
    pub(super) fn clear(&mut self) {
        self.commands.clear();
        self.due = Time::NEVER;
    }
}

impl MemberList {
    fn new() -> Self {
        Self { there: Vec::new(), is_read: false, reading: None, due: Time::NEVER }
    }

    /// The list has to be read.
    pub(super) fn expire(&mut self, reads: &mut MemberReads, at: Time) {
        match &mut self.reading {
            Some(reading) => reading.is_outdated = true,
            None => {
                self.due = self.due.min(at);
                reads.due = reads.due.min(at);
            }
        }
    }

    /// The connection is lost.
    pub(super) fn stop_reading(&mut self) {
        self.reading = None;
        self.due = Time::NEVER;
    }

    /// Applies a join or leave; returns the change of the list, if it has one.
    fn apply(&mut self, member: &Member, joined: bool) -> Option<MembersChange<'_>> {
        let (at, removed) = match (place(&self.there, member), joined) {
            (Ok(at), true) => {
                let there = self.there.get_mut(at)?;
                let is_same = there.info == member.info;
                (**there).clone_from(member);
                if is_same {
                    return None;
                }
                (at, 1)
            }
            (Ok(at), false) => {
                self.there.remove(at);
                (at, 1)
            }
            (Err(at), true) => {
                self.there.insert(at, Box::new(member.clone()));
                (at, 0)
            }
            (Err(_), false) => return None,
        };
        let end = at.saturating_add(joined.into());
        Some(MembersChange::Replaced { at, removed, by: self.there.get(at..end).unwrap_or_default() })
    }

    /// Notes a join or leave.
    pub(super) fn note<L: Listener>(
        &mut self,
        id: SubscriptionId,
        member: view::Member<'_>,
        joined: bool,
        listener: &mut L,
    ) {
        let member = member.read();
        if self.is_read
            && let Some(change) = self.apply(&member, joined)
        {
            listener.members(id, change);
        }
        if let Some(reading) = &mut self.reading {
            let found = reading.changes.binary_search_by(|(one, _)| order(one, &member));
            match found.map(|index| reading.changes.get_mut(index)) {
                Ok(Some(change)) => *change = (Box::new(member), joined),
                Ok(None) => {}
                Err(index) => reading.changes.insert(index, (Box::new(member), joined)),
            }
        }
    }
}

impl<L: Listener> Core<L> {
    /// Keeps a list of the members of a subscription's channel: each user once, and each anonymous session. It is read
    /// now or once the subscription is active, changed by joins and leaves, and read again after a reconnect and when
    /// changes were lost. [`Event::Members`](crate::Event::Members) follows each change. If the channel reports no joins and leaves, the list
    /// is that of the last connect. Does nothing if the list is kept already, or the subscription has ended.
    pub fn watch_members(&mut self, now: Time, subscription: SubscriptionId) {
        let Some(wanted) = self.subscriptions.with_id(subscription) else { return };
        if wanted.members.is_some() {
            return;
        }
        let mut list = Box::new(MemberList::new());
        list.expire(&mut self.subscriptions.reads, Time::ZERO);
        if let Some(wanted) = self.subscriptions.with_id(subscription) {
            wanted.members = Some(list);
        }
        self.read_members_due(now);
    }

    /// The members of a [watched](Self::watch_members) channel, users by name before anonymous sessions; nothing before
    /// the list was read. Without a connection they are those of before.
    pub fn members(&self, subscription: SubscriptionId) -> Option<&[Box<Member>]> {
        let list = self.subscriptions.members(subscription)?;
        list.is_read.then_some(&list.there[..])
    }

    /// Asks for the lists that have to be read.
    pub(super) fn read_members_due(&mut self, now: Time) {
        if self.subscriptions.reads.due > now {
            return;
        }
        self.subscriptions.reads.due = Time::NEVER;
        // Every list is read when its subscription becomes active.
        if !self.is_up() {
            return;
        }
        for channel in self.subscriptions.with_members_due(now) {
            self.read_members(&channel, Reading::new(), "");
        }
    }

    /// Asks for a page of members, behind a session.
    fn read_members(&mut self, channel: &ChannelName, reading: Reading, after: &str) {
        let command = self.next_id();
        let Some(list) = self.subscriptions.member_list(channel) else { return };
        list.reading = Some(Reading { command, ..reading });
        list.due = Time::NEVER;
        self.subscriptions.reads.commands.push(command);
        self.send_transient(compose::presence(command, channel, false, after));
    }

    pub(super) fn handle_members(&mut self, now: Time, command: u32, answer: Body<'_>) {
        self.subscriptions.reads.commands.retain(|asked| *asked != command);
        let Some((id, channel, mut reading)) = self.subscriptions.take_reading(command) else { return };
        let error = match answer {
            Body::Presence(page) => {
                let mut last = "";
                for member in page.members() {
                    last = member.session();
                    let member = member.read();
                    if let Err(index) = place(&reading.read, &member) {
                        reading.read.insert(index, Box::new(member));
                    }
                }
                if page.more() && !last.is_empty() {
                    return self.read_members(&channel, reading, last);
                }
                return self.take_members(now, id, &channel, reading);
            }
            Body::Error(error) => Error::from(error),
            _ => Error::from_code(ErrorKind::Server, ErrorCode::UNSUPPORTED),
        };
        if error.is_temporary() {
            let again = now.plus(RETRY_AFTER).plus(self.backoff.spread(RETRY_SPREAD));
            let (list, reads) = self.subscriptions.list_and_reads(&channel);
            if let Some(list) = list {
                list.expire(reads, again);
            }
        } else {
            self.listener.members(id, MembersChange::Failed(&error));
        }
    }

    /// Takes a list that was read.
    fn take_members(&mut self, now: Time, id: SubscriptionId, channel: &ChannelName, reading: Reading) {
        let (Some(list), reads) = self.subscriptions.list_and_reads(channel) else { return };
        let Reading { read, changes, is_outdated, .. } = reading;
        let removed = list.there.len();
        list.there = read;
        list.is_read = true;
        for (member, joined) in changes {
            list.apply(&member, joined);
        }
        if is_outdated {
            list.expire(reads, now.plus(RETRY_AFTER));
        }
        self.listener.members(id, MembersChange::Replaced { at: 0, removed, by: &list.there });
    }
}

impl MemberList {
    /// Takes the reading that this command belongs to.
    pub(super) fn take_reading(&mut self, command: u32) -> Option<Reading> {
        self.reading.take_if(|reading| reading.command == command)
    }

    pub(super) fn is_due(&self, now: Time) -> bool {
        self.due <= now
    }

    /// The time at which it has to be read.
    pub(super) fn due(&self) -> Time {
        self.due
    }
}

impl Reading {
    const fn new() -> Self {
        Self { command: 0, read: Vec::new(), changes: Vec::new(), is_outdated: false }
    }
}

/// The place of a member in a sorted list.
fn place(list: &[Box<Member>], member: &Member) -> Result<usize, usize> {
    list.binary_search_by(|one| order(one, member))
}

fn order(one: &Member, other: &Member) -> Ordering {
    key(one).cmp(&key(other))
}

/// A user is one member, with any number of sessions. An anonymous session is a member by itself.
fn key(member: &Member) -> (bool, &str) {
    if member.user.is_empty() { (true, &member.session) } else { (false, &member.user) }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::{String, ToString as _};

    use super::*;

    #[test]
    fn a_listener_that_makes_the_reported_changes_has_the_same_list() {
        let mut list = MemberList::new();
        let mut mirror: Vec<Box<Member>> = Vec::new();
        // Users and anonymous sessions, in any order, many of them more than once, with other infos.
        for step in 0..500_u32 {
            let who = step.wrapping_mul(2_654_435_761) >> 28;
            let user = if who % 3 == 0 { String::new() } else { format!("user {who}") };
            let info = (step % 5).to_string();
            let member = Member { session: format!("session {who}"), user, info };
            if let Some(MembersChange::Replaced { at, removed, by }) = list.apply(&member, step % 7 < 4) {
                mirror.splice(at..at + removed, by.to_vec());
            }
            assert_eq!(mirror, list.there, "after step {step}");
        }
        assert!(mirror.len() > 2);
    }
}
