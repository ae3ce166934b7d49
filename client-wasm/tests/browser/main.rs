//! The client in a real browser against the real server. `cargo xtask test chromium firefox` starts both.
#![cfg(target_arch = "wasm32")]
// Clippy recognizes a test by its `#[test]`, and these have another attribute.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::panic,
    clippy::unwrap_used,
    reason = "all of this is tests"
)]

mod client;
mod event_socket;
#[cfg(feature = "gloo")]
mod gloo;
mod scenarios;
mod socket;
mod support;

wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);
