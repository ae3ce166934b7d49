//! The loads on a server, and their figures.

mod big_channel;
mod connect;
mod echo;
mod fairness;
mod fan_out;
mod idle;
mod latency;
mod subscribers;

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;

pub(crate) use self::fan_out::Pace;
use crate::machine::Room;
use crate::report::{Aim, Line};
use crate::server::{Kind, Server, Setup};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Load {
    /// 1,000 subscribers, messages of 128 bytes, 32 of them in flight.
    FanOut,
    /// The same, 64 in flight.
    #[value(name = "fan-out-64")]
    FanOut64,
    /// The same, one in flight.
    #[value(name = "fan-out-1")]
    FanOut1,
    /// The same at 100 messages a second.
    FanOutPaced,
    /// The same with 32 publishers, each of which has one in flight.
    #[value(name = "fan-out-32-publishers")]
    FanOut32Publishers,
    /// 64 bytes, one in flight.
    Echo,
    /// 64 bytes, 16 in flight.
    EchoPipelined,
    /// 16 KiB, one in flight.
    EchoLarge,
    /// 16 KiB, 16 in flight.
    EchoLargePipelined,
    /// 10,000 idle connections.
    Idle,
    /// The same after each has published and received once.
    IdleAfterTraffic,
    /// 2,000 idle connections over TLS.
    IdleTls,
    /// 9,500 connections that close: the share of their memory that the system has back.
    MemoryGivenBack,
    /// Connections that open, subscribe and close.
    Connect,
    /// A client that sends one message at a time, next to two that flood.
    Fairness,
    /// A channel with as many subscribers as connections are allowed, next to a small one. It is measured only on
    /// request.
    BigChannel,
}

impl Load {
    /// The loads that are measured by default.
    pub(crate) const USUAL: [Self; 15] = [
        Self::FanOut,
        Self::FanOut64,
        Self::FanOut1,
        Self::FanOutPaced,
        Self::FanOut32Publishers,
        Self::Echo,
        Self::EchoPipelined,
        Self::EchoLarge,
        Self::EchoLargePipelined,
        Self::Idle,
        Self::IdleAfterTraffic,
        Self::IdleTls,
        Self::MemoryGivenBack,
        Self::Connect,
        Self::Fairness,
    ];

    /// Puts the load on a server; returns a figure for each of its [lines](Self::lines).
    pub(crate) fn put_on(self, server: &Server) -> Result<Vec<f64>> {
        let figure = match self {
            Self::FanOut => fan_out::run(server, SUBSCRIBERS, 1, Pace::InFlight(32)),
            Self::FanOut64 => fan_out::run(server, SUBSCRIBERS, 1, Pace::InFlight(64)),
            Self::FanOut1 => fan_out::run(server, SUBSCRIBERS, 1, Pace::InFlight(1)),
            Self::FanOutPaced => fan_out::run(server, SUBSCRIBERS, 1, Pace::Every(Duration::from_millis(10))),
            Self::FanOut32Publishers => fan_out::run(server, SUBSCRIBERS, 32, Pace::InFlight(32)),
            Self::Echo => echo::run(server, 64, 1),
            Self::EchoPipelined => echo::run(server, 64, 16),
            Self::EchoLarge => echo::run(server, 16 * 1024, 1),
            Self::EchoLargePipelined => echo::run(server, 16 * 1024, 16),
            Self::Idle => idle::run(server),
            Self::IdleAfterTraffic => idle::after_traffic(server),
            Self::IdleTls => idle::encrypted(server),
            Self::MemoryGivenBack => idle::given_back(server),
            Self::Connect => connect::run(server),
            Self::Fairness => return fairness::run(server),
            Self::BigChannel => return big_channel::run(server),
        };
        Ok(vec![figure?])
    }

