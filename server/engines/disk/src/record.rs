//! The encoding of records: a version, fixed fields, and a checksum over the key and the value.

use std::ops::RangeInclusive;

use bytes::Bytes;
use wirehub_common::ChannelName;
use wirehub_common::Codec;
use wirehub_common::frame::{Publication, Push, ServerFrame};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The version of each record.
const VERSION: u8 = 1;
const CHECKSUM_BYTES: usize = 4;

/// Composes a record.
#[derive(Debug)]
pub(crate) struct Composer(Vec<u8>);

impl Composer {
    /// A record with that many bytes of fields.
    pub(crate) fn new(bytes: usize) -> Self {
        let mut record = Vec::with_capacity(bytes.saturating_add(1 + CHECKSUM_BYTES));
        record.push(VERSION);
        Self(record)
    }

    pub(crate) fn number(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// The finished value for that key.
    pub(crate) fn seal(mut self, key: &[u8]) -> Vec<u8> {
        let checksum = checksum(key, &self.0);
        self.0.extend_from_slice(&checksum);
        self.0
    }
}

/// Reads a record after a check of its checksum. Every method returns `None` if the record is damaged.
#[derive(Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn open(key: &[u8], value: &'a [u8]) -> Option<Self> {
        let (body, expected) = value.split_at_checked(value.len().checked_sub(CHECKSUM_BYTES)?)?;
        let fields = body.strip_prefix(&[VERSION])?;
        (checksum(key, body) == expected).then_some(Self(fields))
    }

    pub(crate) fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_be_bytes(*number))
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }
}

fn checksum(key: &[u8], body: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let [a, b, c, d, ..] = xxh3_64_with_seed(body, xxh3_64(key)).to_be_bytes();
    [a, b, c, d]
}

/// The first record of each batch, and the state of the whole store after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Header {
    /// The number of the batch, from 1 and without gaps.
    pub(crate) batch: u64,
    /// The number of the newest batch that was known to be on the disk when this one was written.
    pub(crate) synced: u64,
    /// A time that the clock had not reached then: a restart begins here at the earliest.
    pub(crate) clock: u64,
    /// The time at which the youngest of the keys that were forgotten early had been published; 0 if there is none.
    pub(crate) forgotten_until: u64,
    /// The id of the next new channel.
    pub(crate) next_id: u64,
    /// The number of keys in the store.
    pub(crate) keys: u64,
    /// Part of every epoch. It is raised when any channel may have lost publications.
    pub(crate) generation: u64,
}

impl Header {
    pub(crate) const KEY: &'static [u8] = b"header";
    /// Marks a header in a damaged file.
    pub(crate) const MAGIC: [u8; 8] = *b"\xe2WHbatch";
    /// The length of its record.
    pub(crate) const BYTES: usize = 1 + 8 + 7 * 8 + CHECKSUM_BYTES;

    pub(crate) fn encode(&self) -> Vec<u8> {
        let composer = Composer::new(Self::BYTES).bytes(&Self::MAGIC).number(self.batch).number(self.synced);
        let composer = composer.number(self.clock).number(self.forgotten_until);
        composer.number(self.next_id).number(self.keys).number(self.generation).seal(Self::KEY)
    }

    pub(crate) fn decode(value: &[u8]) -> Option<Self> {
        let reader = Reader::open(Self::KEY, value)?;
        let mut reader = Reader(reader.rest().strip_prefix(&Self::MAGIC)?);
        Some(Self {
            batch: reader.number()?,
            synced: reader.number()?,
            clock: reader.number()?,
            forgotten_until: reader.number()?,
            next_id: reader.number()?,
            keys: reader.number()?,
            generation: reader.number()?,
        })
    }
}

/// The state of a channel. Publications have the offsets from `oldest` to `newest`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChannelState {
    pub(crate) id: u64,
    pub(crate) epoch: u64,
    pub(crate) newest: u64,
    /// `newest + 1` if there are no publications.
    pub(crate) oldest: u64,
    /// No record that ends before this offset is in the store. Publications between it and `oldest` are no longer part of the
    /// history.
    pub(crate) swept: u64,
    /// The bytes of the payloads of every publication so far, and of those before `oldest`.
    pub(crate) bytes: u64,
    pub(crate) bytes_before: u64,
    /// The time at which the oldest publication expires, and the newest. Expiry never goes backwards within a channel.
    pub(crate) oldest_expires: u64,
    pub(crate) newest_expires: u64,
    /// The time until which the offset must be remembered.
    pub(crate) needed_until: u64,
    /// The number of keys, by the time of their publication.
    pub(crate) keys: KeyCounts,
}

