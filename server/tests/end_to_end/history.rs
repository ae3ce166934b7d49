//! Channels that keep history: offsets, recovery, pages, keys. Each test runs with an engine that answers at once and
//! with one that takes its time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use wirehub_common::Payload;
use wirehub_common::frame::{
    Command, Connect, History as Read, Position, Publication, Publish, Published, Push, Reply, ReplyBody,
    Request, ServerFrame, Subscribe, Subscribed,
};
use wirehub_server::Builder;
use wirehub_server::auth::Authenticated;
use wirehub_server::engine::MemoryEngine;
use wirehub_server::namespace::{History, Namespace};

use crate::slow_engine::SlowEngine;
use crate::support::{CODECS, Client, Received, Server, name, open_hub, subscribe, unsubscribe};

/// Hubs whose channels `kept:…` keep this many publications.
fn hubs(size: usize) -> [Builder; 2] {
    let kept = || {
        let history = History::new(size, Duration::from_secs(3600));
        open_hub().namespace("kept", Namespace::default().history(history))
    };
    [kept(), kept().engine(SlowEngine::new(MemoryEngine::new()))]
}

fn number(number: u64) -> Payload {
    Payload::json(number.to_string())
}

fn since(channel: &str, number: u32, position: Position) -> Subscribe {
    Subscribe { channel: name(channel), number, position: Some(position), history: 0 }
}

async fn subscribed(client: &mut Client, subscribe: Subscribe) -> Subscribed {
    match client.ok(Request::Subscribe(subscribe)).await {
        ReplyBody::Subscribed(subscribed) => subscribed,
        other => panic!("{other:?}"),
    }
}

async fn publish(client: &mut Client, channel: &str, message: u64, key: &str) -> Option<Position> {
    let publish = Publish { channel: name(channel), payload: number(message), key: key.into() };
    match client.ok(Request::Publish(publish)).await {
        ReplyBody::Published(Published { position }) => position,
        other => panic!("{other:?}"),
    }
}

async fn page(
    client: &mut Client,
    since: Option<Position>,
    limit: u32,
    reverse: bool,
) -> Result<Vec<u64>, u16> {
    let read = Read { channel: name("kept:a"), since, limit, reverse };
    match client.request(Request::History(read)).await.result {
        Ok(ReplyBody::History(page)) => Ok(offsets(&page.publications)),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.code.number()),
    }
}

fn offsets(publications: &[Publication]) -> Vec<u64> {
    publications.iter().map(|publication| publication.offset).collect()
}

#[tokio::test]
async fn publications_have_offsets_and_are_read_page_by_page() {
    for hub in hubs(5) {
        let server = Server::start(hub.build()).await;
        let mut epoch = String::new();
        for (codec, first) in CODECS.into_iter().zip([1, 8]) {
            let mut client = Client::connect(&server, codec).await;
            for offset in first..first + 7 {
                let position = publish(&mut client, "kept:a", offset, "").await.unwrap();
                assert_eq!(position.offset, offset);
                epoch = position.epoch;
            }
            let last = first + 6;
            let at = |offset| Some(Position { offset, epoch: epoch.clone() });
            let all: Vec<u64> = (last - 4..=last).collect();
            assert_eq!(page(&mut client, None, 100, false).await, Ok(all.clone()));
            assert_eq!(page(&mut client, None, 2, false).await, Ok(all[..2].to_vec()));
            assert_eq!(page(&mut client, None, 2, true).await, Ok(vec![last, last - 1]));
            assert_eq!(
                page(&mut client, at(last - 1), 100, true).await,
                Ok(vec![last - 2, last - 3, last - 4])
            );
            assert_eq!(page(&mut client, at(last - 2), 100, false).await, Ok(vec![last - 1, last]));
            assert_eq!(page(&mut client, at(last), 100, false).await, Ok(vec![]));
            assert_eq!(page(&mut client, None, 0, false).await, Ok(vec![]));
            assert_eq!(
                page(&mut client, at(last - 6), 100, false).await,
                Err(112),
                "its successors are gone"
            );
            assert_eq!(page(&mut client, at(last + 1), 100, false).await, Err(112), "nobody has been there");
            let other = Some(Position { offset: last, epoch: "other".into() });
            assert_eq!(page(&mut client, other, 100, false).await, Err(112));
        }
    }
}

