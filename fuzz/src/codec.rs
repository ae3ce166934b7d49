//! The codecs, fed with any bytes.

use bytes::Bytes;
use wirehub_common::Codec;

const CODECS: [Codec; 2] = [Codec::Protobuf, Codec::Json];

/// Reads the bytes as commands.
///
/// # Panics
/// A decoded command differs after encoding and decoding it again.
pub fn commands(message: &[u8]) {
    for codec in CODECS {
        let message = told_apart(codec, message);
        let read = |bytes: &Bytes| codec.decode_commands(bytes).map_while(Result::ok).collect::<Vec<_>>();
        for command in read(&message) {
            // An invalid request does not keep its contents, so it can't be encoded.
            if !matches!(command.request, wirehub_common::frame::Request::Invalid(_)) {
                assert_eq!(read(&codec.encode_command(&command)), [command], "{codec:?}");
            }
        }
    }
}

/// Reads the bytes as a server's frames.
///
/// # Panics
/// A decoded frame differs after encoding and decoding it again.
pub fn frames(message: &[u8]) {
    for codec in CODECS {
        let message = told_apart(codec, message);
        let read = |bytes: &Bytes| codec.decode_frames(bytes).map_while(Result::ok).collect::<Vec<_>>();
        for frame in read(&message) {
            assert_eq!(read(&codec.encode_frame(&frame)), [frame], "{codec:?}");
        }
    }
}

/// The message in a form in which different values stay different. In JSON a carriage return is white space; the
/// encoder writes a blank instead, so that a frame is always one line.
fn told_apart(codec: Codec, message: &[u8]) -> Bytes {
    match codec {
        Codec::Json => message.iter().map(|&byte| if byte == b'\r' { b' ' } else { byte }).collect(),
        _ => Bytes::copy_from_slice(message),
    }
}
