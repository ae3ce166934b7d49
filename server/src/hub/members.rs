//! Who is in a channel, as people: what its `join` and `leave` speak of.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use wirehub_common::frame::Member;

/// The users of a channel whose subscribers are told who comes and goes. Anonymous sessions are not in it: each stands
/// for itself, and needs no memory.
pub(crate) struct Members {
    grace: Duration,
    users: HashMap<Arc<str>, Presence>,
    /// Whether somebody waits for the end of a grace.
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
        Self { grace, users: HashMap::new(), is_watched: false }
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
            Presence::Here(sessions) if *sessions > 1 => *sessions = sessions.saturating_sub(1),
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

#[cfg(test)]
mod tests {
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
