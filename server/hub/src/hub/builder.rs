//! Builds a hub.

use std::any::TypeId;
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use wirehub_common::contract::{Call, Contract, ContractHash, Message, StreamCall, combine, hash_text};
use wirehub_common::{ChannelName, Limits, Payload};

use super::live::LiveSettings;
use super::rules::Rules;
use super::{Hub, Settings};
use crate::auth::{Authenticated, Credentials, Refusal};
use crate::call::{self, CallContext, CallError, RawCall};
use crate::engine::{Engine, GuardedEngine, MemoryEngine};
use crate::hooks::PublishRequest;
use crate::namespace::{Namespace, Namespaces};
use crate::observe::{Observer, Observers};
use crate::pattern::Pattern;
use crate::shared_state::SharedState;
use crate::upgrade::client_address::TrustedProxy;
use crate::upgrade::origin::Origin;

/// Builds a [`Hub`]. [`Hub::builder`] makes one.
#[derive(Default)]
pub struct Builder {
    settings: Settings,
    live: LiveSettings,
}

impl Builder {
    /// Restricts the hub to a contract. Channels and calls outside the contract are refused, and so are payloads that do not
    /// fit it. This holds for clients and for the application. A client built from another contract is notified when it
    /// connects.
    #[must_use]
    pub fn contract<C: Contract>(mut self) -> Self {
        self.settings.rules = Rules::of::<C>();
        self
    }

    /// Registers the handler of a call. A later handler of the same call replaces it.
    ///
    /// Each call runs in its own task. The call is dropped when its client cancels it. A panic is answered with
    /// [`INTERNAL`](wirehub_common::code::ErrorCode::INTERNAL) and has no other effect.
    ///
    /// A call goes on after its session has ended, until three minutes after its beginning: the client can come back for the
    /// answer. In this way a call is carried out once, even if the connection breaks. At most 10,000 calls go on without a
    /// session. Beyond that the oldest is dropped, and its client is notified that the call may or may not have been done.
    ///
    /// Two kinds of calls are dropped at the end of their session: those of an anonymous session to which no client can come
    /// back, and those without an idempotency key, which third-party clients may leave out.
    #[must_use]
    pub fn call<C, F, A>(mut self, _: C, handler: F) -> Self
    where
        C: Call,
        C::Request: Send,
        F: Fn(CallContext, C::Request) -> A + Send + Sync + 'static,
        A: Future<Output = Result<C::Response, CallError>> + Send + 'static,
    {
        let hash = item_hash::<C::Request, C::Response>("call", C::NAME);
        self.settings.calls.insert(C::NAME, (hash, call::untyped::<C, F, A>(handler)));
        self
    }

