//! The members of a channel, as users: the subject of `join` and `leave`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use tokio::time::Instant;
use wirehub_common::frame::Member;

use super::SessionId;
use super::channel::Place;
use crate::checked_subtraction::decrement;
use crate::token_bucket::TokenBucket;

/// The users of a channel with joins and leaves. Anonymous sessions are not included: each is a member by itself, and needs no
/// memory.
pub(crate) struct Members {
    grace: Duration,
    users: HashMap<Arc<str>, UserPresence>,
    /// The places of the sessions, if the engine knows the users, and notices their joins and leaves.
    pub(super) places: HashMap<SessionId, Place>,
    /// `true` if a task waits for the end of a grace.
    pub(crate) is_scheduled: bool,
    pub(crate) queued: QueuedMoves,
}

/// A join or leave of a member.
#[derive(Debug, PartialEq)]
pub(crate) struct MemberMove {
    pub(crate) member: Member,
    pub(crate) is_join: bool,
    /// The place of a joining session, if it is one of this hub.
    pub(crate) place: Option<Place>,
}

/// Joins and leaves that wait to be sent. A few are sent at once. If there are more they wait for each other, and a member that
/// joins and leaves meanwhile is not mentioned at all. So a member that does this all the time costs its readers nothing.
pub(crate) struct QueuedMoves {
    /// The last move of each member, by user, or by session for anonymous ones.
    moves: IndexMap<(String, String), MemberMove>,
    /// The rate of moves that are sent at once.
    pace: TokenBucket,
    /// Until then moves do not cancel out, because a client has read the members between two of them.
    read_until: Option<Instant>,
    /// `true` if a task will send them.
    pub(crate) is_scheduled: bool,
}

enum UserPresence {
    /// The number of the user's sessions.
    Here(u32),
    /// No session is left. The last one counts until the end of the grace.
    Leaving { last: Box<Member>, until: Instant },
}

impl Members {
    /// An empty list. A user that leaves and comes back within `grace` has never left.
    pub(crate) fn new(grace: Duration) -> Self {
        let queued = QueuedMoves {
            moves: IndexMap::new(),
            pace: TokenBucket::new(IMMEDIATE_PER_SECOND, Instant::now()),
            read_until: None,
            is_scheduled: false,
        };
        Self { grace, users: HashMap::new(), places: HashMap::new(), is_scheduled: false, queued }
    }

    /// Adds a session. Returns `true` if the others have to be notified.
    pub(crate) fn enter(&mut self, user: &Arc<str>) -> bool {
        if user.is_empty() {
            return true;
        }
        match self.users.get_mut(user) {
            Some(UserPresence::Here(sessions)) => *sessions = sessions.saturating_add(1),
            Some(presence) => *presence = UserPresence::Here(1),
            None => {
                self.users.insert(Arc::clone(user), UserPresence::Here(1));
                return true;
            }
        }
        false
    }

    /// Removes a session. Returns its member if the others have to be notified now.
    pub(crate) fn leave(&mut self, user: &Arc<str>, member: Member) -> Option<Member> {
        if user.is_empty() {
            return Some(member);
        }
        match self.users.get_mut(user)? {
            UserPresence::Here(sessions) if *sessions > 1 => decrement(sessions),
            presence => {
                if let Some(until) = Instant::now().checked_add(self.grace).filter(|_| !self.grace.is_zero())
                {
                    *presence = UserPresence::Leaving { last: Box::new(member), until };
                } else {
                    self.users.remove(user);
                    return Some(member);
                }
            }
        }
        None
    }

    /// Removes the members whose grace has passed.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<Member> {
        let mut left = Vec::new();
        self.users.retain(|_, presence| match presence {
            UserPresence::Leaving { last, until } if *until <= now => {
                left.push(std::mem::take(&mut **last));
                false
            }
            _ => true,
        });
        left
    }

    /// The end of the next grace.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.leaving().map(|(_, until)| until).min()
    }

    /// The members that still count although they have no session.
    pub(crate) fn leaving(&self) -> impl Iterator<Item = (&Member, Instant)> {
        self.users.values().filter_map(|presence| match presence {
            UserPresence::Leaving { last, until } => Some((&**last, *until)),
            UserPresence::Here(_) => None,
        })
    }
}

