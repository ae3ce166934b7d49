//! A message between nodes: a version, a kind, the number of messages to all nodes, and the content.
//!
//! New kinds, and new fields at the end, need no other version: an older node skips them. So nodes of two releases can live side
//! by side.

use bytes::Bytes;

use super::question::{Answer, Question};
use crate::hub::alarms::AlarmNews;
use crate::hub::record_value::{ValueReader, ValueWriter};

#[derive(Debug, Clone, PartialEq)]
pub(super) struct NodeMessage {
    /// The number of messages that the sender has sent to all nodes, with this one if it is one of them.
    pub(super) number: u64,
    pub(super) is_to_all: bool,
    pub(super) content: Content,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Content {
    /// A sign of life, with which lost messages are noticed.
    Here,
    Question {
        request: u64,
        question: Question,
    },
    Answer {
        request: u64,
        answer: Answer,
    },
    Alarm(AlarmNews),
    /// Of a later release, or damaged.
    Unknown {
        kind: u8,
    },
}

impl NodeMessage {
    pub(super) fn encode(&self) -> Bytes {
        let mut value = ValueWriter::new(VERSION);
        value.byte(match &self.content {
            Content::Here => HERE,
            Content::Question { .. } => QUESTION,
            Content::Answer { .. } => ANSWER,
            Content::Alarm(_) => ALARM,
            Content::Unknown { kind } => *kind,
        });
        value.byte(u8::from(self.is_to_all));
        value.number(self.number);
        match &self.content {
            Content::Here | Content::Unknown { .. } => {}
            Content::Question { request, question } => {
                value.number(*request);
                question.write(&mut value);
            }
            Content::Answer { request, answer } => {
                value.number(*request);
                answer.write(&mut value);
            }
            Content::Alarm(news) => news.write(&mut value),
        }
        value.finish()
    }

    /// `None` for another version, or for a damaged beginning.
    pub(super) fn decode(message: &Bytes) -> Option<Self> {
        let mut value = ValueReader::new(message, VERSION)?;
        let (kind, is_to_all, number) = (value.byte()?, value.byte()? != 0, value.number()?);
        let content = content(kind, &mut value).unwrap_or(Content::Unknown { kind });
        Some(Self { number, is_to_all, content })
    }
}

fn content(kind: u8, value: &mut ValueReader) -> Option<Content> {
    Some(match kind {
        HERE => Content::Here,
        QUESTION => Content::Question { request: value.number()?, question: Question::read(value) },
        ANSWER => Content::Answer { request: value.number()?, answer: Answer::read(value) },
        ALARM => Content::Alarm(AlarmNews::read(value)?),
        _ => return None,
    })
}

/// The version of messages.
const VERSION: u8 = 1;

const HERE: u8 = 1;
const QUESTION: u8 = 2;
const ANSWER: u8 = 3;
const ALARM: u8 = 4;
