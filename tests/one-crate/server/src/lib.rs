//! A contract and its hub, with `wirehub-server` as the only crate of Wirehub that is depended on.

use serde::{Deserialize, Serialize};
use wirehub_server::Hub;
use wirehub_server::common::contract::Schema;

wirehub_server::common::contract! {
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

/// A hub that takes what the contract has, and nothing else.
pub fn hub() -> Hub {
    Hub::builder().contract::<Chat>().build()
}
