//! The floor of the disk engine with a sync before each answer: appends to a file, with the same syncs.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

/// The records that are durable in a second if `batch` of them share each sync.
pub(super) fn per_second(folder: &Path, batch: f64, record: usize, time: Duration) -> Result<f64> {
    let mut file = File::create(folder.join("floor"))?;
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
