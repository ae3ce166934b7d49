//! The typed contract: channels and calls, declared once in a crate that both ends compile.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use wirehub_common::contract::{Message as _, Schema};
//!
//! #[derive(Debug, PartialEq, Serialize, Deserialize, Schema)]
//! # #[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
//! pub struct Line { pub nick: String, pub text: String }
//! #[derive(Serialize, Deserialize, Schema)]
//! # #[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
//! pub struct Sum { pub terms: Vec<f64> }
//!
//! wirehub_common::contract! {
//!     /// The contract of our chat.
//!     pub contract Chat = "chat";
//!     /// One room.
//!     channel Room { room } = "chat:{room}": Line;
//!     /// Adds up.
//!     call Add = "math.add": fn(Sum) -> f64;
//!     /// Adds up, and returns each step.
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
//! A package that depends on `wirehub-client`, `wirehub-client-wasm` or `wirehub-server` needs no dependency on
//! `wirehub-common` for this: each has it as `common`, as in `wirehub_client::common::contract!`. The derive finds it
//! there. With `#[schema(crate = "path::to::common")]` on a type it uses that path instead.
//!
//! The items' own methods (`name`, `parse`, `digest`, …) need no import. The traits [`Channel`], [`Call`],
//! [`StreamCall`] and [`Contract`] are for code that is generic over them.
//!
//! A wrong type does not compile. Every function that publishes takes a [`Channel`] and its [`Channel::Message`]:
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
//! Both ends compare [`Contract::HASH`] when they connect. If it differs, the items that differ are reported by name.

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

/// A message type. Every [`Schema`] that serde can write and read is one, as JSON. [`Binary`] is one as plain bytes, and
/// [`Attachment`] as bytes with a head in JSON. For another encoding implement the trait with [`Content::Custom`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a message of a contract",
    label = "a message is a `Schema` that serde can write and read, `Binary`, or an `Attachment` with such a head",
    note = "put `#[derive(serde::Serialize, serde::Deserialize, Schema)]` on it"
)]
pub trait Message: Sized {
    /// The content tag of the payload.
    const CONTENT: Content;
    /// The hash of the type's shape.
    const HASH: u64;

    /// Encodes the message as a payload.
    ///
    /// # Errors
    /// [`PayloadErrorKind::Encode`]: the value can't be written.
    fn to_payload(&self) -> Result<Payload, PayloadError>;

    /// Decodes the message in a payload.
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
        Ok(Payload::json(to_json(self)?))
    }

    fn from_payload(payload: &Payload) -> Result<Self, PayloadError> {
        expect_content(payload, Self::CONTENT)?;
        from_json(&payload.data)
    }
}

#[cfg(feature = "json")]
fn to_json(value: &impl serde::Serialize) -> Result<Vec<u8>, PayloadError> {
    serde_json::to_vec(value).map_err(|error| PayloadError::new(PayloadErrorKind::Encode, Some(error.into())))
}

#[cfg(feature = "json")]
fn from_json<T: serde::de::DeserializeOwned>(text: &[u8]) -> Result<T, PayloadError> {
    serde_json::from_slice(text)
        .map_err(|error| PayloadError::new(PayloadErrorKind::Decode, Some(error.into())))
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

/// Bytes with a head as a message, such as an image with its name and type: both come together, and the bytes are not
/// written as text. The head is any type that is a message by itself, as JSON.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use wirehub_common::contract::{Attachment, Schema};
///
/// #[derive(Serialize, Deserialize, Schema)]
/// # #[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
/// pub struct Image { pub name: String, pub width: u32, pub height: u32 }
///
/// wirehub_common::contract! {
///     pub contract Album = "album";
///     channel Images { room } = "images:{room}": Attachment<Image>;
/// }
///
/// let head = Image { name: "cat.png".into(), width: 640, height: 480 };
/// let image = Attachment::new(head, vec![0x89, b'P', b'N', b'G']);
/// # assert_eq!(image.bytes.len(), 4);
/// ```
///
/// A received one shares its bytes with the message. Writing one copies them once, behind the head.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attachment<H> {
    /// The description of the bytes.
    pub head: H,
    /// The bytes.
    pub bytes: Bytes,
}

impl<H> Attachment<H> {
    /// Bytes with this head.
    pub fn new(head: H, bytes: impl Into<Bytes>) -> Self {
        Self { head, bytes: bytes.into() }
    }
}

#[cfg(feature = "json")]
impl<H: Schema + serde::Serialize + serde::de::DeserializeOwned> Message for Attachment<H> {
    const CONTENT: Content = Content::Attachment;
    const HASH: u64 = combine(&[hash_text("attachment"), H::HASH]);

    fn to_payload(&self) -> Result<Payload, PayloadError> {
        Ok(Payload::attachment(to_json(&self.head)?, &self.bytes))
    }

