//! An image as a payload: a head in JSON and the bytes of the file.
//!
//! | bytes | content |
//! | --- | --- |
//! | 4 | the length of the head, little-endian |
//! | as many | the [`ImageHead`] as JSON |
//! | the rest | the file |

use std::fmt;

use bytes::{BufMut as _, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use wirehub_common::contract::{Binary, Schema};

/// The largest head in bytes.
const MAX_HEAD: usize = 1024;

/// The description of an image, before its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct ImageHead {
    /// The media type: `image/png`, `image/jpeg`, `image/webp`, `image/gif` or `image/avif`. A page shows no other, because an
    /// SVG is a document with scripts.
    pub media: String,
    /// The name of the file.
    pub file: String,
    /// The width in pixels.
    pub width: u32,
    /// The height in pixels.
    pub height: u32,
}

/// An image in [`Images`](crate::Images).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The description.
    pub head: ImageHead,
    /// The file.
    pub data: Bytes,
}

impl ImageHead {
    /// The media types that a page shows.
    pub const MEDIA: [&'static str; 5] = ["image/png", "image/jpeg", "image/webp", "image/gif", "image/avif"];
}

impl Image {
    /// The largest file in bytes: 3 MiB.
    pub const MAX_BYTES: usize = 3 * 1024 * 1024;

    /// The payload.
    ///
    /// # Errors
    /// The image is not valid: see [`Self::decode`].
    pub fn encode(&self) -> Result<Binary, ImageError> {
        let head = serde_json::to_vec(&self.head).map_err(|_| ImageError::Head)?;
        self.check(head.len())?;
        let length = u32::try_from(head.len()).map_err(|_| ImageError::Head)?;
        let mut out = BytesMut::with_capacity(head.len().saturating_add(self.data.len()).saturating_add(4));
        out.put_u32_le(length);
        out.put_slice(&head);
        out.put_slice(&self.data);
        Ok(Binary(out.freeze()))
    }

    /// The image in a payload. Its bytes are shared with the payload.
    ///
    /// # Errors
    /// The head is not readable, the media type is not in [`ImageHead::MEDIA`], a side is 0, or the file is empty or larger than
    /// [`Self::MAX_BYTES`].
    pub fn decode(payload: &Binary) -> Result<Self, ImageError> {
        let bytes = &payload.0;
        let (length, rest) = bytes.split_first_chunk().ok_or(ImageError::Head)?;
        let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| ImageError::Head)?;
        let (head, data) = rest.split_at_checked(length).ok_or(ImageError::Head)?;
        let image = Self {
            head: serde_json::from_slice(head).map_err(|_| ImageError::Head)?,
            data: bytes.slice_ref(data),
        };
        image.check(length)?;
        Ok(image)
    }

    fn check(&self, head: usize) -> Result<(), ImageError> {
        let ImageHead { media, width, height, .. } = &self.head;
        if head > MAX_HEAD {
            Err(ImageError::Head)
        } else if !ImageHead::MEDIA.contains(&media.as_str()) {
            Err(ImageError::Media)
        } else if *width == 0 || *height == 0 {
            Err(ImageError::Sides)
        } else if self.data.is_empty() || self.data.len() > Self::MAX_BYTES {
            Err(ImageError::Size)
        } else {
            Ok(())
        }
    }
}

/// The payload is not an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImageError {
    /// The head is missing, not JSON, or too long.
    Head,
    /// The media type is not shown.
    Media,
    /// The image has no width or no height.
    Sides,
    /// The file is empty or too large.
    Size,
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Head => "the image has no readable head: send its length in 4 bytes, up to 1 KiB of JSON, and the file",
            Self::Media => "the image has another format: send PNG, JPEG, WebP, GIF or AVIF",
            Self::Sides => "the image has no width or no height: send both in pixels",
            Self::Size => "the image is empty or larger than 3 MiB: send a smaller one",
        })
    }
}

impl std::error::Error for ImageError {}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use super::*;

    fn photo() -> Image {
        let head =
            ImageHead { media: "image/webp".into(), file: "räume.webp".into(), width: 640, height: 480 };
        Image { head, data: Bytes::from_static(&[0, 1, 2, 255]) }
    }

    #[test]
    fn an_image_is_the_same_after_its_way() {
        let payload = photo().encode().unwrap();
        assert_eq!(Image::decode(&payload), Ok(photo()));
    }

    #[test]
    fn every_beginning_of_an_image_is_refused() {
        let payload = photo().encode().unwrap().0;
        for end in 0..payload.len() - photo().data.len() + 1 {
            assert!(Image::decode(&Binary(payload.slice(..end))).is_err(), "{end}");
        }
    }

    #[test]
    fn a_document_with_scripts_is_no_image() {
        let mut drawing = photo();
        drawing.head.media = "image/svg+xml".into();
        assert_eq!(drawing.encode().map(|_| ()), Err(ImageError::Media));
        let mut flat = photo();
        flat.head.height = 0;
        assert_eq!(flat.encode().map(|_| ()), Err(ImageError::Sides));
    }

    #[test]
    fn a_large_file_is_refused() {
        let large = Image { data: vec![0; Image::MAX_BYTES + 1].into(), ..photo() };
        assert_eq!(large.encode().map(|_| ()), Err(ImageError::Size));
    }
}
