//! The view of operators on a running hub: sessions, channels, alarms and figures.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use wirehub_common::ChannelName;
use wirehub_common::frame::{ErrorInfo, Member};

use super::sessions::Peer;
use super::{Hub, SessionId};
use crate::alarm::AlarmProgress;
use crate::counters::Counts;
use crate::engine::{Engine, NodeId};
use crate::namespace::Namespace;

pub use super::alarms::{RecipientPage, RecipientPlace};
pub use super::channel::{ChannelSummary, MemberPage};
pub use super::connections::Phase;

/// A connected session of any node: a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectedSession {
    /// The session's id.
    pub id: SessionId,
    /// The session as other members of its channels see it: user and info.
    pub member: Member,
    /// The client's IP address, taken from trusted proxies' headers if present; `None` if unknown.
    pub address: Option<IpAddr>,
    /// The time at which the WebSocket was opened, in milliseconds since 1970-01-01 UTC.
    pub opened: u64,
    /// The subprotocol, such as `wirehub.v1.protobuf`.
    pub subprotocol: Cow<'static, str>,
    /// The number of channels to which the session is subscribed.
    pub channels: u32,
    /// The bytes that wait to be sent.
    pub queue_bytes: usize,
    /// The node of the session; `None` if the hub is alone.
    pub node: Option<NodeId>,
}

impl ConnectedSession {
    pub(crate) fn of(peer: &Peer, node: Option<NodeId>) -> Self {
        Self {
            id: peer.id,
            member: peer.shown(),
            address: peer.address,
            opened: peer.since,
            subprotocol: peer.codec.subprotocol().into(),
            channels: peer.channels.load(Ordering::Relaxed),
            queue_bytes: peer.mailbox.bytes(),
            node,
        }
    }
}

impl Hub {
    /// Checks that sessions can subscribe to a channel: its name is not reserved, and the hub's contract has it.
    ///
    /// # Errors
    /// [`UNKNOWN_CHANNEL`](wirehub_common::code::ErrorCode::UNKNOWN_CHANNEL), with the reason in words.
    pub fn check_channel(&self, channel: &ChannelName) -> Result<(), ErrorInfo> {
        self.has_channel(channel)
    }

    /// The rules of a channel's namespace.
    pub fn namespace(&self, channel: &ChannelName) -> &Namespace {
        self.settings().namespaces.of(channel)
    }

    /// The rules of the channels whose namespace has none of its own.
    pub fn default_namespace(&self) -> &Namespace {
        self.settings().namespaces.default_namespace()
    }

    /// The engine, which has the history.
    pub fn engine(&self) -> &dyn Engine {
        &*self.settings().engine
    }

    /// A page of an alarm's recipients: the first `limit` behind `after`. Recipients that have not acknowledged the alarm come
    /// first. `None` if the alarm is unknown.
    pub fn alarm_recipients(
        &self,
        alarm: &str,
        after: Option<RecipientPlace>,
        limit: usize,
    ) -> Option<RecipientPage> {
        self.ledgers().recipient_page(alarm, after, limit)
    }

    /// The figures that the hub has counted since it was built.
    pub fn counts(&self) -> Counts {
        self.counters().counts(self.connections().traffic())
    }

    /// The hub's phase between start and stop.
    pub fn phase(&self) -> Phase {
        self.connections().phase()
    }

    /// The [`Builder::drain_delay`](crate::Builder::drain_delay) in force.
    pub fn drain_delay(&self) -> Duration {
        self.live().drain_delay
    }
}

impl fmt::Display for RecipientPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.progress.as_str(), self.number)
    }
}

impl FromStr for RecipientPlace {
    type Err = RecipientPlaceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (progress, number) = text.split_once('.')?;
            let progress = AlarmProgress::ALL.into_iter().find(|known| known.as_str() == progress)?;
            Some(Self { progress, number: number.parse().ok()? })
        };
        parse().ok_or(RecipientPlaceError)
    }
}

/// The text is not a [`RecipientPlace`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecipientPlaceError;

impl fmt::Display for RecipientPlaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the place is invalid: use the `next` of a page of recipients")
    }
}

impl std::error::Error for RecipientPlaceError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::namespace::{Access, Namespace};

    #[test]
    fn a_place_is_a_text_and_back() {
        for progress in AlarmProgress::ALL {
            let place = RecipientPlace { progress, number: 7 };
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        for text in ["", "waiting", "waiting.", "waiting.x", "asleep.7"] {
            assert_eq!(text.parse::<RecipientPlace>(), Err(RecipientPlaceError), "{text}");
        }
    }

    #[test]
    fn the_default_rules_can_be_read() {
        let rules = Namespace::closed().subscribe(Access::Users);
        let hub = Hub::builder().default_namespace(rules).build();
        assert_eq!(hub.default_namespace().subscribe, Access::Users);
    }
}
