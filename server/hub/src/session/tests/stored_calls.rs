//! Calls with a key at an engine with records.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use wirehub_common::frame::{Called, Cancel};

use super::stored_alarms::with_users;
use super::*;
use crate::call::CallError;
use crate::engine::storing::{StoreMode, StoringEngine};
use crate::engine::{KeyWindow, Record, RecordKind};

/// Hubs with one engine, whose handlers count their runs.
struct Process {
    engine: StoringEngine,
    runs: Arc<AtomicUsize>,
    /// `slow` calls wait for a permit.
    gate: Arc<Semaphore>,
}

impl Process {
    fn new(mode: StoreMode) -> Self {
        let engine = StoringEngine::default();
        engine.set_mode(mode);
        Self { engine, runs: Arc::default(), gate: Arc::new(Semaphore::new(0)) }
    }

    fn hub(&self) -> Hub {
        let (runs, gate) = (Arc::clone(&self.runs), Arc::clone(&self.gate));
        let builder = with_users(Builder::open()).call_any("*".parse().unwrap(), move |_, call| {
            let run = runs.fetch_add(1, Ordering::Relaxed);
            let gate = Arc::clone(&gate);
            async move {
                match &*call.name {
                    "slow" => drop(gate.acquire().await),
                    "refuse" => return Err(CallError::application::<1001>("full").temporary()),
                    _ => {}
                }
                Ok(Payload::json(run.to_string()))
            }
        });
        builder.engine(self.engine.restarted()).build()
    }

    fn runs(&self) -> usize {
        self.runs.load(Ordering::Relaxed)
    }

    fn stored(&self) -> Vec<Record> {
        self.engine.stored(RecordKind::Call)
    }
}

impl Client {
    /// Calls, and returns the text of the answer, or the code of the error; `None` if there is no answer.
    async fn call(&mut self, name: &str, key: &str) -> Option<Result<String, ErrorCode>> {
        let call = Call { name: name.into(), payload: Payload::json("1"), key: key.into() };
        self.send(Request::Call(call)).await;
        self.called().await
    }

    async fn called(&mut self) -> Option<Result<String, ErrorCode>> {
        self.next_frame().await.map(|frame| match frame {
            ServerFrame::Reply(Reply { result: Ok(ReplyBody::Called(Called { payload, .. })), .. }) => {
                Ok(String::from_utf8(payload.data.to_vec()).unwrap())
            }
            ServerFrame::Reply(Reply { result: Err(error), .. }) => Err(error.code),
            other => panic!("{other:?}"),
        })
    }
}

fn answer(text: &str) -> Option<Result<String, ErrorCode>> {
    Some(Ok(text.into()))
}

#[tokio::test(start_paused = true)]
async fn the_answer_of_a_call_outlives_a_restart() {
    for mode in [StoreMode::AtOnce, StoreMode::Later] {
        let process = Process::new(mode);
        let hub = process.hub();
        let mut ann = Client::connect_as(&hub, "ann", "").await;
        let full = ErrorCode::new(1001).unwrap();
        assert_eq!(ann.call("f", "k").await, answer("0"));
        assert_eq!(ann.call("refuse", "k").await, Some(Err(full)));
        assert_eq!(Client::connect_as(&hub, "", "").await.call("f", "k").await, answer("2"));
        assert_eq!(process.stored().len(), 2, "an anonymous session has no records");
        for record in process.stored() {
            let left = record.expires.duration_since(SystemTime::now()).unwrap();
            assert!((KeyWindow::LONGEST..=KeyWindow::KEPT).contains(&left), "{left:?}");
        }
        let after = process.hub();
        let mut ann = Client::connect_as(&after, "ann", "").await;
        assert_eq!(ann.call("f", "k").await, answer("0"));
        assert_eq!(ann.call("refuse", "k").await, Some(Err(full)));
        assert_eq!(process.runs(), 3);
        assert_eq!(ann.call("g", "k").await, answer("3"), "another call");
        assert_eq!(Client::connect_as(&after, "bob", "").await.call("f", "k").await, answer("4"));
        assert_eq!(Client::connect_as(&after, "", "").await.call("f", "k").await, answer("5"));
    }
}

