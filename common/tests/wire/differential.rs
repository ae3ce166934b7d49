//! Our codec and `prost`'s, both ways.

use bytes::Bytes;
use proptest::prelude::*;
use prost::Message as _;

use wirehub_common::Codec;

use crate::{schema, strategies};

proptest! {
    #[test]
    fn prost_reads_our_commands_and_writes_the_same_bytes(command in strategies::command()) {
        let ours = Codec::Protobuf.encode_command(&command);
        let expected = schema::Command::from(command.clone());

        prop_assert_eq!(schema::Command::decode_length_delimited(&*ours).unwrap(), expected.clone());
        prop_assert_eq!(expected.encode_length_delimited_to_vec(), ours);
    }

    #[test]
    fn we_read_the_commands_of_prost(command in strategies::command()) {
        let theirs = Bytes::from(schema::Command::from(command.clone()).encode_length_delimited_to_vec());
        let read: Vec<_> = Codec::Protobuf.decode_commands(&theirs).map(Result::unwrap).collect();

        prop_assert_eq!(read, [command]);
    }

    #[test]
    fn prost_reads_our_frames_and_writes_the_same_bytes(frame in strategies::frame()) {
        let ours = Codec::Protobuf.encode_frame(&frame);
        let expected = schema::ServerFrame::from(frame);

        prop_assert_eq!(schema::ServerFrame::decode_length_delimited(&*ours).unwrap(), expected.clone());
        prop_assert_eq!(expected.encode_length_delimited_to_vec(), ours);
    }

    #[test]
    fn we_read_the_frames_of_prost(frame in strategies::frame()) {
        let theirs = Bytes::from(schema::ServerFrame::from(frame.clone()).encode_length_delimited_to_vec());
        let read: Vec<_> = Codec::Protobuf.decode_frames(&theirs).map(Result::unwrap).collect();

        prop_assert_eq!(read, [frame]);
    }
}
