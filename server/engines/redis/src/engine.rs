//! The engine: the hub's traits on Redis.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use parking_lot::RwLock;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use wirehub_hub::engine::{
    Attachments, Delivery, Engine, EngineError, EngineFuture, EngineMetric, NodeId, Nodes, Presence, Records,
};

use crate::command::Command;
use crate::error::{Error, ErrorKind};
use crate::fleet::StoreFacts;
use crate::janitor::{Graces, end_graces, tidy};
use crate::keys::Keys;
use crate::nodes::Owner;
use crate::options::RedisOptions;
use crate::partition::Partition;
use crate::queue::Queues;
use crate::servers::Servers;
use crate::subscriptions::{Subscriptions, keep};

/// Keeps history, keys, presence, alarms and the list of nodes in Redis, for any number of hubs.
///
/// It needs a tokio runtime. Dropping it closes its connections; use [`Engine::stop`] before, so that accepted publishes are
/// stored.
pub struct RedisEngine {
    pub(crate) shared: Arc<Shared>,
    tasks: Vec<AbortHandle>,
}

/// The state that the engine shares with its tasks.
pub(crate) struct Shared {
    pub(crate) keys: Keys,
    pub(crate) queues: Queues,
    pub(crate) subscriptions: Arc<Subscriptions>,
    pub(crate) graces: Graces,
    /// Absent until the store has been read for the first time.
    pub(crate) store: RwLock<Option<StoreFacts>>,
    pub(crate) owner: Owner,
    /// `true` after a warning about the clock of this machine.
    pub(crate) has_wrong_clock: AtomicBool,
}

impl RedisEngine {
    /// Connects to Redis, checks it, and subscribes.
    ///
    /// # Errors
    /// Redis can't be reached, refuses the login or a command, is too old, or has keys of another program or of a newer version
    /// with this prefix. The message describes the next step.
    pub async fn connect(options: RedisOptions) -> Result<Self, Error> {
        let own = NodeId::random().map_err(|error| {
            Error::new(ErrorKind::Unexpected, "the system has no entropy for the id of this node").with(error)
        })?;
        let keys = Keys::new(&options.key_prefix());
        let patience = options.connect_timeout.saturating_add(options.answer_timeout);
        let servers = Arc::new(Servers::new(options));
        let queues = Queues::new(Arc::clone(&servers), Handle::current());
        let subscriptions = Subscriptions::new(own, keys.clone(), servers);
        let shared = Arc::new(Shared {
            keys,
            queues,
            subscriptions,
            graces: Graces::default(),
            store: RwLock::default(),
            owner: Owner::new(),
            has_wrong_clock: AtomicBool::new(false),
        });
        // The subscriptions depend on its results.
        shared.check().await?;
        let tasks = vec![
            tokio::spawn(keep(Arc::downgrade(&shared.subscriptions))).abort_handle(),
            tokio::spawn(end_graces(Arc::downgrade(&shared))).abort_handle(),
            tokio::spawn(tidy(Arc::downgrade(&shared))).abort_handle(),
        ];
        // If they are not confirmed, the tasks end with the engine.
        let engine = Self { shared, tasks };
        engine.shared.subscriptions.started(patience).await?;
        // Nothing of this node is there yet, so nothing of it can be lost.
        engine.shared.queues.servers().take_new_process();
        Ok(engine)
    }
}

impl Engine for RedisEngine {
    fn start(&self, delivery: Delivery) {
        self.shared.subscriptions.set_delivery(delivery);
    }

    fn ready(&self) -> Result<(), EngineError> {
        Ok(self.shared.queues.servers().check()?)
    }

    fn metrics(&self) -> Vec<EngineMetric> {
        self.shared.metrics()
    }

    fn attachments(&self) -> Option<&dyn Attachments> {
        Some(self)
    }

    fn records(&self) -> Option<&dyn Records> {
        Some(self)
    }

    fn nodes(&self) -> Option<&dyn Nodes> {
        Some(self)
    }

    fn presence(&self) -> Option<&dyn Presence> {
        Some(self)
    }

    fn stop(&self) -> EngineFuture<()> {
        // Its sessions have left, so the node ends here, and nobody waits for its death.
        let shared = &self.shared;
        let forget = Command::plain("HDEL").arg(shared.nodes_key()).arg(shared.owner.id());
        let forgotten = shared.queues.push(Partition::FLEET, 0, false, forget);
        let closed = shared.queues.close();
        EngineFuture::Later(Box::pin(async move {
            closed.await;
            forgotten.await.unwrap_or(Ok(redis::Value::Nil)).map(drop).map_err(Into::into)
        }))
    }
}

impl Drop for RedisEngine {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl fmt::Debug for RedisEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisEngine").field("node", &self.shared.subscriptions.own).finish_non_exhaustive()
    }
}