impl QueuedMoves {
    /// Returns a move that has to be sent now; otherwise queues it.
    pub(crate) fn send_or_queue(&mut self, movement: MemberMove, now: Instant) -> Option<MemberMove> {
        if self.moves.is_empty() && self.pace.take(now) {
            return Some(movement);
        }
        let Member { user, session, .. } = &movement.member;
        let session = if user.is_empty() { session.clone() } else { String::new() };
        let who = (user.clone(), session);
        match self.moves.get(&who) {
            // The earlier opposite move was not sent: both cancel out.
            Some(before)
                if before.is_join != movement.is_join && self.read_until.is_none_or(|until| until < now) =>
            {
                drop(self.moves.swap_remove(&who));
            }
            _ => drop(self.moves.insert(who, movement)),
        }
        None
    }

    /// A client reads the members. A list that was made between two moves of a member has to be corrected by the second.
    pub(crate) fn note_read(&mut self, now: Instant) {
        self.read_until = now.checked_add(READ);
    }

    /// The next moves, about as many as fit into one message.
    pub(crate) fn take_batch(&mut self) -> Vec<MemberMove> {
        let mut bytes = 0_usize;
        let fit = self.moves.values().take_while(|movement| {
            let is_first = bytes == 0;
            bytes = bytes.saturating_add(MOVE_BYTES).saturating_add(movement.member.info.len());
            is_first || bytes <= BATCH_BYTES
        });
        let count = fit.count();
        self.moves.drain(..count).map(|(_, movement)| movement).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.moves.is_empty()
    }
}

impl MemberMove {
    pub(crate) fn join(member: Member, place: Option<Place>) -> Self {
        Self { member, is_join: true, place }
    }

    pub(crate) fn leave(member: Member) -> Self {
        Self { member, is_join: false, place: None }
    }
}

/// The interval of the notifications.
pub(crate) const NOTIFY_INTERVAL: Duration = Duration::from_millis(250);

/// How long a move may wait, or a store of several hubs take to read its members.
const READ: Duration = Duration::from_secs(5);

/// The moves per second that are sent at once.
const IMMEDIATE_PER_SECOND: u32 = 50;

