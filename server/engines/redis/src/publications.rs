//! Publishing, recovery and history.

use std::io::Write as _;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use redis::Value;
use wirehub_common::ChannelName;
use wirehub_common::frame::{HistoryPage, Idempotency, Position, Publication};
use wirehub_hub::engine::{
    EngineFuture, EnginePublish, KeyWindow, Locate, Located, Publications, ReadHistory,
};
use wirehub_hub::namespace::History;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::command::{Argument, Command};
use crate::engine::{RedisEngine, Shared};
use crate::keys::Place;
use crate::message::{bytes, decode, encode, number, position, text};
use crate::queue::answer_of;
use crate::scripts::ScriptName;

impl Publications for RedisEngine {
    fn idempotency(&self) -> Option<Idempotency> {
        let store = self.shared.store.read();
        let store = store.as_ref()?;
        Some(Idempotency { scope: store.scope.clone(), window: KeyWindow::LONGEST, clock: store.clock() })
    }

    fn publish(&self, publish: EnginePublish) -> EngineFuture<Option<Position>> {
        let EnginePublish { channel, payload, publisher, key, history, .. } = publish;
        let (shared, place) = (&self.shared, Place::of(&channel));
        let mut command = shared.log_command(ScriptName::Publish, &channel);
        if !key.is_empty() {
            command = command.key(shared.keys.of_publish(&channel, &key));
        }
        command =
            command.arg(fresh()).arg(shared.delivery_command()).arg(shared.keys.of_channel("d:", &channel));
        let size = payload.data.len();
        command = command.arg(encode(Publication { channel, payload, time: 0, publisher, offset: 0 }));
        command = command.arg(size).arg(KeyWindow::KEPT.as_millis());
        if let Some(history) = &history {
            command = with_bounds(command, history);
        }
        let has_history = history.is_some();
        let later = shared.queues.push(place.partition, place.line, true, command);
        answer_of(later, move |answer| {
            let position = position(bytes(&answer)?)?;
            Some(Some(position).filter(|position| has_history && position.offset > 0))
        })
    }

    fn locate(&self, locate: Locate) -> EngineFuture<Located> {
        let Locate { channel, history, since } = locate;
        let command = self.shared.log_command(ScriptName::Locate, &channel).arg(fresh());
        answer_of(self.shared.read_log(&channel, with_bounds(command, &history)), move |answer| {
            let Value::Array(fields) = answer else { return None };
            let [epoch, newest, before_oldest, starts] = &fields[..] else { return None };
            let starts = text(starts)?;
            let (epoch, newest, before_oldest) = (text(epoch)?, number(newest)?, number(before_oldest)?);
            let located = |offset, complete| Located {
                position: Position { offset, epoch: epoch.clone() },
                newest,
                complete,
            };
            Some(match since {
                None => located(newest, false),
                // It has had the publications up to there.
                Some(since) if since.epoch != epoch => {
                    let known = known_offset(&since, &epoch, &starts).unwrap_or_default();
                    located(known.max(before_oldest), false)
                }
                // The offset has never existed: every later publication is new to this subscriber.
                Some(since) if since.offset > newest => located(newest, false),
                Some(since) if since.offset >= before_oldest => located(since.offset, true),
                Some(_) => located(before_oldest, false),
            })
        })
    }

    fn history(&self, read: ReadHistory) -> EngineFuture<Option<HistoryPage>> {
        let ReadHistory { channel, history, since, limit, bytes: page_bytes, reverse } = read;
        let command = self.shared.log_command(ScriptName::History, &channel).arg(fresh());
        let mut command = with_bounds(command, &history).arg(limit).arg(page_bytes).arg(u8::from(reverse));
        if let Some(since) = since {
            command = command.arg(since.offset).arg(since.epoch);
        }
        answer_of(self.shared.read_log(&channel, command), |answer| match answer {
            Value::Array(fields) => page(&fields).map(Some),
            Value::Nil | Value::Boolean(false) => Some(None),
            _ => None,
        })
    }
}

impl Shared {
    /// A script with the keys of a channel's log.
    fn log_command(&self, name: ScriptName, channel: &ChannelName) -> Command {
        let command = Command::script(name).key(self.keys.generation(Place::of(channel).partition));
        command.key(self.keys.of_channel("c:", channel)).key(self.keys.of_channel("s:", channel))
    }

    fn read_log(
        &self,
        channel: &ChannelName,
        command: Command,
    ) -> futures_channel::oneshot::Receiver<Result<Value, crate::Error>> {
        let place = Place::of(channel);
        self.queues.push(place.partition, place.line, false, command)
    }
}

