//! Alarms and the progress of their recipients as records of the engine.
//!
//! The key of an alarm is its id. The key of a recipient is the id, a zero byte, and `u` with the user or `c` with the number of
//! the anonymous client. The users of an alarm with many of them are in further records: their keys are the id, a zero byte, `p` and
//! a number. Anonymous sessions without such a number are not stored: no client can come back as one of them.

use std::num::NonZeroU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::time::Instant;
use wirehub_common::Codec;
use wirehub_common::frame::{Alarm as Frame, Push, ServerFrame};

use super::ledger::{Ledger, ProgressCounts, Recipient};
use crate::alarm::AlarmProgress;
use crate::engine::{Record, RecordKind};
use crate::hub::record_value::{ValueReader, ValueWriter};
use crate::unix_time::milliseconds;

/// The parsed key of a record.
pub(super) enum StoredKey {
    Alarm(String),
    Recipient(String, Recipient),
    /// Some of the users of an alarm.
    Part(String, u32),
}

/// The stored progress of a recipient.
pub(super) struct StoredProgress {
    pub(super) progress: AlarmProgress,
    pub(super) since: SystemTime,
}

impl StoredKey {
    /// `None` for a damaged key.
    pub(super) fn parse(key: &[u8]) -> Option<Self> {
        let mut parts = key.splitn(2, |byte| *byte == 0);
        let id = std::str::from_utf8(parts.next()?).ok().filter(|id| !id.is_empty())?.to_owned();
        let Some(recipient) = parts.next() else { return Some(Self::Alarm(id)) };
        let recipient = match recipient.split_first()? {
            (b'u', user) => Recipient::User(std::str::from_utf8(user).ok()?.into()),
            (b'p', part) => return Some(Self::Part(id, u32::from_be_bytes(part.try_into().ok()?))),
            (b'c', client) => {
                Recipient::Client(NonZeroU64::new(u64::from_be_bytes(client.try_into().ok()?))?)
            }
            _ => return None,
        };
        Some(Self::Recipient(id, recipient))
    }
}

/// The key of an alarm.
pub(super) fn alarm_key(id: &str) -> Bytes {
    Bytes::copy_from_slice(id.as_bytes())
}

/// The key of some of the users of an alarm.
pub(super) fn part_key(id: &str, part: u32) -> Bytes {
    [id.as_bytes(), b"\0p", &part.to_be_bytes()].concat().into()
}

/// The key of a recipient; `None` if it is not stored.
pub(super) fn recipient_key(id: &str, recipient: &Recipient) -> Option<Bytes> {
    let number;
    let (kind, name) = match recipient {
        Recipient::User(user) => (b"\0u", user.as_bytes()),
        Recipient::Client(client) => {
            number = client.get().to_be_bytes();
            (b"\0c", &number[..])
        }
        Recipient::Session(_) => return None,
    };
    Some([id.as_bytes(), kind, name].concat().into())
}

impl Ledger {
    /// The record of the alarm, without the progress of its recipients.
    pub(super) fn record(&self, id: &str, is_withdrawn: bool) -> Record {
        let is_split = self.parts > 0;
        let mut value = self.beginning(id, is_withdrawn, is_split);
        if self.is_emptied {
            let ProgressCounts { waiting, sent, received, acknowledged } = self.counts;
            for count in [waiting, sent, received, acknowledged, self.departed, self.unlisted] {
                value.number(u64::try_from(count).unwrap_or(u64::MAX));
            }
        } else if is_split {
            value.number(self.parts.into());
        } else if !self.is_for_all {
            self.users().for_each(|user| value.bytes(user.as_bytes()));
        }
        self.record_at(alarm_key(id), value)
    }

    /// The value of the record without users.
    pub(super) fn head(&self, id: &str, is_withdrawn: bool) -> Bytes {
        let mut value = self.beginning(id, is_withdrawn, true);
        value.number(self.parts.into());
        value.finish()
    }