    /// The names of the figures, and the project's aims.
    pub(crate) fn lines(self) -> Vec<Line> {
        let one = |aim| vec![Line::new(self.to_string(), Some(aim))];
        match self {
            Self::FanOut | Self::FanOut32Publishers => one(Aim::Floors(1.23)),
            Self::FanOut64 => one(Aim::Floors(1.5)),
            Self::FanOut1 => one(Aim::Floors(1.13)),
            Self::FanOutPaced => one(Aim::Floors(1.18)),
            Self::Echo => one(Aim::Floors(0.99)),
            Self::EchoPipelined => one(Aim::Floors(1.25)),
            Self::EchoLarge => one(Aim::Floors(1.13)),
            Self::EchoLargePipelined => one(Aim::Floors(1.23)),
            Self::Idle | Self::IdleAfterTraffic => one(Aim::Figure(1_000.0)),
            Self::IdleTls => one(Aim::Figure(3_500.0)),
            Self::MemoryGivenBack => one(Aim::Figure(80.0)),
            Self::Connect => one(Aim::Figure(45.0)),
            Self::Fairness => fairness::lines(self),
            Self::BigChannel => big_channel::lines(self),
        }
    }

    /// Whether the ratio of two servers' figures is meaningful; it is for processor time.
    pub(crate) fn has_ratios(self) -> bool {
        match self {
            Self::FanOut
            | Self::FanOut64
            | Self::FanOut1
            | Self::FanOutPaced
            | Self::FanOut32Publishers
            | Self::Echo
            | Self::EchoPipelined
            | Self::EchoLarge
            | Self::EchoLargePipelined
            | Self::Connect => true,
            Self::Idle
            | Self::IdleAfterTraffic
            | Self::IdleTls
            | Self::MemoryGivenBack
            | Self::Fairness
            | Self::BigChannel => false,
        }
    }

    /// Whether the load can be put on such a server.
    pub(crate) fn suits(self, kind: Kind) -> bool {
        match self {
            Self::IdleTls | Self::BigChannel => kind == Kind::Wirehub,
            // The floor keeps the little memory that it has.
            Self::MemoryGivenBack => kind != Kind::Floor,
            _ => true,
        }
    }

    pub(crate) fn setup(self) -> Setup {
        Setup {
            room: if self == Self::BigChannel { Room::BothCores } else { Room::Core },
            encrypted: self == Self::IdleTls,
        }
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FanOut => "fan-out, 32 in flight",
            Self::FanOut64 => "fan-out, 64 in flight",
            Self::FanOut1 => "fan-out, 1 in flight",
            Self::FanOutPaced => "fan-out, 100 a second",
            Self::FanOut32Publishers => "fan-out, 32 publishers",
            Self::Echo => "echo, 64 B, 1 in flight",
            Self::EchoPipelined => "echo, 64 B, 16 in flight",
            Self::EchoLarge => "echo, 16 KiB, 1 in flight",
            Self::EchoLargePipelined => "echo, 16 KiB, 16 in flight",
            Self::Idle => "idle connection, bytes",
            Self::IdleAfterTraffic => "idle after traffic, bytes",
            Self::IdleTls => "idle over TLS, bytes",
            Self::MemoryGivenBack => "memory given back, %",
            Self::Connect => "connect and leave, µs",
            Self::Fairness => "fairness",
            Self::BigChannel => "big channel",
        })
    }
}

/// One publisher and any number of subscribers: see [`fan_out::run`].
pub(crate) fn fan_out(server: &Server, subscribers: u64, pace: Pace) -> Result<f64> {
    fan_out::run(server, subscribers, 1, pace)
}

const SUBSCRIBERS: u64 = 1_000;

/// The time before the first reading, in which caches and buffers grow.
const WARM_UP: Duration = Duration::from_millis(500);

/// The kernel counts in hundredths of a second.
const MEASURED: Duration = Duration::from_secs(3);

/// Nothing takes this long unless a message is lost.
const PATIENCE: Duration = Duration::from_secs(20);

fn per_million(cpu: Duration, messages: u64) -> Result<f64> {
    let kept = u32::try_from(messages).ok().filter(|&it| it > 0).context("no message came through")?;
    Ok(cpu.as_secs_f64() / f64::from(kept) * 1e6)
}

/// The load's own runtime: one thread, on the load's core.
fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")
}
