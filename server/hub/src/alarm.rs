//! Alarms: messages that require an acknowledgement.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};
use wirehub_common::contract::{Channel, Message as _};
use wirehub_common::{ChannelName, Payload, PayloadError};

use crate::auth::{UserNameError, check_user};
use crate::engine::{EngineError, Record, RecordKind};
use crate::hub::Inner;
use crate::hub::alarms::{AlarmAudience, AlarmRefusal};
use crate::hub::restoring::carry_out;
use crate::{Hub, SessionId};

pub use crate::hub::inspect::{RecipientPage, RecipientPlace, RecipientPlaceError};

/// An alarm that is to be [raised](Hub::raise).
///
/// It goes to its recipients regardless of their subscriptions, and overtakes their queued messages. Each new session of a
/// recipient receives it too, until the recipient has acknowledged it or the alarm ends.
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
/// let id = hub.raise(fire).await?;
/// let report = hub.alarm(&id).ok_or("it is remembered")?;
/// assert_eq!((report.state, report.waiting), (AlarmState::Active, 2));
/// hub.withdraw(&id).await?;
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
    /// The maximum duration of an alarm: seven days.
    pub const MAX_TTL: Duration = Duration::from_secs(7 * 24 * 3600);

    /// An alarm with a message of the contract, as in a channel. By default it is for everybody and lasts an hour.
    ///
    /// # Errors
    /// [`PayloadErrorKind::Encode`](wirehub_common::PayloadErrorKind::Encode): the message can't be written.
    pub fn new<C: Channel>(channel: &C, message: &C::Message) -> Result<Self, PayloadError> {
        Ok(Self::raw(channel.name().clone(), message.to_payload()?))
    }

    /// The same with a payload that is known only at run time.
    pub fn raw(channel: ChannelName, payload: Payload) -> Self {
        Self { channel, payload, audience: AlarmAudience::Everybody, ttl: Duration::from_secs(3600) }
    }

    /// Restricts the alarm to these users, 100,000 at most, connected or not. Repeated names count once.
    #[must_use]
    pub fn for_users<U: Into<Arc<str>>>(self, users: impl IntoIterator<Item = U>) -> Self {
        let users = users.into_iter().map(Into::into);
        Self { audience: AlarmAudience::Users(users.collect()), ..self }
    }

    /// The time during which it is sent to recipients without an acknowledgement: up to [`Self::MAX_TTL`].
    #[must_use]
    pub fn ttl(self, ttl: Duration) -> Self {
        Self { ttl: ttl.min(Self::MAX_TTL), ..self }
    }
}

impl Hub {
    /// Raises an alarm, and returns its id.
    ///
    /// The newest 1,000 alarms are remembered, with up to 100,000 recipients each, as long as they fit into
    /// [`Builder::alarm_bytes`](crate::Builder::alarm_bytes). An ended alarm makes room for a new one. An hour after its end an
    /// alarm's recipients are forgotten; their numbers are still known.
    ///
    /// If the engine has [`Records`](crate::engine::Records), the alarm and its acknowledgements outlive the process: the alarm
    /// is sent when it is stored, and then the id is returned. With another engine the future is ready at once, and the alarm is
    /// lost with the process. The alarm is raised even if the future is dropped after its first poll.
    ///
    /// # Errors
    /// [`AlarmError::TooMany`], [`AlarmError::TooManyRecipients`], [`AlarmError::NoRoom`], [`AlarmError::Payload`],
    /// [`AlarmError::Nobody`], [`AlarmError::User`]. [`AlarmError::Engine`]: the alarm was not stored, and is not sent.
    pub async fn raise(&self, alarm: Alarm) -> Result<String, AlarmError> {
        let Alarm { channel, payload, audience, ttl } = alarm;
        if let AlarmAudience::Users(users) = &audience {
            if users.is_empty() {
                return Err(AlarmError::Nobody);
            }
            users.iter().try_for_each(|user| check_user(user)).map_err(AlarmError::User)?;
        }
        let payload = self.check_size(payload).map_err(AlarmError::Payload)?;
        self.settings().rules.check_server_publication(&channel, &payload).map_err(AlarmError::Payload)?;
        if !self.is_restored() {
            // The restored alarms are older.
            self.restored().await.map_err(AlarmError::Engine)?;
        }
        let prepared = self.ledgers().prepare(
            self.engine().records(),
            (channel, payload),
            audience,
            ttl,
            self.live().alarm_bytes,
        );
        self.remove_records(RecordKind::Alarm, self.ledgers().take_obsolete());
        let new = prepared.map_err(|refused| match refused {
            AlarmRefusal::TooMany => AlarmError::TooMany,
            AlarmRefusal::TooManyRecipients => AlarmError::TooManyRecipients,
            AlarmRefusal::NoRoom => AlarmError::NoRoom,
        })?;
        let hub = self.clone();
        let raised = async move {
            let mut new = new;
            if let Some(store) = hub.engine().records()
                && let Err(error) = new.store(store).await
            {
                // The store may contain it after a failure.
                let mut keys = new.record_keys();
                keys.insert(0, new.id.clone().into());
                hub.remove_records(RecordKind::Alarm, keys);
                return Err(error);
            }
            let id = hub.ledgers().send_new(hub.session_registry(), new);
            hub.schedule_alarm_cleanup();
            Ok(id)
        };
        carry_out(raised).await.map_err(AlarmError::Engine)
    }

