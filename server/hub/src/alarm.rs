//! Alarms: messages that somebody has to acknowledge.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};
use wirehub_common::contract::{Channel, Message as _};
use wirehub_common::{ChannelName, Payload, PayloadError};

use crate::auth::{UserNameError, check_user};
use crate::hub::Inner;
use crate::hub::alarms::{AlarmAudience, AlarmRefusal};
use crate::{Hub, SessionId};

pub use crate::hub::inspect::{RecipientPage, RecipientPlace, RecipientPlaceError};

/// An alarm that is to be [raised](Hub::raise).
///
/// It goes to those whom it is for whatever they are subscribed to, overtakes what is queued for them, and goes to each
/// new session of theirs until they have acknowledged it or its time is over.
///
/// ```
/// # extern crate wirehub_hub as wirehub_server;
/// use std::time::Duration;
/// use wirehub_server::common::{ChannelName, Payload};
/// use wirehub_server::alarm::{Alarm, AlarmState};
/// use wirehub_server::Hub;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let hub = Hub::builder().build();
/// let fire = Alarm::raw(ChannelName::new("alarm:fire")?, Payload::json(r#"{"floor":3}"#))
///     .for_users(["ann", "bob"])
///     .ttl(Duration::from_secs(600));
/// let id = hub.raise(fire)?;
/// let report = hub.alarm(&id).ok_or("it is remembered")?;
/// assert_eq!((report.state, report.waiting), (AlarmState::Active, 2));
/// hub.withdraw(&id);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Alarm {
    channel: ChannelName,
    payload: Payload,
    audience: AlarmAudience,
    ttl: Duration,
}

impl Alarm {
    /// The longest that an alarm lasts: seven days.
    pub const MAX_TTL: Duration = Duration::from_secs(7 * 24 * 3600);

    /// A message of the contract, like those of a channel. For everybody, and for an hour.
    ///
    /// # Errors
    /// [`PayloadErrorKind::Encode`](wirehub_common::PayloadErrorKind::Encode): the message can't be written.
    pub fn new<C: Channel>(channel: &C, message: &C::Message) -> Result<Self, PayloadError> {
        Ok(Self::raw(channel.name().clone(), message.to_payload()?))
    }

    /// The same with a payload that is known at run time only.
    pub fn raw(channel: ChannelName, payload: Payload) -> Self {
        Self { channel, payload, audience: AlarmAudience::Everybody, ttl: Duration::from_secs(3600) }
    }

    /// For these users alone, 100,000 at most, also those who are not connected. Each counts once, however often it is named.
    #[must_use]
    pub fn for_users<U: Into<Arc<str>>>(self, users: impl IntoIterator<Item = U>) -> Self {
        let users = users.into_iter().map(Into::into);
        Self { audience: AlarmAudience::Users(users.collect()), ..self }
    }

    /// For how long it is sent to those who have not acknowledged it: up to [`Self::MAX_TTL`].
    #[must_use]
    pub fn ttl(self, ttl: Duration) -> Self {
        Self { ttl: ttl.min(Self::MAX_TTL), ..self }
    }
}

impl Hub {
    /// Raises an alarm. The id names it from now on. The newest 1,000 alarms are remembered, with up to 100,000 recipients
    /// each, as long as the process lives and they are within [so many bytes](crate::Builder::alarm_bytes); one that is over makes
    /// room for a new one. An hour after its end an alarm's recipients are let go, and how many they were is still known.
    ///
    /// # Errors
    /// [`AlarmError::TooMany`], [`AlarmError::TooManyRecipients`], [`AlarmError::NoRoom`], [`AlarmError::Payload`],
    /// [`AlarmError::Nobody`], [`AlarmError::User`].
    pub fn raise(&self, alarm: Alarm) -> Result<String, AlarmError> {
        let Alarm { channel, payload, audience, ttl } = alarm;
        if let AlarmAudience::Users(users) = &audience {
            if users.is_empty() {
                return Err(AlarmError::Nobody);
            }
            users.iter().try_for_each(|user| check_user(user)).map_err(AlarmError::User)?;
        }
        let payload = self.check_size(payload).map_err(AlarmError::Payload)?;
        self.settings().rules.check_server_publication(&channel, &payload).map_err(AlarmError::Payload)?;
        let (sessions, bound) = (self.session_registry(), self.live().alarm_bytes);
        let raised = self.ledgers().raise(sessions, (channel, payload), audience, ttl, bound);
        let id = raised.map_err(|refused| match refused {
            AlarmRefusal::TooMany => AlarmError::TooMany,
            AlarmRefusal::TooManyRecipients => AlarmError::TooManyRecipients,
            AlarmRefusal::NoRoom => AlarmError::NoRoom,
        })?;
        // Without a runtime whoever raises the next one lets go.
        if let Ok(runtime) = Handle::try_current()
            && self.ledgers().claim_cleanup()
        {
            runtime.spawn(forget_recipients(self.downgrade()));
        }
        Ok(id)
    }

