//! Alarms as a stream.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use futures_util::StreamExt as _;
use wirehub_common::contract::{Channel, Message as _};
use wirehub_common::{ChannelName, Payload, PayloadError, frame};

use super::queue::Queue;

/// A message that has to be acknowledged: [`Client::acknowledge`](crate::Client::acknowledge). It comes once to a
/// client, however often the server sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Alarm {
    /// The alarm's id, for its acknowledgement.
    pub id: String,
    /// The channel whose message type the payload has.
    pub channel: ChannelName,
    /// The message; empty if the alarm has ended.
    pub payload: Payload,
    /// The time at which it was raised: the time since the Unix epoch by the server's clock.
    pub time: Duration,
    /// How long it lasts.
    pub ttl: Duration,
    /// Whether an earlier alarm has ended without an acknowledgement from this client: it was withdrawn or acknowledged
    /// elsewhere, it expired, or the server does not know it any more.
    pub withdrawn: bool,
}

impl Alarm {
    /// The message, read as a message of a channel of a contract.
    ///
    /// # Errors
    /// The payload does not fit the contract.
    pub fn message<C: Channel>(&self) -> Result<C::Message, PayloadError> {
        C::Message::from_payload(&self.payload)
    }
}

impl From<frame::Alarm> for Alarm {
    fn from(frame::Alarm { id, channel, payload, time, ttl, withdrawn }: frame::Alarm) -> Self {
        Self { id, channel, payload, time: Duration::from_millis(time), ttl, withdrawn }
    }
}

/// The alarms of a client. See [`Client::alarms`](crate::Client::alarms).
#[derive(Debug)]
#[must_use = "a stream does nothing before it is polled"]
pub struct Alarms(pub(super) Queue<frame::Alarm>);

impl Stream for Alarms {
    type Item = Alarm;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Alarm>> {
        self.0.poll_next_unpin(context).map(|alarm| alarm.map(Alarm::from))
    }
}
