//! Engines: the storage of history and of the keys of publishes, and the transport of publications to hubs.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

#[cfg(any(test, feature = "conformance"))]
use parking_lot::Mutex;
use wirehub_common::frame::{HistoryPage, Idempotency, Member, Position, Publication, Push, ServerFrame};
use wirehub_common::{ChannelName, Payload};

use crate::guard::guarded;
use crate::hub::Inner;
use crate::hub::shared_frame::SharedFrame;
use crate::namespace::History;

#[cfg(any(test, feature = "conformance"))]
#[cfg_attr(
    not(feature = "conformance"),
    allow(unreachable_pub, reason = "without it the tests alone use it")
)]
pub mod conformance;
mod guarded;
mod memory;

pub(crate) use self::guarded::GuardedEngine;
pub use self::memory::MemoryEngine;

/// Keeps the history of channels and the keys of publishes, and carries each publication to the hub's [`Delivery`].
///
/// [`MemoryEngine`] is the default; [`Builder::engine`](crate::Builder::engine) sets another one. Every engine has to keep
/// these promises. The suite in the feature `conformance` checks them for any engine:
///
/// 1. **Order.** The publications of one channel are delivered in the order of their offsets, each once. The publishes of one
///    caller are accepted in the order of its calls of [`publish`](Self::publish), even if it waited for no answer: the order
///    is fixed before `publish` returns.
/// 2. **Offsets** of a channel with history begin at 1 and have no gaps within an epoch. An epoch is never used again. While a
///    channel has subscribers its epoch changes only if its history is lost.
/// 3. **Atomicity.** Every delivered publication is in the history. A publish with a key that is remembered for its channel
///    stores and delivers nothing, and has the answer of the first one.
/// 4. **Recovery.** The answer of [`locate`](Self::locate) is true of one moment during the call. `locate` and each page of
///    [`history`](Self::history) contain the newest offset. Every publication behind that offset is delivered to all sessions
///    that were subscribed before the call.
/// 5. **Honesty.** If publications may be missing, recovery is not complete, and there is no page.
///
/// Sessions' tasks call these methods, so they must not block. They may deliver before they return. A dropped answer does not
/// take the request back. A panic is logged, and counts as a failed answer.
pub trait Engine: fmt::Debug + Send + Sync + 'static {
    /// Starts the engine. Called once, before every other method.
    fn start(&self, delivery: Delivery);

    /// Checks that the engine can work at the moment. If not, `/ready` answers with the status 503.
    ///
    /// # Errors
    /// The reason why the engine can't work.
    fn ready(&self) -> Result<(), EngineError> {
        Ok(())
    }

    /// The period for which keys are remembered, as clients receive it; `None` if keys are not remembered.
    fn idempotency(&self) -> Option<Idempotency>;

    /// Stores and delivers a message. The answer comes after the message has been handed to the delivery of this engine's own
    /// hub. It is the message's position if its channel keeps history.
    fn publish(&self, publish: EnginePublish) -> EngineFuture<Option<Position>>;

    /// Finds the position at which a subscriber begins. The publications behind it are read by [`history`](Self::history), page
    /// by page.
    fn locate(&self, locate: Locate) -> EngineFuture<Located>;

    /// A page of a channel's history. [`HistoryPage::more`] is `true` if publications follow the page, for any reason. `None` if `since` belongs to another epoch, or if publications behind it are lost.
    fn history(&self, read: ReadHistory) -> EngineFuture<Option<HistoryPage>>;
}

/// The request of [`Engine::publish`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EnginePublish {
    /// The channel.
    pub channel: ChannelName,
    /// The message.
    pub payload: Payload,
    /// The session of the publisher; absent if the server itself publishes.
    pub publisher: Option<Member>,
    /// The idempotency key; empty for none.
    pub key: String,
    /// The channel's history settings; `None` for a channel without history.
    pub history: Option<History>,
}

impl EnginePublish {
    /// A message of the server itself, without a key, in a channel without history.
    pub fn new(channel: ChannelName, payload: Payload) -> Self {
        Self { channel, payload, publisher: None, key: String::new(), history: None }
    }
}

