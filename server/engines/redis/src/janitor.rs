//! Ends graces in time, and the presence of dead nodes.
//!
//! Each node ends the graces of its own sessions. One node at a time, the janitor, also ends those of dead nodes, and removes
//! their sessions. If the janitor dies, another node takes over some seconds later.

use std::collections::BTreeMap;
use std::sync::Weak;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use parking_lot::Mutex;
use redis::Value;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use wirehub_common::ChannelName;
use wirehub_hub::SessionId;
use wirehub_hub::engine::NodeId;

use crate::command::Command;
use crate::engine::Shared;
use crate::error::Error;
use crate::message::bytes;
use crate::partition::Partition;
use crate::presence::LONGEST_GRACE;
use crate::queue::strange;
use crate::scripts::ScriptName;

/// The graces of this node's sessions.
#[derive(Default)]
pub(crate) struct Graces {
    state: Mutex<GraceState>,
    added: Notify,
}

#[derive(Default)]
struct GraceState {
    by_end: BTreeMap<(Instant, u64), (ChannelName, SessionId)>,
    numbers: u64,
}

impl Graces {
    /// Notes that the grace of a session begins now.
    pub(crate) fn add(&self, grace: Duration, channel: ChannelName, session: SessionId) {
        let now = Instant::now();
        let Some(end) = now.checked_add(grace.saturating_add(MARGIN)).filter(|_| grace <= LONGEST_GRACE)
        else {
            return;
        };
        let mut state = self.state.lock();
        state.numbers = state.numbers.wrapping_add(1);
        let number = state.numbers;
        state.by_end.insert((end, number), (channel, session));
        self.added.notify_one();
    }

    /// The graces that have ended, and the end of the next one.
    fn take_ended(&self, now: Instant) -> (Vec<(ChannelName, SessionId)>, Option<Instant>) {
        let mut state = self.state.lock();
        let mut ended = Vec::new();
        while let Some(entry) = state.by_end.first_entry()
            && entry.key().0 <= now
        {
            ended.push(entry.remove());
        }
        (ended, state.by_end.keys().next().map(|(end, _)| *end))
    }
}

/// Ends the graces of this node's sessions, until the engine is gone.
pub(crate) async fn end_graces(shared: Weak<Shared>) {
    loop {
        let Some(own) = shared.upgrade() else { return };
        let (ended, next) = own.graces.take_ended(Instant::now());
        for (channel, session) in ended {
            let (command, place) = own.end_grace_command(&channel, session);
            // If this fails, the janitor does it later.
            drop(own.queues.push(place.partition, place.line, false, command));
        }
        let left = next.map_or(TICK, |next| next.saturating_duration_since(Instant::now()).min(TICK));
        // The engine may go while nothing happens.
        let _ = timeout(left, own.graces.added.notified()).await;
    }
}

/// Refreshes the facts about the store, and works as the janitor if no other node does, until the engine is gone.
pub(crate) async fn tidy(shared: Weak<Shared>) {
    loop {
        sleep(INTERVAL).await;
        let Some(own) = shared.upgrade() else { return };
        if let Err(error) = own.read_store().await {
            tracing::debug!("{error}");
            continue;
        }
        match own.is_janitor().await {
            Ok(true) => {
                if let Err(error) = own.tidy().await {
                    tracing::debug!("the janitor tries again: {error}");
                }
            }
            Ok(false) => {}
            Err(error) => tracing::debug!("{error}"),
        }
    }
}

impl Shared {
    /// Takes or keeps the office of the janitor. Two nodes at the same time do no harm.
    async fn is_janitor(&self) -> Result<bool, Error> {
        let own = self.subscriptions.own.to_string();
        let key = self.keys.of_fleet("janitor");
        let term = TERM.as_millis();
        self.ask(Command::plain("SET").arg(key).arg(&own).arg("NX").arg("PX").arg(term)).await?;
        let holder = self.ask(Command::plain("GET").arg(key)).await?;
        let is_own = bytes(&holder) == Some(own.as_bytes());
        if is_own {
            self.ask(Command::plain("PEXPIRE").arg(key).arg(term)).await?;
        }
        Ok(is_own)
    }

