//! The codecs, fed with any bytes.

use bytes::Bytes;
use wirehub_common::Codec;

const CODECS: [Codec; 2] = [Codec::Protobuf, Codec::Json];

/// Reads the bytes as commands.
///
/// # Panics
/// Where a command that was read is not the same after writing and reading it once more.
pub fn commands(message: &[u8]) {
    for codec in CODECS {
        let message = told_apart(codec, message);
        let read = |bytes: &Bytes| codec.decode_commands(bytes).map_while(Result::ok).collect::<Vec<_>>();
        for command in read(&message) {
            // What an invalid request asked for is not kept, so it can't be written.
            if !matches!(command.request, wirehub_common::frame::Request::Invalid(_)) {
                assert_eq!(read(&codec.encode_command(&command)), [command], "{codec:?}");
            }
        }
    }
}

/// Reads the bytes as a server's frames.
///
/// # Panics
/// Where a frame that was read is not the same after writing and reading it once more.
pub fn frames(message: &[u8]) {
    for codec in CODECS {
        let message = told_apart(codec, message);
        let read = |bytes: &Bytes| codec.decode_frames(bytes).map_while(Result::ok).collect::<Vec<_>>();
        for frame in read(&message) {
            assert_eq!(read(&codec.encode_frame(&frame)), [frame], "{codec:?}");
        }
    }
}

/// The message, such that the codec tells all its values apart. In JSON a carriage return is white space; the writer
/// makes it a blank, for a frame to be one line everywhere.
fn told_apart(codec: Codec, message: &[u8]) -> Bytes {
    match codec {
        Codec::Json => message.iter().map(|&byte| if byte == b'\r' { b' ' } else { byte }).collect(),
        _ => Bytes::copy_from_slice(message),
    }
}
