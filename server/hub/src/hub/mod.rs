//! The hub: sessions, subscriptions, and the way of a publication to its subscribers.

use std::any::TypeId;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use wirehub_common::code::{CloseCode, ErrorCode};
use wirehub_common::contract::{Channel, ContractHash, Message as _};
use wirehub_common::frame::{ErrorInfo, HistoryPage, Position, Publication};
use wirehub_common::{ChannelName, Payload, PayloadError, PayloadErrorKind};

use self::addresses::Addresses;
use self::alarms::{AlarmSurroundings, Alarms};
use self::attached::AttachedChannels;
use self::call_memory::CallMemory;
use self::channels::Channels;
use self::connections::{Connections, Phase};
use self::live::{Current, LiveSettings};
use self::nodes::Fleet;
pub use self::nodes::{ListPage, OrderError};
pub use self::payers::Payer;
use self::payers::Payers;
use self::restoring::Restoring;
use self::rules::Rules;
use self::sessions::Sessions;
use self::shared_presence::SharedPresence;
use self::watch::Probes;
use crate::auth::check_user;
use crate::call::Handler;
use crate::counters::Counters;
use crate::engine::{Delivery, Engine, EngineError, EngineFuture, EnginePublish, PAGE_BYTES, ReadHistory};
use crate::namespace::Namespaces;
use crate::observe::Observers;
use crate::readiness::ReportedFailures;
use crate::session::mailbox::Ending;
use crate::shared_state::SharedState;
use crate::unix_time;

pub(crate) mod addresses;
pub(crate) mod alarms;
mod attached;
mod builder;
pub(crate) mod call_memory;
pub(crate) mod channel;
pub(crate) mod channels;
pub(crate) mod connections;
pub(crate) mod inspect;
pub(crate) mod live;
pub(crate) mod local;
mod members;
pub(crate) mod nodes;
pub(crate) mod payers;
mod record_value;
pub(crate) mod restoring;
mod rules;
pub(crate) mod segment;
mod session_id;
pub(crate) mod sessions;
pub(crate) mod sharded;
pub(crate) mod shared_frame;
pub(crate) mod shared_presence;
mod watch;

pub use self::builder::{BuildError, Builder};
pub use self::session_id::{SessionId, SessionIdError};

/// The server's registry of sessions and channels. It is a handle: clones are the same hub.
///
/// `wirehub_server::router` makes it reachable. The application itself publishes by [`Hub::publish`].
#[derive(Clone)]
pub struct Hub {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    settings: Settings,
    live: Current,
    pub(crate) channels: Channels,
    attached: AttachedChannels,
    pub(crate) probes: Probes,
    reported_failures: ReportedFailures,
    presence: SharedPresence,
    sessions: Sessions,
    connections: Connections,
    addresses: Addresses,
    payers: Payers,
    pub(crate) alarms: Alarms,
    call_memory: Arc<CallMemory>,
    restoring: Restoring,
    fleet: Fleet,
    pub(crate) counters: Counters,
}

/// The number of members of a channel. See [`Hub::presence_counts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PresenceCounts {
    /// The number of sessions.
    pub sessions: usize,
    /// The number of their users; each anonymous session counts as one.
    pub users: usize,
}

/// The fixed settings of a [`Builder`].
pub(crate) struct Settings {
    pub(crate) rules: Rules,
    /// Each with its hash as an item of a contract.
    pub(crate) calls: HashMap<&'static str, (ContractHash, Handler)>,
    pub(crate) observers: Observers,
    pub(crate) namespaces: Namespaces,
    pub(crate) engine: Box<dyn Engine>,
    /// The name of this node; the default if it is absent.
    pub(crate) node_name: Option<String>,
    /// The shared state of handlers and hooks, by type.
    pub(crate) state: HashMap<TypeId, SharedState>,
}

impl Hub {
    /// The channel of [`Hub::broadcast`]. Clients can't publish there.
    pub const BROADCAST: &'static str = "@all";

    /// Starts a builder. `Hub::builder().build()` is a hub without a contract, whose channels are closed to clients without a right:
    /// see [`Builder::default_namespace`].
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn new(settings: Settings, live: LiveSettings) -> Self {
        let counters = Counters::new();
        let shares_members = settings.engine.presence().is_some();
        let is_shared = settings.engine.nodes().is_some();
        let inner = Inner {
            settings,
            live: Current::new(live),
            channels: Channels::new(counters.deliveries(), shares_members),
            attached: AttachedChannels::default(),
            probes: Probes::default(),
            reported_failures: ReportedFailures::default(),
            presence: SharedPresence::default(),
            sessions: Sessions::new(),
            connections: Connections::new(),
            addresses: Addresses::new(),
            payers: Payers::new(),
            alarms: Alarms::new(is_shared),
            call_memory: Arc::new(CallMemory::new()),
            restoring: Restoring::new(),
            fleet: Fleet::new(is_shared),
            counters,
        };
        let hub = Self { inner: Arc::new(inner) };
        hub.engine().start(Delivery::new(Arc::downgrade(&hub.inner)));
        hub.restore();
        hub.start_nodes();
        hub
    }

