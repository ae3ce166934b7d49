//! The test suites for engines: one test for each promise.
//!
//! [`check`] is for every engine, and checks [`Publications`](super::Publications). The others are for engines that serve
//! several hubs.
//!
//! ```
//! # extern crate wirehub_hub as wirehub_server;
//! use wirehub_server::engine::MemoryEngine;
//! use wirehub_server::engine::conformance;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! conformance::check(MemoryEngine::new).await;
//! # }
//! ```
//!
//! The suites for several hubs make all nodes of a store at once. They take some minutes in real time, because nodes die in them;
//! an engine with tokio's time may run them in virtual time.
//!
//! ```no_run
//! # extern crate wirehub_hub as wirehub_server;
//! use wirehub_server::engine::{MemoryFleet, MemoryNode, conformance};
//!
//! async fn nodes(count: usize) -> Vec<MemoryNode> {
//!     let fleet = MemoryFleet::new();
//!     (0..count).map(|_| fleet.node()).collect()
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! conformance::check_several(nodes).await;
//! conformance::check_attachments(nodes).await;
//! conformance::check_nodes(nodes).await;
//! conformance::check_presence(nodes).await;
//! # }
//! ```

#![allow(clippy::panic, clippy::arithmetic_side_effects, reason = "these are tests: they fail by panicking")]
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "the same")]

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};
use wirehub_common::frame::{HistoryPage, Position, Publication};
use wirehub_common::{ChannelName, Payload};

use super::{Delivery, Engine, EnginePublish, Locate, Located, ReadHistory};
use crate::namespace::History;

mod records;
mod several;

pub use self::records::check_records;
pub use self::several::{check_attachments, check_nodes, check_presence, check_several};

/// Checks an engine for one hub. `make` returns a new engine each time, without the channels and keys of earlier ones.
///
/// # Panics
/// The engine breaks a promise, or fails.
pub async fn check<E: Engine>(make: impl Fn() -> E) {
    offsets_begin_at_1_and_have_no_gaps(&Subject::new(make()).await).await;
    an_answered_publish_has_been_delivered_and_is_kept(&Subject::new(make()).await).await;
    publishes_keep_their_order_without_a_wait_for_answers(&Subject::new(make()).await).await;
    channels_without_history_have_no_offsets(&Subject::new(make()).await).await;
    a_repeat_is_not_published_again(&Subject::new(make()).await).await;
    recovery_is_exact_or_not_complete(&Subject::new(make()).await).await;
    pages_are_bounded_and_say_that_there_are_more(&Subject::new(make()).await).await;
    history_is_read_page_by_page_both_ways(&Subject::new(make()).await).await;
    publishers_side_by_side_leave_no_gaps(&Subject::new(make()).await).await;
}

/// An engine and its deliveries.
struct Subject<E> {
    engine: E,
    /// Each with its epoch.
    delivered: Arc<Mutex<Vec<(Publication, String)>>>,
}

/// The time within which a delivery arrives.
const PATIENCE: Duration = Duration::from_secs(10);

const KEPT: History = History::new(5, Duration::from_secs(3600));

async fn offsets_begin_at_1_and_have_no_gaps(subject: &Subject<impl Engine>) {
    for offset in 1..=7 {
        for channel in ["a", "b"] {
            assert_eq!(subject.publish(channel, offset, "").await.offset, offset, "in {channel}");
        }
    }
    let epoch = subject.publish("a", 8, "").await.epoch;
    assert!(!epoch.is_empty(), "an epoch has a name");
    assert_eq!(subject.publish("a", 9, "").await.epoch, epoch, "it stays while nothing is lost");
    assert_eq!(
        subject.delivered_in("a", 9).await,
        (1..=9).map(|offset| (offset, offset)).collect::<Vec<_>>()
    );
}

async fn an_answered_publish_has_been_delivered_and_is_kept(subject: &Subject<impl Engine>) {
    for number in 1..=3 {
        let position = subject.publish("a", number, "").await;
        assert_eq!(subject.delivered_in("a", number).await.last(), Some(&(position.offset, number)));
        assert_eq!(
            subject.delivered.lock().last().map(|(_, epoch)| epoch.clone()),
            Some(position.epoch.clone())
        );
        let page = subject.page("a", None, 10, false).await.expect("history is kept");
        assert_eq!(page.position, position);
        assert_eq!(page.publications.last().map(number_of), Some(number));
    }
}

