//! An engine for `wirehub-hub` on Redis, for several nodes: the history of channels, offsets and epochs, the keys of publishes,
//! presence, alarms and the list of nodes.
//!
//! ```no_run
//! use wirehub_hub::Hub;
//! use wirehub_redis::{RedisEngine, RedisOptions};
//!
//! # async fn serve() -> Result<(), wirehub_redis::Error> {
//! let engine = RedisEngine::connect(RedisOptions::single("redis://127.0.0.1:6379")?).await?;
//! let hub = Hub::builder().engine(engine).build();
//! # drop(hub);
//! # Ok(())
//! # }
//! ```
//!
//! A channel belongs to one of 128 partitions, and a partition to one server. Each change of a channel is one script, so it is
//! atomic, and sends its delivery by Redis' own publish. Each node has two connections to each server: one for commands, one for
//! deliveries. The README describes what is promised when servers fail.

mod attachments;
mod command;
mod engine;
mod error;
mod figures;
mod fleet;
mod janitor;
mod keys;
mod link;
mod message;
mod nodes;
mod options;
mod partition;
mod presence;
mod publications;
mod queue;
mod records;
mod scripts;
mod servers;
mod subscriptions;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

pub use self::engine::RedisEngine;
pub use self::error::{Error, ErrorKind};
pub use self::options::{Acknowledge, RedisOptions};

/// A number that was never used before. Without entropy of the system, that of the standard library is used.
fn random() -> u64 {
    let mut bytes = [0; 8];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u64::from_ne_bytes(bytes),
        Err(_) => RandomState::new().hash_one(0),
    }
}
