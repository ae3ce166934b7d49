//! News of alarms, for other nodes.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::ledger::Recipient;
use super::stored::time_of;
use crate::SessionId;
use crate::alarm::AlarmProgress;
use crate::hub::record_value::{ValueReader, ValueWriter};
use crate::unix_time::{milliseconds, milliseconds_in};

/// News of one alarm. Each can be heard several times.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum AlarmNews {
    /// It was raised. The value is that of its record, without users, and the time is the rest of its `ttl`.
    Raised {
        id: String,
        left: Duration,
        value: Bytes,
    },
    /// These are recipients of it. The first one has this number.
    Recipients {
        id: String,
        first: u64,
        users: Vec<Arc<str>>,
    },
    Progress {
        id: String,
        entries: Vec<HeardProgress>,
    },
    /// The numbers of recipients that are counted and not listed.
    Counts {
        id: String,
        departed: u64,
        unlisted: u64,
    },
    /// These anonymous recipients are gone.
    Forgotten {
        id: String,
        recipients: Vec<Recipient>,
    },
    Withdrawn {
        id: String,
    },
    /// The sender wants to know everything.
    Wanted,
}

/// The progress of a recipient.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HeardProgress {
    pub(super) recipient: Recipient,
    pub(super) progress: AlarmProgress,
    pub(super) since: SystemTime,
    /// The last session of an anonymous recipient.
    pub(super) session: Option<SessionId>,
}

impl AlarmNews {
    /// The alarm.
    pub(super) fn id(&self) -> &str {
        match self {
            Self::Raised { id, .. }
            | Self::Recipients { id, .. }
            | Self::Progress { id, .. }
            | Self::Counts { id, .. }
            | Self::Forgotten { id, .. }
            | Self::Withdrawn { id } => id,
            Self::Wanted => "",
        }
    }

    pub(crate) fn write(&self, value: &mut ValueWriter) {
        value.byte(match self {
            Self::Raised { .. } => 1,
            Self::Recipients { .. } => 2,
            Self::Progress { .. } => 3,
            Self::Counts { .. } => 4,
            Self::Forgotten { .. } => 5,
            Self::Withdrawn { .. } => 6,
            Self::Wanted => 7,
        });
        value.bytes(self.id().as_bytes());
        match self {
            Self::Raised { left, value: record, .. } => {
                value.number(milliseconds_in(*left));
                value.bytes(record);
            }
            Self::Recipients { first, users, .. } => {
                value.number(*first);
                value.number(length(users));
                users.iter().for_each(|user| value.bytes(user.as_bytes()));
            }
            Self::Progress { entries, .. } => {
                value.number(length(entries));
                for HeardProgress { recipient, progress, since, session } in entries {
                    write_recipient(value, recipient);
                    value.byte(progress.number());
                    value.number(milliseconds(*since));
                    value.bytes(session.map(SessionId::to_bytes).as_ref().map_or(&[], |bytes| &bytes[..]));
                }
            }
            Self::Counts { departed, unlisted, .. } => {
                value.number(*departed);
                value.number(*unlisted);
            }
            Self::Forgotten { recipients, .. } => {
                value.number(length(recipients));
                recipients.iter().for_each(|recipient| write_recipient(value, recipient));
            }
            Self::Withdrawn { .. } | Self::Wanted => {}
        }
    }

    /// `None` for damaged news, or those of a later release.
    pub(crate) fn read(value: &mut ValueReader) -> Option<Self> {
        let (kind, id) = (value.byte()?, value.text()?);
        Some(match kind {
            1 => {
                let left = Duration::from_millis(value.number()?);
                Self::Raised { id, left, value: value.bytes()? }
            }
            2 => {
                let first = value.number()?;
                Self::Recipients { id, first, users: list(value, |value| Some(value.text()?.into()))? }
            }
            3 => Self::Progress { id, entries: list(value, read_progress)? },
            4 => Self::Counts { id, departed: value.number()?, unlisted: value.number()? },
            5 => Self::Forgotten { id, recipients: list(value, read_recipient)? },
            6 => Self::Withdrawn { id },
            7 => Self::Wanted,
            _ => return None,
        })
    }
}

fn length<T>(items: &[T]) -> u64 {
    u64::try_from(items.len()).unwrap_or(u64::MAX)
}

fn list<T>(value: &mut ValueReader, read: impl Fn(&mut ValueReader) -> Option<T>) -> Option<Vec<T>> {
    let mut items = Vec::new();
    for _ in 0..value.number()? {
        items.push(read(value)?);
    }
    Some(items)
}

fn read_progress(value: &mut ValueReader) -> Option<HeardProgress> {
    let recipient = read_recipient(value)?;
    let progress = AlarmProgress::of_number(value.byte()?)?;
    let since = time_of(value.number()?)?;
    let session = value.bytes()?;
    let session =
        if session.is_empty() { None } else { Some(SessionId::from_bytes((*session).try_into().ok()?)) };
    Some(HeardProgress { recipient, progress, since, session })
}

fn write_recipient(value: &mut ValueWriter, recipient: &Recipient) {
    match recipient {
        Recipient::User(user) => {
            value.byte(b'u');
            value.bytes(user.as_bytes());
        }
        Recipient::Client(client) => {
            value.byte(b'c');
            value.number(client.get());
        }
        Recipient::Session(session) => {
            value.byte(b's');
            value.bytes(&session.to_bytes());
        }
    }
}

fn read_recipient(value: &mut ValueReader) -> Option<Recipient> {
    Some(match value.byte()? {
        b'u' => Recipient::User(value.text()?.into()),
        b'c' => Recipient::Client(NonZeroU64::new(value.number()?)?),
        b's' => Recipient::Session(SessionId::from_bytes((*value.bytes()?).try_into().ok()?)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_are_read_as_they_were_written_and_shorter_ones_are_refused() {
        let id = || "0.1".to_owned();
        let recipients = || {
            let session = SessionId::from_bytes([7; 16]);
            [Recipient::User("ann".into()), Recipient::Client(NonZeroU64::MIN), Recipient::Session(session)]
        };
        let entries = recipients().map(|recipient| HeardProgress {
            recipient,
            progress: AlarmProgress::Received,
            since: time_of(1234).unwrap(),
            session: Some(SessionId::from_bytes([8; 16])),
        });
        for news in [
            AlarmNews::Raised { id: id(), left: Duration::from_millis(3), value: Bytes::from_static(b"x") },
            AlarmNews::Recipients { id: id(), first: 3, users: vec!["ann".into(), "bob".into()] },
            AlarmNews::Progress { id: id(), entries: entries.into() },
            AlarmNews::Counts { id: id(), departed: 1, unlisted: 2 },
            AlarmNews::Forgotten { id: id(), recipients: recipients().into() },
            AlarmNews::Withdrawn { id: id() },
            AlarmNews::Wanted,
        ] {
            let mut writer = ValueWriter::new(1);
            news.write(&mut writer);
            let value = writer.finish();
            let read = |value: &Bytes| AlarmNews::read(&mut ValueReader::new(value, 1)?);
            assert_eq!(read(&value).as_ref(), Some(&news));
            for length in 1..value.len() {
                assert_eq!(read(&value.slice(..length)), None, "{news:?} {length}");
            }
        }
    }
}