async fn publishes_keep_their_order_without_a_wait_for_answers(subject: &Subject<impl Engine>) {
    let answers: Vec<_> = (1..=100).map(|number| subject.engine.publish(message("a", number, ""))).collect();
    for (answer, offset) in join_all(answers).await.into_iter().zip(1..) {
        let position = answer.expect("the engine works");
        assert_eq!(position.map(|position| position.offset), Some(offset));
    }
    assert_eq!(
        subject.delivered_in("a", 100).await,
        (1..=100).map(|number| (number, number)).collect::<Vec<_>>()
    );
}

async fn channels_without_history_have_no_offsets(subject: &Subject<impl Engine>) {
    for number in 1..=3 {
        let publish = EnginePublish { history: None, ..message("a", number, "") };
        assert_eq!(subject.engine.publish(publish).await.expect("the engine works"), None);
    }
    assert_eq!(subject.delivered_in("a", 3).await, [(0, 1), (0, 2), (0, 3)]);
    assert!(subject.delivered.lock().iter().all(|(_, epoch)| epoch.is_empty()), "nor an epoch");
}

async fn a_repeat_is_not_published_again(subject: &Subject<impl Engine>) {
    let Some(memory) = subject.engine.idempotency() else {
        // Without keys each publish is separate.
        let first = subject.publish("a", 1, "key").await;
        assert_ne!(subject.publish("a", 2, "key").await, first);
        return;
    };
    assert!(!memory.window.is_zero());
    let first = subject.publish("a", 1, "key").await;
    assert_eq!(subject.publish("a", 2, "key").await, first, "the first one's answer");
    assert_eq!(subject.publish("b", 1, "key").await.offset, 1, "keys are by channel");
    assert_eq!(subject.publish("a", 3, "other").await.offset, 2);
    assert_eq!(subject.publish("a", 4, "").await.offset, 3);
    assert_eq!(subject.publish("a", 5, "").await.offset, 4, "an empty key is none");
    assert_eq!(subject.delivered_in("a", 4).await, [(1, 1), (2, 3), (3, 4), (4, 5)]);
    // This is also true while the first one has no answer yet.
    let answers = (1..=10).map(|number| subject.engine.publish(message("c", number, "key")));
    for answer in join_all(answers).await {
        assert_eq!(answer.expect("the engine works").map(|position| position.offset), Some(1));
    }
    assert_eq!(subject.delivered_in("c", 1).await, [(1, 1)]);
    // It is also true without history.
    for number in 1..=2 {
        let publish = EnginePublish { history: None, ..message("d", number, "key") };
        assert_eq!(subject.engine.publish(publish).await.expect("the engine works"), None);
    }
    assert_eq!(subject.delivered_in("d", 1).await, [(0, 1)]);
}

async fn recovery_is_exact_or_not_complete(subject: &Subject<impl Engine>) {
    let nothing = subject.locate("a", None).await;
    assert_eq!((nothing.position.offset, nothing.newest), (0, 0), "nothing is published");
    let from_the_start = subject.locate("a", Some(nothing.position.clone())).await;
    assert!(from_the_start.complete, "that place is the newest");

    let mut newest = nothing.position;
    for number in 1..=8 {
        newest = subject.publish("a", number, "").await;
    }
    let at = |offset| Position { offset, epoch: newest.epoch.clone() };
    for offset in 3..=8 {
        let located = subject.locate("a", Some(at(offset))).await;
        assert_eq!(located, Located { position: at(offset), newest: 8, complete: true }, "five are kept");
        let page = subject.page("a", Some(located.position), 100, false).await.expect("it is there");
        let offsets: Vec<u64> = page.publications.iter().map(|publication| publication.offset).collect();
        assert_eq!(offsets, (offset + 1..=8).collect::<Vec<_>>());
    }
    let other = Position { offset: 8, epoch: "another".into() };
    for since in [at(0), at(2), other] {
        let located = subject.locate("a", Some(since)).await;
        assert!(!located.complete, "some are gone: {located:?}");
        assert_eq!((located.position, located.newest), (at(3), 8), "it continues at the oldest");
    }
    let ahead = subject.locate("a", Some(at(9))).await;
    assert!(!ahead.complete, "the offset has never existed");
    let newcomer = subject.locate("a", None).await;
    assert_eq!((newcomer.position, newcomer.newest), (newest, 8), "a new subscriber missed nothing");
}

