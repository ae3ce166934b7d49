//! What is put on a server, and what is read off it then.

mod echo;
mod fan_out;
mod idle;

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::server::Server;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Load {
    /// 1,000 subscribers, messages of 128 bytes, 32 of them in flight.
    FanOut,
    /// The same at 100 messages a second.
    FanOutPaced,
    /// 64 bytes, one in flight.
    Echo,
    /// 64 bytes, 16 in flight.
    EchoPipelined,
    /// 16 KiB, one in flight.
    EchoLarge,
    /// 10,000 connections that do nothing.
    Idle,
}

impl Load {
    pub(crate) const ALL: [Self; 6] =
        [Self::FanOut, Self::FanOutPaced, Self::Echo, Self::EchoPipelined, Self::EchoLarge, Self::Idle];

    /// The server's CPU seconds for a million messages; of idle connections, the bytes of memory for each.
    pub(crate) fn put_on(self, server: &Server) -> Result<f64> {
        match self {
            Self::FanOut => fan_out::run(server, fan_out::Pace::InFlight(32)),
            Self::FanOutPaced => fan_out::run(server, fan_out::Pace::Every(Duration::from_millis(10))),
            Self::Echo => echo::run(server, 64, 1),
            Self::EchoPipelined => echo::run(server, 64, 16),
            Self::EchoLarge => echo::run(server, 16 * 1024, 1),
            Self::Idle => idle::run(server),
        }
    }

    /// What the project aims at, in the same unit.
    pub(crate) fn aim(self) -> f64 {
        match self {
            Self::FanOut => 0.20,
            Self::FanOutPaced => 6.2,
            Self::Echo => 5.5,
            Self::EchoPipelined => 0.35,
            Self::EchoLarge => 7.0,
            Self::Idle => 2_000.0,
        }
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FanOut => "fan-out, 32 in flight",
            Self::FanOutPaced => "fan-out, 100 a second",
            Self::Echo => "echo, 64 B, 1 in flight",
            Self::EchoPipelined => "echo, 64 B, 16 in flight",
            Self::EchoLarge => "echo, 16 KiB, 1 in flight",
            Self::Idle => "idle connection, bytes",
        })
    }
}

/// Before the books are read, for caches and buffers to get their size.
const WARM_UP: Duration = Duration::from_millis(500);

/// The books count in hundredths of a second.
const MEASURED: Duration = Duration::from_secs(4);

fn per_million(cpu: Duration, messages: u64) -> Result<f64> {
    let kept = u32::try_from(messages).ok().filter(|&it| it > 0).context("no message came through")?;
    Ok(cpu.as_secs_f64() / f64::from(kept) * 1e6)
}

/// The load's own runtime: one thread, on the load's core.
fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")
}
