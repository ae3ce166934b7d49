//! Any bytes result in a value or an error, within memory that is bounded by the bytes themselves.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use wirehub_common::contract::ContractHash;
use wirehub_common::frame::{
    Command, Connect, Connected, ContractDigest, ContractId, HistoryPage, Member, Position, PresenceList,
    Publication, Reply, ReplyBody, Request, ServerFrame, Subscribe, SubscribeOutcome, Subscribed,
};
use wirehub_common::{ChannelName, Codec, DecodeErrorKind, Limits, Payload};

use crate::heap::Heap as _;
use crate::strategies;

const CODECS: [Codec; 2] = [Codec::Protobuf, Codec::Json];

/// A message of n bytes decodes into at most this many times n bytes of heap ...
const HEAP_PER_BYTE: usize = 64;
/// ... and this many on top, because lists start with room for a few entries.
const HEAP_CONSTANT: usize = 1024;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_bytes_are_survived(bytes in vec(any::<u8>(), 0..512)) {
        survive(&bytes.into());
    }

    #[test]
    fn any_text_is_survived(text in r#"[\{\}\[\]":,0-9 a-z\\\n-]{0,200}"#) {
        survive(&text.into());
    }

    #[test]
    fn mutated_commands_are_survived(
        batch in vec(strategies::command(), 1..4),
        mutations in vec(mutation(), 1..6),
    ) {
        for codec in CODECS {
            let bytes = batch.iter().flat_map(|command| codec.encode_command(command)).collect();
            survive(&mutate(bytes, &mutations));
        }
    }

    #[test]
    fn mutated_frames_are_survived(
        batch in vec(strategies::frame(), 1..4),
        mutations in vec(mutation(), 1..6),
    ) {
        for codec in CODECS {
            let bytes = batch.iter().flat_map(|frame| codec.encode_frame(frame)).collect();
            survive(&mutate(bytes, &mutations));
        }
    }

    #[test]
    fn every_truncation_of_a_frame_returns_the_complete_part_and_then_an_error(frame in strategies::frame()) {
        let whole = Codec::Protobuf.encode_frame(&frame);
        for end in 1..whole.len() {
            let batch: Bytes = [&whole[..], &whole[..end]].concat().into();
            let mut frames = Codec::Protobuf.decode_frames(&batch);
            prop_assert_eq!(frames.next().unwrap().unwrap(), frame.clone());
            prop_assert_eq!(frames.next().unwrap().unwrap_err().kind(), DecodeErrorKind::Truncated);
            prop_assert!(frames.next().is_none());
        }
    }
}

#[test]
fn lists_of_the_smallest_entries_stay_within_the_bound() {
    for entries in [1, 2, 5, 100, 10_000, Limits::REPEATED] {
        for frame in small_entries() {
            let frame = frame(entries);
            for codec in CODECS {
                let bytes = match &frame {
                    Frame::Client(command) => codec.encode_command(command),
                    Frame::Server(frame) => codec.encode_frame(frame),
                };
                survive(&bytes);
            }
        }
    }
}

#[test]
fn lists_end_at_their_bound() {
    for codec in CODECS {
        for frame in small_entries() {
            let decode = |entries| match frame(entries) {
                Frame::Client(command) => {
                    let bytes = codec.encode_command(&command);
                    let command = codec.decode_commands(&bytes).next().unwrap();
                    command.is_ok_and(|command| !matches!(command.request, Request::Invalid(_)))
                }
                Frame::Server(frame) => {
                    let bytes = codec.encode_frame(&frame);
                    codec.decode_frames(&bytes).next().unwrap().is_ok()
                }
            };
            assert!(decode(Limits::REPEATED), "{codec:?} {:?}", frame(0));
            assert!(!decode(Limits::REPEATED + 1), "{codec:?} {:?}", frame(0));
        }
    }
}