    /// Keeps a value for handlers and hooks. [`CallContext::state`] returns it by its type. A later value of the same type
    /// replaces it.
    ///
    /// ```
    /// # extern crate wirehub_hub as wirehub_server;
    /// use std::sync::atomic::{AtomicU32, Ordering};
    /// use wirehub_server::Hub;
    ///
    /// wirehub_common::contract! {
    ///     contract Counter = "counter";
    ///     /// Counts up by a number, and gives the sum.
    ///     call Add = "counter.add": fn(u32) -> u32;
    /// }
    ///
    /// struct Sum(AtomicU32);
    ///
    /// let hub = Hub::builder()
    ///     .contract::<Counter>()
    ///     .state(Sum(AtomicU32::new(0)))
    ///     .call(Add, async |context, number| {
    ///         let sum = context.state::<Sum>()?;
    ///         Ok(sum.0.fetch_add(number, Ordering::Relaxed).saturating_add(number))
    ///     })
    ///     .build();
    /// # assert_eq!(hub.sessions(), 0);
    /// ```
    #[must_use]
    pub fn state<T: Send + Sync + 'static>(mut self, state: T) -> Self {
        self.settings.state.insert(TypeId::of::<T>(), SharedState::new(state));
        self
    }

    /// Registers the handler of a call with a stream of responses. The stream is polled at the pace of the client. It is
    /// dropped when the client cancels the call or its session ends. Everything else is as for [`Self::call`].
    ///
    /// ```
    /// # extern crate wirehub_hub as wirehub_server;
    /// use futures_util::stream;
    /// use wirehub_server::Hub;
    ///
    /// wirehub_common::contract! {
    ///     contract Clock = "clock";
    ///     /// Counts down from a number.
    ///     stream CountDown = "clock.count": fn(u32) -> u32;
    /// }
    ///
    /// let hub = Hub::builder()
    ///     .contract::<Clock>()
    ///     .call_stream(CountDown, async |_, from| Ok(stream::iter((0..from).rev().map(Ok))))
    ///     .build();
    /// # assert_eq!(hub.sessions(), 0);
    /// ```
    #[must_use]
    pub fn call_stream<C, F, A, S>(mut self, _: C, handler: F) -> Self
    where
        C: StreamCall,
        C::Request: Send,
        F: Fn(CallContext, C::Request) -> A + Send + Sync + 'static,
        A: Future<Output = Result<S, CallError>> + Send + 'static,
        S: Stream<Item = Result<C::Response, CallError>> + Send + 'static,
    {
        let hash = item_hash::<C::Request, C::Response>("stream", C::NAME);
        self.settings.calls.insert(C::NAME, (hash, call::untyped_stream::<C, F, A, S>(handler)));
        self
    }

    /// Registers a handler for every call whose name matches a pattern and that has no handler of its own: for a gateway. If
    /// several patterns match, the first one is used. If the hub has a [contract](Self::contract), calls outside it and
    /// requests that do not fit it are refused without a call of the handler. Everything else is as for [`Self::call`].
    ///
    /// ```
    /// # extern crate wirehub_hub as wirehub_server;
    /// use wirehub_server::Hub;
    ///
    /// let hub = Hub::builder()
    ///     .call_any("echo.*".parse()?, async |_, call| Ok(call.payload))
    ///     .build();
    /// # assert_eq!(hub.sessions(), 0);
    /// # Ok::<(), wirehub_server::PatternError>(())
    /// ```
    #[must_use]
    pub fn call_any<F, A>(mut self, pattern: Pattern, handler: F) -> Self
    where
        F: Fn(CallContext, RawCall) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Payload, CallError>> + Send + 'static,
    {
        self.live.call_any(pattern, handler);
        self
    }

    /// Lets `hook` allow or refuse subscriptions to the channels that match a pattern. The rules of the channel's [`Namespace`]
    /// and the session's rights are checked first. If several patterns match, the first one is used.
    ///
    /// The hook is called once for each subscription, including those restored by `connect`. It is also called before a client
    /// without a subscription reads the history or the members. It is not called for subscriptions made by the server. The time
    /// limit of a hook is 10 s; after that the client gets [`UNAVAILABLE`](wirehub_common::code::ErrorCode::UNAVAILABLE).
    ///
    /// ```
    /// # extern crate wirehub_hub as wirehub_server;
    /// use wirehub_server::call::CallError;
    /// use wirehub_server::{Hub, common::code::ErrorCode};
    ///
    /// let hub = Hub::builder()
    ///     .authorize_subscribe("room:*".parse()?, async |who, room| {
    ///         // As a database would be asked.
    ///         let is_member = room.as_str() == "room:everybody" || who.user() == "ann";
    ///         is_member.then_some(()).ok_or_else(|| CallError::from_code(ErrorCode::PERMISSION_DENIED))
    ///     })
    ///     .build();
    /// # assert_eq!(hub.sessions(), 0);
    /// # Ok::<(), wirehub_server::PatternError>(())
    /// ```
    #[must_use]
    pub fn authorize_subscribe<F, A>(mut self, pattern: Pattern, hook: F) -> Self
    where
        F: Fn(CallContext, ChannelName) -> A + Send + Sync + 'static,
        A: Future<Output = Result<(), CallError>> + Send + 'static,
    {
        self.live.authorize_subscribe(pattern, hook);
        self
    }

    /// Lets `hook` allow, change or refuse the messages that clients publish in the channels that match a pattern. The rules of
    /// the channel's [`Namespace`] and the session's rights are checked first. If several patterns match, the first one is
    /// used.
    ///
    /// The hook returns the payload to publish: that of the request, or another one that fits the contract. For one session and
    /// one channel the hook is called for one message after the other, in their order. Messages in other channels do not wait.
    /// The hook is not called for messages of the server. The time limit of a hook is 10 s; after that the client gets
    /// [`UNAVAILABLE`](wirehub_common::code::ErrorCode::UNAVAILABLE).
    ///
    /// ```
    /// # extern crate wirehub_hub as wirehub_server;
    /// use wirehub_server::call::CallError;
    /// use wirehub_server::{Hub, common::code::ErrorCode};
    ///
    /// let hub = Hub::builder()
    ///     .authorize_publish("news:*".parse()?, async |who, request| match who.user() {
    ///         "" => Err(CallError::from_code(ErrorCode::PERMISSION_DENIED).with_message("say who you are first")),
    ///         _ => Ok(request.payload),
    ///     })
    ///     .build();
    /// # assert_eq!(hub.sessions(), 0);
    /// # Ok::<(), wirehub_server::PatternError>(())
    /// ```
    #[must_use]
    pub fn authorize_publish<F, A>(mut self, pattern: Pattern, hook: F) -> Self
    where
        F: Fn(CallContext, PublishRequest) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Payload, CallError>> + Send + 'static,
    {
        self.live.authorize_publish(pattern, hook);
        self
    }

    /// Adds an observer, which is notified of the events of every session. Earlier observers stay.
    ///
    /// ```
    /// # extern crate wirehub_hub as wirehub_server;
    /// use wirehub_server::call::CallContext;
    /// use wirehub_server::observe::SessionEvent;
    /// use wirehub_server::Hub;
    ///
    /// let hub = Hub::builder()
    ///     .observe(|who: &CallContext, event: SessionEvent| {
    ///         if let SessionEvent::Subscribed(channel) = event {
    ///             println!("{} of {} in {channel}", who.session(), who.user());
    ///         }
    ///     })
    ///     .build();
    /// # assert_eq!(hub.sessions(), 0);
    /// ```
    #[must_use]
    pub fn observe(mut self, observer: impl Observer) -> Self {
        self.settings.observers.add(observer);
        self
    }

    /// Sets the hook that authenticates a client when it connects and when it sends a new token. Default: every client is
    /// admitted as anonymous, and tokens are ignored. The time limit of the hook is 10 s; after that the client tries again
    /// later.
    ///
    /// ```
    /// # extern crate wirehub_hub as wirehub_server;
    /// use std::time::Duration;
    /// use wirehub_server::auth::{Authenticated, Refusal};
    /// use wirehub_server::Hub;
    ///
    /// let hub = Hub::builder()
    ///     .authenticate(async |credentials| match &*credentials.token {
    ///         "" => Ok(Authenticated::anonymous()),
    ///         "open sesame" => Ok(Authenticated::user("ali").expires_in(Duration::from_secs(600))),
    ///         _ => Err(Refusal::invalid()),
    ///     })
    ///     .build();
    /// # assert_eq!(hub.sessions(), 0);
    /// ```
    ///
    /// A hook can also read the cookies of a page with a signed-in user. The closure captures a handle to the application's
    /// data, and clones it for each client. [`Credentials::state`] is another way to such data.
    ///
    /// ```
    /// # extern crate wirehub_hub as wirehub_server;
    /// use std::collections::HashMap;
    /// use std::sync::{Arc, RwLock};
    /// use wirehub_server::auth::{Authenticated, Refusal};
    /// use wirehub_server::Hub;
    ///
    /// // The users by the ids of their web sessions, which the application's sign-in page fills.
    /// let signed_in: Arc<RwLock<HashMap<String, String>>> = Arc::default();
    ///
    /// let hub = Hub::builder()
    ///     .authenticate({
    ///         let signed_in = Arc::clone(&signed_in);
    ///         move |credentials| {
    ///             let signed_in = Arc::clone(&signed_in);
    ///             async move {
    ///                 let id = credentials.cookie("sid").ok_or_else(Refusal::invalid)?;
    ///                 let signed_in = signed_in.read().map_err(Refusal::unavailable)?;
    ///                 let user = signed_in.get(id).ok_or_else(Refusal::invalid)?;
    ///                 Ok(Authenticated::user(user.as_str()))
    ///             }
    ///         }
    ///     })
    ///     .build();
    /// # assert_eq!(hub.sessions(), 0);
    /// ```
    ///
    /// # Cookies and other sites
    /// A browser sends a site's cookies with every WebSocket handshake to the site, even from a page of another site, unless
    /// the cookies are `SameSite`. So an attacker's page could open a session in the name of its visitor (cross-site WebSocket
    /// hijacking). The check of the origin prevents this attack, and is on by default: it admits only pages of the server's own
    /// origin and of [`Self::allow_origin`]. Allow an origin only if you trust its pages with the users' sessions, and mark the
    /// cookie `HttpOnly; Secure; SameSite=Lax`.
    #[must_use]
    pub fn authenticate<F, A>(mut self, hook: F) -> Self
    where
        F: Fn(Credentials) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Authenticated, Refusal>> + Send + 'static,
    {
        self.live.authenticate(hook);
        self
    }

    /// The time for which a session outlives its token, for the client to send a new one. Default: 25 s.
    #[must_use]
    pub fn token_grace(mut self, grace: Duration) -> Self {
        self.live.token_grace(grace);
        self
    }

    /// The limits of each connection. Default: [`Limits::default`].
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.live.limits(limits);
        self
    }

    /// The number of commands per second of each session, in the long run. After a pause a session may send two seconds' worth
    /// at once. Further commands are not carried out and are answered with
    /// [`RATE_LIMITED`](wirehub_common::code::ErrorCode::RATE_LIMITED). A subscription counts for several commands: the
    /// subscriptions per second are limited to the number of channels that a session may have. Default: 10,000. 0: no limit.
    #[must_use]
    pub fn commands_per_second(mut self, per_second: u32) -> Self {
        self.live.commands_per_second(per_second);
        self
    }

    /// The number of commands per second of all sessions of a user together. Bursts and refusals are as for
    /// [`Self::commands_per_second`]. Default: the limit of one session. 0: no limit.
    ///
    /// Anonymous sessions from the same IP address share ten times as many, if their address is known. For IPv6, a network of
    /// 64 bits counts as one address. A proxy in front of the server has to be [trusted](Self::trust_proxy), or all its clients
    /// share this limit.
    #[must_use]
    pub fn user_commands_per_second(mut self, per_second: u32) -> Self {
        self.live.user_commands_per_second(per_second);
        self
    }

    /// The number of sessions that a user may have at once. A further session is refused with
    /// [`LIMIT_EXCEEDED`](wirehub_common::code::ErrorCode::LIMIT_EXCEEDED) as a temporary error. Anonymous sessions are not
    /// counted. Default: no limit.
    #[must_use]
    pub fn sessions_per_user(mut self, sessions: u32) -> Self {
        self.live.sessions_per_user(Some(sessions));
        self
    }

    /// The number of connections of all kinds that `wirehub_server::run` holds open at once, at least 1. Further connections
    /// wait in the system's queue. Each connection needs a file descriptor, so the system's limit has to be as high. Default:
    /// [`MAX_CONNECTIONS`](crate::MAX_CONNECTIONS).
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.live.max_connections(connections);
        self
    }

    /// The number of connections that an IP address may have at once. For IPv6, a network of 64 bits counts as one address. A
    /// further WebSocket is refused with the HTTP status 429. Default: no limit.
    ///
    /// `wirehub_server::run` also counts connections that are not WebSockets (yet). It accepts eight connections beyond the
    /// limit, for the refusal and for other requests. A request has to arrive on them within a second. Further connections are
    /// closed at once.
    ///
    /// Proxies in front of the server have to be [trusted](Self::trust_proxy), or all clients have the address of the proxy.
    /// The connections of a trusted proxy are not counted, but the WebSockets of each client are. Another accept loop has to
    /// provide axum's `ConnectInfo<SocketAddr>`; then only WebSockets are counted.
    #[must_use]
    pub fn connections_per_address(mut self, connections: u32) -> Self {
        self.live.connections_per_address(Some(connections));
        self
    }

    /// The number of WebSocket handshakes per second of an IP address, in the long run. After a pause an address may make two
    /// seconds' worth at once. Further handshakes are refused with the HTTP status 429. Addresses are as for
    /// [`Self::connections_per_address`]. Default: no limit.
    #[must_use]
    pub fn handshakes_per_second(mut self, per_second: u32) -> Self {
        self.live.handshakes_per_second(Some(per_second));
        self
    }

    /// Trusts a proxy to report the address of a client in `X-Forwarded-For`. The header is read from the right, past the
    /// addresses of trusted proxies. The first other address is the client's.
    #[must_use]
    pub fn trust_proxy(mut self, proxy: TrustedProxy) -> Self {
        self.live.trust_proxy(proxy);
        self
    }

    /// The time between the opening of the WebSocket and the client's `connect`. After that the connection is
    /// [closed](wirehub_common::code::CloseCode::CONNECT_TIMEOUT). Default: 10 s.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.live.connect_timeout(timeout);
        self
    }

    /// The time for the TLS handshake, and then for the head of each HTTP request, including the wait for it. After that the
    /// connection is dropped. This applies to `wirehub_server::run`. Default: 10 s.
    #[must_use]
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.live.handshake_timeout(timeout);
        self
    }

    /// The time that an idle session stays open. A session is idle if it has no subscription, waits for no answer and sends no
    /// command. After that time it is [closed](wirehub_common::code::CloseCode::IDLE). Default: no limit.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.live.idle_timeout(Some(timeout));
        self
    }

    /// The time between the call of [`Hub::shutdown`] and the end of the sessions. During the delay `/ready` and handshakes are
    /// answered with the HTTP status 503, and connected clients are served as before. So a load balancer that polls `/ready`
    /// has switched to other servers before the clients reconnect. Default: no delay.
    #[must_use]
    pub fn drain_delay(mut self, delay: Duration) -> Self {
        self.live.drain_delay(delay);
        self
    }

    /// The number of bytes that may wait for a session that does not take them in time. A session with more is
    /// [closed](wirehub_common::code::CloseCode::SLOW_CONSUMER). Default: 1 MiB.
    #[must_use]
    pub fn queue_bytes(mut self, bytes: usize) -> Self {
        self.live.queue_bytes(bytes);
        self
    }

    /// The approximate number of bytes for all remembered [alarms](crate::alarm::Alarm), including the names of their
    /// recipients. Beyond it alarms that are over are forgotten, the oldest first. If that is not enough, new alarms are not
    /// raised. Default: 64 MiB.
    #[must_use]
    pub fn alarm_bytes(mut self, bytes: usize) -> Self {
        self.live.alarm_bytes(bytes);
        self
    }

    /// Allows the pages of another origin to connect, in addition to those of the server's own origin. Programs other than
    /// browsers send no origin and are always admitted.
    #[must_use]
    pub fn allow_origin(mut self, origin: Origin) -> Self {
        self.live.allow_origin(origin);
        self
    }

    /// Sets the rules for the channels of a namespace, the part of their names before the first `:`. A later call for the same
    /// namespace replaces them. The namespace `@` contains the channels of the users. By default these keep the last 100
    /// messages for ten minutes. The name `*` ([`Namespace::OTHERS`]) has the same effect as [`Self::default_namespace`].
    #[must_use]
    pub fn namespace(mut self, name: impl Into<Box<str>>, namespace: Namespace) -> Self {
        self.settings.namespaces.insert(name.into(), namespace);
        self
    }

    /// Sets the rules for every channel whose namespace has none of its own.
    ///
    /// The default depends on the [contract](Self::contract). With a contract it is [`Namespace::open`], because every channel
    /// belongs to the contract. Without a contract it is [`Namespace::closed`]: a channel is open only by a namespace, a token
    /// or a hook.
    ///
    /// ```
    /// # extern crate wirehub_hub as wirehub_server;
    /// use wirehub_server::{Hub, namespace::Namespace};
    ///
    /// // A hub for a demo: every client may do everything in every channel.
    /// let hub = Hub::builder().default_namespace(Namespace::open()).build();
    /// # let _ = hub;
    /// ```
    #[must_use]
    pub fn default_namespace(mut self, namespace: Namespace) -> Self {
        self.settings.namespaces.set_default(namespace);
        self
    }

    /// The engine, which keeps the history and carries publications. Default: a [`MemoryEngine`]. An engine serves one hub.
    #[must_use]
    pub fn engine(mut self, engine: impl Engine) -> Self {
        self.settings.engine = Box::new(GuardedEngine(engine));
        self
    }

    /// Adds a check of something without which the hub can't serve its clients, such as a key set or a backend. While the check
    /// fails, `/ready` answers with the HTTP status 503, and the log has the error of `check`. The check runs for every request
    /// of `/ready` and every call of [`Hub::missing`], so it must not block. The engine has its own check,
    /// [`Engine::ready`](crate::engine::Engine::ready).
    ///
    /// ```
    /// # extern crate wirehub_hub as wirehub_server;
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicBool, Ordering};
    /// use wirehub_server::Hub;
    ///
    /// let is_warm = Arc::new(AtomicBool::new(false));
    /// let hub = Hub::builder()
    ///     .readiness_check("cache", {
    ///         let is_warm = Arc::clone(&is_warm);
    ///         move || if is_warm.load(Ordering::Relaxed) { Ok(()) } else { Err("it is being filled".into()) }
    ///     })
    ///     .build();
    /// # assert_eq!(hub.sessions(), 0);
    /// ```
    #[must_use]
    pub fn readiness_check<F>(mut self, name: impl Into<Arc<str>>, check: F) -> Self
    where
        F: Fn() -> Result<(), String> + Send + Sync + 'static,
    {
        self.live.readiness_check(name, check);
        self
    }

    /// Changes the settings that can also change later. See [`Hub::update`].
    #[must_use]
    pub fn update(mut self, change: impl FnOnce(&mut LiveSettings)) -> Self {
        change(&mut self.live);
        self
    }

    /// The present values of the settings that can also change later.
    pub fn live(&self) -> &LiveSettings {
        &self.live
    }

    /// A builder of a hub whose channels are open to every client.
    #[cfg(test)]
    pub(crate) fn open() -> Self {
        Self::default().default_namespace(Namespace::open())
    }

    /// Builds the hub.
    ///
    /// # Panics
    /// [`Self::try_build`] fails. That is a mistake in the program, and does not depend on clients.
    pub fn build(self) -> Hub {
        #[allow(clippy::panic, reason = "nothing has come from the network yet")]
        self.try_build().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Builds the hub, unless its parts do not fit each other.
    ///
    /// # Errors
    /// A handler is for a call outside the [contract](Self::contract), or for one that has other types there.
    pub fn try_build(self) -> Result<Hub, BuildError> {
        let Settings { rules, calls, .. } = &self.settings;
        let misfits = calls.iter().filter_map(|(name, (hash, _))| rules.handler_mismatch(name, *hash));
        let mut misfits: Vec<_> = misfits.collect();
        if !misfits.is_empty() {
            misfits.sort();
            return Err(BuildError(misfits.join("; ")));
        }
        let mut settings = self.settings;
        if !settings.namespaces.has_default() && settings.rules.is_contract() {
            settings.namespaces.set_default(Namespace::open());
        }
        let hub = Hub::new(settings, self.live);
        for name in hub.settings().rules.calls().filter(|name| hub.handler(name).is_none()) {
            tracing::warn!("the contract's call {name} has no handler: its callers get UNKNOWN_CALL");
        }
        Ok(hub)
    }
}

/// The hash of a call as an item of a contract.
fn item_hash<Q: Message, R: Message>(kind: &str, name: &str) -> ContractHash {
    ContractHash(combine(&[hash_text(kind), hash_text(name), Q::HASH, R::HASH]))
}

/// The error of a [`Builder`] whose parts do not fit each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildError(String);

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a handler is outside of the contract: add its call there, or take it out here ({})",
            self.0
        )
    }
}

impl std::error::Error for BuildError {}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rules: Rules::default(),
            calls: HashMap::new(),
            observers: Observers::default(),
            namespaces: Namespaces::default(),
            engine: Box::new(MemoryEngine::new()),
            state: HashMap::new(),
        }
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("settings", &self.settings)
            .field("limits", &self.live.limits)
            .finish_non_exhaustive()
    }
}
