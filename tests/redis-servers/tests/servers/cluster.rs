//! A cluster.
//!
//! It needs Redis: `cargo xtask test redis` installs and uses it.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

use wirehub_test_redis::{RedisCluster, Reply};

fn refusal(reply: &Reply) -> &str {
    match reply {
        Reply::Error(reason) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
#[ignore = "it needs Redis: run `cargo xtask test redis`"]
async fn each_master_has_a_part_of_the_slots_and_a_slot_moves_with_its_keys() {
    let cluster = RedisCluster::start(3, 0).await;
    assert_eq!((cluster.addresses().len(), cluster.shards()), (3, 3));
    let slot = cluster.slot_of("{a}1").await;
    let from = cluster.shard_of(slot).await;
    let to = (from + 1) % 3;
    for number in 0..250 {
        cluster.master(from).await.cli(&["SET", &format!("{{a}}{number}"), "x"]).await;
    }
    cluster.migrate_slot(slot, to).await;
    assert_eq!(cluster.shard_of(slot).await, to);
    assert_eq!(cluster.master(to).await.cli(&["CLUSTER", "COUNTKEYSINSLOT", &slot.to_string()]).await, "250");
    let moved = cluster.master(from).await.reply(&["GET", "{a}1"]).await;
    assert!(refusal(&moved).starts_with("MOVED"));
}

#[tokio::test]
#[ignore = "it needs Redis: run `cargo xtask test redis`"]
async fn a_slot_on_its_way_redirects_missing_keys() {
    let cluster = RedisCluster::start(2, 1).await;
    let slot = cluster.slot_of("a").await;
    let (from, to) = (cluster.shard_of(slot).await, 1 - cluster.shard_of(slot).await);
    let old = cluster.master(from).await;
    old.cli(&["SET", "a", "1"]).await;
    let migration = cluster.begin_migration(slot, to).await;
    assert_eq!(old.cli(&["GET", "a"]).await, "1");
    assert!(refusal(&old.reply(&["GET", "{a}"]).await).starts_with("ASK"));
    migration.move_keys().await;
    assert!(refusal(&old.reply(&["GET", "a"]).await).starts_with("ASK"));
    migration.finish().await;
    assert!(refusal(&old.reply(&["GET", "a"]).await).starts_with("MOVED"));
    assert_eq!(cluster.master(to).await.cli(&["GET", "a"]).await, "1");
}

#[tokio::test]
#[ignore = "it needs Redis: run `cargo xtask test redis`"]
async fn a_replica_takes_the_place_of_its_master_when_that_is_killed_and_when_it_is_asked_to() {
    let cluster = RedisCluster::start(3, 1).await;
    let slot = cluster.slot_of("a").await;
    let shard = cluster.shard_of(slot).await;
    let first = cluster.master(shard).await;
    first.cli(&["SET", "a", "1"]).await;
    first.cli(&["WAIT", "1", "0"]).await;
    assert_eq!(cluster.kill_master(shard).await, first.address());
    let second = cluster.master(shard).await;
    assert_ne!(second.address(), first.address());
    assert_eq!(second.cli(&["GET", "a"]).await, "1");

    // The old one comes back as a replica.
    first.restart().await;
    cluster.ready().await;
    second.cli(&["WAIT", "1", "0"]).await;
    assert_eq!(cluster.failover(shard).await.address(), first.address());
    assert_eq!(first.cli(&["GET", "a"]).await, "1");
}
