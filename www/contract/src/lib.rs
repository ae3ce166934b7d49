//! The demo page's contract: what the page, written in TypeScript, and its server, written in Rust, agree on.
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
    /// Gives back the text it gets: shows the round trip through the hub.
    call Echo = "demo.echo": fn(EchoRequest) -> EchoResponse;
    /// The rooms with somebody in them.
    call Rooms = "demo.rooms": fn(RoomsRequest) -> RoomsResponse;
    /// The server's clock: a tick at each period, until the caller has enough.
    stream Ticks = "demo.ticks": fn(TicksRequest) -> Tick;
}

/// What somebody says in a room. Who it came from and when is in the publication around it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct ChatMessage {
    /// The name that the sender goes by.
    pub nick: String,
    /// What was said.
    pub text: String,
}

/// See [`Echo`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct EchoRequest {
    /// What to give back.
    pub text: String,
}

/// See [`Echo`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct EchoResponse {
    /// What was sent.
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

/// A chat room with people in it.
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

/// The server's clock has ticked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Schema)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Tick {
    /// Counts the ticks of this call, from 1.
    pub number: u32,
    /// How long after its time the tick came, in milliseconds: what the server had to do first.
    pub late: f64,
}
