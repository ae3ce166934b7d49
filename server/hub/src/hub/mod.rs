//! The hub: who is connected, who is subscribed to what, and how a publication gets to them.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use wirehub_common::code::{CloseCode, ErrorCode};
use wirehub_common::contract::{Channel, ContractHash, Message as _};
use wirehub_common::frame::{ErrorInfo, HistoryPage, Member, Position, Publication, Push, ServerFrame};
use wirehub_common::{ChannelName, Payload, PayloadError, PayloadErrorKind};

use self::addresses::Addresses;
use self::alarms::Alarms;
use self::call_memory::CallMemory;
use self::channels::Channels;
use self::connections::{Connections, Phase};
use self::live::{Current, LiveSettings};
pub use self::payers::Payer;
use self::payers::Payers;
use self::rules::Rules;
use self::sessions::Sessions;
use self::shared_frame::SharedFrame;
use crate::auth::{UserNameError, check_user};
use crate::call::Handler;
use crate::counters::Counters;
use crate::engine::{Delivery, Engine, EngineError, EngineFuture, EnginePublish, PAGE_BYTES, ReadHistory};
use crate::namespace::Namespaces;
use crate::observe::Observers;
use crate::session::mailbox::{Ending, Order};
use crate::unix_time;

pub(crate) mod addresses;
pub(crate) mod alarms;
mod builder;
pub(crate) mod call_memory;
pub(crate) mod channel;
pub(crate) mod channels;
pub(crate) mod connections;
pub(crate) mod inspect;
pub(crate) mod live;
mod members;
pub(crate) mod payers;
mod rules;
pub(crate) mod segment;
mod session_id;
pub(crate) mod sessions;
pub(crate) mod sharded;
pub(crate) mod shared_frame;

pub use self::builder::{BuildError, Builder};
pub use self::session_id::{SessionId, SessionIdError};

/// The server's registry of sessions and channels. A handle: clones are the same hub.
///
/// `wirehub_server::router` makes it reachable; the application itself publishes by [`Hub::publish`].
#[derive(Clone)]
pub struct Hub {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    settings: Settings,
    live: Current,
    pub(crate) channels: Channels,
    sessions: Sessions,
    connections: Connections,
    addresses: Addresses,
    payers: Payers,
    pub(crate) alarms: Alarms,
    call_memory: Arc<CallMemory>,
    pub(crate) counters: Counters,
}

/// How many are in a channel. See [`Hub::presence_counts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PresenceCounts {
    /// Sessions.
    pub sessions: usize,
    /// The users that they belong to; each anonymous session counts as one.
    pub users: usize,
}

/// What a [`Builder`] decides.
pub(crate) struct Settings {
    pub(crate) rules: Rules,
    /// With the hash that each has as an item of a contract.
    pub(crate) calls: HashMap<&'static str, (ContractHash, Handler)>,
    pub(crate) observers: Observers,
    pub(crate) namespaces: Namespaces,
    pub(crate) engine: Box<dyn Engine>,
    /// What handlers and hooks share, by its type.
    pub(crate) state: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
}

impl Hub {
    /// The channel that [`Hub::broadcast`] publishes in. Clients can't publish there.
    pub const BROADCAST: &'static str = "@all";

    /// Begins a hub. `Hub::builder().build()` is one without a contract, whose channels are closed to clients without a right:
    /// see [`Builder::default_namespace`].
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn new(settings: Settings, live: LiveSettings) -> Self {
        let counters = Counters::new();
        let inner = Inner {
            settings,
            live: Current::new(live),
            channels: Channels::new(counters.deliveries()),
            sessions: Sessions::new(),
            connections: Connections::new(),
            addresses: Addresses::new(),
            payers: Payers::new(),
            alarms: Alarms::new(),
            call_memory: Arc::new(CallMemory::new()),
            counters,
        };
        let hub = Self { inner: Arc::new(inner) };
        hub.engine().start(Delivery::new(Arc::downgrade(&hub.inner)));
        hub
    }