impl ChannelState {
    pub(crate) fn new(id: u64, epoch: u64, needed_until: u64) -> Self {
        Self {
            id,
            epoch,
            newest: 0,
            oldest: 1,
            swept: 1,
            bytes: 0,
            bytes_before: 0,
            oldest_expires: 0,
            newest_expires: 0,
            needed_until,
            keys: KeyCounts::default(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.oldest > self.newest
    }

    pub(crate) fn before_oldest(&self) -> u64 {
        self.oldest.saturating_sub(1)
    }

    pub(crate) fn encode(&self, name: &[u8]) -> Vec<u8> {
        let mut composer = Composer::new(80_usize.saturating_add(self.keys.0.len().saturating_mul(16)));
        for number in [
            self.id,
            self.epoch,
            self.newest,
            self.oldest,
            self.swept,
            self.bytes,
            self.bytes_before,
            self.oldest_expires,
            self.newest_expires,
            self.needed_until,
        ] {
            composer = composer.number(number);
        }
        for &(bucket, count) in &self.keys.0 {
            composer = composer.number(bucket).number(count);
        }
        composer.seal(name)
    }

    pub(crate) fn decode(name: &[u8], value: &[u8]) -> Option<Self> {
        let mut reader = Reader::open(name, value)?;
        let mut state = Self {
            id: reader.number()?,
            epoch: reader.number()?,
            newest: reader.number()?,
            oldest: reader.number()?,
            swept: reader.number()?,
            bytes: reader.number()?,
            bytes_before: reader.number()?,
            oldest_expires: reader.number()?,
            newest_expires: reader.number()?,
            needed_until: reader.number()?,
            keys: KeyCounts::default(),
        };
        while !reader.0.is_empty() {
            state.keys.0.push((reader.number()?, reader.number()?));
        }
        Some(state)
    }
}

/// The number of keys by bucket, oldest first. A bucket is a span of time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct KeyCounts(pub(crate) Vec<(u64, u64)>);

impl KeyCounts {
    pub(crate) fn total(&self) -> u64 {
        self.0.iter().fold(0, |total, (_, count)| total.saturating_add(*count))
    }

    pub(crate) fn add(&mut self, bucket: u64) {
        match self.0.last_mut() {
            Some((last, count)) if *last == bucket => *count = count.saturating_add(1),
            _ => self.0.push((bucket, 1)),
        }
    }

    /// Drops the buckets before this one.
    pub(crate) fn expire(&mut self, before: u64) {
        self.0.retain(|(bucket, count)| *bucket >= before && *count > 0);
    }

    /// Counts keys of a bucket that are gone.
    pub(crate) fn subtract(&mut self, bucket: u64, keys: u64) {
        if let Some((_, count)) = self.0.iter_mut().find(|(it, _)| *it == bucket) {
            *count = count.saturating_sub(keys);
        }
    }
}

/// A publication in the store.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) publication: Publication,
    pub(crate) head: Head,
}

/// The facts about a publication by which histories are trimmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) expires: u64,
    /// The bytes of every payload of the channel before this one.
    pub(crate) bytes_before: u64,
}

/// Consecutive publications of a channel, which are one record: the publications of a batch, or some of them. The storage's cost
/// is that of records, so it is shared.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run<'a> {
    first: u64,
    last: u64,
    /// For each publication its head, and the size of its frame.
    heads: &'a [u8],
    frames: &'a [u8],
}

impl<'a> Run<'a> {
    /// The pieces of consecutive publications that become one record each.
    pub(crate) fn pieces(publications: &[Stored]) -> impl Iterator<Item = &[Stored]> {
        let mut rest = publications;
        std::iter::from_fn(move || {
            let mut bytes = 0_usize;
            let fits = |stored: &&Stored| {
                bytes = bytes.saturating_add(stored.publication.payload.data.len());
                bytes <= RUN_BYTES
            };
            let count = rest.iter().take(RUN_PUBLICATIONS).take_while(fits).count().max(1);
            let (piece, behind) = rest.split_at_checked(count)?;
            rest = behind;
            Some(piece)
        })
    }

    /// The key and the value of a record.
    pub(crate) fn encode(id: u64, publications: &[Stored]) -> ([u8; 16], Vec<u8>) {
        let key = run_key(id, publications.last().map_or(0, |last| last.publication.offset));
        let frames: Vec<Bytes> = publications.iter().map(Stored::frame).collect();
        let bytes = frames
            .iter()
            .fold(8_usize, |sum, frame| sum.saturating_add(frame.len()).saturating_add(RUN_HEAD_BYTES));
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let mut composer = Composer::new(bytes).number(number(publications.len()));
        for (Stored { head, .. }, frame) in publications.iter().zip(&frames) {
            composer = composer.number(head.expires).number(head.bytes_before).number(number(frame.len()));
        }
        let composer = frames.iter().fold(composer, |composer, frame| composer.bytes(frame));
        (key, composer.seal(&key))
    }

