//! Rules for channels, by the namespace in their names.

use std::collections::HashMap;
use std::time::Duration;

use wirehub_common::ChannelName;

use crate::auth::Action;
use crate::session::queue::Lane;

/// The rules for the channels of a namespace. The names of these channels begin with the namespace and a `:`.
///
/// ```
/// # extern crate wirehub_hub as wirehub_server;
/// use std::time::Duration;
/// use wirehub_server::namespace::{History, Namespace};
/// use wirehub_server::Hub;
///
/// let hub = Hub::builder()
///     .namespace("chat", Namespace::default().history(History::new(100, Duration::from_secs(3600))))
///     .namespace("alarm", Namespace::default().urgent())
///     .build();
/// # assert_eq!(hub.local_sessions(), 0);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Namespace {
    /// The history of its channels.
    pub history: Option<History>,
    /// `true` if its publications are sent before those of other channels.
    pub urgent: bool,
    /// The clients that may subscribe and read the history.
    pub subscribe: Access,
    /// The clients that may publish.
    pub publish: Access,
    /// The clients that may see the members. `None`: only clients with the right.
    pub presence: Option<Access>,
    /// The grace period of leaving users, if joins and leaves are published.
    pub join_leave: Option<Duration>,
    /// The treatment of publications for which a session's queue has no room.
    pub overflow: Overflow,
}

/// The policy for publications for which a session's queue has no room. See
/// [`Builder::queue_bytes`](crate::Builder::queue_bytes).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// The session is [closed](wirehub_common::code::CloseCode::SLOW_CONSUMER). The client reconnects and recovers missed
    /// publications from the channel's history.
    #[default]
    Disconnect,
    /// The oldest waiting publications are dropped. The client is notified of the gap, and does not recover them.
    DropOldest,
    /// A new publication replaces a waiting one, even if there is room. This is for values that change, such as those of
    /// charts. A client that reconnects gets only the latest value.
    Latest,
}

/// The clients that may perform an action in a channel. [`Rights`](crate::auth::Rights) in a token can add to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// Every connected client.
    #[default]
    Everybody,
    /// Every client with a user name, but no anonymous session.
    Users,
    /// Only clients whose token has the right.
    TokenOnly,
}

impl Namespace {
    /// The name of the [default namespace](crate::Builder::default_namespace).
    pub const OTHERS: &'static str = "*";

    /// Every client may subscribe and publish. This is the same as the default value.
    pub fn open() -> Self {
        Self::default()
    }

    /// Only clients whose token has the right may subscribe and publish.
    pub fn closed() -> Self {
        Self::default().subscribe(Access::TokenOnly).publish(Access::TokenOnly)
    }

    /// Keeps a history for its channels. A client that reconnects gets missed publications from it, and clients can read it.
    /// Default: no history.
    #[must_use]
    pub fn history(self, history: History) -> Self {
        Self { history: Some(history), ..self }
    }

    /// Sets the clients that may subscribe and read the history. Default: every client.
    #[must_use]
    pub fn subscribe(self, access: Access) -> Self {
        Self { subscribe: access, ..self }
    }

    /// Sets the clients that may publish. Default: every client. The server itself may always publish.
    #[must_use]
    pub fn publish(self, access: Access) -> Self {
        Self { publish: access, ..self }
    }

    /// Sets the clients that may see the members. Default: no client.
    #[must_use]
    pub fn presence(self, access: Access) -> Self {
        Self { presence: Some(access), ..self }
    }

    /// Notifies subscribers of joining and leaving users, if they may see the members. A user leaves when the last session has
    /// left and no session of the user comes back within `grace`.
    #[must_use]
    pub fn join_leave(self, grace: Duration) -> Self {
        Self { join_leave: Some(grace), ..self }
    }

    /// Sets the policy for publications that a session does not take in time. Default: [`Overflow::Disconnect`].
    #[must_use]
    pub fn overflow(self, overflow: Overflow) -> Self {
        Self { overflow, ..self }
    }

    /// Sends its publications before those of other channels in every queue: for alarms.
    #[must_use]
    pub fn urgent(self) -> Self {
        Self { urgent: true, ..self }
    }
}

/// The limits of a channel's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct History {
    /// The maximum number of publications.
    pub size: usize,
    /// The time for which a publication is kept.
    pub ttl: Duration,
    /// The maximum size of the payloads in bytes. The newest publication is kept regardless of its size.
    pub bytes: usize,
}

impl History {
    /// Keeps the last `size` publications of a channel, each for `ttl`, and at most 8 MiB of them.
    pub const fn new(size: usize, ttl: Duration) -> Self {
        Self { size, ttl, bytes: 8 * 1024 * 1024 }
    }

    /// The same history with another limit in bytes.
    #[must_use]
    pub const fn with_bytes(self, bytes: usize) -> Self {
        Self { bytes, ..self }
    }
}

/// The namespace of the channels of users. Their names begin with it.
const USERS: &str = "@";

/// The namespaces with rules of their own, and the rules for all others.
#[derive(Debug)]
pub(crate) struct Namespaces {
    by_name: HashMap<Box<str>, Namespace>,
    /// For the channels of users.
    users: Namespace,
    /// For all other channels.
    default: Namespace,
    /// `true` if the program has set `default`.
    has_default: bool,
}

impl Default for Namespaces {
    fn default() -> Self {
        // A message to a user can be recovered after a short break of the connection.
        let history = History::new(100, Duration::from_secs(600)).with_bytes(256 * 1024);
        let users = Namespace::default().history(history);
        Self { by_name: HashMap::new(), users, default: Namespace::closed(), has_default: false }
    }
}

impl Namespaces {
    pub(crate) fn insert(&mut self, name: Box<str>, namespace: Namespace) {
        match &*name {
            USERS => self.users = namespace,
            Namespace::OTHERS => self.set_default(namespace),
            _ => drop(self.by_name.insert(name, namespace)),
        }
    }

    pub(crate) fn set_default(&mut self, namespace: Namespace) {
        (self.default, self.has_default) = (namespace, true);
    }

    /// `true` if the program has no rule for a channel.
    pub(crate) fn is_unruled(&self, channel: &ChannelName) -> bool {
        let name = channel.as_str();
        !self.has_default && !name.starts_with(USERS) && !self.by_name.contains_key(channel.namespace())
    }

    pub(crate) fn has_default(&self) -> bool {
        self.has_default
    }

    /// The rules for channels that have none of their own.
    pub(crate) fn default_namespace(&self) -> &Namespace {
        &self.default
    }

    /// The rules for a channel.
    pub(crate) fn of(&self, channel: &ChannelName) -> &Namespace {
        if channel.as_str().starts_with(USERS) {
            return &self.users;
        }
        // Most hubs have no rules at all.
        if self.by_name.is_empty() {
            return &self.default;
        }
        self.by_name.get(channel.namespace()).unwrap_or(&self.default)
    }
}

impl Namespace {
    /// `true` if a session of that user may perform the action without a right of its own.
    pub(crate) fn allows(&self, action: Action, user: &str) -> bool {
        let access = match action {
            Action::Subscribe => self.subscribe,
            Action::Publish => self.publish,
            Action::Presence => self.presence.unwrap_or(Access::TokenOnly),
        };
        match access {
            Access::Everybody => true,
            Access::Users => !user.is_empty(),
            Access::TokenOnly => false,
        }
    }

    pub(crate) fn lane(&self) -> Lane {
        if self.urgent { Lane::Urgent } else { Lane::Normal }
    }
}
