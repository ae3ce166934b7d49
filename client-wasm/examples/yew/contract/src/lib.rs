//! The contract of the page and its server: a crate that both depend on.

use serde::{Deserialize, Serialize};
use wirehub_common::contract::Schema;

wirehub_common::contract! {
    /// The chat of this example.
    pub contract Chat = "chat";
    /// A chat room.
    channel ChatRoom { room } = "chat:{room}": ChatMessage;
}

/// A message in a room. Its sender and its time are in the publication around it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct ChatMessage {
    /// The sender's nickname.
    pub nick: String,
    /// The text.
    pub text: String,
}
