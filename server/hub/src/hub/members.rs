//! Who is in a channel, as people: what its `join` and `leave` speak of.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use tokio::time::Instant;
use wirehub_common::frame::Member;

use super::channel::Place;
use crate::account::one_less;
use crate::rate::Rate;

/// The users of a channel whose subscribers are told who comes and goes. Anonymous sessions are not in it: each stands
/// for itself, and needs no memory.
pub(crate) struct Members {
    grace: Duration,
    users: HashMap<Arc<str>, Presence>,
    /// Whether somebody waits for the end of a grace.
    pub(crate) is_watched: bool,
    pub(crate) untold: Untold,
}

/// That somebody came, or has left.
#[derive(Debug, PartialEq)]
pub(crate) struct Move {
    pub(crate) member: Member,
    /// Where its session is, if it came.
    pub(crate) place: Option<Place>,
}

/// Who came and has left and is to be told yet. A few are told at once; where there are more they wait for each other, and who
/// comes and goes meanwhile is not told of at all: so one who does that all the time costs its readers nothing.
pub(crate) struct Untold {
    /// The last move of each member, by user or else by session.
    moves: IndexMap<(String, String), Move>,
    /// Those that are told at once.
    pace: Rate,
    /// Whether somebody tells them.
    pub(crate) is_watched: bool,
}

enum Presence {
    /// So many sessions.
    Here(u32),
    /// None any more; the last one was this, and it counts until then.
    Leaving { last: Box<Member>, until: Instant },
}

impl Members {
    /// Nobody yet. Who leaves and comes back within `grace` was not away.
    pub(crate) fn new(grace: Duration) -> Self {
        let untold =
            Untold { moves: IndexMap::new(), pace: Rate::new(AT_ONCE, Instant::now()), is_watched: false };
        Self { grace, users: HashMap::new(), is_watched: false, untold }
    }

    /// A session entered. Says whether others have to be told.
    pub(crate) fn enter(&mut self, user: &Arc<str>) -> bool {
        if user.is_empty() {
            return true;
        }
        match self.users.get_mut(user) {
            Some(Presence::Here(sessions)) => *sessions = sessions.saturating_add(1),
            Some(presence) => *presence = Presence::Here(1),
            None => {
                self.users.insert(Arc::clone(user), Presence::Here(1));
                return true;
            }
        }
        false
    }

    /// A session left. Gives it back where others have to be told now.
    pub(crate) fn leave(&mut self, user: &Arc<str>, member: Member) -> Option<Member> {
        if user.is_empty() {
            return Some(member);
        }
        match self.users.get_mut(user)? {
            Presence::Here(sessions) if *sessions > 1 => one_less(sessions),
            presence => {
                if let Some(until) = Instant::now().checked_add(self.grace).filter(|_| !self.grace.is_zero())
                {
                    *presence = Presence::Leaving { last: Box::new(member), until };
                } else {
                    self.users.remove(user);
                    return Some(member);
                }
            }
        }
        None
    }

    /// Takes out those whose grace has passed.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<Member> {
        let mut left = Vec::new();
        self.users.retain(|_, presence| match presence {
            Presence::Leaving { last, until } if *until <= now => {
                left.push(std::mem::take(&mut **last));
                false
            }
            _ => true,
        });
        left
    }

    /// When the next grace passes.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.leaving().map(|(_, until)| until).min()
    }

    /// Those who still count although no session of theirs is there.
    pub(crate) fn leaving(&self) -> impl Iterator<Item = (&Member, Instant)> {
        self.users.values().filter_map(|presence| match presence {
            Presence::Leaving { last, until } => Some((&**last, *until)),
            Presence::Here(_) => None,
        })
    }
}

impl Untold {
    /// Gives a move back that is to be told now; keeps it otherwise.
    pub(crate) fn keep(&mut self, movement: Move, now: Instant) -> Option<Move> {
        if self.moves.is_empty() && self.pace.take(now) {
            return Some(movement);
        }
        let Member { user, session, .. } = &movement.member;
        let session = if user.is_empty() { session.clone() } else { String::new() };
        let who = (user.clone(), session);
        match self.moves.get(&who) {
            // Nobody has been told of the other one: nothing happened.
            Some(before) if before.joins() != movement.joins() => drop(self.moves.swap_remove(&who)),
            _ => drop(self.moves.insert(who, movement)),
        }
        None
    }