async fn pages_are_bounded_and_say_that_there_are_more(subject: &Subject<impl Engine>) {
    let first = subject.publish("a", 1, "").await;
    for number in 2..=4 {
        subject.publish("a", number, "").await;
    }
    // Each payload has one byte.
    for (limit, bytes, expected, more) in [
        (3, 3, vec![2, 3, 4], false),
        (2, 100, vec![2, 3], true),
        (0, 100, vec![], false),
        (9, 2, vec![2, 3], true),
        (9, 0, vec![2], true),
    ] {
        let since = Some(first.clone());
        let read = ReadHistory { channel: name("a"), history: KEPT, since, limit, bytes, reverse: false };
        let page = subject.engine.history(read).await.expect("the engine works").expect("it is there");
        assert_eq!(page.publications.iter().map(number_of).collect::<Vec<_>>(), expected);
        assert_eq!(page.more, more, "{limit} publications, {bytes} bytes");
    }
}

async fn history_is_read_page_by_page_both_ways(subject: &Subject<impl Engine>) {
    let mut newest = Position::default();
    for number in 1..=7 {
        newest = subject.publish("a", number, "").await;
    }
    let at = |offset| Some(Position { offset, epoch: newest.epoch.clone() });
    for (since, limit, reverse, expected) in [
        (None, 100, false, vec![3, 4, 5, 6, 7]),
        (None, 2, false, vec![3, 4]),
        (None, 2, true, vec![7, 6]),
        (at(5), 100, false, vec![6, 7]),
        (at(5), 100, true, vec![4, 3]),
        (at(2), 1, false, vec![3]),
        (at(7), 100, false, vec![]),
        (None, 0, false, vec![]),
    ] {
        let page = subject.page("a", since, limit, reverse).await.expect("it is there");
        assert_eq!(page.position, newest);
        assert_eq!(page.publications.iter().map(number_of).collect::<Vec<_>>(), expected);
        for publication in &page.publications {
            assert_eq!(publication.offset, number_of(publication), "as it was delivered");
        }
    }
    let other = Some(Position { offset: 5, epoch: "another".into() });
    assert!(subject.page("a", other, 100, false).await.is_none(), "another epoch");
    assert!(subject.page("a", at(1), 100, false).await.is_none(), "what follows is gone");
}

async fn publishers_side_by_side_leave_no_gaps(subject: &Subject<impl Engine>) {
    let publishers = (0..4).map(|publisher| async move {
        for number in 0..50 {
            subject.publish("a", publisher * 100 + number, "").await;
            // A recovery describes one moment.
            let since = subject.page("a", None, 0, false).await.expect("history is kept").position;
            if let Some(page) = subject.page("a", Some(since.clone()), 100, false).await {
                let offsets: Vec<u64> = page.publications.iter().map(|entry| entry.offset).collect();
                assert_eq!(offsets, (since.offset + 1..=page.position.offset).collect::<Vec<_>>());
            }
        }
    });
    join_all(publishers).await;
    let delivered = subject.delivered_in("a", 200).await;
    assert_eq!(
        delivered.iter().map(|&(offset, _)| offset).collect::<Vec<_>>(),
        (1..=200).collect::<Vec<_>>()
    );
    for publisher in 0..4 {
        let own: Vec<u64> =
            delivered.iter().map(|&(_, number)| number).filter(|number| number / 100 == publisher).collect();
        assert_eq!(own, (publisher * 100..publisher * 100 + 50).collect::<Vec<_>>(), "in its order");
    }
}

impl<E: Engine> Subject<E> {
    async fn new(engine: E) -> Self {
        let delivered: Arc<Mutex<Vec<_>>> = Arc::default();
        let record = Arc::clone(&delivered);
        engine.start(Delivery::from_fn(move |publication, epoch| {
            record.lock().push((publication, epoch.to_string()));
        }));
        if let Some(attachments) = engine.attachments() {
            for channel in ["a", "b", "c", "d"] {
                attachments.attach(&name(channel)).await.expect("the engine works");
            }
        }
        Self { engine, delivered }
    }

    /// Publishes a number in a channel with a history of five.
    async fn publish(&self, channel: &str, number: u64, key: &str) -> Position {
        let position = self.engine.publish(message(channel, number, key)).await;
        position.expect("the engine works").expect("the channel keeps history")
    }

    async fn locate(&self, channel: &str, since: Option<Position>) -> Located {
        let locate = Locate { channel: name(channel), history: KEPT, since };
        self.engine.locate(locate).await.expect("the engine works")
    }

    async fn page(
        &self,
        channel: &str,
        since: Option<Position>,
        limit: usize,
        reverse: bool,
    ) -> Option<HistoryPage> {
        let read = ReadHistory { channel: name(channel), history: KEPT, since, limit, bytes: 1000, reverse };
        self.engine.history(read).await.expect("the engine works")
    }

