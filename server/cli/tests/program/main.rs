//! The program `wirehub`, as users run it.

#![allow(clippy::arithmetic_side_effects, clippy::panic, clippy::unwrap_used, clippy::expect_used)]

// Shared with the tests of the library: a minimal client of tungstenite and the codec, and a backend.
#[path = "../../../tests/end_to_end/backend.rs"]
#[allow(dead_code, reason = "the tests of the library use the rest")]
mod backend;
#[path = "../../../tests/end_to_end/support.rs"]
#[allow(dead_code, reason = "the tests of the library use the rest")]
mod support;

mod bench;
mod binary;
mod connect;
#[cfg(all(feature = "demo", unix))]
mod demo;
mod deploy;
mod disk;
mod example_backend;
mod guides;
mod key_sets;
mod operate;
mod program;
mod redis;
mod reload;
#[cfg(all(feature = "demo", unix))]
mod soak;
mod stop;
