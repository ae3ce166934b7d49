//! Several hubs with one store: presence, and the sessions of users, on all nodes.

use std::time::SystemTime;

use tokio::time::{sleep, timeout, timeout_at};
use wirehub_common::frame::{Cancel, Connected, Member, Movement, PresenceList, Unsubscribe};

use super::*;
use crate::engine::{
    MemoryFleet, MemoryNode, NODE_EXPIRY, NodeReport, Nodes as _, Presence as _, PresenceEntry,
};
use crate::observe::PresenceCounts;

/// A hub of a fleet.
struct FleetHub {
    hub: Hub,
    node: MemoryNode,
    /// Reports that the hub lives.
    reports: JoinHandle<()>,
}

impl Drop for FleetHub {
    fn drop(&mut self) {
        self.reports.abort();
    }
}

const GRACE: Duration = Duration::from_secs(5);

/// The time in which everything has happened that needs no waiting.
const SOON: Duration = Duration::from_millis(400);

fn hub_of(fleet: &MemoryFleet, change: impl Fn(Builder) -> Builder) -> FleetHub {
    let rules = Namespace::open().presence(Access::Everybody).join_leave(GRACE);
    let builder = Builder::open().default_namespace(rules).authenticate(async |credentials| {
        match &*credentials.token {
            "" => Ok(Authenticated::anonymous()),
            user => Ok(Authenticated::user(user)),
        }
    });
    let node = fleet.node();
    let hub = change(builder).engine(node.clone()).build();
    let reporter = node.clone();
    let reports = tokio::spawn(async move {
        loop {
            let report = NodeReport::new("one", "1.0.0", SystemTime::UNIX_EPOCH);
            // A node without a connection does not live long.
            let _ = reporter.report(report).await;
            sleep(Duration::from_secs(2)).await;
        }
    });
    FleetHub { hub, node, reports }
}

fn hubs<const N: usize>() -> [FleetHub; N] {
    let fleet = MemoryFleet::new();
    [(); N].map(|()| hub_of(&fleet, |builder| builder))
}

/// Connects as a user; an empty name is anonymous.
async fn connect(hub: &Hub, user: &str) -> Result<(Client, Connected), ErrorInfo> {
    let mut client = Client::open_at(hub.clone(), 1 << 20).await;
    client.send(Request::Connect(Connect { token: user.into(), ..Connect::default() })).await;
    let ServerFrame::Reply(Reply { result, .. }) = client.frame().await else { panic!("no reply") };
    match result? {
        ReplyBody::Connected(connected) => Ok((client, *connected)),
        other => panic!("{other:?}"),
    }
}

/// Connects, and subscribes to `a`.
async fn enter(hub: &Hub, user: &str) -> Client {
    let (mut client, _) = connect(hub, user).await.unwrap();
    client.send(Request::Subscribe(Subscribe { channel: a(), number: 1, position: None, history: 0 })).await;
    reply(&mut client).await.unwrap();
    client
}

/// The next reply. Only gaps may come before it.
async fn reply(client: &mut Client) -> Result<ReplyBody, ErrorInfo> {
    loop {
        match client.frame().await {
            ServerFrame::Reply(Reply { result, .. }) => return result,
            ServerFrame::Push(Push::Subscribed(gap)) if !gap.complete => {}
            other => panic!("{other:?}"),
        }
    }
}

