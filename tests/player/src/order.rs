//! The stage's messages to a player.

use serde::{Deserialize, Serialize};

/// A message to a player, in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case")]
pub enum Order {
    /// Make a client, and report its states.
    Begin(Begin),
    /// `connect`.
    Connect,
    /// Subscribe, and report the subscription's events.
    Subscribe {
        /// The channel's name.
        channel: String,
        /// Nothing is read before [`Order::Read`].
        unread: bool,
    },
    /// Read a subscription that was not to be read.
    Read {
        /// The channel's name.
        channel: String,
    },
    /// Unsubscribe.
    Unsubscribe {
        /// The channel's name.
        channel: String,
    },
    /// Publish a text as JSON, and report the answer.
    Publish {
        /// The channel's name.
        channel: String,
        /// The text.
        text: String,
    },
    /// Publish bytes, and report the answer.
    PublishBytes {
        /// The channel's name.
        channel: String,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Publish bytes with a text as their head, and report the answer.
    PublishAttachment {
        /// The channel's name.
        channel: String,
        /// The text.
        head: String,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Call with a text as JSON, and report the response, which is a text too.
    Call {
        /// The procedure's name.
        name: String,
        /// The text.
        text: String,
    },
    /// Answer the question to the token provider.
    Token {
        /// The token; `None` if the user has signed out.
        token: Option<String>,
    },
    /// Close the client.
    Close {
        /// The code.
        code: u16,
        /// The reason.
        reason: String,
    },
    /// The scenario is over.
    End {
        /// The difference from the table; empty if there is none.
        failure: String,
    },
}

/// The settings of a client.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Begin {
    /// The address of the server.
    pub url: String,
    /// The token; `None` for a token provider, whose questions are reported.
    pub token: Option<String>,
    /// The bound of each receive queue in bytes; `None` for the default.
    pub queue: Option<usize>,
    /// The policy of a full receive queue: `error`, `drop-oldest`, `latest`.
    pub overflow: String,
}
