//! The engine in memory: its bounds, its epochs, and the scope of its keys.

#![allow(clippy::arithmetic_side_effects)]

use std::sync::Weak;

use bytes::Bytes;
use wirehub_common::Payload;

use super::*;
use crate::namespace::History;

const HOUR: Duration = Duration::from_secs(3600);

fn channel() -> ChannelName {
    ChannelName::new("a").unwrap()
}

fn engine() -> MemoryEngine {
    let engine = MemoryEngine::new();
    engine.start(Delivery::new(Weak::new()));
    engine
}

fn now<T>(answer: EngineFuture<T>) -> T {
    match answer {
        EngineFuture::Now(result) => result.unwrap(),
        EngineFuture::Later(_) => panic!("it is in memory"),
    }
}

fn publish(engine: &MemoryEngine, history: History, payload: &[u8], key: &str) -> Position {
    let payload = Payload::bytes(payload.to_vec());
    let publish =
        EnginePublish { key: key.into(), history: Some(history), ..EnginePublish::new(channel(), payload) };
    now(engine.publish(publish)).unwrap()
}

fn located(engine: &MemoryEngine, history: History, since: &Position) -> Located {
    now(engine.locate(Locate { channel: channel(), history, since: Some(since.clone()) }))
}

/// The number of publications that a subscriber missed; `None` if some are gone.
fn missed(engine: &MemoryEngine, history: History, since: &Position) -> Option<u64> {
    let Located { position, newest, complete } = located(engine, history, since);
    complete.then_some(newest - position.offset)
}

#[tokio::test(start_paused = true)]
async fn publications_are_kept_for_their_time_and_offsets_go_on() {
    let (engine, history) = (engine(), History::new(100, Duration::from_secs(10)));
    let first = publish(&engine, history, b"1", "");
    tokio::time::advance(Duration::from_secs(6)).await;
    let second = publish(&engine, history, b"2", "");
    assert_eq!(missed(&engine, history, &first), Some(1));
    tokio::time::advance(Duration::from_secs(6)).await;
    assert_eq!(missed(&engine, history, &first), Some(1), "the first is gone, not the second");
    tokio::time::advance(Duration::from_secs(6)).await;
    assert_eq!(missed(&engine, history, &first), None);
    assert_eq!(missed(&engine, history, &second), Some(0), "nothing was missed");
    let third = publish(&engine, history, b"3", "");
    assert_eq!((third.offset, &third.epoch), (3, &first.epoch));
}

#[test]
fn the_newest_are_kept_up_to_a_number_and_a_size() {
    let engine = engine();
    let history = History::new(3, HOUR).with_bytes(10);
    let start = Position { offset: 0, ..publish(&engine, history, b"1", "") };
    let at = |offset| Position { offset, ..start.clone() };
    for _ in 0..4 {
        publish(&engine, history, b"1", "");
    }
    assert_eq!(missed(&engine, history, &at(2)), Some(3));
    assert_eq!(missed(&engine, history, &at(1)), None);
    publish(&engine, history, b"12345678", "");
    assert_eq!(missed(&engine, history, &at(3)), Some(3), "ten bytes");
    publish(&engine, history, &[0; 50], "");
    assert_eq!(missed(&engine, history, &at(6)), Some(1), "one is kept whatever its size");
    assert_eq!(missed(&engine, history, &at(5)), None);
}

#[test]
fn a_subscriber_behind_the_history_continues_at_the_oldest() {
    let (engine, history) = (engine(), History::new(3, HOUR));
    let start = Position { offset: 0, ..publish(&engine, history, b"12345", "") };
    for _ in 0..4 {
        publish(&engine, history, b"12345", "");
    }
    let other = Position { offset: 77, epoch: "other".into() };
    for since in [&start, &other] {
        let position = Position { offset: 2, ..start.clone() };
        assert_eq!(located(&engine, history, since), Located { position, newest: 5, complete: false });
    }
    let ahead = located(&engine, history, &Position { offset: 6, ..start });
    assert_eq!((ahead.position.offset, ahead.complete), (5, false), "the offset has never existed");
}

#[test]
fn a_page_is_bounded_in_bytes_and_reports_more() {
    let (engine, history) = (engine(), History::new(100, HOUR));
    let start = Position { offset: 0, ..publish(&engine, history, b"12345", "") };
    for _ in 0..3 {
        publish(&engine, history, b"12345", "");
    }
    let page = |offset, limit, bytes, reverse| {
        let since = Some(Position { offset, ..start.clone() });
        let read = ReadHistory { channel: channel(), history, since, limit, bytes, reverse };
        let page = now(engine.history(read)).unwrap();
        (page.publications.iter().map(|entry| entry.offset).collect::<Vec<_>>(), page.more)
    };
    assert_eq!(page(0, 100, 20, false), (vec![1, 2, 3, 4], false));
    assert_eq!(page(0, 100, 19, false), (vec![1, 2, 3], true));
    assert_eq!(page(1, 100, 1, false), (vec![2], true), "one comes whatever its size");
    assert_eq!(page(3, 100, 1, false), (vec![4], false));
    assert_eq!(page(0, 2, 100, false), (vec![1, 2], true), "as many as were asked for");
    assert_eq!(page(2, 2, 100, false), (vec![3, 4], false));
    assert_eq!(page(0, 0, 100, false), (vec![], false), "the position alone");
    assert_eq!(page(4, 100, 10, true), (vec![3, 2], true));
}

