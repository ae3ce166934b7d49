//! The protocol's messages as values. PROTOCOL.md defines their meaning; [`Codec`](crate::Codec) encodes them.
//!
//! A field is declared once, in its struct. `#[message]` derives from its number and type both codecs, the checks, and the method of the
//! message's [view](crate::view). CONTRIBUTING.md lists the other places of a new field.
//!
//! A client sends [`Command`]s; a server sends [`ServerFrame`]s: a [`Reply`] to a command, or an unsolicited [`Push`].

use alloc::string::String;

use wirehub_derive::message;

use crate::Bytes;
use crate::contract::ContractHash;

mod command;
mod server_frame;

pub use self::command::{
    Acknowledge, Call, Cancel, Command, Connect, History, Presence, Publish, Refresh, Request, Subscribe,
    Unsubscribe,
};
pub use self::server_frame::{
    Alarm, Called, Connected, ContractDigest, Disconnect, ErrorInfo, HistoryPage, Idempotency, Member,
    Movement, PresenceList, Publication, Published, Push, Refreshed, Reply, ReplyBody, ServerFrame,
    SubscribeOutcome, Subscribed, Unsubscribed,
};

/// A place in a channel's history.
#[message(view)]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Position {
    /// The offset of the last received publication; 0 before the first.
    #[field(1, always)]
    pub offset: u64,
    /// The history's epoch.
    #[field(2, always)]
    pub epoch: String,
}

/// A contract by name and hash.
#[message(view)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContractId {
    /// The contract's name.
    #[field(1, always)]
    pub name: String,
    /// The hash of all its items.
    #[field(2, always)]
    pub hash: ContractHash,
}

/// A piece of a command or of a server's frame that is larger than the limit of a WebSocket message. The parts of one stream
/// come in order and belong to one frame until the last part has come. Other frames may come between them. An
/// [`Assembler`](crate::Assembler) puts the parts together.
#[message(view, shares)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The stream of the part: it identifies the frame while the parts of several frames are interleaved. There are at most
    /// [`Assembler::STREAMS`](crate::Assembler::STREAMS) streams in one direction.
    #[field(1)]
    pub stream: u32,
    /// The next bytes of the frame, without its delimiter. In JSON this is a text, which is cut between characters only.
    #[field(3)]
    pub data: Bytes,
    /// The number of the frame's bytes in later parts; 0 in the last part.
    #[field(2)]
    pub left: u64,
}