    /// Checks a record; `None` if it is damaged.
    pub(crate) fn open(key: &[u8], value: &'a [u8]) -> Option<Self> {
        let (_, last) = split_run_key(key)?;
        let mut reader = Reader::open(key, value)?;
        let count = reader.number().filter(|count| *count > 0)?;
        let first = last.checked_add(1)?.checked_sub(count)?;
        let bytes = usize::try_from(count).ok()?.checked_mul(RUN_HEAD_BYTES)?;
        let (heads, frames) = reader.rest().split_at_checked(bytes)?;
        Some(Self { first, last, heads, frames })
    }

    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// The offset and the head of each publication.
    pub(crate) fn heads(&self) -> impl Iterator<Item = (u64, Head)> + use<'a> {
        self.entries().map(|(offset, head, _)| (offset, head))
    }

    /// The publications with an offset in the range; `None` if one of them is damaged.
    pub(crate) fn publications(&self, wanted: &RangeInclusive<u64>) -> Option<Vec<Stored>> {
        let (mut stored, mut frames) = (Vec::new(), self.frames);
        for (offset, head, bytes) in self.entries() {
            let (frame, behind) = frames.split_at_checked(bytes)?;
            frames = behind;
            if wanted.contains(&offset) {
                stored.push(Stored::read(offset, head, frame)?);
            }
        }
        Some(stored)
    }

    fn entries(&self) -> impl Iterator<Item = (u64, Head, usize)> + use<'a> {
        let heads = self.heads.chunks_exact(RUN_HEAD_BYTES);
        (self.first..=self.last).zip(heads).map_while(|(offset, head)| {
            let mut reader = Reader(head);
            let head = Head { expires: reader.number()?, bytes_before: reader.number()? };
            Some((offset, head, usize::try_from(reader.number()?).ok()?))
        })
    }
}

impl Stored {
    fn frame(&self) -> Bytes {
        let frame = ServerFrame::Push(Push::Publication(self.publication.clone()));
        Codec::Protobuf.undelimited(&Codec::Protobuf.encode_frame(&frame))
    }

    fn read(offset: u64, head: Head, frame: &[u8]) -> Option<Self> {
        // A copy, so that a publication in memory does not hold a whole block of a file.
        let frame = Bytes::copy_from_slice(frame);
        match Codec::Protobuf.decode_frame(&frame).ok()? {
            ServerFrame::Push(Push::Publication(publication)) if publication.offset == offset => {
                Some(Self { publication, head })
            }
            _ => None,
        }
    }
}

/// The maximum number of publications in a record, and the sum of their payloads: a reader of one publication reads all. A
/// larger payload has a record of its own.
pub(crate) const RUN_PUBLICATIONS: usize = 64;
const RUN_BYTES: usize = 32 * 1024;
const RUN_HEAD_BYTES: usize = 24;

/// The key of a record of publications whose last one has this offset. Those of a channel are in the order of their offsets.
pub(crate) fn run_key(id: u64, last: u64) -> [u8; 16] {
    let mut key = [0; 16];
    let (first, second) = key.split_at_mut(8);
    first.copy_from_slice(&id.to_be_bytes());
    second.copy_from_slice(&last.to_be_bytes());
    key
}

/// The id of the channel and the last offset in the key of such a record.
pub(crate) fn split_run_key(key: &[u8]) -> Option<(u64, u64)> {
    let (id, last) = key.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*id), u64::from_be_bytes(last.try_into().ok()?)))
}

/// The first publish with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyRecord {
    pub(crate) published: u64,
    /// 0 for a publish without history.
    pub(crate) offset: u64,
    pub(crate) epoch: u64,
}

impl KeyRecord {
    /// The key of its record.
    pub(crate) fn key(id: u64, key: &str) -> Vec<u8> {
        [&id.to_be_bytes(), key.as_bytes()].concat()
    }

    pub(crate) fn encode(&self, key: &[u8]) -> Vec<u8> {
        Composer::new(24).number(self.published).number(self.offset).number(self.epoch).seal(key)
    }

    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Option<Self> {
        let mut reader = Reader::open(key, value)?;
        Some(Self { published: reader.number()?, offset: reader.number()?, epoch: reader.number()? })
    }
}

/// An entry in the list of keys by age.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AgeRecord {
    pub(crate) published: u64,
    /// The key of the [`KeyRecord`].
    pub(crate) key: Vec<u8>,
}

impl AgeRecord {
    /// The key of its record: by time, then by channel.
    pub(crate) fn key(bucket: u64, id: u64, batch: u64, index: u64) -> Vec<u8> {
        [bucket, id, batch, index].iter().flat_map(|number| number.to_be_bytes()).collect()
    }

    /// The bucket in the key of a record.
    pub(crate) fn bucket(key: &[u8]) -> Option<u64> {
        key.first_chunk().map(|bucket| u64::from_be_bytes(*bucket))
    }

