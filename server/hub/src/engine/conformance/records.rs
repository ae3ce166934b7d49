//! The promises of `Records`.

use std::slice;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::future::join_all;

use crate::engine::{Engine, Record, RecordKind, Records};

/// Checks the promises of [`Records`]. `make` returns the number of nodes that it gets, with one new store each time; `count` is
/// that number, 1 for an engine of one hub.
///
/// # Panics
/// The engine breaks a promise, or fails.
pub async fn check_records<E: Engine>(make: impl AsyncFn(usize) -> Vec<E>, count: usize) {
    changes_of_a_key_keep_their_order_and_every_node_loads_them(&make(count).await).await;
    any_key_and_value_is_kept_and_kinds_are_apart(&make(count).await).await;
    an_expired_record_is_not_loaded(&make(count).await).await;
}

async fn changes_of_a_key_keep_their_order_and_every_node_loads_them<E: Engine>(nodes: &[E]) {
    begin(nodes).await;
    let store = records(&nodes[0]);
    let mut answers = Vec::new();
    for round in 0..20_u8 {
        for key in ["b", "a", "c"] {
            answers.push(store.put(record(key, &[round])));
        }
        answers.push(store.remove(RecordKind::Alarm, Bytes::from_static(b"c")));
    }
    answers.push(store.remove(RecordKind::Alarm, Bytes::from_static(b"never there")));
    for answer in join_all(answers).await {
        answer.expect("the engine works");
    }
    for node in nodes {
        let loaded = load(node, RecordKind::Alarm).await;
        assert_eq!(loaded, [record("a", &[19]), record("b", &[19])], "the last change of each key, by key");
    }
}

async fn any_key_and_value_is_kept_and_kinds_are_apart<E: Engine>(nodes: &[E]) {
    begin(nodes).await;
    let store = records(&nodes[0]);
    let all_bytes: Vec<u8> = (0..=255).collect();
    let large = vec![7; 1 << 20];
    let mut expected = vec![
        Record { key: all_bytes.clone().into(), ..record("", b"") },
        record("empty", b""),
        record("large", &large),
        record("value", &all_bytes),
    ];
    expected.sort_by(|one, other| one.key.cmp(&other.key));
    let call = Record { kind: RecordKind::Call, ..record("value", b"of a call") };
    for record in expected.iter().chain([&call]) {
        store.put(record.clone()).await.expect("the engine works");
    }
    for node in nodes {
        assert_eq!(load(node, RecordKind::Alarm).await, expected, "as they were put");
        assert_eq!(load(node, RecordKind::Call).await, slice::from_ref(&call), "a key of another kind");
    }
}

async fn an_expired_record_is_not_loaded<E: Engine>(nodes: &[E]) {
    begin(nodes).await;
    let store = records(&nodes[0]);
    let past = Record { expires: UNIX_EPOCH + Duration::from_secs(1), ..record("past", b"") };
    for record in [past, record("present", b"")] {
        store.put(record).await.expect("the engine works");
    }
    for node in nodes {
        assert_eq!(load(node, RecordKind::Alarm).await, [record("present", b"")], "one has expired");
    }
}

/// A hub loads each kind when it starts.
async fn begin<E: Engine>(nodes: &[E]) {
    for node in nodes {
        for kind in RecordKind::ALL {
            assert_eq!(load(node, kind).await, [], "a new store is empty");
        }
    }
}

fn records<E: Engine>(node: &E) -> &dyn Records {
    node.records().expect("the engine has records")
}

async fn load<E: Engine>(node: &E, kind: RecordKind) -> Vec<Record> {
    records(node).load(kind).await.expect("the engine works")
}

/// An alarm's record that expires in the year 3000.
fn record(key: &str, value: &[u8]) -> Record {
    Record {
        kind: RecordKind::Alarm,
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: Bytes::copy_from_slice(value),
        expires: UNIX_EPOCH + Duration::from_secs(32_503_680_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::MemoryFleet;

    #[tokio::test(start_paused = true)]
    async fn a_fleet_in_memory_keeps_its_promises() {
        let nodes = async |count| {
            let fleet = MemoryFleet::new();
            (0..count).map(|_| fleet.node()).collect()
        };
        check_records(nodes, 2).await;
    }
}