    async fn tidy(&self) -> Result<(), Error> {
        let (_, dead) = self.nodes().await?;
        for owner in dead {
            tracing::info!("a node is dead: its sessions leave ({owner})");
            for result in join_all(Partition::all().map(|partition| self.end_owner(owner, partition))).await {
                result?;
            }
            self.ask(Command::plain("HDEL").arg(self.nodes_key()).arg(owner)).await?;
        }
        for result in join_all(Partition::all().map(|partition| self.end_due(partition))).await {
            result?;
        }
        Ok(())
    }

    /// Removes the sessions of a dead owner from a partition, a few at a time.
    async fn end_owner(&self, owner: NodeId, partition: Partition) -> Result<(), Error> {
        let channels = self.owner_channels_key(partition, owner);
        loop {
            let some = Command::plain("SRANDMEMBER").arg(channels).arg("16");
            let names = self.list_of(partition, some).await?;
            if names.is_empty() {
                break;
            }
            for name in names {
                let channel = std::str::from_utf8(&name).ok().and_then(|name| ChannelName::new(name).ok());
                let channel = channel.ok_or_else(strange)?;
                let sessions = self.owner_sessions_key(&channel, owner);
                let some = Command::plain("SRANDMEMBER").arg(sessions).arg("256");
                let sessions = self.list_of(partition, some).await?;
                let leaves =
                    sessions.iter().filter_map(|session| Some(session_of(session)?.0)).map(|session| {
                        let (command, place) = self.leave_command(&channel, owner, session);
                        self.queues.push(partition, place.line, false, command)
                    });
                let leaves: Vec<_> = leaves.collect();
                if leaves.is_empty() {
                    let forget = Command::plain("SREM").arg(channels).arg(name);
                    self.list_of(partition, forget).await?;
                }
                for left in join_all(leaves).await {
                    left.unwrap_or_else(|_| Err(strange()))?;
                }
            }
        }
        loop {
            let some = Command::plain("SRANDMEMBER").arg(self.owner_counted_key(partition, owner)).arg("256");
            let counted = self.list_of(partition, some).await?;
            if counted.is_empty() {
                return Ok(());
            }
            let counted = counted.iter().filter_map(|counted| session_of(counted)).map(|(session, user)| {
                let user = std::str::from_utf8(user).unwrap_or_default();
                self.count(ScriptName::Uncount, user, session, owner, None)
            });
            for uncounted in join_all(counted).await {
                uncounted.unwrap_or_else(|_| Err(strange()))?;
            }
        }
    }

    /// Ends the graces of a partition that have passed.
    async fn end_due(&self, partition: Partition) -> Result<(), Error> {
        let command = Command::script(ScriptName::Due).key(self.leaving_key(partition)).arg("1000");
        let due =
            list(self.queues.push(partition, 0, false, command).await.unwrap_or_else(|_| Err(strange()))?)?;
        for entry in due {
            let Some((session, name)) = session_of(&entry) else { continue };
            let channel = std::str::from_utf8(name).ok().and_then(|name| ChannelName::new(name).ok());
            let (command, place) = self.end_grace_command(&channel.ok_or_else(strange)?, session);
            drop(self.queues.push(partition, place.line, false, command));
        }
        Ok(())
    }

    async fn list_of(&self, partition: Partition, command: Command) -> Result<Vec<Bytes>, Error> {
        let later = self.queues.push(partition, 0, false, command);
        list(later.await.unwrap_or_else(|_| Err(strange()))?)
    }
}

/// The texts in an answer; none in an answer that is a number.
fn list(answer: Value) -> Result<Vec<Bytes>, Error> {
    match answer {
        Value::Array(entries) | Value::Set(entries) => {
            let entries = entries.iter().map(|entry| Some(Bytes::copy_from_slice(bytes(entry)?)));
            entries.collect::<Option<_>>().ok_or_else(strange)
        }
        Value::Int(_) | Value::Nil => Ok(Vec::new()),
        _ => Err(strange()),
    }
}

/// The session at the beginning of an entry, and the text behind it.
fn session_of(entry: &[u8]) -> Option<(SessionId, &[u8])> {
    let (session, rest) = entry.split_first_chunk()?;
    Some((SessionId::from_bytes(*session), rest))
}

/// The time between two rounds of the janitor, and the time after which another node takes over.
const INTERVAL: Duration = Duration::from_secs(3);
const TERM: Duration = Duration::from_secs(9);

/// The longest wait for a new grace.
const TICK: Duration = Duration::from_secs(1);

/// The time that a request takes to Redis: its grace begins there.
const MARGIN: Duration = Duration::from_millis(20);