    /// The offsets and numbers of the deliveries in a channel. An engine that may deliver after its answer has some time until
    /// there are as many as expected.
    async fn delivered_in(&self, channel: &str, expected: u64) -> Vec<(u64, u64)> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let delivered = self.delivered_now(channel);
            let is_late = self.engine.attachments().is_some() && (delivered.len() as u64) < expected;
            if !is_late || Instant::now() >= deadline {
                return delivered;
            }
            sleep(Duration::from_millis(2)).await;
        }
    }

    fn delivered_now(&self, channel: &str) -> Vec<(u64, u64)> {
        let delivered = self.delivered.lock();
        let of_channel = delivered.iter().filter(|(publication, _)| publication.channel.as_str() == channel);
        of_channel.map(|(publication, _)| (publication.offset, number_of(publication))).collect()
    }
}

fn message(channel: &str, number: u64, key: &str) -> EnginePublish {
    let payload = Payload::json(number.to_string());
    EnginePublish { key: key.into(), history: Some(KEPT), ..EnginePublish::new(name(channel), payload) }
}

fn number_of(publication: &Publication) -> u64 {
    let text = std::str::from_utf8(&publication.payload.data).expect("a number");
    text.parse().expect("a number")
}

fn name(channel: &str) -> ChannelName {
    ChannelName::new(channel).expect("a channel's name")
}

#[cfg(test)]
mod tests {
    use wirehub_common::frame::Idempotency;

    use super::*;
    use crate::engine::{EngineFuture, MemoryEngine, Publications};

    #[tokio::test]
    async fn the_engine_in_memory_keeps_its_promises() {
        check(MemoryEngine::new).await;
    }

    #[tokio::test]
    async fn an_engine_that_takes_its_time_may_do_so() {
        check(|| Late(Arc::new(MemoryEngine::new()))).await;
    }

    #[tokio::test]
    #[should_panic(expected = "the first one's answer")]
    async fn an_engine_that_forgets_its_keys_is_caught() {
        check(|| Broken { inner: MemoryEngine::new(), forgets: true }).await;
    }

    #[tokio::test]
    #[should_panic(expected = "some are gone")]
    async fn an_engine_that_is_not_honest_is_caught() {
        check(|| Broken { inner: MemoryEngine::new(), forgets: false }).await;
    }

    /// Answers later, but fixes the order at once.
    #[derive(Debug)]
    struct Late(Arc<MemoryEngine>);

    impl Late {
        fn later<T: Unpin + Send + 'static>(
            &self,
            answer: impl FnOnce(&MemoryEngine) -> EngineFuture<T> + Send + 'static,
        ) -> EngineFuture<T> {
            let engine = Arc::clone(&self.0);
            EngineFuture::Later(Box::pin(async move {
                tokio::task::yield_now().await;
                answer(&engine).await
            }))
        }
    }

    impl Engine for Late {
        fn start(&self, delivery: Delivery) {
            self.0.start(delivery);
        }
    }

    impl Publications for Late {
        fn idempotency(&self) -> Option<Idempotency> {
            self.0.idempotency()
        }

        fn publish(&self, publish: EnginePublish) -> EngineFuture<Option<Position>> {
            let answer = self.0.publish(publish);
            self.later(|_| answer)
        }

        fn locate(&self, locate: Locate) -> EngineFuture<Located> {
            self.later(|engine| engine.locate(locate))
        }

        fn history(&self, read: ReadHistory) -> EngineFuture<Option<HistoryPage>> {
            self.later(|engine| engine.history(read))
        }
    }

    /// Forgets keys, or claims that its history is complete.
    #[derive(Debug)]
    struct Broken {
        inner: MemoryEngine,
        forgets: bool,
    }

    impl Engine for Broken {
        fn start(&self, delivery: Delivery) {
            self.inner.start(delivery);
        }
    }

    impl Publications for Broken {
        fn idempotency(&self) -> Option<Idempotency> {
            self.inner.idempotency()
        }

        fn publish(&self, publish: EnginePublish) -> EngineFuture<Option<Position>> {
            let key = if self.forgets { String::new() } else { publish.key.clone() };
            self.inner.publish(EnginePublish { key, ..publish })
        }

        fn locate(&self, locate: Locate) -> EngineFuture<Located> {
            match self.inner.locate(locate) {
                EngineFuture::Now(Ok(located)) if !self.forgets => {
                    EngineFuture::Now(Ok(Located { complete: true, ..located }))
                }
                answer => answer,
            }
        }

        fn history(&self, read: ReadHistory) -> EngineFuture<Option<HistoryPage>> {
            self.inner.history(read)
        }
    }
}
