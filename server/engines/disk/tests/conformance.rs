//! The promises of every engine, checked with this one.

#![allow(clippy::expect_used, reason = "these are tests")]

use std::sync::Mutex;
use std::time::Duration;

use wirehub_disk::{DiskEngine, DiskOptions, Durability};
use wirehub_hub::engine::conformance;

async fn check(options: DiskOptions) {
    let folders = Mutex::new(Vec::new());
    conformance::check(|| {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let engine = DiskEngine::open(folder.path(), options.clone()).expect("a new engine");
        folders.lock().expect("no panic before").push(folder);
        engine
    })
    .await;
}

#[tokio::test]
async fn it_keeps_the_promises_of_records() {
    let folders = Mutex::new(Vec::new());
    let make = async |_| {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let engine = DiskEngine::open(folder.path(), DiskOptions::default()).expect("a new engine");
        folders.lock().expect("no panic before").push(folder);
        vec![engine]
    };
    conformance::check_records(make, 1).await;
}

#[tokio::test]
async fn the_engine_on_disk_keeps_its_promises() {
    check(DiskOptions::default()).await;
}

#[tokio::test]
async fn it_keeps_them_if_it_synchronises_at_an_interval() {
    check(DiskOptions::default().durability(Durability::Interval(Duration::from_secs(1)))).await;
}

#[tokio::test]
async fn it_keeps_them_if_nothing_stays_in_memory() {
    check(DiskOptions::default().cache_bytes(0)).await;
}
