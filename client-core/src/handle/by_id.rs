//! Values by their ids, which ascend.

use std::collections::VecDeque;

/// Values by ids. A new id is greater than those before, and the oldest leave first: so this is quick, and a fraction of
/// a tree's code, which a page would download.
#[derive(Debug)]
pub(super) struct ById<K, V>(VecDeque<(K, V)>);

impl<K: Ord + Copy, V> ById<K, V> {
    pub(super) fn new() -> Self {
        Self(VecDeque::new())
    }

    /// Adds a value, or replaces that of the same id.
    pub(super) fn insert(&mut self, id: K, value: V) {
        match self.find(id) {
            Ok(place) => {
                if let Some(entry) = self.0.get_mut(place) {
                    entry.1 = value;
                }
            }
            Err(place) => self.0.insert(place, (id, value)),
        }
    }

    pub(super) fn get_mut(&mut self, id: K) -> Option<&mut V> {
        let place = self.find(id).ok()?;
        self.0.get_mut(place).map(|(_, value)| value)
    }

    pub(super) fn remove(&mut self, id: K) -> Option<V> {
        let place = self.find(id).ok()?;
        self.0.remove(place).map(|(_, value)| value)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    fn find(&self, id: K) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| other.cmp(&id))
    }
}

#[cfg(test)]
mod tests {
    use super::ById;

    #[test]
    fn values_are_found_by_their_ids_in_any_order() {
        let mut values = ById::new();
        for id in [3, 1, 2] {
            values.insert(id, id * 10);
        }
        values.insert(2, 21);
        *values.get_mut(3).unwrap() += 1;
        assert_eq!([1, 2, 3, 4].map(|id| values.remove(id)), [Some(10), Some(21), Some(31), None]);
        assert!(values.get_mut(1).is_none());
    }
}
