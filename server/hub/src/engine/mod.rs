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
/// [`MemoryEngine`] is the default. Another one is handed to [`Builder::engine`](crate::Builder::engine); it has to keep
/// these promises, which the suite in the feature `conformance` checks for any engine:
///
/// 1. **Order.** Of one channel the publications are delivered in the order of their offsets, each once. Those of one
///    caller are accepted in the order in which it called [`publish`](Self::publish), whether or not it waited for the
///    answers: everything that decides on the order happens before `publish` returns.
/// 2. **Offsets** of a channel that keeps history begin at 1 and have no gaps within an epoch. An epoch is never used
///    again. While a channel has subscribers its epoch changes only if its history is lost.
/// 3. **Atomicity.** A publication that is delivered is in the history. A publish with a key that is remembered for its
///    channel stores and delivers nothing, and has the first one's answer.
/// 4. **Recovery.** What [`locate`](Self::locate) tells is true of one moment during the call. What is behind the newest
///    offset that it or a page of [`history`](Self::history) tells is delivered to all who were subscribed before the call.
/// 5. **Honesty.** Where publications may be missing, recovery is not complete, and there is no page.
///
/// Methods are called from sessions' tasks and must not block. They may deliver before they return. Dropping an answer
/// does not take back what was asked. A panic is told in the log, and is an answer that failed.
pub trait Engine: fmt::Debug + Send + Sync + 'static {
    /// Begins; called once, before all else.
    fn start(&self, delivery: Delivery);

    /// Whether it can do its work at the moment. Where it can't, `/ready` tells so to whoever sends clients here.
    ///
    /// # Errors
    /// Says why not.
    fn ready(&self) -> Result<(), EngineError> {
        Ok(())
    }

    /// For how long keys are remembered, as clients are told; nothing where they are not.
    fn idempotency(&self) -> Option<Idempotency>;

    /// Stores and delivers a message. The answer is its position where its channel keeps history, and means that it has
    /// been handed to the delivery of this engine's own hub.
    fn publish(&self, publish: EnginePublish) -> EngineFuture<Option<Position>>;

    /// Where a subscriber begins to receive. What it missed is read by [`history`](Self::history) from there, page by page.
    fn locate(&self, locate: Locate) -> EngineFuture<Located>;

    /// A page of a channel's history, which says whether there are [more](HistoryPage::more) publications behind it, whatever cut it;
    /// nothing where `since` is of another epoch, or what follows it is gone.
    fn history(&self, read: ReadHistory) -> EngineFuture<Option<HistoryPage>>;
}

/// What [`Engine::publish`] is asked for.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EnginePublish {
    /// The channel.
    pub channel: ChannelName,
    /// The message.
    pub payload: Payload,
    /// The session it comes from; absent where the server itself publishes.
    pub publisher: Option<Member>,
    /// The idempotency key; empty for none.
    pub key: String,
    /// What the channel keeps; nothing for a channel without history.
    pub history: Option<History>,
}

impl EnginePublish {
    /// A message of the server itself, without a key, in a channel without history.
    pub fn new(channel: ChannelName, payload: Payload) -> Self {
        Self { channel, payload, publisher: None, key: String::new(), history: None }
    }
}

/// What [`Engine::locate`] is asked for.
#[derive(Debug, Clone)]
pub struct Locate {
    /// The channel.
    pub channel: ChannelName,
    /// What the channel keeps.
    pub history: History,
    /// Where the subscriber is; nothing where it has not been there.
    pub since: Option<Position>,
}

/// What [`Engine::locate`] answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// Where the subscriber goes on: at `since` where everything behind that is kept, before the oldest that is kept where
    /// not, and at the newest where it has not been there.
    pub position: Position,
    /// The channel's newest offset.
    pub newest: u64,
    /// Whether it goes on at `since`, and nothing is missing.
    pub complete: bool,
}

impl Located {
    /// How many publications there are between the position and the newest.
    pub fn missed(&self) -> u64 {
        self.newest.saturating_sub(self.position.offset)
    }
}

/// What [`Engine::history`] is asked for.
#[derive(Debug, Clone)]
pub struct ReadHistory {
    /// The channel.
    pub channel: ChannelName,
    /// What the channel keeps.
    pub history: History,
    /// Read what comes after it (reversed: before it).
    pub since: Option<Position>,
    /// At most so many publications.
    pub limit: usize,
    /// At most so many bytes of payload; the first one is given whatever its size.
    pub bytes: usize,
    /// Newest first.
    pub reverse: bool,
}

/// How many bytes of payload a page of history has at most that somebody asked for.
pub(crate) const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Where an engine hands accepted publications to: the sessions of one hub.
#[derive(Clone)]
pub struct Delivery(DeliveryTarget);

#[derive(Clone)]
enum DeliveryTarget {
    Hub(Weak<Inner>),
    /// Keeps them, to be looked at.
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

    /// Whether anybody is subscribed to the channel.
    pub fn is_wanted(&self, channel: &ChannelName) -> bool {
        self.hub().is_some_and(|hub| hub.channels.subscribers(channel) > 0)
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Delivery")
    }
}

/// An answer that is there at once, or comes later. What was asked for happens whether or not anybody waits.
pub enum EngineFuture<T> {
    /// It is there.
    Now(Result<T, EngineError>),
    /// It comes.
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

/// An engine failed. Clients are told [`INTERNAL`](wirehub_common::code::ErrorCode::INTERNAL), the log the rest.
#[derive(Debug)]
pub struct EngineError(Box<dyn StdError + Send + Sync>);

impl EngineError {
    /// What went wrong.
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
