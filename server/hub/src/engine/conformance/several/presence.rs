//! The promises of `Presence`.

use std::thread;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};
use wirehub_common::frame::Member;

use super::{LOOK, Node, WHILE, name, nodes, stays, until, until_answered};
use crate::SessionId;
use crate::engine::{Engine, EngineError, EngineFuture, NODE_EXPIRY, Presence, PresenceEntry};
use crate::observe::MemberPage;

pub(super) async fn check<E: Engine>(make: &impl AsyncFn(usize) -> Vec<E>) {
    members_are_listed_page_by_page_in_the_order_of_their_ids(&nodes(make).await).await;
    answers_contain_the_earlier_calls(&nodes(make).await).await;
    calls_for_a_session_take_effect_in_their_order(&nodes(make).await).await;
    to_enter_again_changes_nothing(&nodes(make).await).await;
    a_user_joins_once_and_leaves_once_after_the_grace(&nodes(make).await).await;
    a_user_that_comes_back_within_the_grace_has_not_left(&nodes(make).await).await;
    each_anonymous_session_is_a_member_and_leaves_without_a_grace(&nodes(make).await).await;
    without_joins_and_leaves_a_session_is_gone_at_once(&nodes(make).await).await;
    a_user_has_no_more_sessions_than_the_limit(&nodes(make).await).await;
    sessions_are_counted_in_the_order_of_the_calls(&nodes(make).await).await;
    the_sessions_of_a_dead_node_leave_and_come_back_with_it(nodes(make).await).await;
}

/// The time within which a user may come back. It is long enough for a store that answers slowly.
const GRACE: Duration = Duration::from_secs(3);

fn session(number: u8) -> SessionId {
    // Ids do not begin in the order of their numbers as texts.
    SessionId::from_bytes([number.wrapping_mul(67); 16])
}

