//! Redis fails: restarts, failovers, moving slots, lost scripts, broken lines.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use wirehub_common::frame::Position;
use wirehub_hub::engine::{Attachments, Engine, EngineErrorKind, Publications};
use wirehub_redis::{Acknowledge, ErrorKind, RedisEngine, RedisOptions};
use wirehub_test_redis::{Append, Line, Options, RedisCluster, RedisServer, Sentinels, until};

use crate::node::{Node, PATIENCE, cluster_options, message, name, sentinel_options};

/// Publishers on several nodes that go on through every failure.
struct Stream {
    nodes: Vec<Arc<Node>>,
    acknowledged: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    publishers: Vec<JoinHandle<Vec<(String, Position, u64)>>>,
}

const CHANNELS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

impl Stream {
    async fn start(options: &RedisOptions) -> Self {
        let nodes = [Node::start(options).await, Node::start(options).await].map(Arc::new);
        for node in &nodes {
            for channel in CHANNELS {
                node.attach(channel).await;
            }
        }
        let (acknowledged, failed) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let is_over = Arc::<AtomicBool>::default();
        let publishers = (0_u64..).zip(&nodes).map(|(publisher, node)| {
            let (node, is_over) = (Arc::clone(node), Arc::clone(&is_over));
            let (acknowledged, failed) = (Arc::clone(&acknowledged), Arc::clone(&failed));
            tokio::spawn(async move {
                let mut published = Vec::new();
                for number in 1.. {
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    for channel in CHANNELS {
                        let number = number * 100 + publisher;
                        match node.try_publish(channel, number, &format!("{number}")).await {
                            Ok(position) => {
                                published.push((channel.to_owned(), position.unwrap(), number));
                                acknowledged.fetch_add(1, Ordering::Relaxed);
                            }
                            Err(error) => {
                                assert!(error.is_temporary(), "{error}");
                                failed.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    }
                    sleep(Duration::from_millis(2)).await;
                }
                published
            })
        });
        let publishers = publishers.collect();
        Self { nodes: nodes.into(), acknowledged, failed, is_over, publishers }
    }

    /// Waits until as many publishes more are acknowledged.
    async fn flows(&self, more: u64) {
        let begun = self.acknowledged.load(Ordering::Relaxed);
        let flowing = async {
            while self.acknowledged.load(Ordering::Relaxed) < begun + more {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let failed = || self.failed.load(Ordering::Relaxed);
        timeout(PATIENCE, flowing)
            .await
            .unwrap_or_else(|_| panic!("no publish succeeds: {} failed", failed()));
    }

    /// Ends the publishers, and checks that no two messages have one position, at any node, and that the deliveries of each
    /// epoch have an order. Returns the epochs of a channel.
    async fn end(self) -> HashSet<String> {
        self.is_over.store(true, Ordering::Relaxed);
        let mut by_position: HashMap<(String, String, u64), u64> = HashMap::new();
        let mut check = |channel: &str, epoch: &str, offset: u64, number: u64| {
            let known = by_position.insert((channel.into(), epoch.into(), offset), number);
            assert!(
                known.is_none_or(|known| known == number),
                "{channel} {offset} of {epoch}: {number} and {known:?}"
            );
        };
        for publisher in self.publishers {
            for (channel, position, number) in publisher.await.unwrap() {
                check(&channel, &position.epoch, position.offset, number);
            }
        }
        for node in &self.nodes {
            let mut newest: HashMap<(String, String), u64> = HashMap::new();
            for (channel, offset, number, epoch) in &*node.seen.publications.lock() {
                check(channel, epoch, *offset, *number);
                let before = newest.insert((channel.clone(), epoch.clone()), *offset).unwrap_or_default();
                assert!(before < *offset, "{channel}: {offset} of {epoch} behind {before}");
            }
        }
        let epochs = by_position.into_keys().filter(|(channel, ..)| channel == "a");
        epochs.map(|(_, epoch, _)| epoch).collect()
    }
}

#[tokio::test]
async fn flushed_scripts_are_loaded_again() {
    let server = RedisServer::start(Options::default()).await;
    let stream = Stream::start(&RedisOptions::single(&server.url()).unwrap()).await;
    for _ in 0..5 {
        stream.flows(50).await;
        server.flush_scripts().await;
    }
    stream.flows(50).await;
    assert_eq!(stream.failed.load(Ordering::Relaxed), 0);
    assert_eq!(stream.end().await.len(), 1, "nothing was lost");
}

#[tokio::test]
async fn a_restarted_server_begins_new_epochs_and_deliveries_arrive_again() {
    let server = RedisServer::start(Options { append: Append::Always, ..Options::default() }).await;
    let stream = Stream::start(&RedisOptions::single(&server.url()).unwrap()).await;
    stream.flows(100).await;
    server.kill();
    let before = stream.failed.load(Ordering::Relaxed);
    until("publishes fail", async || match stream.failed.load(Ordering::Relaxed) > before {
        true => Ok(()),
        false => Err("none has failed"),
    })
    .await;
    // The failure may be that of the other node.
    until("a node without its Redis", async || match stream.nodes[0].engine.ready() {
        Err(_) => Ok(()),
        Ok(()) => Err("it is ready"),
    })
    .await;
    server.restart().await;
    stream.flows(100).await;
    for node in &stream.nodes {
        node.sees("the interruption", |seen| (*seen.interruptions.lock() > 0).then_some(())).await;
        node.sees("the loss of presence", |seen| (*seen.lost_presences.lock() > 0).then_some(())).await;
        node.engine.ready().unwrap();
    }
    stream.flows(100).await;
    assert_eq!(stream.end().await.len(), 2, "an epoch before and one behind the restart");
}

#[tokio::test]
async fn after_a_restart_a_subscriber_continues_behind_the_publications_that_it_has_had() {
    let server = RedisServer::start(Options { append: Append::Always, ..Options::default() }).await;
    let node = Node::start(&RedisOptions::single(&server.url()).unwrap()).await;
    let first = node.publish("a", 1).await;
    let second = node.publish("a", 2).await;
    for _ in 0..2 {
        server.kill();
        server.restart().await;
        until("it is back", async || node.try_publish("b", 1, "").await.map(drop)).await;
        let located = node.locate("a", Some(first.clone())).await;
        assert_eq!((located.position.offset, located.newest), (1, 2), "the second one is new to it");
        assert_ne!(located.position.epoch, first.epoch);
        assert!(!located.complete, "nobody knows what was lost");
        assert_eq!(node.locate("a", Some(second.clone())).await.position.offset, 2);
    }
}

#[tokio::test]
async fn a_failover_that_loses_the_newest_publications_begins_new_epochs() {
    let sentinels = Sentinels::start(1, 3).await;
    let stream = Stream::start(&sentinel_options(&sentinels)).await;
    stream.flows(100).await;
    let master = sentinels.master().await;
    // The replica does not get the next publications.
    master.hold_replication(true).await;
    stream.flows(100).await;
    sentinels.kill_master().await;
    stream.flows(100).await;
    assert!(stream.end().await.len() >= 2);
}

#[tokio::test]
async fn a_master_that_has_followed_another_one_meanwhile_begins_new_epochs() {
    let sentinels = Sentinels::start(1, 3).await;
    let options = sentinel_options(&sentinels);
    let node = Node::start(&options).await;
    node.publish("a", 1).await;
    let first = sentinels.master().await;
    // The replica does not get the newest publication, and nobody asks it for this channel while it is the master.
    first.hold_replication(true).await;
    let lost = node.publish("a", 2).await;
    first.pause();
    sentinels.successor_of(first.address()).await;
    first.resume();
    until("the old master follows", async || match first.info("master_link_status").await.as_deref() {
        Some("up") => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    assert_eq!(sentinels.failover().await.address(), first.address());
    // The other node may not have noticed it yet.
    let again = Node::start(&options).await.publish("a", 3).await;
    assert_eq!(again.offset, lost.offset, "the publication was lost");
    assert_ne!(again.epoch, lost.epoch);
}

#[tokio::test]
async fn a_master_that_steps_down_is_left_at_once() {
    let sentinels = Sentinels::start(1, 3).await;
    let stream = Stream::start(&sentinel_options(&sentinels)).await;
    stream.flows(100).await;
    sentinels.failover().await;
    // The old master takes publishes for some time.
    stream.nodes[0]
        .sees("a new epoch", |seen| seen.publications.lock().last()?.3.contains(".2-").then_some(()))
        .await;
    stream.flows(100).await;
    assert!(stream.end().await.len() >= 2);
}

#[tokio::test]
async fn a_slot_that_moves_to_another_server_loses_nothing() {
    let cluster = RedisCluster::start(3, 0).await;
    a_slot_moves(&cluster).await;
}

#[tokio::test]
async fn a_slot_that_moves_loses_nothing_if_every_server_gets_every_delivery() {
    let cluster = RedisCluster::start(3, 0).await;
    begin_with_deliveries(&cluster, "all").await;
    a_slot_moves(&cluster).await;
}

async fn a_slot_moves(cluster: &RedisCluster) {
    let stream = Stream::start(&cluster_options(cluster)).await;
    stream.flows(100).await;
    let slot = slot_of(cluster, "a").await;
    for _ in 0..3 {
        let from = cluster.shard_of(slot).await;
        let migration = cluster.begin_migration(slot, (from + 1) % 3).await;
        stream.flows(30).await;
        migration.move_keys().await;
        migration.finish().await;
        stream.flows(100).await;
    }
    let nodes = stream.nodes.clone();
    assert_eq!(stream.end().await.len(), 1, "a move loses nothing");
    deliveries_go_on(&nodes).await;
}

/// Every node receives new publications, at the latest when it has noticed the failure.
async fn deliveries_go_on(nodes: &[Arc<Node>]) {
    for node in nodes {
        until("a delivery arrives", async || {
            let position = nodes[0].try_publish("a", 1, "").await.map_err(|error| error.to_string())?;
            let expected = position.map(|position| (position.offset, 1));
            let arrives =
                node.sees("it", |seen| (seen.in_channel("a").last().copied() == expected).then_some(()));
            timeout(Duration::from_millis(200), arrives).await.map_err(|_| "it does not arrive".to_owned())
        })
        .await;
    }
}

/// The slot of a channel.
async fn slot_of(cluster: &RedisCluster, channel: &str) -> u16 {
    let (_, key) = find_key(cluster, &format!("c:{channel}")).await;
    cluster.slot_of(&key).await
}

/// A key, by its end, and its server.
async fn find_key<'a>(cluster: &'a RedisCluster, end: &str) -> (&'a RedisServer, String) {
    for address in cluster.addresses() {
        let server = cluster.server(address);
        let key = server.cli(&["KEYS", &format!("wirehub{{*}}:{end}")]).await;
        if !key.is_empty() {
            return (server, key);
        }
    }
    panic!("no key ends with {end}")
}

/// Makes a fleet one that began with these commands for deliveries. Returns those that the version of the servers has chosen.
async fn begin_with_deliveries(cluster: &RedisCluster, deliveries: &str) -> String {
    drop(Node::start(&cluster_options(cluster)).await);
    change_deliveries(cluster, deliveries).await
}

/// Returns the value before.
async fn change_deliveries(cluster: &RedisCluster, deliveries: &str) -> String {
    let (server, key) = find_key(cluster, "f:deliveries").await;
    let before = server.cli(&["GET", &key]).await;
    server.cli(&["SET", &key, deliveries]).await;
    before
}

#[tokio::test]
async fn the_first_node_decides_how_deliveries_travel_and_others_follow_or_are_refused() {
    let cluster = RedisCluster::start(3, 0).await;
    let version = cluster.master(0).await.info("redis_version").await.unwrap();
    let can_shard = !version.starts_with("6.");
    let chosen = begin_with_deliveries(&cluster, "sharded").await;
    assert_eq!(chosen, if can_shard { "sharded" } else { "all" }, "{version}");
    match RedisEngine::connect(cluster_options(&cluster)).await {
        Ok(_) => assert!(can_shard, "{version}"),
        Err(error) => {
            assert!(!can_shard, "{version}: {error}");
            assert_eq!(error.kind(), ErrorKind::Unsuitable);
            assert!(error.to_string().contains("older than Redis 7"), "{error}");
        }
    }
    change_deliveries(&cluster, "something").await;
    let error = RedisEngine::connect(cluster_options(&cluster)).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Foreign, "{error}");
}

#[tokio::test]
async fn the_replica_of_a_cluster_takes_over() {
    let cluster = RedisCluster::start(3, 1).await;
    let stream = Stream::start(&cluster_options(&cluster)).await;
    stream.flows(100).await;
    let slot = slot_of(&cluster, "a").await;
    let shard = cluster.shard_of(slot).await;
    cluster.kill_master(shard).await;
    stream.flows(500).await;
    let nodes = stream.nodes.clone();
    assert!(stream.end().await.len() >= 2);
    deliveries_go_on(&nodes).await;
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_noticed_and_comes_back() {
    let server = RedisServer::start(Options::default()).await;
    let options = RedisOptions::single(&server.url()).unwrap().answer_timeout(Duration::from_millis(300));
    let node = Node::start(&options).await;
    node.attach("a").await;
    node.publish("a", 1).await;
    server.pause();
    let begun = Instant::now();
    let error = node.try_publish("a", 2, "").await.unwrap_err();
    assert_eq!(error.kind(), EngineErrorKind::Unavailable);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(node.engine.attach(&name("b")).await.is_err());
    server.resume();
    until("it answers again", async || node.try_publish("a", 3, "").await.map(drop)).await;
    node.engine.renew().await.unwrap();
    let newest = node.publish("a", 4).await.offset;
    node.sees("the newest", |seen| (seen.in_channel("a").last() == Some(&(newest, 4))).then_some(())).await;
}

#[tokio::test]
async fn a_server_that_swallows_everything_holds_up_no_new_channel_of_another() {
    const SOON: Duration = Duration::from_secs(2);
    let config = vec!["cluster-require-full-coverage no".to_owned()];
    let cluster = RedisCluster::start_with(3, 0, Options { config, ..Options::default() }).await;
    let options = cluster_options(&cluster).connect_timeout(Duration::from_secs(6));
    let node = Node::start(&options.answer_timeout(Duration::from_secs(4))).await;
    let channels: Vec<String> = (0..30).map(|number| format!("c{number}")).collect();
    for channel in &channels {
        node.publish(channel, 1).await;
    }
    let silent = cluster.master(0).await;
    let keys = silent.cli(&["KEYS", "wirehub{*}:c:*"]).await;
    let is_silent = |channel: &String| keys.lines().any(|key| key.ends_with(&format!(":c:{channel}")));
    let (of_silent, others): (Vec<_>, Vec<_>) = channels.iter().partition(|channel| is_silent(channel));
    assert!(!of_silent.is_empty() && !others.is_empty());
    silent.pause();
    let begun = Instant::now();
    // First its connections are silent, then nobody can connect.
    let mut waiting = Vec::new();
    while begun.elapsed() < Duration::from_secs(8) {
        for channel in &of_silent {
            waiting.push(node.engine.attach(&name(channel)));
            drop(node.engine.publish(message(channel, 2, "")));
        }
        for channel in &others {
            let attached = timeout(SOON, node.engine.attach(&name(channel))).await;
            attached.unwrap_or_else(|_| panic!("{channel} waits, {:?}", begun.elapsed())).unwrap();
            let published = timeout(SOON, node.try_publish(channel, 2, "")).await;
            published.unwrap_or_else(|_| panic!("{channel} waits, {:?}", begun.elapsed())).unwrap();
            node.engine.detach(&name(channel));
        }
        sleep(Duration::from_millis(20)).await;
    }
    silent.resume();
    for channel in &of_silent {
        until("it is attached", async || node.engine.attach(&name(channel)).await).await;
    }
}

#[tokio::test]
async fn a_silent_line_brings_no_probe_and_a_renewed_one_does() {
    let server = RedisServer::start(Options::default()).await;
    let line = Line::to(server.address()).await;
    let options = RedisOptions::single(&format!("redis://{}", line.address())).unwrap();
    let node = Node::start(&options.answer_timeout(Duration::from_millis(300))).await;
    node.attach("a").await;
    node.engine.probe(1);
    node.sees("a probe", |seen| seen.probes.lock().contains(&1).then_some(())).await;
    line.hold(true);
    node.engine.probe(2);
    assert!(node.try_publish("a", 1, "").await.is_err());
    assert!(node.engine.renew().await.is_err(), "there is no way to Redis");
    assert!(!node.seen.probes.lock().contains(&2));
    line.heal();
    until("it is renewed", async || node.engine.renew().await).await;
    node.engine.probe(3);
    node.sees("a probe", |seen| seen.probes.lock().contains(&3).then_some(())).await;
    node.sees("the interruption", |seen| (*seen.interruptions.lock() > 0).then_some(())).await;
}

#[tokio::test]
async fn a_store_behind_its_node_begins_a_new_epoch() {
    let server = RedisServer::start(Options::default()).await;
    let node = Node::start(&RedisOptions::single(&server.url()).unwrap()).await;
    for number in 1..=3 {
        node.publish("a", number).await;
    }
    let seen = node.publish("a", 4).await;
    let state = server.cli(&["KEYS", "wirehub{*}:c:a"]).await;
    server.cli(&["HSET", &state, "o", "2"]).await;
    let newest = node.engine.newest(vec![(name("a"), Some(seen.clone()))]).await.unwrap();
    let newest = newest[0].clone().unwrap();
    assert_eq!(newest.offset, 2);
    assert_ne!(newest.epoch, seen.epoch);
    assert!(!node.locate("a", Some(seen)).await.complete);
}

#[tokio::test]
async fn a_server_that_refuses_is_told_with_words() {
    let server = RedisServer::start(Options {
        users: vec!["reader on >secret ~* &* +@read +@connection +info".into()],
        password: Some("other".into()),
        ..Options::default()
    })
    .await;
    let address = format!("redis://{}", server.address());
    let connect = async |user: Option<&str>, password: &str| {
        let mut options = RedisOptions::single(&address).unwrap().password(password);
        if let Some(user) = user {
            options = options.user(user);
        }
        RedisEngine::connect(options).await.map(drop)
    };
    let error = connect(None, "wrong").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
    assert!(!error.to_string().contains("wrong"), "{error}");
    let error = connect(Some("reader"), "secret").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
    connect(None, "other").await.unwrap();
    let nobody = RedisOptions::single("redis://127.0.0.1:1").unwrap();
    let error = RedisEngine::connect(nobody).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn keys_of_others_are_left_alone() {
    let server = RedisServer::start(Options::default()).await;
    let options = RedisOptions::single(&server.url()).unwrap();
    drop(Node::start(&options).await);
    let format = server.cli(&["KEYS", "wirehub{*}:f:format"]).await;
    for (value, kind) in [("wirehub 2", "newer version"), ("something", "another program")] {
        server.cli(&["SET", &format, value]).await;
        let error = RedisEngine::connect(options.clone()).await.map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Foreign);
        assert!(error.to_string().contains(kind), "{error}");
        assert_eq!(server.cli(&["GET", &format]).await, value);
    }
    // Two fleets do not notice each other.
    let (one, other) = (options.clone().prefix("one").unwrap(), options.prefix("other").unwrap());
    let (one, other) = (Node::start(&one).await, Node::start(&other).await);
    one.attach("a").await;
    other.attach("a").await;
    assert_eq!(one.publish("a", 1).await.offset, 1);
    assert_eq!(other.publish("a", 2).await.offset, 1);
    assert_eq!(one.delivered("a", 1).await, [(1, 1)]);
    assert_eq!(other.delivered("a", 1).await, [(1, 2)]);
}

#[tokio::test]
async fn a_store_that_was_emptied_is_marked_with_the_format_again() {
    let server = RedisServer::start(Options::default()).await;
    let options = RedisOptions::single(&server.url()).unwrap();
    let _node = Node::start(&options).await;
    let format = server.cli(&["KEYS", "wirehub{*}:f:format"]).await;
    server.cli(&["FLUSHALL"]).await;
    until("the format is there", async || match &*server.cli(&["GET", &format]).await {
        "wirehub 1" => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}

#[tokio::test]
async fn a_key_of_another_program_in_one_channel_concerns_no_other_channel() {
    let server = RedisServer::start(Options::default()).await;
    let node = Node::start(&RedisOptions::single(&server.url()).unwrap()).await;
    let newest = node.publish("a", 1).await;
    node.publish("b", 1).await;
    let key = server.cli(&["KEYS", "wirehub{*}:c:b"]).await;
    server.cli(&["SET", &key, "foreign"]).await;
    let error = node.try_publish("b", 2, "").await.unwrap_err();
    assert!(error.to_string().contains("another program"), "{error}");
    // All channels of one partition are compared by one request.
    let seen = vec![(name("a"), Some(newest.clone())), (name("b"), None)];
    assert_eq!(node.engine.newest(seen).await.unwrap(), [Some(newest), None]);
    node.publish("a", 2).await;
}

#[tokio::test]
async fn while_the_memory_of_redis_is_full_publishes_are_refused_and_nothing_is_delivered() {
    let server = RedisServer::start(Options::default()).await;
    let node = Node::start(&RedisOptions::single(&server.url()).unwrap()).await;
    node.attach("a").await;
    node.publish("a", 1).await;
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let mut without_history = message("a", 2, "key");
    without_history.history = None;
    for publish in [message("a", 2, "key"), without_history.clone()] {
        let error = node.engine.publish(publish).await.unwrap_err();
        assert_eq!(error.kind(), EngineErrorKind::Unavailable, "{error}");
    }
    assert!(node.engine.ready().is_err());
    assert_eq!(node.page("a", None).await.unwrap().publications.len(), 1, "reading goes on");
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]).await;
    assert_eq!(node.engine.publish(without_history).await.unwrap(), None);
    node.engine.ready().unwrap();
    assert_eq!(node.delivered("a", 2).await, [(1, 1), (0, 2)], "the refused ones were not delivered");
}

#[tokio::test]
async fn the_same_prefix_in_two_databases_is_two_fleets() {
    let server = RedisServer::start(Options::default()).await;
    let node = |database| RedisOptions::single(&format!("redis://{}/{database}", server.address())).unwrap();
    let (one, other) = (Node::start(&node(0)).await, Node::start(&node(3)).await);
    one.attach("a").await;
    other.attach("a").await;
    one.publish("a", 1).await;
    other.publish("a", 2).await;
    assert_eq!(one.delivered("a", 1).await, [(1, 1)]);
    assert_eq!(other.delivered("a", 1).await, [(1, 2)]);
}

#[tokio::test]
async fn a_publish_waits_for_a_replica_if_it_has_to() {
    let sentinels = Sentinels::start(1, 3).await;
    let options = sentinel_options(&sentinels).acknowledge(Acknowledge::Replicas(1));
    let node = Node::start(&options.answer_timeout(Duration::from_millis(900))).await;
    assert_eq!(node.publish("a", 1).await.offset, 1);
    sentinels.master().await.hold_replication(true).await;
    let error = node.try_publish("a", 2, "key").await.unwrap_err();
    assert_eq!(error.kind(), EngineErrorKind::Unavailable);
    assert!(error.to_string().contains("too few replicas"), "{error}");
    sentinels.master().await.hold_replication(false).await;
    let repeat = async || node.try_publish("a", 2, "key").await;
    let position = until("the replica has it", repeat).await.unwrap();
    assert_eq!(position.offset, 2, "the repeat finds the first one");
}

#[tokio::test]
async fn a_publish_waits_for_disks_if_the_version_can_and_is_refused_at_the_start_if_not() {
    let server = RedisServer::start(Options { append: Append::Always, ..Options::default() }).await;
    let version = server.info("redis_version").await.unwrap();
    let can_wait = !["6.", "7.0.", "7.1."].iter().any(|old| version.starts_with(old));
    let options = RedisOptions::single(&server.url()).unwrap().acknowledge(Acknowledge::Disks(0));
    if !can_wait {
        let error = RedisEngine::connect(options).await.map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsuitable, "{version}: {error}");
        assert!(error.to_string().contains("replicas:N"), "{error}");
        return;
    }
    let node = Node::start(&options.answer_timeout(Duration::from_millis(900))).await;
    assert_eq!(node.publish("a", 1).await.offset, 1);
    server.cli(&["CONFIG", "SET", "appendonly", "no"]).await;
    let error = node.try_publish("a", 2, "").await.unwrap_err();
    assert!(error.to_string().contains("acknowledge"), "{error}");
    server.cli(&["CONFIG", "SET", "appendonly", "yes"]).await;
    until("the file", async || node.try_publish("a", 3, "").await.map(drop)).await;
}
