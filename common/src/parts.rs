//! Frames that are larger than a WebSocket message may be, put together from their parts.

use alloc::vec::Vec;

use crate::{Bytes, DecodeErrorKind};

/// Puts together frames that come in [parts](crate::frame::Part), within a bound in bytes.
///
/// ```
/// use wirehub_common::{Assembler, Bytes};
///
/// let mut assembler = Assembler::new();
/// assert_eq!(assembler.take(0, b"large ", 5, 1024)?, None);
/// assert_eq!(assembler.take(0, b"frame", 0, 1024)?, Some(Bytes::from_static(b"large frame")));
/// # Ok::<(), wirehub_common::PartError>(())
/// ```
#[derive(Debug, Default)]
pub struct Assembler {
    unfinished: Vec<Unfinished>,
}

/// A frame whose last part has not arrived.
#[derive(Debug)]
struct Unfinished {
    stream: u32,
    data: Vec<u8>,
    left: u64,
}

/// The reason for which a part was refused. No later part of this sender can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PartError {
    /// The frame, with all other unfinished ones, would exceed the bound.
    TooLarge,
    /// There are more than [`Assembler::STREAMS`] frames at the same time.
    TooMany,
    /// A part is empty, or its count of remaining bytes contradicts the one before it.
    Broken,
}

impl PartError {
    /// The corresponding error of a frame that can't be read.
    pub const fn kind(self) -> DecodeErrorKind {
        DecodeErrorKind::Part
    }
}

impl core::fmt::Display for PartError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "the frame in parts is too large: send a smaller one",
            Self::TooMany => "too many frames come in parts at the same time: finish one before the next",
            Self::Broken => {
                "the parts contradict each other: each must have the count of bytes in later ones"
            }
        })
    }
}

impl core::error::Error for PartError {}

impl Assembler {
    /// How many frames may come in parts at the same time.
    pub const STREAMS: usize = 4;

    /// An assembler without unfinished frames.
    pub const fn new() -> Self {
        Self { unfinished: Vec::new() }
    }

    /// Takes the next part of a stream: its bytes, and the count of remaining bytes of the frame. Returns the frame
    /// without its delimiter if that was the last part. `limit` is the largest total size in bytes of the unfinished
    /// frames once they are complete.
    ///
    /// # Errors
    /// The part does not fit. The assembler is unchanged.
    pub fn take(
        &mut self,
        stream: u32,
        data: &[u8],
        left: u64,
        limit: usize,
    ) -> Result<Option<Bytes>, PartError> {
        // A sender must not be able to send useless parts.
        if data.is_empty() {
            return Err(PartError::Broken);
        }
        let taken = data.len() as u64;
        match self.unfinished.iter().position(|unfinished| unfinished.stream == stream) {
            None => {
                if left.saturating_add(taken).saturating_add(self.promised()) > limit as u64 {
                    return Err(PartError::TooLarge);
                }
                if left == 0 {
                    return Ok(Some(data.to_vec().into()));
                }
                if self.unfinished.len() >= Self::STREAMS {
                    return Err(PartError::TooMany);
                }
                // Memory is allocated as bytes arrive: an announced size costs nothing.
                self.unfinished.push(Unfinished { stream, data: data.to_vec(), left });
            }
            Some(index) => {
                let Some(unfinished) = self.unfinished.get_mut(index) else { return Err(PartError::Broken) };
                if unfinished.left.checked_sub(taken) != Some(left) {
                    return Err(PartError::Broken);
                }
                unfinished.data.extend_from_slice(data);
                unfinished.left = left;
                if left == 0 {
                    return Ok(Some(self.unfinished.swap_remove(index).data.into()));
                }
            }
        }
        Ok(None)
    }

    /// The beginning of the unfinished frame of a stream.
    pub fn begun(&self, stream: u32) -> Option<&[u8]> {
        self.unfinished
            .iter()
            .find(|unfinished| unfinished.stream == stream)
            .map(|unfinished| unfinished.data.as_slice())
    }

    /// Whether no frame is unfinished.
    pub fn is_empty(&self) -> bool {
        self.unfinished.is_empty()
    }

    /// Forgets every unfinished frame.
    pub fn clear(&mut self) {
        self.unfinished = Vec::new();
    }

    /// The total size of the unfinished frames once they are complete.
    fn promised(&self) -> u64 {
        let mut promised = 0_u64;
        for unfinished in &self.unfinished {
            promised = promised.saturating_add(unfinished.data.len() as u64).saturating_add(unfinished.left);
        }
        promised
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use super::*;

    #[test]
    fn streams_are_put_together_each_for_itself() {
        let mut assembler = Assembler::new();
        assert_eq!(assembler.take(2, b"slow", 7, 100), Ok(None));
        assert_eq!(assembler.take(0, b"quick ", 3, 100), Ok(None));
        assert_eq!(assembler.begun(2), Some(&b"slow"[..]));
        assert_eq!(assembler.take(0, b"one", 0, 100).unwrap().unwrap(), b"quick one"[..]);
        assert_eq!(assembler.take(2, b" frame!", 0, 100).unwrap().unwrap(), b"slow frame!"[..]);
        assert!(assembler.is_empty());
        assert_eq!(assembler.take(2, b"alone", 0, 5).unwrap().unwrap(), b"alone"[..]);
    }

    #[test]
    fn a_part_that_does_not_fit_is_refused_and_changes_nothing() {
        let mut assembler = Assembler::new();
        assert_eq!(assembler.take(1, b"", 0, 100), Err(PartError::Broken));
        assert_eq!(assembler.take(1, b"begin", 5, 100), Ok(None));
        for (data, left) in [(&b"12"[..], 4), (b"12", 2), (b"123456", 0), (b"", 5), (b"1", u64::MAX)] {
            assert_eq!(assembler.take(1, data, left, 100), Err(PartError::Broken));
        }
        assert_eq!(assembler.take(1, b"12345", 0, 100).unwrap().unwrap(), b"begin12345"[..]);
    }

    #[test]
    fn the_bound_is_for_all_that_is_unfinished_and_holds_before_it_has_come() {
        let mut assembler = Assembler::new();
        assert_eq!(assembler.take(0, b"12345", 56, 60), Err(PartError::TooLarge));
        assert_eq!(assembler.take(0, b"12345", u64::MAX, 60), Err(PartError::TooLarge));
        assert_eq!(assembler.take(0, b"12345", 45, 60), Ok(None));
        assert_eq!(assembler.take(1, b"12345678901", 0, 60), Err(PartError::TooLarge));
        assert_eq!(assembler.take(1, b"1234567890", 0, 60).unwrap().unwrap().len(), 10);
    }

    #[test]
    fn only_so_many_frames_come_at_the_same_time() {
        let mut assembler = Assembler::new();
        for stream in 0..Assembler::STREAMS as u32 {
            assert_eq!(assembler.take(stream, b"1", 1, 100), Ok(None));
        }
        assert_eq!(assembler.take(9, b"1", 1, 100), Err(PartError::TooMany));
        assembler.clear();
        assert_eq!(assembler.take(9, b"1", 1, 100), Ok(None));
    }
}
