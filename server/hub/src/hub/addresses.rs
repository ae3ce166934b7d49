//! The connections and handshakes of each address.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::time::Instant;

use super::sharded::{Shard, Sharded, make_room};
use crate::checked_subtraction::decrement;
use crate::token_bucket::TokenBucket;
use crate::upgrade::client_address::network_of;

/// The bounds of an address; `None` for no bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct AddressLimits {
    /// The maximum number of open connections.
    pub(crate) connections: Option<u32>,
    /// The maximum number of handshakes in a second.
    pub(crate) handshakes: Option<u32>,
}

/// Counts the connections of each address. In IPv6 a network of 64 bits counts as one.
#[derive(Clone)]
pub(crate) struct Addresses(Arc<Sharded<IpAddr, AddressEntry>>);

#[derive(Default)]
struct AddressEntry {
    open: u32,
    handshakes: Option<Handshakes>,
}

struct Handshakes {
    per_second: u32,
    rate: TokenBucket,
}

/// The charge of an address for one connection, as long as it is open.
pub(crate) struct AddressCharge {
    addresses: Addresses,
    address: IpAddr,
}

/// The reason why an address may not open another connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TooMany {
    /// Too many open connections.
    Connections,
    /// Too many handshakes in a short time.
    Handshakes,
}

impl Addresses {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Sharded::new()))
    }

    /// Charges an address with another connection; `None` if there is no bound.
    pub(crate) fn enter(
        &self,
        address: IpAddr,
        limits: AddressLimits,
        now: Instant,
    ) -> Result<Option<AddressCharge>, TooMany> {
        if limits == AddressLimits::default() {
            return Ok(None);
        }
        let address = network_of(address);
        let shard = self.0.shard(&address);
        forget_idle(shard, now);
        let mut entries = shard.write();
        let entry = entries.entry(address).or_default();
        if limits.handshakes.is_some_and(|per_second| !entry.handshake(per_second, now)) {
            return Err(TooMany::Handshakes);
        }
        if limits.connections.is_some_and(|most| entry.open >= most) {
            return Err(TooMany::Connections);
        }
        entry.open = entry.open.saturating_add(1);
        Ok(Some(AddressCharge { addresses: self.clone(), address }))
    }

    /// Charges an address with an accepted connection before its first request. A few spare connections beyond the bound are
    /// accepted for requests and refusals, and are marked as spare.
    pub(crate) fn accept(
        &self,
        address: IpAddr,
        limits: AddressLimits,
    ) -> Result<Option<(AddressCharge, bool)>, TooMany> {
        let Some(most) = limits.connections else { return Ok(None) };
        let address = network_of(address);
        let shard = self.0.shard(&address);
        forget_idle(shard, Instant::now());
        let mut entries = shard.write();
        let entry = entries.entry(address).or_default();
        if entry.open >= most.saturating_add(SPARE) {
            return Err(TooMany::Connections);
        }
        entry.open = entry.open.saturating_add(1);
        let is_spare = entry.open > most;
        Ok(Some((AddressCharge { addresses: self.clone(), address }, is_spare)))
    }

    /// Checks the bounds when a charged connection becomes a WebSocket.
    pub(crate) fn upgrade(
        &self,
        address: IpAddr,
        limits: AddressLimits,
        now: Instant,
    ) -> Result<(), TooMany> {
        let address = network_of(address);
        let mut entries = self.0.shard(&address).write();
        let entry = entries.entry(address).or_default();
        if limits.handshakes.is_some_and(|per_second| !entry.handshake(per_second, now)) {
            return Err(TooMany::Handshakes);
        }
        // The connection itself is one of the open ones.
        if limits.connections.is_some_and(|most| entry.open > most) {
            return Err(TooMany::Connections);
        }
        Ok(())
    }
}

/// The number of spare connections of an address beyond its bound. They can't become WebSockets.
const SPARE: u32 = 8;

impl Drop for AddressCharge {
    fn drop(&mut self) {
        let mut entries = self.addresses.0.shard(&self.address).write();
        if let Some(entry) = entries.get_mut(&self.address) {
            decrement(&mut entry.open);
            if entry.is_idle(Instant::now()) {
                entries.remove(&self.address);
            }
        }
    }
}

