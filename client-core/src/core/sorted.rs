//! A map for a browser: a tenth of the code that `BTreeMap` is compiled to.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::borrow::Borrow;

/// A map in the order of its keys. Finding takes logarithmic time, adding and removing move a key and a pointer for each
/// entry behind: next to nothing for the numbers of commands and subscriptions that a client has.
#[derive(Debug)]
pub(super) struct SortedMap<K, V>(Vec<(K, Box<V>)>);

impl<K: Ord, V> SortedMap<K, V> {
    /// Adds an entry, or replaces the value of one.
    pub(super) fn insert(&mut self, key: K, value: V) {
        let entry = (key, Box::new(value));
        match self.find(&entry.0) {
            Ok(index) => {
                if let Some(old) = self.0.get_mut(index) {
                    *old = entry;
                }
            }
            Err(index) => self.0.insert(index, entry),
        }
    }

    pub(super) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let index = self.find(key).ok()?;
        Some(*self.0.remove(index).1)
    }

    pub(super) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.0.get(self.find(key).ok()?).map(|(_, value)| &**value)
    }

    pub(super) fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let index = self.find(key).ok()?;
        self.0.get_mut(index).map(|(_, value)| &mut **value)
    }

    /// A value that may be changed, and its key.
    pub(super) fn entry<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<(&K, &mut V)>
    where
        K: Borrow<Q>,
    {
        let index = self.find(key).ok()?;
        self.0.get_mut(index).map(|(key, value)| (&*key, &mut **value))
    }

    pub(super) fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.find(key).is_ok()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The lowest key.
    pub(super) fn first(&self) -> Option<&K> {
        self.0.first().map(|(key, _)| key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.0.iter().map(|(key, value)| (key, &**value))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.0.iter_mut().map(|(key, value)| (&*key, &mut **value))
    }

    /// Where the key is, or would be.
    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        self.0.binary_search_by(|(other, _)| other.borrow().cmp(key))
    }
}

impl<K, V> Default for SortedMap<K, V> {
    fn default() -> Self {
        Self(Vec::new())
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
            assert_eq!(map.first(), model.keys().next());
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
