//! Slow engines.

use parking_lot::Mutex;
use tokio::sync::oneshot;
use wirehub_common::frame::{HistoryPage, Idempotency, Unsubscribe};

use super::*;
use crate::engine::{self, Delivery, Engine, Locate, Located, MemoryEngine, Publications, ReadHistory};

/// Keeps data like a memory engine. The first `locate` for the channel `late` waits for a signal.
#[derive(Debug)]
struct LateEngine {
    memory: MemoryEngine,
    late: ChannelName,
    first: Mutex<Option<oneshot::Receiver<()>>>,
}

impl Engine for LateEngine {
    fn start(&self, delivery: Delivery) {
        self.memory.start(delivery);
    }
}

impl Publications for LateEngine {
    fn idempotency(&self) -> Option<Idempotency> {
        self.memory.idempotency()
    }

    fn publish(&self, publish: engine::EnginePublish) -> engine::EngineFuture<Option<Position>> {
        self.memory.publish(publish)
    }

    fn locate(&self, locate: Locate) -> engine::EngineFuture<Located> {
        let first = if locate.channel == self.late { self.first.lock().take() } else { None };
        let located = self.memory.locate(locate);
        match first {
            Some(first) => engine::EngineFuture::Later(Box::pin(async move {
                let _ = first.await;
                located.await
            })),
            None => located,
        }
    }

    fn history(&self, read: ReadHistory) -> engine::EngineFuture<Option<HistoryPage>> {
        self.memory.history(read)
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_for_a_subscription_of_the_servers_is_not_taken_for_the_next_ones() {
    let (release, first) = oneshot::channel();
    let news = ChannelName::new("news").unwrap();
    let (memory, first) = (MemoryEngine::new(), Mutex::new(Some(first)));
    let hub = keeping(100).engine(LateEngine { memory, late: news.clone(), first });
    let mut client = Client::open(hub, 1024).await;
    client.send(Request::Connect(Connect::default())).await;
    let ServerFrame::Reply(Reply { result: Ok(ReplyBody::Connected(connected)), .. }) = client.frame().await
    else {
        panic!("not connected")
    };
    let session = connected.session.parse().unwrap();
    let publish = |client: &Client| {
        let answer = client.hub.publish_raw(&news, Payload::json("1")).unwrap();
        answer.now_or_never().unwrap().unwrap().unwrap()
    };
    publish(&client);
    assert!(client.hub.subscribe_session(session, &news).await.unwrap());
    tokio::task::yield_now().await;
    // Before the answer the client ends the subscription, and the server makes another one. Both have the number 0.
    client.send(Request::Unsubscribe(Unsubscribe { channel: news.clone(), number: 0 })).await;
    assert!(matches!(
        client.frame().await,
        ServerFrame::Reply(Reply { result: Ok(ReplyBody::Unsubscribed(_)), .. })
    ));
    publish(&client);
    assert!(client.hub.subscribe_session(session, &news).await.unwrap());
    let ServerFrame::Push(Push::Subscribed(second)) = client.frame().await else { panic!("no push") };
    assert_eq!((second.number, second.position.map(|position| position.offset)), (0, Some(2)));
    release.send(()).unwrap();
    tokio::task::yield_now().await;
    publish(&client);
    assert_eq!(client.publication().await.offset, 3, "nothing more is said of where it begins");
}

#[tokio::test(start_paused = true)]
async fn a_client_is_pinged_during_a_long_connect_and_lives_as_long_as_it_answers() {
    let (release, first) = oneshot::channel();
    let (memory, first) = (MemoryEngine::new(), Mutex::new(Some(first)));
    let hub = keeping(100).engine(LateEngine { memory, late: a(), first });
    let mut client = Client::open(hub, 1024).await;
    let subscriptions = vec![Subscribe { channel: a(), number: 1, position: None, history: 0 }];
    client.send(Request::Connect(Connect { subscriptions, ..Connect::default() })).await;
    for _ in 0..5 {
        assert_eq!(client.next().await, ping());
        client.socket.send(ping()).await.unwrap();
    }
    release.send(()).unwrap();
    let ServerFrame::Reply(Reply { result: Ok(ReplyBody::Connected(_)), .. }) = client.frame().await else {
        panic!("not connected")
    };
}
