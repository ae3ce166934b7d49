//! Alarms: shown once, however often the server sends them.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use wirehub_common::frame::{Acknowledge, Alarm, Request};

use super::Core;
use crate::Event;

/// The alarms that the application has been told of.
#[derive(Debug, Default)]
pub(super) struct Alarms(Vec<String>);

impl Core {
    pub(super) fn handle_alarm(&mut self, alarm: Box<Alarm>) {
        let told = self.alarms.0.iter().position(|id| *id == alarm.id);
        if alarm.withdrawn {
            // Of what it was not told the application need not hear.
            if let Some(index) = told {
                self.alarms.0.remove(index);
                self.events.push(Event::Alarm(alarm));
            }
            return;
        }
        let receipt = Acknowledge { alarm: alarm.id.clone(), received_only: true };
        self.send_transient(0, Request::Acknowledge(receipt));
        if told.is_none() {
            if self.alarms.0.len() >= MAX_TOLD {
                self.alarms.0.remove(0);
            }
            self.alarms.0.push(alarm.id.clone());
            self.events.push(Event::Alarm(alarm));
        }
    }
}

/// How many alarms are remembered; one beyond them may be told again.
const MAX_TOLD: usize = 1024;
