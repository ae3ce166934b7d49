//! Alarms as a stream.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use futures_util::StreamExt as _;
use wirehub_common::contract::{Channel, Message as _};
use wirehub_common::{ChannelName, Payload, PayloadError, frame};

use super::queue::Queue;

/// Something that has to be acknowledged: [`Client::acknowledge`](crate::Client::acknowledge). It comes once to a client,
/// however often the server sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Alarm {
    /// The alarm's name in its acknowledgement.
    pub id: String,
    /// Which channel's messages it is like.
    pub channel: ChannelName,
    /// The message; there is none where the alarm is over.
    pub payload: Payload,
    /// When it was raised: the time since the Unix epoch by the server's clock.
    pub time: Duration,
    /// How long it goes on.
    pub ttl: Duration,
    /// An alarm that came before is over, and was not acknowledged here: it was taken back or acknowledged elsewhere, its time has
    /// passed, or the server does not know it any more.
    pub withdrawn: bool,
}

impl Alarm {
    /// The message as that of a channel of a contract.
    ///
    /// # Errors
    /// It does not fit.
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
