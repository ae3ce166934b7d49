//! Chaos: a fleet behind HAProxy, clients that publish and listen, and random faults. At the end every acknowledged message
//! has reached every subscriber, once and in order, or the subscriber was notified of a gap at its place; and no two messages
//! have the same place. Every alarm has been shown to each of its users once, and comes again only to new
//! sessions of users without an acknowledgement. Every node has the true members of each channel.
//!
//! `cargo xtask test chaos` runs it. The variables:
//!
//! - `WIREHUB_CHAOS_SECONDS`: the time of the faults of each test (30)
//! - `WIREHUB_CHAOS_SEED`: the seed of a run to repeat; each test prints its own
//! - `WIREHUB_CHAOS_NODES`: the number of nodes, with Redis (3)
//! - `WIREHUB_TARBALL`: the packed npm package, for clients in Node.js

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::print_stdout,
    reason = "a test fails by panicking, and reports its seed"
)]

mod alarms;
mod checker;
#[cfg(test)]
mod checker_tests;
mod fleet;
mod people;
mod random;

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::str::FromStr;
use std::time::{Duration, Instant, SystemTime};

use crate::checker::check;
use crate::fleet::{Engine, Fleet, Kind, Shape, Store};
use crate::people::{Npm, Recorder};
use crate::random::Random;

const CHANNELS: [&str; 3] = ["chaos:one", "chaos:two", "chaos:three"];

/// Native clients of each kind.
const PUBLISHERS: usize = 4;
const SUBSCRIBERS: usize = 6;

/// Clients of the npm package, which do both.
const NPM_CLIENTS: usize = 2;

/// The longest time between two faults. Clients wait for longer with each loss in a row, and are away most of the time if losses
/// are frequent.
const LONGEST_CALM: Duration = Duration::from_secs(6);

/// The time in which everything arrives after the last fault.
const SETTLING: Duration = Duration::from_secs(60);

