//! Tidying up: every channel is visited now and then, and a few in each batch.

use std::ops::Bound;

use crate::batch::Building;
use crate::error::DiskError;
use crate::record::{ChannelState, ValueRecord, channel_name};
use crate::store::{Space, corrupt};

/// A walk over all channels, and then over the durable values, again and again.
#[derive(Debug, Default)]
pub(crate) struct Tidy {
    space: Walk,
    /// The last visited key.
    last: Vec<u8>,
    /// The walk rests until that time of the store's clock.
    rests_until: u64,
    has_found: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Walk {
    #[default]
    Channels,
    Values,
}

impl Tidy {
    /// Visits a few entries.
    pub(crate) fn visit(&mut self, building: &mut Building<'_>, count: usize) {
        if building.now < self.rests_until {
            return;
        }
        if let Err(error) = self.try_visit(building, count) {
            tracing::error!(%error, "a channel can't be tidied up");
        }
    }

    fn try_visit(&mut self, building: &mut Building<'_>, count: usize) -> Result<(), DiskError> {
        let store = building.store;
        let space = match self.space {
            Walk::Channels => Space::Channels,
            Walk::Values => Space::Values,
        };
        let last = self.last.clone();
        let mut visited = 0_usize;
        for entry in store.scan(space, Bound::Excluded(&last), Bound::Unbounded).take(count) {
            let (key, value) = entry?;
            visited = visited.saturating_add(1);
            // Also if it is damaged, so that the walk goes on behind it.
            self.last = key.to_vec();
            let is_due = match self.space {
                Walk::Channels => visit_channel(building, &key, &value)?,
                Walk::Values => visit_value(building, &key, &value)?,
            };
            self.has_found |= is_due;
        }
        if visited < count {
            self.last.clear();
            self.space = match self.space {
                Walk::Channels => Walk::Values,
                Walk::Values => {
                    let rest = if self.has_found { 0 } else { REST };
                    self.rests_until = building.now.saturating_add(rest);
                    self.has_found = false;
                    Walk::Channels
                }
            };
        }
        Ok(())
    }
}

fn visit_channel(building: &mut Building<'_>, key: &[u8], value: &[u8]) -> Result<bool, DiskError> {
    let name = channel_name(key);
    let (Some(name), Some(state)) = (name, ChannelState::decode(key, value)) else {
        return Err(corrupt(&building.shared.path, "the record of a channel is damaged"));
    };
    // Requests do the same work.
    if building.contains(&name) || !is_due(&state, building.now) {
        return Ok(false);
    }
    building.tidy(&name)?;
    Ok(true)
}

/// `true` if something is to be removed.
fn is_due(state: &ChannelState, now: u64) -> bool {
    let is_expired = !state.is_empty() && state.oldest_expires <= now;
    let is_unneeded = state.is_empty() && state.needed_until <= now;
    is_expired || is_unneeded || state.swept < state.oldest
}

fn visit_value(building: &mut Building<'_>, key: &[u8], value: &[u8]) -> Result<bool, DiskError> {
    let Some(record) = ValueRecord::decode(key, value) else {
        return Err(corrupt(&building.shared.path, "a durable value is damaged"));
    };
    // Some time later, because the clock may be ahead.
    let is_due = record.expires.saturating_add(VALUE_GRACE) <= building.now;
    if is_due {
        building.remove_value(key);
    }
    Ok(is_due)
}

/// The rest after a walk that has found nothing, in milliseconds.
const REST: u64 = 30_000;

/// The additional time for which durable values are kept, in milliseconds.
const VALUE_GRACE: u64 = 60_000;
