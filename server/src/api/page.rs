//! Lists in pages.

/// A part of a list, in order.
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    /// The key of the last item, if more items follow.
    pub(super) next: Option<String>,
}

/// The first items after a position, by their keys. Only the wanted ones are sorted.
pub(super) fn page<T, K: Ord + ToString>(
    limit: Option<usize>,
    after: Option<&K>,
    mut items: Vec<T>,
    key: impl Fn(&T) -> K,
) -> Page<T> {
    let limit = limit.unwrap_or(DEFAULT).clamp(1, MAX);
    if let Some(after) = after {
        items.retain(|item| key(item) > *after);
    }
    let is_cut = items.len() > limit;
    if is_cut {
        items.select_nth_unstable_by_key(limit, &key);
        items.truncate(limit);
    }
    items.sort_unstable_by_key(&key);
    let next = items.last().filter(|_| is_cut).map(|last| key(last).to_string());
    Page { items, next }
}

/// The default number of items on a page.
const DEFAULT: usize = 100;

/// The most items on a page.
const MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(limit: usize, after: Option<u32>) -> (Vec<u32>, Option<String>) {
        let Page { items, next } = page(Some(limit), after.as_ref(), vec![5, 1, 4, 2, 3], |it| *it);
        (items, next)
    }

    #[test]
    fn pages_follow_each_other_without_holes() {
        assert_eq!(numbers(2, None), (vec![1, 2], Some("2".into())));
        assert_eq!(numbers(2, Some(2)), (vec![3, 4], Some("4".into())));
        assert_eq!(numbers(2, Some(4)), (vec![5], None));
        assert_eq!(numbers(5, None), (vec![1, 2, 3, 4, 5], None));
        assert_eq!(numbers(2, Some(5)), (vec![], None));
        assert_eq!(numbers(0, None), (vec![1], Some("1".into())), "a page is not empty");
    }
}
