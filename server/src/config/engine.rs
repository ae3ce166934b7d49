//! `engine`, and the sections of engines.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::units::{Bytes, Span};
use crate::Error;
use crate::ErrorKind;

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
