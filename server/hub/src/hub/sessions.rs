//! The registry of sessions.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};
use std::task::Wake;

use wirehub_common::Codec;
use wirehub_common::frame::Member;

use super::SessionId;
use super::sharded::Sharded;
use super::shared_frame::SharedFrame;
use crate::account::{self, decrement};
use crate::session::mailbox::Mailbox;
use crate::session::queue::Lane;
use crate::shared_state::SharedState;
use crate::unix_time;

/// A session, as the hub and its channels hold it.
pub(crate) struct Peer {
    pub(crate) id: SessionId,
    /// Set when it is connected, if there is something to say.
    identity: OnceLock<Box<Identity>>,
    pub(crate) codec: Codec,
    /// Where it comes from, if that is to be known.
    pub(crate) address: Option<IpAddr>,
    /// When its WebSocket was opened, in milliseconds since 1970.
    pub(crate) since: u64,
    /// How many channels it is subscribed to: for people to look at, and nothing that one could rely on.
    pub(crate) channels: AtomicU32,
    /// Whether it is a session, and no longer a connection that may become one. Set while its registry has it.
    is_connected: AtomicBool,
    /// Whether it is one of its user's sessions that are counted. Set while its registry has it.
    is_counted: AtomicBool,
    pub(crate) mailbox: Mailbox,
}

/// The identity of a session. Sessions are many: a rare field is in a box.
pub(crate) struct Identity {
    pub(crate) name: Name,
    /// The info for others, a JSON text.
    pub(crate) info: Option<Arc<str>>,
    /// A value of the application, for its handlers and hooks.
    pub(crate) state: Option<Box<SharedState>>,
}

/// The name of a session.
pub(crate) enum Name {
    User(Arc<str>),
    /// The client's own number, if it has one, which nobody else sees.
    Anonymous(Option<NonZeroU64>),
}

impl Identity {
    /// An identity without anything beside the name. An empty user is anonymous.
    #[cfg(test)]
    pub(crate) fn named(user: &str, instance: Option<NonZeroU64>) -> Self {
        let name = if user.is_empty() { Name::Anonymous(instance) } else { Name::User(user.into()) };
        Self { name, info: None, state: None }
    }
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

    /// It is known who the session is. The first one is for good.
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

    /// Which anonymous client it is, as far as that is known: its sessions are one after the other.
    pub(crate) fn instance(&self) -> Option<NonZeroU64> {
        match self.identity.get()?.name {
            Name::Anonymous(instance) => instance,
            Name::User(_) => None,
        }
    }

    /// The value that the application keeps for the session.
    pub(crate) fn state(&self) -> Option<SharedState> {
        self.identity.get()?.state.as_deref().cloned()
    }

    /// The session, as its publications name it.
    pub(crate) fn member(&self) -> Member {
        Member { session: self.id.to_string(), user: (*self.user()).into(), info: String::new() }
    }

    /// The session, with what is shown of it to those who see who is there.
    pub(crate) fn shown(&self) -> Member {
        let info = self.identity.get().and_then(|identity| identity.info.as_deref());
        Member { info: info.unwrap_or_default().into(), ..self.member() }
    }
}

// The program's allocator has classes of 48 and 64 bytes.
const _: () = assert!(size_of::<Identity>() <= 48);

/// Calls the session's task, for whatever that waits for.
impl Wake for Peer {
    fn wake(self: Arc<Self>) {
        self.mailbox.wake_for_everything();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.mailbox.wake_for_everything();
    }
}

/// The name of those who have none.
static NOBODY: LazyLock<Arc<str>> = LazyLock::new(|| "".into());

/// All connections that speak Wirehub, and how many of them are connected sessions.
pub(crate) struct Sessions {
    entries: Sharded<Entry, ()>,
    connected: AtomicUsize,
    /// How many sessions each user has, of those that are counted.
    of_users: Sharded<Arc<str>, u32>,
}

/// A connection by its id, which is where it is anyway: so an entry takes no more room than a pointer.
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

    /// The connection is a session from now on.
    pub(crate) fn connected(&self, id: SessionId) {
        if let Some((Entry(peer), ())) = self.entries.shard(&id).read().get_key_value(&id)
            && !peer.is_connected.swap(true, Ordering::Relaxed)
        {
            self.connected.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a connection as one of its user's sessions; `false` where there are as many as there may be.
    pub(crate) fn count_for(&self, id: SessionId, user: &Arc<str>, limit: u32) -> bool {
        {
            let mut users = self.of_users.shard(user).write();
            let count = users.entry(Arc::clone(user)).or_default();
            if *count >= limit {
                return false;
            }
            *count = count.saturating_add(1);
        }
        if let Some((Entry(peer), ())) = self.entries.shard(&id).read().get_key_value(&id) {
            peer.is_counted.store(true, Ordering::Relaxed);
        }
        true
    }

    /// Forgets a connection.
    pub(crate) fn remove(&self, id: SessionId) {
        let Some((Entry(peer), ())) = self.entries.shard(&id).write().remove_entry(&id) else { return };
        if peer.is_connected() {
            account::subtract_shared(&self.connected, 1);
        }
        if peer.is_counted.load(Ordering::Relaxed) {
            let user = peer.user();
            let mut users = self.of_users.shard(&user).write();
            match users.get_mut(&user) {
                Some(count) if *count > 1 => decrement(count),
                _ => drop(users.remove(&user)),
            }
        }
    }

    /// A connected session.
    pub(crate) fn find(&self, id: SessionId) -> Option<Arc<Peer>> {
        let shard = self.entries.shard(&id).read();
        let (Entry(peer), ()) = shard.get_key_value(&id)?;
        peer.is_connected().then(|| Arc::clone(peer))
    }

    /// The connected sessions, in no order.
    pub(crate) fn members(&self) -> Vec<Member> {
        let mut members = Vec::new();
        self.for_each(|peer| members.push(peer.shown()));
        members
    }

    /// The connected sessions, in no order.
    pub(crate) fn connected_peers(&self) -> Vec<Arc<Peer>> {
        self.those(Peer::is_connected)
    }

    /// The sessions of a user, also those whose `connect` is not answered yet. There is none without a name.
    pub(crate) fn of_user(&self, user: &str) -> Vec<Arc<Peer>> {
        self.those(|peer| !user.is_empty() && *peer.user() == *user)
    }

    /// How many sessions are connected.
    pub(crate) fn count(&self) -> usize {
        self.connected.load(Ordering::Relaxed)
    }

    /// All connections, connected or not.
    pub(crate) fn all(&self) -> Vec<Arc<Peer>> {
        self.those(|_| true)
    }

    /// Queues a frame for every connected session.
    pub(crate) fn broadcast(&self, frame: &mut SharedFrame) {
        self.for_each(|peer| peer.mailbox.push(Lane::Normal, frame.bytes(peer.codec)));
    }

    /// Does something with every connected session.
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