    fn from_payload(payload: &Payload) -> Result<Self, PayloadError> {
        expect_content(payload, Self::CONTENT)?;
        let cut_short = || PayloadError::new(PayloadErrorKind::Decode, Some("its head is cut short".into()));
        let (head, bytes) = payload.attachment_parts().ok_or_else(cut_short)?;
        Ok(Self { head: from_json(head)?, bytes: payload.data.slice_ref(bytes) })
    }
}

/// Refuses a payload with another tag.
///
/// # Errors
/// [`PayloadErrorKind::Content`].
pub fn expect_content(payload: &Payload, content: Content) -> Result<(), PayloadError> {
    if payload.content == content { Ok(()) } else { Err(PayloadError::new(PayloadErrorKind::Content, None)) }
}

/// A channel of a contract with the values of its parameters. [`contract!`](crate::contract!) makes the types.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a channel of a contract",
    label = "`contract!` makes channels: `channel Room {{ room }} = \"chat:{{room}}\": Line;`",
    note = "for a channel name without a contract use the method whose name ends with `_raw`"
)]
pub trait Channel: Sized {
    /// The type of its messages.
    type Message: Message;
    /// Its name with the parameters in braces.
    const PATTERN: &'static str;

    /// Its name.
    fn name(&self) -> &ChannelName;

    /// The channel of this type with that name.
    fn parse(name: &ChannelName) -> Option<Self>;
}

/// A procedure of the server. [`contract!`](crate::contract!) makes the types.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a call of a contract",
    label = "`contract!` makes calls: `call Add = \"math.add\": fn(Sum) -> f64;`",
    note = "a `stream` of the contract is a `StreamCall`"
)]
pub trait Call {
    /// The argument of the call.
    type Request: Message;
    /// The result of the call.
    type Response: Message;
    /// Its name.
    const NAME: &'static str;
}

/// A procedure of the server that streams its responses. [`contract!`](crate::contract!) makes the types.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a stream of a contract",
    label = "`contract!` makes streams: `stream Steps = \"math.steps\": fn(Sum) -> f64;`",
    note = "a `call` of the contract is a `Call`"
)]
pub trait StreamCall {
    /// The argument of the call.
    type Request: Message;
    /// The type of each response.
    type Response: Message;
    /// Its name.
    const NAME: &'static str;
}

/// A contract. [`contract!`](crate::contract!) makes the type.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a contract",
    label = "`contract!` makes contracts: `pub contract Chat = \"chat\";`"
)]
pub trait Contract {
    /// Its name.
    const NAME: &'static str;
    /// The hash of its name and items, independent of the order of their declaration.
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
#[non_exhaustive]
pub struct Item {
    /// The kind of the item.
    pub kind: ItemKind,
    /// The channel's pattern or the procedure's name.
    pub name: &'static str,
    /// The hash over kind, name and message types.
    pub hash: ContractHash,
    /// Checks that a payload fits: a publication of the channel, or a request of the procedure.
    pub check: fn(&Payload) -> Result<(), PayloadError>,
}

/// The kind of an [`Item`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ItemKind {
    /// A channel; the item's name is its pattern.
    Channel,
    /// A call: a procedure with one response.
    Call,
    /// A procedure with any number of responses.
    Stream,
}

impl Item {
    /// The item of the channel with this pattern.
    pub const fn channel<M: Message>(pattern: &'static str) -> Self {
        let hash = combine(&[hash_text("channel"), hash_text(pattern), M::HASH]);
        Self { kind: ItemKind::Channel, name: pattern, hash: ContractHash(hash), check: fits::<M> }
    }

    /// The item of the call with this name, for requests `Q` and a response `S`.
    pub const fn call<Q: Message, S: Message>(name: &'static str) -> Self {
        let hash = combine(&[hash_text("call"), hash_text(name), Q::HASH, S::HASH]);
        Self { kind: ItemKind::Call, name, hash: ContractHash(hash), check: fits::<Q> }
    }

    /// The same for a call with any number of responses.
    pub const fn stream<Q: Message, S: Message>(name: &'static str) -> Self {
        let hash = combine(&[hash_text("stream"), hash_text(name), Q::HASH, S::HASH]);
        Self { kind: ItemKind::Stream, name, hash: ContractHash(hash), check: fits::<Q> }
    }

    /// Whether the item is a channel that includes this name.
    pub fn is_channel(&self, name: &ChannelName) -> bool {
        self.kind == ItemKind::Channel && pattern::parse(self.name, name.as_str()).is_some()
    }
}

fn fits<M: Message>(payload: &Payload) -> Result<(), PayloadError> {
    M::from_payload(payload).map(drop)
}

/// The hash of a contract or of one of its items.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ContractHash(pub u64);

impl ContractHash {
    /// Parses the text of [`Display`](fmt::Display): 16 hexadecimal digits.
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

/// The names of the items that differ: those of `ours` in their order, and then those that only `theirs` has.
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
