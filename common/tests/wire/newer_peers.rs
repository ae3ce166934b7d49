//! A peer of a newer version adds fields, and a known field may have another wire type. Readers ignore both, in any
//! position.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use wirehub_common::Codec;

use crate::proto_file::ProtoFile;
use crate::strategies;

proptest! {
    #[test]
    fn foreign_protobuf_fields_are_passed_over_in_commands(
        command in strategies::command(),
        foreign in vec(foreign_field(), 1..8),
    ) {
        let bytes = with_foreign_fields("Command", &Codec::Protobuf.encode_command(&command), foreign);
        let read: Vec<_> = Codec::Protobuf.decode_commands(&bytes).map(Result::unwrap).collect();
        prop_assert_eq!(read, [command]);
    }

    #[test]
    fn foreign_protobuf_fields_are_passed_over_in_frames(
        frame in strategies::frame(),
        foreign in vec(foreign_field(), 1..8),
    ) {
        let bytes = with_foreign_fields("ServerFrame", &Codec::Protobuf.encode_frame(&frame), foreign);
        let read: Vec<_> = Codec::Protobuf.decode_frames(&bytes).map(Result::unwrap).collect();
        prop_assert_eq!(read, [frame]);
    }

    #[test]
    fn foreign_json_fields_are_passed_over_in_commands(command in strategies::command(), foreign in foreign_json()) {
        let line = with_foreign_names(&Codec::Json.encode_command(&command), &foreign);
        let read: Vec<_> = Codec::Json.decode_commands(&line).map(Result::unwrap).collect();
        prop_assert_eq!(read, [command]);
    }

    #[test]
    fn foreign_json_fields_are_passed_over_in_frames(frame in strategies::frame(), foreign in foreign_json()) {
        let line = with_foreign_names(&Codec::Json.encode_frame(&frame), &foreign);
        let read: Vec<_> = Codec::Json.decode_frames(&line).map(Result::unwrap).collect();
        prop_assert_eq!(read, [frame]);
    }
}

// --- protobuf -------------------------------------------------------------------------------------------------

/// A field to insert: an unknown one, or a known one with another wire type.
#[derive(Debug, Clone)]
enum Foreign {
    Nothing,
    Unknown { number: u32, value: Value },
    WrongType { which: prop::sample::Index, value: Value },
}

#[derive(Debug, Clone)]
enum Value {
    Varint(u64),
    Fixed64([u8; 8]),
    Length(Vec<u8>),
    Fixed32([u8; 4]),
}

fn foreign_field() -> impl Strategy<Value = Foreign> {
    let value = || {
        prop_oneof![
            any::<u64>().prop_map(Value::Varint),
            any::<[u8; 8]>().prop_map(Value::Fixed64),
            vec(any::<u8>(), 0..16).prop_map(Value::Length),
            any::<[u8; 4]>().prop_map(Value::Fixed32),
        ]
    };
    prop_oneof![
        Just(Foreign::Nothing),
        (prop_oneof![20..40_u32, 100..0x2000_0000_u32], value())
            .prop_map(|(number, value)| Foreign::Unknown { number, value }),
        (any::<prop::sample::Index>(), value())
            .prop_map(|(which, value)| Foreign::WrongType { which, value }),
    ]
}

/// The encoded frame with foreign fields before, between and behind the fields of each of its messages.
fn with_foreign_fields(message: &str, delimited: &[u8], foreign: Vec<Foreign>) -> Bytes {
    let file = ProtoFile::read();
    let mut foreign = foreign.into_iter().cycle();
    let mut rest = delimited;
    let length = usize::try_from(take_varint(&mut rest)).unwrap();
    assert_eq!(rest.len(), length, "one frame");
    let body = rewrite(&file, message, rest, &mut || foreign.next().unwrap());
    let mut out = Vec::new();
    put_varint(&mut out, body.len() as u64);
    out.extend(body);
    out.into()
}

