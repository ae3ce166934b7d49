//! The data of [`Content::Attachment`](crate::Content::Attachment): the length of the head in four bytes, the lowest first;
//! the head; the bytes.

use alloc::vec::Vec;

/// How many bytes the length of the head takes.
const LENGTH: usize = size_of::<u32>();

/// The data with this head, which is shorter than 4 GiB, and these bytes.
pub fn join(head: &[u8], bytes: &[u8]) -> Vec<u8> {
    let mut data = begin(head, bytes.len());
    data.extend_from_slice(bytes);
    data
}

/// The data before the bytes, with room for as many of them.
pub fn begin(head: &[u8], bytes: usize) -> Vec<u8> {
    let mut data = Vec::with_capacity(LENGTH.saturating_add(head.len()).saturating_add(bytes));
    data.extend_from_slice(&u32::try_from(head.len()).unwrap_or(u32::MAX).to_le_bytes());
    data.extend_from_slice(head);
    data
}

/// The head and the bytes; `None` if the data is cut short.
pub fn split(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = data.split_first_chunk::<LENGTH>()?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_and_bytes_come_back() {
        for (head, bytes) in [("{}", &b"\x02\0"[..]), ("", b""), ("null", b""), ("", b"x")] {
            assert_eq!(split(&join(head.as_bytes(), bytes)), Some((head.as_bytes(), bytes)));
        }
        assert_eq!(join(b"{}", b"x"), b"\x02\0\0\0{}x");
    }

    #[test]
    fn data_that_is_cut_short_has_no_parts() {
        let whole = join(b"{}", b"");
        for length in 0..whole.len() {
            assert_eq!(split(&whole[..length]), None);
        }
    }
}
