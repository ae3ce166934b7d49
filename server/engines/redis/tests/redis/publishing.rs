//! Publishing, recovery and history on one server, with Sentinels and in a cluster.

use wirehub_common::frame::Position;
use wirehub_hub::engine::{Attachments, Engine, EngineMetricValue, Publications};
use wirehub_redis::RedisOptions;
use wirehub_test_redis::{Options, RedisCluster, RedisServer, Sentinels};

use crate::node::{Node, cluster_options, message, sentinel_options};

async fn check(options: &RedisOptions) {
    let (one, other) = (Node::start(options).await, Node::start(options).await);
    for channel in ["a", "b", "c", "d", "e"] {
        one.attach(channel).await;
        other.attach(channel).await;
        let nothing = one.locate(channel, None).await;
        assert_eq!((nothing.position.offset, nothing.newest), (0, 0));
        for number in 1..=4 {
            assert_eq!(one.publish(channel, 2 * number - 1).await.offset, 2 * number - 1);
            assert_eq!(other.publish(channel, 2 * number).await.offset, 2 * number);
        }
        let all: Vec<_> = (1..=8).map(|number| (number, number)).collect();
        assert_eq!(one.delivered(channel, 8).await, all);
        assert_eq!(other.delivered(channel, 8).await, all);

        // Five are kept.
        let at = |offset| Position { offset, epoch: nothing.position.epoch.clone() };
        let page = one.page(channel, None).await.unwrap();
        assert_eq!(page.publications.iter().map(|each| each.offset).collect::<Vec<_>>(), [4, 5, 6, 7, 8]);
        assert_eq!((page.position, page.more), (at(8), false));
        assert!(other.locate(channel, Some(at(3))).await.complete);
        let lost = other.locate(channel, Some(at(2))).await;
        assert_eq!((lost.position, lost.complete), (at(3), false));
        assert!(one.page(channel, Some(at(2))).await.is_none());

        // A repeat has the answer of the first one, on any node.
        let first = one.try_publish(channel, 9, "key").await.unwrap();
        assert_eq!(other.try_publish(channel, 10, "key").await.unwrap(), first);
        assert_eq!(first, Some(at(9)));

        let mut without = message(channel, 11, "");
        without.history = None;
        assert_eq!(one.engine.publish(without).await.unwrap(), None);
        assert_eq!(other.delivered(channel, 10).await[8..], [(9, 9), (0, 11)]);

        // A detached channel is silent, and an attached one again hears the next.
        let name = crate::node::name(channel);
        other.engine.detach(&name);
        let seen = vec![(name.clone(), Some(at(9)))];
        assert_eq!(one.engine.newest(seen).await.unwrap(), [Some(at(9))]);
        other.engine.attach(&name).await.unwrap();
        one.publish(channel, 12).await;
        assert_eq!(other.delivered(channel, 11).await.last(), Some(&(10, 12)));
    }
    one.engine.probe(7);
    one.sees("the probe", |seen| (*seen.probes.lock() == [7]).then_some(())).await;
    one.engine.renew().await.unwrap();
    one.publish("a", 13).await;
    assert_eq!(one.delivered("a", 12).await.last(), Some(&(11, 13)));
    one.engine.ready().unwrap();
    assert!(one.engine.idempotency().is_some());
    assert_eq!(one.engine.idempotency().unwrap().scope, other.engine.idempotency().unwrap().scope);
    let figure =
        |name| one.engine.metrics().into_iter().find(|metric| metric.name == name).map(|it| it.value);
    assert_eq!(figure("attached_channels"), Some(EngineMetricValue::Gauge(5)));
    assert_eq!(figure("servers"), figure("connected_servers"));
    assert!(matches!(figure("requests"), Some(EngineMetricValue::Counter(requests)) if requests > 50));
    one.engine.stop().await.unwrap();
    assert!(one.try_publish("a", 14, "").await.is_err(), "it is stopped");
}

#[tokio::test]
async fn two_nodes_share_a_server() {
    let server = RedisServer::start(Options::default()).await;
    check(&RedisOptions::single(&server.url()).unwrap()).await;
}

#[tokio::test]
async fn two_nodes_share_a_server_that_sentinels_watch() {
    let sentinels = Sentinels::start(1, 3).await;
    check(&sentinel_options(&sentinels)).await;
}

#[tokio::test]
async fn two_nodes_share_a_cluster() {
    let cluster = RedisCluster::start(3, 0).await;
    check(&cluster_options(&cluster)).await;
}

#[tokio::test]
async fn publishes_that_were_accepted_before_a_stop_are_stored_by_it() {
    const ACCEPTED: u64 = 300;
    let server = RedisServer::start(Options::default()).await;
    let options = RedisOptions::single(&server.url()).unwrap();
    let node = Node::start(&options).await;
    let channels = ["a", "b", "c", "d"];
    // They wait in the queues.
    server.pause();
    let accepted = (0..ACCEPTED).zip(channels.into_iter().cycle());
    let accepted: Vec<_> =
        accepted.map(|(number, channel)| node.engine.publish(message(channel, number, ""))).collect();
    let stopped = node.engine.stop();
    assert!(node.try_publish("a", ACCEPTED, "").await.is_err(), "it takes no more");
    server.resume();
    stopped.await.unwrap();
    let other = Node::start(&options).await;
    for channel in channels {
        assert_eq!(other.locate(channel, None).await.newest, ACCEPTED / 4, "{channel}");
    }
    for answer in accepted {
        answer.await.unwrap();
    }
}
