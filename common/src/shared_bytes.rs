//! Shared bytes for programs whose size counts, such as the browser's module: the type of the crate `bytes` can be made
//! of anything and turned into anything, and each of that is code in a table.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;

/// Bytes that are shared, not copied, by cloning and by [`slice_ref`](Self::slice_ref).
///
/// With the feature `std`, `wirehub_common::Bytes` is the type of the crate `bytes`. Without, it is this one, which has
/// a part of the other's interface and nothing that the other has not: what compiles with it compiles with both.
#[derive(Clone, Default)]
pub struct Bytes {
    whole: Arc<Vec<u8>>,
    start: usize,
    length: usize,
}

impl Bytes {
    /// No bytes.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same bytes as `part`, which lies within these.
    ///
    /// # Panics
    /// Where it does not.
    #[must_use]
    pub fn slice_ref(&self, part: &[u8]) -> Self {
        // An empty part may be anywhere.
        if part.is_empty() {
            return Self::new();
        }
        let offset = (part.as_ptr() as usize).wrapping_sub(self.as_ptr() as usize);
        assert!(
            self.get(offset..).is_some_and(|rest| rest.len() >= part.len()),
            "the part is not of these bytes"
        );
        Self { whole: self.whole.clone(), start: self.start.saturating_add(offset), length: part.len() }
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.whole.get(self.start..).and_then(|rest| rest.get(..self.length)).unwrap_or_default()
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self { start: 0, length: bytes.len(), whole: Arc::new(bytes) }
    }
}

impl From<String> for Bytes {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl From<&'static [u8]> for Bytes {
    fn from(bytes: &'static [u8]) -> Self {
        bytes.to_vec().into()
    }
}

impl From<&'static str> for Bytes {
    fn from(text: &'static str) -> Self {
        text.as_bytes().into()
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Bytes {}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.escape_ascii())
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    proptest! {
        #[test]
        fn parts_of_parts_are_what_they_are_with_the_other_type(
            bytes in vec(any::<u8>(), 0..20),
            cuts in vec(any::<(Index, Index)>(), 1..4),
        ) {
            let mut ours = Bytes::from(bytes.clone());
            let mut theirs = bytes::Bytes::from(bytes);
            for (start, end) in cuts {
                let (start, end) = (start.index(ours.len() + 1), end.index(ours.len() + 1));
                let range = start.min(end)..start.max(end);
                let part = &ours[range.clone()];
                let slice = ours.slice_ref(part);
                prop_assert!(part.is_empty() || slice.as_ptr() == part.as_ptr(), "it was copied");
                theirs = theirs.slice_ref(&theirs[range]);
                ours = slice;
                prop_assert_eq!(ours.as_ref(), theirs.as_ref());
            }
        }
    }

    #[test]
    fn what_they_are_made_of_is_not_copied() {
        let vector = vec![1, 2, 3];
        let address = vector.as_ptr();
        let bytes = Bytes::from(vector);
        assert_eq!(bytes.as_ptr(), address);
        assert_eq!(bytes.clone().as_ptr(), address);
    }

    #[test]
    fn equal_is_what_has_the_same_bytes() {
        let text = Bytes::from("abcabc");
        assert_eq!(text.slice_ref(&text[..3]), text.slice_ref(&text[3..]));
        assert_eq!(Bytes::from(&b"abcabc"[..]), text);
        assert_ne!(Bytes::from(String::from("abc")), text);
        assert_eq!(Bytes::new(), text.slice_ref(&[]));
        assert_eq!(format!("{:?}", Bytes::from("a\n")), r#"b"a\n""#);
    }

    #[test]
    #[should_panic(expected = "not of these bytes")]
    fn a_part_of_the_whole_is_none_of_a_part() {
        let whole = Bytes::from("abc");
        let _ = whole.slice_ref(&whole[1..2]).slice_ref(&whole[..2]);
    }
}
