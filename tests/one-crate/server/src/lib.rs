//! A contract and its hub, with `wirehub-server` as the only dependency on Wirehub.

use serde::{Deserialize, Serialize};
use wirehub_server::Hub;
use wirehub_server::common::contract::Schema;

wirehub_server::common::contract! {
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

/// A hub that accepts the contract, and nothing else.
pub fn hub() -> Hub {
    Hub::builder().contract::<Chat>().build()
}
