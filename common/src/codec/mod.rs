//! Frames as bytes: the two codecs, and batches of several frames in one WebSocket message.
//!
//! Each encoded frame includes its own delimiter (a length before a protobuf message, a line feed after a JSON text). So a
//! batch is a concatenation of encoded frames, and a frame that was encoded once can be put into any number of batches.

use alloc::boxed::Box;
use core::fmt;
use core::time::Duration;

use crate::Bytes;
use crate::frame::{Command, ServerFrame};

#[cfg(feature = "json")]
mod json;
pub(crate) mod protobuf;
#[cfg(feature = "json")]
pub(crate) mod shape;
pub(crate) mod wire;

/// Binary messages: length-delimited Protocol Buffers.
pub const SUBPROTOCOL_PROTOBUF: &str = "wirehub.v1.protobuf";
/// Text messages: JSON, one protocol message per line.
pub const SUBPROTOCOL_JSON: &str = "wirehub.v1.json";

/// The encoding of frames, according to the subprotocol of a connection.
///
/// ```
/// use wirehub_common::{Bytes, Codec};
///
/// let line = Bytes::from_static(br#"{"id":1,"connect":{"client":"by hand"}}"#);
/// let commands: Vec<_> = Codec::Json.decode_commands(&line).collect::<Result<_, _>>()?;
/// assert_eq!(commands[0].id, 1);
/// # Ok::<(), wirehub_common::DecodeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Codec {
    /// `wirehub.v1.protobuf`: binary messages.
    Protobuf,
    /// `wirehub.v1.json`: text messages.
    #[cfg(feature = "json")]
    Json,
}

impl Codec {
    /// The codec for the name of a subprotocol. Names are case-sensitive.
    pub fn from_subprotocol(name: &str) -> Option<Self> {
        match name {
            SUBPROTOCOL_PROTOBUF => Some(Self::Protobuf),
            #[cfg(feature = "json")]
            SUBPROTOCOL_JSON => Some(Self::Json),
            _ => None,
        }
    }