fn entry(channel: &str, number: u8, user: &str) -> PresenceEntry {
    let info = format!(r#"{{"number":{number}}}"#);
    let member = Member { session: session(number).to_string(), user: user.into(), info };
    PresenceEntry { grace: Some(GRACE), ..PresenceEntry::new(name(channel), session(number), member) }
}

impl<E: Engine> Node<E> {
    /// Enters a session. A join must not arrive within the call.
    fn enter(&self, entry: PresenceEntry) -> EngineFuture<()> {
        self.call(|presence| presence.enter(entry))
    }

    fn leave(&self, entry: PresenceEntry) -> EngineFuture<()> {
        self.call(|presence| presence.leave(entry))
    }

    fn call(&self, call: impl FnOnce(&dyn Presence) -> EngineFuture<()>) -> EngineFuture<()> {
        *self.arrived.calling.lock() = Some(thread::current().id());
        let answer = call(self.presence());
        *self.arrived.calling.lock() = None;
        answer
    }

    async fn page(&self, channel: &str, after: Option<SessionId>, most: usize) -> MemberPage {
        self.presence().members(&name(channel), after, most).await.expect("the engine works")
    }

    async fn members(&self, channel: &str) -> Vec<Member> {
        self.page(channel, None, 1000).await.members
    }

    async fn counts(&self, channel: &str) -> (usize, usize) {
        let counts = self.presence().counts(&name(channel)).await.expect("the engine works");
        (counts.sessions, counts.users)
    }

    /// The joins and leaves in a channel, as `+ann` and `-ann`.
    fn moves(&self, channel: &str) -> Vec<String> {
        let moves = self.arrived.moves.lock();
        let of_channel = moves.iter().filter(|(movement, _)| movement.channel.as_str() == channel);
        let sign = |is_join: &bool| if *is_join { '+' } else { '-' };
        of_channel.map(|(movement, is_join)| format!("{}{}", sign(is_join), movement.member.user)).collect()
    }

    async fn count(&self, user: &str, number: u8, limit: u32) -> bool {
        self.presence().count_session(user, session(number), limit).await.expect("the engine works")
    }

    async fn uncount(&self, user: &str, number: u8) {
        self.presence().uncount_session(user, session(number)).await.expect("the engine works");
    }
}

fn sorted(mut moves: Vec<String>) -> Vec<String> {
    moves.sort();
    moves
}

async fn works(answer: EngineFuture<()>) {
    answer.await.expect("the engine works");
}

async fn members_are_listed_page_by_page_in_the_order_of_their_ids<E: Engine>(nodes: &[Node<E>; 3]) {
    let mut expected = Vec::new();
    for (number, node) in (1..=7).zip(nodes.iter().cycle()) {
        let user = ["ann", "bob", ""][usize::from(number) % 3];
        works(node.enter(entry("a", number, user))).await;
        expected.push((session(number), entry("a", number, user).member));
    }
    works(nodes[0].enter(entry("b", 8, "eve"))).await;
    expected.sort_by_key(|(id, _)| *id);
    let (ids, expected): (Vec<_>, Vec<_>) = expected.into_iter().unzip();
    for node in nodes {
        assert_eq!(node.members("a").await, expected, "with their infos, in the order of their ids");
        assert_eq!(node.counts("a").await, (7, 4), "two users, and two anonymous sessions");
        for (after, most, from, to) in [
            (None, 3, 0, 3),
            (Some(ids[2]), 3, 3, 6),
            (Some(ids[5]), 3, 6, 7),
            (Some(ids[6]), 3, 7, 7),
            (None, 7, 0, 7),
            (None, 0, 0, 0),
        ] {
            let page = node.page("a", after, most).await;
            assert_eq!(page.members, expected[from..to]);
            assert_eq!(page.more, to < 7, "the page says if there are more");
        }
        // The session at which a page begins need not be a member.
        let behind = SessionId::from_bytes((u128::from_be_bytes(ids[3].to_bytes()) + 1).to_be_bytes());
        assert_eq!(node.page("a", Some(behind), 9).await.members, expected[4..]);
        assert_eq!((node.members("b").await.len(), node.counts("b").await), (1, (1, 1)));
        assert_eq!((node.members("c").await.len(), node.counts("c").await), (0, (0, 0)));
    }
}

async fn answers_contain_the_earlier_calls<E: Engine>([node]: &[Node<E>; 1]) {
    let channel = name("a");
    for number in 1..=20 {
        // Without a wait for the answer.
        let entered = node.enter(entry("a", number, ""));
        let (page, counts) =
            (node.presence().members(&channel, None, 1000), node.presence().counts(&channel));
        let expected = usize::from(number);
        assert_eq!(counts.await.expect("the engine works").sessions, expected, "the earlier calls");
        assert_eq!(page.await.expect("the engine works").members.len(), expected, "the earlier calls");
        works(entered).await;
    }
}

async fn calls_for_a_session_take_effect_in_their_order<E: Engine>([one, other]: &[Node<E>; 2]) {
    for stays_in in [true, false] {
        let mut answers = Vec::new();
        for _ in 0..20 {
            answers.push(one.enter(entry("a", 1, "")));
            answers.push(one.leave(entry("a", 1, "")));
        }
        if stays_in {
            answers.push(one.enter(entry("a", 1, "")));
        }
        let answers: Result<Vec<()>, EngineError> = join_all(answers).await.into_iter().collect();
        answers.expect("the engine works");
        assert_eq!(other.counts("a").await.0, usize::from(stays_in), "the last call counts");
    }
}

async fn to_enter_again_changes_nothing<E: Engine>([one, other]: &[Node<E>; 2]) {
    other.attach("a").await;
    for _ in 0..3 {
        works(one.enter(entry("a", 1, "ann"))).await;
        works(one.enter(entry("a", 2, ""))).await;
    }
    assert_eq!(one.counts("a").await, (2, 2));
    until("both join", || other.moves("a").len() >= 2).await;
    stays("they join once", WHILE, || sorted(other.moves("a")) == ["+", "+ann"]).await;
    works(one.leave(entry("a", 2, ""))).await;
    assert_eq!(one.counts("a").await, (1, 1), "one end is enough");
    works(one.leave(entry("a", 2, ""))).await;
    works(one.leave(entry("a", 9, "bob"))).await;
    assert_eq!(one.counts("a").await, (1, 1), "what is not there can't leave");
}

async fn a_user_joins_once_and_leaves_once_after_the_grace<E: Engine>([one, other, third]: &[Node<E>; 3]) {
    one.attach("a").await;
    other.attach("a").await;
    third.attach("b").await;
    works(one.enter(entry("a", 1, "ann"))).await;
    works(other.enter(entry("a", 2, "ann"))).await;
    works(third.enter(entry("a", 3, "ann"))).await;
    for node in [one, other] {
        until("the first session of a user joins", || !node.moves("a").is_empty()).await;
        assert_eq!(node.arrived.moves.lock()[0].0.member, entry("a", 1, "ann").member);
    }
    assert_eq!(third.counts("a").await, (3, 1), "three sessions of one user");
    works(one.leave(entry("a", 1, "ann"))).await;
    works(third.leave(entry("a", 3, "ann"))).await;
    assert_eq!(third.counts("a").await, (1, 1));
    works(other.leave(entry("a", 2, "ann"))).await;
    let left = Instant::now();
    assert_eq!(one.counts("a").await, (1, 1), "the last session is a member until the grace has passed");
    assert_eq!(one.members("a").await, [entry("a", 2, "ann").member]);
    while left.elapsed() < GRACE / 2 {
        assert_eq!(one.moves("a"), ["+ann"], "no leave before the grace has passed");
        sleep(LOOK).await;
    }
    for node in [one, other] {
        until("the last session of a user leaves", || node.moves("a").len() >= 2).await;
        assert_eq!(node.moves("a"), ["+ann", "-ann"], "one join and one leave");
    }
    until_answered("the user is no member", async || one.counts("a").await == (0, 0)).await;
    assert_eq!(one.members("a").await, []);
    stays("no more", WHILE, || [one, other].iter().all(|node| node.moves("a").len() == 2)).await;
    assert!(third.moves("a").is_empty(), "the channel is not attached there");
}

async fn a_user_that_comes_back_within_the_grace_has_not_left<E: Engine>([one, other]: &[Node<E>; 2]) {
    one.attach("a").await;
    works(one.enter(entry("a", 1, "ann"))).await;
    for number in 2..=4 {
        works(one.leave(entry("a", number - 1, "ann"))).await;
        works(other.enter(entry("a", number, "ann"))).await;
        works(other.leave(entry("a", number, "ann"))).await;
        works(one.enter(entry("a", number, "ann"))).await;
        assert_eq!(other.members("a").await, [entry("a", number, "ann").member], "only its last session");
    }
    until("it has joined", || !one.moves("a").is_empty()).await;
    stays("it has not left", GRACE * 2, || one.moves("a") == ["+ann"]).await;
    assert_eq!(other.counts("a").await, (1, 1));
}

async fn each_anonymous_session_is_a_member_and_leaves_without_a_grace<E: Engine>(
    [one, other]: &[Node<E>; 2],
) {
    one.attach("a").await;
    works(one.enter(entry("a", 1, ""))).await;
    works(other.enter(entry("a", 2, ""))).await;
    assert_eq!(one.counts("a").await, (2, 2));
    works(one.leave(entry("a", 1, ""))).await;
    works(other.leave(entry("a", 2, ""))).await;
    assert_eq!(one.counts("a").await, (0, 0), "without a grace");
    until("each joins and leaves", || one.moves("a").len() >= 4).await;
    let members = one
        .arrived
        .moves
        .lock()
        .iter()
        .map(|(movement, _)| movement.member.session.clone())
        .collect::<Vec<_>>();
    for number in [1, 2] {
        assert_eq!(members.iter().filter(|id| **id == session(number).to_string()).count(), 2);
    }
    // A grace of zero is the same for a user.
    let ann = PresenceEntry { grace: Some(Duration::ZERO), ..entry("z", 3, "ann") };
    works(one.enter(ann.clone())).await;
    works(one.leave(ann)).await;
    assert_eq!(one.counts("z").await, (0, 0), "without a grace");
}

async fn without_joins_and_leaves_a_session_is_gone_at_once<E: Engine>([one, other]: &[Node<E>; 2]) {
    one.attach("a").await;
    let ann = PresenceEntry { grace: None, ..entry("a", 1, "ann") };
    works(other.enter(ann.clone())).await;
    assert_eq!(one.counts("a").await, (1, 1));
    works(other.leave(ann)).await;
    assert_eq!(one.counts("a").await, (0, 0), "without a grace");
    stays("there are no joins and leaves", WHILE, || one.moves("a").is_empty()).await;
}

async fn a_user_has_no_more_sessions_than_the_limit<E: Engine>([one, other]: &[Node<E>; 2]) {
    assert!(one.count("ann", 1, 2).await);
    assert!(other.count("ann", 2, 2).await);
    assert!(!other.count("ann", 3, 2).await, "the user has two sessions already");
    assert!(one.count("ann", 1, 2).await, "it is counted already");
    assert!(one.count("bob", 4, 2).await, "another user");
    assert!(one.count("ann", 3, 3).await, "another limit");
    assert!(!one.count("ann", 5, 1).await);
    one.uncount("ann", 3).await;
    one.uncount("ann", 9).await;
    assert!(!other.count("ann", 3, 2).await, "the session has ended, and there is no room for it");
    other.uncount("ann", 2).await;
    assert!(one.count("ann", 3, 2).await, "there is room");
    assert!(!one.count("eve", 6, 0).await);
}

async fn sessions_are_counted_in_the_order_of_the_calls<E: Engine>([one, other]: &[Node<E>; 2]) {
    let presence = one.presence();
    for round in 1..=10 {
        // Without a wait for answers.
        let first = presence.count_session("ann", session(round), 1);
        let uncounted = presence.uncount_session("ann", session(round));
        let second = presence.count_session("ann", session(100 + round), 1);
        assert!(first.await.expect("the engine works"));
        works(uncounted).await;
        assert!(second.await.expect("the engine works"), "the first session has ended");
        assert!(!other.count("ann", 99, 1).await);
        one.uncount("ann", 100 + round).await;
    }
}

async fn the_sessions_of_a_dead_node_leave_and_come_back_with_it<E: Engine>([one, mut other]: [Node<E>; 2]) {
    one.attach("a").await;
    for (node, number, user) in [(&one, 1, "bob"), (&other, 2, "bob"), (&other, 3, "ann"), (&other, 4, "")] {
        works(node.enter(entry("a", number, user))).await;
    }
    assert!(other.count("ann", 3, 1).await);
    assert!(!one.count("ann", 5, 1).await);
    other.fall_silent();
    // The last report may be two seconds old.
    let alive = NODE_EXPIRY - Duration::from_secs(4);
    until("they join", || one.moves("a").len() >= 3).await;
    let joins = ["+", "+ann", "+bob"];
    stays("nobody leaves as long as the node lives", alive, || sorted(one.moves("a")) == joins).await;
    until("the sessions of a dead node leave", || one.moves("a").len() >= 5).await;
    assert_eq!(one.moves("a")[3..], ["-", "-ann"], "users with their grace");
    assert_eq!(one.counts("a").await, (1, 1));
    assert!(one.count("ann", 5, 1).await, "the sessions of a dead node do not count");
    assert_eq!(*other.arrived.losses.lock(), 0, "a node that says nothing hears nothing");
    other.report_on().await;
    until("a node that comes back hears that its presence was lost", || *other.arrived.losses.lock() > 0)
        .await;
    assert_eq!(*one.arrived.losses.lock(), 0, "the other node has lost nothing");
    for (number, user) in [(2, "bob"), (3, "ann")] {
        works(other.enter(entry("a", number, user))).await;
    }
    assert_eq!(one.counts("a").await, (3, 2));
    until("the user joins again", || one.moves("a").last().is_some_and(|last| last == "+ann")).await;
    stays("it lives on", WHILE, || one.moves("a").len() == 6).await;
}
