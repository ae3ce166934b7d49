//! Bytes as text.

/// These bytes as a text, if they are UTF-8.
pub fn text(bytes: &[u8]) -> Option<&str> {
    if cfg!(feature = "std") { core::str::from_utf8(bytes).ok() } else { text_in_little_code(bytes) }
}

/// Slower than the standard library's function for long texts, but less code in a browser's module.
fn text_in_little_code(bytes: &[u8]) -> Option<&str> {
    match bytes.utf8_chunks().next() {
        None => Some(""),
        Some(chunk) => chunk.invalid().is_empty().then(|| chunk.valid()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn little_code_finds_the_same(text in ".*", noise in vec((any::<prop::sample::Index>(), any::<u8>()), 0..3)) {
            prop_assert_eq!(text_in_little_code(text.as_bytes()), Some(text.as_str()));
            let mut bytes = text.into_bytes();
            for (index, byte) in noise {
                if !bytes.is_empty() {
                    let index = index.index(bytes.len());
                    bytes[index] = byte;
                }
            }
            prop_assert_eq!(text_in_little_code(&bytes), core::str::from_utf8(&bytes).ok());
        }
    }
}