    /// Publishes a message of the contract to everybody who is subscribed to the channel. Never waits: with the
    /// [`MemoryEngine`](crate::engine::MemoryEngine) the message is in all queues when this returns, with another one it is on
    /// its way. The answer, which need not be waited for, is the position in a channel that keeps history.
    ///
    /// # Errors
    /// [`PayloadErrorKind::Encode`]: the message can't be written. [`PayloadErrorKind::TooLarge`]: it is larger than
    /// [what a session's queue holds](Builder::queue_bytes). [`PayloadErrorKind::Channel`]: the hub's contract has no such
    /// channel. [`PayloadErrorKind::Content`], [`PayloadErrorKind::Decode`]: there the channel has another type, or the
    /// message is one that can't be read back.
    pub fn publish<C: Channel>(
        &self,
        channel: &C,
        message: &C::Message,
    ) -> Result<EngineFuture<Option<Position>>, PayloadError> {
        let payload = self.checked(channel.name(), message.to_payload()?)?;
        Ok(self.accept(EnginePublish::new(channel.name().clone(), payload)))
    }

    /// Like [`Hub::publish`], for a channel and a payload that are known at run time only.
    ///
    /// # Errors
    /// As there. [`PayloadErrorKind::Encode`]: the payload is tagged as JSON and is not one JSON text.
    /// [`PayloadErrorKind::Channel`]: also where nobody can be subscribed to the channel, as to [`Self::BROADCAST`].
    pub fn publish_raw(
        &self,
        channel: &ChannelName,
        payload: Payload,
    ) -> Result<EngineFuture<Option<Position>>, PayloadError> {
        self.publish_once(channel, payload, "")
    }

    /// Like [`Hub::publish_raw`], and a repeat with the same key publishes nothing and has the first one's answer, for as
    /// long as the engine remembers keys: two minutes with the [`MemoryEngine`](crate::engine::MemoryEngine). An empty key is
    /// none.
    ///
    /// # Errors
    /// As there.
    pub fn publish_once(
        &self,
        channel: &ChannelName,
        payload: Payload,
        key: &str,
    ) -> Result<EngineFuture<Option<Position>>, PayloadError> {
        let payload = self.checked(channel, payload)?;
        let key = key_of(SERVER, key.into());
        Ok(self.accept(EnginePublish { key, ..EnginePublish::new(channel.clone(), payload) }))
    }

    /// Publishes a message to all sessions of one user that are subscribed to the user's own channel, `@` and the name.
    /// It is kept for ten minutes, with 99 others of the user, for those who come back: [`Builder::namespace`] with `@` says
    /// otherwise.
    ///
    /// # Errors
    /// As for [`Self::publish_raw`]. [`PayloadErrorKind::Channel`]: there can be no [user](crate::auth::Authenticated::user) of this name,
    /// it makes no channel, or the hub's contract has no channel `@{user}`.
    pub fn send_to_user(
        &self,
        user: &str,
        payload: Payload,
    ) -> Result<EngineFuture<Option<Position>>, PayloadError> {
        let none = PayloadErrorKind::Channel;
        check_user(user).map_err(|error| PayloadError::new(none, Some(error.into())))?;
        let channel = ChannelName::new(&format!("@{user}"))
            .map_err(|error| PayloadError::new(none, Some(error.into())))?;
        self.publish_raw(&channel, payload)
    }

    /// Reads up to `limit` publications of a channel's history: those after `since`, or (reversed) before it, or from the
    /// beginning, or (reversed) the end, as far as their payloads are within 4 MiB. Whether there are
    /// [more](HistoryPage::more) it says. Nothing where the channel keeps no history, or what follows `since` is gone.
    ///
    /// # Errors
    /// The engine failed.
    pub async fn history(
        &self,
        channel: &ChannelName,
        since: Option<Position>,
        limit: usize,
        reverse: bool,
    ) -> Result<Option<HistoryPage>, EngineError> {
        let Some(history) = self.settings().namespaces.of(channel).history else { return Ok(None) };
        let channel = channel.clone();
        let bytes = PAGE_BYTES;
        self.engine().history(ReadHistory { channel, history, since, limit, bytes, reverse }).await
    }

    /// Sends a message to every connected session, whatever it is subscribed to, as a publication in the channel
    /// [`Hub::BROADCAST`].
    ///
    /// # Errors
    /// [`PayloadErrorKind::Encode`]: the payload is tagged as JSON and is not one JSON text.
    /// [`PayloadErrorKind::TooLarge`]: as for [`Self::publish_raw`].
    pub fn broadcast(&self, payload: Payload) -> Result<(), PayloadError> {
        let payload = self.check_size(well_formed(payload)?)?;
        if let Ok(channel) = ChannelName::new(Self::BROADCAST) {
            self.inner.sessions.broadcast(&mut publication(&channel, payload));
        }
        Ok(())
    }

