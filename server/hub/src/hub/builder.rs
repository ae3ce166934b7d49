//! Putting a hub together.

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

/// Makes a [`Hub`]; [`Hub::builder`] begins one.
#[derive(Default)]
pub struct Builder {
    settings: Settings,
    live: LiveSettings,
}

impl Builder {
    /// Holds clients and the application to a contract: channels and calls that are not in it are refused, and so are payloads
    /// that do not fit it. A client that was built from another one is told when it connects.
    #[must_use]
    pub fn contract<C: Contract>(mut self) -> Self {
        self.settings.rules = Rules::of::<C>();
        self
    }

    /// Answers a call. Each call runs as a task of its own; it is dropped when its client cancels it. When its session
    /// ends it goes on, up to three minutes from its beginning, for the client to come back and take the answer: so a call
    /// is carried out once, though the connection breaks. 10,000 may go on so; beyond that the oldest is dropped, and its
    /// client told that it may or may not have been done. In an anonymous session, which nobody can come back to, and without
    /// an idempotency key, which clients of other makes may leave out, a call is dropped when its session ends. A panic is answered as [`INTERNAL`](wirehub_common::code::ErrorCode::INTERNAL) and harms nothing else.
    /// A second handler for the same call takes the first one's place.
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

    /// Keeps a value for handlers and hooks, which take it by its type: [`CallContext::state`]. A second one of the same type
    /// takes the first one's place.
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

    /// Answers a call with a stream of responses. The stream is polled as fast as the client takes them, and dropped
    /// when the client cancels the call or its session ends. Otherwise as [`Self::call`].
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

    /// Answers the calls whose names fit a pattern and that have no handler of their own: for a gateway that passes them
    /// on. Of several patterns that fit, the first one's handler answers. Where the hub has a [contract](Self::contract), only
    /// calls of it are, whose requests fit it. Otherwise as [`Self::call`].
    ///
    /// ```
    /// # extern crate wirehub_hub as wirehub_server;
    /// use wirehub_server::Hub;
    ///
    /// let hub = Hub::builder()
    ///     .call_any("echo.*".parse()?, async |_, call| Ok(call.payload))
    ///     .build();
    /// # assert_eq!(hub.sessions(), 0);
    /// # Ok::<(), wirehub_server::call::PatternError>(())
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

    /// Asks `hook` whether a session may subscribe to a channel that fits the pattern, where the rules of its [`Namespace`]
    /// and the session's rights let it. Asked once for each subscription, also for those that `connect` restores, and
    /// before somebody who is not subscribed reads the history or who is there. Subscriptions that the server itself makes
    /// are not asked for. Of several patterns that fit, the first one's hook decides. A hook that takes more than 10 s is
    /// given up, and the client told [`UNAVAILABLE`](wirehub_common::code::ErrorCode::UNAVAILABLE).
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
    /// # Ok::<(), wirehub_server::auth::PatternError>(())
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

    /// Asks `hook` about each message that a client wants to publish in a channel that fits the pattern, where the rules
    /// of its [`Namespace`] and the session's rights let it. What the hook gives is published: the payload of the request,
    /// or another one that fits the contract. One session's messages in one channel are asked for one after the other, in
    /// their order; those in other channels do not wait for them. What the server itself publishes is not asked for. Of
    /// several patterns that fit, the first one's hook decides. A hook that takes more than 10 s is given up, and the
    /// client told [`UNAVAILABLE`](wirehub_common::code::ErrorCode::UNAVAILABLE).
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
    /// # Ok::<(), wirehub_server::auth::PatternError>(())
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

    /// Has `observer` told what happens to sessions, beside those that are told already.
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

    /// Asks `hook` who a client is: when it connects, and when it shows a new token. Without a hook everybody is let in,
    /// anonymous, whatever the token. A hook that takes more than 10 s is given up, and the client tries again later.
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
    /// A hook may also look at the cookies of a page whose user is signed in already. The closure captures a handle to the
    /// application's data, and clones it for each client; [`Credentials::state`] is another way to such data.
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
    /// A browser sends a site's cookies with a WebSocket handshake whichever page has opened it, unless they are `SameSite`. So a
    /// page of an attacker could open a session in the name of its visitor (cross-site WebSocket hijacking). The check of the
    /// origin prevents that, and is on by default: only pages of the server's own origin get in, and those of
    /// [`Self::allow_origin`]. Never allow an origin whose pages are not trusted with the users' sessions, and mark the cookie
    /// `HttpOnly; Secure; SameSite=Lax`.
    #[must_use]
    pub fn authenticate<F, A>(mut self, hook: F) -> Self
    where
        F: Fn(Credentials) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Authenticated, Refusal>> + Send + 'static,
    {
        self.live.authenticate(hook);
        self
    }

