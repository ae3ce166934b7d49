use wirehub_common::code::{CloseCode, ErrorCode};
use wirehub_common::frame::{ErrorInfo, Member};
use wirehub_common::{ChannelName, Payload};

use super::message::{Content, NodeMessage};
use super::page::PageRequest;
use super::question::{Answer, Question};
use super::*;
use crate::SessionId;
use crate::hub::alarms::AlarmNews;
use crate::hub::inspect::{ChannelSummary, ConnectedSession};
use crate::hub::publication;

fn name() -> ChannelName {
    ChannelName::new("chat:lobby").unwrap()
}

fn questions() -> Vec<Question> {
    let (session, channel) = (SessionId::from_bytes([7; 16]), name());
    let error = ErrorInfo { temporary: true, ..ErrorInfo::from_code(ErrorCode::PERMISSION_DENIED) };
    let (user, code, reason) = ("ann".to_owned(), CloseCode::SHUTDOWN, "out".to_owned());
    let page = PageRequest { after: Some(session), limit: 3 };
    let names = || PageRequest { after: Some(name()), limit: 3 };
    vec![
        Question::Disconnect { session, code, reason: reason.clone() },
        Question::Subscribe { session, channel: channel.clone() },
        Question::Unsubscribe { session, channel: channel.clone(), error: error.clone() },
        Question::DisconnectUser { user: user.clone(), code, reason },
        Question::UnsubscribeUser { user: user.clone(), channel: channel.clone(), error },
        Question::Broadcast(publication(&channel, Payload::json("1"))),
        Question::Session(session),
        Question::Sessions { user: Some(user), page: page.clone() },
        Question::Sessions { user: None, page: PageRequest { after: None, ..page } },
        Question::Subscriptions { session, page: names() },
        Question::Channels { prefix: "chat:".into(), page: names() },
        Question::CountSessions,
        Question::CountSubscribers(channel),
        Question::AbortConnection(session),
    ]
}

fn answers() -> Vec<Answer> {
    let id = SessionId::from_bytes([7; 16]);
    let member = Member { session: id.to_string(), user: "ann".into(), info: "1".into() };
    let session = ConnectedSession {
        id,
        member,
        address: Some("::1".parse().unwrap()),
        opened: 1,
        subprotocol: "wirehub.v9.later".into(),
        channels: 2,
        queue_bytes: 3,
        node: None,
    };
    let nowhere = ConnectedSession { address: None, ..session.clone() };
    let sessions = ListPage { items: vec![session, nowhere], count: 5, more: true, missing: Vec::new() };
    let names = ListPage { items: vec![name()], count: 1, ..ListPage::default() };
    let summary = ChannelSummary { name: name(), subscribers: 2, publications: 3 };
    vec![
        Answer::Count(3),
        Answer::Sessions(sessions),
        Answer::Subscriptions(Some(names)),
        Answer::Subscriptions(None),
        Answer::Channels(ListPage { items: vec![summary], ..ListPage::default() }),
    ]
}

#[test]
fn a_message_is_read_as_it_was_written_and_every_shorter_one_is_skipped() {
    let mut contents = vec![Content::Here, Content::Alarm(AlarmNews::Wanted)];
    contents.extend(questions().into_iter().map(|question| Content::Question { request: 4, question }));
    contents.extend(answers().into_iter().map(|answer| Content::Answer { request: 4, answer }));
    for content in contents {
        for is_to_all in [false, true] {
            let message = NodeMessage { number: 3, is_to_all, content: content.clone() };
            let bytes = message.encode();
            assert_eq!(NodeMessage::decode(&bytes).as_ref(), Some(&message));
            for length in 0..bytes.len() {
                let shorter = NodeMessage::decode(&bytes.slice(..length));
                let is_skipped = shorter.as_ref().is_none_or(|shorter| {
                    matches!(
                        shorter.content,
                        Content::Unknown { .. }
                            | Content::Question { question: Question::Unknown, .. }
                            | Content::Answer { answer: Answer::Unknown, .. }
                    )
                });
                assert!(is_skipped, "{content:?} {length}: {shorter:?}");
            }
            // A later release may add fields.
            let longer = [&bytes[..], b"more"].concat().into();
            assert_eq!(NodeMessage::decode(&longer), Some(message));
        }
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_a_message_or_none(bytes: Vec<u8>) {
        let _ = NodeMessage::decode(&[&[1][..], &bytes].concat().into());
        let _ = NodeMessage::decode(&bytes.into());
    }
}