/// The joins and leaves within a time, as `+ann` and `-ann`; `?` means that some are missing.
async fn moves(client: &mut Client, time: Duration) -> Vec<String> {
    let end = Instant::now() + time;
    let name = |Movement { member, .. }: Movement| match (&*member.user, &*member.session) {
        ("", "") => "?".to_owned(),
        ("", _) => "anonymous".to_owned(),
        (user, _) => user.to_owned(),
    };
    let mut moves = Vec::new();
    loop {
        // Frames that are decoded already do not wait for the socket.
        if client.received.is_empty() {
            let Ok(message) = timeout_at(end, client.next()).await else { return moves };
            let data = message.into_data();
            if data.is_empty() {
                client.socket.send(ping()).await.unwrap();
            }
            client.received.extend(CODEC.decode_frames(&data).map(Result::unwrap));
        }
        for frame in client.received.drain(..) {
            match frame {
                ServerFrame::Push(Push::Join(movement)) => moves.push(format!("+{}", name(movement))),
                ServerFrame::Push(Push::Leave(movement)) => moves.push(format!("-{}", name(movement))),
                // A gap behind an interruption.
                ServerFrame::Push(Push::Subscribed(gap)) if !gap.complete => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

async fn members(hub: &Hub) -> Vec<String> {
    hub.presence(&a()).await.unwrap().into_iter().map(|member| member.user).collect()
}

async fn count(hub: &Hub) -> (usize, usize) {
    let PresenceCounts { sessions, users } = hub.presence_counts(&a()).await.unwrap();
    (sessions, users)
}

/// The answer to the command `presence`.
async fn list(client: &mut Client) -> Result<PresenceList, ErrorInfo> {
    let presence = Presence { channel: a(), counts_only: false, after: String::new() };
    client.send(Request::Presence(presence)).await;
    match reply(client).await? {
        ReplyBody::Presence(list) => Ok(list),
        other => panic!("{other:?}"),
    }
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

#[tokio::test(start_paused = true)]
async fn every_hub_has_the_same_members_and_counts() {
    let [one, other] = hubs();
    let mut ann = enter(&one.hub, "ann").await;
    let mut bob = enter(&other.hub, "bob").await;
    let _again = enter(&other.hub, "ann").await;
    let _nobody = enter(&one.hub, "").await;
    assert_eq!((moves(&mut ann, SOON).await, moves(&mut bob, SOON).await), {
        let seen = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        (seen(&["+bob", "+anonymous"]), seen(&["+anonymous"]))
    });
    let mut lists = Vec::new();
    for (hub, client) in [(&one.hub, &mut ann), (&other.hub, &mut bob)] {
        assert_eq!(count(hub).await, (4, 3));
        let members = hub.presence(&a()).await.unwrap();
        let first = hub.members(&a(), None, 3).await.unwrap();
        assert_eq!((&first.members[..], first.more), (&members[..3], true));
        let after = first.members[2].session.parse().ok();
        let rest = hub.members(&a(), after, 3).await.unwrap();
        assert_eq!((&rest.members[..], rest.more), (&members[3..], false));
        let list = list(client).await.unwrap();
        assert_eq!((list.sessions, list.users, list.more), (4, 3, false));
        assert_eq!(list.members, members);
        lists.push(members);
    }
    assert_eq!(lists[0], lists[1]);
    assert_eq!(one.hub.local_subscribers(&a()), 2, "those of the hub itself");
}

#[tokio::test(start_paused = true)]
async fn a_user_joins_once_and_leaves_once_although_it_moves_from_hub_to_hub() {
    let [one, other] = hubs();
    let [mut at_one, mut at_other] = [enter(&one.hub, "").await, enter(&other.hub, "").await];
    assert_eq!(moves(&mut at_one, SOON).await, ["+anonymous"]);
    assert!(moves(&mut at_other, SOON).await.is_empty(), "a session is not notified of its own join");

    let first = enter(&one.hub, "ann").await;
    let second = enter(&other.hub, "ann").await;
    drop(first);
    for (seen, name) in
        [(moves(&mut at_one, GRACE * 2).await, "one"), (moves(&mut at_other, SOON).await, "other")]
    {
        assert_eq!(seen, ["+ann"], "{name}: it is still at the other hub");
    }
    drop(second);
    sleep(GRACE - SOON).await;
    // Back within the grace, at the first hub.
    let mut third = enter(&one.hub, "ann").await;
    assert!(moves(&mut at_one, GRACE * 2).await.is_empty());
    assert!(moves(&mut at_other, SOON).await.is_empty());
    assert!(moves(&mut third, SOON).await.is_empty());

    drop(third);
    let left = Instant::now();
    assert!(moves(&mut at_other, GRACE - SOON).await.is_empty(), "not before the grace has passed");
    assert_eq!(count(&one.hub).await, (3, 3), "until then it is a member");
    assert_eq!(moves(&mut at_other, SOON * 2).await, ["-ann"], "{:?}", left.elapsed());
    assert_eq!(moves(&mut at_one, SOON).await, ["-ann"]);
    assert_eq!((count(&one.hub).await, count(&other.hub).await), ((2, 2), (2, 2)));
}

#[tokio::test(start_paused = true)]
async fn the_members_of_a_hub_that_died_leave() {
    let [one, other] = hubs();
    let mut witness = enter(&one.hub, "eve").await;
    let _ann = enter(&other.hub, "ann").await;
    let _nobody = enter(&other.hub, "").await;
    let _twice = (enter(&one.hub, "bob").await, enter(&other.hub, "bob").await);
    assert_eq!(sorted(moves(&mut witness, SOON).await), ["+ann", "+anonymous", "+bob"]);
    other.node.kill();
    assert!(moves(&mut witness, NODE_EXPIRY - Duration::from_secs(3)).await.is_empty());
    assert_eq!(moves(&mut witness, Duration::from_secs(4)).await, ["-anonymous"]);
    assert_eq!(count(&one.hub).await, (3, 3));
    assert_eq!(moves(&mut witness, GRACE).await, ["-ann"], "with its grace");
    assert_eq!(sorted(members(&one.hub).await), ["bob", "eve"]);
}

#[tokio::test(start_paused = true)]
async fn a_hub_whose_members_the_store_has_lost_enters_all_of_them_again() {
    let [one, other] = hubs();
    let mut witness = enter(&other.hub, "eve").await;
    let mut here = Vec::new();
    for number in 0..150 {
        here.push(enter(&one.hub, &format!("user-{number}")).await);
    }
    moves(&mut witness, SOON).await;
    one.node.cut();
    // One leaves, and one comes, while the store is away.
    drop(here.pop());
    let (mut late, _) = connect(&one.hub, "late").await.unwrap();
    late.send(Request::Subscribe(Subscribe { channel: a(), number: 1, position: None, history: 0 })).await;
    reply(&mut late).await.unwrap();
    sleep(NODE_EXPIRY + GRACE).await;
    assert_eq!(count(&other.hub).await, (1, 1), "the node counted as dead");
    one.node.set_latency(Duration::from_millis(500));
    one.node.heal();
    let mut before = 1;
    for _ in 0..200 {
        sleep(Duration::from_millis(100)).await;
        let (sessions, _) = count(&other.hub).await;
        assert!(sessions <= before + 64, "{sessions} after {before}: not all at once");
        before = sessions;
    }
    assert_eq!(count(&other.hub).await, (151, 151));
    assert!(members(&other.hub).await.contains(&"late".to_owned()));
    let mut observer = here.swap_remove(0);
    let seen = moves(&mut observer, SOON).await;
    assert!(seen.contains(&"-?".to_owned()), "it has to read the members again: {:?}", seen.len());
}

#[tokio::test(start_paused = true)]
async fn a_session_is_not_notified_of_its_own_leave_if_its_node_was_taken_for_dead() {
    let [one, _other] = hubs();
    let (mut ann, mut bob) = (enter(&one.hub, "ann").await, enter(&one.hub, "bob").await);
    moves(&mut ann, SOON).await;
    moves(&mut bob, SOON).await;
    let here = one.hub.presence(&a()).await.unwrap();
    let own = here.into_iter().find(|member| member.user == "ann").unwrap();
    let channel = one.hub.channel_registry().find(&a()).unwrap();
    channel.moved(own, false);
    assert_eq!(moves(&mut bob, SOON).await, ["-ann"]);
    assert!(moves(&mut ann, SOON).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_end_that_the_store_did_not_take_is_repeated() {
    let [one, other] = hubs();
    let ann = enter(&one.hub, "ann").await;
    let mut bob = enter(&one.hub, "bob").await;
    assert_eq!(count(&other.hub).await, (2, 2));
    one.node.cut();
    drop(ann);
    bob.send(Request::Unsubscribe(Unsubscribe { channel: a(), number: 1 })).await;
    sleep(SOON).await;
    assert_eq!(count(&other.hub).await, (2, 2), "the store knows nothing of it");
    one.node.heal();
    sleep(Duration::from_secs(3)).await;
    // Bob has come back within the grace, and stays.
    bob.send(Request::Subscribe(Subscribe { channel: a(), number: 2, position: None, history: 0 })).await;
    sleep(GRACE * 2).await;
    assert_eq!(members(&other.hub).await, ["bob"]);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_comes_back_before_its_end_is_repeated_stays() {
    let [one, other] = hubs();
    let mut bob = enter(&one.hub, "").await;
    one.node.cut();
    bob.send(Request::Unsubscribe(Unsubscribe { channel: a(), number: 1 })).await;
    reply(&mut bob).await.unwrap();
    one.node.heal();
    bob.send(Request::Subscribe(Subscribe { channel: a(), number: 2, position: None, history: 0 })).await;
    reply(&mut bob).await.unwrap();
    sleep(Duration::from_secs(10)).await;
    assert_eq!(count(&other.hub).await, (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_user_has_a_maximum_number_of_sessions_on_all_hubs() {
    let fleet = MemoryFleet::new();
    let [one, other] = [(); 2].map(|()| hub_of(&fleet, |builder| builder.sessions_per_user(2)));
    let (first, _) = connect(&one.hub, "ann").await.unwrap();
    let (_second, _) = connect(&other.hub, "ann").await.unwrap();
    for hub in [&one.hub, &other.hub] {
        let error = connect(hub, "ann").await.err().unwrap();
        assert_eq!((error.code, error.temporary), (ErrorCode::LIMIT_EXCEEDED, true));
        connect(hub, "").await.unwrap();
    }
    drop(first);
    sleep(SOON).await;
    let (third, _) = connect(&other.hub, "ann").await.unwrap();
    assert!(connect(&one.hub, "ann").await.is_err());

    other.node.cut();
    let error = connect(&other.hub, "bob").await.err().unwrap();
    assert_eq!((error.code, error.temporary), (ErrorCode::UNAVAILABLE, true), "nobody knows");
    drop(third);
    sleep(SOON).await;
    assert!(connect(&one.hub, "ann").await.is_err(), "the store knows nothing of the end");
    other.node.heal();
    sleep(Duration::from_secs(3)).await;
    connect(&one.hub, "ann").await.unwrap();

    // The store forgets the sessions of a node that seems dead, and hears of them again.
    other.node.cut();
    sleep(NODE_EXPIRY).await;
    other.node.heal();
    sleep(Duration::from_secs(15)).await;
    let _more = connect(&one.hub, "ann").await.unwrap();
    assert!(connect(&one.hub, "ann").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_session_that_ends_before_it_is_counted_does_not_count() {
    let fleet = MemoryFleet::new();
    let one = hub_of(&fleet, |builder| builder.sessions_per_user(1));
    one.node.set_latency(Duration::from_secs(1));
    let mut client = Client::open_at(one.hub.clone(), 1 << 20).await;
    client.send(Request::Connect(Connect { token: "ann".into(), ..Connect::default() })).await;
    sleep(SOON).await;
    drop(client);
    sleep(SOON).await;
    connect(&one.hub, "ann").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_command_waits_for_the_store_and_the_session_goes_on() {
    let [one] = hubs();
    let mut ann = enter(&one.hub, "ann").await;
    one.node.set_latency(Duration::from_secs(2));
    let presence = Presence { channel: a(), counts_only: false, after: String::new() };
    ann.send(Request::Presence(presence.clone())).await;
    ann.send(Request::Cancel(Cancel { command: 77 })).await;
    let start = Instant::now();
    assert!(matches!(reply(&mut ann).await, Ok(ReplyBody::Cancelled)));
    assert_eq!(start.elapsed(), Duration::ZERO, "the other command is answered meanwhile");
    let Ok(ReplyBody::Presence(list)) = reply(&mut ann).await else { panic!("no list") };
    assert_eq!((start.elapsed(), list.members.len()), (Duration::from_secs(2), 1));

    let bad = Presence { after: "nonsense".into(), ..presence };
    ann.send(Request::Presence(bad)).await;
    assert_eq!(reply(&mut ann).await.unwrap_err().code, ErrorCode::BAD_REQUEST);
}

#[tokio::test(start_paused = true)]
async fn the_list_has_the_effects_of_the_commands_before_and_of_none_behind() {
    let [one] = hubs();
    let (mut nobody, _) = connect(&one.hub, "").await.unwrap();
    let mut together = Vec::new();
    for request in [
        Request::Subscribe(Subscribe { channel: a(), number: 1, position: None, history: 0 }),
        Request::Presence(Presence { channel: a(), counts_only: false, after: String::new() }),
        Request::Unsubscribe(Unsubscribe { channel: a(), number: 1 }),
    ] {
        together.extend(CODEC.encode_command(&Command { id: 1, request }));
    }
    nobody.socket.send(Message::Binary(together.into())).await.unwrap();
    let mut lists = Vec::new();
    for _ in 0..3 {
        if let Ok(ReplyBody::Presence(list)) = reply(&mut nobody).await {
            lists.push((list.sessions, list.members.len()));
        }
    }
    assert_eq!(lists, [(1, 1)]);
}

#[tokio::test(start_paused = true)]
async fn without_the_store_the_members_are_a_temporary_error() {
    let [one] = hubs();
    let mut ann = enter(&one.hub, "ann").await;
    one.node.cut();
    let error = list(&mut ann).await.unwrap_err();
    assert_eq!((error.code, error.temporary), (ErrorCode::UNAVAILABLE, true));
    assert!(one.hub.presence(&a()).await.unwrap_err().is_temporary());
    assert!(one.hub.presence_counts(&a()).await.unwrap_err().is_temporary());
    one.node.heal();
    assert_eq!(list(&mut ann).await.unwrap().members.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn members_that_come_and_go_all_the_time_cost_their_observers_little() {
    let [one, other] = hubs();
    let mut ann = enter(&one.hub, "ann").await;
    let session = |number: u128| SessionId::from_bytes(number.to_be_bytes());
    let entry = |number| {
        let member = Member { session: session(number).to_string(), ..Member::default() };
        PresenceEntry { grace: Some(GRACE), ..PresenceEntry::new(a(), session(number), member) }
    };
    for number in 0..2000 {
        other.node.enter(entry(number)).await.unwrap();
        other.node.leave(entry(number)).await.unwrap();
    }
    other.node.enter(entry(7)).await.unwrap();
    let seen = moves(&mut ann, Duration::from_secs(2)).await;
    assert!((1..=200).contains(&seen.len()), "{} of 4001", seen.len());
    assert_eq!(seen.last().map(String::as_str), Some("+anonymous"));
}

#[tokio::test(start_paused = true)]
async fn a_program_is_no_member_on_any_hub() {
    let [one, other] = hubs();
    let room = one.hub.subscribe_raw(&a());
    let mut ann = enter(&other.hub, "ann").await;
    assert_eq!(members(&one.hub).await, ["ann"]);
    drop(room);
    assert!(moves(&mut ann, GRACE * 2).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn orders_of_the_application_enter_and_leave_too() {
    let [one, other] = hubs();
    let (mut ann, connected) = connect(&one.hub, "ann").await.unwrap();
    let session = connected.session.parse().unwrap();
    assert!(one.hub.subscribe_session(session, &a()).await.unwrap());
    assert!(matches!(ann.frame().await, ServerFrame::Push(Push::Subscribed(_))));
    assert_eq!(members(&other.hub).await, ["ann"]);
    let gone = ErrorInfo::from_code(ErrorCode::PERMISSION_DENIED);
    assert!(one.hub.unsubscribe_session(session, &a(), gone).await.unwrap());
    assert!(matches!(ann.frame().await, ServerFrame::Push(Push::Unsubscribed(_))));
    timeout(GRACE * 2, async {
        while !members(&other.hub).await.is_empty() {
            sleep(SOON).await;
        }
    })
    .await
    .unwrap();
}
