//! The engine as a whole, with a clock of the test.

#![allow(clippy::arithmetic_side_effects, reason = "a wrong number fails the test")]

mod backups;
mod crash;
mod damage;
mod directories;
mod figures;
mod full;
mod keys;
mod latency;
mod repair;
mod restart;
mod retention;
mod values;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use wirehub_common::frame::{HistoryPage, Position, Publication};
use wirehub_common::{ChannelName, Payload};
use wirehub_hub::engine::{
    Engine, EngineError, EngineFuture, EnginePublish, Locate, Located, Publications, ReadHistory, Record,
    RecordKind, Records,
};
use wirehub_hub::namespace::History;

use crate::options::Clock;
use crate::record::{ChannelState, Run};
use crate::shared::Target;
use crate::{DiskEngine, DiskError, DiskOptions};

const HISTORY: History = History::new(1000, Duration::from_secs(3600));

/// A data directory and a clock.
struct World {
    folder: tempfile::TempDir,
    options: DiskOptions,
    time: Arc<AtomicU64>,
}

impl World {
    fn new() -> Self {
        let time = Arc::new(AtomicU64::new(1_000_000_000));
        let options = DiskOptions::default().clock(Clock::manual(Arc::clone(&time)));
        Self { folder: tempfile::tempdir().unwrap(), options, time }
    }

    /// In memory if possible, for tests with many directories.
    fn in_memory() -> Self {
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        Self { folder: folder.unwrap(), ..Self::new() }
    }

    fn with(self, change: impl FnOnce(DiskOptions) -> DiskOptions) -> Self {
        Self { options: change(self.options), ..self }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn open(&self) -> Subject {
        Subject::open(&self.path(), self.options.clone()).unwrap()
    }

    fn pass(&self, time: Duration) {
        self.time.fetch_add(time.as_millis() as u64, Ordering::SeqCst);
    }
}

/// An engine, and a record of its deliveries.
struct Subject {
    engine: DiskEngine,
    recorder: Arc<Recorder>,
}

#[derive(Default)]
struct Recorder {
    delivered: Mutex<Vec<Publication>>,
    has_subscribers: AtomicBool,
    /// The next delivery panics.
    panics: AtomicBool,
}

impl Target for Arc<Recorder> {
    fn deliver(&self, publication: Publication, _: &Arc<str>) {
        assert!(!self.panics.swap(false, Ordering::SeqCst), "the test panics");
        self.delivered.lock().push(publication);
    }

    fn is_wanted(&self, _: &ChannelName) -> bool {
        self.has_subscribers.load(Ordering::SeqCst)
    }
}

impl Subject {
    fn open(path: &Path, options: DiskOptions) -> Result<Self, DiskError> {
        let engine = DiskEngine::open(path, options)?;
        let recorder = Arc::new(Recorder::default());
        assert!(engine.shared().target.set(Box::new(Arc::clone(&recorder))).is_ok());
        Ok(Self { engine, recorder })
    }

    fn publishing(
        &self,
        channel: &str,
        text: &str,
        key: &str,
        history: History,
    ) -> EngineFuture<Option<Position>> {
        let mut publish = EnginePublish::new(name(channel), Payload::bytes(text.to_owned()));
        publish.key = key.into();
        publish.history = Some(history);
        self.engine.publish(publish)
    }

    async fn publish(&self, channel: &str, text: &str) -> Position {
        self.publishing(channel, text, "", HISTORY).await.unwrap().unwrap()
    }

    async fn publish_with_key(&self, channel: &str, text: &str, key: &str) -> Position {
        self.publishing(channel, text, key, HISTORY).await.unwrap().unwrap()
    }

    async fn locate(&self, channel: &str, since: Option<Position>) -> Located {
        self.engine.locate(Locate { channel: name(channel), history: HISTORY, since }).await.unwrap()
    }

    async fn try_page(
        &self,
        channel: &str,
        since: Option<Position>,
    ) -> Result<Option<HistoryPage>, EngineError> {
        let channel = name(channel);
        let read = ReadHistory {
            channel,
            history: HISTORY,
            since,
            limit: usize::MAX,
            bytes: usize::MAX,
            reverse: false,
        };
        self.engine.history(read).await
    }

    /// The offsets and texts of a channel's whole history.
    async fn history(&self, channel: &str) -> Vec<(u64, String)> {
        let page = self.try_page(channel, None).await.unwrap().unwrap();
        page.publications.iter().map(|it| (it.offset, text(it))).collect()
    }

    async fn offsets(&self, channel: &str) -> Vec<u64> {
        self.history(channel).await.into_iter().map(|(offset, _)| offset).collect()
    }

    /// Everything in memory is forgotten, so that it is read from the disk.
    async fn forget_memory(&self) {
        self.settle().await;
        self.engine.shared().channels.clear();
    }

    /// Waits until the writer has made every change so far, and has then tidied up for a while.
    async fn settle(&self) {
        for turn in 0..4_u8 {
            let (key, expires) = (vec![turn].into(), std::time::UNIX_EPOCH);
            let record = Record { kind: RecordKind::Call, key, value: Vec::new().into(), expires };
            self.engine.put(record).await.unwrap();
        }
    }

    /// Waits until every channel and value has been visited.
    async fn tidy_up(&self, world: &World) {
        for _ in 0..3 {
            // The rest between two walks.
            world.pass(Duration::from_secs(31));
            self.settle().await;
        }
    }

    fn state(&self, channel: &str) -> Option<ChannelState> {
        let store = self.engine.shared().store().unwrap();
        crate::read::read_state(&store, &name(channel), Path::new("")).unwrap()
    }

    /// The number of publications on the disk, including those that are no longer part of a history.
    fn stored(&self) -> usize {
        let store = self.engine.shared().store().unwrap();
        let entries = store.prefix(crate::store::Space::Publications, &[]);
        let runs = entries.map(|entry| entry.unwrap());
        runs.map(|(key, value)| Run::open(&key, &value).unwrap().heads().count()).sum()
    }

    fn delivered(&self) -> Vec<(u64, String)> {
        self.recorder.delivered.lock().iter().map(|it| (it.offset, text(it))).collect()
    }
}

fn name(channel: &str) -> ChannelName {
    ChannelName::new(channel).unwrap()
}

fn text(publication: &Publication) -> String {
    String::from_utf8(publication.payload.data.to_vec()).unwrap()
}

/// The error of the store within an engine's error.
fn disk_error(error: &EngineError) -> &DiskError {
    std::error::Error::source(error).and_then(|source| source.downcast_ref()).unwrap()
}
