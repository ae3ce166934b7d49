//! `engine`, and the sections of engines.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::Config;
use super::mistakes::Mistakes;
#[cfg(feature = "redis")]
use super::redis::RedisSection;
use super::redis::RedisUrl;
use super::units::{Bytes, Span};
use crate::{Builder, Error, ErrorKind};

/// The engine of a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum EngineKind {
    /// History and keys are in memory, and are lost with the process.
    #[default]
    Memory,
    /// History and keys are in a directory, and outlive the process.
    Disk,
    /// Everything is in Redis, for any number of servers.
    Redis,
}

impl EngineKind {
    /// Its name in a configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Redis => "redis",
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for EngineKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        [Self::Memory, Self::Disk, Self::Redis]
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| Error::new(ErrorKind::Usage, "unknown engine: write memory, disk or redis"))
    }
}

/// The chosen engine.
impl Config {
    /// The engine.
    pub fn engine(&self) -> EngineKind {
        self.engine
    }

    /// The directory of the engine on disk.
    pub fn data_directory(&self) -> &Path {
        self.disk.path()
    }

    /// Replaces the engine, the directory of the one on disk, and the servers of the one in Redis.
    pub(crate) fn replace_engine(
        &mut self,
        engine: Option<EngineKind>,
        data: Option<PathBuf>,
        redis: Option<RedisUrl>,
    ) {
        self.engine = engine.unwrap_or(self.engine);
        if let Some(data) = data {
            self.disk.set_path(data);
        }
        if let Some(redis) = redis {
            self.redis.set_url(redis);
        }
    }

    /// The engines that are not in use, and whose sections have settings.
    pub(crate) fn idle_engine_sections(&self) -> impl Iterator<Item = EngineKind> {
        let sections = [(EngineKind::Disk, self.disk.is_set()), (EngineKind::Redis, self.redis.is_set())];
        let own = self.engine;
        sections.into_iter().filter(move |(kind, is_set)| *kind != own && *is_set).map(|(kind, _)| kind)
    }

    /// Opens the engine for a hub. [`Self::apply_observed`] has checked the settings.
    ///
    /// # Errors
    /// [`ErrorKind::Engine`]: its data can't be opened, or its servers can't be used. [`ErrorKind::Config`]: a file of its section
    /// has changed since.
    #[cfg_attr(not(feature = "redis"), allow(clippy::unused_async, reason = "the engine in Redis connects"))]
    pub(crate) async fn open_engine(&self, hub: Builder) -> Result<Builder, Error> {
        match self.engine {
            #[cfg(feature = "disk")]
            EngineKind::Disk => Ok(hub.engine(self.disk.open()?)),
            #[cfg(feature = "redis")]
            EngineKind::Redis => {
                let mut mistakes = Mistakes::default();
                let options = self.redis.options(&mut mistakes);
                let incomplete = || self.source.wrong("redis", "it is incomplete: name a server");
                let options = self.source.check(mistakes, options)?.ok_or_else(incomplete)?;
                Ok(hub.engine(RedisSection::connect(options).await?))
            }
            _ => Ok(self.limits.open_engine(hub)),
        }
    }

    pub(super) fn check_engine(&self, hub: &Builder, mistakes: &mut Mistakes) {
        if let Some(feature) = self.missing_engine() {
            let words = format!(
                "this program has no such engine: build it with the feature `{feature}`, or write \"memory\""
            );
            return mistakes.note("engine", words);
        }
        let is_memory = self.engine == EngineKind::Memory;
        if hub.has_engine() && (!is_memory || self.limits.bounds_engine()) {
            let key = if is_memory { "limits.kept_bytes" } else { "engine" };
            return mistakes.note(key, "this program has an engine of its own: remove the key");
        }
        if !is_memory && self.limits.bounds_engine() {
            let words =
                "it bounds the engine in memory: remove it, and bound each namespace's history instead";
            mistakes.note("limits.kept_bytes", words);
        }
        self.check_redis(mistakes);
    }

