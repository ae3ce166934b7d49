//! A map for a browser: a tenth of the code that `BTreeMap` is compiled to.

use alloc::vec::Vec;
use core::borrow::Borrow;
use core::cmp::Ordering;

/// A map in the order of its keys. Finding takes logarithmic time; adding at the end and removing from either end take
/// next to none, which is where the commands and subscriptions of a client come and go; elsewhere the entries behind
/// move over.
#[derive(Debug)]
pub(super) struct SortedMap<K, V> {
    /// All but the first `gone` are there.
    entries: Vec<Option<(K, V)>>,
    /// How many were removed from the front, and are not cleared away yet.
    gone: usize,
}

impl<K: Ord, V> SortedMap<K, V> {
    /// Adds an entry, or replaces the value of one.
    pub(super) fn insert(&mut self, key: K, value: V) {
        match self.find(&key) {
            Ok(index) => {
                if let Some(entry) = self.entries.get_mut(index) {
                    *entry = Some((key, value));
                }
            }
            Err(index) => self.entries.insert(index, Some((key, value))),
        }
    }

    pub(super) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let index = self.find(key).ok()?;
        let (_, value) = self.entries.get_mut(index)?.take()?;
        if index == self.gone {
            self.gone = self.gone.saturating_add(1);
        } else {
            self.entries.remove(index);
        }
        // Half of the entries pay for each time that the other half moves.
        if self.gone >= self.entries.len() / 2 {
            self.entries.drain(..self.gone);
            self.gone = 0;
        }
        Some(value)
    }

    pub(super) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.entries.get(self.find(key).ok()?)?.as_ref().map(|(_, value)| value)
    }

    pub(super) fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let index = self.find(key).ok()?;
        self.entries.get_mut(index)?.as_mut().map(|(_, value)| value)
    }

    pub(super) fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.find(key).is_ok()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len().saturating_sub(self.gone)
    }

    /// The entry with the lowest key.
    pub(super) fn first(&self) -> Option<&(K, V)> {
        self.entries.get(self.gone)?.as_ref()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().flatten().map(|(key, value)| (key, value))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.entries.iter_mut().flatten().map(|(key, value)| (&*key, value))
    }

    /// Where the key is, or would be.
    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        // Those that are gone were lower than all that are there.
        self.entries.binary_search_by(|entry| match entry {
            Some((other, _)) => other.borrow().cmp(key),
            None => Ordering::Less,
        })
    }
}

impl<K, V> Default for SortedMap<K, V> {
    fn default() -> Self {
        Self { entries: Vec::new(), gone: 0 }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn it_does_what_a_btree_map_does() {
        let mut map = SortedMap::default();
        let mut model = BTreeMap::new();
        let mut state = 1_u32;
        for step in 0..10_000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let key = state >> 24;
            if state & 0x80_0000 == 0 {
                map.insert(key, step);
                model.insert(key, step);
            } else {
                assert_eq!(map.remove(&key), model.remove(&key));
            }
            let probe = (state >> 8) & 0xff;
            assert_eq!(map.get(&probe), model.get(&probe));
            assert_eq!(map.contains_key(&probe), model.contains_key(&probe));
            assert_eq!(map.len(), model.len());
            assert_eq!(map.first().map(|(key, _)| key), model.keys().next());
        }
        for (_, value) in map.iter_mut() {
            *value += 1;
        }
        model.values_mut().for_each(|value| *value += 1);
        assert!(map.iter().eq(model.iter()));
        assert!(!model.is_empty());
    }

    #[test]
    fn names_are_found_by_their_text() {
        let mut map = SortedMap::default();
        for name in ["b", "c", "a"] {
            map.insert(String::from(name), name.len());
        }
        *map.get_mut("c").unwrap() = 7;
        assert_eq!(map.get("c"), Some(&7));
        assert_eq!(map.remove("b"), Some(1));
        assert_eq!(map.iter().map(|(name, _)| &**name).collect::<String>(), "ac");
    }
}
