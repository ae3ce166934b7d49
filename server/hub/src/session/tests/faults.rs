//! Sessions at an engine with faults: a subscriber gets every message once and in order, or is notified of a gap.

use tokio::time::{sleep, timeout};

use super::*;
use crate::engine::FaultyEngine;

/// A subscriber, and what it has received.
struct Subscriber {
    client: Client,
    position: Position,
    gaps: usize,
    received: usize,
}

impl Subscriber {
    async fn connect(hub: Hub) -> Self {
        let mut client = Client::open_at(hub, 1 << 20).await;
        let subscribe = Subscribe { channel: a(), number: 1, position: None, history: 0 };
        let connect = Connect { subscriptions: vec![subscribe], ..Connect::default() };
        client.send(Request::Connect(connect)).await;
        let ServerFrame::Reply(Reply { result: Ok(ReplyBody::Connected(connected)), .. }) =
            client.frame().await
        else {
            panic!("not connected")
        };
        let [outcome] = &connected.subscriptions[..] else { panic!("one subscription") };
        let position = outcome.result.as_ref().unwrap().position.clone().unwrap();
        Self { client, position, gaps: 0, received: 0 }
    }

    /// Reads for some time. Every message is checked.
    async fn read_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while let Ok(message) = tokio::time::timeout_at(end, self.client.next()).await {
            let data = message.into_data();
            if data.is_empty() {
                self.client.socket.send(Message::Binary(Bytes::new())).await.unwrap();
            }
            for frame in CODEC.decode_frames(&data) {
                self.take(frame.unwrap());
            }
        }
    }

    fn take(&mut self, frame: ServerFrame) {
        match frame {
            ServerFrame::Push(Push::Publication(publication)) => {
                assert_eq!(
                    publication.offset,
                    self.position.offset + 1,
                    "once and in order: {:?}",
                    self.position
                );
                self.position.offset = publication.offset;
                self.received += 1;
            }
            ServerFrame::Push(Push::Subscribed(subscribed)) => {
                assert!(!subscribed.complete, "{subscribed:?}");
                let position = subscribed.position.unwrap();
                assert_ne!(position, self.position, "a gap that is none");
                self.position = position;
                self.gaps += 1;
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A hub whose engine has faults, and the engine.
fn faulty(seed: u64, percent: u64, history: usize) -> (Hub, FaultyEngine) {
    let engine = FaultyEngine::new(seed, percent);
    let kept = Namespace::open().history(History::new(history, Duration::from_secs(3600)));
    (Builder::open().default_namespace(kept).engine(engine.clone()).build(), engine)
}

/// The number of simulated runs; `WIREHUB_SEEDS` sets another one.
fn seeds() -> u64 {
    std::env::var("WIREHUB_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(50)
}

async fn publish(hub: &Hub, count: usize) -> usize {
    let mut accepted = 0;
    for number in 0..count {
        let answer = hub.publish_raw(&a(), Payload::json(number.to_string())).unwrap();
        accepted += usize::from(answer.await.is_ok());
    }
    accepted
}

#[tokio::test(start_paused = true)]
async fn dropped_doubled_and_late_deliveries_are_repaired() {
    for seed in 0..seeds() {
        let (hub, engine) = faulty(seed, 10, 1000);
        let mut subscriber = Subscriber::connect(hub.clone()).await;
        for _ in 0..20 {
            publish(&hub, 10).await;
            subscriber.read_for(Duration::from_millis(50)).await;
        }
        engine.set_faults(0);
        subscriber.read_for(Duration::from_secs(30)).await;
        assert_eq!((subscriber.received, subscriber.gaps), (200, 0), "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_subscriber_gets_what_follows_its_position_despite_faults() {
    for seed in 0..seeds() {
        let (hub, engine) = faulty(seed, 15, 1000);
        let mut first = Subscriber::connect(hub.clone()).await;
        publish(&hub, 50).await;
        let mut second = Subscriber::connect(hub.clone()).await;
        publish(&hub, 50).await;
        engine.set_faults(0);
        first.read_for(Duration::from_secs(30)).await;
        second.read_for(Duration::from_secs(30)).await;
        assert_eq!((first.received, first.gaps), (100, 0), "seed {seed}");
        assert_eq!((second.received, second.gaps), (50, 0), "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_history_is_one_gap_and_the_subscription_goes_on() {
    for (seed, percent) in (0..seeds()).flat_map(|seed| [(seed, 0), (seed, 10)]) {
        let (hub, engine) = faulty(seed, percent, 1000);
        let mut subscriber = Subscriber::connect(hub.clone()).await;
        publish(&hub, 10).await;
        subscriber.read_for(Duration::from_secs(20)).await;
        engine.lose_history();
        publish(&hub, 10).await;
        engine.set_faults(0);
        subscriber.read_for(Duration::from_secs(30)).await;
        assert_eq!((subscriber.received, subscriber.gaps), (20, 1), "seed {seed}, {percent} %");
        assert_eq!(Some(subscriber.position), engine.newest_of(&a()));
        assert!(!subscriber.client.session.is_finished(), "it need not reconnect");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_history_no_longer_has_is_a_gap() {
    for seed in 0..seeds() {
        let (hub, engine) = faulty(seed, 30, 5);
        let mut subscriber = Subscriber::connect(hub.clone()).await;
        for _ in 0..10 {
            publish(&hub, 20).await;
            subscriber.read_for(Duration::from_millis(500)).await;
        }
        engine.set_faults(0);
        subscriber.read_for(Duration::from_secs(30)).await;
        assert_eq!(Some(&subscriber.position), engine.newest_of(&a()).as_ref(), "seed {seed}");
        assert!(subscriber.received == 200 || subscriber.gaps > 0, "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_away_for_a_while_costs_nothing_that_was_accepted() {
    let (hub, engine) = faulty(7, 10, 1000);
    let mut subscriber = Subscriber::connect(hub.clone()).await;
    let mut accepted = publish(&hub, 30).await;
    engine.set_away(true);
    assert_eq!(publish(&hub, 5).await, 0, "a publish fails at once");
    subscriber.read_for(Duration::from_secs(20)).await;
    assert_eq!(hub.missing().iter().map(|name| &**name).collect::<Vec<_>>(), ["engine"]);
    engine.set_away(false);
    accepted += publish(&hub, 30).await;
    engine.set_faults(0);
    subscriber.read_for(Duration::from_secs(30)).await;
    assert_eq!((subscriber.received, subscriber.gaps), (accepted, 0));
    assert!(hub.missing().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_noticed_and_made_anew() {
    let (hub, engine) = faulty(3, 0, 1000);
    let mut subscriber = Subscriber::connect(hub.clone()).await;
    engine.fall_silent();
    publish(&hub, 10).await;
    subscriber.read_for(Duration::from_secs(15)).await;
    assert_eq!((subscriber.received, subscriber.gaps), (10, 0), "although nothing more was published");
    publish(&hub, 1).await;
    subscriber.read_for(Duration::from_secs(1)).await;
    assert_eq!(subscriber.received, 11);
}

#[tokio::test(start_paused = true)]
async fn a_channel_is_attached_before_its_subscriber_is_answered_and_detached_some_seconds_after_the_last_one()
 {
    // Without history a missed delivery could not be repaired.
    let engine = FaultyEngine::new(0, 0);
    let hub = Builder::open().engine(engine.clone()).build();
    let mut client = Client::open_at(hub.clone(), 1 << 16).await;
    client.send(Request::Connect(Connect::default())).await;
    client.frame().await;
    client.send(Request::Subscribe(Subscribe { channel: a(), number: 1, position: None, history: 0 })).await;
    assert!(matches!(client.frame().await, ServerFrame::Reply(Reply { result: Ok(_), .. })));
    assert_eq!(engine.attached(), [a()]);
    publish(&hub, 1).await;
    assert_eq!(client.publication().await.channel, a());
    let unsubscribe = wirehub_common::frame::Unsubscribe { channel: a(), number: 1 };
    client.send(Request::Unsubscribe(unsubscribe)).await;
    client.frame().await;
    sleep(Duration::from_secs(4)).await;
    assert_eq!(engine.attached(), [a()], "it may come back");
    client.send(Request::Subscribe(Subscribe { channel: a(), number: 2, position: None, history: 0 })).await;
    client.frame().await;
    sleep(Duration::from_secs(10)).await;
    assert_eq!(engine.attached(), [a()], "it came back");
    drop(client);
    sleep(Duration::from_secs(6)).await;
    assert!(engine.attached().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_cannot_be_attached_is_a_temporary_error() {
    let (hub, engine) = faulty(0, 0, 10);
    let mut client = Client::open_at(hub, 1 << 16).await;
    client.send(Request::Connect(Connect::default())).await;
    client.frame().await;
    engine.set_away(true);
    client.send(Request::Subscribe(Subscribe { channel: a(), number: 1, position: None, history: 0 })).await;
    let ServerFrame::Reply(Reply { result: Err(error), .. }) = client.frame().await else {
        panic!("an error")
    };
    assert_eq!((error.code, error.temporary), (ErrorCode::UNAVAILABLE, true));
    engine.set_away(false);
    client.send(Request::Subscribe(Subscribe { channel: a(), number: 2, position: None, history: 0 })).await;
    let answered = timeout(Duration::from_secs(1), client.frame()).await.unwrap();
    assert!(matches!(answered, ServerFrame::Reply(Reply { result: Ok(_), .. })), "{answered:?}");
}