impl AddressEntry {
    /// Counts a handshake. Returns `false` if there are too many.
    fn handshake(&mut self, per_second: u32, now: Instant) -> bool {
        // The bound may have changed since the last handshake.
        let counted = self.handshakes.take().filter(|handshakes| handshakes.per_second == per_second);
        let begun = || Handshakes { per_second, rate: TokenBucket::new(per_second, now) };
        self.handshakes.insert(counted.unwrap_or_else(begun)).rate.take(now)
    }

    /// `true` if the entry can be forgotten without a loss.
    fn is_idle(&self, now: Instant) -> bool {
        self.open == 0 && self.handshakes.as_ref().is_none_or(|handshakes| handshakes.rate.is_full(now))
    }
}

/// Only addresses with open connections or recent handshakes have to stay in the map.
fn forget_idle(shard: &Shard<IpAddr, AddressEntry>, now: Instant) {
    make_room(shard, |entry| !entry.is_idle(now));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use std::time::Duration;

    use super::*;

    fn known(addresses: &Addresses) -> usize {
        addresses.0.shards().map(|shard| shard.read().len()).sum()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_address_has_its_own_bounds() {
        let addresses = Addresses::new();
        let limits = AddressLimits { connections: Some(2), handshakes: None };
        let enter = |address: &str| addresses.enter(ip(address), limits, Instant::now());
        let held = [enter("2001:db8::1").unwrap(), enter("2001:db8::2").unwrap()];
        assert_eq!(enter("2001:db8::ffff").err(), Some(TooMany::Connections));
        assert!(enter("2001:db8:0:1::1").is_ok());
        drop(held);
        assert!(enter("2001:db8::ffff").is_ok());
        assert_eq!(known(&addresses), 0);
    }

    #[test]
    fn too_many_handshakes_are_refused_until_a_pause() {
        let addresses = Addresses::new();
        let limits = AddressLimits { connections: None, handshakes: Some(5) };
        let start = Instant::now();
        let taken = |address: &str, now: Instant, tries: usize| {
            (0..tries).filter(|_| addresses.enter(ip(address), limits, now).is_ok()).count()
        };
        assert_eq!(taken("192.0.2.1", start, 100), 10);
        assert_eq!(taken("192.0.2.2", start, 1), 1);
        assert_eq!(taken("192.0.2.1", start + Duration::from_secs(1), 100), 5);
        let more = AddressLimits { handshakes: Some(50), ..limits };
        assert!(addresses.enter(ip("192.0.2.1"), more, start).is_ok(), "a new bound holds at once");
    }

    #[test]
    fn the_memory_of_closed_connections_is_bounded() {
        let addresses = Addresses::new();
        let limits = AddressLimits { connections: None, handshakes: Some(1) };
        let start = Instant::now();
        // The steps are so long that earlier handshakes do not matter any more.
        for index in 0..100_000_u32 {
            let now = start + Duration::from_secs(index.into());
            drop(addresses.enter(IpAddr::V4(index.into()), limits, now).unwrap());
        }
        assert!(known(&addresses) < 1000, "{}", known(&addresses));
    }

    #[test]
    fn a_connection_counts_before_it_is_a_websocket_and_once() {
        let addresses = Addresses::new();
        let limits = AddressLimits { connections: Some(2), handshakes: None };
        let accept = || addresses.accept(ip("192.0.2.1"), limits);
        let upgrade = || addresses.upgrade(ip("192.0.2.1"), limits, Instant::now());
        let mut open = vec![accept().unwrap(), accept().unwrap()];
        assert_eq!((upgrade(), upgrade()), (Ok(()), Ok(())));
        assert!(open.iter().flatten().all(|(_, is_spare)| !is_spare));
        open.push(accept().unwrap());
        assert!(open.last().unwrap().as_ref().unwrap().1, "it is beyond the bound");
        assert_eq!(upgrade(), Err(TooMany::Connections));
        open.extend((3..10).map(|_| accept().unwrap()));
        assert_eq!(accept().err(), Some(TooMany::Connections));
        assert!(addresses.accept(ip("192.0.2.2"), limits).is_ok());
        open.truncate(2);
        assert_eq!(upgrade(), Ok(()));
        drop(open);
        assert_eq!(known(&addresses), 0);
    }

    #[test]
    fn without_a_bound_nothing_is_counted() {
        let addresses = Addresses::new();
        let entered = addresses.enter(ip("192.0.2.1"), AddressLimits::default(), Instant::now());
        assert!(matches!(entered, Ok(None)));
        assert_eq!(known(&addresses), 0);
    }
}
