//! Publishing, recovery and history.

use wirehub_common::frame::{HistoryPage, Idempotency, Member, Position};
use wirehub_common::{ChannelName, Payload};

use super::EngineFuture;
use crate::namespace::History;

/// Keeps the history of channels and the keys of publishes, and carries each publication to the hub's
/// [`Delivery`](super::Delivery).
///
/// # Promises
/// 1. **Order.** The publications of one channel are delivered in the order of their offsets, each once. The publishes of one
///    caller are accepted in the order of its calls of [`publish`](Self::publish), even if it waited for no answer: the order
///    is fixed before `publish` returns. An engine whose transport can drop, double or reorder deliveries may leave the repair
///    to the hub, which compares epochs and offsets; but in a channel without history the promise is its own.
/// 2. **Offsets** of a channel with history begin at 1 and have no gaps within an epoch. An epoch is never used again, and
///    never holds two messages with one offset. While a channel has subscribers its epoch changes only if its history is lost.
/// 3. **Atomicity.** Every delivered publication is in the history. A publish with a key that is remembered for its channel
///    stores and delivers nothing, and has the answer of the first one.
/// 4. **Recovery.** The answer of [`locate`](Self::locate) is true of one moment during the call. `locate` and each page of
///    [`history`](Self::history) contain the newest offset. Every publication behind that offset is delivered to all sessions
///    that were subscribed before the call.
/// 5. **Honesty.** If publications may be missing, recovery is not complete, and there is no page.
/// 6. **Failure.** A failed publish may have been stored, and may be delivered. A repeat with its key finds out.
pub trait Publications {
    /// The period for which keys are remembered, as clients receive it; `None` if keys are not remembered.
    fn idempotency(&self) -> Option<Idempotency>;

    /// Stores and delivers a message. The answer comes after the message has been handed to the delivery of this engine's own
    /// hub; an engine with [attachments](super::Attachments) may answer before. It is the message's position if its channel keeps history.
    fn publish(&self, publish: EnginePublish) -> EngineFuture<Option<Position>>;

    /// Finds the position at which a subscriber begins. The publications behind it are read by [`history`](Self::history), page
    /// by page.
    fn locate(&self, locate: Locate) -> EngineFuture<Located>;

    /// A page of a channel's history. [`HistoryPage::more`] is `true` if publications follow the page, for any reason. `None`
    /// if `since` belongs to another epoch, or if publications behind it are lost.
    fn history(&self, read: ReadHistory) -> EngineFuture<Option<HistoryPage>>;
}

/// The request of [`Publications::publish`].
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

/// The request of [`Publications::locate`].
#[derive(Debug, Clone)]
pub struct Locate {
    /// The channel.
    pub channel: ChannelName,
    /// The channel's history settings.
    pub history: History,
    /// The subscriber's last position; `None` for a new subscriber.
    pub since: Option<Position>,
}

/// The answer of [`Publications::locate`].
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

/// The request of [`Publications::history`].
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
