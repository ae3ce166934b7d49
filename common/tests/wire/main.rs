//! The wire format, checked against its specification, against `prost`, and against arbitrary bytes.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod composed;
mod differential;
mod golden;
mod heap;
mod hostile;
mod newer_peers;
mod proto_file;
mod protocol_md;
mod round_trips;
mod schema;
mod strategies;
mod tables;
