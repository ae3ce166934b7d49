//! A map for a browser: a tenth of the code that `BTreeMap` is compiled to.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::VecDeque;

/// A map in the order of its keys. Finding takes logarithmic time; adding and removing near either end takes next to
/// none, which is where the commands and subscriptions of a client come and go; elsewhere the entries up to the nearer
/// end move over.
#[derive(Debug)]
pub(super) struct SortedMap<K, V>(VecDeque<(K, V)>);

impl<K: Ord, V> SortedMap<K, V> {
    /// Adds an entry, or replaces the value of one.
    pub(super) fn insert(&mut self, key: K, value: V) {
        match self.find(&key) {
            Ok(index) => {
                if let Some((_, current)) = self.0.get_mut(index) {
                    *current = value;
                }
            }
            Err(index) => self.0.insert(index, (key, value)),
        }
    }

    pub(super) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let index = self.find(key).ok()?;
        self.0.remove(index).map(|(_, value)| value)
    }

    pub(super) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.0.get(self.find(key).ok()?).map(|(_, value)| value)
    }

    pub(super) fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let index = self.find(key).ok()?;
        self.0.get_mut(index).map(|(_, value)| value)
    }

    pub(super) fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.find(key).is_ok()
    }

    /// The entry with the lowest key.
    pub(super) fn first(&self) -> Option<&(K, V)> {
        self.0.front()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.0.iter_mut().map(|(key, value)| (&*key, value))
    }

    /// Where the key is, or would be.
    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        // The newest is asked for most.
        match self.0.back() {
            Some((last, _)) if last.borrow().cmp(key) == Ordering::Less => Err(self.0.len()),
            _ => self.0.binary_search_by(|(other, _)| other.borrow().cmp(key)),
        }
    }
}

impl<K, V> Default for SortedMap<K, V> {
    fn default() -> Self {
        Self(VecDeque::new())
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
