//! The names of keys and delivery channels in Redis.
//!
//! `PREFIX{TAG}:KIND:NAME`, where the tag is that of the [partition](Partition). Kinds: `g` the generation of a partition, `c` the
//! state of a channel, `s` its publications, `k` the keys of publishes, `d` its deliveries, `i` the inbox of a node.

use bytes::Bytes;
use wirehub_common::ChannelName;
use wirehub_hub::engine::NodeId;
use xxhash_rust::xxh3::xxh3_64;

use crate::command::Argument;
use crate::partition::Partition;

/// The names with one prefix.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    prefix: Box<str>,
}

/// A name that is written when it is needed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key<'a, N> {
    prefix: &'a str,
    partition: Partition,
    kind: &'a str,
    name: N,
}

impl<N: Argument> Key<'_, N> {
    pub(crate) fn into_bytes(self) -> Bytes {
        let mut key = Vec::new();
        self.write(&mut key);
        // `Bytes` takes over a vector without another allocation only if it is full.
        key.into_boxed_slice().into()
    }
}

impl<N: Argument> Argument for Key<'_, N> {
    fn write(self, buffer: &mut Vec<u8>) {
        for part in [self.prefix, "{", self.partition.tag(), "}:", self.kind] {
            part.write(buffer);
        }
        self.name.write(buffer);
    }
}

/// The place of a channel in Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) partition: Partition,
    /// Requests for one channel keep their order.
    pub(crate) line: u64,
}

impl Place {
    pub(crate) fn of(channel: &ChannelName) -> Self {
        let name = channel.as_str().as_bytes();
        Self { partition: Partition::of(name), line: line_of(name) }
    }
}

/// Requests with the same name keep their order.
pub(crate) fn line_of(name: &[u8]) -> u64 {
    xxh3_64(name)
}

impl Keys {
    pub(crate) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.into() }
    }

    /// The generation of a partition.
    pub(crate) fn generation(&self, partition: Partition) -> Key<'_, ()> {
        self.key(partition, "g", ())
    }

    /// A key of a channel.
    pub(crate) fn of_channel<'a>(
        &'a self,
        kind: &'a str,
        channel: &'a ChannelName,
    ) -> Key<'a, &'a ChannelName> {
        self.key(Partition::of(channel.as_str().as_bytes()), kind, channel)
    }

    /// The key of a publish with an idempotency key.
    pub(crate) fn of_publish<'a>(
        &'a self,
        channel: &'a ChannelName,
        key: &'a str,
    ) -> impl Argument + use<'a> {
        // A channel has no zero byte in its name.
        self.key(Partition::of(channel.as_str().as_bytes()), "k:", (channel, "\0", key))
    }

    /// The inbox of a node in a partition; `None` for the common one of all nodes.
    pub(crate) fn inbox(&self, partition: Partition, node: Option<NodeId>) -> Bytes {
        match node {
            Some(node) => self.key(partition, "i:", node).into_bytes(),
            None => self.key(partition, "i:", "all").into_bytes(),
        }
    }

    /// A key of the whole fleet.
    pub(crate) fn of_fleet<N>(&self, name: N) -> Key<'_, N> {
        self.key(Partition::FLEET, "f:", name)
    }

    /// A key of a partition. The kind ends with a colon if there is a name.
    pub(crate) fn key<'a, N>(&'a self, partition: Partition, kind: &'a str, name: N) -> Key<'a, N> {
        Key { prefix: &self.prefix, partition, kind, name }
    }

    /// The kind and the name in a delivery channel; `None` if it is of another prefix.
    pub(crate) fn parse<'a>(&self, key: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        let rest = key.strip_prefix(self.prefix.as_bytes())?.strip_prefix(b"{")?;
        let end = rest.iter().position(|byte| *byte == b'}')?;
        let rest = rest.get(end..)?.strip_prefix(b"}:")?;
        let end = rest.iter().position(|byte| *byte == b':')?;
        Some((rest.get(..end)?, rest.get(end.saturating_add(1)..)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_were_written() {
        let keys = Keys::new("fleet:1");
        let channel = ChannelName::new("chat:lobby").unwrap();
        let key = keys.of_channel("d:", &channel).into_bytes();
        assert_eq!(keys.parse(&key), Some((&b"d"[..], &b"chat:lobby"[..])));
        assert!(key.starts_with(b"fleet:1{"));
        for strange in [&b""[..], b"fleet:1", b"other{1}:d:x", b"fleet:1{1}", b"fleet:1{1}:d"] {
            assert_eq!(keys.parse(strange), None);
        }
        let place = Place::of(&channel);
        assert_eq!(
            keys.generation(place.partition).into_bytes(),
            format!("fleet:1{{{}}}:g", place.partition.tag())
        );
    }
}
