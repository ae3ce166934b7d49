//! Images: bytes with a head.

use std::fmt;

use serde::{Deserialize, Serialize};
use wirehub_common::contract::{Attachment, Schema};

/// An image in [`Images`](crate::Images): its description, and the bytes of its file.
pub type Image = Attachment<ImageHead>;

/// The description of an image, before its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct ImageHead {
    /// The media type: `image/png`, `image/jpeg`, `image/webp`, `image/gif` or `image/avif`. A page shows no other, because an
    /// SVG is a document with scripts.
    pub media: String,
    /// The name of the file: up to 200 characters.
    pub file: String,
    /// The width in pixels.
    pub width: u32,
    /// The height in pixels.
    pub height: u32,
}

impl ImageHead {
    /// The media types that a page shows.
    pub const MEDIA: [&'static str; 5] = ["image/png", "image/jpeg", "image/webp", "image/gif", "image/avif"];
    /// The longest name of a file, in characters.
    pub const MAX_NAME: usize = 200;
    /// The largest file in bytes: 3 MiB.
    pub const MAX_BYTES: usize = 3 * 1024 * 1024;

    /// Checks the description of a file with that many bytes.
    ///
    /// # Errors
    /// The media type is not in [`Self::MEDIA`], the name is longer than [`Self::MAX_NAME`], a side is 0, or the file is
    /// empty or larger than [`Self::MAX_BYTES`].
    pub fn check(&self, bytes: usize) -> Result<(), ImageError> {
        if !Self::MEDIA.contains(&self.media.as_str()) {
            Err(ImageError::Media)
        } else if self.file.chars().count() > Self::MAX_NAME {
            Err(ImageError::Name)
        } else if self.width == 0 || self.height == 0 {
            Err(ImageError::Sides)
        } else if bytes == 0 || bytes > Self::MAX_BYTES {
            Err(ImageError::Size)
        } else {
            Ok(())
        }
    }
}

/// The attachment is not an image of the demo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImageError {
    /// The media type is not shown.
    Media,
    /// The name of the file is too long.
    Name,
    /// The image has no width or no height.
    Sides,
    /// The file is empty or too large.
    Size,
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Media => "the image has another format: send PNG, JPEG, WebP, GIF or AVIF",
            Self::Name => "the name of the file is longer than 200 characters: shorten it",
            Self::Sides => "the image has no width or no height: send both in pixels",
            Self::Size => "the image is empty or larger than 3 MiB: send a smaller one",
        })
    }
}

impl std::error::Error for ImageError {}

#[cfg(test)]
mod tests {
    use wirehub_common::Payload;
    use wirehub_common::contract::Message as _;

    use super::*;

    fn photo() -> ImageHead {
        ImageHead { media: "image/webp".into(), file: "räume.webp".into(), width: 640, height: 480 }
    }

    #[test]
    fn an_image_is_an_attachment() {
        let payload = Image::new(photo(), vec![0, 255]).to_payload().unwrap();
        let head = r#"{"media":"image/webp","file":"räume.webp","width":640,"height":480}"#;
        assert_eq!(payload, Payload::attachment(head, [0, 255]));
        assert_eq!(Image::from_payload(&payload).unwrap().head, photo());
    }

    #[test]
    fn a_head_that_does_not_describe_an_image_is_refused() {
        assert_eq!(photo().check(4), Ok(()));
        for (wrong, error) in [
            (ImageHead { media: "image/svg+xml".into(), ..photo() }, ImageError::Media),
            (ImageHead { file: "ü".repeat(201), ..photo() }, ImageError::Name),
            (ImageHead { width: 0, ..photo() }, ImageError::Sides),
            (ImageHead { height: 0, ..photo() }, ImageError::Sides),
        ] {
            assert_eq!(wrong.check(4), Err(error), "{wrong:?}");
        }
        let longest = ImageHead { file: "ü".repeat(200), ..photo() };
        assert_eq!(longest.check(ImageHead::MAX_BYTES), Ok(()));
    }

    #[test]
    fn an_empty_file_and_a_large_one_are_refused() {
        for bytes in [0, ImageHead::MAX_BYTES + 1] {
            assert_eq!(photo().check(bytes), Err(ImageError::Size), "{bytes}");
        }
    }
}
