//! The responses of a streaming call.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use wirehub_common::{Payload, PayloadError};

use super::lifetime::Lifetime;
use super::queue::Queue;
use crate::{CommandId, Error};

/// The responses of one call, in order. Dropping it cancels the call on the server.
///
/// An item is an error if a payload does not fit the contract; the stream goes on then. A call that failed ends with an
/// error as its last item: [`TIMEOUT`](wirehub_common::code::ErrorCode::TIMEOUT) before the first response,
/// [`CONNECTION_LOST`](wirehub_common::code::ErrorCode::CONNECTION_LOST),
/// [`OVERFLOW`](wirehub_common::code::ErrorCode::OVERFLOW) if responses arrived faster than they were read, or an error
/// of the procedure.
#[derive(Debug)]
#[must_use = "dropping the responses cancels the call"]
pub struct Responses<R> {
    command: CommandId,
    queue: Queue<Result<Payload, Error>>,
    decode: fn(&Payload) -> Result<R, PayloadError>,
    // Keeps the client alive until this is dropped.
    lifetime: Arc<Lifetime>,
}

impl<R> Responses<R> {
    pub(super) fn new(
        command: CommandId,
        queue: Queue<Result<Payload, Error>>,
        decode: fn(&Payload) -> Result<R, PayloadError>,
        lifetime: Arc<Lifetime>,
    ) -> Self {
        Self { command, queue, decode, lifetime }
    }
}

impl<R> Stream for Responses<R> {
    type Item = Result<R, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let decode = self.decode;
        let item = ready!(Pin::new(&mut self.queue).poll_next(context));
        Poll::Ready(item.map(|payload| Ok(decode(&payload?)?)))
    }
}

impl<R> Drop for Responses<R> {
    fn drop(&mut self) {
        self.lifetime.shared().act(|inner, _| {
            inner.commands.remove(self.command);
            inner.core.cancel(self.command);
        });
    }
}
