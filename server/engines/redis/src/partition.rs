//! Partitions: the units in which channels are spread over the servers of a cluster.

use std::sync::LazyLock;

use xxhash_rust::xxh3::xxh3_64;

/// The number of partitions. It never changes: the keys of a fleet depend on it.
pub(crate) const PARTITIONS: u16 = 128;

/// The number of slots of a Redis Cluster.
pub(crate) const SLOTS: u16 = 16_384;

/// A partition. All keys of a channel are in one partition, and all keys of a partition are in one slot of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Partition(u16);

impl Partition {
    /// The partition of keys that belong to the whole fleet.
    pub(crate) const FLEET: Self = Self(0);

    /// The partition of a name.
    pub(crate) fn of(name: &[u8]) -> Self {
        let number = xxh3_64(name).checked_rem(PARTITIONS.into()).unwrap_or_default();
        Self(u16::try_from(number).unwrap_or_default())
    }

    /// Every partition.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..PARTITIONS).map(Self)
    }

    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The text between the braces of its keys.
    pub(crate) fn tag(self) -> &'static str {
        TAGS.get(self.index()).map_or("", String::as_str)
    }

    /// The slot of its keys in a cluster.
    pub(crate) fn slot(self) -> u16 {
        slot_of(self.tag().as_bytes())
    }
}

/// The tag of each partition. The slots of the tags are evenly spread: one tag in the middle of each range of 128 slots. So each server of a
/// cluster has its share of the partitions, however many servers there are.
static TAGS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut tags = vec![String::new(); usize::from(PARTITIONS)];
    let mut missing = PARTITIONS;
    let range = SLOTS / PARTITIONS;
    for number in 0_u32.. {
        let tag = number.to_string();
        let slot = slot_of(tag.as_bytes());
        let is_central = (15..17).contains(&(slot % range * 32 / range));
        let free = tags.get_mut(usize::from(slot / range)).filter(|free| free.is_empty());
        if let Some(free) = free.filter(|_| is_central) {
            *free = tag;
            missing = missing.saturating_sub(1);
            if missing == 0 {
                break;
            }
        }
    }
    tags
});

/// The slot of a key without braces. Source: Redis Cluster specification, "Key distribution model": CRC16 (XMODEM) of the key,
/// modulo 16384.
fn slot_of(key: &[u8]) -> u16 {
    let crc = key.iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    });
    crc % SLOTS
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        // From the specification, and from `CLUSTER KEYSLOT` of a server.
        assert_eq!(slot_of(b"123456789"), 0x31c3);
        assert_eq!(slot_of(b"foo"), 12_182);
        assert_eq!(slot_of(b""), 0);
    }

    #[test]
    fn every_server_of_a_cluster_has_its_share_of_the_partitions() {
        for servers in 1..=32_usize {
            let mut counts = vec![0; servers];
            for partition in Partition::all() {
                counts[usize::from(partition.slot()) * servers / usize::from(SLOTS)] += 1;
            }
            let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            assert!(most - least <= 1, "{servers} servers: {counts:?}");
        }
    }

    #[test]
    fn channels_are_spread_over_the_partitions_and_never_move() {
        let mut counts = vec![0; usize::from(PARTITIONS)];
        for number in 0..128_000 {
            counts[Partition::of(format!("chat:{number}").as_bytes()).index()] += 1;
        }
        assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
        assert_eq!(Partition::of(b"chat:lobby").tag(), Partition::of(b"chat:lobby").tag());
        assert_eq!([0, 1, 127].map(|number| Partition(number).tag()), ["1046", "710", "2748"]);
    }
}
