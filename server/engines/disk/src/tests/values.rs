//! Durable values of other concerns.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::*;

fn record(kind: RecordKind, key: &'static str, value: &'static str, expires: SystemTime) -> Record {
    Record {
        kind,
        key: Bytes::from_static(key.as_bytes()),
        value: Bytes::from_static(value.as_bytes()),
        expires,
    }
}

#[tokio::test]
async fn values_outlive_a_restart_until_they_expire_or_are_removed() {
    let world = World::new();
    let first = world.open();
    let later = UNIX_EPOCH + Duration::from_millis(first.engine.shared().clock.now() + 10_000);
    let last = later + Duration::from_secs(3600);
    for (key, value, expires) in [("b", "2", later), ("c", "3", last), ("a", "1", later)] {
        first.engine.put(record(RecordKind::Alarm, key, value, expires)).await.unwrap();
    }
    first.engine.put(record(RecordKind::Call, "a", "4", later)).await.unwrap();
    // Without a wait: the order is that of the calls.
    let changes = [
        first.engine.put(record(RecordKind::Alarm, "a", "5", last)),
        first.engine.put(record(RecordKind::Alarm, "a", "6", later)),
        first.engine.remove(RecordKind::Alarm, Bytes::from_static(b"b")),
    ];
    for change in changes {
        change.await.unwrap();
    }
    drop(first);

    let second = world.open();
    let EngineFuture::Now(Ok(alarms)) = second.engine.load(RecordKind::Alarm) else {
        panic!("they are ready")
    };
    let expected = [record(RecordKind::Alarm, "a", "6", later), record(RecordKind::Alarm, "c", "3", last)];
    assert_eq!(alarms, expected);
    assert_eq!(second.engine.load(RecordKind::Call).await.unwrap().len(), 1);
    world.pass(Duration::from_secs(20));
    assert_eq!(second.engine.load(RecordKind::Alarm).await.unwrap(), expected[1..], "one has expired");
    second.tidy_up(&world).await;
    let store = second.engine.shared().store().unwrap();
    let left = store.prefix(crate::store::Space::Values, &[RecordKind::Alarm.number()]).count();
    assert_eq!(left, 1, "and is gone from the disk");
}

#[tokio::test]
async fn a_stop_is_answered_when_everything_is_on_the_disk() {
    let world = World::new();
    let subject = world.open();
    let answers: Vec<_> =
        (0..50).map(|number| subject.publishing("a", &number.to_string(), "", HISTORY)).collect();
    subject.engine.stop().await.unwrap();
    for answer in answers {
        answer.await.unwrap();
    }
    subject.engine.stop().await.unwrap();
    let late = subject.publishing("a", "late", "", HISTORY).await.unwrap_err();
    assert!(late.is_temporary(), "{late}");
    // Another process could open it now.
    assert_eq!(world.open().offsets("a").await, (1..=50).collect::<Vec<_>>());
}
