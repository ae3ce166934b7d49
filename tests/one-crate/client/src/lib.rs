//! A contract and its user, with `wirehub-client` as the only dependency on Wirehub, and without an import of a trait.

use serde::{Deserialize, Serialize};
use wirehub_client::common::contract::Schema;
use wirehub_client::{Client, Error};

wirehub_client::common::contract! {
    /// A chat.
    pub contract Chat = "chat";
    /// One room.
    channel Room { room } = "chat:{room}": Line;
    /// Adds up.
    call Add = "math.add": fn(Vec<f64>) -> f64;
}

/// A message in a room.
#[derive(Debug, Serialize, Deserialize, Schema)]
pub struct Line {
    /// The text.
    pub text: Text,
}

/// A type with an explicit path to the contract's crate.
#[derive(Debug, Serialize, Deserialize, Schema)]
#[schema(crate = "wirehub_client::common")]
pub struct Text(pub String);

/// Publishes the sum of some numbers in a room.
///
/// # Errors
/// The call or the publish failed.
pub async fn say_sum(client: &Client, room: &Room, terms: Vec<f64>) -> Result<(), Error> {
    let sum = client.call::<Add>(&terms).await?;
    client.publish(room, &Line { text: Text(sum.to_string()) }).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_have_their_methods_without_an_import() -> Result<(), Box<dyn std::error::Error>> {
        let lobby = Room::new("lobby")?;
        assert_eq!(lobby.name().as_str(), "chat:lobby");
        assert_eq!(Room::parse(lobby.name()).as_ref(), Some(&lobby));
        assert_eq!((Room::PATTERN, Add::NAME, Add.name()), ("chat:{room}", "math.add", "math.add"));
        assert_eq!((Chat::digest().id, Chat::ITEMS.len()), (Chat::id(), 2));
        Ok(())
    }
}