    /// Those whose turn has come: as many as make about one message.
    pub(crate) fn take_some(&mut self) -> Vec<Move> {
        let mut bytes = 0_usize;
        let fit = self.moves.values().take_while(|movement| {
            let is_first = bytes == 0;
            bytes = bytes.saturating_add(MOVE_BYTES).saturating_add(movement.member.info.len());
            is_first || bytes <= TOGETHER_BYTES
        });
        let count = fit.count();
        self.moves.drain(..count).map(|(_, movement)| movement).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.moves.is_empty()
    }
}

impl Move {
    pub(crate) fn joins(&self) -> bool {
        self.place.is_some()
    }
}

/// How often the others are told.
pub(crate) const TURN: Duration = Duration::from_millis(250);

/// How many moves a second are told at once.
const AT_ONCE: u32 = 50;

/// How much is told together, and about how much a move is beside what is shown of the member.
const TOGETHER_BYTES: usize = 64 * 1024;
const MOVE_BYTES: usize = 128;

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use super::*;

    const GRACE: Duration = Duration::from_secs(5);

    fn member(session: &str) -> Member {
        Member { session: session.into(), ..Member::default() }
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
    async fn who_comes_back_within_the_grace_was_not_away() {
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

    fn came(session: &str) -> Move {
        Move { member: member(session), place: Some(Place::FIRST) }
    }

    fn left(session: &str) -> Move {
        Move { member: member(session), place: None }
    }

    #[test]
    fn the_first_moves_are_told_at_once_and_who_comes_and_goes_meanwhile_is_not_told() {
        let (mut untold, now) = (Members::new(GRACE).untold, Instant::now());
        let at_once = (0..1000).filter(|_| untold.keep(came("a"), now).is_some()).count();
        assert_eq!(at_once, 2 * AT_ONCE as usize);
        // That it came is told already, and is told again; it goes, and nothing is left.
        assert_eq!(untold.take_some(), [came("a")]);
        for step in 0..1000 {
            let session = step.to_string();
            assert_eq!(untold.keep(came(&session), now), None);
            assert_eq!(untold.keep(left(&session), now), None);
        }
        assert!(untold.is_empty());
        assert_eq!(untold.keep(left("a"), now), None);
        assert_eq!(untold.keep(came("b"), now), None);
        assert_eq!(untold.take_some(), [left("a"), came("b")]);
        assert_eq!(untold.keep(came("c"), now + TURN), Some(came("c")), "it is quiet again");
    }

    #[test]
    fn a_user_is_one_however_its_sessions_come_and_go() {
        let (mut untold, now) = (Members::new(Duration::ZERO).untold, Instant::now());
        while untold.keep(came("other"), now).is_some() {}
        untold.take_some();
        let ann = |session: &str| Member { user: "ann".into(), ..member(session) };
        let gone = |session| Move { member: ann(session), place: None };
        let back = |session| Move { member: ann(session), place: Some(Place::FIRST) };
        assert_eq!(untold.keep(gone("1"), now), None);
        assert_eq!(untold.keep(back("2"), now), None);
        assert!(untold.is_empty());
        assert_eq!(untold.keep(gone("2"), now), None);
        assert_eq!(untold.take_some(), [gone("2")]);
    }

    #[test]
    fn what_is_told_together_is_bounded() {
        let (mut untold, now) = (Members::new(GRACE).untold, Instant::now());
        while untold.keep(came("other"), now).is_some() {}
        untold.take_some();
        for step in 0..1000 {
            untold.keep(came(&step.to_string()), now);
        }
        let large = Member { info: "x".repeat(2 * TOGETHER_BYTES), ..member("large") };
        untold.keep(Move { member: large, place: Some(Place::FIRST) }, now);
        let mut turns = Vec::new();
        while !untold.is_empty() {
            turns.push(untold.take_some().len());
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
