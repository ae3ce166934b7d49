//! The alarms of an earlier process.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use indexmap::IndexMap;
use tokio::time::Instant;

use super::ledger::Ledger;
use super::stored::{StoredKey, StoredProgress};
use super::{AlarmSurroundings, Alarms, Heard, Ledgers, MAX_ALARMS};
use crate::checked_subtraction::subtract;
use crate::engine::Record;

impl Alarms {
    /// Restores the alarms in these records, and sends them to the connected recipients. Known alarms are merged. `wall` is the present time of the wall
    /// clock. Returns the number of damaged records, which are skipped.
    pub(crate) fn restore(
        &self,
        around: AlarmSurroundings<'_>,
        records: Vec<Record>,
        wall: SystemTime,
        bound: usize,
    ) -> usize {
        let now = Instant::now();
        let (mut restored, damaged) = read(records, (now, wall), bound, self.changes.is_some());
        // The ids of one process have ascending numbers.
        restored.sort_by_cached_key(|id, ledger| {
            (ledger.raised, id.rsplit('.').next().and_then(|number| number.parse::<u64>().ok()), id.clone())
        });
        let mut ledgers = self.ledgers.lock();
        ledgers.bound = bound;
        ledgers.forget_ended(now, |id| restored.contains_key(id));
        for (id, mut ledger) in restored {
            let mut lacking = Vec::new();
            let heard = ledgers.change(&id, |known, room| {
                lacking = known.merge(around.sessions, &id, &ledger, room, now);
            });
            if heard == Heard::Done {
                if let Some(store) = around.store {
                    lacking.into_iter().for_each(|record| drop(store.put(record)));
                }
                continue;
            }
            if ledger.is_active(now) {
                ledgers.send_to_all(around.sessions, &id, &mut ledger, now);
            }
            self.active.fetch_add(usize::from(now < ledger.ends), Ordering::AcqRel);
            ledgers.add(id, ledger);
        }
        ledgers.shrink(around, now);
        drop(ledgers);
        self.tell();
        damaged
    }
}

/// The ledgers in records, and the number of damaged records.
fn read(
    records: Vec<Record>,
    moment: (Instant, SystemTime),
    bound: usize,
    is_shared: bool,
) -> (IndexMap<String, Ledger>, usize) {
    let (mut ledgers, mut damaged, mut bytes) = (IndexMap::<String, Ledger>::new(), 0_usize, 0_usize);
    let (mut progress, mut parts) = (Vec::new(), HashMap::new());
    for Record { key, value, .. } in records {
        let read = match StoredKey::parse(&key) {
            Some(StoredKey::Alarm(id)) => Ledger::restored(&id, &value, moment).map(|mut ledger| {
                ledger.unshared = is_shared.then(Box::default);
                ledgers.insert(id, ledger);
            }),
            Some(StoredKey::Part(id, part)) => {
                parts.insert((id, part), value);
                Some(())
            }
            Some(StoredKey::Recipient(id, recipient)) => {
                StoredProgress::read(&value).map(|stored| progress.push((id, recipient, stored)))
            }
            None => None,
        };
        damaged = damaged.saturating_add(usize::from(read.is_none()));
    }
    ledgers.retain(|id, ledger| {
        // An alarm without one of its parts was not stored as a whole.
        let is_whole = (0..ledger.parts).all(|part| {
            let part = parts.get(&(id.clone(), part));
            part.is_some_and(|part| ledger.add_part(part).is_some())
        });
        damaged = damaged.saturating_add(usize::from(!is_whole));
        bytes = bytes.saturating_add(if is_whole { ledger.bytes } else { 0 });
        is_whole
    });
    // Recipients that were not named are listed in this order.
    progress.sort_by_key(|(_, _, stored)| stored.since);
    for (id, recipient, stored) in progress {
        // Without a ledger the alarm was forgotten, and its recipients' records expire.
        if let Some(ledger) = ledgers.get_mut(&id) {
            let others = subtract(bytes, ledger.bytes);
            ledger.restore(&recipient, &stored, bound.saturating_sub(others));
            bytes = others.saturating_add(ledger.bytes);
        }
    }
    (ledgers, damaged)
}

impl Ledgers {
    /// Forgets restored alarms beyond the bounds: ended ones, the oldest first. Active ones are forgotten only if there are too
    /// many.
    pub(super) fn shrink(&mut self, around: AlarmSurroundings<'_>, now: Instant) {
        loop {
            let are_many = self.by_id.len() > MAX_ALARMS;
            if !are_many && self.bytes <= self.bound {
                return;
            }
            let over = self.by_id.values().position(|ledger| !ledger.is_active(now));
            let Some(removed) = over.or(are_many.then_some(0)) else { return };
            if let Some((id, ledger)) = self.by_id.shift_remove_index(removed) {
                self.bytes = subtract(self.bytes, ledger.bytes);
                self.remove_records(around.store, &id, &ledger);
            }
        }
    }
}