    pub(crate) fn encode(&self, key: &[u8]) -> Vec<u8> {
        Composer::new(self.key.len().saturating_add(8)).number(self.published).bytes(&self.key).seal(key)
    }

    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Option<Self> {
        let mut reader = Reader::open(key, value)?;
        Some(Self { published: reader.number()?, key: reader.rest().to_vec() })
    }
}

/// A durable value of another concern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ValueRecord {
    pub(crate) expires: u64,
    pub(crate) value: Bytes,
}

impl ValueRecord {
    pub(crate) fn key(kind: u8, key: &[u8]) -> Vec<u8> {
        [&[kind], key].concat()
    }

    pub(crate) fn encode(&self, key: &[u8]) -> Vec<u8> {
        Composer::new(self.value.len().saturating_add(8)).number(self.expires).bytes(&self.value).seal(key)
    }

    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Option<Self> {
        let mut reader = Reader::open(key, value)?;
        Some(Self { expires: reader.number()?, value: Bytes::copy_from_slice(reader.rest()) })
    }
}

/// The name of a channel in the key of its record.
pub(crate) fn channel_name(key: &[u8]) -> Option<ChannelName> {
    ChannelName::new(std::str::from_utf8(key).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_damaged_byte_of_a_record_is_noticed() {
        let mut state = ChannelState::new(3, 4, 5);
        state.keys.add(7);
        let value = state.encode(b"chat:lobby");
        assert_eq!(ChannelState::decode(b"chat:lobby", &value), Some(state));
        assert_eq!(ChannelState::decode(b"chat:other", &value), None, "of another channel");
        for index in 0..value.len() {
            let mut damaged = value.clone();
            damaged[index] ^= 0x10;
            assert_eq!(ChannelState::decode(b"chat:lobby", &damaged), None, "byte {index}");
            assert_eq!(ChannelState::decode(b"chat:lobby", &value[..index]), None, "cut at {index}");
        }
    }

    #[test]
    fn a_header_has_a_fixed_length() {
        let header = Header { batch: 7, synced: 6, next_id: 3, ..Header::default() };
        let value = header.encode();
        assert_eq!(value.len(), Header::BYTES);
        assert_eq!(Header::decode(&value), Some(header));
    }

    #[test]
    fn keys_of_publications_are_in_the_order_of_offsets() {
        let keys: Vec<_> = [(1, 255), (1, 256), (2, 1)].map(|(id, last)| run_key(id, last)).into();
        assert!(keys.is_sorted());
        assert_eq!(split_run_key(&keys[1]), Some((1, 256)));
    }

    fn stored(offset: u64, bytes: usize) -> Stored {
        let payload = wirehub_common::Payload::bytes(vec![b'x'; bytes]);
        let channel = ChannelName::new("chat:lobby").unwrap();
        let publication = Publication { channel, payload, time: 5, publisher: None, offset };
        Stored { publication, head: Head { expires: offset, bytes_before: 7 } }
    }

    #[test]
    fn publications_of_a_batch_share_a_record() {
        let publications: Vec<_> = (11..=20).map(|offset| stored(offset, 10)).collect();
        let (key, value) = Run::encode(3, &publications);
        assert_eq!(split_run_key(&key), Some((3, 20)));
        let run = Run::open(&key, &value).unwrap();
        assert_eq!((run.first(), run.last()), (11, 20));
        let heads: Vec<_> = publications.iter().map(|it| (it.publication.offset, it.head)).collect();
        assert_eq!(run.heads().collect::<Vec<_>>(), heads);
        let some = run.publications(&(13..=14)).unwrap();
        let offsets: Vec<_> = some.iter().map(|it| it.publication.offset).collect();
        assert_eq!(offsets, [13, 14]);
        assert_eq!(some[0].publication, publications[2].publication);
        for index in 0..value.len() {
            let mut damaged = value.clone();
            damaged[index] ^= 0x10;
            assert!(Run::open(&key, &damaged).is_none(), "byte {index}");
        }
        assert!(Run::open(&run_key(3, 21), &value).is_none(), "of another key");
    }

    #[test]
    fn records_of_publications_are_bounded() {
        let sizes = |publications: &[Stored]| Run::pieces(publications).map(<[_]>::len).collect::<Vec<_>>();
        let many: Vec<_> = (1..=150).map(|offset| stored(offset, 10)).collect();
        assert_eq!(sizes(&many), [64, 64, 22]);
        let large: Vec<_> = (1..=5).map(|offset| stored(offset, 15_000)).collect();
        assert_eq!(sizes(&large), [2, 2, 1]);
        let larger: Vec<_> = (1..=2).map(|offset| stored(offset, 100_000)).collect();
        assert_eq!(sizes(&larger), [1, 1]);
        assert_eq!(sizes(&[]), [0; 0]);
    }
}
