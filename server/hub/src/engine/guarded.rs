//! A guard around the application's engine: a panic in it is a failed answer.

use wirehub_common::frame::{HistoryPage, Idempotency, Position};

use super::{Delivery, Engine, EngineError, EngineFuture, EnginePublish, Locate, Located, ReadHistory};
use crate::guard::{Panicked, guarded};

/// Guards the methods that sessions call. [`EngineFuture`] guards later answers in the same way.
#[derive(Debug)]
pub(crate) struct GuardedEngine<E>(pub(crate) E);

impl<E: Engine> Engine for GuardedEngine<E> {
    /// Not guarded: a panic reaches the caller that builds the hub.
    fn start(&self, delivery: Delivery) {
        self.0.start(delivery);
    }

    fn ready(&self) -> Result<(), EngineError> {
        guarded(NAME, || self.0.ready()).unwrap_or_else(|panic| Err(panic.into()))
    }

    fn idempotency(&self) -> Option<Idempotency> {
        guarded(NAME, || self.0.idempotency()).ok().flatten()
    }

    fn publish(&self, publish: EnginePublish) -> EngineFuture<Option<Position>> {
        guarded(NAME, || self.0.publish(publish)).unwrap_or_else(EngineFuture::from)
    }

    fn locate(&self, locate: Locate) -> EngineFuture<Located> {
        guarded(NAME, || self.0.locate(locate)).unwrap_or_else(EngineFuture::from)
    }

    fn history(&self, read: ReadHistory) -> EngineFuture<Option<HistoryPage>> {
        guarded(NAME, || self.0.history(read)).unwrap_or_else(EngineFuture::from)
    }
}

/// The engine's name in the log.
pub(super) const NAME: &str = "the engine";

impl<T> From<Panicked> for EngineFuture<T> {
    fn from(panic: Panicked) -> Self {
        Self::Now(Err(panic.into()))
    }
}

impl From<Panicked> for EngineError {
    fn from(Panicked: Panicked) -> Self {
        Self::new("it panicked")
    }
}
