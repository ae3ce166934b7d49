//! The keys of publishes: forgotten by age, or early if there are too many.

use std::ops::Bound;

use wirehub_hub::engine::KeyWindow;

use crate::batch::Building;
use crate::clock::milliseconds;
use crate::error::DiskError;
use crate::record::{AgeRecord, ChannelState};
use crate::store::{Entry, Space, corrupt};

/// The span of time in whose steps keys are counted and forgotten, in milliseconds.
const BUCKET: u64 = 15_000;

/// The number of the span that contains a time.
pub(crate) fn bucket_of(time: u64) -> u64 {
    time / BUCKET
}

/// The first span whose keys are still remembered.
pub(crate) fn first_kept(now: u64) -> u64 {
    bucket_of(now.saturating_sub(milliseconds(KeyWindow::KEPT)))
}

/// Forgets the keys of every channel, oldest first.
#[derive(Debug, Default)]
pub(crate) struct KeyAges {
    /// No key is listed up to here.
    from: Vec<u8>,
    /// Nothing is due before that span of time is.
    next_bucket: u64,
}

impl KeyAges {
    pub(crate) fn expire(&mut self, building: &mut Building<'_>) {
        if let Err(error) = self.try_expire(building) {
            tracing::error!(%error, "the keys of publishes can't be forgotten");
        }
    }

    fn try_expire(&mut self, building: &mut Building<'_>) -> Result<(), DiskError> {
        let first_kept = first_kept(building.clock);
        let max = building.shared.options.total_keys;
        if self.next_bucket >= first_kept && building.header.keys <= max {
            return Ok(());
        }
        // More than are added, so that the rest becomes smaller.
        let budget = building.new_keys().saturating_mul(2).saturating_add(EXPIRED);
        let store = building.store;
        let from = self.from.clone();
        let entries = store.scan(Space::Ages, Bound::Excluded(&from), Bound::Unbounded);
        let mut is_first = true;
        for entry in entries.take(budget) {
            let (key, value) = entry?;
            let bucket = AgeRecord::bucket(&key).unwrap_or_default();
            let is_old = bucket < first_kept;
            if !is_old && building.header.keys <= max {
                self.next_bucket = bucket;
                return Ok(());
            }
            is_first = false;
            self.from = key.to_vec();
            if let Some(published) = remove(building, &(key, value))?
                && !is_old
            {
                building.header.forgotten_until = building.header.forgotten_until.max(published);
            }
        }
        if is_first {
            // The list is empty.
            self.next_bucket = bucket_of(building.clock);
        }
        Ok(())
    }
}

/// Forgets the oldest keys of a channel before their time, because it has too many. The keys of this batch stay.
pub(crate) fn forget(
    building: &mut Building<'_>,
    state: &mut ChannelState,
    excess: u64,
) -> Result<(), DiskError> {
    let mut left = excess.min(FORGOTTEN);
    for (bucket, count) in state.keys.0.clone() {
        let prefix = [bucket.to_be_bytes(), state.id.to_be_bytes()].concat();
        let store = building.store;
        let mut removed = 0_u64;
        for entry in store.prefix(Space::Ages, &prefix).take(usize::try_from(left).unwrap_or(usize::MAX)) {
            if let Some(published) = remove(building, &entry?)? {
                building.header.forgotten_until = building.header.forgotten_until.max(published);
            }
            removed = removed.saturating_add(1);
        }
        left = left.saturating_sub(removed);
        let is_present = bucket == bucket_of(building.clock);
        // The list of all keys may have forgotten them earlier.
        state.keys.subtract(bucket, if removed == 0 && !is_present { count } else { removed });
        if left == 0 {
            break;
        }
    }
    Ok(())
}

/// Removes a key and its entry in the list. Returns the time at which it was published, if this batch has not removed it before.
fn remove(building: &mut Building<'_>, (key, value): &Entry) -> Result<Option<u64>, DiskError> {
    if !building.removed_ages.insert(key.to_vec()) {
        return Ok(None);
    }
    let Some(age) = AgeRecord::decode(key, value) else {
        return Err(corrupt(&building.shared.path, "a record in the list of keys is damaged"));
    };
    building.changes.remove(Space::Keys, &age.key);
    building.changes.remove(Space::Ages, key);
    building.header.keys = building.header.keys.saturating_sub(1);
    Ok(Some(age.published))
}

/// The number of keys that are forgotten in a batch at least, if they are due.
const EXPIRED: usize = 256;

/// The maximum number of keys of one channel that a batch forgets early.
const FORGOTTEN: u64 = 2048;
