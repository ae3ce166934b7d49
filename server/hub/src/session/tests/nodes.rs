//! Several hubs on one store.

use std::time::SystemTime;

use parking_lot::Mutex;
use tokio::time::sleep;
use wirehub_common::code::CloseCode;
use wirehub_common::frame::Connected;

use super::stored_alarms::{fire, with_users};
use super::*;
use crate::alarm::{AlarmProgress, AlarmState};
use crate::engine::{
    Delivery, DeliveryRecipient, Engine as _, EngineErrorKind, Epoch, MemoryFleet, MemoryNode, NODE_EXPIRY,
    Node, NodeId, NodeReport, Nodes as _, RecordKind, Records as _,
};
use crate::hub::call_memory::KeyOwner;
use crate::unix_time::milliseconds;

/// Hubs that share a store, each with its node.
async fn hubs<const N: usize>(fleet: &MemoryFleet) -> [(MemoryNode, Hub); N] {
    let mut number = 0;
    let hubs = [(); N].map(|()| {
        number += 1;
        join(fleet, &format!("node {number}"))
    });
    settle().await;
    hubs
}

fn join(fleet: &MemoryFleet, name: &str) -> (MemoryNode, Hub) {
    let node = fleet.node();
    let hub = with_users(Builder::open()).engine(node.clone()).node_name(name).build();
    (node, hub)
}

/// Lets everything happen that happens at once.
async fn settle() {
    sleep(Duration::from_millis(100)).await;
}

/// Connects a user, and returns the session.
async fn enter(hub: &Hub, user: &str) -> (Client, SessionId) {
    let mut client = Client::open_at(hub.clone(), 1 << 20).await;
    client.send(Request::Connect(Connect { token: user.into(), ..Connect::default() })).await;
    match client.frame().await {
        ServerFrame::Reply(Reply { result: Ok(ReplyBody::Connected(connected)), .. }) => {
            let Connected { session, .. } = *connected;
            (client, session.parse().unwrap())
        }
        other => panic!("{other:?}"),
    }
}