    /// The engine, if this program is built without it.
    fn missing_engine(&self) -> Option<EngineKind> {
        let is_missing = match self.engine {
            EngineKind::Memory => false,
            EngineKind::Disk => cfg!(not(feature = "disk")),
            EngineKind::Redis => cfg!(not(feature = "redis")),
        };
        is_missing.then_some(self.engine)
    }

    /// Checks the settings of the engine in Redis, without a connection.
    #[cfg_attr(not(feature = "redis"), allow(clippy::unused_self, reason = "there is no such engine"))]
    pub(super) fn check_redis(&self, mistakes: &mut Mistakes) {
        #[cfg(feature = "redis")]
        if self.engine == EngineKind::Redis {
            self.redis.options(mistakes);
        }
        #[cfg(not(feature = "redis"))]
        let _ = mistakes;
    }
}

/// `[disk]`.
#[cfg_attr(
    not(feature = "disk"),
    allow(dead_code, reason = "it is checked, and only the engine on disk reads it")
)]
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DiskSection {
    #[serde(deserialize_with = "directory")]
    path: Option<PathBuf>,
    durability: Option<DurabilitySetting>,
    cache_bytes: Option<Bytes>,
    #[serde(deserialize_with = "directory")]
    backups: Option<PathBuf>,
}

/// `"always"`, or the time between two writes to the disk.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(
    not(feature = "disk"),
    allow(dead_code, reason = "it is checked, and only the engine on disk reads it")
)]
enum DurabilitySetting {
    Always,
    Interval(Duration),
}

impl<'de> Deserialize<'de> for DurabilitySetting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match Span::parse(&text).map(Span::duration) {
            _ if text == "always" => Ok(Self::Always),
            Some(interval) if !interval.is_zero() && interval <= LONGEST_INTERVAL => {
                Ok(Self::Interval(interval))
            }
            _ => Err(D::Error::custom(
                "this is no durability: write \"always\", or the time between two syncs from \"1ms\" to \"60s\"",
            )),
        }
    }
}

/// The name of a directory.
fn directory<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    let path = PathBuf::deserialize(deserializer)?;
    if path.as_os_str().is_empty() {
        return Err(D::Error::custom("this is empty: name a directory, or remove the key"));
    }
    Ok(Some(path))
}

impl DiskSection {
    /// The directory of the data.
    pub(super) fn path(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new(DEFAULT_PATH))
    }

    /// Sets the directory.
    pub(super) fn set_path(&mut self, path: PathBuf) {
        self.path = Some(path);
    }

    /// Makes a relative path start at a folder.
    pub(super) fn resolve(&mut self, folder: &Path) {
        self.path = Some(folder.join(self.path()));
        self.backups = self.backups.take().map(|backups| folder.join(backups));
    }

    /// `true` if the section has a setting.
    pub(super) fn is_set(&self) -> bool {
        self.durability.is_some() || self.cache_bytes.is_some() || self.backups.is_some()
    }

    /// Opens the engine.
    #[cfg(feature = "disk")]
    pub(super) fn open(&self) -> Result<wirehub_disk::DiskEngine, Error> {
        use wirehub_disk::{DiskEngine, DiskOptions, Durability};

        let mut options = DiskOptions::default();
        if let Some(durability) = self.durability {
            options = options.durability(match durability {
                DurabilitySetting::Always => Durability::Always,
                DurabilitySetting::Interval(interval) => Durability::Interval(interval),
            });
        }
        if let Some(bytes) = self.cache_bytes {
            options = options.cache_bytes(bytes.count());
        }
        if let Some(backups) = &self.backups {
            options = options.backups(backups);
        }
        DiskEngine::open(self.path(), options).map_err(|error| {
            Error::with_source(
                ErrorKind::Engine,
                format!("cannot open the data in {}", self.path().display()),
                error,
            )
        })
    }
}

/// The directory if none is configured, below the folder of the configuration.
const DEFAULT_PATH: &str = "wirehub-data";

/// The longest time between two syncs.
const LONGEST_INTERVAL: Duration = Duration::from_secs(60);
