//! The hub's part of an accept loop: the admission of connections, and the data of a connection for its handshake.
//!
//! `wirehub_server::run` is such a loop. A program with its own loop applies the hub's bounds on connections in the same way:
//!
//! 1. [`Slots::free`] waits for room.
//! 2. [`Hub::admit`] counts the connection for its address, or refuses it.
//! 3. The [`Admission`] goes into the extensions of each request of the connection. The handshake of a WebSocket takes the
//!    slot, the address and the way to the bare stream from it.
//!
//! Under `axum::serve` there is no admission. Then only WebSockets are counted.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;
use hyper::upgrade::Upgraded;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::Hub;
use crate::hub::addresses::AddressCharge;
use crate::refusals::RefusalReason;
use crate::upgrade::client_address::{charged_address, client_address, network_of};
use crate::upgrade::handshake;

pub use crate::socket::Transport;
pub use crate::upgrade::client_address::PeerAddress;
pub use crate::upgrade::client_address::{TrustedProxy, TrustedProxyError};
pub use crate::upgrade::host::{BadHost, check_host};
pub use crate::upgrade::origin::{Origin, OriginError};

/// Takes the bare stream out of an upgraded connection, with the bytes that were read behind the handshake. Returns the
/// connection if its stream has another type.
pub type Detach = fn(Upgraded) -> Result<(Transport, Bytes), Upgraded>;

/// The slots for connections of every kind: [`Builder::max_connections`](crate::Builder::max_connections).
#[derive(Debug, Clone)]
pub struct Slots(Arc<Semaphore>);

impl Slots {
    fn new(slots: usize) -> Self {
        Self(Arc::new(Semaphore::new(slots.min(Semaphore::MAX_PERMITS))))
    }

    /// Waits for a free slot. May be dropped at any time.
    pub async fn free(&self) -> Slot {
        // The semaphore is never closed.
        let Ok(permit) = self.0.acquire().await else { return std::future::pending().await };
        // `Slot` frees the slot, and is smaller than this permit.
        permit.forget();
        Slot(Arc::clone(&self.0))
    }
}

/// The slot of one connection. Dropping it frees the slot.
#[derive(Debug)]
pub struct Slot(Arc<Semaphore>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

/// An admitted connection. Clones are the same connection. The slot is freed with the last clone, or with the WebSocket that
/// the connection becomes.
#[derive(Clone)]
pub struct Admission {
    peer: PeerAddress,
    request_timeout: Duration,
    detach: Detach,
    held: Arc<Mutex<Option<HeldSlot>>>,
}

type HeldSlot = (Slot, Option<Box<AddressCharge>>);

impl Admission {
    /// The time for the connection's TLS handshake, and for the head of each request.
    pub fn request_timeout(&self) -> Duration {
        self.request_timeout
    }

    pub(crate) fn peer(&self) -> PeerAddress {
        self.peer
    }

    pub(crate) fn detach(&self) -> Detach {
        self.detach
    }

    /// `true` if the connection counts for its address.
    pub(crate) fn has_charge(&self) -> bool {
        matches!(&*self.held.lock(), Some((_, Some(_))))
    }

    pub(crate) fn take_slot(&self) -> Option<HeldSlot> {
        self.held.lock().take()
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission").field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl Hub {
    /// The slots of an accept loop. Each call makes new ones, so a process with two loops has twice as many.
    pub fn slots(&self) -> Slots {
        Slots::new(self.live().max_connections)
    }

    /// Admits a connection. `None` if its address has too many connections even for an answer. Such a connection is counted and
    /// logged here, and should be closed at once.
    pub fn admit(&self, peer: PeerAddress, slot: Slot, detach: Detach) -> Option<Admission> {
        let live = self.live();
        let (charged, is_spare) = match charged_address(peer, &live.proxies) {
            None => (None, false),
            Some(address) => match self.addresses().accept(address, live.addresses) {
                Ok(charged) => charged.map_or((None, false), |(charged, is_spare)| (Some(charged), is_spare)),
                Err(_) => {
                    let address = network_of(address).to_string();
                    self.note_refusal(
                        RefusalReason::Limit,
                        &address,
                        format_args!("{address} has too many connections: further ones are closed at once"),
                    );
                    return None;
                }
            },
        };
        let patience = if is_spare { SPARE_PATIENCE } else { Duration::MAX };
        Some(Admission {
            peer,
            request_timeout: live.handshake_timeout.min(patience),
            detach,
            held: Arc::new(Mutex::new(Some((slot, charged.map(Box::new))))),
        })
    }

    /// The IP address of the client of a request, taken from trusted proxies' headers if present; `None` if unknown. An accept loop
    /// has put an [`Admission`], or axum's `ConnectInfo<SocketAddr>`, into the request.
    pub fn client_address(&self, request: &Request) -> Option<IpAddr> {
        client_address(request, &self.live().proxies)
    }

    /// Counts a refused client. Logs `words` at most once in an hour for each `subject`, such as an address or a path.
    pub fn note_refusal(&self, reason: RefusalReason, subject: &str, words: impl fmt::Display) {
        let refusals = self.counters().refusals();
        refusals.count(reason);
        refusals.log_once(subject, words);
    }
}

/// The time for the request of a spare connection beyond its address's bound. It is open only for the refusal.
const SPARE_PATIENCE: Duration = Duration::from_secs(1);

/// Returns `true` if a request asks for a WebSocket.
pub fn asks_for_websocket(headers: &HeaderMap) -> bool {
    handshake::asks_for_websocket(headers)
}

/// Returns `true` if a response refuses a handshake at a hub. The hub has counted and logged it.
pub fn is_refused_handshake(response: &Response) -> bool {
    response.extensions().get::<handshake::RefusedHandshake>().is_some()
}

impl From<SocketAddr> for PeerAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address.ip().to_canonical())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_slot_is_held_until_the_websocket_of_its_connection_ends() {
        let hub = Hub::builder().max_connections(1).build();
        let slots = hub.slots();
        let slot = slots.free().await;
        let admission = hub.admit(PeerAddress::Unix, slot, Err).unwrap();
        // A WebSocket holds its slot in the same way after the response to its request.
        let held = admission.take_slot();
        drop(admission);
        assert!(slots.free().now_or_never().is_none());
        drop(held);
        assert!(slots.free().now_or_never().is_some());
    }
}
