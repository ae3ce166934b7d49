//! The people: identities, names and private messages.

use serde::{Deserialize, Serialize};
use wirehub_common::contract::Schema;

use crate::ImageReference;

/// The request of a call, or the response to one, without content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, Schema)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Nothing {}

/// The body of `POST /demo/session`, which makes a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct SessionRequest {
    /// The person's secret, made by the page and kept there: 32 to 128 characters, at least 128 bits of randomness. The same
    /// key is the same user, in every tab and after a restart.
    pub key: String,
    /// The person's name: 1 to 40 characters. Another name is the same user.
    pub name: String,
    /// The token's time in seconds: 5 to 3,600. Default: 600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "typescript", ts(optional))]
    pub ttl: Option<u32>,
}

/// The response to [`SessionRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct SessionResponse {
    /// The token for the client.
    pub token: String,
    /// The user's id.
    pub user: String,
    /// The name as the others see it.
    pub name: String,
    /// The end of the token, in milliseconds since 1970.
    pub expires: u64,
}

/// A session's info: the others see it in lists of members, joins and leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Person {
    /// The name.
    pub name: String,
}

/// Somebody has another name from now on. The info of a session stays that of its beginning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct NameChange {
    /// The user id.
    pub user: String,
    /// The name.
    pub name: String,
}

/// An event in the private conversations of a user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Schema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub enum DirectMessage {
    /// A message. The writer's own channel has it too.
    Text {
        /// The sender chose the id.
        id: String,
        /// The writer's user id.
        from: String,
        /// The writer's name.
        name: String,
        /// The recipient's user id.
        to: String,
        /// The text; may be empty beside an image.
        text: String,
        /// An image beside the text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "typescript", ts(optional))]
        image: Option<ImageReference>,
    },
    /// The user has read what `from` wrote, up to and including a message, perhaps in another tab.
    Read {
        /// The other person's user id.
        from: String,
        /// The id of the message.
        id: String,
    },
    /// The other person has read what this user wrote, up to and including a message.
    Seen {
        /// The other person's user id.
        by: String,
        /// The id of the message.
        id: String,
    },
}

/// See [`SendDirect`](crate::SendDirect).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Schema)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct SendRequest {
    /// A new id: 1 to 64 characters.
    pub id: String,
    /// The recipient's user id.
    pub to: String,
    /// The text: up to 4,000 characters.
    pub text: String,
    /// An image beside the text. An image in a room with a name that nobody can guess is private.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "typescript", ts(optional))]
    pub image: Option<ImageReference>,
}

/// See [`SendDirect`](crate::SendDirect).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct SendResponse {
    /// `true` if the recipient has a page open.
    pub online: bool,
}

/// See [`ReadDirect`](crate::ReadDirect).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct ReadRequest {
    /// The other person's user id.
    pub from: String,
    /// The id of the newest message that was read.
    pub id: String,
}