#[tokio::test]
async fn channels_without_history_have_no_offsets_and_nothing_to_read() {
    for hub in hubs(5) {
        let server = Server::start(hub.build()).await;
        let mut client = Client::connect(&server, CODECS[0]).await;
        client.subscribe("plain").await;
        assert_eq!(publish(&mut client, "plain", 1, "").await, None);
        assert_eq!(client.publication().await.offset, 0);
        let read = Read { channel: name("plain"), since: None, limit: 1, reverse: false };
        assert_eq!(client.error(Request::History(read)).await, 108);
        let position = Position { offset: 1, epoch: "e".into() };
        let subscribed = subscribed(&mut client, since("plain", 2, position)).await;
        assert_eq!((subscribed.position, subscribed.complete), (None, false));
    }
}

#[tokio::test]
async fn a_returning_subscriber_gets_exactly_the_missed_messages_then_live_ones() {
    for hub in hubs(100) {
        let server = Server::start(hub.build()).await;
        for (codec, channel) in CODECS.into_iter().zip(["kept:a", "kept:b"]) {
            let mut bob = Client::connect(&server, codec).await;
            let mut ann = Client::connect(&server, codec).await;
            let first = subscribed(
                &mut ann,
                Subscribe { channel: name(channel), number: 1, position: None, history: 0 },
            )
            .await;
            assert!(!first.complete && first.recovering == 0);
            assert_eq!(first.position.as_ref().map(|position| position.offset), Some(0));
            publish(&mut bob, channel, 1, "").await;
            let seen = ann.publication().await.offset;
            drop(ann);
            for message in 2..=4 {
                publish(&mut bob, channel, message, "").await;
            }

            // In `connect`.
            let position = Position { offset: seen, ..first.position.unwrap() };
            let subscriptions =
                vec![since(channel, 1, position.clone()), since("other", 2, position.clone())];
            let mut ann = Client::open(&server, codec).await;
            let mut connected = ann.connected(Connect { subscriptions, ..Connect::default() }).await;
            let recovered = connected.subscriptions.remove(0).result.unwrap();
            assert!(recovered.complete);
            assert_eq!((recovered.position.unwrap().offset, recovered.recovering), (1, 3));
            assert!(!connected.subscriptions.remove(0).result.unwrap().complete);
            publish(&mut bob, channel, 5, "").await;
            for message in 2..=5 {
                let publication = ann.publication().await;
                assert_eq!((publication.offset, publication.payload), (message, number(message)));
            }

            // In a `subscribe`, over the same connection.
            let again = subscribed(&mut ann, since(channel, 9, position)).await;
            assert_eq!((again.position.unwrap().offset, again.recovering), (1, 4));
            for offset in 2..=5 {
                assert_eq!(ann.publication().await.offset, offset);
            }
        }
    }
}

#[tokio::test]
async fn a_new_subscriber_begins_with_the_newest_of_the_history_then_live_ones() {
    for hub in hubs(5) {
        let server = Server::start(hub.build()).await;
        for (codec, channel) in CODECS.into_iter().zip(["kept:a", "kept:b"]) {
            let mut bob = Client::connect(&server, codec).await;
            for message in 1..=8 {
                publish(&mut bob, channel, message, "").await;
            }
            let with =
                |number, history| Subscribe { channel: name(channel), number, position: None, history };
            let mut ann = Client::open(&server, codec).await;
            let subscriptions =
                vec![with(1, 3), Subscribe { channel: name("plain"), number: 2, ..with(2, 3) }];
            let connect = Connect { subscriptions, ..Connect::default() };
            let mut outcomes = ann.connected(connect).await.subscriptions.into_iter();
            let begun = outcomes.next().unwrap().result.unwrap();
            assert_eq!((begun.position.unwrap().offset, begun.recovering, begun.complete), (5, 3, false));
            assert_eq!(outcomes.next().unwrap().result.unwrap().position, None, "there is no history");
            publish(&mut bob, channel, 9, "").await;
            for offset in 6..=9 {
                assert_eq!(ann.publication().await.offset, offset);
            }
            for (number, history, first) in [(3, u32::MAX, 5), (4, 1, 9)] {
                let begun = subscribed(&mut ann, with(number, history)).await;
                assert_eq!((begun.position.unwrap().offset, begun.recovering), (first - 1, 10 - first));
                for offset in first..=9 {
                    assert_eq!(ann.publication().await.offset, offset);
                }
            }
        }
    }
}