#[tokio::test(start_paused = true)]
async fn scope_and_clock_of_call_keys_are_those_of_the_engine() {
    let process = Process::new(StoreMode::AtOnce);
    let hub = process.hub();
    let before = hub.call_memory().idempotency("ann").unwrap();
    assert_eq!((&*before.scope, before.window), ("store/calls@ann", KeyWindow::LONGEST));
    tokio::time::advance(Duration::from_secs(7)).await;
    let later = hub.call_memory().idempotency("ann").unwrap();
    assert_eq!(later.clock - before.clock, 7000);
    assert_eq!(process.hub().call_memory().idempotency("ann").unwrap().scope, before.scope);
    let without = Builder::open().build().call_memory().idempotency("ann").unwrap();
    assert!(!without.scope.contains("calls"), "{without:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_begun_is_not_run_again_after_a_restart() {
    let process = Process::new(StoreMode::Later);
    let mut ann = Client::connect_as(&process.hub(), "ann", "").await;
    assert_eq!(ann.call("slow", "k").await, None);
    assert_eq!(process.runs(), 1);
    let mut ann = Client::connect_as(&process.hub(), "ann", "").await;
    for _ in 0..2 {
        assert_eq!(ann.call("slow", "k").await, Some(Err(ErrorCode::CONNECTION_LOST)));
    }
    assert_eq!(process.runs(), 1);
    process.gate.add_permits(1);
    assert_eq!(ann.call("slow", "l").await, answer("1"));
}

#[tokio::test(start_paused = true)]
async fn the_handler_and_the_answer_wait_for_the_store() {
    let process = Process::new(StoreMode::Held);
    process.engine.set_mode(StoreMode::AtOnce);
    let hub = process.hub();
    process.engine.set_mode(StoreMode::Held);
    let mut ann = Client::connect_as(&hub, "ann", "").await;
    assert_eq!(ann.call("slow", "k").await, None);
    assert_eq!((process.runs(), process.stored().len()), (0, 1));
    process.engine.set_mode(StoreMode::AtOnce);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(process.runs(), 1);
    process.engine.set_mode(StoreMode::Held);
    process.gate.add_permits(1);
    assert_eq!(ann.called().await, None);
    process.engine.set_mode(StoreMode::AtOnce);
    assert_eq!(ann.called().await, answer("0"));
}

#[tokio::test(start_paused = true)]
async fn a_call_is_not_begun_if_the_store_fails() {
    let process = Process::new(StoreMode::AtOnce);
    let hub = process.hub();
    let mut ann = Client::connect_as(&hub, "ann", "").await;
    process.engine.set_mode(StoreMode::Failing);
    assert_eq!(ann.call("f", "k").await, Some(Err(ErrorCode::UNAVAILABLE)));
    assert_eq!(process.runs(), 0);
    process.engine.set_mode(StoreMode::AtOnce);
    assert_eq!(ann.call("f", "k").await, answer("0"), "the key is not used up");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_can_not_be_stored_is_an_answer() {
    let process = Process::new(StoreMode::AtOnce);
    let hub = process.hub();
    let mut ann = Client::connect_as(&hub, "ann", "").await;
    assert_eq!(ann.call("slow", "k").await, None);
    process.engine.set_mode(StoreMode::Failing);
    process.gate.add_permits(1);
    assert_eq!(ann.called().await, answer("0"));
    assert_eq!(ann.call("slow", "k").await, answer("0"));
    process.engine.set_mode(StoreMode::AtOnce);
    let mut ann = Client::connect_as(&process.hub(), "ann", "").await;
    assert_eq!(ann.call("slow", "k").await, Some(Err(ErrorCode::CONNECTION_LOST)));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_call_leaves_no_record() {
    let process = Process::new(StoreMode::AtOnce);
    let mut ann = Client::connect_as(&process.hub(), "ann", "").await;
    assert_eq!(ann.call("slow", "k").await, None);
    assert_eq!(process.stored().len(), 1);
    ann.send(Request::Cancel(Cancel { command: 1 })).await;
    assert_eq!(ann.called().await, Some(Err(ErrorCode::CANCELLED)));
    assert!(process.stored().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_for_the_calls_that_are_loaded_later() {
    let process = Process::new(StoreMode::AtOnce);
    let mut ann = Client::connect_as(&process.hub(), "ann", "").await;
    assert_eq!(ann.call("f", "k").await, answer("0"));
    process.engine.set_mode(StoreMode::Held);
    let hub = process.hub();
    let mut ann = Client::connect_as(&hub, "ann", "").await;
    assert_eq!(ann.call("f", "k").await, None);
    process.engine.set_mode(StoreMode::AtOnce);
    assert_eq!(ann.called().await, answer("0"));
    process.engine.set_mode(StoreMode::Held);
    let mut ann = Client::connect_as(&process.hub(), "ann", "").await;
    assert_eq!(ann.call("f", "l").await, None);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(ann.called().await, Some(Err(ErrorCode::CONNECTION_LOST)), "not without an end");
    assert_eq!(process.runs(), 1);
}

#[tokio::test(start_paused = true)]
async fn damaged_records_of_calls_are_skipped() {
    let process = Process::new(StoreMode::AtOnce);
    let mut ann = Client::connect_as(&process.hub(), "ann", "").await;
    assert_eq!(ann.call("f", "k").await, answer("0"));
    let [sound] = &process.stored()[..] else { panic!("one record") };
    for length in 0..sound.value.len() {
        process.engine.overwrite(Record { value: sound.value.slice(..length), ..sound.clone() });
        process.hub();
    }
    for at in 0..sound.value.len() {
        let mut value = sound.value.to_vec();
        value[at] ^= 0xff;
        process.engine.overwrite(Record { value: value.into(), ..sound.clone() });
        process.hub();
    }
    process.engine.overwrite(sound.clone());
    for key in [&b""[..], b"forgotten", b"x"] {
        let (key, value) = (Bytes::from_static(key), Bytes::from_static(b"\x01"));
        process.engine.overwrite(Record { key, value, ..sound.clone() });
    }
    let mut ann = Client::connect_as(&process.hub(), "ann", "").await;
    assert_eq!(ann.call("f", "k").await, answer("0"));
}