#[test]
fn deep_json_ends_in_a_value_or_an_error() {
    for depth in [10, 1_000, 100_000] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let deep = format!("{}0{}", open.repeat(depth), close.repeat(depth));
            for line in [
                deep.clone(),
                format!(r#"{{"id":1,"newer":{deep}}}"#),
                format!(r#"{{"id":1,"connect":{deep}}}"#),
                format!(r#"{{"id":1,"connect":{{"newer":{deep}}}}}"#),
                format!(r#"{{"id":1,"call":{{"name":"f","data":{deep}}}}}"#),
                format!(r#"{{"id":1,"called":{{"data":{deep}}}}}"#),
                format!(r#"{{"unsubscribed":{{"channel":"a","number":1,"newer":{deep}}}}}"#),
            ] {
                survive(&line.into());
            }
        }
    }
}

// --- the check ------------------------------------------------------------------------------------------------

/// Decodes the bytes as every type that they could be.
fn survive(bytes: &Bytes) {
    for codec in CODECS {
        let heap = codec.decode_commands(bytes).flatten().map(|command| command.heap()).sum();
        assert_bounded(codec, bytes, heap);
        let heap = codec.decode_frames(bytes).flatten().map(|frame| frame.heap()).sum();
        assert_bounded(codec, bytes, heap);
        assert!(codec.decode_commands(bytes).count() <= bytes.len());
        assert!(
            codec.decode_frames(bytes).skip_while(Result::is_ok).count() <= 1,
            "nothing comes after an error"
        );
    }
    // A decoded value can be encoded, and decoded again. A payload from JSON is JSON, so the other codec can carry it
    // too.
    for (read, written) in [(CODECS[0], CODECS[0]), (CODECS[1], CODECS[0]), (CODECS[1], CODECS[1])] {
        for frame in read.decode_frames(bytes).flatten() {
            let again = written.encode_frame(&frame);
            assert_eq!(written.decode_frames(&again).next().unwrap().unwrap(), frame);
        }
        for command in read.decode_commands(bytes).flatten() {
            if !matches!(command.request, Request::Invalid(_)) {
                let again = written.encode_command(&command);
                assert_eq!(written.decode_commands(&again).next().unwrap().unwrap(), command);
            }
        }
    }
}

fn assert_bounded(codec: Codec, bytes: &Bytes, heap: usize) {
    let bound = bytes.len() * HEAP_PER_BYTE + HEAP_CONSTANT;
    assert!(heap <= bound, "{codec:?}: {heap} bytes of heap for {} bytes of message", bytes.len());
}

// --- bytes that are nearly right ------------------------------------------------------------------------------

#[derive(Debug, Clone)]
enum Mutation {
    Cut(Index),
    Flip(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index),
    Repeat(Index, Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        1 => any::<Index>().prop_map(Mutation::Cut),
        4 => (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        2 => (any::<Index>(), vec(any::<u8>(), 1..9)).prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        2 => any::<Index>().prop_map(Mutation::Remove),
        1 => any::<(Index, Index)>().prop_map(|(from, to)| Mutation::Repeat(from, to)),
    ]
}

fn mutate(mut bytes: Vec<u8>, mutations: &[Mutation]) -> Bytes {
    for mutation in mutations {
        if bytes.is_empty() {
            break;
        }
        let length = bytes.len();
        match mutation {
            Mutation::Cut(at) => bytes.truncate(at.index(length)),
            Mutation::Flip(at, bit) => bytes[at.index(length)] ^= 1 << bit,
            Mutation::Insert(at, more) => {
                let at = at.index(length);
                bytes.splice(at..at, more.iter().copied());
            }
            Mutation::Remove(at) => {
                bytes.remove(at.index(length));
            }
            Mutation::Repeat(from, to) => {
                let (from, to) = (from.index(length), to.index(length));
                bytes.extend_from_within(from.min(to)..from.max(to));
            }
        }
    }
    bytes.into()
}

#[derive(Debug)]
enum Frame {
    Client(Command),
    Server(ServerFrame),
}

/// For each list that a frame can have: a frame with the given number of entries, each as small as possible.
fn small_entries() -> Vec<fn(usize) -> Frame> {
    fn channel() -> ChannelName {
        ChannelName::new("a").unwrap()
    }
    fn publications(entries: usize) -> Vec<Publication> {
        let publication = Publication {
            channel: channel(),
            payload: Payload::json(""),
            time: 0,
            publisher: None,
            offset: 0,
        };
        vec![publication; entries]
    }
    fn subscribed() -> Subscribed {
        Subscribed { channel: channel(), number: 0, position: None, complete: false, recovering: 0 }
    }
    fn reply(answer: ReplyBody) -> Frame {
        Frame::Server(ServerFrame::Reply(Reply { id: 1, result: Ok(answer) }))
    }
    vec![
        |entries| {
            let subscriptions =
                vec![Subscribe { channel: channel(), number: 0, position: None, history: 0 }; entries];
            let request = Request::Connect(Connect { subscriptions, ..Connect::default() });
            Frame::Client(Command { id: 0, request })
        },
        |entries| {
            let outcome = SubscribeOutcome { channel: channel(), number: 0, result: Ok(subscribed()) };
            let subscriptions = vec![outcome; entries];
            reply(ReplyBody::Connected(Box::new(Connected { subscriptions, ..Connected::default() })))
        },
        |entries| {
            let id = ContractId { name: String::new(), hash: ContractHash(0) };
            let contract = Some(ContractDigest { items: vec![id.clone(); entries], id });
            reply(ReplyBody::Connected(Box::new(Connected { contract, ..Connected::default() })))
        },
        |entries| {
            let (position, publications) = (Position::default(), publications(entries));
            reply(ReplyBody::History(HistoryPage { position, publications, more: false }))
        },
        |entries| {
            reply(ReplyBody::Presence(PresenceList {
                members: vec![Member::default(); entries],
                ..PresenceList::default()
            }))
        },
    ]
}