    /// How many sessions are subscribed to a channel.
    pub fn subscribers(&self, channel: &ChannelName) -> usize {
        self.inner.channels.subscribers(channel)
    }

    /// The sessions that are subscribed to a channel, all of them, in the order of their ids: a snapshot. Where [others are told who comes and
    /// goes](Namespace::join_leave) a user whose grace has not passed is still among them.
    pub fn presence(&self, channel: &ChannelName) -> Vec<Member> {
        self.inner.channels.members(channel, None, usize::MAX).members
    }

    /// How many sessions [are](Self::presence) in a channel, and how many users they belong to.
    pub fn presence_counts(&self, channel: &ChannelName) -> PresenceCounts {
        let (sessions, users) = self.inner.channels.counts(channel);
        PresenceCounts { sessions, users }
    }

    /// The channels that somebody is subscribed to, with how many they are, in no order: a snapshot.
    pub fn channels(&self) -> Vec<(ChannelName, usize)> {
        self.inner.channels.all()
    }

    /// How many sessions are connected.
    pub fn sessions(&self) -> usize {
        self.inner.sessions.count()
    }

    /// The connected sessions, in no order: a snapshot.
    pub fn session_members(&self) -> Vec<Member> {
        self.inner.sessions.members()
    }

    /// Subscribes a session to a channel, whatever its rights are, also by the tokens that it shows later: it hears of it by a
    /// `subscribed` push. Says whether there is such a session, and such a channel: the hub's contract has one, and its name is
    /// not reserved. Nothing happens where it is subscribed already, or has as many channels as there may be.
    pub fn subscribe(&self, session: SessionId, channel: &ChannelName) -> bool {
        self.has_channel(channel).is_ok() && self.order(session, Order::Subscribe(channel.clone()))
    }

    /// Ends a session's subscription: it hears of it, and why, by an `unsubscribed` push behind the last publication. Says
    /// whether there is such a session; nothing happens where it is not subscribed. A client may subscribe again if it
    /// has the right.
    ///
    /// ```
    /// # extern crate wirehub_hub as wirehub_server;
    /// use wirehub_server::common::code::ErrorCode;
    /// use wirehub_server::common::{ChannelName, frame::ErrorInfo};
    /// use wirehub_server::{Hub, SessionId};
    ///
    /// fn throw_out(hub: &Hub, session: SessionId, room: &ChannelName) -> bool {
    ///     hub.unsubscribe(session, room, ErrorInfo::from_code(ErrorCode::PERMISSION_DENIED))
    /// }
    /// ```
    pub fn unsubscribe(&self, session: SessionId, channel: &ChannelName, error: ErrorInfo) -> bool {
        self.order(session, Order::Unsubscribe(channel.clone(), error))
    }

    /// [Ends](Self::unsubscribe) the subscription of every session of a user. Says how many sessions the user has.
    ///
    /// # Errors
    /// There can be no user of this name; least of all one without a name: that would be every anonymous session.
    pub fn unsubscribe_user(
        &self,
        user: &str,
        channel: &ChannelName,
        error: &ErrorInfo,
    ) -> Result<usize, UserNameError> {
        check_user(user)?;
        let peers = self.inner.sessions.of_user(user);
        for peer in &peers {
            peer.mailbox.order(Order::Unsubscribe(channel.clone(), error.clone()));
        }
        Ok(peers.len())
    }

    /// [Ends](Self::disconnect) every session of a user. Says how many there were.
    ///
    /// # Errors
    /// As for [`Self::unsubscribe_user`].
    pub fn disconnect_user(
        &self,
        user: &str,
        code: CloseCode,
        reason: impl Into<String>,
    ) -> Result<usize, UserNameError> {
        check_user(user)?;
        let peers = self.inner.sessions.of_user(user);
        let reason: String = reason.into();
        for peer in &peers {
            peer.mailbox.end(Ending {
                code,
                reason: reason.clone().into(),
                disconnect_push: Some(None),
                lets_calls_end: false,
            });
        }
        Ok(peers.len())
    }