fn rewrite(file: &ProtoFile, message: &str, mut rest: &[u8], next: &mut impl FnMut() -> Foreign) -> Vec<u8> {
    let mut out = Vec::new();
    while !rest.is_empty() {
        insert(file, message, next(), &mut out);
        let tag = take_varint(&mut rest);
        let field = file.field(message, u32::try_from(tag >> 3).unwrap()).unwrap();
        put_varint(&mut out, tag);
        match tag & 7 {
            0 => put_varint(&mut out, take_varint(&mut rest)),
            1 => out.extend(take(&mut rest, 8)),
            2 => {
                let length = usize::try_from(take_varint(&mut rest)).unwrap();
                let body = take(&mut rest, length);
                let body = if file.messages.contains_key(&field.kind) {
                    rewrite(file, &field.kind, body, next)
                } else {
                    body.to_owned()
                };
                put_varint(&mut out, body.len() as u64);
                out.extend(body);
            }
            other => panic!("no field of ours has wire type {other}"),
        }
    }
    insert(file, message, next(), &mut out);
    out
}

fn insert(file: &ProtoFile, message: &str, foreign: Foreign, out: &mut Vec<u8>) {
    let (number, value) = match foreign {
        Foreign::Nothing => return,
        Foreign::Unknown { number, value } => (number, value),
        Foreign::WrongType { which, value } => {
            let fields = &file.messages[message];
            if fields.is_empty() {
                return;
            }
            let field = which.get(fields);
            if wire_type(file, &field.kind) == value.wire_type() {
                return;
            }
            (field.number, value)
        }
    };
    put_varint(out, u64::from(number) << 3 | value.wire_type());
    match value {
        Value::Varint(value) => put_varint(out, value),
        Value::Fixed64(bytes) => out.extend(bytes),
        Value::Fixed32(bytes) => out.extend(bytes),
        Value::Length(bytes) => {
            put_varint(out, bytes.len() as u64);
            out.extend(bytes);
        }
    }
}

impl Value {
    fn wire_type(&self) -> u64 {
        match self {
            Self::Varint(_) => 0,
            Self::Fixed64(_) => 1,
            Self::Length(_) => 2,
            Self::Fixed32(_) => 5,
        }
    }
}

fn wire_type(file: &ProtoFile, kind: &str) -> u64 {
    match kind {
        "bool" | "uint32" | "uint64" => 0,
        "fixed64" => 1,
        "string" | "bytes" => 2,
        name if file.enums.contains_key(name) => 0,
        _ => 2,
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (part, behind) = rest.split_at(length);
    *rest = behind;
    part
}

fn take_varint(rest: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = take(rest, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

// --- JSON -----------------------------------------------------------------------------------------------------

/// Values from a newer peer, including deep ones and ones that none of our types could hold.
fn foreign_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Into::into),
            vec((any::<String>(), inner), 0..4).prop_map(|entries| entries.into_iter().collect()),
        ]
    })
}

fn with_foreign_names(line: &[u8], foreign: &serde_json::Value) -> Bytes {
    let mut value = serde_json::from_slice(line).unwrap();
    add_names(&mut value, foreign);
    serde_json::to_vec(&value).unwrap().into()
}

/// Adds names to each object except payloads and infos, which belong to the application.
fn add_names(value: &mut serde_json::Value, foreign: &serde_json::Value) {
    match value {
        serde_json::Value::Array(entries) => {
            entries.iter_mut().for_each(|entry| add_names(entry, foreign));
        }
        serde_json::Value::Object(object) => {
            for (name, value) in object.iter_mut() {
                if name != "data" && name != "info" {
                    add_names(value, foreign);
                }
            }
            // One that sorts before every name of ours, and one that sorts behind.
            object.insert("Foreign".into(), foreign.clone());
            object.insert("zForeign".into(), foreign.clone());
        }
        _ => {}
    }
}
