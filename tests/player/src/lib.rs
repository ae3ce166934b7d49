//! Plays scenarios with a client in Rust. A stage sends [orders](Order), and gets a line for each event of the client.
//!
//! The stage and the table are in `tests/src/scenarios`. The same for the npm package is
//! `client-wasm/npm/tests/scenarios/player.mjs`; both write the same lines.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test fails by panicking"
)]

mod lines;
mod order;
mod player;

pub use self::order::{Begin, Order};
pub use self::player::{MakeClient, TokenAnswer, play};
