//! Rules of channels, by the namespace in their names.

use std::collections::HashMap;
use std::time::Duration;

use wirehub_common::ChannelName;

use crate::auth::Action;
use crate::session::queue::Lane;

/// What holds for the channels of one namespace: those whose names begin with it and a `:`.
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
/// # assert_eq!(hub.sessions(), 0);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Namespace {
    /// The history that its channels keep.
    pub history: Option<History>,
    /// Whether its publications go before those of other channels.
    pub urgent: bool,
    /// The clients that may subscribe and read the history.
    pub subscribe: Access,
    /// The clients that may publish.
    pub publish: Access,
    /// The clients that may see the members; `None`: only those with the right.
    pub presence: Option<Access>,
    /// The grace of leaving users, where joins and leaves are published.
    pub join_leave: Option<Duration>,
    /// The treatment of publications for which a session's queue has no room.
    pub overflow: Overflow,
}

/// What becomes of a channel's publications where a session's queue has no room for them: see
/// [`Builder::queue_bytes`](crate::Builder::queue_bytes).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// The session is [closed](wirehub_common::code::CloseCode::SLOW_CONSUMER); it comes back, and recovers what the
    /// channel's history has.
    #[default]
    Disconnect,
    /// The oldest that wait are dropped. The client is told that there is a gap, and does not ask for them.
    DropOldest,
    /// Only the latest counts: it takes the place of one that waits, whether or not there is room. For values that
    /// change, such as those of charts. Who comes back gets the latest alone.
    Latest,
}

/// Who may do something in a channel. [`Rights`](crate::auth::Rights) in a token let their bearer in where this does not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// Everybody who is connected.
    #[default]
    Everybody,
    /// Everybody who has a name: no anonymous session.
    Users,
    /// Only clients whose token has the right.
    TokenOnly,
}

impl Namespace {
    /// The name of the [default namespace](crate::Builder::default_namespace).
    pub const OTHERS: &'static str = "*";

    /// Every client may subscribe and publish: the same as the default value.
    pub fn open() -> Self {
        Self::default()
    }

    /// Only clients whose token has the right may subscribe and publish.
    pub fn closed() -> Self {
        Self::default().subscribe(Access::TokenOnly).publish(Access::TokenOnly)
    }

    /// Its channels keep history: who comes back gets what was missed, and what was published can be read. Without this
    /// nothing is kept.
    #[must_use]
    pub fn history(self, history: History) -> Self {
        Self { history: Some(history), ..self }
    }

    /// Who may subscribe, and read the history. Everybody without this.
    #[must_use]
    pub fn subscribe(self, access: Access) -> Self {
        Self { subscribe: access, ..self }
    }

    /// Who may publish. Everybody without this; the server itself always does.
    #[must_use]
    pub fn publish(self, access: Access) -> Self {
        Self { publish: access, ..self }
    }

    /// Who may see who is there. Nobody without this.
    #[must_use]
    pub fn presence(self, access: Access) -> Self {
        Self { presence: Some(access), ..self }
    }

    /// Those of its subscribers who may see who is there are told when somebody comes and goes. A user whose last session
    /// has left is gone when none has come back within `grace`.
    #[must_use]
    pub fn join_leave(self, grace: Duration) -> Self {
        Self { join_leave: Some(grace), ..self }
    }

    /// What becomes of publications that a session does not take fast enough. [`Overflow::Disconnect`] without this.
    #[must_use]
    pub fn overflow(self, overflow: Overflow) -> Self {
        Self { overflow, ..self }
    }

    /// Its publications overtake those of others in every queue: for alarms.
    #[must_use]
    pub fn urgent(self) -> Self {
        Self { urgent: true, ..self }
    }
}

/// What a channel keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct History {
    /// At most so many publications.
    pub size: usize,
    /// Each for so long.
    pub ttl: Duration,
    /// At most so many bytes of payload; the newest publication is kept whatever its size.
    pub bytes: usize,
}

impl History {
    /// The last `size` publications of a channel, each for `ttl`, and at most 8 MiB of them.
    pub const fn new(size: usize, ttl: Duration) -> Self {
        Self { size, ttl, bytes: 8 * 1024 * 1024 }
    }

    /// The same with another bound in bytes.
    #[must_use]
    pub const fn with_bytes(self, bytes: usize) -> Self {
        Self { bytes, ..self }
    }
}

/// The namespace of the channels of users, whose names begin with it.
const USERS: &str = "@";

/// The namespaces that have rules of their own, and the rules for all others.
#[derive(Debug)]
pub(crate) struct Namespaces {
    by_name: HashMap<Box<str>, Namespace>,
    /// For the channels of users.
    users: Namespace,
    /// For all other channels.
    default: Namespace,
    /// Whether the program has said what `default` is.
    has_default: bool,
}

impl Default for Namespaces {
    fn default() -> Self {
        // What is sent to a user while the connection is broken is there a moment later.
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

    /// Whether no rule of the program is about a channel.
    pub(crate) fn is_unruled(&self, channel: &ChannelName) -> bool {
        let name = channel.as_str();
        !self.has_default && !name.starts_with(USERS) && !self.by_name.contains_key(channel.namespace())
    }

    pub(crate) fn has_default(&self) -> bool {
        self.has_default
    }

    /// The rules of the channels that have none of their own.
    pub(crate) fn default_namespace(&self) -> &Namespace {
        &self.default
    }

    /// What holds for a channel.
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
    /// Whether a session of that user may do something in its channels, without a right of its own.
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