    fn beginning(&self, id: &str, is_withdrawn: bool, is_split: bool) -> ValueWriter {
        let mut value = ValueWriter::new(VERSION);
        let flags = [
            (is_withdrawn, WITHDRAWN),
            (self.is_for_all, FOR_ALL),
            (self.is_emptied, EMPTIED),
            (is_split && !self.is_emptied, SPLIT),
        ];
        value.byte(flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag).sum());
        value.bytes(&Codec::Protobuf.encode_frame(&self.frame(id, self.ttl)));
        value
    }

    /// Divides the users into parts if they are too many for one record, and returns the records of the parts.
    pub(super) fn split(&mut self, id: &str) -> Vec<Record> {
        let users = self.users().fold(0_usize, |sum, user| sum.saturating_add(user.len()).saturating_add(8));
        if self.is_for_all || users <= PART_BYTES {
            return Vec::new();
        }
        let (mut records, mut value, mut bytes) = (Vec::new(), ValueWriter::new(VERSION), 0_usize);
        let mut users = self.users().peekable();
        while let Some(user) = users.next() {
            value.bytes(user.as_bytes());
            bytes = bytes.saturating_add(user.len()).saturating_add(8);
            if bytes >= PART_BYTES || users.peek().is_none() {
                let full = std::mem::replace(&mut value, ValueWriter::new(VERSION));
                let part = u32::try_from(records.len()).unwrap_or(u32::MAX);
                records.push(self.record_at(part_key(id, part), full));
                bytes = 0;
            }
        }
        drop(users);
        self.parts = u32::try_from(records.len()).unwrap_or(u32::MAX);
        records
    }

    /// Adds the users in a part. `None` if it is damaged.
    pub(super) fn add_part(&mut self, value: &Bytes) -> Option<()> {
        let mut value = ValueReader::new(value, VERSION)?;
        while !value.is_at_end() {
            self.add(&Recipient::User(value.text()?.into()));
        }
        Some(())
    }

    fn record_at(&self, key: Bytes, value: ValueWriter) -> Record {
        Record { kind: RecordKind::Alarm, key, value: value.finish(), expires: self.record_expiry() }
    }

    /// The record of a recipient; `None` if it is not stored.
    pub(super) fn recipient_record(
        &self,
        id: &str,
        recipient: &Recipient,
        progress: AlarmProgress,
        since: SystemTime,
    ) -> Option<Record> {
        let mut value = ValueWriter::new(VERSION);
        value.byte(progress.number());
        value.number(milliseconds(since));
        Some(Record {
            kind: RecordKind::Alarm,
            key: recipient_key(id, recipient)?,
            value: value.finish(),
            expires: self.record_expiry(),
        })
    }

    fn record_expiry(&self) -> SystemTime {
        self.raised.checked_add(self.ttl.saturating_add(STORED)).unwrap_or(self.raised)
    }

    /// The ledger in a record, without the progress of its recipients. `None` if the record is damaged.
    pub(super) fn restored(id: &str, value: &Bytes, (now, wall): (Instant, SystemTime)) -> Option<Self> {
        let mut value = ValueReader::new(value, VERSION)?;
        let flags = value.byte()?;
        let frame = value.bytes()?;
        let frame = Codec::Protobuf.decode_frames(&frame).next()?.ok()?;
        let ServerFrame::Push(Push::Alarm(frame)) = frame else { return None };
        let Frame { id: own, channel, payload, time, ttl, .. } = *frame;
        if own != id {
            return None;
        }
        let raised = time_of(time)?;
        let mut ledger = Self::new(0, channel, payload, now, ttl);
        ledger.raised = raised;
        // The age by the wall clock, which goes on while no process runs.
        ledger.ends = match raised.checked_add(ttl)?.duration_since(wall) {
            Ok(left) => now.checked_add(left.min(ttl))?,
            Err(past) => now.checked_sub(past.duration()).unwrap_or(now),
        };
        ledger.is_withdrawn = flags & WITHDRAWN != 0;
        ledger.is_for_all = flags & FOR_ALL != 0;
        if flags & EMPTIED != 0 {
            let mut count = || usize::try_from(value.number()?).ok();
            ledger.counts = ProgressCounts {
                waiting: count()?,
                sent: count()?,
                received: count()?,
                acknowledged: count()?,
            };
            (ledger.departed, ledger.unlisted) = (count()?, count()?);
            ledger.is_emptied = true;
        } else if flags & SPLIT != 0 {
            ledger.parts = value.number()?.try_into().ok()?;
        } else if !ledger.is_for_all {
            while !value.is_at_end() {
                ledger.add(&Recipient::User(value.text()?.into()));
            }
        }
        Some(ledger)
    }
}

impl StoredProgress {
    /// `None` if the record is damaged.
    pub(super) fn read(value: &Bytes) -> Option<Self> {
        let mut value = ValueReader::new(value, VERSION)?;
        let progress = AlarmProgress::of_number(value.byte()?)?;
        Some(Self { progress, since: time_of(value.number()?)? })
    }
}

pub(super) fn time_of(milliseconds: u64) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_millis(milliseconds))
}

/// The version of the records' values.
const VERSION: u8 = 1;

const WITHDRAWN: u8 = 1;
const FOR_ALL: u8 = 2;
/// The recipients are forgotten, and the record has their numbers.
const EMPTIED: u8 = 4;
/// The users are in further records, and the record has their number.
const SPLIT: u8 = 8;

/// The bytes of users from which on a record is full.
const PART_BYTES: usize = 1024 * 1024;

/// The time for which the records are kept after the end of the alarm.
const STORED: Duration = Duration::from_secs(7 * 24 * 3600);
