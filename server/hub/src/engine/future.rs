//! The answers of engines.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::guarded;
use super::{EngineError, EngineErrorKind};
use crate::panic_guard::guarded;

/// An answer of an engine, at once or later. The request is carried out even if nobody waits for the answer.
pub enum EngineFuture<T> {
    /// The answer is ready.
    Now(Result<T, EngineError>),
    /// The answer comes later.
    Later(Pin<Box<dyn Future<Output = Result<T, EngineError>> + Send>>),
}

impl<T: Send + Unpin + 'static> EngineFuture<T> {
    /// Changes the value of a successful answer.
    pub fn map<U>(self, change: impl FnOnce(T) -> U + Send + 'static) -> EngineFuture<U> {
        match self {
            Self::Now(result) => EngineFuture::Now(result.map(change)),
            later @ Self::Later(_) => EngineFuture::Later(Box::pin(async move { later.await.map(change) })),
        }
    }
}

impl<T: Unpin> Future for EngineFuture<T> {
    type Output = Result<T, EngineError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Now(result) => {
                let taken = EngineError::new(EngineErrorKind::Internal, "the answer was taken already");
                Poll::Ready(std::mem::replace(result, Err(taken)))
            }
            Self::Later(answer) => guarded(guarded::NAME, || answer.as_mut().poll(cx))
                .unwrap_or_else(|panic| Poll::Ready(Err(panic.into()))),
        }
    }
}

impl<T> fmt::Debug for EngineFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Now(_) => "EngineFuture::Now",
            Self::Later(_) => "EngineFuture::Later",
        })
    }
}