    /// Withdraws an alarm; clients that show it are notified. Returns `true` if it was active. If the engine has
    /// [`Records`](crate::engine::Records), the end is stored first. The alarm is withdrawn even if the future is dropped after
    /// its first poll.
    ///
    /// # Errors
    /// The engine failed to store the end. The alarm goes on.
    pub async fn withdraw(&self, alarm: &str) -> Result<bool, EngineError> {
        if !self.is_restored() {
            self.restored().await?;
        }
        let Some(stored) = self.ledgers().withdraw(self.engine().records(), alarm) else { return Ok(false) };
        let (hub, alarm) = (self.clone(), alarm.to_owned());
        carry_out(async move {
            if let Err(error) = stored.await {
                if let Some(store) = hub.engine().records() {
                    hub.ledgers().not_withdrawn(store, &alarm);
                }
                return Err(error);
            }
            Ok(hub.ledgers().withdrawn(hub.session_registry(), &alarm))
        })
        .await
    }

    /// Restores the alarms of an earlier process. Returns the number of damaged records.
    pub(crate) fn restore_alarms(&self, records: Vec<Record>, wall: SystemTime) -> usize {
        let bound = self.live().alarm_bytes;
        let damaged = self.ledgers().restore(self.around_alarms(), records, wall, bound);
        self.remove_records(RecordKind::Alarm, self.ledgers().take_obsolete());
        if !self.ledgers().are_none() {
            self.schedule_alarm_cleanup();
        }
        damaged
    }

    /// Without a runtime, the next call of [`Self::raise`] forgets the recipients.
    pub(crate) fn schedule_alarm_cleanup(&self) {
        if let Ok(runtime) = Handle::try_current()
            && self.ledgers().claim_cleanup()
        {
            runtime.spawn(forget_recipients(self.downgrade()));
        }
    }

    /// The report on an alarm: the progress of each recipient.
    pub fn alarm(&self, alarm: &str) -> Option<AlarmReport> {
        self.ledgers().report(alarm)
    }

    /// All remembered alarms, the newest first, without their recipients.
    pub fn alarms(&self) -> Vec<AlarmReport> {
        self.ledgers().reports()
    }
}

/// Forgets the recipients of alarms that ended a while ago, as long as there are any.
async fn forget_recipients(hub: Weak<Inner>) {
    while let Some(next) = Hub::upgrade(&hub).and_then(|hub| {
        let next = hub.ledgers().forget_recipients(hub.engine().records(), Instant::now());
        hub.remove_records(RecordKind::Alarm, hub.ledgers().take_obsolete());
        next
    }) {
        sleep_until(next).await;
    }
}