/// The most violations that a failure prints.
const PRINTED: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it needs HAProxy: run `cargo xtask test chaos`"]
async fn on_disk_nothing_is_lost() {
    run(Shape { engine: Engine::Disk, nodes: 1 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it needs HAProxy: run `cargo xtask test chaos`"]
async fn in_memory_losses_are_reported() {
    run(Shape { engine: Engine::Memory, nodes: 1 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it needs HAProxy and Redis: run `cargo xtask test chaos`"]
async fn redis_alone() {
    run(Shape { engine: Engine::Redis(Kind::Single), nodes: nodes() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it needs HAProxy and Redis: run `cargo xtask test chaos`"]
async fn redis_with_sentinels() {
    run(Shape { engine: Engine::Redis(Kind::Sentinels), nodes: nodes() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it needs HAProxy and Redis: run `cargo xtask test chaos`"]
async fn redis_as_a_cluster() {
    run(Shape { engine: Engine::Redis(Kind::Cluster), nodes: nodes() }).await;
}

#[tokio::test]
#[ignore = "it needs Redis: run `cargo xtask test chaos`"]
async fn every_kind_of_redis_survives_every_fault() {
    let mut random = Random::new(variable("WIREHUB_CHAOS_SEED").unwrap_or(1));
    for kind in [Kind::Single, Kind::Sentinels, Kind::Cluster] {
        let shape = Shape { engine: Engine::Redis(kind), nodes: 1 };
        let store = Store::start(shape).await;
        for action in shape.store_actions() {
            println!("{kind:?}: {action:?}");
            store.act(action, 0, &mut random).await;
        }
    }
}

fn nodes() -> usize {
    variable("WIREHUB_CHAOS_NODES").unwrap_or(3)
}

async fn run(shape: Shape) {
    let seed = variable("WIREHUB_CHAOS_SEED").unwrap_or_else(a_seed);
    let time = Duration::from_secs(variable("WIREHUB_CHAOS_SECONDS").unwrap_or(30));
    println!("{shape}: WIREHUB_CHAOS_SEED={seed}, {} s", time.as_secs());
    let mut random = Random::new(seed);
    let mut fleet = Fleet::start(shape).await;
    let (url, recorder) = (fleet.url(), Recorder::new());

    let mut clients = Vec::new();
    let mut users = BTreeSet::new();
    for index in 0..SUBSCRIBERS {
        let name = format!("subscriber-{index}");
        let client = people::alarmed(&recorder, &url, &name, index % 2 == 0).await;
        people::listen(&recorder, &client, &name, &CHANNELS).await;
        clients.push(client);
        users.insert(name);
    }
    let npm_folder = npm_project(fleet.folder());
    let mut npm = Vec::new();
    for index in 0..npm_folder.as_ref().map_or(0, |_| NPM_CLIENTS) {
        let folder = npm_folder.as_deref().unwrap_or_else(|| Path::new("."));
        let name = format!("npm-{index}");
        npm.push(Npm::start(&recorder, folder, &url, (&name, index % 2 == 0), &CHANNELS).await);
        users.insert(name);
    }
    // Every subscription is there before the first publish.
    let mut publishers = Vec::new();
    for client in &mut npm {
        client.publish().await;
    }
    for index in 0..PUBLISHERS {
        let client = people::native(&url).await;
        publishers.push(people::publish(&recorder, client, &format!("publisher-{index}"), &CHANNELS));
    }
    publishers.push(people::raise(&recorder, fleet.addresses()));

    let actions = shape.actions();
    let started = Instant::now();
    // Tests that run at the same time print into one log.
    let say = |text: &str| println!("{shape}: {:>6} ms  {text}", started.elapsed().as_millis());
    while started.elapsed() < time {
        tokio::time::sleep(random.duration(LONGEST_CALM)).await;
        let action = random.of(&actions);
        say(&format!("{action:?}"));
        let begun = Instant::now();
        fleet.act(action, &mut random).await;
        if shape.may_lose(action) {
            // A memory loses everything.
            let begun = if shape.engine == Engine::Memory { started } else { begun };
            recorder.alarms().note_loss(begun, Instant::now());
        }
    }

    fleet.whole().await;
    say("whole again");
    recorder.stop_publishing();
    for publisher in publishers {
        publisher.await.unwrap();
    }
    for client in &mut npm {
        client.stop_publishing().await;
    }
    let last = people::native(&url).await;
    let subscriptions = (SUBSCRIBERS + npm.len()) * CHANNELS.len();
    let all = people::end(&recorder, &last, &CHANNELS, (subscriptions, SETTLING)).await;
    people::read_history(&recorder, &last, &CHANNELS).await;
    say(&format!("every message is there: {all}"));
    people::end_alarms(&recorder, &url, &fleet.addresses(), SETTLING).await;
    say("the alarms are over");
    let wrong_presence = people::wrong_presence(&fleet.addresses(), &CHANNELS, &users, SETTLING).await;
    say("the members are known");
    for client in npm {
        client.end().await;
    }

    // A subscription without the last message is among the violations.
    let verdict = check(&recorder.record(), shape.promise());
    let of_alarms = alarms::check(&recorder.alarms());
    println!("{shape}: {verdict}\n{shape}: {of_alarms}");
    let violations = [&verdict.violations[..], &of_alarms.violations, &wrong_presence].concat();
    if !all || !violations.is_empty() {
        fleet.keep_folder();
        let shown: Vec<&str> = violations.iter().take(PRINTED).map(String::as_str).collect();
        panic!(
            "{}; WIREHUB_CHAOS_SEED={seed}; configurations and logs: {}\n{}",
            if all {
                "a promise was broken"
            } else {
                "a channel's last message did not reach every subscriber"
            },
            fleet.folder().display(),
            shown.join("\n")
        );
    }
}

/// A folder with the npm package, if that is built.
fn npm_project(folder: &Path) -> Option<std::path::PathBuf> {
    let Some(tarball) = env::var_os("WIREHUB_TARBALL") else {
        println!("no clients of the npm package: WIREHUB_TARBALL does not name it");
        return None;
    };
    let folder = folder.join("npm");
    let package = folder.join("node_modules/@wirehub/client");
    fs::create_dir_all(&package).unwrap();
    let mut unpack = Command::new("tar");
    unpack.arg("-xzf").arg(tarball).arg("-C").arg(&package).arg("--strip-components=1");
    assert!(unpack.status().unwrap().success(), "WIREHUB_TARBALL can't be unpacked");
    fs::write(folder.join("client.mjs"), include_str!("client.mjs")).unwrap();
    Some(folder)
}

fn variable<T: FromStr>(name: &str) -> Option<T> {
    let value = env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is no number: {value}")))
}

fn a_seed() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or_default()
}