    fn order(&self, session: SessionId, order: Order) -> bool {
        let Some(peer) = self.inner.sessions.find(session) else { return false };
        peer.mailbox.order(order);
        true
    }

    /// Ends a session: what is queued goes out, then a `disconnect` push, then a close with this code. Says whether
    /// there was such a session. The range of the code says whether the client comes back: see [`CloseCode`].
    pub fn disconnect(&self, session: SessionId, code: CloseCode, reason: impl Into<String>) -> bool {
        let Some(peer) = self.inner.sessions.find(session) else { return false };
        peer.mailbox.end(Ending {
            code,
            reason: reason.into().into(),
            disconnect_push: Some(None),
            lets_calls_end: false,
        });
        true
    }

    /// Stops: takes no new connections, and goes on otherwise for the [`Builder::drain_delay`]. Then sends each session the
    /// moment at which it should come back, spread over
    /// [`Limits::reconnect_window`](wirehub_common::Limits::reconnect_window), and closes it when its queue is flushed. What
    /// is still open when `deadline` has passed, counted from the end of the delay, is dropped. The hub can't be started
    /// again. A server is to listen until this has ended: it answers handshakes and `/ready` with the HTTP status 503.
    pub async fn shutdown(&self, deadline: Duration) {
        let Inner { live, sessions, connections, settings, .. } = &*self.inner;
        let delay = live.get().drain_delay;
        if !delay.is_zero() {
            connections.set_phase(Phase::Draining);
            // Another stop may have begun before.
            let _ = tokio::time::timeout(delay, connections.reached(Phase::Stopping)).await;
        }
        let begun = tokio::time::Instant::now();
        connections.set_phase(Phase::Stopping);
        let peers = sessions.all();
        let window = live.get().limits.reconnect_window.as_millis();
        for (index, peer) in (0_u128..).zip(&peers) {
            let share = window.saturating_mul(index).checked_div(peers.len() as u128).unwrap_or_default();
            peer.mailbox.end(shutdown_ending(u32::try_from(share).unwrap_or(u32::MAX)));
        }
        drop(peers);
        // Calls that go on for longer are stopped a little before, so that their clients can be told.
        let for_calls = deadline.saturating_sub(deadline.checked_div(10).unwrap_or_default());
        if tokio::time::timeout(for_calls, connections.all_closed()).await.is_err() {
            for peer in sessions.all() {
                peer.mailbox.end(Ending { lets_calls_end: false, ..shutdown_ending(0) });
            }
        }
        let left = deadline.saturating_sub(begun.elapsed());
        if tokio::time::timeout(left, connections.all_closed()).await.is_err() {
            connections.set_phase(Phase::Stopped);
            connections.all_closed().await;
        }
        let left = deadline.saturating_sub(begun.elapsed());
        if tokio::time::timeout(left, settings.observers.finish()).await.is_err() {
            tracing::warn!("the deadline has passed: the observers have not finished");
        }
    }

    /// Changes settings while the hub runs. `change` begins with the settings in force; a setting that it does not touch stays.
    /// Updates are made one at a time. `change` must not call this method.
    ///
    /// ```
    /// use wirehub_hub::Hub;
    ///
    /// let hub = Hub::builder().build();
    /// hub.update(|live| {
    ///     live.commands_per_second(100);
    /// });
    /// ```
    pub fn update(&self, change: impl FnOnce(&mut LiveSettings)) {
        self.inner.live.update(change);
    }

    /// A payload that a subscriber's queue has room for, if it is one: none could get it, and it would end those who are slow.
    pub(crate) fn check_size(&self, payload: Payload) -> Result<Payload, PayloadError> {
        let (bytes, most) = (payload.data.len(), self.live().queue_bytes);
        if bytes <= most {
            return Ok(payload);
        }
        let why = format!("it has {bytes} bytes, and `queue_bytes` is {most}");
        Err(PayloadError::new(PayloadErrorKind::TooLarge, Some(why.into())))
    }

