//! Redis for tests: a [server](RedisServer), [Sentinels], a [cluster](RedisCluster), and a [line](Line) to them that
//! breaks.
//!
//! A [`Process`] that ends with the test and a [`Port`] that stays its own are also for other programs.
//!
//! They are real programs, the `redis-server` on `PATH` or the one in `WIREHUB_REDIS_SERVER`, on free ports of the loopback
//! interface and in temporary folders. Each is ready when its constructor returns, and ends with its value; also if the
//! test panics or is killed.
//!
//! Nothing here takes part in tokio's virtual time.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::missing_panics_doc,
    reason = "a test fails by panicking"
)]

mod line;

#[cfg(unix)]
mod cluster;
#[cfg(unix)]
mod ports;
#[cfg(unix)]
mod process;
#[cfg(unix)]
mod resp;
#[cfg(unix)]
mod sentinels;
#[cfg(unix)]
mod server;
#[cfg(unix)]
mod waiting;

pub use self::line::Line;
#[cfg(unix)]
pub use self::{
    cluster::{Migration, RedisCluster},
    ports::Port,
    process::Process,
    resp::Reply,
    sentinels::Sentinels,
    server::{Append, Options, RedisServer},
    waiting::{PATIENCE, until},
};
