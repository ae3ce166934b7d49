//! The floor of the engine in Redis: a bare client, as an application would use it, with the scripts, keys and arguments of the
//! engine. It sends what waits together, and has no queue, no order, no repeats, no checks and no hub.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use bytes::Bytes;
use redis::aio::{MultiplexedConnection, SendError};
use redis::{AsyncConnectionConfig, Client, PushInfo, PushKind, Script, Value, cmd};
use wirehub_common::frame::{Publication, Push, ServerFrame};
use wirehub_common::{ChannelName, Codec, Payload};
use wirehub_hub::namespace::History;

/// A client. Clones share its connection.
#[derive(Clone)]
pub(super) struct BareRedis {
    connection: MultiplexedConnection,
    script: Arc<Script>,
    history: [String; 3],
    client: Client,
}

impl BareRedis {
    pub(super) async fn connect(url: &str, history: History) -> Result<Self> {
        let script = concat!(
            include_str!("../../../server/engines/redis/src/scripts/log.lua"),
            include_str!("../../../server/engines/redis/src/scripts/publish.lua"),
        );
        let script = Arc::new(Script::new(script));
        let client = Client::open(format!("{url}/?protocol=resp3"))?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        script.load_async(&mut connection).await?;
        let () =
            cmd("HSET").arg(GENERATION).arg(&["r", PROCESS, "n", "1"]).query_async(&mut connection).await?;
        let history =
            [history.size.to_string(), history.ttl.as_millis().to_string(), history.bytes.to_string()];
        Ok(Self { connection, script, history, client })
    }

    pub(super) async fn publish(&self, channel: usize, payload: &Bytes) -> Result<()> {
        let publication = Publication {
            channel: ChannelName::new(&format!("chat:{channel}"))?,
            payload: Payload::bytes(payload.clone()),
            time: 0,
            publisher: None,
            offset: 0,
        };
        let message = Codec::Protobuf.encode_frame(&ServerFrame::Push(Push::Publication(publication)));
        let mut command = cmd("EVALSHA");
        command
            .arg(self.script.get_hash())
            .arg(3)
            .arg(GENERATION)
            .arg(format!("wirehub{{1046}}:c:chat:{channel}"))
            .arg(format!("wirehub{{1046}}:s:chat:{channel}"))
            .arg(PROCESS)
            .arg("0123456789abcdef")
            .arg("PUBLISH")
            .arg(deliveries(channel))
            .arg(&message[..])
            .arg(payload.len())
            .arg(KEPT)
            .arg(&self.history);
        let mut connection = self.connection.clone();
        let position: String = command.query_async(&mut connection).await?;
        position.split_once(' ').context("this is no position")?.0.parse::<u64>()?;
        Ok(())
    }

    /// Subscribes to channels on a connection of its own. The function gets each publication.
    pub(super) async fn subscribe(
        &self,
        channels: usize,
        received: impl Fn(Publication) + Send + Sync + 'static,
    ) -> Result<BareSubscription> {
        let count = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&count);
        let pushes = move |PushInfo { kind, data }| {
            if kind == PushKind::Message
                && let Some(Value::BulkString(message)) = data.into_iter().nth(1)
                && let Some(publication) = read(&Bytes::from(message))
            {
                counted.fetch_add(1, Ordering::Relaxed);
                received(publication);
            }
            Ok::<_, SendError>(())
        };
        let config = AsyncConnectionConfig::new().set_push_sender(pushes);
        let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        connection.subscribe((0..channels).map(deliveries).collect::<Vec<_>>()).await?;
        Ok(BareSubscription { _connection: connection, count })
    }
}

/// The subscriptions of a client. They end with this value.
pub(super) struct BareSubscription {
    _connection: MultiplexedConnection,
    count: Arc<AtomicU64>,
}

impl BareSubscription {
    /// The number of deliveries so far.
    pub(super) fn received(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

/// A delivery has four fields, of which the last is the message.
fn read(delivery: &Bytes) -> Option<Publication> {
    let message = delivery.splitn(4, |byte| *byte == b' ').nth(3)?;
    match Codec::Protobuf.decode_frames(&delivery.slice_ref(message)).next()?.ok()? {
        ServerFrame::Push(Push::Publication(publication)) => Some(publication),
        _ => None,
    }
}

fn deliveries(channel: usize) -> String {
    format!("wirehub{{1046}}:d:chat:{channel}")
}

/// As long as the engine's.
const GENERATION: &str = "wirehub{1046}:g";
const PROCESS: &str = "0123456789abcdef0123456789abcdef01234567";

/// The milliseconds for which the engine keeps the keys of publishes.
const KEPT: u32 = 180_000;
