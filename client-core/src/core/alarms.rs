//! Alarms: shown once, however often the server sends them.

use alloc::string::String;
use alloc::vec::Vec;

use wirehub_common::compose;
use wirehub_common::view::Alarm;

use super::Core;
use crate::Listener;

/// The alarms that the application has been told of.
#[derive(Debug)]
pub(super) struct Alarms(pub(super) Vec<Told>);

#[derive(Debug)]
pub(super) struct Told {
    id: String,
    /// The application has acknowledged it: it need not hear of its end.
    is_acknowledged: bool,
}

impl<L: Listener> Core<L> {
    pub(super) fn note_acknowledged(&mut self, alarm: &str) {
        for told in self.alarms.0.iter_mut().filter(|told| told.id == alarm) {
            told.is_acknowledged = true;
        }
    }

    pub(super) fn handle_alarm(&mut self, alarm: Alarm<'_>) {
        let id = alarm.id();
        let told = self.alarms.0.iter().position(|told| told.id == id);
        if alarm.withdrawn() {
            // Of what it was not told the application need not hear.
            let told = told.map(|index| self.alarms.0.remove(index));
            if told.is_some_and(|told| !told.is_acknowledged) {
                self.listener.alarm(alarm);
            }
            return;
        }
        self.send_transient(compose::acknowledge(0, id, true));
        if told.is_none() {
            if self.alarms.0.len() >= MAX_TOLD {
                self.alarms.0.remove(0);
            }
            self.alarms.0.push(Told { id: id.into(), is_acknowledged: false });
            self.listener.alarm(alarm);
        }
    }
}

/// How many alarms are remembered; one beyond them may be told again.
const MAX_TOLD: usize = 1024;
