//! The commands of each user, over all of its sessions, and of each address without a user.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::time::Instant;

use super::sessions::Peer;
use super::sharded::{Sharded, make_room};
use crate::token_bucket::TokenBucketLevel;
use crate::upgrade::client_address::network_of;

/// The recent commands of users and addresses whose sessions share a bound.
pub(crate) struct Payers(Sharded<Payer, TokenBucketLevel>);

/// A party that is charged with the commands of its sessions together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Payer {
    /// A user.
    User(Arc<str>),
    /// The address of anonymous sessions. In IPv6 it stands for its network of 64 bits.
    Address(IpAddr),
}

impl Payers {
    pub(crate) fn new() -> Self {
        Self(Sharded::new())
    }

    /// Charges the session's user with `count` commands. A user may send `per_second` commands in a second, an address [several
    /// times](USERS_PER_ADDRESS) as many. Returns `false` if there are too many. Sessions without a user and an address have no
    /// common bound.
    pub(crate) fn charge(&self, peer: &Peer, count: u32, per_second: u32, now: Instant) -> bool {
        let Some(payer) = Payer::new(peer.user(), peer.address) else { return true };
        let per_second = match payer {
            Payer::User(_) => per_second,
            Payer::Address(_) => per_second.saturating_mul(USERS_PER_ADDRESS),
        };
        let shard = self.0.shard(&payer);
        // Only parties with recent commands have to stay in the map.
        make_room(shard, |filling| !filling.is_full(now));
        shard.write().entry(payer).or_default().take(count, per_second, now)
    }
}

impl Payer {
    /// `None` for a session without a user and an address.
    pub(crate) fn new(user: Arc<str>, address: Option<IpAddr>) -> Option<Self> {
        if user.is_empty() {
            address.map(|address| Self::Address(network_of(address)))
        } else {
            Some(Self::User(user))
        }
    }
}

/// The number of commands that are charged at once, so that most commands need no lookup. With a low bound each command is
/// charged separately.
pub(crate) fn commands_per_charge(per_second: u32) -> u8 {
    u8::try_from(per_second / 100).unwrap_or(MAX_COMMANDS_PER_CHARGE).clamp(1, MAX_COMMANDS_PER_CHARGE)
}

const MAX_COMMANDS_PER_CHARGE: u8 = 32;

/// The number of users for which an address may stand, such as an office. One of them must not use up the share of the others.
const USERS_PER_ADDRESS: u32 = 10;

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use std::time::Duration;

    use wirehub_common::Codec;

    use super::*;
    use crate::hub::SessionId;
    use crate::hub::sessions::Identity;
    use crate::session::mailbox::Mailbox;

    fn peer(user: &str, address: Option<&str>) -> Peer {
        let address = address.map(|address| address.parse().unwrap());
        let peer = Peer::new(SessionId::random().unwrap(), Codec::Json, address, Mailbox::new(1));
        peer.set_identity(Identity::named(user, None));
        peer
    }

    #[test]
    fn the_sessions_of_a_user_share_a_bound_and_so_do_those_without_a_name_from_one_address() {
        let (payers, now) = (Payers::new(), Instant::now());
        let taken = |peers: &[Peer]| {
            let tries = (0..200).flat_map(|_| peers);
            tries.filter(|peer| payers.charge(peer, 1, 5, now)).count()
        };
        let (first, second) = (Some("192.0.2.1"), Some("2001:db8::1"));
        assert_eq!(taken(&[peer("ann", first), peer("ann", second), peer("ann", None)]), 10);
        assert_eq!(taken(&[peer("bob", first)]), 10);
        assert_eq!(taken(&[peer("", first), peer("", first)]), 100);
        assert_eq!(taken(&[peer("", second), peer("", Some("2001:db8::2"))]), 100);
        assert_eq!(taken(&[peer("", None)]), 200, "they have no common bound");
    }

    #[test]
    fn the_memory_of_payers_is_bounded() {
        let payers = Payers::new();
        let start = Instant::now();
        for number in 0..100_000_u32 {
            let now = start + Duration::from_secs(number.into());
            assert!(payers.charge(&peer(&number.to_string(), None), 1, 1, now));
        }
        let known: usize = payers.0.shards().map(|shard| shard.read().len()).sum();
        assert!(known < 1000, "{known}");
    }

    #[test]
    fn few_are_counted_one_by_one_and_many_by_the_bundle() {
        assert_eq!([0, 1, 5, 199, 200, 10_000, u32::MAX].map(commands_per_charge), [1, 1, 1, 1, 2, 32, 32]);
    }
}