    /// Whether there is such a channel, that somebody can be subscribed to.
    pub(crate) fn has_channel(&self, channel: &ChannelName) -> Result<(), ErrorInfo> {
        if is_reserved(channel) {
            let words = "the channel is reserved: broadcasts reach every session without a subscription";
            return Err(ErrorInfo {
                message: words.into(),
                ..ErrorInfo::from_code(ErrorCode::UNKNOWN_CHANNEL)
            });
        }
        self.settings().rules.check_channel(channel)
    }

    /// What the application can publish there: somebody can be subscribed, it is as the contract has it, and not too large.
    fn checked(&self, channel: &ChannelName, payload: Payload) -> Result<Payload, PayloadError> {
        if is_reserved(channel) {
            let words = format!("{channel} is reserved: use a broadcast for a message to everybody");
            return Err(PayloadError::new(PayloadErrorKind::Channel, Some(words.into())));
        }
        let payload = self.check_size(payload)?;
        self.settings().rules.check_server_publication(channel, &payload)?;
        Ok(payload)
    }

    /// Publishes what a client sent or the application.
    pub(crate) fn accept(&self, publish: EnginePublish) -> EngineFuture<Option<Position>> {
        let history = self.settings().namespaces.of(&publish.channel).history;
        self.engine().publish(EnginePublish { history, ..publish })
    }

    /// For those who must not keep the hub alive.
    pub(crate) fn downgrade(&self) -> Weak<Inner> {
        Arc::downgrade(&self.inner)
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// What answers a call.
    pub(crate) fn handler(&self, name: &str) -> Option<Handler> {
        let own = self.settings().calls.get(name);
        own.map(|(_, handler)| handler.clone()).or_else(|| {
            let live = self.live();
            let other = live.other_calls.iter().find(|(pattern, _)| pattern.matches(name));
            other.map(|(_, handler)| handler.clone())
        })
    }

    /// The settings that can change, as they are now.
    pub(crate) fn live(&self) -> Arc<LiveSettings> {
        self.inner.live.get()
    }

    pub(crate) fn call_memory(&self) -> &Arc<CallMemory> {
        &self.inner.call_memory
    }

    pub(crate) fn ledgers(&self) -> &Alarms {
        &self.inner.alarms
    }

    pub(crate) fn channel_registry(&self) -> &Channels {
        &self.inner.channels
    }

    pub(crate) fn session_registry(&self) -> &Sessions {
        &self.inner.sessions
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.inner.counters
    }

    pub(crate) fn addresses(&self) -> &Addresses {
        &self.inner.addresses
    }

    pub(crate) fn payers(&self) -> &Payers {
        &self.inner.payers
    }

    pub(crate) fn connections(&self) -> &Connections {
        &self.inner.connections
    }
}

/// Whether a name is none of a channel that anybody can be subscribed to: that of broadcasts, or that of a user without a name.
pub(crate) fn is_reserved(channel: &ChannelName) -> bool {
    matches!(channel.as_str(), Hub::BROADCAST | "@")
}

/// An idempotency key as the engine gets it: with the user it is of, so that nobody's message is taken for the repeat of
/// somebody else's. Those of anonymous sessions are all of one, for such a client comes back as another session.
pub(crate) fn key_of(user: &str, key: String) -> String {
    // No user's name has a control character.
    if key.is_empty() { key } else { format!("{user}\u{0}{key}") }
}

/// Stands for the application itself where keys of publishes are bound to a user. No user has such a name.
const SERVER: &str = "\u{1}";

/// How a session ends because the server does.
pub(crate) fn shutdown_ending(retry_after: u32) -> Ending {
    Ending { disconnect_push: Some(Some(retry_after)), lets_calls_end: true, ..CloseCode::SHUTDOWN.into() }
}

fn publication(channel: &ChannelName, payload: Payload) -> SharedFrame {
    SharedFrame::new(ServerFrame::Push(Push::Publication(Publication {
        channel: channel.clone(),
        payload,
        time: unix_time::now(),
        publisher: None,
        offset: 0,
    })))
}

pub(crate) fn well_formed(payload: Payload) -> Result<Payload, PayloadError> {
    if payload.is_well_formed() {
        Ok(payload)
    } else {
        Err(PayloadError::new(
            PayloadErrorKind::Encode,
            Some("it is tagged as JSON and is not one JSON text".into()),
        ))
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("sessions", &self.sessions()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("engine", &self.engine).finish_non_exhaustive()
    }
}
