//! The engines and floors.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;
use wirehub_common::{ChannelName, Payload};
use wirehub_disk::{DiskEngine, DiskOptions, Durability};
use wirehub_hub::Hub;
use wirehub_hub::engine::{Engine, MemoryEngine};
use wirehub_hub::namespace::{History, Namespace};
use wirehub_redis::{RedisEngine, RedisOptions};

use super::appends::Appends;
use super::bare_redis::BareRedis;
use super::parts::Child;

/// An engine, or the floor of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Subject {
    /// The floor of the hub: no storage and no transport.
    Memory,
    /// The floor of the disk engine with a sync before each answer: one thread that appends what waits to a file, syncs, and
    /// answers.
    Appends,
    /// The same with the storage of the disk engine, and the keys of its batches.
    BareFjall,
    /// A sync every 100 ms.
    DiskInterval,
    /// A sync before each answer.
    DiskAlways,
    /// The floor of the engine in Redis: a bare client with the same commands.
    BareRedis,
    Redis,
    /// Three servers.
    RedisCluster,
}

impl Subject {
    /// `true` if it has no hub.
    pub(super) fn is_floor(self) -> bool {
        matches!(self, Self::Appends | Self::BareFjall | Self::BareRedis)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Appends => "appends, synced",
            Self::BareFjall => "bare fjall, synced",
            Self::DiskInterval => "disk, 100ms",
            Self::DiskAlways => "disk, always",
            Self::BareRedis => "bare redis client",
            Self::Redis => "redis",
            Self::RedisCluster => "redis, cluster of 3",
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The receiver of publishes.
#[derive(Clone)]
pub(super) enum Target {
    Hub(Hub),
    Bare(Box<BareRedis>),
    Appends(Appends),
}

impl Target {
    pub(super) async fn open(child: &Child, history: History) -> Result<Self> {
        if child.subject == Subject::BareRedis {
            let url = child.redis.first().context("no --redis")?;
            return Ok(Self::Bare(Box::new(BareRedis::connect(url, history).await?)));
        }
        if child.subject == Subject::Appends {
            return Ok(Self::Appends(Appends::to_file(&child.folder)?));
        }
        if child.subject == Subject::BareFjall {
            return Ok(Self::Appends(Appends::to_fjall(&child.folder)?));
        }
        Ok(Self::Hub(hub(child, history).await?))
    }

    pub(super) async fn publish(&self, channel: &Channel, payload: Payload) -> Result<()> {
        match self {
            Self::Hub(hub) => {
                hub.publish_raw(&channel.name, payload)?.await?;
                Ok(())
            }
            Self::Bare(bare) => bare.publish(channel.number, &payload.data).await,
            Self::Appends(appends) => appends.append(channel.number, payload.data).await,
        }
    }

    pub(super) fn hub(&self) -> Option<&Hub> {
        match self {
            Self::Hub(hub) => Some(hub),
            Self::Bare(_) | Self::Appends(_) => None,
        }
    }
}

/// A channel of a load.
#[derive(Clone)]
pub(super) struct Channel {
    pub(super) name: ChannelName,
    pub(super) number: usize,
}

impl Channel {
    pub(super) fn numbered(number: usize) -> Result<Self> {
        Ok(Self { name: ChannelName::new(&format!("chat:{number}"))?, number })
    }
}

pub(super) async fn hub(child: &Child, history: History) -> Result<Hub> {
    let disk = |durability| {
        DiskEngine::open(child.folder.join("data"), DiskOptions::default().durability(durability))
    };
    let redis = || child.redis.iter().map(String::as_str);
    Ok(match child.subject {
        Subject::Memory | Subject::Appends | Subject::BareFjall | Subject::BareRedis => {
            with(MemoryEngine::new(), history)
        }
        Subject::DiskInterval => with(disk(Durability::Interval(Duration::from_millis(100)))?, history),
        Subject::DiskAlways => with(disk(Durability::Always)?, history),
        Subject::Redis => {
            let url = redis().next().context("no --redis")?;
            with(RedisEngine::connect(RedisOptions::single(url)?).await?, history)
        }
        Subject::RedisCluster => with(RedisEngine::connect(RedisOptions::cluster(redis())?).await?, history),
    })
}

fn with(engine: impl Engine, history: History) -> Hub {
    let namespace = Namespace::open().history(history);
    Hub::builder().engine(engine).default_namespace(namespace).commands_per_second(0).build()
}