/// The offset up to which a subscriber of an earlier epoch has had the publications that are left. Offsets go on over the generations
/// of a channel; the first one of a generation may be lower than the newest before. `None` if the channel does not come from that
/// epoch, or if that is too long ago.
///
/// The epoch may be one of a server that was taken for the master and was not: then the two have the messages before its
/// generation in common.
fn known_offset(since: &Position, epoch: &str, starts: &str) -> Option<u64> {
    let Origin { name, generation, start, before } = Origin::parse(&since.epoch)?;
    if name != Origin::parse(epoch)?.name {
        return None;
    }
    let starts = starts.split(' ').map(|entry| {
        let (generation, start) = entry.split_once(':')?;
        Some((generation, start.parse::<u64>().ok()?))
    });
    let starts = starts.collect::<Option<Vec<_>>>()?;
    let place = |wanted: &str| starts.iter().position(|(generation, _)| *generation == wanted);
    let (place, known) = match place(generation) {
        Some(place) => (place, since.offset),
        None => (place(before)?, since.offset.min(start)),
    };
    let later = starts.get(place.saturating_add(1)..)?.iter().map(|(_, start)| *start);
    later.chain([known]).min()
}

/// The parts of an epoch, as the scripts compose it.
struct Origin<'a> {
    name: &'a str,
    generation: &'a str,
    /// The offset before the first one of the generation.
    start: u64,
    /// The generation before; empty if there is none.
    before: &'a str,
}

impl<'a> Origin<'a> {
    fn parse(epoch: &'a str) -> Option<Self> {
        let mut parts = epoch.split('.');
        let (name, generation, start) = (parts.next()?, parts.next()?, parts.next()?.parse().ok()?);
        Some(Self { name, generation, start, before: parts.next()? })
    }
}

fn page(fields: &[Value]) -> Option<HistoryPage> {
    let [epoch, newest, more, entries @ ..] = fields else { return None };
    let position = Position { offset: number(newest)?, epoch: text(epoch)? };
    let publications = entries.chunks_exact(3).map(|entry| match entry {
        [offset, time, message] => {
            decode(&Bytes::copy_from_slice(bytes(message)?), number(offset)?, number(time)?)
        }
        _ => None,
    });
    Some(HistoryPage {
        position,
        publications: publications.collect::<Option<_>>()?,
        more: number(more)? == 1,
    })
}

/// Adds the bounds of a history.
fn with_bounds(command: Command, history: &History) -> Command {
    // The store counts milliseconds in numbers that are exact up to 2^53.
    let ttl = history.ttl.min(LONGEST).as_millis().max(1);
    command.arg(history.size).arg(ttl).arg(history.bytes)
}

/// The name for the epoch of a new channel.
pub(crate) struct FreshName(u64);

/// Almost every one is discarded, so it costs no system call.
pub(crate) fn fresh() -> FreshName {
    static SEED: LazyLock<u64> = LazyLock::new(crate::random);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    FreshName(xxh3_64_with_seed(&count.to_le_bytes(), *SEED))
}

impl Argument for FreshName {
    fn write(self, buffer: &mut Vec<u8>) {
        // A vector takes everything.
        let _ = write!(buffer, "{:016x}", self.0);
    }
}

/// The longest time for which a history is kept: a hundred years.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscriber_of_an_earlier_generation_continues_behind_the_publications_that_it_has_had() {
        let known = |offset, epoch: &str| {
            let since = Position { offset, epoch: epoch.into() };
            known_offset(&since, "a.5-e.20.4-d", "3-c:10 4-d:30 5-e:20")
        };
        assert_eq!(known(15, "a.4-d.30.3-c"), Some(15), "these are left");
        assert_eq!(known(25, "a.4-d.30.3-c"), Some(20), "the newest were lost");
        assert_eq!(known(29, "a.3-c.10.2-b"), Some(20));
        assert_eq!(known(12, "a.3-c.10.2-b"), Some(12));
        assert_eq!(known(40, "a.4-x.15.3-c"), Some(15), "another server that was taken for the master");
        assert_eq!(known(40, "a.5-x.35.4-d"), Some(20), "it had messages that are lost");
        assert_eq!(known(5, "a.2-b.0."), None, "too old");
        assert_eq!(known(5, "b.4-d.30.3-c"), None, "another channel, or it was lost");
        assert_eq!(known(5, "a.4-d"), None);
        assert_eq!(known(5, "strange"), None);
    }
}
