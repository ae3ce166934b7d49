//! The registry of sessions.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use wirehub_common::Codec;
use wirehub_common::frame::Member;

use super::SessionId;
use super::sharded::Sharded;
use super::shared_frame::SharedFrame;
use crate::session::outbox::{Lane, Outbox};

/// A session, as the hub and its channels hold it.
pub(crate) struct Peer {
    pub(crate) id: SessionId,
    /// Set when it is connected.
    user: OnceLock<Arc<str>>,
    pub(crate) codec: Codec,
    pub(crate) outbox: Outbox,
}

impl Peer {
    pub(crate) fn new(id: SessionId, codec: Codec, outbox: Outbox) -> Self {
        Self { id, user: OnceLock::new(), codec, outbox }
    }

    /// The session has got a user. The first one is for good.
    pub(crate) fn set_user(&self, user: Arc<str>) {
        let _ = self.user.set(user);
    }

    /// The session's user; empty for an anonymous one.
    pub(crate) fn user(&self) -> Arc<str> {
        self.user.get().map_or_else(|| "".into(), Arc::clone)
    }

    /// The session, as others see it.
    pub(crate) fn member(&self) -> Member {
        Member { session: self.id.to_string(), user: (*self.user()).into() }
    }
}

/// All connections that speak Wirehub, and how many of them are connected sessions.
pub(crate) struct Sessions {
    entries: Sharded<SessionId, Entry>,
    connected: AtomicUsize,
}

struct Entry {
    peer: Arc<Peer>,
    connected: bool,
}

impl Sessions {
    pub(crate) fn new() -> Self {
        Self { entries: Sharded::new(), connected: AtomicUsize::new(0) }
    }

    /// Adds a connection that has not sent `connect` yet.
    pub(crate) fn add(&self, peer: Arc<Peer>) {
        let shard = self.entries.shard(&peer.id);
        shard.write().insert(peer.id, Entry { peer, connected: false });
    }

    /// The connection is a session from now on.
    pub(crate) fn connected(&self, id: SessionId) {
        if let Some(entry) = self.entries.shard(&id).write().get_mut(&id)
            && !std::mem::replace(&mut entry.connected, true)
        {
            self.connected.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Forgets a connection.
    pub(crate) fn remove(&self, id: SessionId) {
        let removed = self.entries.shard(&id).write().remove(&id);
        if removed.is_some_and(|entry| entry.connected) {
            self.connected.fetch_sub(1, Ordering::Relaxed);
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
                shard.read().values().filter(|entry| entry.connected).map(|entry| entry.peer.member()),
            );
        }
        members
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
        for shard in self.entries.shards() {
            for entry in shard.read().values().filter(|entry| entry.connected) {
                entry.peer.outbox.push(Lane::Normal, frame.bytes(entry.peer.codec));
            }
        }
    }
}