#[tokio::test]
async fn nothing_is_missed_or_doubled_between_the_history_and_the_live_messages() {
    for hub in hubs(1000) {
        let server = Server::start(hub.build()).await;
        let mut bob = Client::connect(&server, CODECS[0]).await;
        publish(&mut bob, "kept:a", 1, "").await;
        for round in 0..20 {
            let mut ann = Client::connect(&server, CODECS[0]).await;
            let subscribe = Subscribe { channel: name("kept:a"), number: 1, position: None, history: 3 };
            let subscribe = ann.command(Request::Subscribe(subscribe));
            let publishing = async {
                for message in 0..10 {
                    publish(&mut bob, "kept:a", message, "").await;
                }
            };
            let ((), ()) = tokio::join!(ann.send([subscribe]), publishing);
            let begun = loop {
                match ann.next().await {
                    Received::Frame(ServerFrame::Reply(Reply {
                        result: Ok(ReplyBody::Subscribed(begun)),
                        ..
                    })) => {
                        break begun;
                    }
                    Received::Ping => {}
                    other => panic!("{other:?}"),
                }
            };
            let newest = 1 + (round + 1) * 10;
            for offset in begun.position.unwrap().offset + 1..=newest {
                assert_eq!(ann.publication().await.offset, offset);
            }
        }
    }
}

#[tokio::test]
async fn large_histories_of_many_channels_follow_the_reply_each_in_order() {
    const MEBIBYTE: usize = 1024 * 1024;
    for hub in hubs(10) {
        let server = Server::start(hub.queue_bytes(2 * MEBIBYTE).build()).await;
        let channels: Vec<String> = (0..4).map(|number| format!("kept:{number}")).collect();
        for channel in &channels {
            for _ in 0..3 {
                let payload = Payload::bytes(vec![0; MEBIBYTE]);
                server.hub.publish_raw(&name(channel), payload).unwrap().await.unwrap();
            }
        }
        for codec in CODECS {
            let mut client = Client::connect(&server, codec).await;
            let mut subscriptions = Vec::new();
            for (number, channel) in (1..).zip(&channels) {
                let request = Subscribe { channel: name(channel), number, position: None, history: 0 };
                let Position { epoch, .. } = subscribed(&mut client, request).await.position.unwrap();
                subscriptions.push(since(channel, number, Position { offset: 0, epoch }));
            }
            let mut client = Client::open(&server, codec).await;
            let connected = client.connected(Connect { subscriptions, ..Connect::default() }).await;
            let outcomes = connected.subscriptions.into_iter().map(|outcome| outcome.result.unwrap());
            for outcome in outcomes {
                assert!(outcome.complete);
                assert_eq!((outcome.position.unwrap().offset, outcome.recovering), (0, 3));
            }
            let mut seen = BTreeMap::new();
            for _ in 0..12 {
                let publication = client.publication().await;
                let last = seen.insert(publication.channel, publication.offset);
                assert_eq!(publication.offset, last.unwrap_or(0) + 1);
            }
            assert!(seen.values().all(|last| *last == 3), "{seen:?}");
        }
    }
}

