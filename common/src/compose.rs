//! A client's commands as frames, written directly from their values, without a [`Command`](crate::frame::Command) in between.
//! `id` is the id of the command; 0 if no reply is needed.
//!
//! ```
//! use wirehub_common::frame::{Presence, Request};
//! use wirehub_common::{ChannelName, Codec, compose};
//!
//! let lobby = ChannelName::new("chat:lobby")?;
//! let frame = compose::presence(7, &lobby, true, "");
//! let command = Codec::Protobuf.decode_commands(&frame).next().unwrap()?;
//! assert_eq!(command.request, Request::Presence(Presence { channel: lobby, counts_only: true, after: String::new() }));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use alloc::vec::Vec;

use crate::codec::wire::Fields;
use crate::contract::ContractHash;
use crate::frame::{History, Position};
use crate::view::Payload;
use crate::{Bytes, ChannelName};

/// The connecting client. See [`Connect`](crate::frame::Connect).
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "the fields of `Connect`")]
pub struct Client<'a> {
    pub token: &'a str,
    pub client: &'a str,
    pub version: &'a str,
    pub contract: Option<(&'a str, ContractHash)>,
    pub instance: &'a str,
}

/// Several subscriptions for one [`connect`].
#[derive(Debug, Default)]
pub struct Subscriptions(Vec<Fields>);

impl Subscriptions {
    /// Adds a subscription. See [`Subscribe`](crate::frame::Subscribe).
    pub fn push(&mut self, channel: &ChannelName, number: u32, position: Option<&Position>, history: u32) {
        self.0.push(subscription(channel, number, position, history));
    }
}

/// See [`Connect`](crate::frame::Connect).
pub fn connect(id: u32, client: Client<'_>, subscriptions: &Subscriptions) -> Bytes {
    let mut fields = Fields::default();
    fields.bytes(1, client.token.as_bytes());
    fields.bytes(2, client.client.as_bytes());
    fields.bytes(3, client.version.as_bytes());
    if let Some((name, hash)) = client.contract {
        let mut contract = Fields::default();
        contract.bytes(1, name.as_bytes());
        contract.fixed64(2, hash.0);
        fields.message(4, &contract);
    }
    for subscription in &subscriptions.0 {
        fields.message(5, subscription);
    }
    fields.bytes(6, client.instance.as_bytes());
    command(id, 2, &fields)
}

/// See [`Subscribe`](crate::frame::Subscribe).
pub fn subscribe(
    id: u32,
    channel: &ChannelName,
    number: u32,
    position: Option<&Position>,
    history: u32,
) -> Bytes {
    command(id, 3, &subscription(channel, number, position, history))
}

/// See [`Unsubscribe`](crate::frame::Unsubscribe).
pub fn unsubscribe(id: u32, channel: &ChannelName, number: u32) -> Bytes {
    command(id, 4, &named(channel.as_str(), number))
}

/// See [`Publish`](crate::frame::Publish).
pub fn publish(id: u32, channel: &ChannelName, payload: Payload<'_>, key: &str) -> Bytes {
    message(id, 5, channel.as_str(), payload, key)
}

/// See [`History`].
pub fn history(id: u32, history: &History) -> Bytes {
    let mut fields = named(history.channel.as_str(), 0);
    if let Some(since) = &history.since {
        fields.message(2, &position(since));
    }
    fields.number(3, history.limit.into());
    fields.number(4, history.reverse.into());
    command(id, 6, &fields)
}

/// See [`Presence`](crate::frame::Presence).
pub fn presence(id: u32, channel: &ChannelName, counts_only: bool, after: &str) -> Bytes {
    let mut fields = named(channel.as_str(), counts_only.into());
    fields.bytes(3, after.as_bytes());
    command(id, 7, &fields)
}

/// See [`Call`](crate::frame::Call).
pub fn call(id: u32, name: &str, payload: Payload<'_>, key: &str) -> Bytes {
    message(id, 8, name, payload, key)
}

/// See [`Cancel`](crate::frame::Cancel).
pub fn cancel(id: u32, call: u32) -> Bytes {
    let mut fields = Fields::default();
    fields.number(1, call.into());
    command(id, 9, &fields)
}

/// See [`Refresh`](crate::frame::Refresh).
pub fn refresh(id: u32, token: &str) -> Bytes {
    command(id, 10, &named(token, 0))
}

/// See [`Acknowledge`](crate::frame::Acknowledge).
pub fn acknowledge(id: u32, alarm: &str, received_only: bool) -> Bytes {
    command(id, 11, &named(alarm, received_only.into()))
}

/// A piece of a command. See [`Part`](crate::frame::Part).
pub fn part(stream: u32, data: &[u8], left: u64) -> Bytes {
    let mut fields = Fields::default();
    fields.number(1, stream.into());
    fields.number(2, left);
    fields.bytes(3, data);
    command(0, 12, &fields)
}

fn message(id: u32, body: u32, name: &str, payload: Payload<'_>, key: &str) -> Bytes {
    let mut fields = named(name, payload.content as u32);
    fields.bytes(3, payload.data);
    fields.bytes(4, key.as_bytes());
    command(id, body, &fields)
}

fn subscription(channel: &ChannelName, number: u32, recover: Option<&Position>, history: u32) -> Fields {
    let mut fields = named(channel.as_str(), number);
    if let Some(recover) = recover {
        fields.message(3, &position(recover));
    }
    fields.number(4, history.into());
    fields
}

fn position(Position { offset, epoch }: &Position) -> Fields {
    let mut fields = Fields::default();
    fields.number(1, *offset);
    fields.bytes(2, epoch.as_bytes());
    fields
}

/// The first two fields of nearly every command.
fn named(name: &str, number: u32) -> Fields {
    let mut fields = Fields::default();
    fields.bytes(1, name.as_bytes());
    fields.number(2, number.into());
    fields
}

fn command(id: u32, number: u32, body: &Fields) -> Bytes {
    let mut command = Fields::default();
    command.number(1, id.into());
    command.message(number, body);
    command.delimited()
}
