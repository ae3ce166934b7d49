//! The part of the disk engine's floor that is the storage's: the keys and values of the engine's batches, written by a thread
//! without a hub, queue, histories or deliveries.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

use anyhow::Result;
use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::parts::HISTORY;

pub(super) struct BareFjall {
    database: Database,
    meta: Keyspace,
    channels: Keyspace,
    publications: Keyspace,
    states: BTreeMap<usize, State>,
}

/// A channel.
#[derive(Default)]
struct State {
    newest: u64,
    /// The last offsets of its records, oldest first.
    records: VecDeque<u64>,
}

impl BareFjall {
    pub(super) fn open(folder: &Path) -> Result<Self> {
        // The engine's settings.
        let database = Database::builder(folder.join("fjall")).cache_size(128 << 20).worker_threads(2);
        let database = database.max_journaling_size(128 << 20).open()?;
        let keyspace =
            |name| database.keyspace(name, || KeyspaceCreateOptions::default().max_memtable_size(16 << 20));
        let (meta, channels, publications) =
            (keyspace("meta")?, keyspace("channels")?, keyspace("publications")?);
        Ok(Self { database, meta, channels, publications, states: BTreeMap::new() })
    }

    /// Writes records with the numbers of their channels as one batch, and syncs it.
    pub(super) fn write(&mut self, records: &[(usize, Bytes)]) -> Result<()> {
        let mut by_channel: BTreeMap<usize, (u64, Vec<u8>)> = BTreeMap::new();
        for (channel, record) in records {
            let (count, bytes) = by_channel.entry(*channel).or_default();
            *count += 1;
            bytes.extend_from_slice(&[0; HEAD]);
            bytes.extend_from_slice(record);
        }
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        batch.insert(&self.meta, "header", [0; HEADER]);
        for (channel, (count, bytes)) in by_channel {
            let state = self.states.entry(channel).or_default();
            state.newest += count;
            state.records.push_back(state.newest);
            let key = |last: u64| [(channel as u64).to_be_bytes(), last.to_be_bytes()].concat();
            batch.insert(&self.publications, key(state.newest), bytes);
            while state.records.front().is_some_and(|last| last + HISTORY.size as u64 <= state.newest) {
                let Some(last) = state.records.pop_front() else { break };
                batch.remove(&self.publications, key(last));
            }
            batch.insert(&self.channels, format!("chat:{channel}"), [0; STATE]);
        }
        Ok(batch.commit()?)
    }
}

/// The sizes of the engine's records: what it adds to a payload, its header, and the state of a channel.
const HEAD: usize = 60;
const HEADER: usize = 69;
const STATE: usize = 85;