    /// Publishes a message of the contract to every subscriber of the channel. Never waits. With the
    /// [`MemoryEngine`](crate::engine::MemoryEngine) the message is in all queues at the return; with another engine it is on
    /// its way. The future returns the position in a channel that keeps history. It need not be awaited.
    ///
    /// # Errors
    /// - [`PayloadErrorKind::Encode`]: the message can't be written.
    /// - [`PayloadErrorKind::TooLarge`]: the message is larger than [a session's queue](Builder::queue_bytes).
    /// - [`PayloadErrorKind::Channel`]: the hub's contract has no such channel.
    /// - [`PayloadErrorKind::Content`], [`PayloadErrorKind::Decode`]: the channel has another type in the hub's contract, or
    ///   the message can't be read back.
    pub fn publish<C: Channel>(
        &self,
        channel: &C,
        message: &C::Message,
    ) -> Result<EngineFuture<Option<Position>>, PayloadError> {
        let payload = self.checked(channel.name(), message.to_payload()?)?;
        Ok(self.accept(EnginePublish::new(channel.name().clone(), payload)))
    }

    /// Like [`Hub::publish`], for a channel and a payload that are known only at run time.
    ///
    /// # Errors
    /// The same. [`PayloadErrorKind::Encode`]: the payload does not have the form of its content.
    /// [`PayloadErrorKind::Channel`]: also for a channel without subscriptions, such as [`Self::BROADCAST`].
    pub fn publish_raw(
        &self,
        channel: &ChannelName,
        payload: Payload,
    ) -> Result<EngineFuture<Option<Position>>, PayloadError> {
        self.publish_once(channel, payload, "")
    }

    /// Like [`Hub::publish_raw`]. A repeat with the same key publishes nothing, and has the answer of the first one, as long as
    /// the engine remembers the key: two minutes with the [`MemoryEngine`](crate::engine::MemoryEngine). An empty key is none.
    ///
    /// # Errors
    /// The same.
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

    /// Publishes a message to every session of a user that is subscribed to the user's own channel, `@` and the name. By
    /// default the channel keeps 100 messages of the user for ten minutes. [`Builder::namespace`] with `@` changes this.
    ///
    /// # Errors
    /// As for [`Self::publish_raw`]. [`PayloadErrorKind::Channel`]: no [user](crate::auth::Authenticated::user) can have this
    /// name, it makes no valid channel, or the hub's contract has no channel `@{user}`.
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

    /// Reads up to `limit` publications of a channel's history, with payloads of up to 4 MiB in total. They are the ones after
    /// `since`, or (reversed) before it. Without `since` they begin at the start, or (reversed) at the end. [`HistoryPage::more`] is `true` if further ones follow. `None` if the channel keeps no history, or if publications behind `since` are
    /// lost.
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

