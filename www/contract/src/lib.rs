//! The demo page's contract, shared by the page in TypeScript and its server in Rust.
//!
//! ```
//! use wirehub_demo_contract::ChatRoom;
//!
//! let lobby = ChatRoom::new("lobby")?;
//! assert_eq!(lobby.name().as_str(), "chat:lobby");
//! # Ok::<(), wirehub_common::ChannelNameError>(())
//! ```

use serde::{Deserialize, Serialize};
use wirehub_common::contract::Schema;

wirehub_common::contract! {
    /// The demo page's contract.
    pub contract Demo = "demo";
    /// A chat room.
    channel ChatRoom { room } = "chat:{room}": ChatMessage;
    /// Returns the text it receives, to show the round trip through the hub.
    call Echo = "demo.echo": fn(EchoRequest) -> EchoResponse;
    /// The rooms with members.
    call Rooms = "demo.rooms": fn(RoomsRequest) -> RoomsResponse;
    /// The server's clock: a tick at each period, until the caller ends it.
    stream Ticks = "demo.ticks": fn(TicksRequest) -> Tick;
}

/// A message in a room. Its sender and time are in the publication around it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct ChatMessage {
    /// The sender's name.
    pub nick: String,
    /// The text of the message.
    pub text: String,
}

/// See [`Echo`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct EchoRequest {
    /// The text to return.
    pub text: String,
}

/// See [`Echo`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct EchoResponse {
    /// The text of the request.
    pub text: String,
}

/// See [`Rooms`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, Schema)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct RoomsRequest {}

/// See [`Rooms`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct RoomsResponse {
    /// In alphabetical order.
    pub rooms: Vec<RoomInfo>,
}

/// A chat room with members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct RoomInfo {
    /// The room's name, without the channel's namespace.
    pub name: String,
    /// How many sessions are subscribed.
    pub people: u32,
}

/// See [`Ticks`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct TicksRequest {
    /// The time from one tick to the next, in milliseconds: 20 to 60,000.
    pub every: u32,
}

/// A tick of the server's clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Schema)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Tick {
    /// Counts the ticks of this call, from 1.
    pub number: u32,
    /// The delay of the tick in milliseconds, while the server had other work.
    pub late: f64,
}
