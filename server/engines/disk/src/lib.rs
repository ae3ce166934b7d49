//! An engine for `wirehub-hub` that keeps everything on the disk: the history of channels, offsets and epochs, and the keys of
//! publishes.
//!
//! ```no_run
//! use wirehub_disk::{DiskEngine, DiskOptions};
//! use wirehub_hub::Hub;
//!
//! # fn serve() -> Result<(), wirehub_disk::DiskError> {
//! let engine = DiskEngine::open("/var/lib/wirehub", DiskOptions::default())?;
//! let hub = Hub::builder().engine(engine).build();
//! # drop(hub);
//! # Ok(())
//! # }
//! ```
//!
//! One thread writes. It takes every publish that waits, writes them as one batch, synchronises the batch to the disk once (see
//! [`Durability`]), delivers the publications, and answers. Nothing waits for the disk on the threads of tokio.

mod backups;
mod batch;
mod channel_in_batch;
mod channels;
mod check;
mod clock;
mod copy;
mod directory;
mod engine;
mod error;
mod figures;
mod journal;
mod keys;
mod layout;
mod notice;
mod open;
mod options;
mod queue;
mod read;
mod record;
mod shared;
mod store;
mod sync;
mod tidy;
mod view;
mod writer;

#[cfg(test)]
mod tests;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

pub use self::check::{CheckReport, LostPublications, Problem, RepairReport, check, repair};
pub use self::engine::DiskEngine;
pub use self::error::{DiskError, DiskErrorKind};
pub use self::options::{DiskOptions, Durability};

/// A number that was never used before. Without entropy of the system, that of the standard library is used.
fn random() -> u64 {
    let mut bytes = [0; 8];
    match getrandom::fill(&mut bytes) {
        Ok(()) => u64::from_ne_bytes(bytes),
        Err(_) => RandomState::new().hash_one(clock::unix_milliseconds()),
    }
}
