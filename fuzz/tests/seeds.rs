//! Every line of the seeds can be decoded, because the fuzzer does not report a line that is refused.

use bytes::Bytes;
use wirehub_common::Codec;
use wirehub_common::frame::{Push, Reply, ReplyBody, Request, ServerFrame};

#[test]
fn each_line_of_commands_is_one_that_is_understood_and_the_last_is_a_newer_one() {
    let seeds = Bytes::from_static(include_bytes!("../seeds/decode_commands/session.jsonl"));
    let commands: Vec<_> = Codec::Json.decode_commands(&seeds).collect::<Result<_, _>>().unwrap();
    let (last, others) = commands.split_last().unwrap();
    assert_eq!(last.request, Request::Unknown);
    for command in others {
        assert!(!matches!(command.request, Request::Unknown | Request::Invalid(_)), "{command:?}");
    }
}

#[test]
fn each_line_of_frames_is_one_that_is_understood() {
    let seeds = Bytes::from_static(include_bytes!("../seeds/decode_frames/session.jsonl"));
    for frame in Codec::Json.decode_frames(&seeds) {
        let frame = frame.unwrap();
        let unknown = matches!(
            frame,
            ServerFrame::Push(Push::Unknown)
                | ServerFrame::Reply(Reply { result: Ok(ReplyBody::Unknown), .. })
        );
        assert!(!unknown, "{frame:?}");
    }
}
