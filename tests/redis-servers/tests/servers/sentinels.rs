//! A master, its replicas and their Sentinels.
//!
//! They need Redis: `cargo xtask test redis` installs and uses it.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

use wirehub_test_redis::{Append, Options, Sentinels, until};

#[tokio::test]
#[ignore = "it needs Redis: run `cargo xtask test redis`"]
async fn a_failover_makes_a_replica_the_master_and_keeps_the_content() {
    let sentinels = Sentinels::start(2, 3).await;
    assert_eq!(sentinels.addresses().len(), 3);
    let old = sentinels.master().await;
    assert_eq!(old.address(), sentinels.servers()[0].address());
    old.cli(&["SET", "a", "1"]).await;
    old.cli(&["WAIT", "2", "0"]).await;
    let new = sentinels.failover().await;
    assert_ne!(new.address(), old.address());
    assert_eq!(new.cli(&["GET", "a"]).await, "1");
    assert_eq!(sentinels.master().await.address(), new.address());
}

#[tokio::test]
#[ignore = "it needs Redis: run `cargo xtask test redis`"]
async fn a_killed_master_has_a_successor_and_follows_it_when_it_is_back() {
    let options = Options { password: Some("secret".into()), append: Append::Always, ..Options::default() };
    let sentinels = Sentinels::start_with(1, 3, options).await;
    let old = sentinels.kill_master().await;
    let new = sentinels.successor_of(old).await;
    assert_ne!(new.address(), old);
    new.cli(&["SET", "a", "1"]).await;
    let old = sentinels.server(old);
    old.restart().await;
    until("the old master as a replica", async || match old.info("role").await {
        Some(role) if role == "slave" => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    until("its copy", async || if old.cli(&["GET", "a"]).await == "1" { Ok(()) } else { Err("no value") })
        .await;
}

#[tokio::test]
#[ignore = "it needs Redis: run `cargo xtask test redis`"]
async fn a_failover_without_replication_loses_the_tail() {
    let sentinels = Sentinels::start(1, 3).await;
    let master = sentinels.master().await;
    master.cli(&["SET", "a", "1"]).await;
    master.cli(&["WAIT", "1", "0"]).await;
    master.hold_replication(true).await;
    master.cli(&["SET", "a", "2"]).await;
    let old = sentinels.kill_master().await;
    assert_eq!(sentinels.successor_of(old).await.cli(&["GET", "a"]).await, "1");
}
