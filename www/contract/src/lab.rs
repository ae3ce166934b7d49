//! The lab: lines that break, and proofs that nothing is lost.

use serde::{Deserialize, Serialize};
use wirehub_common::contract::Schema;

/// A numbered message. A checker counts the numbers of each sender: every one comes once and in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Schema)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct LabMessage {
    /// The sender: a name that no other sender of this run has. The server's names begin with
    /// `server`.
    pub sender: String,
    /// From 1, without gaps.
    pub number: u32,
    /// The sender's time, in milliseconds since 1970.
    pub sent: f64,
    /// Makes the message larger.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[cfg_attr(feature = "typescript", ts(as = "Option<_>", optional))]
    pub filler: String,
}

/// See [`ServerFacts`](crate::ServerFacts).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Schema)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct ServerFactsResponse {
    /// The version of the server.
    pub version: String,
    /// The time of its start, in milliseconds since 1970.
    pub started: u64,
    /// The number of its process.
    pub process: u32,
    /// `true` if messages outlive a restart.
    pub durable: bool,
    /// `true` if [`Restart`](crate::Restart) is allowed to the caller.
    pub restart: bool,
    /// The sessions at the moment.
    pub sessions: u32,
    /// The messages that were published since the start.
    pub published: u64,
    /// The messages that were put into the queues of sessions since the start.
    pub delivered: u64,
    /// The largest message in bytes.
    pub largest: u32,
}

/// See [`Restart`](crate::Restart).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct RestartResponse {
    /// The time until the restart begins, in milliseconds.
    pub after: u32,
}

/// See [`Load`](crate::Load).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct LoadRequest {
    /// The run in [`Lab`](crate::Lab). A run has one load at a time.
    pub run: String,
    /// The number of messages: 1 to 100,000.
    pub messages: u32,
    /// The messages per second: 1 to 10,000.
    pub rate: u32,
    /// The length of [`LabMessage::filler`]: up to 16,384.
    pub filler: u32,
}

/// See [`Load`](crate::Load).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct LoadResponse {
    /// The sender of the messages: `server` and the time of the server's start. A restarted server begins with 1 again.
    pub sender: String,
    /// The number of the first message: a second load of a run goes on with the next number.
    pub first: u32,
}