    /// The name of the subprotocol.
    pub const fn subprotocol(self) -> &'static str {
        match self {
            Self::Protobuf => SUBPROTOCOL_PROTOBUF,
            #[cfg(feature = "json")]
            Self::Json => SUBPROTOCOL_JSON,
        }
    }

    /// Returns `true` if the WebSocket messages are text (JSON) and not binary.
    pub const fn is_text(self) -> bool {
        match self {
            Self::Protobuf => false,
            #[cfg(feature = "json")]
            Self::Json => true,
        }
    }

    /// A command with its delimiter.
    ///
    /// JSON cannot contain a payload that is tagged [`Content::Json`](crate::Content::Json) and is no JSON text. Such a payload
    /// is written as plain bytes, and the server refuses it.
    #[must_use = "encoding alone sends nothing"]
    pub fn encode_command(self, command: &Command) -> Bytes {
        match self {
            Self::Protobuf => protobuf::encode_command(command),
            #[cfg(feature = "json")]
            Self::Json => json::encode_command(command),
        }
    }

    /// A server's frame with its delimiter. Payloads are encoded as by [`Self::encode_command`].
    #[must_use = "encoding alone sends nothing"]
    pub fn encode_frame(self, frame: &ServerFrame) -> Bytes {
        match self {
            Self::Protobuf => protobuf::encode_frame(frame),
            #[cfg(feature = "json")]
            Self::Json => json::encode_frame(frame),
        }
    }

    /// The commands in one WebSocket message, one after the other. After an error the iterator ends: the commands before the
    /// error are valid, and the commands behind it can't be told apart.
    pub fn decode_commands(self, message: &Bytes) -> Batch<'_, Command> {
        Batch::new(self, message, Command::decode)
    }

    /// Removes the next command from the front of a message; `None` if there is none. After an error the message is empty.
    #[must_use = "the command is not there a second time"]
    pub fn next_command(self, rest: &mut Bytes) -> Option<Result<Command, DecodeError>> {
        let mut commands = self.decode_commands(rest);
        let command = commands.next();
        let behind = commands.rest;
        *rest = rest.slice_ref(behind);
        command
    }

    /// Decodes a single command without its delimiter, for example one that was [put together](crate::Assembler) from parts.
    ///
    /// # Errors
    /// The bytes are no valid command.
    pub fn decode_command(self, command: &Bytes) -> Result<Command, DecodeError> {
        Command::decode(self, command, command)
    }

    /// Decodes a single frame of a server. See [`Self::decode_command`].
    ///
    /// # Errors
    /// The bytes are no valid frame.
    pub fn decode_frame(self, frame: &Bytes) -> Result<ServerFrame, DecodeError> {
        ServerFrame::decode(self, frame, frame)
    }

    /// An encoded frame without its delimiter.
    #[cfg(feature = "std")]
    pub fn undelimited(self, frame: &Bytes) -> Bytes {
        match self {
            Self::Protobuf => {
                let body = wire::split_delimited(&mut &**frame).ok().flatten();
                body.map_or_else(Bytes::new, |body| frame.slice_ref(body))
            }
            #[cfg(feature = "json")]
            Self::Json => frame.slice_ref(frame.trim_ascii_end()),
        }
    }

    /// Cuts the next [part](crate::frame::Part) off a server's frame, which has to be [without its
    /// delimiter](Self::undelimited). The encoded part is returned in two pieces; the second one may share its bytes with the
    /// frame. Together they have at most `room` bytes. A `room` that is too small for the smallest part is exceeded.
    #[cfg(feature = "std")]
    #[must_use = "the part is not in the rest any more"]
    pub fn cut_part(self, stream: u32, rest: &mut Bytes, room: usize) -> (Bytes, Bytes) {
        match self {
            Self::Protobuf => {
                let data = rest.split_to(rest.len().min(room.saturating_sub(PART_HEAD_BYTES).max(1)));
                (protobuf::part_head(stream, rest.len() as u64, data.len()), data)
            }
            #[cfg(feature = "json")]
            Self::Json => (json::cut_part(stream, rest, room), Bytes::new()),
        }
    }

    /// The server's frames in one WebSocket message. See [`Self::decode_commands`].
    pub fn decode_frames(self, message: &Bytes) -> Batch<'_, ServerFrame> {
        Batch::new(self, message, ServerFrame::decode)
    }
}

/// Iterates over the frames of one WebSocket message.
#[derive(Debug)]
pub struct Batch<'a, T> {
    codec: Codec,
    message: &'a Bytes,
    rest: &'a [u8],
    decode: fn(Codec, &Bytes, &[u8]) -> Result<T, DecodeError>,
}

impl<'a, T> Batch<'a, T> {
    fn new(
        codec: Codec,
        message: &'a Bytes,
        decode: fn(Codec, &Bytes, &[u8]) -> Result<T, DecodeError>,
    ) -> Self {
        Self { codec, message, rest: message, decode }
    }

    fn split(&mut self) -> Result<Option<&'a [u8]>, DecodeError> {
        match self.codec {
            Codec::Protobuf => Ok(wire::split_delimited(&mut self.rest)?),
            #[cfg(feature = "json")]
            Codec::Json => Ok(json::split_line(&mut self.rest)),
        }
    }
}

impl<T> Iterator for Batch<'_, T> {
    type Item = Result<T, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let frame = self
            .split()
            .and_then(|part| part.map(|part| (self.decode)(self.codec, self.message, part)).transpose());
        if frame.is_err() {
            self.rest = &[];
        }
        frame.transpose()
    }
}

impl Command {
    fn decode(codec: Codec, message: &Bytes, part: &[u8]) -> Result<Self, DecodeError> {
        match codec {
            Codec::Protobuf => Ok(protobuf::decode_command(message, part)?),
            #[cfg(feature = "json")]
            Codec::Json => json::decode_command(part),
        }
    }
}