    /// Takes an alarm back: those who show it are told. Says whether there was one that was not over.
    pub fn withdraw(&self, alarm: &str) -> bool {
        self.ledgers().withdraw(self.session_registry(), alarm)
    }

    /// The ledger of an alarm: who got it, who acknowledged it, who has not.
    pub fn alarm(&self, alarm: &str) -> Option<AlarmReport> {
        self.ledgers().report(alarm)
    }

    /// All alarms that are remembered, the newest first, without their recipients.
    pub fn alarms(&self) -> Vec<AlarmReport> {
        self.ledgers().reports()
    }
}

/// Lets go of the recipients of alarms that have been over for a while, as long as there are any.
async fn forget_recipients(hub: Weak<Inner>) {
    while let Some(next) = hub.upgrade().and_then(|inner| inner.alarms.forget_recipients(Instant::now())) {
        sleep_until(next).await;
    }
}

/// Why an alarm is not raised.
#[derive(Debug)]
#[non_exhaustive]
pub enum AlarmError {
    /// 1,000 alarms are active: withdraw one, or give them a shorter time.
    TooMany,
    /// It is for more than 100,000 users.
    TooManyRecipients,
    /// Those that are active take [all the memory that there is for them](crate::Builder::alarm_bytes).
    NoRoom,
    /// The payload can't be sent, or is not what the hub's contract has for the channel.
    Payload(PayloadError),
    /// It is for users, and none is named.
    Nobody,
    /// There can be no user of a name that it is for.
    User(UserNameError),
}

impl fmt::Display for AlarmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => {
                f.write_str("too many alarms are active: withdraw some, or give them a shorter time")
            }
            Self::TooManyRecipients => {
                f.write_str("an alarm is for 100,000 users at most: raise several, or one for everybody")
            }
            Self::NoRoom => f.write_str(
                "the active alarms use all of their memory: withdraw some, or raise `alarm_bytes`",
            ),
            Self::Payload(error) => fmt::Display::fmt(error, f),
            Self::Nobody => f.write_str("the alarm has no recipients: name at least one user"),
            Self::User(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl std::error::Error for AlarmError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::TooMany | Self::TooManyRecipients | Self::NoRoom | Self::Nobody => None,
            Self::Payload(error) => Some(error),
            Self::User(error) => Some(error),
        }
    }
}

/// What there is to know of an alarm. See [`Hub::alarm`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AlarmReport {
    /// The alarm's name.
    pub id: String,
    /// Which channel's messages it is like.
    pub channel: ChannelName,
    /// The message.
    pub payload: Payload,
    /// When it was raised.
    pub raised: SystemTime,
    /// How long it lasts.
    pub ttl: Duration,
    /// Whether it goes on.
    pub state: AlarmState,
    /// How many have not been connected since; of an alarm for everybody none is known.
    pub waiting: usize,
    /// How many it was sent to that have not confirmed that.
    pub sent: usize,
    /// How many have got it, and not acknowledged it.
    pub received: usize,
    /// How many have acknowledged it.
    pub acknowledged: usize,
    /// How many of these are not among the recipients any more: anonymous sessions that have acknowledged it and are gone, and
    /// all from an hour after its end on.
    pub departed: usize,
    /// How many times it was sent to others than those that the ledger has room for, 100,000 at most.
    pub unlisted: usize,
    /// Those that are listed.
    pub recipients: Vec<AlarmRecipient>,
}

/// How far an alarm has got with one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AlarmRecipient {
    /// The user; empty for an anonymous session.
    pub user: Arc<str>,
    /// The last session, where it is anonymous.
    pub session: Option<SessionId>,
    /// How far.
    pub progress: AlarmProgress,
    /// Since when.
    pub since: SystemTime,
}

/// The progress of an alarm at a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum AlarmProgress {
    /// The user has not been connected since it was raised.
    Waiting,
    /// It is on its way.
    Sent,
    /// A client has it.
    Received,
    /// Somebody has acknowledged it.
    Acknowledged,
}

impl AlarmProgress {
    /// Every progress, the least first.
    pub const ALL: [Self; 4] = [Self::Waiting, Self::Sent, Self::Received, Self::Acknowledged];

    /// The name: `waiting`, `sent`, `received` or `acknowledged`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sent => "sent",
            Self::Received => "received",
            Self::Acknowledged => "acknowledged",
        }
    }
}

/// The state of an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AlarmState {
    /// It is sent to all who have not acknowledged it.
    Active,
    /// Its time is over.
    Expired,
    /// It was taken back.
    Withdrawn,
}

impl AlarmState {
    /// The name: `active`, `expired` or `withdrawn`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
        }
    }
}
