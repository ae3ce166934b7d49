//! A map of several parts, each with its own lock.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};

use parking_lot::RwLock;

/// A map for concurrent use: keys are spread over parts that are locked one by one.
pub(crate) struct Sharded<K, V> {
    hasher: RandomState,
    shards: [Shard<K, V>; SHARDS],
}

pub(crate) type Shard<K, V> = RwLock<HashMap<K, V>>;

const SHARDS: usize = 32;

impl<K: Eq + Hash, V> Sharded<K, V> {
    pub(crate) fn new() -> Self {
        Self { hasher: RandomState::new(), shards: std::array::from_fn(|_| RwLock::default()) }
    }

    /// The part of a key.
    #[allow(clippy::indexing_slicing, reason = "a remainder by the array's length is within it")]
    #[allow(clippy::cast_possible_truncation, reason = "any bits of the hash will do")]
    pub(crate) fn shard<Q: Hash>(&self, key: &Q) -> &Shard<K, V>
    where
        K: Borrow<Q>,
    {
        &self.shards[self.hasher.hash_one(key) as usize % SHARDS]
    }

    /// All parts.
    pub(crate) fn shards(&self) -> impl Iterator<Item = &Shard<K, V>> {
        self.shards.iter()
    }
}

/// Called before a part grows. If the part has no room left, the values that need not stay are removed.
pub(crate) fn make_room<K: Eq + Hash, V>(shard: &Shard<K, V>, stays: impl Fn(&V) -> bool) {
    let is_full = {
        let values = shard.read();
        values.len() == values.capacity()
    };
    if is_full {
        shard.write().retain(|_, value| stays(value));
    }
}