/// The request of [`Engine::locate`].
#[derive(Debug, Clone)]
pub struct Locate {
    /// The channel.
    pub channel: ChannelName,
    /// The channel's history settings.
    pub history: History,
    /// The subscriber's last position; `None` for a new subscriber.
    pub since: Option<Position>,
}

/// The answer of [`Engine::locate`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The position at which the subscriber continues: `since` if every publication behind it is kept, otherwise the position
    /// before the oldest kept publication. For a new subscriber it is the newest position.
    pub position: Position,
    /// The channel's newest offset.
    pub newest: u64,
    /// `true` if the subscriber continues at `since`, and nothing is missing.
    pub complete: bool,
}

impl Located {
    /// The number of publications between the position and the newest.
    pub fn missed(&self) -> u64 {
        self.newest.saturating_sub(self.position.offset)
    }
}

/// The request of [`Engine::history`].
#[derive(Debug, Clone)]
pub struct ReadHistory {
    /// The channel.
    pub channel: ChannelName,
    /// The channel's history settings.
    pub history: History,
    /// The page begins behind this position (reversed: before it).
    pub since: Option<Position>,
    /// The maximum number of publications.
    pub limit: usize,
    /// The maximum number of bytes of all payloads. The first publication is returned whatever its size.
    pub bytes: usize,
    /// Newest first.
    pub reverse: bool,
}

/// The maximum payload bytes of a page of history on request.
pub(crate) const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// The recipient of an engine's accepted publications: the sessions of one hub.
#[derive(Clone)]
pub struct Delivery(DeliveryTarget);

#[derive(Clone)]
enum DeliveryTarget {
    Hub(Weak<Inner>),
    /// Keeps publications for tests.
    #[cfg(any(test, feature = "conformance"))]
    Record(Arc<Mutex<Vec<Publication>>>),
}

impl Delivery {
    pub(crate) fn new(hub: Weak<Inner>) -> Self {
        Self(DeliveryTarget::Hub(hub))
    }

    #[cfg(any(test, feature = "conformance"))]
    fn recorded(record: Arc<Mutex<Vec<Publication>>>) -> Self {
        Self(DeliveryTarget::Record(record))
    }

    fn hub(&self) -> Option<Arc<Inner>> {
        match &self.0 {
            DeliveryTarget::Hub(hub) => hub.upgrade(),
            #[cfg(any(test, feature = "conformance"))]
            DeliveryTarget::Record(_) => None,
        }
    }

    /// Queues a publication for every subscriber of its channel. Never waits.
    pub fn deliver(&self, publication: Publication) {
        #[cfg(any(test, feature = "conformance"))]
        if let DeliveryTarget::Record(record) = &self.0 {
            return record.lock().push(publication);
        }
        if let Some(hub) = self.hub() {
            let (channel, offset) = (publication.channel.clone(), publication.offset);
            let mut frame = SharedFrame::new(ServerFrame::Push(Push::Publication(publication)));
            hub.channels.publish(&channel, offset, &mut frame);
            hub.counters.publication();
        }
    }

    /// `true` if the channel has a subscriber.
    pub fn is_wanted(&self, channel: &ChannelName) -> bool {
        self.hub().is_some_and(|hub| hub.channels.subscribers(channel) > 0)
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Delivery")
    }
}

/// An answer of an engine, at once or later. The request is carried out even if nobody waits for the answer.
pub enum EngineFuture<T> {
    /// The answer is ready.
    Now(Result<T, EngineError>),
    /// The answer comes later.
    Later(Pin<Box<dyn Future<Output = Result<T, EngineError>> + Send>>),
}

impl<T: Unpin> Future for EngineFuture<T> {
    type Output = Result<T, EngineError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Now(result) => {
                Poll::Ready(std::mem::replace(result, Err(EngineError::new("the answer was taken already"))))
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

/// An engine failed. Clients receive [`INTERNAL`](wirehub_common::code::ErrorCode::INTERNAL); the details are logged.
#[derive(Debug)]
pub struct EngineError(Box<dyn StdError + Send + Sync>);

impl EngineError {
    /// An error with its cause.
    pub fn new(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self(source.into())
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the engine failed: {}", self.0)
    }
}

impl StdError for EngineError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.0)
    }
}