    /// Stops the hub. It takes no new connections, and otherwise continues for the [`Builder::drain_delay`]. Then each session
    /// receives the time at which it should come back, spread over
    /// [`Limits::reconnect_window`](wirehub_common::Limits::reconnect_window), and is closed when its queue is flushed.
    /// Connections that are still open at the `deadline`, counted from the end of the delay, are dropped. The hub can't be
    /// started again. Keep the server listening until this returns: it answers handshakes and `/ready` with the HTTP status
    /// 503.
    pub async fn shutdown(&self, deadline: Duration) {
        let Inner { live, sessions, connections, settings, .. } = &*self.inner;
        let delay = live.get().drain_delay;
        if !delay.is_zero() {
            connections.set_phase(Phase::Draining);
            // Another stop may have begun earlier.
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
        // Longer calls are stopped a little earlier, so that their clients can be notified.
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
        self.inner.leave_nodes();
        // Even behind the deadline: what was accepted shall not be lost.
        match tokio::time::timeout(
            deadline.saturating_sub(begun.elapsed()).max(LEAST_FLUSH),
            self.engine().stop(),
        )
        .await
        {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!("the engine has not stored everything: {error}"),
            Err(_) => tracing::error!("the deadline has passed: the engine has not stored everything"),
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

    /// Checks that a subscriber's queue has room for a payload. A larger one could not be delivered, and would end slow
    /// sessions.
    pub(crate) fn check_size(&self, payload: Payload) -> Result<Payload, PayloadError> {
        let (bytes, most) = (payload.data.len(), self.live().queue_bytes);
        if bytes <= most {
            return Ok(payload);
        }
        let why = format!("it has {bytes} bytes, and `queue_bytes` is {most}");
        Err(PayloadError::new(PayloadErrorKind::TooLarge, Some(why.into())))
    }

    /// Checks that the channel exists and can be subscribed to.
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

    /// Checks that the application can publish the payload: the channel can be subscribed to, the contract allows the payload,
    /// and it is not too large.
    fn checked(&self, channel: &ChannelName, payload: Payload) -> Result<Payload, PayloadError> {
        if is_reserved(channel) {
            let words = format!("{channel} is reserved: use a broadcast for a message to everybody");
            return Err(PayloadError::new(PayloadErrorKind::Channel, Some(words.into())));
        }
        let payload = self.check_size(payload)?;
        self.settings().rules.check_server_publication(channel, &payload)?;
        Ok(payload)
    }

    /// Publishes a message of a client or of the application.
    pub(crate) fn accept(&self, publish: EnginePublish) -> EngineFuture<Option<Position>> {
        let history = self.settings().namespaces.of(&publish.channel).history;
        self.engine().publish(EnginePublish { history, ..publish })
    }

    /// Starts the repair of a channel that is not where its engine is.
    pub(crate) fn start_repair(&self, channel: &Arc<channel::Channel>) {
        channel.start_repair(&self.inner);
    }

    /// For tasks that must not keep the hub alive.
    pub(crate) fn downgrade(&self) -> Weak<Inner> {
        Arc::downgrade(&self.inner)
    }

    pub(crate) fn upgrade(hub: &Weak<Inner>) -> Option<Self> {
        hub.upgrade().map(|inner| Self { inner })
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// The handler of a call.
    pub(crate) fn handler(&self, name: &str) -> Option<Handler> {
        let own = self.settings().calls.get(name);
        own.map(|(_, handler)| handler.clone()).or_else(|| {
            let live = self.live();
            let other = live.other_calls.iter().find(|(pattern, _)| pattern.matches(name));
            other.map(|(_, handler)| handler.clone())
        })
    }

    /// The present values of the changeable settings.
    pub(crate) fn live(&self) -> Arc<LiveSettings> {
        self.inner.live.get()
    }

    pub(crate) fn call_memory(&self) -> &Arc<CallMemory> {
        &self.inner.call_memory
    }

    pub(crate) fn ledgers(&self) -> &Alarms {
        &self.inner.alarms
    }

    pub(crate) fn around_alarms(&self) -> AlarmSurroundings<'_> {
        AlarmSurroundings { sessions: self.session_registry(), store: self.engine().records() }
    }

    pub(crate) fn channel_registry(&self) -> &Channels {
        &self.inner.channels
    }

    pub(crate) fn reported_failures(&self) -> &ReportedFailures {
        &self.inner.reported_failures
    }

    pub(crate) fn probes(&self) -> &Probes {
        &self.inner.probes
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

/// `true` for a name without subscriptions: the channel of broadcasts, and that of a user without a name.
pub(crate) fn is_reserved(channel: &ChannelName) -> bool {
    matches!(channel.as_str(), Hub::BROADCAST | "@")
}

/// The idempotency key for the engine. It contains its [owner](Peer::key_owner), so that a message is never taken for the repeat
/// of another publisher's message.
pub(crate) fn key_of(owner: &str, key: String) -> String {
    if key.is_empty() { key } else { format!("{owner}\u{0}{key}") }
}

/// The application itself as the owner of keys. No user has such a name.
const SERVER: &str = "\u{1}";

/// The time that the engine has at least to store what was accepted, even behind the deadline of a stop.
const LEAST_FLUSH: Duration = Duration::from_secs(1);

/// The ending of a session when the server stops.
pub(crate) fn shutdown_ending(retry_after: u32) -> Ending {
    Ending { disconnect_push: Some(Some(retry_after)), lets_calls_end: true, ..CloseCode::SHUTDOWN.into() }
}

fn publication(channel: &ChannelName, payload: Payload) -> Publication {
    Publication { channel: channel.clone(), payload, time: unix_time::now(), publisher: None, offset: 0 }
}

pub(crate) fn well_formed(payload: &Payload) -> Result<(), PayloadError> {
    match payload.malformed() {
        Some(words) => Err(PayloadError::new(PayloadErrorKind::Encode, Some(words.into()))),
        None => Ok(()),
    }
}

impl Settings {
    /// The name of this node for people: the set one, or that of the machine or container.
    pub(crate) fn node_name(&self) -> String {
        let of_machine = || std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty());
        self.node_name.clone().or_else(of_machine).unwrap_or_else(|| "wirehub".into())
    }

    /// The value of this type that handlers and hooks share. The error names the type, for the log.
    pub(crate) fn shared<T: Send + Sync + 'static>(&self) -> Result<Arc<T>, String> {
        let state = self.state.get(&TypeId::of::<T>()).and_then(SharedState::get);
        state.ok_or_else(|| {
            let name = std::any::type_name::<T>();
            format!("the hub keeps no state of the type {name}: add it by `Builder::state`")
        })
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("sessions", &self.local_sessions()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("engine", &self.engine).finish_non_exhaustive()
    }
}
