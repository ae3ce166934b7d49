//! An encoded value decodes to itself, alone and in batches.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use wirehub_common::frame::{Call, Command, Request, ServerFrame};
use wirehub_common::view::{Body, Frame, Frames, Member, PublicationParts};
use wirehub_common::{Codec, Payload};

use crate::proto_file::{ProtoFile, camel_case};
use crate::strategies;

const CODECS: [Codec; 2] = [Codec::Protobuf, Codec::Json];

proptest! {
    #[test]
    fn a_command_comes_back_as_it_was(command in strategies::command()) {
        for codec in CODECS {
            let bytes = codec.encode_command(&command);
            prop_assert_eq!(commands(codec, &bytes), std::slice::from_ref(&command), "{:?}", codec);
        }
    }

    #[test]
    fn a_frame_comes_back_as_it_was(frame in strategies::frame()) {
        for codec in CODECS {
            let bytes = codec.encode_frame(&frame);
            prop_assert_eq!(frames(codec, &bytes), std::slice::from_ref(&frame), "{:?}", codec);
        }
    }

    #[test]
    fn the_fields_of_a_publication_in_one_go_are_those_of_its_getters(frame in strategies::frame()) {
        let bytes = Codec::Protobuf.encode_frame(&frame);
        if let Some(Ok(Frame { body: Body::Publication(publication), .. })) = Frames::new(&bytes).next() {
            let PublicationParts { channel, payload, time, publisher, offset } = publication.parts();
            prop_assert_eq!(
                (channel, payload.content, payload.data, time, publisher.map(Member::read), offset),
                (
                    publication.channel().as_bytes(),
                    publication.payload().content,
                    publication.payload().data,
                    publication.time(),
                    publication.publisher().map(Member::read),
                    publication.offset(),
                )
            );
            if let Some(member) = publisher {
                let texts = [member.session(), member.user(), member.info()].map(str::as_bytes);
                prop_assert_eq!(member.texts(), texts);
            }
        }
    }

    #[test]
    fn encoded_commands_one_after_the_other_are_a_batch(list in vec(strategies::command(), 0..8)) {
        for codec in CODECS {
            let batch = concatenation(list.iter().map(|command| codec.encode_command(command)));
            prop_assert_eq!(commands(codec, &batch), &*list, "{:?}", codec);
        }
    }

    #[test]
    fn encoded_frames_one_after_the_other_are_a_batch(list in vec(strategies::frame(), 0..8)) {
        for codec in CODECS {
            let batch = concatenation(list.iter().map(|frame| codec.encode_frame(frame)));
            prop_assert_eq!(frames(codec, &batch), &*list, "{:?}", codec);
        }
    }

    #[test]
    fn lines_may_end_as_windows_ends_them_and_be_empty(list in vec(strategies::command(), 0..4)) {
        let mut batch = b"\r\n".to_vec();
        for command in &list {
            batch.extend(Codec::Json.encode_command(command).trim_ascii_end());
            batch.extend(b"\r\n \t\n");
        }
        prop_assert_eq!(commands(Codec::Json, &batch.into()), &*list);
    }

    #[test]
    fn a_json_frame_is_one_line_of_text(frame in strategies::frame()) {
        let line = Codec::Json.encode_frame(&frame);
        prop_assert!(std::str::from_utf8(&line).is_ok());
        prop_assert_eq!(line.iter().position(|&byte| byte == b'\n'), Some(line.len() - 1));
    }

    #[test]
    fn json_names_its_fields_as_the_proto_file_does(frame in strategies::frame(), command in strategies::command()) {
        let file = ProtoFile::read();
        let parse = |line: Bytes| serde_json::from_slice(&line).unwrap();
        assert_names(&file, "ServerFrame", &parse(Codec::Json.encode_frame(&frame)));
        assert_names(&file, "Command", &parse(Codec::Json.encode_command(&command)));
    }

    #[test]
    fn line_breaks_within_a_json_payload_do_not_end_the_line(space in "[ \t\r\n]{0,8}") {
        let payload = Payload::json(format!("{space}{{{space}\"a\":{space}[1,{space}2]}}{space}"));
        let command = Command { id: 1, request: Request::Call(Call { name: "f".into(), payload, key: String::new() }) };

        let line = Codec::Json.encode_command(&command);
        prop_assert_eq!(line.iter().filter(|&&byte| matches!(byte, b'\r' | b'\n')).count(), 1);
        let read = commands(Codec::Json, &line);
        let [Command { request: Request::Call(call), .. }] = &*read else { panic!("{read:?}") };
        let value: serde_json::Value = serde_json::from_slice(&call.payload.data).unwrap();
        prop_assert_eq!(value, serde_json::json!({ "a": [1, 2] }));
    }
}

#[test]
fn a_json_payload_that_is_no_json_goes_as_bytes() {
    for data in ["", "{", "\"a\nb\"", "1 2"] {
        let call = Call { name: "f".into(), payload: Payload::json(data), key: String::new() };
        let line = Codec::Json.encode_command(&Command { id: 1, request: Request::Call(call) });
        let read = commands(Codec::Json, &line);
        let [Command { request: Request::Call(call), .. }] = &*read else { panic!("{read:?}") };
        let expected = if data.is_empty() { Payload::json("") } else { Payload::bytes(data) };
        assert_eq!(call.payload, expected);
    }
}

fn commands(codec: Codec, message: &Bytes) -> Vec<Command> {
    codec.decode_commands(message).map(Result::unwrap).collect()
}

fn frames(codec: Codec, message: &Bytes) -> Vec<ServerFrame> {
    codec.decode_frames(message).map(Result::unwrap).collect()
}

fn concatenation(parts: impl Iterator<Item = Bytes>) -> Bytes {
    parts.flatten().collect()
}

/// Each name in the object is that of a field of the message, in camel case.
fn assert_names(file: &ProtoFile, message: &str, value: &serde_json::Value) {
    for (name, value) in value.as_object().expect("a message is an object") {
        let field = file.messages[message]
            .iter()
            .find(|field| camel_case(&field.name) == *name)
            .unwrap_or_else(|| panic!("{message} has no field {name}"));
        if !file.messages.contains_key(&field.kind) {
            continue;
        }
        match value {
            serde_json::Value::Array(entries) => {
                entries.iter().for_each(|entry| assert_names(file, &field.kind, entry));
            }
            value => assert_names(file, &field.kind, value),
        }
    }
}
