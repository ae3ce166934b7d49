//! The promises of every engine, checked on one server, with Sentinels and in a cluster.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::runtime::Handle;
use tokio::task::block_in_place;
use wirehub_hub::engine::conformance;
use wirehub_redis::{RedisEngine, RedisOptions};
use wirehub_test_redis::{Options, RedisCluster, RedisServer, Sentinels};

use crate::node::{cluster_options, sentinel_options};

/// Every store of a suite is a prefix of its own.
struct Stores {
    options: RedisOptions,
    number: AtomicU32,
}

impl Stores {
    fn new(options: RedisOptions) -> Self {
        Self { options, number: AtomicU32::new(0) }
    }

    async fn nodes(&self, count: usize) -> Vec<RedisEngine> {
        let prefix = format!("store{}", self.number.fetch_add(1, Ordering::Relaxed));
        let options = self.options.clone().prefix(&prefix).unwrap();
        let mut nodes = Vec::new();
        for _ in 0..count {
            nodes.push(RedisEngine::connect(options.clone()).await.expect("Redis is there"));
        }
        nodes
    }

    async fn check(self) {
        let one = || block_in_place(|| Handle::current().block_on(self.nodes(1))).pop().unwrap();
        conformance::check(one).await;
        conformance::check_several(async |count| self.nodes(count).await).await;
        conformance::check_attachments(async |count| self.nodes(count).await).await;
        conformance::check_records(async |count| self.nodes(count).await, 2).await;
        tokio::join!(
            conformance::check_nodes(async |count| self.nodes(count).await),
            conformance::check_presence(async |count| self.nodes(count).await),
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_engine_keeps_its_promises_on_one_server() {
    let server = RedisServer::start(Options::default()).await;
    Stores::new(RedisOptions::single(&server.url()).unwrap()).check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_engine_keeps_its_promises_with_sentinels() {
    let sentinels = Sentinels::start(1, 3).await;
    Stores::new(sentinel_options(&sentinels)).check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_engine_keeps_its_promises_in_a_cluster() {
    let cluster = RedisCluster::start(3, 0).await;
    Stores::new(cluster_options(&cluster)).check().await;
}
