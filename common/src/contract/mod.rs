//! The typed contract: channels and calls, declared once, in a crate that both ends compile.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use wirehub_common::contract::{Call, Channel, Contract, Message, Schema};
//!
//! #[derive(Debug, PartialEq, Serialize, Deserialize, Schema)]
//! # #[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
//! pub struct Line { pub nick: String, pub text: String }
//! #[derive(Serialize, Deserialize, Schema)]
//! # #[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
//! pub struct Sum { pub terms: Vec<f64> }
//!
//! wirehub_common::contract! {
//!     /// What our chat and its server agree on.
//!     pub contract Chat = "chat";
//!     /// One room.
//!     channel Room { room } = "chat:{room}": Line;
//!     /// Adds up.
//!     call Add = "math.add": fn(Sum) -> f64;
//!     /// Adds up, and tells each step.
//!     stream Steps = "math.steps": fn(Sum) -> f64;
//! }
//!
//! let lobby = Room::new("lobby")?;
//! assert_eq!(lobby.name().as_str(), "chat:lobby");
//! assert_eq!(Room::parse(lobby.name()).unwrap().room(), "lobby");
//! let line = Line { nick: "ann".into(), text: "hi".into() };
//! assert_eq!(Line::from_payload(&line.to_payload()?)?, line);
//! assert_eq!((Chat::NAME, Add::NAME), ("chat", "math.add"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A type that does not fit does not compile. Whatever publishes takes a [`Channel`] and its [`Channel::Message`]:
//!
//! ```
//! # use serde::{Deserialize, Serialize};
//! # use wirehub_common::contract::{Channel, Schema};
//! # #[derive(Serialize, Deserialize, Schema)]
//! # #[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
//! # pub struct Line { pub text: String }
//! # #[derive(Serialize, Deserialize, Schema)]
//! # #[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
//! # pub struct Sum { pub terms: Vec<f64> }
//! # wirehub_common::contract! {
//! #     pub contract Chat = "chat";
//! #     channel Room { room } = "chat:{room}": Line;
//! # }
//! # fn publish<C: Channel>(_: &C, _: &C::Message) {}
//! let lobby = Room::new("lobby")?;
//! publish(&lobby, &Line { text: "hi".into() });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ```compile_fail,E0308
//! # use serde::{Deserialize, Serialize};
//! # use wirehub_common::contract::{Channel, Schema};
//! # #[derive(Serialize, Deserialize, Schema)]
//! # #[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
//! # pub struct Line { pub text: String }
//! # #[derive(Serialize, Deserialize, Schema)]
//! # #[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
//! # pub struct Sum { pub terms: Vec<f64> }
//! # wirehub_common::contract! {
//! #     pub contract Chat = "chat";
//! #     channel Room { room } = "chat:{room}": Line;
//! # }
//! # fn publish<C: Channel>(_: &C, _: &C::Message) {}
//! let lobby = Room::new("lobby")?;
//! publish(&lobby, &Sum { terms: vec![] });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Both ends compare [`Contract::HASH`] when they connect; where it differs, the items that differ are reported by
//! name.

use alloc::vec::Vec;
use core::fmt;

use crate::frame::{ContractDigest, ContractId};
use crate::{Bytes, ChannelName, Content, Payload, PayloadError, PayloadErrorKind};

mod macros;
#[doc(hidden)]
pub mod pattern;
mod schema;
#[cfg(feature = "typescript")]
pub mod typescript;

pub use schema::{Schema, combine, hash_text};
pub use wirehub_derive::Schema;

/// A message type. Every type that is [`Schema`] and can be written and read by serde is one, as JSON;
/// [`Binary`] is one as plain bytes; for another encoding implement the trait with [`Content::Custom`].
pub trait Message: Sized {
    /// What the payload is tagged with.
    const CONTENT: Content;
    /// The hash of the type's shape.
    const HASH: u64;

    /// The message as a payload.
    ///
    /// # Errors
    /// [`PayloadErrorKind::Encode`]: the value can't be written.
    fn to_payload(&self) -> Result<Payload, PayloadError>;

    /// The message in a payload.
    ///
    /// # Errors
    /// [`PayloadErrorKind::Content`]: another tag; [`PayloadErrorKind::Decode`]: the bytes do not fit the type.
    fn from_payload(payload: &Payload) -> Result<Self, PayloadError>;
}

#[cfg(feature = "json")]
impl<T: Schema + serde::Serialize + serde::de::DeserializeOwned> Message for T {
    const CONTENT: Content = Content::Json;
    const HASH: u64 = T::HASH;

    fn to_payload(&self) -> Result<Payload, PayloadError> {
        let text = serde_json::to_vec(self)
            .map_err(|error| PayloadError::new(PayloadErrorKind::Encode, Some(error.into())))?;
        Ok(Payload::json(text))
    }

    fn from_payload(payload: &Payload) -> Result<Self, PayloadError> {
        expect_content(payload, Self::CONTENT)?;
        serde_json::from_slice(&payload.data)
            .map_err(|error| PayloadError::new(PayloadErrorKind::Decode, Some(error.into())))
    }
}