/// The reason why an alarm is not raised.
#[derive(Debug)]
#[non_exhaustive]
pub enum AlarmError {
    /// 1,000 alarms are active: withdraw one, or use shorter times.
    TooMany,
    /// It has more than 100,000 users.
    TooManyRecipients,
    /// The active alarms use all of their [memory](crate::Builder::alarm_bytes).
    NoRoom,
    /// The payload can't be sent, or does not match the channel in the hub's contract.
    Payload(PayloadError),
    /// The list of its users is empty.
    Nobody,
    /// No user can have one of these names.
    User(UserNameError),
    /// The engine failed to store it.
    Engine(EngineError),
}

impl fmt::Display for AlarmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => f.write_str("too many alarms are active: withdraw some, or shorten their `ttl`"),
            Self::TooManyRecipients => {
                f.write_str("an alarm is for 100,000 users at most: raise several, or one for everybody")
            }
            Self::NoRoom => f.write_str(
                "the active alarms use all of their memory: withdraw some, or raise `alarm_bytes`",
            ),
            Self::Payload(error) => fmt::Display::fmt(error, f),
            Self::Nobody => f.write_str("the alarm has no recipients: name at least one user"),
            Self::User(error) => fmt::Display::fmt(error, f),
            Self::Engine(error) => write!(f, "the alarm is not stored: {error}"),
        }
    }
}

impl std::error::Error for AlarmError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::TooMany | Self::TooManyRecipients | Self::NoRoom | Self::Nobody => None,
            Self::Payload(error) => Some(error),
            Self::User(error) => Some(error),
            Self::Engine(error) => Some(error),
        }
    }
}

/// The report on an alarm. See [`Hub::alarm`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AlarmReport {
    /// The alarm's id.
    pub id: String,
    /// The channel whose message type the payload has.
    pub channel: ChannelName,
    /// The message.
    pub payload: Payload,
    /// The time at which it was raised.
    pub raised: SystemTime,
    /// Its duration.
    pub ttl: Duration,
    /// Its state.
    pub state: AlarmState,
    /// The number of users that have not been connected since. For an alarm for everybody this is unknown, and 0.
    pub waiting: usize,
    /// The number of recipients to which it was sent, without a confirmation.
    pub sent: usize,
    /// The number of recipients that received it, without an acknowledgement.
    pub received: usize,
    /// The number of recipients that acknowledged it.
    pub acknowledged: usize,
    /// The number of those that are not listed any more: anonymous sessions that acknowledged it and are gone. An hour after
    /// the alarm's end it includes every recipient.
    pub departed: usize,
    /// How often it was sent to recipients without room in the ledger, which lists 100,000 at most.
    pub unlisted: usize,
    /// The listed recipients.
    pub recipients: Vec<AlarmRecipient>,
}

/// The progress of an alarm at one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AlarmRecipient {
    /// The user; empty for an anonymous session.
    pub user: Arc<str>,
    /// The last session, if the recipient is anonymous.
    pub session: Option<SessionId>,
    /// The progress.
    pub progress: AlarmProgress,
    /// The time of the last progress.
    pub since: SystemTime,
}

/// The progress of an alarm at a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum AlarmProgress {
    /// The user has not been connected since the alarm was raised.
    Waiting,
    /// The alarm was sent.
    Sent,
    /// A client has received it.
    Received,
    /// The user has acknowledged it.
    Acknowledged,
}

impl AlarmProgress {
    /// Every progress, the least first.
    pub const ALL: [Self; 4] = [Self::Waiting, Self::Sent, Self::Received, Self::Acknowledged];

    /// The number in records and in messages between nodes.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Waiting => 0,
            Self::Sent => 1,
            Self::Received => 2,
            Self::Acknowledged => 3,
        }
    }

    pub(crate) fn of_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|progress| progress.number() == number)
    }

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
    /// It is sent to every recipient without an acknowledgement.
    Active,
    /// Its time is over.
    Expired,
    /// It was withdrawn.
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
