//! Bytes for programs whose size matters, such as the browser's module. The type of the crate `bytes` supports many
//! conversions, and each of them is code in a table.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;

/// Bytes.
///
/// With the feature `std`, `wirehub_common::Bytes` is the type of the crate `bytes`, which shares them. Without it, it
/// is this type, whose interface is a subset of the other's: code that compiles with this one compiles with both. It
/// copies where the other shares. That is rare: a client's module reads messages in place, and copies only very large
/// ones of its own.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Bytes(Vec<u8>);

impl Bytes {
    /// No bytes.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The same bytes as `part`, which is a part of these.
    #[must_use]
    pub fn slice_ref(&self, part: &[u8]) -> Self {
        Self(part.to_vec())
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<String> for Bytes {
    fn from(text: String) -> Self {
        Self(text.into_bytes())
    }
}

impl From<&'static [u8]> for Bytes {
    fn from(bytes: &'static [u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl From<&'static str> for Bytes {
    fn from(text: &'static str) -> Self {
        text.as_bytes().into()
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.escape_ascii())
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    /// The common behaviour, tested with both types.
    macro_rules! story {
        ($type:ty, $bytes:expr, $cuts:expr) => {{
            let mut bytes = <$type>::from($bytes);
            let mut seen = Vec::from([bytes.as_ref().to_vec(), bytes.clone().to_vec()]);
            for (start, end) in $cuts {
                let (start, end) = (start.index(bytes.len().max(1)), end.index(bytes.len().max(1)));
                bytes = bytes.slice_ref(&bytes[start.min(end)..start.max(end)]);
                seen.push(bytes.to_vec());
            }
            let others = [<$type>::new(), <$type>::default(), <$type>::from("a")];
            (seen, others.map(|other| other == bytes))
        }};
    }

    proptest! {
        #[test]
        fn they_equal_themselves_with_the_other_type(
            bytes in vec(any::<u8>(), 0..20),
            cuts in vec(any::<(Index, Index)>(), 0..4),
        ) {
            prop_assert_eq!(story!(Bytes, bytes.clone(), &cuts), story!(bytes::Bytes, bytes, &cuts));
        }
    }

    #[test]
    fn they_are_made_of_bytes_and_texts() {
        assert_eq!(Bytes::from(&b"abc"[..]), Bytes::from(String::from("abc")));
        assert_eq!(format!("{:?}", Bytes::from("a\n")), r#"b"a\n""#);
        let vector = vec![1, 2, 3];
        let address = vector.as_ptr();
        assert_eq!(Bytes::from(vector).as_ptr(), address, "not copied");
    }
}