/// Plain bytes as a message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Binary(pub Bytes);

impl Message for Binary {
    const CONTENT: Content = Content::Bytes;
    const HASH: u64 = hash_text("bytes");

    fn to_payload(&self) -> Result<Payload, PayloadError> {
        Ok(Payload::bytes(self.0.clone()))
    }

    fn from_payload(payload: &Payload) -> Result<Self, PayloadError> {
        expect_content(payload, Self::CONTENT)?;
        Ok(Self(payload.data.clone()))
    }
}

/// Refuses a payload with another tag.
///
/// # Errors
/// [`PayloadErrorKind::Content`].
pub fn expect_content(payload: &Payload, content: Content) -> Result<(), PayloadError> {
    if payload.content == content { Ok(()) } else { Err(PayloadError::new(PayloadErrorKind::Content, None)) }
}

/// A channel of a contract with its parameters filled in. [`contract!`](crate::contract!) makes the types.
pub trait Channel: Sized {
    /// What is published in it.
    type Message: Message;
    /// Its name with the parameters in braces.
    const PATTERN: &'static str;

    /// Its name.
    fn name(&self) -> &ChannelName;

    /// The channel of this kind with that name.
    fn parse(name: &ChannelName) -> Option<Self>;
}

/// A procedure of the server. [`contract!`](crate::contract!) makes the types.
pub trait Call {
    /// What is sent.
    type Request: Message;
    /// What comes back.
    type Response: Message;
    /// Its name.
    const NAME: &'static str;
}

/// A procedure of the server that streams its responses. [`contract!`](crate::contract!) makes the types.
pub trait StreamCall {
    /// What is sent.
    type Request: Message;
    /// What comes back, any number of times.
    type Response: Message;
    /// Its name.
    const NAME: &'static str;
}

/// A contract. [`contract!`](crate::contract!) makes the type.
pub trait Contract {
    /// Its name.
    const NAME: &'static str;
    /// The hash over its name and items, in whatever order they are declared.
    const HASH: ContractHash;
    /// Its channels, calls and streams in the order of their declaration.
    const ITEMS: &'static [Item];

    /// The contract by name and hash, as it is sent in `connect`.
    fn id() -> ContractId {
        ContractId { name: Self::NAME.into(), hash: Self::HASH }
    }

    /// The contract with all its items.
    fn digest() -> ContractDigest {
        let items =
            Self::ITEMS.iter().map(|item| ContractId { name: item.name.into(), hash: item.hash }).collect();
        ContractDigest { id: Self::id(), items }
    }
}

/// A channel, a call or a stream of a contract, as data.
#[derive(Debug, Clone, Copy)]
pub struct Item {
    /// Which of them.
    pub kind: ItemKind,
    /// The channel's pattern or the procedure's name.
    pub name: &'static str,
    /// The hash over kind, name and message types.
    pub hash: ContractHash,
    /// Whether a payload fits: a publication of the channel, a request of the procedure.
    pub check: fn(&Payload) -> Result<(), PayloadError>,
}

/// What an [`Item`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemKind {
    /// A channel; the item's name is its pattern.
    Channel,
    /// A call: a procedure with one response.
    Call,
    /// A procedure with any number of responses.
    Stream,
}

impl Item {
    /// Whether the item is a channel of that name.
    pub fn is_channel(&self, name: &ChannelName) -> bool {
        self.kind == ItemKind::Channel && pattern::parse(self.name, name.as_str()).is_some()
    }
}

/// The hash over a contract or one of its items.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ContractHash(pub u64);

impl ContractHash {
    /// Reads what [`Display`](fmt::Display) writes: 16 hexadecimal digits.
    pub fn from_hex(digits: &str) -> Option<Self> {
        let mut hash = 0_u64;
        for digit in digits.bytes() {
            hash = hash << 4 | u64::from(char::from(digit).to_digit(16)?);
        }
        (digits.len() == 16).then_some(Self(hash))
    }
}

impl fmt::Display for ContractHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for ContractHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The names of items that are not the same in both, `ours` in their order and then those that only `theirs` has.
///
/// ```
/// use wirehub_common::contract::{ContractHash, differing_items};
/// use wirehub_common::frame::ContractId;
///
/// let item = |name: &str, hash| ContractId { name: name.into(), hash: ContractHash(hash) };
/// let ours = [item("same", 1), item("changed", 2), item("gone", 3)];
/// let theirs = [item("same", 1), item("changed", 9), item("new", 4)];
/// assert_eq!(differing_items(&ours, &theirs), ["changed", "gone", "new"]);
/// ```
pub fn differing_items<'a>(ours: &'a [ContractId], theirs: &'a [ContractId]) -> Vec<&'a str> {
    let mut differing = Vec::new();
    for item in ours {
        if !theirs.contains(item) {
            differing.push(item.name.as_str());
        }
    }
    for item in theirs {
        if ours.iter().all(|our| our.name != item.name) {
            differing.push(item.name.as_str());
        }
    }
    differing
}
