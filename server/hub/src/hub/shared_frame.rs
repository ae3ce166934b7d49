//! A frame for many sessions.

use bytes::Bytes;
use wirehub_common::Codec;
use wirehub_common::frame::ServerFrame;

/// A frame that is encoded at most once for each codec, when the first session with the codec needs it.
pub(crate) struct SharedFrame {
    frame: ServerFrame,
    encoded: Vec<(Codec, Bytes)>,
}

impl SharedFrame {
    pub(crate) fn new(frame: ServerFrame) -> Self {
        Self { frame, encoded: Vec::new() }
    }

    /// The frame's bytes, shared with earlier callers.
    pub(crate) fn bytes(&mut self, codec: Codec) -> Bytes {
        if let Some((_, bytes)) = self.encoded.iter().find(|(known, _)| *known == codec) {
            return bytes.clone();
        }
        let bytes = codec.encode_frame(&self.frame);
        self.encoded.push((codec, bytes.clone()));
        bytes
    }
}

#[cfg(test)]
mod tests {
    use wirehub_common::frame::Push;

    use super::*;

    #[test]
    fn a_frame_is_encoded_once_for_each_codec() {
        let mut frame = SharedFrame::new(ServerFrame::Push(Push::RefreshDue));
        let (first, second) = (frame.bytes(Codec::Json), frame.bytes(Codec::Json));
        assert_eq!(first.as_ptr(), second.as_ptr());
        assert_ne!(frame.bytes(Codec::Protobuf), first);
    }
}
