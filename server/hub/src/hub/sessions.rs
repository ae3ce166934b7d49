//! The registry of sessions.

use std::borrow::{Borrow, Cow};
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};
use std::task::Wake;

use wirehub_common::Codec;
use wirehub_common::contract::hash_text;
use wirehub_common::frame::Member;

use super::SessionId;
use super::sharded::Sharded;
use super::shared_frame::SharedFrame;
use crate::checked_subtraction::{self, decrement};
use crate::session::mailbox::Mailbox;
use crate::session::queue::Lane;
use crate::shared_state::SharedState;
use crate::unix_time;

/// A connection or session, as the hub and its channels hold it.
pub(crate) struct Peer {
    pub(crate) id: SessionId,
    /// Set when the session connects. Absent if it has nothing to hold.
    identity: OnceLock<Box<Identity>>,
    pub(crate) codec: Codec,
    /// The address of the client, if known.
    pub(crate) address: Option<IpAddr>,
    /// The time of the WebSocket's opening, in milliseconds since 1970.
    pub(crate) since: u64,
    /// The number of subscriptions, for display. No code may rely on it.
    pub(crate) channels: AtomicU32,
    /// `true` after the connection has become a session. Set only while the registry contains the connection.
    is_connected: AtomicBool,
    /// `true` if the session counts for its user. Set only while the registry contains the connection.
    is_counted: AtomicBool,
    pub(crate) mailbox: Mailbox,
}

/// The identity of a session. There are many sessions, so rare fields are boxed.
pub(crate) struct Identity {
    pub(crate) name: Name,
    /// The public information, as JSON.
    pub(crate) info: Option<Arc<str>>,
    /// A value of the application, for its handlers and hooks.
    pub(crate) state: Option<Box<SharedState>>,
}

/// The name of a session.
pub(crate) enum Name {
    User(Arc<str>),
    /// The number of the client, if it has one. Other clients do not see it.
    Anonymous(Option<NonZeroU64>),
}

impl Identity {
    /// An identity with nothing but a name. An empty user is anonymous.
    #[cfg(test)]
    pub(crate) fn named(user: &str, instance: Option<NonZeroU64>) -> Self {
        let name = if user.is_empty() { Name::Anonymous(instance) } else { Name::User(user.into()) };
        Self { name, info: None, state: None }
    }
}

/// The number of the anonymous client with this instance name; `None` for an empty name. It is the same after a restart. The
/// names are random and secret, so no client can choose one with the number of another.
pub(crate) fn instance_number(name: &str) -> Option<NonZeroU64> {
    (!name.is_empty()).then(|| NonZeroU64::new(hash_text(name)).unwrap_or(NonZeroU64::MIN))
}

impl Peer {
    pub(crate) fn new(id: SessionId, codec: Codec, address: Option<IpAddr>, mailbox: Mailbox) -> Self {
        Self {
            id,
            identity: OnceLock::new(),
            codec,
            address,
            since: unix_time::now(),
            channels: AtomicU32::new(0),
            is_connected: AtomicBool::new(false),
            is_counted: AtomicBool::new(false),
            mailbox,
        }
    }

    fn is_connected(&self) -> bool {
        self.is_connected.load(Ordering::Relaxed)
    }

    fn is_counted(&self) -> bool {
        self.is_counted.load(Ordering::Relaxed)
    }

    /// Sets the identity. The first one stays.
    pub(crate) fn set_identity(&self, identity: Identity) {
        let is_nobody = matches!(identity.name, Name::Anonymous(None));
        if !is_nobody || identity.info.is_some() || identity.state.is_some() {
            let _ = self.identity.set(Box::new(identity));
        }
    }

    /// The session's user; empty for an anonymous one.
    pub(crate) fn user(&self) -> Arc<str> {
        let user = match self.identity.get().map(|identity| &identity.name) {
            Some(Name::User(user)) => user,
            Some(Name::Anonymous(_)) | None => &NOBODY,
        };
        Arc::clone(user)
    }

    /// The number of an anonymous client, if known. Successive sessions of the client have the same one.
    pub(crate) fn instance(&self) -> Option<NonZeroU64> {
        match self.identity.get()?.name {
            Name::Anonymous(instance) => instance,
            Name::User(_) => None,
        }
    }

    /// The owner of the session's keys of publishes: its user, the anonymous client, or the session alone. A client that comes
    /// back as another owner can't repeat a publish.
    pub(crate) fn key_owner(&self) -> Cow<'_, str> {
        // No user's name has a control character.
        match self.identity.get().map(|identity| &identity.name) {
            Some(Name::User(user)) => Cow::Borrowed(user),
            Some(Name::Anonymous(Some(instance))) => format!("\u{2}{instance:x}").into(),
            Some(Name::Anonymous(None)) | None => format!("\u{3}{}", self.id).into(),
        }
    }

    /// The value of the application for the session.
    pub(crate) fn state(&self) -> Option<SharedState> {
        self.identity.get()?.state.as_deref().cloned()
    }

    /// The session as the publisher of its publications.
    pub(crate) fn member(&self) -> Member {
        Member { session: self.id.to_string(), user: (*self.user()).into(), info: String::new() }
    }

    /// The session with its public information, for clients that may see the members.
    pub(crate) fn shown(&self) -> Member {
        let info = self.identity.get().and_then(|identity| identity.info.as_deref());
        Member { info: info.unwrap_or_default().into(), ..self.member() }
    }
}

