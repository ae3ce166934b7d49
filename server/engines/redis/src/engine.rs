//! The engine: the hub's traits on Redis.

use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use wirehub_hub::engine::{Attachments, Delivery, Engine, EngineError, EngineFuture, NodeId};

use crate::error::{Error, ErrorKind};
use crate::fleet::StoreFacts;
use crate::keys::Keys;
use crate::options::RedisOptions;
use crate::queue::Queues;
use crate::servers::Servers;
use crate::subscriptions::{Subscriptions, keep};

/// Keeps history, keys, presence, alarms and the list of nodes in Redis, for any number of hubs.
///
/// It needs a tokio runtime. Dropping it closes its connections; use [`Engine::stop`] before, so that accepted publishes are
/// stored.
pub struct RedisEngine {
    pub(crate) keys: Keys,
    pub(crate) queues: Queues,
    pub(crate) subscriptions: Arc<Subscriptions>,
    /// Absent until the store has been read for the first time.
    pub(crate) store: RwLock<Option<StoreFacts>>,
    keeper: AbortHandle,
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
        let keys = Keys::new(&options.prefix);
        let patience = options.connect_timeout.saturating_add(options.answer_timeout);
        let servers = Arc::new(Servers::new(options));
        let queues = Queues::new(Arc::clone(&servers), Handle::current());
        let subscriptions = Subscriptions::new(own, keys.clone(), servers);
        let keeper = tokio::spawn(keep(Arc::downgrade(&subscriptions))).abort_handle();
        let engine = Self { keys, queues, subscriptions, store: RwLock::default(), keeper };
        engine.check().await?;
        engine.subscriptions.started(patience).await?;
        Ok(engine)
    }
}

impl Engine for RedisEngine {
    fn start(&self, delivery: Delivery) {
        self.subscriptions.set_delivery(delivery);
    }

    fn ready(&self) -> Result<(), EngineError> {
        Ok(self.queues.servers().check()?)
    }

    fn attachments(&self) -> Option<&dyn Attachments> {
        Some(self)
    }

    fn stop(&self) -> EngineFuture<()> {
        let closed = self.queues.close();
        EngineFuture::Later(Box::pin(async move {
            closed.await;
            Ok(())
        }))
    }
}

impl Drop for RedisEngine {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl fmt::Debug for RedisEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisEngine").field("node", &self.subscriptions.own).finish_non_exhaustive()
    }
}
