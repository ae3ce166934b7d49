//! The vectors of PROTOCOL.md, checked against both codecs and `prost`.

use std::collections::BTreeSet;
use std::fmt::Debug;

use bytes::Bytes;
use prost::Message;

use wirehub_common::frame::{Command, Request, ServerFrame};
use wirehub_common::{Codec, DecodeError};

use crate::proto_file::{ProtoFile, camel_case};
use crate::protocol_md::{Block, blocks};
use crate::schema;

#[test]
fn each_command_is_the_same_in_json_and_protobuf() {
    blocks("command").iter().for_each(assert_same::<Command>);
}

#[test]
fn each_frame_is_the_same_in_json_and_protobuf() {
    blocks("frame").iter().for_each(assert_same::<ServerFrame>);
}

#[test]
fn prost_reads_and_writes_the_commands_too() {
    for block in blocks("command") {
        assert_prost_agrees::<Command, schema::Command>(&block);
    }
}

#[test]
fn prost_reads_and_writes_the_frames_too() {
    for block in blocks("frame") {
        assert_prost_agrees::<ServerFrame, schema::ServerFrame>(&block);
    }
}

#[test]
fn every_field_of_every_message_is_in_a_vector() {
    let file = ProtoFile::read();
    let mut seen = BTreeSet::new();
    for (info, message) in [("command", "Command"), ("frame", "ServerFrame")] {
        for line in blocks(info).iter().flat_map(Block::json) {
            note_fields(&file, message, &serde_json::from_str(line).unwrap(), &mut seen);
        }
    }
    for (message, fields) in &file.messages {
        for field in fields {
            assert!(seen.contains(&(message.clone(), camel_case(&field.name))), "{message}.{}", field.name);
        }
    }
}

#[test]
fn other_ways_to_write_a_command_are_read_as_the_same() {
    blocks("command reads").iter().for_each(assert_reads_same::<Command>);
}

#[test]
fn other_ways_to_write_a_frame_are_read_as_the_same() {
    blocks("frame reads").iter().for_each(assert_reads_same::<ServerFrame>);
}

#[test]
fn bytes_that_are_not_a_command_are_malformed() {
    blocks("command malformed").iter().for_each(assert_malformed::<Command>);
}

#[test]
fn bytes_that_are_not_a_frame_are_malformed() {
    blocks("frame malformed").iter().for_each(assert_malformed::<ServerFrame>);
}

#[test]
fn readable_commands_that_can_not_be_carried_out_are_told_apart() {
    for block in blocks("command impossible") {
        for (codec, bytes) in inputs(&block) {
            let commands = Command::decode(codec, &bytes);
            let [Ok(Command { id: 9, request: Request::Invalid(why) })] = &*commands else {
                panic!("{}: {bytes:?} is {commands:?}", block.name);
            };
            assert!(!why.is_empty());
        }
    }
}

// --- the checks -----------------------------------------------------------------------------------------------

/// The common operations of both kinds of frame.
trait Frame: Clone + Debug + PartialEq {
    fn decode(codec: Codec, bytes: &Bytes) -> Vec<Result<Self, DecodeError>>;
    fn encode(&self, codec: Codec) -> Bytes;
}

impl Frame for Command {
    fn decode(codec: Codec, bytes: &Bytes) -> Vec<Result<Self, DecodeError>> {
        codec.decode_commands(bytes).collect()
    }

    fn encode(&self, codec: Codec) -> Bytes {
        codec.encode_command(self)
    }
}

impl Frame for ServerFrame {
    fn decode(codec: Codec, bytes: &Bytes) -> Vec<Result<Self, DecodeError>> {
        codec.decode_frames(bytes).collect()
    }

    fn encode(&self, codec: Codec) -> Bytes {
        codec.encode_frame(self)
    }
}

fn assert_same<F: Frame>(block: &Block) {
    let json: Bytes = block.json().flat_map(|line| [line, "\n"]).collect::<String>().into();
    let protobuf: Bytes = block.protobuf().flatten().collect();
    let from_json = decode::<F>(block, Codec::Json, &json);
    let from_protobuf = decode::<F>(block, Codec::Protobuf, &protobuf);

    assert_eq!(from_json, from_protobuf, "{}", block.name);
    assert_eq!(encode(&from_protobuf, Codec::Json), json, "{}", block.name);
    assert_eq!(encode(&from_json, Codec::Protobuf), protobuf, "{}", block.name);
}

fn assert_prost_agrees<F: Frame, P>(block: &Block)
where
    P: Message + Debug + Default + PartialEq + From<F>,
{
    let json: Bytes = block.json().flat_map(|line| [line, "\n"]).collect::<String>().into();
    let protobuf: Bytes = block.protobuf().flatten().collect();
    let expected: Vec<P> = decode::<F>(block, Codec::Json, &json).into_iter().map(P::from).collect();

    let mut rest = &*protobuf;
    let read: Vec<P> = expected.iter().map(|_| P::decode_length_delimited(&mut rest).unwrap()).collect();
    assert_eq!((rest, &read), (&[][..], &expected), "{}", block.name);
    let written: Vec<u8> = expected.iter().flat_map(P::encode_length_delimited_to_vec).collect();
    assert_eq!(written, protobuf, "{}", block.name);
}

/// Every line decodes to the same value as the first one.
fn assert_reads_same<F: Frame>(block: &Block) {
    let mut read = inputs(block).map(|(codec, bytes)| decode::<F>(block, codec, &bytes));
    let first = read.next().unwrap();
    let mut others = 0;
    for other in read {
        assert_eq!(other, first, "{}", block.name);
        others += 1;
    }
    assert!(others > 0, "{}: nothing to compare", block.name);
}

fn assert_malformed<F: Frame>(block: &Block) {
    for (codec, bytes) in inputs(block) {
        let frames = F::decode(codec, &bytes);
        assert!(matches!(&*frames, [.., Err(_)]), "{}: {bytes:?} is {frames:?}", block.name);
    }
}

/// Each line of the block as a message.
fn inputs(block: &Block) -> impl Iterator<Item = (Codec, Bytes)> {
    let json = block.json().map(|line| (Codec::Json, Bytes::from(line)));
    json.chain(block.protobuf().map(|bytes| (Codec::Protobuf, bytes)))
}

fn decode<F: Frame>(block: &Block, codec: Codec, bytes: &Bytes) -> Vec<F> {
    let frames: Result<Vec<_>, _> = F::decode(codec, bytes).into_iter().collect();
    frames.unwrap_or_else(|error| panic!("{}: {bytes:?}: {error}", block.name))
}

fn encode<F: Frame>(frames: &[F], codec: Codec) -> Bytes {
    frames.iter().flat_map(|frame| frame.encode(codec)).collect()
}

fn note_fields(
    file: &ProtoFile,
    message: &str,
    value: &serde_json::Value,
    seen: &mut BTreeSet<(String, String)>,
) {
    for (name, value) in value.as_object().expect("a message is an object") {
        seen.insert((message.into(), name.clone()));
        let field = file.messages[message].iter().find(|field| camel_case(&field.name) == *name).unwrap();
        if file.messages.contains_key(&field.kind) {
            match value {
                serde_json::Value::Array(entries) => {
                    entries.iter().for_each(|entry| note_fields(file, &field.kind, entry, seen));
                }
                value => note_fields(file, &field.kind, value, seen),
            }
        }
    }
}
