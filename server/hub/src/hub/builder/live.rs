//! The settings that can also change while the hub runs. [`LiveSettings`] keeps them.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use wirehub_common::{ChannelName, Limits, Payload};

use super::Builder;
use crate::auth::{Authenticated, Credentials, Refusal};
use crate::call::{CallContext, CallError, RawCall};
use crate::hooks::PublishRequest;
use crate::hub::live::LiveSettings;
use crate::pattern::Pattern;
use crate::upgrade::client_address::TrustedProxy;
use crate::upgrade::origin::Origin;

/// Settings that can also change while the hub runs: see [`Hub::update`](crate::Hub::update).
impl Builder {
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
    /// # assert_eq!(hub.local_sessions(), 0);
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

    /// Lets `hook` allow or refuse subscriptions to the channels that match a pattern. The rules of the channel's
    /// [`Namespace`](crate::namespace::Namespace) and the session's rights are checked first. If several patterns match, the
    /// first one is used.
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
    /// # assert_eq!(hub.local_sessions(), 0);
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
    /// the channel's [`Namespace`](crate::namespace::Namespace) and the session's rights are checked first. If several patterns
    /// match, the first one is used.
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
    /// # assert_eq!(hub.local_sessions(), 0);
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
    /// # assert_eq!(hub.local_sessions(), 0);
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
    /// # assert_eq!(hub.local_sessions(), 0);
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
    ///
    /// With an engine that serves [several hubs](crate::engine::Presence) the sessions on all of them count, and its store is asked
    /// before the answer to `connect`. If it can't answer, the session is refused with a temporary error, such as
    /// [`UNAVAILABLE`](wirehub_common::code::ErrorCode::UNAVAILABLE): the limit is kept, and clients try again.
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

    /// The time between the call of [`Hub::shutdown`](crate::Hub::shutdown) and the end of the sessions. During the delay
    /// `/ready` and handshakes are answered with the HTTP status 503, and connected clients are served as before. So a load
    /// balancer that polls `/ready` has switched to other servers before the clients reconnect. Default: no delay.
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

    /// Adds a check of something without which the hub can't serve its clients, such as a key set or a backend. While the check
    /// fails, `/ready` answers with the HTTP status 503, and the log has the error of `check`. The check runs for every request
    /// of `/ready` and every call of [`Hub::missing`](crate::Hub::missing), so it must not block. The engine has its own check,
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
    /// # assert_eq!(hub.local_sessions(), 0);
    /// ```
    #[must_use]
    pub fn readiness_check<F>(mut self, name: impl Into<Arc<str>>, check: F) -> Self
    where
        F: Fn() -> Result<(), String> + Send + Sync + 'static,
    {
        self.live.readiness_check(name, check);
        self
    }

    /// Changes the settings that can also change later. See [`Hub::update`](crate::Hub::update).
    #[must_use]
    pub fn update(mut self, change: impl FnOnce(&mut LiveSettings)) -> Self {
        change(&mut self.live);
        self
    }

    /// The present values of the settings that can also change later.
    pub fn live(&self) -> &LiveSettings {
        &self.live
    }
}
