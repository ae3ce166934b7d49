//! The common part of both ends of Wirehub: [frames](frame), their two [codecs](codec), [channel names](ChannelName),
//! [codes](code), [limits](Limits) and the typed [contract](mod@contract).
//!
//! This crate does no I/O, reads no clock and asks for no entropy: it consists of values and pure functions.
//!
//! ```
//! use wirehub_common::{ChannelName, Codec, Payload};
//! use wirehub_common::frame::{Command, Publish, Request};
//!
//! let command = Command {
//!     id: 7,
//!     request: Request::Publish(Publish {
//!         channel: ChannelName::new("chat:lobby")?,
//!         payload: Payload::json(r#"{"text":"hi"}"#),
//!         key: String::new(),
//!     }),
//! };
//! let bytes = Codec::Protobuf.encode_command(&command);
//! let back: Result<Vec<_>, _> = Codec::Protobuf.decode_commands(&bytes).collect();
//! assert_eq!(back?, [command]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(not(any(feature = "std", test)), no_std)]

extern crate alloc;

pub mod attachment;
pub mod code;
pub mod codec;
pub mod compose;
pub mod contract;
pub mod frame;
/// For the module of the npm package, which decodes texts in the same way as frames.
#[doc(hidden)]
pub mod utf8;
pub mod view;

mod channel;
mod limits;
mod parts;
mod payload;
#[cfg(any(test, not(feature = "std")))]
#[cfg_attr(feature = "std", allow(unreachable_pub, reason = "with `std` it is only tested"))]
mod plain_bytes;
#[cfg(feature = "json")]
mod subprotocol;

#[cfg(feature = "std")]
pub use bytes::Bytes;
pub use channel::{ChannelName, ChannelNameError};
pub use codec::{Codec, DecodeError, DecodeErrorKind, SUBPROTOCOL_JSON, SUBPROTOCOL_PROTOBUF};
pub use limits::Limits;
pub use parts::{Assembler, PartError};
pub use payload::{Content, Payload, PayloadError, PayloadErrorKind};
#[cfg(not(feature = "std"))]
pub use plain_bytes::Bytes;
#[cfg(feature = "json")]
pub use subprotocol::{UnknownSubprotocol, negotiate};
