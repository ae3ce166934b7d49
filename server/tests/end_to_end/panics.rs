//! Panics in the application's code affect only the request concerned.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use wirehub_common::Payload;
use wirehub_common::frame::{History as Read, HistoryPage, Idempotency, Position, Request};
use wirehub_server::call::CallContext;
use wirehub_server::engine::{
    Delivery, Engine, EngineFuture, EnginePublish, Locate, Located, MemoryEngine, Publications, ReadHistory,
};
use wirehub_server::namespace::{History, Namespace};
use wirehub_server::observe::{Observer, SessionEvent};

use crate::support::{CODECS, Client, Server, http, name, open_hub, publish, subscribe, until};

#[tokio::test]
async fn a_panicking_observer_affects_no_session_and_no_other_observer() {
    /// Poisons its lock with the first panic, and panics every time after that.
    #[derive(Default)]
    struct Poisoned(Mutex<u32>);

    impl Observer for Poisoned {
        fn notice(&self, _: &CallContext, event: SessionEvent) {
            let mut count = self.0.lock().unwrap();
            *count += 1;
            panic!("a mistake of the application, at {event:?}");
        }

        fn finish(&self) -> futures_util::future::BoxFuture<'_, ()> {
            panic!("another one");
        }
    }

    let told: Arc<parking_lot::Mutex<Vec<String>>> = Arc::default();
    let hub = {
        let told = Arc::clone(&told);
        open_hub().observe(Poisoned::default()).observe(move |_: &CallContext, event: SessionEvent| {
            let words = format!("{event:?}");
            told.lock().push(words.split([' ', '(']).next().unwrap().into());
        })
    };
    let server = Server::start(hub.build()).await;
    for codec in CODECS {
        told.lock().clear();
        let mut client = Client::connect(&server, codec).await;
        client.subscribe("a").await;
        client.ok(publish("a", Payload::json("1"))).await;
        assert_eq!(client.publication().await.payload, Payload::json("1"));
        drop(client);
        until(|| told.lock().len() == 3).await;
        assert_eq!(*told.lock(), ["Connected", "Subscribed", "Disconnected"]);
    }
    server.hub.shutdown(Duration::from_secs(5)).await;
}

/// Panics at once, if the epoch or the key asks for it, or after a wait.
#[derive(Debug)]
struct Fragile(MemoryEngine);

impl Engine for Fragile {
    fn start(&self, delivery: Delivery) {
        self.0.start(delivery);
    }

    fn ready(&self) -> Result<(), wirehub_server::engine::EngineError> {
        panic!("a mistake of the engine")
    }
}

impl Publications for Fragile {
    fn idempotency(&self) -> Option<Idempotency> {
        panic!("a mistake of the engine")
    }

    fn publish(&self, publish: EnginePublish) -> EngineFuture<Option<Position>> {
        match &*publish.payload.data {
            b"13" => panic!("a mistake of the engine"),
            b"14" => EngineFuture::Later(Box::pin(async { panic!("a late mistake of the engine") })),
            _ => self.0.publish(publish),
        }
    }

    fn locate(&self, locate: Locate) -> EngineFuture<Located> {
        assert_ne!(locate.channel.as_str(), "kept:bad", "a mistake of the engine");
        self.0.locate(locate)
    }

    fn history(&self, read: ReadHistory) -> EngineFuture<Option<HistoryPage>> {
        assert_ne!(read.limit, 13, "a mistake of the engine");
        self.0.history(read)
    }
}

#[tokio::test]
async fn a_panicking_engine_fails_only_the_request_concerned() {
    let kept = Namespace::default().history(History::new(10, Duration::from_secs(60)));
    let hub = open_hub().namespace("kept", kept).engine(Fragile(MemoryEngine::new()));
    let server = Server::start(hub.build()).await;
    for codec in CODECS {
        let mut client = Client::connect(&server, codec).await;
        client.subscribe("kept:a").await;
        assert_eq!(client.error(subscribe("kept:bad", 1)).await, 100);
        for (channel, number) in [("kept:a", "13"), ("plain", "13"), ("kept:a", "14")] {
            assert_eq!(client.error(publish(channel, Payload::json(number))).await, 100);
        }
        let read =
            |limit| Request::History(Read { channel: name("kept:a"), since: None, limit, reverse: false });
        assert_eq!(client.error(read(13)).await, 100);
        client.ok(read(12)).await;
        client.ok(publish("kept:a", Payload::json("1"))).await;
        assert_eq!(client.publication().await.payload, Payload::json("1"));
        assert!(server.hub.publish_raw(&name("plain"), Payload::json("14")).unwrap().await.is_err());
    }
    let ready = http(&server, "GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("engine"), "{ready}");
}
