//! The floors of the disk engine with a sync before each answer: one thread appends what waits to a file, or writes it into the
//! engine's storage, syncs, and answers.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use tokio::sync::oneshot;

use super::bare_fjall::BareFjall;

type Append = (usize, Bytes, oneshot::Sender<()>);

/// The thread. It ends with the last clone.
#[derive(Clone)]
pub(super) struct Appends {
    queue: SyncSender<Append>,
    syncs: Arc<AtomicU64>,
}

impl Appends {
    /// Appends to a file.
    pub(super) fn to_file(folder: &Path) -> Result<Self> {
        let mut file = File::create(folder.join("appends"))?;
        let mut bytes = Vec::new();
        Ok(Self::start(move |records| {
            bytes.clear();
            for (_, record) in records {
                bytes.extend_from_slice(record);
            }
            file.write_all(&bytes)?;
            Ok(file.sync_data()?)
        }))
    }

    /// Writes into the storage of the disk engine.
    pub(super) fn to_fjall(folder: &Path) -> Result<Self> {
        let mut fjall = BareFjall::open(folder)?;
        Ok(Self::start(move |records| fjall.write(records)))
    }

    fn start(mut write: impl FnMut(&[(usize, Bytes)]) -> Result<()> + Send + 'static) -> Self {
        let (queue, appends): (_, Receiver<Append>) = sync_channel(QUEUED);
        let syncs = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&syncs);
        thread::spawn(move || {
            let (mut records, mut answers) = (Vec::new(), Vec::new());
            while let Ok(first) = appends.recv() {
                for (channel, record, answer) in std::iter::once(first).chain(appends.try_iter()) {
                    records.push((channel, record));
                    answers.push(answer);
                }
                if write(&records).is_err() {
                    // The publishers notice by their missing answers.
                    return;
                }
                counted.fetch_add(1, Ordering::Relaxed);
                records.clear();
                // The measurement may be over.
                for answer in answers.drain(..) {
                    let _ = answer.send(());
                }
            }
        });
        Self { queue, syncs }
    }

    pub(super) async fn append(&self, channel: usize, record: Bytes) -> Result<()> {
        let (answer, answered) = oneshot::channel();
        self.queue.try_send((channel, record, answer)).context("the floor has ended, or too much waits")?;
        answered.await.context("the floor can't write")
    }

    pub(super) fn syncs(&self) -> f64 {
        self.syncs.load(Ordering::Relaxed) as f64
    }
}

/// The records that are durable in a second if `batch` of them share each sync, and nobody is answered: the disk's own limit.
pub(super) fn per_second(folder: &Path, batch: f64, record: usize, time: Duration) -> Result<f64> {
    let mut file = File::create(folder.join("batches"))?;
    let (mut due, mut written) = (0.0, 0_usize);
    let begun = Instant::now();
    while begun.elapsed() < time {
        // Whole records, which are `batch` on average.
        due += batch;
        let records = due as usize - written;
        file.write_all(&vec![b'x'; record * records])?;
        file.sync_data()?;
        written += records;
    }
    Ok(written as f64 / begun.elapsed().as_secs_f64())
}

/// More than are ever in flight at once.
const QUEUED: usize = 1 << 20;
