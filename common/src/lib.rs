//! What both ends of Wirehub agree on: [frames](frame), their two [codecs](codec), [channel names](ChannelName),
//! [codes](code), [limits](Limits) and the typed [contract](mod@contract).
//!
//! Nothing in here does I/O, reads a clock or asks for entropy; everything is a value or a pure function.
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

pub mod code;
pub mod codec;
pub mod contract;
pub mod frame;

mod channel;
mod limits;
mod payload;
#[cfg(feature = "json")]
mod subprotocol;

pub use channel::{ChannelName, ChannelNameError};
pub use codec::{Codec, DecodeError, DecodeErrorKind, SUBPROTOCOL_JSON, SUBPROTOCOL_PROTOBUF};
pub use limits::Limits;
pub use payload::{Content, Payload, PayloadError, PayloadErrorKind};
#[cfg(feature = "json")]
pub use subprotocol::{UnknownSubprotocol, negotiate};

// Derive macros and contracts expand to paths through here, so that their users depend on this crate alone.
#[doc(hidden)]
pub use bytes;
