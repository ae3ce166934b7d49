//! An engine of a test, with its deliveries.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout;
use wirehub_common::frame::{HistoryPage, Position, Publication};
use wirehub_common::{ChannelName, Payload};
use wirehub_hub::engine::{
    Attachments, Delivery, DeliveryRecipient, Engine, EngineError, EnginePublish, Epoch, Locate, Located,
    Publications, ReadHistory,
};
use wirehub_hub::namespace::History;
use wirehub_redis::{RedisEngine, RedisOptions};
use wirehub_test_redis::{RedisCluster, Sentinels};

/// A test fails if it waits longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The history of the tests' channels.
pub(crate) const KEPT: History = History::new(5, Duration::from_secs(3600));

/// A node with its deliveries.
pub(crate) struct Node {
    pub(crate) engine: RedisEngine,
    pub(crate) seen: Arc<Seen>,
}

/// The deliveries to a node.
#[derive(Default)]
pub(crate) struct Seen {
    /// Channel, offset, number in the payload and epoch.
    pub(crate) publications: Mutex<Vec<(String, u64, u64, String)>>,
    pub(crate) probes: Mutex<Vec<u64>>,
    pub(crate) interruptions: Mutex<usize>,
    pub(crate) lost_presences: Mutex<usize>,
    changed: Notify,
}

struct Recorder(Arc<Seen>);

impl DeliveryRecipient for Recorder {
    fn deliver(&self, publication: Publication, epoch: &Epoch) {
        let number = number_of(&publication);
        let delivered = (publication.channel.as_str().into(), publication.offset, number, epoch.to_string());
        self.0.publications.lock().push(delivered);
        self.0.changed.notify_one();
    }

    fn probed(&self, number: u64) {
        self.0.probes.lock().push(number);
        self.0.changed.notify_one();
    }

    fn presence_lost(&self) {
        *self.0.lost_presences.lock() += 1;
        self.0.changed.notify_one();
    }

    fn interrupted(&self) {
        *self.0.interruptions.lock() += 1;
        self.0.changed.notify_one();
    }
}

impl Node {
    pub(crate) async fn start(options: &RedisOptions) -> Self {
        let engine = RedisEngine::connect(options.clone()).await.expect("Redis is there");
        let seen = Arc::<Seen>::default();
        engine.start(Delivery::to(Recorder(Arc::clone(&seen))));
        Self { engine, seen }
    }

    pub(crate) async fn attach(&self, channel: &str) {
        self.engine.attach(&name(channel)).await.expect("it is attached");
    }

    /// Publishes a number in a channel with history.
    pub(crate) async fn publish(&self, channel: &str, number: u64) -> Position {
        self.try_publish(channel, number, "").await.expect("Redis is there").expect("it has history")
    }

    pub(crate) async fn try_publish(
        &self,
        channel: &str,
        number: u64,
        key: &str,
    ) -> Result<Option<Position>, EngineError> {
        self.engine.publish(message(channel, number, key)).await
    }

    pub(crate) async fn locate(&self, channel: &str, since: Option<Position>) -> Located {
        let locate = Locate { channel: name(channel), history: KEPT, since };
        self.engine.locate(locate).await.expect("Redis is there")
    }

    pub(crate) async fn page(&self, channel: &str, since: Option<Position>) -> Option<HistoryPage> {
        let channel = name(channel);
        let read = ReadHistory { channel, history: KEPT, since, limit: 100, bytes: 1 << 20, reverse: false };
        self.engine.history(read).await.expect("Redis is there")
    }

    /// Waits until something is true of the deliveries.
    pub(crate) async fn sees<T>(&self, what: &str, look: impl Fn(&Seen) -> Option<T>) -> T {
        let waiting = async {
            loop {
                let changed = self.seen.changed.notified();
                if let Some(found) = look(&self.seen) {
                    return found;
                }
                // A permit may belong to an earlier change.
                changed.await;
            }
        };
        timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("no {what} in time"))
    }

    /// Waits for as many deliveries in a channel: offsets and numbers.
    pub(crate) async fn delivered(&self, channel: &str, count: usize) -> Vec<(u64, u64)> {
        self.sees(&format!("{count} deliveries"), |seen| {
            let found = seen.in_channel(channel);
            (found.len() >= count).then_some(found)
        })
        .await
    }
}

impl Seen {
    pub(crate) fn in_channel(&self, channel: &str) -> Vec<(u64, u64)> {
        let publications = self.publications.lock();
        let own = publications.iter().filter(|(name, ..)| name == channel);
        own.map(|(_, offset, number, _)| (*offset, *number)).collect()
    }
}

pub(crate) fn message(channel: &str, number: u64, key: &str) -> EnginePublish {
    let mut publish = EnginePublish::new(name(channel), Payload::json(number.to_string()));
    (publish.key, publish.history) = (key.into(), Some(KEPT));
    publish
}

pub(crate) fn number_of(publication: &Publication) -> u64 {
    std::str::from_utf8(&publication.payload.data).expect("a number").parse().expect("a number")
}

pub(crate) fn name(channel: &str) -> ChannelName {
    ChannelName::new(channel).expect("a channel's name")
}

/// The settings for a master behind Sentinels.
pub(crate) fn sentinel_options(sentinels: &Sentinels) -> RedisOptions {
    let addresses: Vec<String> =
        sentinels.addresses().iter().map(|address| format!("redis://{address}")).collect();
    RedisOptions::sentinel(addresses.iter().map(String::as_str), Sentinels::NAME).unwrap()
}

/// The settings for a cluster.
pub(crate) fn cluster_options(cluster: &RedisCluster) -> RedisOptions {
    RedisOptions::cluster([format!("redis://{}", cluster.addresses()[0]).as_str()]).unwrap()
}
