//! A contract and its user, with `wirehub-client-wasm` as the only dependency on Wirehub.

use serde::{Deserialize, Serialize};
use wirehub_client_wasm::common::contract::Schema;
use wirehub_client_wasm::{Client, Error};

wirehub_client_wasm::common::contract! {
    /// A chat.
    pub contract Chat = "chat";
    /// One room.
    channel Room { room } = "chat:{room}": Line;
}

/// A message in a room.
#[derive(Debug, Serialize, Deserialize, Schema)]
pub struct Line {
    /// The text.
    pub text: String,
}

/// Publishes a text in a room.
///
/// # Errors
/// The publish failed.
pub async fn say(client: &Client, room: &Room, text: &str) -> Result<(), Error> {
    client.publish(room, &Line { text: text.into() }).await?;
    Ok(())
}
