//! The settings of a hub that can change while it runs.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use wirehub_common::{ChannelName, Limits, Payload};

use super::addresses::AddressLimits;
use crate::auth::{Authenticated, Authenticator, Credentials, PublishRequest, Refusal};
use crate::call::{self, CallContext, CallError, Handler, RawCall};
use crate::hooks::Hooks;
use crate::pattern::Pattern;
use crate::readiness::ReadinessCheck;
use crate::upgrade::client_address::TrustedProxy;
use crate::upgrade::origin::{Origin, Origins};

/// The default of [`Builder::max_connections`](crate::Builder::max_connections): the number of connections of all kinds that
/// are open at once. Further connections wait in the system's queue.
pub const MAX_CONNECTIONS: usize = 100_000;

/// The settings of a hub that can change while it runs. See [`Hub::update`](crate::Hub::update). The methods are those of
/// [`Builder`](crate::Builder), which documents them.
///
/// A session keeps the limits of its beginning, because its client knows them. Hooks take effect at once, also in open
/// sessions.
///
/// ```
/// use std::time::Duration;
/// use wirehub_hub::Hub;
///
/// let hub = Hub::builder().connections_per_address(100).build();
/// hub.update(|live| {
///     live.idle_timeout(Some(Duration::from_secs(60))).drain_delay(Duration::from_secs(5));
/// });
/// // The bound on connections is as before.
/// ```
#[derive(Clone)]
#[must_use]
pub struct LiveSettings {
    pub(crate) limits: Limits,
    pub(crate) queue_bytes: usize,
    pub(crate) alarm_bytes: usize,
    pub(crate) commands_per_second: Option<u32>,
    /// `None`: the limit of one session.
    pub(crate) user_commands_per_second: Option<u32>,
    pub(crate) sessions_per_user: Option<u32>,
    pub(crate) connect_timeout: Duration,
    pub(crate) handshake_timeout: Duration,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) drain_delay: Duration,
    /// All kinds of connections at once. An accept loop reads it when it begins.
    pub(crate) max_connections: usize,
    pub(crate) addresses: AddressLimits,
    pub(crate) proxies: Vec<TrustedProxy>,
    pub(crate) origins: Origins,
    pub(crate) authenticator: Option<Authenticator>,
    pub(crate) token_grace: Duration,
    pub(crate) hooks: Hooks,
    /// The handlers of calls without a handler of their own. The first matching pattern is used.
    pub(crate) other_calls: Vec<(Pattern, Handler)>,
    pub(crate) needs: Vec<ReadinessCheck>,
}

impl LiveSettings {
    /// See [`Builder::authenticate`](crate::Builder::authenticate). The hook replaces the present one.
    pub fn authenticate<F, A>(&mut self, hook: F) -> &mut Self
    where
        F: Fn(Credentials) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Authenticated, Refusal>> + Send + 'static,
    {
        let hook = Arc::new(hook);
        self.authenticator = Some(Arc::new(move |credentials| {
            let hook = Arc::clone(&hook);
            // Everything runs inside the future, so that a panic fails only this one attempt.
            Box::pin(async move { hook(credentials).await })
        }));
        self
    }

    /// See [`Builder::authorize_subscribe`](crate::Builder::authorize_subscribe). A later hook with the same pattern replaces
    /// the earlier one.
    pub fn authorize_subscribe<F, A>(&mut self, pattern: Pattern, hook: F) -> &mut Self
    where
        F: Fn(CallContext, ChannelName) -> A + Send + Sync + 'static,
        A: Future<Output = Result<(), CallError>> + Send + 'static,
    {
        self.hooks.on_subscribe(pattern, hook);
        self
    }

    /// See [`Builder::authorize_publish`](crate::Builder::authorize_publish). A later hook with the same pattern replaces the
    /// earlier one.
    pub fn authorize_publish<F, A>(&mut self, pattern: Pattern, hook: F) -> &mut Self
    where
        F: Fn(CallContext, PublishRequest) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Payload, CallError>> + Send + 'static,
    {
        self.hooks.on_publish(pattern, hook);
        self
    }

    /// See [`Builder::call_any`](crate::Builder::call_any). A later handler with the same pattern replaces the earlier one.
    pub fn call_any<F, A>(&mut self, pattern: Pattern, handler: F) -> &mut Self
    where
        F: Fn(CallContext, RawCall) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Payload, CallError>> + Send + 'static,
    {
        put_by_pattern(&mut self.other_calls, pattern, call::raw(handler));
        self
    }

    /// Removes every hook of subscriptions and publications, and every handler of [`Self::call_any`].
    pub fn clear_hooks(&mut self) -> &mut Self {
        self.hooks = Hooks::default();
        self.other_calls.clear();
        self
    }

    /// See [`Builder::readiness_check`](crate::Builder::readiness_check).
    pub fn readiness_check<F>(&mut self, name: impl Into<Arc<str>>, check: F) -> &mut Self
    where
        F: Fn() -> Result<(), String> + Send + Sync + 'static,
    {
        self.needs.push(ReadinessCheck::new(name, check));
        self
    }

    /// See [`Builder::allow_origin`](crate::Builder::allow_origin).
    pub fn allow_origin(&mut self, origin: Origin) -> &mut Self {
        self.origins.allow(origin);
        self
    }

    /// Allows exactly these origins, in addition to the server's own.
    pub fn origins(&mut self, origins: impl IntoIterator<Item = Origin>) -> &mut Self {
        self.origins = Origins::default();
        origins.into_iter().for_each(|origin| self.origins.allow(origin));
        self
    }

    /// See [`Builder::trust_proxy`](crate::Builder::trust_proxy).
    pub fn trust_proxy(&mut self, proxy: TrustedProxy) -> &mut Self {
        self.proxies.push(proxy);
        self
    }