#[test]
fn keys_have_a_bound_of_their_own_and_the_announced_period_shrinks() {
    let engine = MemoryEngine::new().keys_within(2000);
    engine.start(Delivery::from_fn(|_, _| ()));
    let before = engine.idempotency().unwrap();
    let history = History::new(100, HOUR);
    let first = publish(&engine, history, b"1", "first");
    assert_eq!(engine.idempotency().unwrap().window, before.window, "there is room");
    for number in 0..20 {
        publish(&engine, history, b"1", &number.to_string());
    }
    let after = engine.idempotency().unwrap();
    assert!(after.window < Duration::from_secs(10), "{after:?}");
    assert_eq!(after.scope, before.scope, "the other keys are remembered");
    let newest = publish(&engine, history, b"1", "19");
    assert_eq!((newest.offset, newest.epoch), (21, first.epoch), "a repeat of the newest");
    assert_eq!(publish(&engine, history, b"1", "first").offset, 22, "it is forgotten");
}

#[tokio::test(start_paused = true)]
async fn an_unneeded_log_is_removed_and_its_successor_has_another_epoch() {
    let (engine, history) = (engine(), History::new(100, Duration::from_secs(10)));
    let first = publish(&engine, history, b"1", "key");
    let other = ChannelName::new("other").unwrap();
    let mut passed = Duration::ZERO;
    while channels_kept(&engine) > 0 {
        assert!(passed < Duration::from_secs(2 * 3600), "it is cleared away at last");
        tokio::time::advance(SWEEP).await;
        passed += SWEEP;
        engine.sweep(Instant::now());
    }
    assert!(passed > KEPT, "{passed:?}");
    let again = publish(&engine, history, b"1", "key");
    assert_eq!(again.offset, 1);
    assert_ne!(again.epoch, first.epoch);
    assert!(!engine.logs.shard(&other).read().contains_key(&other));
}

fn channels_kept(engine: &MemoryEngine) -> usize {
    engine.logs.shards().map(|shard| shard.read().len()).sum()
}

#[test]
fn all_channels_together_stay_within_the_bound_and_the_oldest_lose_their_data() {
    const BOUND: usize = 1024 * 1024;
    let engine = MemoryEngine::within(BOUND);
    engine.start(Delivery::new(Weak::new()));
    let history = History::new(100, HOUR);
    let publish = |number: usize, key: &str| {
        let channel = ChannelName::new(&number.to_string()).unwrap();
        let payload = Payload::bytes(vec![0; 10_000]);
        let publish =
            EnginePublish { history: Some(history), key: key.into(), ..EnginePublish::new(channel, payload) };
        now(engine.publish(publish)).unwrap()
    };
    let before = engine.idempotency().unwrap();
    let first = publish(0, "key");
    for number in 1..1000 {
        publish(number, "");
        let used = engine.used.load(Ordering::Relaxed);
        assert!(used < BOUND + 20_000, "{used}");
    }
    assert!((90..110).contains(&channels_kept(&engine)), "{}", channels_kept(&engine));
    assert_eq!(publish(999, "").offset, 2, "the newest are there");
    let after = engine.idempotency().unwrap();
    assert!(after.window < before.window, "the first one's keys are forgotten");
    assert_eq!(after.scope, before.scope);
    let again = publish(0, "key");
    assert_eq!(again.offset, 1);
    assert_ne!(again.epoch, first.epoch);
    // The counted size equals the real one.
    let costs = engine
        .logs
        .shards()
        .flat_map(|shard| shard.read().values().map(|log| log.state.lock().cost()).collect::<Vec<_>>());
    assert_eq!(costs.sum::<usize>(), engine.used.load(Ordering::Relaxed));
}

#[tokio::test(start_paused = true)]
async fn reads_of_unknown_channels_leave_nothing_behind() {
    let (engine, history) = (engine(), History::new(100, Duration::from_secs(10)));
    for number in 0..1000 {
        let channel = ChannelName::new(&number.to_string()).unwrap();
        let read = ReadHistory { channel, history, since: None, limit: 1, bytes: 1, reverse: false };
        assert!(now(engine.history(read)).is_some());
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert!(channels_kept(&engine) < 100, "{}", channels_kept(&engine));
}

#[test]
fn another_instance_has_another_epoch_and_another_scope() {
    let (first, second) = (engine(), engine());
    let history = History::new(10, HOUR);
    assert_ne!(publish(&first, history, b"1", "").epoch, publish(&second, history, b"1", "").epoch);
    assert_ne!(first.idempotency().unwrap().scope, second.idempotency().unwrap().scope);
}

#[test]
fn a_kept_publication_does_not_hold_the_memory_of_its_batch() {
    let engine = engine();
    let batch = Bytes::from(vec![7; 60_000]);
    let payload = Payload::bytes(batch.slice(..10));
    let history = Some(History::new(10, HOUR));
    now(engine.publish(EnginePublish { history, ..EnginePublish::new(channel(), payload) }));
    assert!(batch.is_unique());
}
