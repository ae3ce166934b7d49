//! The registry of sessions.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};

use wirehub_common::Codec;
use wirehub_common::frame::Member;

use super::SessionId;
use super::sharded::Sharded;
use super::shared_frame::SharedFrame;
use crate::session::mailbox::Mailbox;
use crate::session::queue::Lane;
use crate::unix_time;

/// A session, as the hub and its channels hold it.
#[cfg_attr(not(feature = "api"), allow(dead_code, reason = "some of it is for operators alone"))]
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
    pub(crate) mailbox: Mailbox,
}

/// Who a session is, as others see it.
pub(crate) struct Identity {
    /// Empty for an anonymous one.
    pub(crate) user: Arc<str>,
    /// A JSON text.
    pub(crate) info: Option<Arc<str>>,
}

impl Peer {
    pub(crate) fn new(id: SessionId, codec: Codec, address: Option<IpAddr>, mailbox: Mailbox) -> Self {
        let since = unix_time::now();
        Self { id, identity: OnceLock::new(), codec, address, since, channels: AtomicU32::new(0), mailbox }
    }

    /// It is known who the session is. The first one is for good.
    pub(crate) fn set_identity(&self, identity: Identity) {
        if !identity.user.is_empty() || identity.info.is_some() {
            let _ = self.identity.set(Box::new(identity));
        }
    }

    /// The session's user; empty for an anonymous one.
    pub(crate) fn user(&self) -> Arc<str> {
        Arc::clone(self.identity.get().map_or(&NOBODY, |identity| &identity.user))
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

/// The name of those who have none.
static NOBODY: LazyLock<Arc<str>> = LazyLock::new(|| "".into());

/// All connections that speak Wirehub, and how many of them are connected sessions.
pub(crate) struct Sessions {
    entries: Sharded<SessionId, Entry>,
    connected: AtomicUsize,
    /// How many sessions each user has, of those that are counted.
    of_users: Sharded<Arc<str>, u32>,
}

struct Entry {
    peer: Arc<Peer>,
    connected: bool,
    /// Whether it is one of its user's sessions in `of_users`.
    counted: bool,
}

impl Sessions {
    pub(crate) fn new() -> Self {
        Self { entries: Sharded::new(), connected: AtomicUsize::new(0), of_users: Sharded::new() }
    }

    /// Adds a connection that has not sent `connect` yet.
    pub(crate) fn add(&self, peer: Arc<Peer>) {
        let shard = self.entries.shard(&peer.id);
        shard.write().insert(peer.id, Entry { peer, connected: false, counted: false });
    }

    /// The connection is a session from now on.
    pub(crate) fn connected(&self, id: SessionId) {
        if let Some(entry) = self.entries.shard(&id).write().get_mut(&id)
            && !std::mem::replace(&mut entry.connected, true)
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
        if let Some(entry) = self.entries.shard(&id).write().get_mut(&id) {
            entry.counted = true;
        }
        true
    }

    /// Forgets a connection.
    pub(crate) fn remove(&self, id: SessionId) {
        let Some(entry) = self.entries.shard(&id).write().remove(&id) else { return };
        if entry.connected {
            self.connected.fetch_sub(1, Ordering::Relaxed);
        }
        if entry.counted {
            let user = entry.peer.user();
            let mut users = self.of_users.shard(&user).write();
            match users.get_mut(&user) {
                Some(count) if *count > 1 => *count = count.saturating_sub(1),
                _ => drop(users.remove(&user)),
            }
        }
    }

    /// A connected session.
    pub(crate) fn find(&self, id: SessionId) -> Option<Arc<Peer>> {
        let shard = self.entries.shard(&id).read();
        shard.get(&id).filter(|entry| entry.connected).map(|entry| Arc::clone(&entry.peer))
    }

    /// The connected sessions, in no order.
    pub(crate) fn members(&self) -> Vec<Member> {
        let mut members = Vec::new();
        for shard in self.entries.shards() {
            members.extend(
                shard.read().values().filter(|entry| entry.connected).map(|entry| entry.peer.shown()),
            );
        }
        members
    }

    /// The connected sessions, in no order.
    #[cfg(feature = "api")]
    pub(crate) fn connected_peers(&self) -> Vec<Arc<Peer>> {
        let mut peers = Vec::new();
        for shard in self.entries.shards() {
            let shard = shard.read();
            peers.extend(shard.values().filter(|entry| entry.connected).map(|entry| Arc::clone(&entry.peer)));
        }
        peers
    }

    /// The sessions of a user, also those whose `connect` is not answered yet. Without a name: the connected anonymous ones.
    pub(crate) fn of_user(&self, user: &str) -> Vec<Arc<Peer>> {
        let mut peers = Vec::new();
        for shard in self.entries.shards() {
            let shard = shard.read();
            let is_known = |entry: &&Entry| entry.connected || !user.is_empty();
            let theirs = shard.values().filter(is_known).filter(|entry| *entry.peer.user() == *user);
            peers.extend(theirs.map(|entry| Arc::clone(&entry.peer)));
        }
        peers
    }

    /// How many sessions are connected.
    pub(crate) fn count(&self) -> usize {
        self.connected.load(Ordering::Relaxed)
    }

    /// All connections, connected or not.
    pub(crate) fn all(&self) -> Vec<Arc<Peer>> {
        let mut peers = Vec::new();
        for shard in self.entries.shards() {
            peers.extend(shard.read().values().map(|entry| Arc::clone(&entry.peer)));
        }
        peers
    }

    /// Queues a frame for every connected session.
    pub(crate) fn broadcast(&self, frame: &mut SharedFrame) {
        self.for_each(|peer| peer.mailbox.push(Lane::Normal, frame.bytes(peer.codec)));
    }

    /// Does something with every connected session.
    pub(crate) fn for_each(&self, mut act: impl FnMut(&Arc<Peer>)) {
        for shard in self.entries.shards() {
            shard.read().values().filter(|entry| entry.connected).for_each(|entry| act(&entry.peer));
        }
    }
}