#[tokio::test]
async fn a_channel_whose_history_is_evicted_continues_for_its_subscribers() {
    let history = History::new(10, Duration::from_secs(3600));
    let hub = open_hub()
        .namespace("kept", Namespace::default().history(history))
        .engine(MemoryEngine::within(100_000));
    let server = Server::start(hub.build()).await;
    for (codec, channel) in CODECS.into_iter().zip(["kept:a", "kept:b"]) {
        let mut client = Client::connect(&server, codec).await;
        client.subscribe(channel).await;
        let first = publish(&mut client, channel, 1, "").await.unwrap();
        assert_eq!(client.publication().await.offset, 1);
        for other in 0..100 {
            let payload = Payload::bytes(vec![0; 10_000]);
            drop(server.hub.publish_raw(&name(&format!("kept:{other}")), payload).unwrap());
        }
        let second = publish(&mut client, channel, 2, "").await.unwrap();
        assert_eq!((second.offset, &second.epoch), (2, &first.epoch));
        assert_eq!(client.publication().await.offset, 2);
        let again = subscribed(&mut client, since(channel, 2, Position { offset: 0, ..first })).await;
        assert_eq!((again.position.unwrap().offset, again.recovering, again.complete), (1, 1, false));
        assert_eq!(client.publication().await.offset, 2);
    }
}

#[tokio::test]
async fn recovery_is_incomplete_if_messages_may_be_missing() {
    for hub in hubs(3) {
        let server = Server::start(hub.build()).await;
        let mut client = Client::connect(&server, CODECS[0]).await;
        let mut epoch = String::new();
        for message in 1..=10 {
            epoch = publish(&mut client, "kept:a", message, "").await.unwrap().epoch;
        }
        for (number, (offset, epoch, complete)) in
            (1..).zip([(7, &*epoch, true), (6, &epoch, false), (11, &epoch, false), (7, "other", false)])
        {
            let position = Position { offset, epoch: epoch.into() };
            let subscribed = subscribed(&mut client, since("kept:a", number, position)).await;
            assert_eq!(subscribed.complete, complete, "{offset} {epoch}");
            // The remaining messages are sent even if some are missing.
            let missed = if offset == 11 { 0 } else { 3 };
            assert_eq!(subscribed.recovering, missed);
            assert_eq!(subscribed.position.unwrap().offset, 10 - missed);
            for offset in 11 - missed..=10 {
                assert_eq!(client.publication().await.offset, offset);
            }
        }
    }
}

#[tokio::test]
async fn a_repeat_with_its_key_is_answered_and_not_published_again() {
    for hub in hubs(100) {
        let server = Server::start(hub.build()).await;
        for (codec, channel) in CODECS.into_iter().zip(["kept:a", "kept:b"]) {
            let connect = || Connect { instance: "one browser".into(), ..Connect::default() };
            let mut ann = Client::open(&server, codec).await;
            let memory = ann.connected(connect()).await.idempotency.unwrap();
            assert!(!memory.window.is_zero());
            ann.subscribe(channel).await;
            ann.subscribe("plain").await;
            let first = publish(&mut ann, channel, 1, "key").await;
            publish(&mut ann, channel, 2, "").await;
            // From another session, as after a reconnect.
            let mut again = Client::open(&server, codec).await;
            assert_eq!(again.connected(connect()).await.idempotency.unwrap().scope, memory.scope);
            assert_eq!(publish(&mut again, channel, 3, "key").await, first);
            assert_eq!(publish(&mut again, channel, 4, "another").await.unwrap().offset, 3);
            publish(&mut again, "plain", 5, codec.subprotocol()).await;
            publish(&mut again, "plain", 6, codec.subprotocol()).await;
            publish(&mut again, "plain", 7, "").await;
            let mut received = Vec::new();
            for _ in 0..5 {
                received.push(ann.publication().await.payload);
            }
            assert_eq!(received, [1, 2, 4, 5, 7].map(number));
        }
    }
}