impl ServerFrame {
    fn decode(codec: Codec, message: &Bytes, part: &[u8]) -> Result<Self, DecodeError> {
        match codec {
            Codec::Protobuf => Ok(protobuf::decode_frame(message, part)?),
            #[cfg(feature = "json")]
            Codec::Json => json::decode_frame(part),
        }
    }
}

/// The maximum size of a part's own fields, without the piece of the frame.
#[cfg(feature = "std")]
const PART_HEAD_BYTES: usize = 32;

/// Times on the wire are 32-bit numbers of milliseconds. A time of more than 49 days is sent as 49 days. 0 has a special
/// meaning, so a time of less than a millisecond is sent as one millisecond.
fn to_milliseconds(time: Duration) -> u32 {
    let whole = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
    if time.is_zero() { 0 } else { whole.max(1) }
}

/// The error for bytes that do not follow the subprotocol.
#[derive(Debug)]
pub struct DecodeError {
    kind: DecodeErrorKind,
    source: Option<Box<dyn core::error::Error + Send + Sync>>,
}

/// The fault of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The bytes end in the middle of a frame or field.
    Truncated,
    /// A variable-length integer has more than ten bytes or more than 64 bits.
    Varint,
    /// A field number or wire type that Protocol Buffers does not have.
    Tag,
    /// Text that is not UTF-8.
    Utf8,
    /// A number outside the field's range.
    Range,
    /// A repeated field with more than [`Limits::REPEATED`](crate::Limits::REPEATED) entries.
    TooMany,
    /// A field without which the frame has no meaning is missing or has no valid value.
    Field,
    /// Not JSON, or JSON of another shape.
    Json,
    /// Parts that don't fit together.
    Part,
}

impl DecodeErrorKind {
    /// A description of the fault, for people. Without the feature `std` it is short, as for a page, whose reader did not write
    /// the frame.
    pub const fn as_str(self) -> &'static str {
        let (words, word) = match self {
            Self::Truncated => ("the frame is cut short: send whole frames", "truncated"),
            Self::Varint => ("a variable-length integer is too long: it has at most ten bytes", "varint"),
            Self::Tag => ("a field has a number or wire type that Protocol Buffers does not have", "tag"),
            Self::Utf8 => ("a text is not UTF-8", "UTF-8"),
            Self::Range => ("a number is outside its field's range", "range"),
            Self::TooMany => ("a list has too many entries: send it in parts", "length"),
            Self::Field => ("a field that the frame needs is missing or has no valid value", "field"),
            Self::Json => ("the line is not JSON of the shape that PROTOCOL.md shows", "JSON"),
            Self::Part => ("the parts of a frame do not fit together, or make one that is too large", "part"),
        };
        if cfg!(feature = "std") { words } else { word }
    }
}

impl DecodeError {
    #[cfg(feature = "json")]
    pub(crate) fn with_source(
        kind: DecodeErrorKind,
        source: impl Into<Box<dyn core::error::Error + Send + Sync>>,
    ) -> Self {
        Self { kind, source: Some(source.into()) }
    }

    /// The kind of fault.
    pub fn kind(&self) -> DecodeErrorKind {
        self.kind
    }
}

impl From<DecodeErrorKind> for DecodeError {
    fn from(kind: DecodeErrorKind) -> Self {
        Self { kind, source: None }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.as_str())?;
        self.source.as_ref().map_or(Ok(()), |source| write!(f, " ({source})"))
    }
}

impl core::error::Error for DecodeError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_does_not_fit_is_not_taken_for_none() {
        assert_eq!(to_milliseconds(Duration::ZERO), 0);
        assert_eq!(to_milliseconds(Duration::from_nanos(1)), 1);
        assert_eq!(to_milliseconds(Duration::from_micros(2_999)), 2);
        assert_eq!(to_milliseconds(Duration::MAX), u32::MAX);
    }
}
