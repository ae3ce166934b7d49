//! The values that all nodes of a fleet share: format, scope of keys, clock.

use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use redis::Value;
use tokio::time::Instant;

use crate::command::Command;
use crate::engine::Shared;
use crate::error::{Error, ErrorKind};
use crate::message::{number, text};
use crate::options::{Acknowledge, ServerKind};
use crate::partition::Partition;
use crate::queue::strange;
use crate::scripts::ScriptName;

/// The last known facts about the store.
#[derive(Debug, Clone)]
pub(crate) struct StoreFacts {
    /// The scope of idempotency keys. It changes if Redis has lost everything.
    pub(crate) scope: String,
    /// The time of the store at a moment of this process, in milliseconds.
    read: (u64, Instant),
}

impl StoreFacts {
    /// The time of the store, in milliseconds since the Unix epoch.
    pub(crate) fn clock(&self) -> u64 {
        let (time, at) = self.read;
        time.saturating_add(u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

impl Shared {
    /// Checks the servers at the start, and that the prefix is this program's.
    pub(crate) async fn check(&self) -> Result<(), Error> {
        let servers = self.queues.servers();
        servers.refresh().await?;
        let mut can_shard = true;
        for partitions in servers.by_server().into_values() {
            for partition in partitions.into_iter().take(1) {
                let link = servers.link(partition).await?;
                can_shard &= link.facts.version >= SHARDED;
                if matches!(servers.options.acknowledge, Acknowledge::Disks(_))
                    && link.facts.version < WAITAOF
                {
                    let words = format!(
                        "Redis at {} is older than 7.2 and can't wait for disks: use `acknowledge = \"replicas:N\"`, or a newer Redis",
                        link.server
                    );
                    return Err(Error::new(ErrorKind::Unsuitable, words));
                }
                if !link.facts.eviction.is_empty() && link.facts.eviction != "noeviction" {
                    tracing::warn!(
                        "Redis at {} evicts keys ({}): histories may vanish, and clients are notified of gaps; set maxmemory-policy noeviction",
                        link.server,
                        link.facts.eviction
                    );
                }
            }
        }
        self.check_format().await?;
        if servers.options.kind == ServerKind::Cluster {
            self.agree_on_deliveries(can_shard).await?;
        }
        self.check_rights().await?;
        self.read_store().await
    }

    /// Decides by which commands deliveries travel in a cluster. The first node of a fleet decides for all: otherwise two nodes
    /// would not hear each other after an upgrade of the servers.
    async fn agree_on_deliveries(&self, can_shard: bool) -> Result<(), Error> {
        let key = self.keys.of_fleet("deliveries").into_bytes();
        self.ask(self.keep_deliveries(can_shard)).await?;
        let found = self.ask(Command::plain("GET").arg(&key)).await?;
        let name = String::from_utf8_lossy(&key);
        let is_sharded = match text(&found).as_deref() {
            Some(DELIVERIES_SHARDED) => true,
            Some(DELIVERIES_TO_ALL) => false,
            _ => {
                let words = format!("the key {name} belongs to another program: use another prefix");
                return Err(Error::new(ErrorKind::Foreign, words));
            }
        };
        if is_sharded && !can_shard {
            let words = format!(
                "a server of the cluster is older than Redis 7, and this fleet began with newer ones: replace it, or stop every node of the fleet and remove the key {name}"
            );
            return Err(Error::new(ErrorKind::Unsuitable, words));
        }
        if can_shard && !is_sharded {
            tracing::warn!(
                "this fleet began on a cluster older than Redis 7, whose servers send each delivery to every other server: to end that, stop every node of the fleet, remove the key {name}, and start them"
            );
        }
        self.queues.servers().is_sharded.store(is_sharded, Ordering::Relaxed);
        Ok(())
    }

    /// Notes the commands of deliveries, unless they are noted already.
    fn keep_deliveries(&self, is_sharded: bool) -> Command {
        let value = if is_sharded { DELIVERIES_SHARDED } else { DELIVERIES_TO_ALL };
        Command::plain("SETNX").arg(self.keys.of_fleet("deliveries")).arg(value)
    }

    /// Tries the commands of the scripts.
    async fn check_rights(&self) -> Result<(), Error> {
        // Several nodes may start at the same time.
        let own = self.subscriptions.own;
        let check = Command::script(ScriptName::Check)
            .key(self.keys.of_fleet(&format!("check:{own}")))
            .arg(self.delivery_command())
            .arg(self.keys.inbox(Partition::FLEET, Some(own)));
        self.ask(check).await.map(drop)
    }

    async fn check_format(&self) -> Result<(), Error> {
        let key = self.keys.of_fleet("format").into_bytes();
        let get = Command::plain("GET").arg(&key);
        self.write_format().await?;
        let found = match self.ask(get).await {
            Ok(found) => text(&found).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Foreign => String::new(),
            Err(error) => return Err(error),
        };
        if found == FORMAT {
            return Ok(());
        }
        let name = String::from_utf8_lossy(&key);
        let words = match found.strip_prefix("wirehub ") {
            Some(newer) => format!(
                "the keys in Redis have the format {newer} of a newer version ({name}): use that version, or another prefix"
            ),
            None => format!("the key {name} belongs to another program: use another prefix"),
        };
        Err(Error::new(ErrorKind::Foreign, words))
    }

    /// Writes the format if there is none.
    async fn write_format(&self) -> Result<(), Error> {
        self.ask(Command::plain("SETNX").arg(self.keys.of_fleet("format")).arg(FORMAT)).await.map(drop)
    }

    /// Reads scope and clock. Format and scope are made anew if Redis has lost everything.
    pub(crate) async fn read_store(&self) -> Result<(), Error> {
        self.write_format().await?;
        let servers = self.queues.servers();
        if servers.options.kind == ServerKind::Cluster {
            // Redis may have lost everything.
            self.ask(self.keep_deliveries(servers.is_sharded())).await?;
        }
        let key = self.keys.of_fleet("scope");
        let new = format!("{:016x}", crate::random());
        self.ask(Command::plain("SETNX").arg(key).arg(new)).await?;
        let scope = self.ask(Command::plain("GET").arg(key)).await?;
        let asked = Instant::now();
        let Value::Array(time) = self.ask(Command::plain("TIME")).await? else {
            return Err(strange());
        };
        let [seconds, microseconds] = &time[..] else { return Err(strange()) };
        let seconds = number(seconds).ok_or_else(strange)?;
        let milliseconds = number(microseconds).ok_or_else(strange)? / 1000;
        let time = seconds.saturating_mul(1000).saturating_add(milliseconds);
        self.compare_clocks(time);
        let facts = StoreFacts { scope: text(&scope).ok_or_else(strange)?, read: (time, asked) };
        *self.store.write() = Some(facts);
        Ok(())
    }

    /// Warns if the clock of this node is not that of Redis.
    fn compare_clocks(&self, time: u64) {
        let own = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let warning = clock_warning(u64::try_from(own).unwrap_or(u64::MAX), time);
        if self.has_wrong_clock.swap(warning.is_some(), Ordering::Relaxed) != warning.is_some()
            && let Some(warning) = warning
        {
            tracing::warn!("{warning}");
        }
    }

    /// Sends a command for the keys of the whole fleet.
    pub(crate) async fn ask(&self, command: Command) -> Result<Value, Error> {
        let later = self.queues.push(Partition::FLEET, 0, false, command);
        let stopped = |_| Err(Error::new(ErrorKind::Unavailable, "the runtime is stopping"));
        later.await.unwrap_or_else(stopped)
    }
}

/// The warning if the clock of this machine is not that of Redis.
fn clock_warning(own: u64, store: u64) -> Option<String> {
    let difference = own.abs_diff(store);
    (difference > CLOCK_TOLERANCE).then(|| {
        format!(
            "the clock of this machine and that of Redis differ by {} s: alarms and tokens end at the wrong time; set both by NTP",
            difference / 1000
        )
    })
}

/// The difference between the clocks of a node and of Redis that is not worth a warning, in milliseconds.
const CLOCK_TOLERANCE: u64 = 5_000;

/// The first version that can wait for disks.
const WAITAOF: (u32, u32) = (7, 2);

/// The first version with deliveries that stay on one server of a cluster.
const SHARDED: (u32, u32) = (7, 0);

/// The values of the key for the way of deliveries through a cluster.
const DELIVERIES_SHARDED: &str = "sharded";
const DELIVERIES_TO_ALL: &str = "all";

/// The format of the keys. A later version that changes them has another number.
const FORMAT: &str = "wirehub 1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_an_hour_off_is_warned_of() {
        assert_eq!(clock_warning(1_000_000, 1_004_000), None);
        let words = clock_warning(1_000_000, 4_600_000).unwrap();
        assert!(words.contains("3600 s") && words.contains("NTP"), "{words}");
        assert!(clock_warning(4_600_000, 1_000_000).is_some());
    }
}