    /// Trusts exactly these proxies.
    pub fn trusted_proxies(&mut self, proxies: impl IntoIterator<Item = TrustedProxy>) -> &mut Self {
        self.proxies = proxies.into_iter().collect();
        self
    }

    /// See [`Builder::token_grace`](crate::Builder::token_grace).
    pub fn token_grace(&mut self, grace: Duration) -> &mut Self {
        self.token_grace = grace;
        self
    }

    /// See [`Builder::limits`](crate::Builder::limits).
    pub fn limits(&mut self, limits: Limits) -> &mut Self {
        self.limits = limits;
        self
    }

    /// See [`Builder::commands_per_second`](crate::Builder::commands_per_second).
    pub fn commands_per_second(&mut self, per_second: u32) -> &mut Self {
        self.commands_per_second = (per_second > 0).then_some(per_second);
        self
    }

    /// See [`Builder::user_commands_per_second`](crate::Builder::user_commands_per_second).
    pub fn user_commands_per_second(&mut self, per_second: u32) -> &mut Self {
        self.user_commands_per_second = Some(per_second);
        self
    }

    /// See [`Builder::sessions_per_user`](crate::Builder::sessions_per_user). `None`: no limit.
    pub fn sessions_per_user(&mut self, sessions: Option<u32>) -> &mut Self {
        self.sessions_per_user = sessions;
        self
    }

    /// See [`Builder::max_connections`](crate::Builder::max_connections). An accept loop reads it when it begins.
    pub fn max_connections(&mut self, connections: usize) -> &mut Self {
        self.max_connections = connections.max(1);
        self
    }

    /// See [`Builder::connections_per_address`](crate::Builder::connections_per_address). `None`: no limit.
    pub fn connections_per_address(&mut self, connections: Option<u32>) -> &mut Self {
        self.addresses.connections = connections;
        self
    }

    /// See [`Builder::handshakes_per_second`](crate::Builder::handshakes_per_second). `None`: no limit.
    pub fn handshakes_per_second(&mut self, per_second: Option<u32>) -> &mut Self {
        self.addresses.handshakes = per_second;
        self
    }

    /// See [`Builder::connect_timeout`](crate::Builder::connect_timeout).
    pub fn connect_timeout(&mut self, timeout: Duration) -> &mut Self {
        self.connect_timeout = timeout;
        self
    }

    /// See [`Builder::handshake_timeout`](crate::Builder::handshake_timeout).
    pub fn handshake_timeout(&mut self, timeout: Duration) -> &mut Self {
        self.handshake_timeout = timeout;
        self
    }

    /// See [`Builder::idle_timeout`](crate::Builder::idle_timeout). `None`: no limit.
    pub fn idle_timeout(&mut self, timeout: Option<Duration>) -> &mut Self {
        self.idle_timeout = timeout;
        self
    }

    /// See [`Builder::drain_delay`](crate::Builder::drain_delay).
    pub fn drain_delay(&mut self, delay: Duration) -> &mut Self {
        self.drain_delay = delay;
        self
    }

    /// See [`Builder::queue_bytes`](crate::Builder::queue_bytes).
    pub fn queue_bytes(&mut self, bytes: usize) -> &mut Self {
        self.queue_bytes = bytes;
        self
    }

    /// See [`Builder::alarm_bytes`](crate::Builder::alarm_bytes).
    pub fn alarm_bytes(&mut self, bytes: usize) -> &mut Self {
        self.alarm_bytes = bytes;
        self
    }
}

/// Replaces the entry with the same pattern, or adds one after all others.
pub(crate) fn put_by_pattern<T>(entries: &mut Vec<(Pattern, T)>, pattern: Pattern, value: T) {
    match entries.iter_mut().find(|(known, _)| *known == pattern) {
        Some(entry) => entry.1 = value,
        None => entries.push((pattern, value)),
    }
}

impl fmt::Debug for LiveSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveSettings").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Default for LiveSettings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            queue_bytes: 1024 * 1024,
            alarm_bytes: 64 * 1024 * 1024,
            commands_per_second: Some(10_000),
            user_commands_per_second: None,
            sessions_per_user: None,
            connect_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            idle_timeout: None,
            drain_delay: Duration::ZERO,
            max_connections: MAX_CONNECTIONS,
            addresses: AddressLimits::default(),
            proxies: Vec::new(),
            origins: Origins::default(),
            authenticator: None,
            token_grace: Duration::from_secs(25),
            hooks: Hooks::default(),
            other_calls: Vec::new(),
            needs: Vec::new(),
        }
    }
}

impl LiveSettings {
    /// The number of commands per second of all sessions of a user together. `None`: no limit.
    pub(crate) fn of_each_user(&self) -> Option<u32> {
        self.user_commands_per_second.or(self.commands_per_second).filter(|per_second| *per_second > 0)
    }
}

/// The [`LiveSettings`] in force.
#[derive(Default)]
pub(super) struct Current {
    settings: RwLock<Arc<LiveSettings>>,
    /// Held by one update at a time. Readers do not wait for it.
    updating: Mutex<()>,
}

impl Current {
    pub(super) fn new(live: LiveSettings) -> Self {
        Self { settings: RwLock::new(Arc::new(live)), updating: Mutex::default() }
    }

    pub(super) fn get(&self) -> Arc<LiveSettings> {
        Arc::clone(&self.settings.read())
    }

    /// Changes a copy and puts it in force. If `change` panics, the present settings stay.
    pub(super) fn update(&self, change: impl FnOnce(&mut LiveSettings)) {
        let _updating = self.updating.lock();
        let mut settings = (*self.get()).clone();
        change(&mut settings);
        *self.settings.write() = Arc::new(settings);
    }
}
