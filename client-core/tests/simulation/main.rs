//! Many clients, a model server and a hostile network, in virtual time.
//!
//! A world is a function of its seed. A failing one prints its seed; `WIREHUB_SEED=n` replays it alone, and
//! `WIREHUB_SEEDS=n` runs that many instead of the default number.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod alarms;
mod client;
mod line;
mod network;
mod random;
mod server;
mod session;
mod tokens;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use world::{Faults, World};

const SEEDS: u64 = 10_000;

/// For the worlds with lines, in which more happens.
const SEEDS_WITH_LINES: u64 = 1000;

#[test]
fn every_message_comes_in_order_without_holes_through_a_hostile_network() {
    for_each_seed(SEEDS, |seed| World::new(seed, Faults::ALL).run());
}

#[test]
fn with_enough_history_nothing_is_ever_missed() {
    for_each_seed(SEEDS, |seed| {
        let mut world = World::new(seed, Faults::CUTS);
        world.run();
        assert_eq!(world.gaps(), 0, "each reconnect recovers everything");
        assert_eq!(world.publishes_in_doubt(), 0, "each publish without an answer is repeated");
    });
}

#[test]
fn a_quiet_network_loses_nothing_at_all() {
    for_each_seed(SEEDS, |seed| {
        let mut world = World::new(seed, Faults::NONE);
        world.run();
        assert_eq!(world.failed_commands(), 0, "no command fails without a reason");
        assert_eq!(world.connections(), world.clients.len(), "one connection for each client");
    });
}

#[test]
fn the_newest_token_holds_from_any_source_at_any_time_and_costs_no_message() {
    for_each_seed(SEEDS, |seed| {
        let mut world = World::new(seed, Faults::TOKENS);
        world.run();
        assert_eq!(world.gaps(), 0, "each new session recovers everything");
    });
}

#[test]
fn a_server_that_closes_every_session_is_not_hammered() {
    for_each_seed(SEEDS_WITH_LINES, |seed| {
        let mut world = World::new(seed, Faults::TURNS_AWAY);
        // After the first attempts there is one in ten seconds.
        let attempts = world.count_attempts(std::time::Duration::from_secs(600));
        assert!((40.0..80.0).contains(&attempts), "{attempts}");
    });
}

#[test]
fn over_a_slow_uneven_and_lossy_line_every_client_gets_there_and_nothing_is_missed() {
    for_each_seed(SEEDS_WITH_LINES, |seed| {
        let mut world = World::new(seed, Faults::SLOW);
        world.run();
        world.check_what_was_sent();
        assert_eq!(world.gaps(), 0, "each reconnect recovers everything");
        assert_eq!(world.publishes_in_doubt(), 0, "each publish without an answer is repeated");
    });
}

#[test]
fn a_slow_reader_gets_the_newest_messages_and_is_notified_of_gaps() {
    for_each_seed(SEEDS_WITH_LINES, |seed| {
        let mut world = World::new(seed, Faults::SLOW_AND_FORGETFUL);
        world.run();
        world.check_what_was_sent();
    });
}

#[test]
fn a_slow_line_alone_ends_no_connection() {
    for_each_seed(SEEDS_WITH_LINES, |seed| {
        let mut world = World::new(seed, Faults::ONLY_SLOW);
        world.run();
        world.check_what_was_sent();
        assert_eq!(world.connections(), world.clients.len(), "one connection for each client");
    });
}

#[test]
fn a_server_that_restarts_is_not_met_by_all_clients_at_once() {
    for_each_seed(SEEDS, |seed| {
        let mut world = World::new(seed, Faults::NONE);
        let spread = world.restart_and_measure_spread();
        // 8 clients over a window of 5 s: fewer than one world in 10,000 has them all within half a second.
        assert!(spread.as_millis() > 500, "{spread:?}");
    });
}

fn for_each_seed(seeds: u64, check: impl Fn(u64)) {
    let number = |name| std::env::var(name).ok().map(|value: String| value.parse().expect("a number"));
    let seeds = match number("WIREHUB_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("WIREHUB_SEEDS").unwrap_or(seeds),
    };
    for seed in seeds {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(seed))) {
            eprintln!("failed with WIREHUB_SEED={seed}");
            resume_unwind(panic);
        }
    }
}