#[tokio::test]
async fn the_key_of_a_publish_belongs_to_its_user_or_anonymous_client() {
    for hub in hubs(100) {
        let hub = hub.authenticate(async |credentials| Ok(Authenticated::user(credentials.token))).build();
        let server = Server::start(hub).await;
        let connect_from = async |user: &str, instance: &str| {
            let mut client = Client::open(&server, CODECS[0]).await;
            let (token, instance) = (user.into(), instance.into());
            let connected = client.connected(Connect { token, instance, ..Connect::default() }).await;
            (client, connected.idempotency.map(|memory| memory.scope))
        };
        let connect = async |user: &str| connect_from(user, "").await;
        let (mut ann, scope) = connect("ann").await;
        let (mut bob, other) = connect("bob").await;
        let (mut nobody, none) = connect("").await;
        assert_eq!(none, None, "an anonymous client without an instance can't come back as itself");
        assert_ne!(scope, other, "a client that comes back as somebody else repeats nothing");
        let first = publish(&mut ann, "kept:a", 1, "key").await.unwrap();
        assert_eq!(publish(&mut bob, "kept:a", 2, "key").await.unwrap().offset, 2, "nothing is swallowed");
        assert_eq!(publish(&mut nobody, "kept:a", 3, "key").await.unwrap().offset, 3);
        assert_eq!(publish(&mut nobody, "kept:a", 4, "ann\0key").await.unwrap().offset, 4);
        let own = server.hub.publish_once(&name("kept:a"), number(5), "key").unwrap().await.unwrap();
        assert_eq!(own.unwrap().offset, 5);
        let (mut back, again) = connect("ann").await;
        assert_eq!((publish(&mut back, "kept:a", 6, "key").await, again), (Some(first), scope));
        let (mut here, _) = connect_from("", "here").await;
        let (mut there, _) = connect_from("", "there").await;
        let sixth = publish(&mut here, "kept:a", 7, "key").await;
        assert_eq!(sixth.as_ref().unwrap().offset, 6);
        assert_eq!(
            publish(&mut there, "kept:a", 8, "key").await.unwrap().offset,
            7,
            "not that of another one"
        );
        let (mut again, _) = connect_from("", "here").await;
        assert_eq!(publish(&mut again, "kept:a", 9, "key").await, sixth);
    }
}

#[tokio::test]
async fn the_servers_own_publications_have_positions_and_keys() {
    for hub in hubs(100) {
        let hub = hub.build();
        let first = hub.publish_once(&name("kept:a"), number(1), "key").unwrap().await.unwrap().unwrap();
        assert_eq!(first.offset, 1);
        assert_eq!(hub.publish_once(&name("kept:a"), number(1), "key").unwrap().await.unwrap(), Some(first));
        assert_eq!(hub.publish_raw(&name("plain"), number(1)).unwrap().await.unwrap(), None);
        let page = hub.history(&name("kept:a"), None, 10, false).await.unwrap().unwrap();
        assert_eq!(offsets(&page.publications), [1]);
        assert_eq!(hub.history(&name("plain"), None, 10, false).await.unwrap(), None);
    }
}

