//! Builds a hub.

use std::any::TypeId;
use std::collections::HashMap;
use std::fmt;
use std::future::Future;

use futures_util::Stream;
use wirehub_common::contract::{Call, Contract, ContractHash, Message, StreamCall, combine, hash_text};

use super::live::LiveSettings;
use super::rules::Rules;
use super::{Hub, Settings};
use crate::call::{self, CallContext, CallError};
use crate::engine::{Engine, GuardedEngine, MemoryEngine};
use crate::namespace::{Namespace, Namespaces};
use crate::observe::{Observer, Observers};
use crate::shared_state::SharedState;

mod live;

/// Builds a [`Hub`]. [`Hub::builder`] makes one.
#[derive(Default)]
pub struct Builder {
    settings: Settings,
    /// `true` if the program has given it an engine.
    has_engine: bool,
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
    /// If the engine has [`Records`](crate::engine::Records), this holds after a restart too. The handler of a user's call with a
    /// key runs when the beginning of the call is stored, and the client is answered when the answer is stored. A repeat after
    /// the restart gets that answer. If the process ended during the call, the repeat gets
    /// [`CONNECTION_LOST`](wirehub_common::code::ErrorCode::CONNECTION_LOST), and the handler is not run again.
    ///
    /// With an engine that serves several hubs, each node remembers its own calls, and they are lost with its process. A client
    /// that comes back on another node, or after a restart, does not repeat a call without an answer: its caller gets
    /// `CONNECTION_LOST`.
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
    /// # assert_eq!(hub.local_sessions(), 0);
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
    /// # assert_eq!(hub.local_sessions(), 0);
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
    /// # assert_eq!(hub.local_sessions(), 0);
    /// ```
    #[must_use]
    pub fn observe(mut self, observer: impl Observer) -> Self {
        self.settings.observers.add(observer);
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
        self.has_engine = true;
        self
    }

    /// `true` if the program has [given](Self::engine) the hub an engine.
    pub fn has_engine(&self) -> bool {
        self.has_engine
    }

    /// The name of this node among the [nodes](Hub::nodes) of an engine that serves several hubs, for people. Default: that of the
    /// machine or container, from the environment variable `HOSTNAME`, or `wirehub`.
    #[must_use]
    pub fn node_name(mut self, name: impl Into<String>) -> Self {
        self.settings.node_name = Some(name.into());
        self
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
            node_name: None,
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
