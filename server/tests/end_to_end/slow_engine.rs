//! The engine in memory as one whose answers take their time.

use std::sync::Arc;

use wirehub_common::frame::{HistoryPage, Idempotency, Position};
use wirehub_server::engine::{
    Delivery, Engine, EngineFuture as Later, EnginePublish, Locate, Located, MemoryEngine, Publications,
    ReadHistory,
};

/// An engine with delayed answers. The order is decided at once.
#[derive(Debug)]
pub(crate) struct SlowEngine(Arc<MemoryEngine>);

impl SlowEngine {
    pub(crate) fn new(engine: MemoryEngine) -> Self {
        Self(Arc::new(engine))
    }

    fn later<T: Unpin + Send + 'static>(
        answer: impl FnOnce(&MemoryEngine) -> Later<T> + Send + 'static,
        engine: &Arc<MemoryEngine>,
    ) -> Later<T> {
        let engine = Arc::clone(engine);
        Later::Later(Box::pin(async move {
            pass_time().await;
            let answer = answer(&engine).await;
            pass_time().await;
            answer
        }))
    }
}

impl Engine for SlowEngine {
    fn start(&self, delivery: Delivery) {
        self.0.start(delivery);
    }
}

impl Publications for SlowEngine {
    fn idempotency(&self) -> Option<Idempotency> {
        self.0.idempotency()
    }

    fn publish(&self, publish: EnginePublish) -> Later<Option<Position>> {
        let answer = self.0.publish(publish);
        Self::later(move |_| answer, &self.0)
    }

    fn locate(&self, locate: Locate) -> Later<Located> {
        Self::later(move |engine| engine.locate(locate), &self.0)
    }

    fn history(&self, read: ReadHistory) -> Later<Option<HistoryPage>> {
        Self::later(move |engine| engine.history(read), &self.0)
    }
}

async fn pass_time() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}