    /// For how long a session outlives its token, so that a new one can be shown. 25 s without this.
    #[must_use]
    pub fn token_grace(mut self, grace: Duration) -> Self {
        self.live.token_grace(grace);
        self
    }

    /// The limits of each connection; [`Limits::default`] without this.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.live.limits(limits);
        self
    }

    /// How many commands each session may send in a second, in the long run; two seconds' worth may come at once after a
    /// pause. Each subscription counts for several: in a second a session can subscribe as often as it may have channels, and no
    /// oftener. Those beyond it are answered with [`RATE_LIMITED`](wirehub_common::code::ErrorCode::RATE_LIMITED), and not
    /// carried out. 10,000 without this; 0 stands for no bound.
    #[must_use]
    pub fn commands_per_second(mut self, per_second: u32) -> Self {
        self.live.commands_per_second(per_second);
        self
    }

    /// How many commands all sessions of a user together may send in a second, as for [`Self::commands_per_second`]. Anonymous
    /// sessions share ten times as many with others from their IP address (of IPv6: from their network of 64 bits), where that is
    /// known: a proxy before the server has to be [trusted](Self::trust_proxy), or all its clients share that. As many as each
    /// session without this; 0 stands for no bound.
    #[must_use]
    pub fn user_commands_per_second(mut self, per_second: u32) -> Self {
        self.live.user_commands_per_second(per_second);
        self
    }

    /// How many sessions a user may have at once; one more is refused with
    /// [`LIMIT_EXCEEDED`](wirehub_common::code::ErrorCode::LIMIT_EXCEEDED), for the time being. Anonymous sessions are not
    /// counted. No bound without this.
    #[must_use]
    pub fn sessions_per_user(mut self, sessions: u32) -> Self {
        self.live.sessions_per_user(Some(sessions));
        self
    }

    /// How many connections `wirehub_server::run` holds open at once, of all kinds; more wait in the system's queue until others
    /// end. [`MAX_CONNECTIONS`](crate::MAX_CONNECTIONS) without this; at least 1. Each is a file: the system has to allow as many.
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.live.max_connections(connections);
        self
    }

    /// How many connections an IP address may have at once; of IPv6 a network of 64 bits counts as one. Where
    /// `wirehub_server::run` serves, those count too that are no WebSocket (yet). A WebSocket beyond the bound is refused with
    /// the HTTP status 429; eight connections more are taken for that and other requests, which have to come within a second,
    /// and the next are closed at once. No bound without this. Where proxies are before the server it has to [trust](Self::trust_proxy) them, or all clients
    /// have the proxy's address: a trusted proxy's own connections are not counted, but the WebSockets of each client. Where
    /// another listener serves, it must hand over axum's `ConnectInfo<SocketAddr>`, and WebSockets alone are counted.
    #[must_use]
    pub fn connections_per_address(mut self, connections: u32) -> Self {
        self.live.connections_per_address(Some(connections));
        self
    }

    /// How many WebSocket handshakes an IP address may make in a second, in the long run; two seconds' worth may come at
    /// once after a pause. Those beyond it are refused with the HTTP status 429. Addresses are those of
    /// [`Self::connections_per_address`]. No bound without this.
    #[must_use]
    pub fn handshakes_per_second(mut self, per_second: u32) -> Self {
        self.live.handshakes_per_second(Some(per_second));
        self
    }

    /// Takes a proxy's word, in `X-Forwarded-For`, about where a request comes from. The header is read from the right and
    /// only as far as those who wrote it are trusted; the first that is not is the client.
    #[must_use]
    pub fn trust_proxy(mut self, proxy: TrustedProxy) -> Self {
        self.live.trust_proxy(proxy);
        self
    }

    /// How long a client may take to send `connect` once the WebSocket is open, before it is
    /// [closed](wirehub_common::code::CloseCode::CONNECT_TIMEOUT). 10 s without this.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.live.connect_timeout(timeout);
        self
    }

    /// How long a client may take for the handshake of TLS, and then for the head of each HTTP request, before the
    /// connection is dropped; also how long a connection may stay without a request. It holds where `wirehub_server::run`
    /// serves. 10 s without this.
    #[must_use]
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.live.handshake_timeout(timeout);
        self
    }

    /// For how long a session may send no command while it is subscribed to nothing and waits for no answer, before it is
    /// [closed](wirehub_common::code::CloseCode::IDLE). For ever without this.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.live.idle_timeout(Some(timeout));
        self
    }

    /// How long [`Hub::shutdown`] waits before it ends sessions: meanwhile `/ready` and handshakes are answered with the HTTP
    /// status 503, and who is connected is served as before. A load balancer that asks `/ready` has turned to other servers
    /// when the sessions come back. Not at all without this.
    #[must_use]
    pub fn drain_delay(mut self, delay: Duration) -> Self {
        self.live.drain_delay(delay);
        self
    }

    /// How many bytes may wait for a session that does not take them fast enough; a session over it is
    /// [closed](wirehub_common::code::CloseCode::SLOW_CONSUMER). 1 MiB without this.
    #[must_use]
    pub fn queue_bytes(mut self, bytes: usize) -> Self {
        self.live.queue_bytes(bytes);
        self
    }

    /// About how many bytes all [alarms](crate::alarm::Alarm) that are remembered may take, with the names of those whom they are for.
    /// Beyond it those that are over are forgotten, the oldest first, and others are not raised. 64 MiB without this.
    #[must_use]
    pub fn alarm_bytes(mut self, bytes: usize) -> Self {
        self.live.alarm_bytes(bytes);
        self
    }

    /// Lets pages of another origin connect, beside those of the server's own. Programs that are no browsers name
    /// no origin and are always let in.
    #[must_use]
    pub fn allow_origin(mut self, origin: Origin) -> Self {
        self.live.allow_origin(origin);
        self
    }

    /// What holds for the channels of a namespace, the part of their names before the first `:`. A second call for the
    /// same one takes the first one's place. The namespace `@` is that of the users' own channels: they keep the last 100
    /// messages for ten minutes without this. `*` ([`Namespace::OTHERS`]) is as [`Self::default_namespace`].
    #[must_use]
    pub fn namespace(mut self, name: impl Into<Box<str>>, namespace: Namespace) -> Self {
        self.settings.namespaces.insert(name.into(), namespace);
        self
    }

    /// The rules of every channel whose namespace has none of its own.
    ///
    /// Without this they depend on the [contract](Self::contract). A hub with a contract has [`Namespace::open`]: its channels
    /// are those of the contract. A hub without one has [`Namespace::closed`], so that a channel is open only where a
    /// namespace, a token or a hook says so.
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

    /// Who keeps the history and carries publications; a [`MemoryEngine`] without this. An engine serves one hub.
    #[must_use]
    pub fn engine(mut self, engine: impl Engine) -> Self {
        self.settings.engine = Box::new(GuardedEngine(engine));
        self
    }

    /// Names something without which the hub can't serve its clients, as a key set or a backend, and who knows whether it is
    /// there. While it is not, `/ready` answers with the HTTP status 503, and the log has the words of `check`. That must
    /// not block; it is asked whenever somebody looks. The engine is asked anyway, by
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

    /// Changes the settings that can also change later: see [`Hub::update`].
    #[must_use]
    pub fn update(mut self, change: impl FnOnce(&mut LiveSettings)) -> Self {
        change(&mut self.live);
        self
    }

    /// The settings that can also change later, as they are in this builder.
    pub fn live(&self) -> &LiveSettings {
        &self.live
    }

    /// A builder of a hub whose channels are open to every client.
    #[cfg(test)]
    pub(crate) fn open() -> Self {
        Self::default().default_namespace(Namespace::open())
    }

    /// The hub.
    ///
    /// # Panics
    /// Where [`Self::try_build`] fails: a mistake in the program, which nobody can call its handlers with.
    pub fn build(self) -> Hub {
        #[allow(clippy::panic, reason = "nothing has come from the network yet")]
        self.try_build().unwrap_or_else(|error| panic!("{error}"))
    }

    /// The hub, if its parts fit each other.
    ///
    /// # Errors
    /// There is a handler of a call that the [contract](Self::contract) does not have, or has with other types.
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

/// The hash of a call as a contract's item.
fn item_hash<Q: Message, R: Message>(kind: &str, name: &str) -> ContractHash {
    ContractHash(combine(&[hash_text(kind), hash_text(name), Q::HASH, R::HASH]))
}

/// Parts of a [`Builder`] that do not fit each other.
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
