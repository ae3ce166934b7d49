//! A contract and its user, with `wirehub-client-wasm` as the only crate of Wirehub that is depended on.

use serde::{Deserialize, Serialize};
use wirehub_client_wasm::common::contract::Schema;
use wirehub_client_wasm::{Client, Error};

wirehub_client_wasm::common::contract! {
    /// A chat.
    pub contract Chat = "chat";
    /// One room.
    channel Room { room } = "chat:{room}": Line;
}

/// What somebody says.
#[derive(Debug, Serialize, Deserialize, Schema)]
pub struct Line {
    /// The words.
    pub text: String,
}

/// Says something in a room.
///
/// # Errors
/// The publish failed.
pub async fn say(client: &Client, room: &Room, text: &str) -> Result<(), Error> {
    client.publish(room, &Line { text: text.into() }).await?;
    Ok(())
}
