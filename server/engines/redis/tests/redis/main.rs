//! The engine against real servers: single, with Sentinels, and in a cluster.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "these are tests: they fail by panicking"
)]
#![cfg(unix)]

mod conformance;
mod failures;
mod node;
mod publishing;