#[tokio::test]
async fn commands_behind_connect_wait_for_its_reply() {
    for hub in hubs(100) {
        let server = Server::start(hub.build()).await;
        for codec in CODECS {
            let mut client = Client::open(&server, codec).await;
            let subscriptions =
                vec![Subscribe { channel: name("kept:a"), number: 1, position: None, history: 0 }];
            let connect = Request::Connect(Connect { subscriptions, ..Connect::default() });
            let publish = Publish { channel: name("kept:a"), payload: number(1), key: String::new() };
            client
                .send([
                    Command { id: 1, request: connect },
                    Command { id: 2, request: Request::Publish(publish) },
                    Command { id: 3, request: unsubscribe("kept:a", 1) },
                ])
                .await;
            let mut ids = Vec::new();
            for _ in 0..3 {
                match client.next().await {
                    Received::Frame(ServerFrame::Reply(Reply { id, result: Ok(_) })) => ids.push(id),
                    Received::Frame(ServerFrame::Push(Push::Publication(_))) => ids.push(100),
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(ids[0], 1, "connected comes first: {ids:?}");
        }
    }
}

#[tokio::test]
async fn after_rapid_subscribing_and_unsubscribing_the_last_command_holds() {
    for hub in hubs(100) {
        let server = Server::start(hub.build()).await;
        for codec in CODECS {
            let mut client = Client::connect(&server, codec).await;
            client
                .send([
                    Command { id: 11, request: subscribe("kept:a", 1) },
                    Command { id: 12, request: subscribe("kept:a", 2) },
                    Command { id: 13, request: unsubscribe("kept:a", 2) },
                    Command { id: 14, request: subscribe("kept:a", 3) },
                ])
                .await;
            let mut replies = BTreeSet::new();
            while replies.len() < 4 {
                match client.next().await {
                    Received::Frame(ServerFrame::Reply(Reply { id, .. })) => assert!(replies.insert(id)),
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(server.hub.local_subscribers(&name("kept:a")), 1);
            publish(&mut client, "kept:a", 1, "").await;
            client.publication().await;
            drop(client);
        }
    }
}

#[tokio::test]
async fn a_subscription_that_replaces_another_one_misses_nothing() {
    for hub in hubs(100) {
        let server = Server::start(hub.build()).await;
        for (codec, channel) in CODECS.into_iter().zip(["kept:a", "kept:b"]) {
            let mut client = Client::connect(&server, codec).await;
            client.subscribe(channel).await;
            let again = client.command(subscribe(channel, 2));
            let keyless = |number| Publish { channel: name(channel), payload: number, key: String::new() };
            let publishes: Vec<_> =
                (1..=3).map(|n| client.command(Request::Publish(keyless(number(n))))).collect();
            let id = again.id;
            client.send([again].into_iter().chain(publishes)).await;
            // Messages before the reply belong to the old subscription, later ones to the new one.
            let (mut seen, mut position) = (Vec::new(), None);
            while seen.len() < 3 || position.is_none() {
                match client.next().await {
                    Received::Frame(ServerFrame::Push(Push::Publication(publication))) => {
                        seen.push(publication.offset);
                    }
                    Received::Frame(ServerFrame::Reply(Reply {
                        id: of,
                        result: Ok(ReplyBody::Subscribed(reply)),
                    })) => {
                        assert_eq!(of, id);
                        assert_eq!(reply.position.unwrap().offset, *seen.last().unwrap_or(&0));
                        position = Some(());
                    }
                    Received::Frame(ServerFrame::Reply(_)) => {}
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(seen, [1, 2, 3]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn subscribers_that_come_and_go_in_a_storm_get_every_publication_once() {
    const MESSAGES: u64 = 4000;
    for hub in hubs(MESSAGES as usize).map(|hub| hub.queue_bytes(1 << 26)) {
        let server = Server::start(hub.build()).await;
        let hub = server.hub.clone();
        let publishers: Vec<_> = (0..4)
            .map(|_| {
                let hub = hub.clone();
                tokio::spawn(async move {
                    for message in 0..MESSAGES / 4 {
                        let _position =
                            hub.publish_raw(&name("kept:a"), number(message)).unwrap().await.unwrap();
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        let mut at: Option<Position> = None;
        let mut number = 0;
        while at.as_ref().is_none_or(|at| at.offset < MESSAGES) {
            let mut client = Client::connect(&server, CODECS[number as usize % 2]).await;
            // First over the same connection, then over another one.
            for _ in 0..2 {
                number += 1;
                let request = Subscribe { channel: name("kept:a"), number, position: at.clone(), history: 0 };
                client.send([Command { id: number, request: Request::Subscribe(request) }]).await;
                let reply = loop {
                    match client.next().await {
                        Received::Frame(ServerFrame::Reply(reply)) => break reply.result.unwrap(),
                        // Messages before the reply belong to the earlier subscription.
                        Received::Frame(ServerFrame::Push(Push::Publication(_))) => {}
                        other => panic!("{other:?}"),
                    }
                };
                let ReplyBody::Subscribed(reply) = reply else { panic!("{reply:?}") };
                let position = reply.position.unwrap();
                if let Some(at) = &at {
                    assert!(reply.complete);
                    assert_eq!(position, *at);
                }
                let mut last = position.offset;
                for _ in 0..50 {
                    if last == MESSAGES {
                        break;
                    }
                    // Without gaps and duplicates.
                    let publication = client.publication().await;
                    assert_eq!(publication.offset, last + 1);
                    last = publication.offset;
                }
                at = Some(Position { offset: last, ..position });
            }
        }
        for publisher in publishers {
            publisher.await.unwrap();
        }
    }
}
