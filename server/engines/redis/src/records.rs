//! Values that outlive the nodes.
//!
//! The records of a kind are one hash by their keys; each value begins with the time at which it expires.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use redis::Value;
use wirehub_hub::engine::{EngineError, EngineFuture, Record, RecordKind, Records};

use crate::command::{Argument, Command};
use crate::engine::{RedisEngine, Shared};
use crate::error::Error;
use crate::keys::line_of;
use crate::message::bytes;
use crate::partition::Partition;
use crate::queue::{answer_of, strange};

impl Records for RedisEngine {
    fn put(&self, record: Record) -> EngineFuture<()> {
        let Record { kind, key, value, expires } = record;
        let line = line_of(&key);
        let expires = expires.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let value = [expires.to_string().as_bytes(), b" ", &value].concat();
        let command = Command::plain("HSET").arg(self.shared.records_key(kind)).arg(key).arg(&value[..]);
        answer_of(self.shared.queues.push(Partition::FLEET, line, true, command), |_| Some(()))
    }

    fn remove(&self, kind: RecordKind, key: Bytes) -> EngineFuture<()> {
        let line = line_of(&key);
        let command = Command::plain("HDEL").arg(self.shared.records_key(kind)).arg(key);
        answer_of(self.shared.queues.push(Partition::FLEET, line, true, command), |_| Some(()))
    }

    fn load(&self, kind: RecordKind) -> EngineFuture<Vec<Record>> {
        let shared = std::sync::Arc::clone(&self.shared);
        EngineFuture::Later(Box::pin(async move {
            let mut records = shared.load(kind).await.map_err(EngineError::from)?;
            records.sort_unstable_by(|one, other| one.key.cmp(&other.key));
            // A scan may return a key twice.
            records.dedup_by(|one, other| one.key == other.key);
            Ok(records)
        }))
    }
}

impl Shared {
    fn records_key(&self, kind: RecordKind) -> impl Argument + use<'_> {
        self.keys.key(Partition::FLEET, "f:r", kind.number())
    }

    async fn load(&self, kind: RecordKind) -> Result<Vec<Record>, Error> {
        let now = SystemTime::now();
        let (mut records, mut expired) = (Vec::new(), Vec::new());
        let mut cursor = Bytes::from_static(b"0");
        loop {
            let scan =
                Command::plain("HSCAN").arg(self.records_key(kind)).arg(cursor).arg("COUNT").arg("256");
            let Value::Array(answer) = self.ask(scan).await? else { return Err(strange()) };
            let [next, Value::Array(entries)] = &answer[..] else { return Err(strange()) };
            for entry in entries.chunks_exact(2) {
                let [key, value] = entry else { continue };
                let key = Bytes::copy_from_slice(bytes(key).ok_or_else(strange)?);
                let (expires, value) = read(bytes(value).ok_or_else(strange)?).ok_or_else(strange)?;
                if expires <= now {
                    expired.push(key);
                } else {
                    records.push(Record { kind, key, value, expires });
                }
            }
            cursor = Bytes::copy_from_slice(bytes(next).ok_or_else(strange)?);
            if *cursor == *b"0" {
                break;
            }
        }
        for keys in expired.chunks(256) {
            self.ask(Command::plain("HDEL").arg(self.records_key(kind)).args(keys)).await?;
        }
        Ok(records)
    }
}

fn read(stored: &[u8]) -> Option<(SystemTime, Bytes)> {
    let end = stored.iter().position(|byte| *byte == b' ')?;
    let (expires, value) = stored.split_at_checked(end)?;
    let expires = std::str::from_utf8(expires).ok()?.parse().ok()?;
    let expires = UNIX_EPOCH.checked_add(Duration::from_millis(expires))?;
    Some((expires, Bytes::copy_from_slice(value.get(1..)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_its_expiry_before_it() {
        let expires = UNIX_EPOCH + Duration::from_millis(1234);
        assert_eq!(read(b"1234 a b"), Some((expires, Bytes::from_static(b"a b"))));
        assert_eq!(read(b"1234 "), Some((expires, Bytes::new())));
        for damaged in [&b""[..], b"1234", b" x", b"y x"] {
            assert_eq!(read(damaged), None);
        }
    }
}
