//! Lists in pages, from one node or from all of them.

use crate::engine::NodeId;
use crate::hub::record_value::{ValueReader, ValueWriter};

use super::{narrow, wide};

/// A page of a list, in order: a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListPage<T> {
    /// The items.
    pub items: Vec<T>,
    /// The number of items on all pages.
    pub count: usize,
    /// `true` if there are more items behind the last of them.
    pub more: bool,
    /// The living nodes that did not answer in time. If there are any, the list is incomplete.
    pub missing: Vec<NodeId>,
}

/// The wanted page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PageRequest<K> {
    /// The key behind which the page begins.
    pub(super) after: Option<K>,
    /// The maximum number of items.
    pub(super) limit: usize,
}

impl<T> ListPage<T> {
    /// `true` if every living node has answered.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }

    /// The same page with other items, one for each.
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> ListPage<U> {
        let Self { items, count, more, missing } = self;
        ListPage { items: items.into_iter().map(change).collect(), count, more, missing }
    }

    /// The page of a list that is in no order. Only its own items are sorted.
    pub(super) fn cut<K: Ord>(
        mut items: Vec<T>,
        PageRequest { after, limit }: &PageRequest<K>,
        key: impl Fn(&T) -> K,
    ) -> Self {
        let count = items.len();
        let limit = (*limit).max(1);
        if let Some(after) = after {
            items.retain(|item| key(item) > *after);
        }
        let more = items.len() > limit;
        if more {
            items.select_nth_unstable_by_key(limit, &key);
            items.truncate(limit);
        }
        items.sort_unstable_by_key(&key);
        Self { items, count, more, missing: Vec::new() }
    }

    /// Adds the page of another node. `merge` adds an item to one with the same key.
    pub(super) fn add<K: Ord>(
        &mut self,
        other: Self,
        limit: usize,
        key: impl Fn(&T) -> K,
        merge: impl Fn(&mut T, T),
    ) {
        let mut items: Vec<T> = std::mem::take(&mut self.items);
        items.extend(other.items);
        items.sort_by_key(&key);
        for item in items {
            match self.items.last_mut() {
                Some(last) if key(last) == key(&item) => merge(last, item),
                _ => self.items.push(item),
            }
        }
        let limit = limit.max(1);
        self.count = self.count.saturating_add(other.count);
        self.more |= other.more || self.items.len() > limit;
        self.items.truncate(limit);
    }

    pub(super) fn write(&self, value: &mut ValueWriter, write: impl Fn(&mut ValueWriter, &T)) {
        value.number(wide(self.count));
        value.byte(u8::from(self.more));
        value.number(wide(self.items.len()));
        for item in &self.items {
            // With its own length, so that later releases can add fields.
            let mut bytes = ValueWriter::new(ITEM_VERSION);
            write(&mut bytes, item);
            value.bytes(&bytes.finish());
        }
    }

    pub(super) fn read(
        value: &mut ValueReader,
        read: impl Fn(&mut ValueReader) -> Option<T>,
    ) -> Option<Self> {
        let (count, more) = (narrow(value.number()?), value.byte()? != 0);
        let mut items = Vec::new();
        for _ in 0..value.number()? {
            items.push(read(&mut ValueReader::new(&value.bytes()?, ITEM_VERSION)?)?);
        }
        Some(Self { items, count, more, missing: Vec::new() })
    }
}

impl<T> Default for ListPage<T> {
    fn default() -> Self {
        Self { items: Vec::new(), count: 0, more: false, missing: Vec::new() }
    }
}

impl<K> PageRequest<K> {
    /// Of the same length for every node, so that no page has holes.
    pub(super) fn new(after: Option<K>, limit: usize) -> Self {
        Self { after, limit: limit.clamp(1, MAX_ITEMS) }
    }

    pub(super) fn write(&self, value: &mut ValueWriter, bytes: impl Fn(&K) -> Vec<u8>) {
        value.byte(u8::from(self.after.is_some()));
        value.bytes(&self.after.as_ref().map(bytes).unwrap_or_default());
        value.number(wide(self.limit));
    }

    pub(super) fn read(value: &mut ValueReader, key: impl Fn(&[u8]) -> Option<K>) -> Option<Self> {
        let (has_after, after) = (value.byte()? != 0, value.bytes()?);
        let after = if has_after { Some(key(&after)?) } else { None };
        Some(Self { after, limit: narrow(value.number()?) })
    }
}

const ITEM_VERSION: u8 = 1;

/// The maximum number of items on a page.
const MAX_ITEMS: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(items: &[u32], limit: usize, after: Option<u32>) -> (Vec<u32>, bool) {
        let page = ListPage::cut(items.to_vec(), &PageRequest { after, limit }, |it| *it);
        assert_eq!(page.count, items.len());
        (page.items, page.more)
    }

    #[test]
    fn pages_follow_each_other_without_holes() {
        let items = [5, 1, 4, 2, 3];
        assert_eq!(numbers(&items, 2, None), (vec![1, 2], true));
        assert_eq!(numbers(&items, 2, Some(2)), (vec![3, 4], true));
        assert_eq!(numbers(&items, 2, Some(4)), (vec![5], false));
        assert_eq!(numbers(&items, 5, None), (vec![1, 2, 3, 4, 5], false));
        assert_eq!(numbers(&items, 2, Some(5)), (vec![], false));
        assert_eq!(numbers(&items, 0, None), (vec![1], true), "a page is not empty");
    }

    #[test]
    fn pages_of_several_nodes_are_one_in_order_and_each_item_is_in_it_once() {
        let lists = [vec![(1, 1), (4, 1), (5, 1)], vec![(2, 1), (4, 1), (6, 1)]];
        let (mut after, mut all) = (None, Vec::new());
        loop {
            let request = PageRequest { after, limit: 2 };
            let mut merged = ListPage::default();
            for list in &lists {
                let page = ListPage::cut(list.clone(), &request, |(key, _)| *key);
                merged.add(page, 2, |(key, _)| *key, |sum: &mut (i32, i32), other| sum.1 += other.1);
            }
            assert!(merged.items.len() <= 2);
            all.extend(merged.items.iter().copied());
            after = merged.items.last().map(|(key, _)| *key);
            if !merged.more {
                break;
            }
        }
        assert_eq!(all, [(1, 1), (2, 1), (4, 2), (5, 1), (6, 1)]);
    }
}