// The program's allocator has classes of 48 and 64 bytes.
const _: () = assert!(size_of::<Identity>() <= 48);

/// Wakes the session's task for everything for which it can wait.
impl Wake for Peer {
    fn wake(self: Arc<Self>) {
        self.mailbox.wake_for_everything();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.mailbox.wake_for_everything();
    }
}

/// The user name of anonymous sessions.
static NOBODY: LazyLock<Arc<str>> = LazyLock::new(|| "".into());

/// All connections with the protocol of Wirehub, and the number of connected sessions among them.
pub(crate) struct Sessions {
    entries: Sharded<Entry, ()>,
    connected: AtomicUsize,
    /// The number of counted sessions of each user.
    of_users: Sharded<Arc<str>, u32>,
}

/// A connection, by its id. The id is in the peer already, so an entry takes no more room than a pointer.
struct Entry(Arc<Peer>);

impl Borrow<SessionId> for Entry {
    fn borrow(&self) -> &SessionId {
        &self.0.id
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for Entry {}

impl Hash for Entry {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id.hash(state);
    }
}

impl Sessions {
    pub(crate) fn new() -> Self {
        Self { entries: Sharded::new(), connected: AtomicUsize::new(0), of_users: Sharded::new() }
    }

    /// Adds a connection that has not sent `connect` yet.
    pub(crate) fn add(&self, peer: Arc<Peer>) {
        let shard = self.entries.shard(&peer.id);
        shard.write().insert(Entry(peer), ());
    }

    /// Marks the connection as a session.
    pub(crate) fn connected(&self, id: SessionId) {
        if let Some((Entry(peer), ())) = self.entries.shard(&id).read().get_key_value(&id)
            && !peer.is_connected.swap(true, Ordering::Relaxed)
        {
            self.connected.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a connection as a session of its user. Returns `false` if the user has the maximum number of sessions.
    pub(crate) fn count_for(&self, id: SessionId, user: &Arc<str>, limit: u32) -> bool {
        {
            let mut users = self.of_users.shard(user).write();
            let count = users.entry(Arc::clone(user)).or_default();
            if *count >= limit {
                return false;
            }
            *count = count.saturating_add(1);
        }
        self.set_counted(id);
        true
    }

    /// Notes that a connection is counted for its user by the engine.
    pub(crate) fn set_counted(&self, id: SessionId) {
        if let Some((Entry(peer), ())) = self.entries.shard(&id).read().get_key_value(&id) {
            peer.is_counted.store(true, Ordering::Relaxed);
        }
    }

    /// The connections that are counted for their users.
    pub(super) fn counted(&self) -> Vec<Arc<Peer>> {
        self.those(Peer::is_counted)
    }

    /// `true` if the connection is open.
    pub(super) fn contains(&self, id: SessionId) -> bool {
        self.entries.shard(&id).read().contains_key(&id)
    }

    /// Removes a connection. Returns `true` if it was counted for its user.
    pub(crate) fn remove(&self, id: SessionId) -> bool {
        let Some((Entry(peer), ())) = self.entries.shard(&id).write().remove_entry(&id) else { return false };
        if peer.is_connected() {
            checked_subtraction::subtract_shared(&self.connected, 1);
        }
        let is_counted = peer.is_counted();
        if is_counted {
            let user = peer.user();
            let mut users = self.of_users.shard(&user).write();
            match users.get_mut(&user) {
                Some(count) if *count > 1 => decrement(count),
                _ => drop(users.remove(&user)),
            }
        }
        is_counted
    }

    /// A connected session.
    pub(crate) fn find(&self, id: SessionId) -> Option<Arc<Peer>> {
        let shard = self.entries.shard(&id).read();
        let (Entry(peer), ()) = shard.get_key_value(&id)?;
        peer.is_connected().then(|| Arc::clone(peer))
    }

    /// The connected sessions, in no order.
    pub(crate) fn connected_peers(&self) -> Vec<Arc<Peer>> {
        self.those(Peer::is_connected)
    }

    /// The sessions of a user, including those whose `connect` is not answered yet. Empty for an empty name.
    pub(crate) fn of_user(&self, user: &str) -> Vec<Arc<Peer>> {
        self.those(|peer| !user.is_empty() && *peer.user() == *user)
    }

    /// The number of connected sessions.
    pub(crate) fn count(&self) -> usize {
        self.connected.load(Ordering::Relaxed)
    }

    /// All connections, including those that are not connected sessions.
    pub(crate) fn all(&self) -> Vec<Arc<Peer>> {
        self.those(|_| true)
    }

    /// Queues a frame for every connected session.
    pub(crate) fn broadcast(&self, frame: &mut SharedFrame) {
        self.for_each(|peer| peer.mailbox.push(Lane::Normal, frame.bytes(peer.codec)));
    }

    /// Calls `act` for every connected session.
    pub(crate) fn for_each(&self, mut act: impl FnMut(&Arc<Peer>)) {
        for shard in self.entries.shards() {
            shard.read().keys().filter(|entry| entry.0.is_connected()).for_each(|entry| act(&entry.0));
        }
    }

    fn those(&self, is_wanted: impl Fn(&Peer) -> bool) -> Vec<Arc<Peer>> {
        let mut peers = Vec::new();
        for shard in self.entries.shards() {
            let shard = shard.read();
            peers.extend(shard.keys().filter(|entry| is_wanted(&entry.0)).map(|entry| Arc::clone(&entry.0)));
        }
        peers
    }
}
