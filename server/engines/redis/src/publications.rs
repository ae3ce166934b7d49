//! Publishing, recovery and history.

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

use crate::engine::{RedisEngine, Shared};
use crate::keys::Place;
use crate::message::{bytes, decode, encode, number, position, text};
use crate::queue::{Command, answer_of};
use crate::scripts::ScriptName;

impl Publications for RedisEngine {
    fn idempotency(&self) -> Option<Idempotency> {
        let store = self.shared.store.read();
        let store = store.as_ref()?;
        Some(Idempotency { scope: store.scope.clone(), window: KeyWindow::LONGEST, clock: store.clock() })
    }

    fn publish(&self, publish: EnginePublish) -> EngineFuture<Option<Position>> {
        let EnginePublish { channel, payload, publisher, key, history, .. } = publish;
        let mut keys = Vec::from(self.shared.log_keys(&channel));
        if !key.is_empty() {
            keys.push(self.shared.keys.of_publish(&channel, &key));
        }
        let size = payload.data.len();
        let delivery = self.shared.keys.of_channel("d", &channel);
        let place = Place::of(&channel);
        let message = encode(Publication { channel, payload, time: 0, publisher, offset: 0 });
        let mut arguments = vec![
            fresh(),
            self.shared.delivery_command(),
            delivery,
            message,
            decimal(&size),
            decimal(&KeyWindow::KEPT.as_millis()),
        ];
        if let Some(history) = &history {
            arguments.extend(bounds(history));
        }
        let has_history = history.is_some();
        let command = Command::Script { name: ScriptName::Publish, keys, arguments };
        let later = self.shared.queues.push(place.partition, place.line, true, command);
        answer_of(later, move |answer| {
            let position = position(bytes(&answer)?)?;
            Some(Some(position).filter(|position| has_history && position.offset > 0))
        })
    }

    fn locate(&self, locate: Locate) -> EngineFuture<Located> {
        let Locate { channel, history, since } = locate;
        let mut arguments = vec![fresh()];
        arguments.extend(bounds(&history));
        answer_of(self.shared.read_log(&channel, ScriptName::Locate, arguments), move |answer| {
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
        let mut arguments = vec![fresh()];
        arguments.extend(bounds(&history));
        arguments.extend([decimal(&limit), decimal(&page_bytes), decimal(&u8::from(reverse))]);
        if let Some(since) = since {
            arguments.extend([decimal(&since.offset), Bytes::from(since.epoch.into_bytes())]);
        }
        answer_of(self.shared.read_log(&channel, ScriptName::History, arguments), |answer| match answer {
            Value::Array(fields) => page(&fields).map(Some),
            Value::Nil | Value::Boolean(false) => Some(None),
            _ => None,
        })
    }
}

impl Shared {
    fn log_keys(&self, channel: &ChannelName) -> [Bytes; 3] {
        let generation = self.keys.generation(Place::of(channel).partition);
        [generation, self.keys.of_channel("c", channel), self.keys.of_channel("s", channel)]
    }

    fn read_log(
        &self,
        channel: &ChannelName,
        name: ScriptName,
        arguments: Vec<Bytes>,
    ) -> futures_channel::oneshot::Receiver<Result<Value, crate::Error>> {
        let place = Place::of(channel);
        let command = Command::Script { name, keys: self.log_keys(channel).into(), arguments };
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

/// The bounds of a history as arguments.
fn bounds(history: &History) -> [Bytes; 3] {
    // The store counts milliseconds in numbers that are exact up to 2^53.
    let ttl = history.ttl.min(LONGEST).as_millis().max(1);
    [decimal(&history.size), decimal(&ttl), decimal(&history.bytes)]
}

/// A name for the epoch of a new channel. Almost every one is discarded, so it costs no system call.
pub(crate) fn fresh() -> Bytes {
    static SEED: LazyLock<u64> = LazyLock::new(crate::random);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{:016x}", xxh3_64_with_seed(&count.to_le_bytes(), *SEED)).into()
}

/// A number as an argument.
pub(crate) fn decimal(number: &impl ToString) -> Bytes {
    number.to_string().into()
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