/// The bytes of moves that are sent together, and the approximate size of a move without the member's info.
const BATCH_BYTES: usize = 64 * 1024;
const MOVE_BYTES: usize = 128;

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use super::*;

    const GRACE: Duration = Duration::from_secs(5);

    fn member(session: &str) -> Member {
        Member { session: session.into(), ..Member::default() }
    }

    #[test]
    fn a_user_with_another_session_does_not_leave() {
        // Without a grace a wrong leave would be a leave at once.
        let mut members = Members::new(Duration::ZERO);
        let ann: Arc<str> = "ann".into();
        members.enter(&ann);
        members.enter(&ann);
        assert_eq!(members.leave(&ann, member("1")), None);
        assert_eq!(members.leave(&ann, member("2")), Some(member("2")));
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_session_enters_and_the_last_one_leaves_after_the_grace() {
        let mut members = Members::new(GRACE);
        let ann: Arc<str> = "ann".into();
        assert!(members.enter(&ann));
        assert!(!members.enter(&ann), "a second session is no second person");
        assert_eq!(members.leave(&ann, member("1")), None);
        assert_eq!(members.leave(&ann, member("2")), None);
        assert_eq!(members.expire(Instant::now()), []);
        assert_eq!(members.leaving().count(), 1);
        tokio::time::advance(GRACE).await;
        assert_eq!(members.next_expiry(), Some(Instant::now()));
        assert_eq!(members.expire(Instant::now()), [member("2")]);
        assert_eq!(members.next_expiry(), None);
        assert!(members.enter(&ann));
    }

    #[tokio::test(start_paused = true)]
    async fn a_user_that_comes_back_within_the_grace_has_not_left() {
        let mut members = Members::new(GRACE);
        let ann: Arc<str> = "ann".into();
        assert!(members.enter(&ann));
        assert_eq!(members.leave(&ann, member("1")), None);
        assert!(!members.enter(&ann));
        tokio::time::advance(GRACE).await;
        assert_eq!(members.expire(Instant::now()), []);
        assert_eq!(members.leave(&ann, member("2")), None);
        assert_eq!(members.next_expiry(), Some(Instant::now() + GRACE));
    }

    fn came(session: &str) -> MemberMove {
        MemberMove::join(member(session), Some(Place::FIRST))
    }

    fn left(session: &str) -> MemberMove {
        MemberMove::leave(member(session))
    }

    #[test]
    fn the_first_moves_are_sent_at_once_and_opposite_moves_cancel_out() {
        let (mut queued, now) = (Members::new(GRACE).queued, Instant::now());
        let at_once = (0..1000).filter(|_| queued.send_or_queue(came("a"), now).is_some()).count();
        assert_eq!(at_once, 2 * IMMEDIATE_PER_SECOND as usize);
        // The join is sent already, and is queued again. Then the leave cancels it, and the queue is empty.
        assert_eq!(queued.take_batch(), [came("a")]);
        for step in 0..1000 {
            let session = step.to_string();
            assert_eq!(queued.send_or_queue(came(&session), now), None);
            assert_eq!(queued.send_or_queue(left(&session), now), None);
        }
        assert!(queued.is_empty());
        assert_eq!(queued.send_or_queue(left("a"), now), None);
        assert_eq!(queued.send_or_queue(came("b"), now), None);
        assert_eq!(queued.take_batch(), [left("a"), came("b")]);
        assert_eq!(
            queued.send_or_queue(came("c"), now + NOTIFY_INTERVAL),
            Some(came("c")),
            "it is quiet again"
        );
    }

    #[test]
    fn moves_do_not_cancel_out_around_a_read_of_the_members() {
        let (mut queued, now) = (Members::new(GRACE).queued, Instant::now());
        while queued.send_or_queue(came("other"), now).is_some() {}
        queued.take_batch();
        assert_eq!(queued.send_or_queue(came("a"), now), None);
        queued.note_read(now);
        assert_eq!(queued.send_or_queue(left("a"), now), None);
        assert_eq!(queued.take_batch(), [left("a")], "the reader has seen it");
        let later = now + READ + Duration::from_millis(1);
        while queued.send_or_queue(came("other"), later).is_some() {}
        queued.take_batch();
        assert_eq!(queued.send_or_queue(came("a"), later), None);
        assert_eq!(queued.send_or_queue(left("a"), later), None);
        assert!(queued.is_empty());
    }

    #[test]
    fn a_user_is_one_however_its_sessions_come_and_go() {
        let (mut queued, now) = (Members::new(Duration::ZERO).queued, Instant::now());
        while queued.send_or_queue(came("other"), now).is_some() {}
        queued.take_batch();
        let ann = |session: &str| Member { user: "ann".into(), ..member(session) };
        let gone = |session| MemberMove::leave(ann(session));
        let back = |session| MemberMove::join(ann(session), Some(Place::FIRST));
        assert_eq!(queued.send_or_queue(gone("1"), now), None);
        assert_eq!(queued.send_or_queue(back("2"), now), None);
        assert!(queued.is_empty());
        assert_eq!(queued.send_or_queue(gone("2"), now), None);
        assert_eq!(queued.take_batch(), [gone("2")]);
    }

    #[test]
    fn moves_that_are_sent_together_are_bounded() {
        let (mut queued, now) = (Members::new(GRACE).queued, Instant::now());
        while queued.send_or_queue(came("other"), now).is_some() {}
        queued.take_batch();
        for step in 0..1000 {
            queued.send_or_queue(came(&step.to_string()), now);
        }
        let large = Member { info: "x".repeat(2 * BATCH_BYTES), ..member("large") };
        queued.send_or_queue(MemberMove::join(large, Some(Place::FIRST)), now);
        let mut turns = Vec::new();
        while !queued.is_empty() {
            turns.push(queued.take_batch().len());
        }
        assert_eq!(turns, [512, 488, 1], "the large one goes alone");
    }

    #[test]
    fn without_a_name_or_a_grace_one_is_gone_at_once() {
        let (nobody, ann): (Arc<str>, Arc<str>) = ("".into(), "ann".into());
        let mut members = Members::new(Duration::ZERO);
        assert!(members.enter(&nobody) && members.enter(&nobody) && members.enter(&ann));
        assert_eq!(members.leave(&nobody, member("1")), Some(member("1")));
        assert_eq!(members.leave(&ann, member("2")), Some(member("2")));
        assert_eq!(members.leave(&ann, member("2")), None);
    }
}