async fn push(client: &mut Client) -> Push {
    match client.next_frame().await {
        Some(ServerFrame::Push(push)) => push,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_reaches_a_session_of_another_node() {
    let [(_, here), (node, there)] = hubs(&MemoryFleet::new()).await;
    let (mut ann, session) = enter(&there, "ann").await;
    let denied = || ErrorInfo::from_code(ErrorCode::PERMISSION_DENIED);
    for by_user in [false, true] {
        assert!(here.subscribe_session(session, &a()).await.unwrap());
        assert!(matches!(push(&mut ann).await, Push::Subscribed(_)));
        assert_eq!(here.subscribers(&a()).await.unwrap(), 1);
        let subscriptions = here.subscriptions_of(session, None, 10).await.unwrap().unwrap();
        assert_eq!(subscriptions.items, [a()]);
        if by_user {
            assert_eq!(here.unsubscribe_user("ann", &a(), &denied()).await.unwrap(), 1);
        } else {
            assert!(here.unsubscribe_session(session, &a(), denied()).await.unwrap());
        }
        assert!(matches!(push(&mut ann).await, Push::Unsubscribed(_)));
    }
    let shown = here.session(session).await.unwrap().unwrap();
    assert_eq!((shown.node, &*shown.member.user), (Some(node.own()), "ann"));
    assert_eq!(there.session(session).await.unwrap().unwrap(), shown);
    let code = CloseCode::new(4001).unwrap();
    assert!(here.disconnect(session, code, "out").await.unwrap());
    assert!(matches!(push(&mut ann).await, Push::Disconnect(disconnect) if disconnect.code == code));
    let (mut bob, gone) = enter(&there, "bob").await;
    assert_eq!(here.disconnect_user("bob", code, "out").await.unwrap(), 1);
    assert!(matches!(push(&mut bob).await, Push::Disconnect(_)));
    settle().await;
    assert!(!here.disconnect(gone, code, "out").await.unwrap());
    assert!(!here.subscribe_session(gone, &a()).await.unwrap());
    assert!(here.session(gone).await.unwrap().is_none());
    assert_eq!(here.sessions().await.unwrap(), 0);
    let (mut cid, lost) = enter(&there, "cid").await;
    assert!(here.abort_connection(lost).await.unwrap());
    assert!(matches!(cid.socket.next().await, Some(Err(_))), "no close");
    assert!(!here.abort_connection(lost).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn every_node_returns_the_same_lists() {
    let nodes: [_; 3] = hubs(&MemoryFleet::new()).await;
    let mut clients = Vec::new();
    for (number, (_, hub)) in nodes.iter().enumerate() {
        for user in ["ann", "bob", "eve"] {
            let (mut client, session) = enter(hub, user).await;
            let own = ChannelName::new(&format!("own:{number}")).unwrap();
            for channel in [a(), own] {
                assert!(hub.subscribe_session(session, &channel).await.unwrap());
                assert!(matches!(push(&mut client).await, Push::Subscribed(_)));
            }
            clients.push(client);
        }
    }
    let mut all = Vec::new();
    for (_, hub) in &nodes {
        let (mut sessions, mut after) = (Vec::new(), None);
        loop {
            let page = hub.connected_sessions(after, 2).await.unwrap();
            assert!(page.items.len() <= 2 && page.is_complete());
            assert_eq!(page.count, 9);
            sessions.extend(page.items);
            after = sessions.last().map(|last| last.id);
            if !page.more {
                break;
            }
        }
        assert_eq!(hub.sessions().await.unwrap(), 9);
        assert_eq!(hub.sessions_of("ann", None, 10).await.unwrap().items.len(), 3);
        let channels = hub.channels("", None, 10).await.unwrap();
        let counts: Vec<_> =
            channels.items.iter().map(|each| (each.name.to_string(), each.subscribers)).collect();
        let expected = [("a", 9), ("own:0", 3), ("own:1", 3), ("own:2", 3)];
        assert_eq!(counts, expected.map(|(name, count)| (name.to_owned(), count)));
        assert_eq!((channels.count, channels.more), (4, false));
        let second = hub.channels("own:", Some(&channels.items[1].name), 1).await.unwrap();
        assert_eq!((&second.items[0].name, second.more), (&channels.items[2].name, true));
        all.push((sessions, channels));
    }
    assert_eq!(all[0].0.len(), 9);
    assert!(all.iter().all(|lists| *lists == all[0]));
    let names: Vec<_> = nodes[0].1.nodes().await.unwrap().into_iter().map(|node| node.report.name).collect();
    assert_eq!(names.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_reaches_every_session_once_and_in_order() {
    let nodes: [_; 3] = hubs(&MemoryFleet::new()).await;
    let mut clients = Vec::new();
    for (_, hub) in &nodes {
        clients.push(enter(hub, "ann").await.0);
    }
    for number in 0..20 {
        nodes[0].1.broadcast(Payload::json(number.to_string())).await.unwrap();
    }
    for client in &mut clients {
        for number in 0..20 {
            let Push::Publication(publication) = push(client).await else { panic!("no broadcast") };
            assert_eq!(publication.payload, Payload::json(number.to_string()));
        }
        assert_eq!(client.next_frame().await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_node_is_an_error_or_a_mark_within_two_seconds_until_it_is_gone() {
    let [(_, here), (_, there), (dead, _hub)] = hubs(&MemoryFleet::new()).await;
    let (mut ann, session) = enter(&there, "ann").await;
    let nobody = SessionId::random().unwrap();
    dead.kill();
    let code = CloseCode::new(4001).unwrap();
    let patience = Duration::from_secs(2);
    let begun = Instant::now();
    let error = here.disconnect(nobody, code, "out").await.unwrap_err();
    assert_eq!(error.kind(), EngineErrorKind::Unavailable);
    assert!(error.to_string().contains(&dead.own().to_string()), "{error}");
    assert!((patience..patience * 2).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    let list = here.connected_sessions(None, 10).await.unwrap();
    assert_eq!((list.items.len(), list.missing), (1, vec![dead.own()]));
    assert!(here.broadcast(Payload::json("1")).await.is_err());
    assert!(matches!(push(&mut ann).await, Push::Publication(_)), "the others have got it");
    // A session that is found needs no other answer.
    let begun = Instant::now();
    assert!(here.subscribe_session(session, &a()).await.unwrap());
    assert!(here.session(session).await.unwrap().is_some());
    assert!(begun.elapsed() < patience, "{:?}", begun.elapsed());
    sleep(NODE_EXPIRY).await;
    let begun = Instant::now();
    assert!(!here.disconnect(nobody, code, "out").await.unwrap());
    assert!(here.connected_sessions(None, 10).await.unwrap().is_complete());
    assert!(begun.elapsed() < patience, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_list_is_complete_or_an_error_when_the_store_takes_no_reports() {
    let fleet = MemoryFleet::new();
    let (_node, here) = join(&fleet, "here");
    settle().await;
    // The nodes report at different times.
    sleep(Duration::from_secs(1)).await;
    let (_other, there) = join(&fleet, "there");
    settle().await;
    let (_ann, _) = enter(&there, "ann").await;
    let is_complete = async || {
        let error = match here.connected_sessions(None, 10).await {
            Ok(list) => {
                assert_eq!((list.items.len(), list.is_complete()), (1, true));
                assert_eq!(here.sessions().await.unwrap(), 1);
                assert_eq!(here.nodes().await.unwrap().len(), 2);
                return true;
            }
            Err(error) => error,
        };
        assert!(error.is_temporary() && error.to_string().contains("memory"), "{error}");
        assert!(here.sessions().await.is_err());
        assert!(here.nodes().await.is_err());
        false
    };
    assert!(is_complete().await);
    fleet.refuse_reports(true);
    for _ in 0..200 {
        sleep(Duration::from_millis(100)).await;
        is_complete().await;
    }
    assert!(!is_complete().await, "no node is listed");
    fleet.refuse_reports(false);
    let mut complete = 0;
    for _ in 0..100 {
        sleep(Duration::from_millis(100)).await;
        complete += usize::from(is_complete().await);
    }
    assert!((40..100).contains(&complete), "all nodes report again: {complete}");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stops_says_so_and_leaves_at_once() {
    let [(_, here), (node, there)] = hubs(&MemoryFleet::new()).await;
    let stopping = |nodes: Vec<Node>| {
        nodes.iter().find(|other| other.id == node.own()).map(|other| other.report.is_stopping)
    };
    assert_eq!(stopping(here.nodes().await.unwrap()), Some(false));
    there.update(|live| {
        live.drain_delay(Duration::from_secs(5));
    });
    let stop = tokio::spawn({
        let there = there.clone();
        async move { there.shutdown(Duration::from_secs(1)).await }
    });
    settle().await;
    assert_eq!(stopping(here.nodes().await.unwrap()), Some(true));
    stop.await.unwrap();
    let begun = Instant::now();
    assert_eq!(stopping(here.nodes().await.unwrap()), None);
    assert_eq!(here.sessions().await.unwrap(), 0);
    assert!(begun.elapsed() < Duration::from_secs(1));
    sleep(NODE_EXPIRY).await;
    assert_eq!(stopping(here.nodes().await.unwrap()), None, "it does not come back");
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_is_alone_answers_at_once() {
    let hub = with_users(Builder::open()).node_name("alone").build();
    let (_ann, session) = enter(&hub, "ann").await;
    let answer = hub.connected_sessions(None, 10).now_or_never().unwrap().unwrap();
    assert_eq!((answer.items[0].id, answer.items[0].node), (session, None));
    assert!(hub.broadcast(Payload::json("1")).now_or_never().unwrap().is_ok());
    let code = CloseCode::new(4001).unwrap();
    assert!(hub.disconnect(session, code, "out").now_or_never().unwrap().unwrap());
    let nodes = hub.nodes().now_or_never().unwrap().unwrap();
    assert_eq!((nodes.len(), &*nodes[0].report.name, nodes[0].report.sessions), (1, "alone", 1));
}

#[tokio::test(start_paused = true)]
async fn a_message_of_another_release_is_skipped() {
    let fleet = MemoryFleet::new();
    let [(_, here), (_, there)] = hubs(&fleet).await;
    let (strange, answers) = (fleet.node(), Arc::new(Mutex::new(Vec::new())));
    strange.start(Delivery::to(Answers(Arc::clone(&answers))));
    strange.report(NodeReport::new("strange", "9", SystemTime::now())).await.unwrap();
    // Another version, another kind, and nothing at all.
    for message in [&[9, 1, 1, 0][..], &[1, 99, 1, 0, 0, 0, 0, 0, 0, 0, 1, 5], &[1], &[]] {
        strange.send(None, Bytes::copy_from_slice(message)).await.unwrap();
    }
    // A question of a later release is answered, so that its sender need not wait.
    let question = [1, 2, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 7, 99];
    strange.send(None, Bytes::copy_from_slice(&question)).await.unwrap();
    settle().await;
    let answered =
        answers.lock().iter().filter(|answer| answer[1] == 3).map(|answer| answer[18]).collect::<Vec<_>>();
    assert_eq!(answered, [7, 7], "both have answered the request 7");
    let (_ann, session) = enter(&there, "ann").await;
    assert!(here.subscribe_session(session, &a()).await.unwrap());
    assert_eq!(
        here.sessions().await.unwrap_err().kind(),
        EngineErrorKind::Unavailable,
        "it is listed and silent"
    );
}

/// The messages that a node without a hub has received.
struct Answers(Arc<Mutex<Vec<Bytes>>>);

impl DeliveryRecipient for Answers {
    fn deliver(&self, _: Publication, _: &Epoch) {}

    fn node_message(&self, _: NodeId, message: Bytes) {
        self.0.lock().push(message);
    }
}

/// Everything that an operator sees of an alarm.
fn seen(hub: &Hub, id: &str) -> String {
    let page = hub.alarm_recipients(id, None, 200_000).unwrap();
    let report = page.report;
    let recipients = page.recipients.iter().map(|each| {
        format!("{}{:?} {} {}", each.user, each.session, each.progress.as_str(), milliseconds(each.since))
    });
    let recipients = recipients.collect::<Vec<_>>();
    format!(
        "{} {} {:?} {} {:?} {:?} {:?} {recipients:?}",
        report.id,
        report.channel,
        report.payload,
        milliseconds(report.raised),
        report.ttl,
        report.state,
        [report.waiting, report.sent, report.received, report.acknowledged, report.departed, report.unlisted]
    )
}

#[tokio::test(start_paused = true)]
async fn an_alarm_is_at_once_on_every_node_and_its_report_is_the_same_everywhere() {
    let fleet = MemoryFleet::new();
    let [(_, here), (_, there)] = hubs(&fleet).await;
    let (mut ann, _) = enter(&here, "ann").await;
    let (mut ann_too, _) = enter(&there, "ann").await;
    let (mut bob, _) = enter(&there, "bob").await;
    let (mut nobody, _) = enter(&there, "").await;
    let ours = here.raise(fire().for_users(["ann", "bob", "eve"])).await.unwrap();
    let all = here.raise(fire()).await.unwrap();
    for client in [&mut ann, &mut ann_too, &mut bob] {
        assert_eq!(client.alarm().await.unwrap().id, ours);
        assert_eq!(client.alarm().await.unwrap().id, all);
    }
    assert_eq!(nobody.alarm().await.unwrap().id, all);
    settle().await;
    for id in [&ours, &all] {
        assert_eq!(seen(&here, id), seen(&there, id));
    }
    assert_eq!((here.alarm(&all).unwrap().sent, here.alarm(&ours).unwrap().waiting), (3, 1));

    for (client, id, received_only) in [(&mut bob, &ours, true), (&mut nobody, &all, false)] {
        client.acknowledge(id, received_only).await;
        assert_eq!(client.result().await, Some(Ok(ReplyBody::Acknowledged)));
    }
    ann_too.acknowledge(&ours, false).await;
    assert_eq!(ann_too.result().await, Some(Ok(ReplyBody::Acknowledged)));
    let withdrawn = ann.alarm().await.unwrap();
    assert_eq!((&withdrawn.id, withdrawn.withdrawn), (&ours, true), "she has done it on the other node");
    settle().await;
    for id in [&ours, &all] {
        assert_eq!(seen(&here, id), seen(&there, id));
    }
    let report = here.alarm(&ours).unwrap();
    assert_eq!((report.waiting, report.received, report.acknowledged), (1, 1, 1));

    let (_, later) = join(&fleet, "later");
    settle().await;
    for id in [&ours, &all] {
        assert_eq!(seen(&later, id), seen(&here, id));
    }
    let (mut eve, _) = enter(&later, "eve").await;
    assert_eq!(eve.alarm().await.unwrap().id, ours);
    settle().await;
    assert_eq!(here.alarm(&ours).unwrap().waiting, 0);
    let ids = |hub: &Hub| hub.alarms().into_iter().map(|alarm| alarm.id).collect::<Vec<_>>();
    assert_eq!((ids(&here), ids(&later)), (ids(&there), ids(&there)));
}

#[tokio::test(start_paused = true)]
async fn an_alarm_is_withdrawn_on_every_node() {
    let [(_, here), (_, there)] = hubs(&MemoryFleet::new()).await;
    let (mut ann, _) = enter(&here, "ann").await;
    let (mut bob, _) = enter(&there, "bob").await;
    let id = here.raise(fire()).await.unwrap();
    assert!(ann.alarm().await.is_some() && bob.alarm().await.is_some());
    assert!(there.withdraw(&id).await.unwrap());
    for client in [&mut ann, &mut bob] {
        let withdrawn = client.alarm().await.unwrap();
        assert_eq!((&withdrawn.id, withdrawn.withdrawn), (&id, true));
    }
    assert_eq!(here.alarm(&id).unwrap().state, AlarmState::Withdrawn);
    assert!(!here.withdraw(&id).await.unwrap());
    assert_eq!((ann.alarm().await, bob.alarm().await), (None, None));
    assert_eq!(seen(&here, &id), seen(&there, &id));
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_connection_was_cut_has_every_alarm_once_and_no_acknowledgement_is_lost() {
    // Shorter and longer than the watch takes to notice it.
    for seconds in [1, 30] {
        let [(_, here), (node, there)] = hubs(&MemoryFleet::new()).await;
        let (mut ann, _) = enter(&here, "ann").await;
        let (mut bob, _) = enter(&there, "bob").await;
        let (mut ann_too, _) = enter(&there, "ann").await;
        let before = here.raise(fire()).await.unwrap();
        let withdrawn = here.raise(fire()).await.unwrap();
        for client in [&mut ann, &mut bob, &mut ann_too] {
            assert_eq!(client.alarm().await.unwrap().id, before);
            assert_eq!(client.alarm().await.unwrap().id, withdrawn);
        }
        settle().await;
        node.cut();
        let during = here.raise(fire()).await.unwrap();
        assert_eq!(ann.alarm().await.unwrap().id, during);
        for id in [&before, &during] {
            ann.acknowledge(id, false).await;
            assert_eq!(ann.result().await, Some(Ok(ReplyBody::Acknowledged)));
        }
        assert!(here.withdraw(&withdrawn).await.unwrap());
        assert!(ann.alarm().await.unwrap().withdrawn);
        bob.acknowledge(&before, false).await;
        assert!(matches!(bob.result().await, Some(Err(error)) if error.temporary), "the store is away");
        let (mut eve, _) = enter(&there, "eve").await;
        assert_eq!(eve.alarm().await.unwrap().id, before);
        assert_eq!(eve.alarm().await.unwrap().id, withdrawn);
        sleep(Duration::from_secs(seconds)).await;
        node.heal();
        sleep(Duration::from_secs(10)).await;
        let mut of_bob = Vec::new();
        while let Some(alarm) = bob.alarm().await {
            of_bob.push((alarm.id, alarm.withdrawn));
        }
        of_bob.sort();
        let mut expected = vec![(during.clone(), false), (withdrawn.clone(), true)];
        expected.sort();
        assert_eq!(of_bob, expected, "cut for {seconds} s");
        let mut of_ann = Vec::new();
        while let Some(alarm) = ann_too.alarm().await {
            of_ann.push((alarm.id, alarm.withdrawn));
        }
        of_ann.sort();
        let mut expected = vec![(before.clone(), true), (withdrawn.clone(), true)];
        expected.sort();
        assert_eq!(of_ann, expected, "she has acknowledged both meanwhile");
        bob.acknowledge(&before, false).await;
        assert_eq!(bob.result().await, Some(Ok(ReplyBody::Acknowledged)));
        settle().await;
        for id in [&before, &during, &withdrawn] {
            assert_eq!(seen(&here, id), seen(&there, id));
        }
        assert_eq!(here.alarm(&before).unwrap().acknowledged, 2);
        assert_eq!(ann.alarm().await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_receipt_on_one_node_does_not_take_back_the_stored_acknowledgement_of_another() {
    let fleet = MemoryFleet::new();
    let [(_, here), (node, there)] = hubs(&fleet).await;
    let (mut ann, _) = enter(&here, "ann").await;
    let (mut ann_too, _) = enter(&there, "ann").await;
    let id = here.raise(fire().for_users(["ann"])).await.unwrap();
    assert!(ann.alarm().await.is_some() && ann_too.alarm().await.is_some());
    // The receipt comes to the store later, and its hub does not know of the acknowledgement yet.
    ann.acknowledge(&id, false).await;
    ann_too.acknowledge(&id, true).await;
    settle().await;
    let (_, later) = join(&fleet, "later");
    settle().await;
    for hub in [&here, &there, &later] {
        assert_eq!(hub.alarm(&id).unwrap().recipients[0].progress, AlarmProgress::Acknowledged);
    }
    let records = node.load(RecordKind::Alarm).await.unwrap();
    let progress = records.iter().find(|record| record.key.ends_with(b"\0uann")).unwrap();
    assert_eq!(progress.value[1], AlarmProgress::Acknowledged.number());
}

#[tokio::test(start_paused = true)]
async fn an_alarm_for_many_users_is_stored_and_sent_in_parts() {
    let fleet = MemoryFleet::new();
    let [(node, here), (_, there)] = hubs(&fleet).await;
    let users: Vec<String> = (0..20_000).map(|number| format!("{number:0>100}")).collect();
    let (mut last, _) = enter(&there, &users[19_999]).await;
    let id = here.raise(fire().for_users(users.iter().map(String::as_str))).await.unwrap();
    assert_eq!(last.alarm().await.unwrap().id, id);
    assert_eq!(last.alarm().await, None);
    let records = node.load(RecordKind::Alarm).await.unwrap();
    assert!(records.len() > 2 && records.iter().all(|record| record.value.len() <= 1_100_000));
    let (_, later) = join(&fleet, "later");
    settle().await;
    let report = seen(&here, &id);
    assert!(report == seen(&there, &id) && report == seen(&later, &id));
    assert_eq!(later.alarm(&id).unwrap().waiting, 19_999);
    assert!(later.withdraw(&id).await.unwrap());
    settle().await;
    let (_, last) = join(&fleet, "last");
    settle().await;
    assert_eq!(last.alarm(&id).unwrap().state, AlarmState::Withdrawn);
    assert!(seen(&last, &id) == seen(&here, &id));
}

#[tokio::test(start_paused = true)]
async fn a_call_is_repeated_only_at_its_own_node() {
    let fleet = MemoryFleet::new();
    let [(node, here), (_, there)] = hubs(&fleet).await;
    let scope = |hub: &Hub| hub.call_memory().idempotency("ann").unwrap().scope;
    assert_ne!(scope(&here), scope(&there));
    let answer = Payload::json("1");
    let owner = KeyOwner::User("ann".into());
    let (call, _) = here.call_memory().call(owner, "f", "k", || Box::pin(async { Ok(answer) }));
    assert!(call.await.is_ok());
    assert_eq!(node.load(RecordKind::Call).await.unwrap(), []);
    let (_, later) = join(&fleet, "later");
    settle().await;
    assert!(scope(&later) != scope(&here) && scope(&later) != scope(&there));
}

#[tokio::test(start_paused = true)]
async fn anonymous_recipients_that_are_gone_are_forgotten_on_every_node() {
    let [(_, here), (_, there)] = hubs(&MemoryFleet::new()).await;
    let id = here.raise(fire()).await.unwrap();
    let mut acknowledged = 0;
    for round in 0..200 {
        let (mut client, _) = enter(&there, "").await;
        assert!(client.alarm().await.is_some());
        if round % 10 == 0 {
            client.acknowledge(&id, false).await;
            assert_eq!(client.result().await, Some(Ok(ReplyBody::Acknowledged)));
            acknowledged += 1;
        }
        drop(client);
        settle().await;
    }
    let report = here.alarm(&id).unwrap();
    assert_eq!(report.acknowledged, acknowledged);
    assert!(report.recipients.len() <= 130, "{}", report.recipients.len());
    assert_eq!(seen(&here, &id), seen(&there, &id));
}
