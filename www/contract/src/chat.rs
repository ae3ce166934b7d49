//! Rooms, and the messages in them.

use serde::{Deserialize, Serialize};
use wirehub_common::contract::Schema;

/// An event in a room. The publication around it has the sender and the time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Schema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub enum RoomMessage {
    /// Somebody says something.
    Text {
        /// The sender chose the id: 1 to 64 characters. It finds the sender's own message again, and reactions name it.
        id: String,
        /// The sender's name at that time. The server puts the name of the session here.
        name: String,
        /// The text: up to 4,000 characters.
        text: String,
        /// The id of the message that this one answers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "typescript", ts(optional))]
        reply: Option<String>,
    },
    /// Somebody shows an image. Its bytes are in [`Images`](crate::Images) already.
    Image {
        /// As in [`Self::Text`].
        id: String,
        /// As in [`Self::Text`].
        name: String,
        /// A text beside the image: up to 4,000 characters.
        text: String,
        /// The image.
        image: ImageReference,
    },
    /// Somebody reacts to a message, or takes the reaction back.
    Reaction {
        /// The id of the message.
        to: String,
        /// The name of the one who reacts, as in [`Self::Text`].
        name: String,
        /// The reaction: one emoji, up to 16 bytes.
        emoji: String,
        /// `false` takes it back.
        on: bool,
    },
    /// Somebody has seen everything up to and including a message.
    Seen {
        /// The id of the message.
        id: String,
    },
}

/// The place of an image: history of the channel `images:{room}`, the publication with this offset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Schema)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct ImageReference {
    /// The room of [`Images`](crate::Images).
    pub room: String,
    /// The epoch of the publication's position.
    pub epoch: String,
    /// The offset of the publication.
    pub offset: u64,
    /// The width in pixels, so that the page has room before the image is there.
    pub width: u32,
    /// The height in pixels.
    pub height: u32,
    /// The size in bytes.
    pub bytes: u32,
    /// The name of the file: up to 200 characters.
    pub file: String,
}

/// See [`TypingIn`](crate::TypingIn).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Typing {
    /// The name of the one who writes.
    pub name: String,
    /// `false` after the end. It also ends by itself: a page repeats `true` every three seconds.
    pub typing: bool,
}

/// A message in a [`ChatRoom`](crate::ChatRoom). Its sender and time are in the publication around it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct ChatMessage {
    /// The sender's name.
    pub nick: String,
    /// The text of the message.
    pub text: String,
}

/// See [`Echo`](crate::Echo).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct EchoRequest {
    /// The text to return.
    pub text: String,
}

/// See [`Echo`](crate::Echo).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct EchoResponse {
    /// The text of the request.
    pub text: String,
}

/// See [`Rooms`](crate::Rooms).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, Schema)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct RoomsRequest {}

/// See [`Rooms`](crate::Rooms).
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

/// See [`Ticks`](crate::Ticks).
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
