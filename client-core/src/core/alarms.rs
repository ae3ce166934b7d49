//! Alarms: the application sees each once, however often the server sends it, and is notified of its end.

use alloc::string::String;
use alloc::vec::Vec;

use wirehub_common::code::ErrorCode;
use wirehub_common::view::Alarm;
use wirehub_common::{ChannelName, compose};

use super::Core;
use crate::{Error, Listener, OutcomeView, Time};

/// The alarms that the application has seen.
#[derive(Debug)]
pub(super) struct Alarms(pub(super) Vec<KnownAlarm>);

#[derive(Debug)]
pub(super) struct KnownAlarm {
    id: String,
    channel: ChannelName,
    /// The time at which it was raised, by the server's clock.
    raised: u64,
    /// The moment at which it expires.
    ends: Time,
    /// The server confirmed an acknowledgement: the application does not need to be notified of the end.
    is_acknowledged: bool,
    /// The commands in flight by which the application acknowledges it. Until they are answered, the application is not
    /// notified of the end.
    commands: Vec<u32>,
    /// The id of the question whether the server still knows the alarm; 0 if there is none.
    question: u32,
}

impl Alarms {
    pub(super) fn deadline(&self) -> Time {
        let mut soonest = Time::NEVER;
        for known in &self.0 {
            if known.is_settled() {
                soonest = soonest.min(known.ends);
            }
        }
        soonest
    }

    /// Whether this id is that of a question about one of the alarms.
    pub(super) fn are_asked_for(&self, question: u32) -> bool {
        self.0.iter().any(|known| known.question == question)
    }

    fn find(&self, is_it: impl Fn(&KnownAlarm) -> bool) -> Option<usize> {
        self.0.iter().position(is_it)
    }
}

impl KnownAlarm {
    /// Whether no acknowledgement is in flight that would decide about the alarm.
    fn is_settled(&self) -> bool {
        self.commands.is_empty()
    }

    /// Whether the application shows it and has not acknowledged it.
    fn is_shown(&self) -> bool {
        !self.is_acknowledged && self.commands.is_empty()
    }
}

impl<L: Listener> Core<L> {
    /// Notes the command by which the application acknowledges an alarm.
    pub(super) fn note_acknowledged(&mut self, alarm: &str, command: u32) {
        if let Some(known) = self.alarms.0.iter_mut().find(|known| known.id == alarm) {
            known.commands.push(command);
        }
    }

    /// Handles the result of a command, if that command acknowledged an alarm.
    pub(super) fn settle_acknowledgement(&mut self, command: u32, result: &Result<OutcomeView<'_>, Error>) {
        let Some(index) = self.alarms.find(|known| known.commands.contains(&command)) else { return };
        let Some(known) = self.alarms.0.get_mut(index) else { return };
        known.commands.retain(|of| *of != command);
        known.is_acknowledged |= result.is_ok();
        if matches!(result, Err(error) if error.code() == ErrorCode::UNKNOWN_ALARM) {
            self.end_alarm(index);
        } else if self.is_up() {
            // A command that was given up may have waited since before this session.
            self.ask_for_alarm(index);
        }
    }

    pub(super) fn handle_alarm(&mut self, now: Time, alarm: Alarm<'_>) {
        let id = alarm.id();
        let known = self.alarms.find(|known| known.id == id);
        if alarm.withdrawn() {
            // The end of an alarm that was never shown is of no interest.
            let Some(index) = known else { return };
            match self.alarms.0.get_mut(index) {
                // The result of the acknowledgement decides whether the application is notified.
                Some(known) if !known.is_settled() => known.ends = now,
                _ => {
                    if self.alarms.0.remove(index).is_shown() {
                        self.listener.alarm(alarm);
                    }
                }
            }
            return;
        }
        self.send_transient(compose::acknowledge(0, id, true));
        // Without a time to live it lasts until it is withdrawn or acknowledged.
        let ends = if alarm.ttl().is_zero() { Time::NEVER } else { now.after(alarm.ttl()) };
        if let Some(known) = known.and_then(|index| self.alarms.0.get_mut(index)) {
            known.ends = ends;
            return;
        }
        // The name was checked together with its frame.
        let Ok(channel) = ChannelName::new(alarm.channel()) else { return };
        if self.alarms.0.len() >= MAX_TOLD {
            self.alarms.0.remove(0);
        }
        self.alarms.0.push(KnownAlarm {
            id: id.into(),
            channel,
            raised: alarm.time(),
            ends,
            is_acknowledged: false,
            commands: Vec::new(),
            question: 0,
        });
        self.listener.alarm(alarm);
    }

    /// Asks, in a new session, whether the server still knows the alarms that the application shows. A server that has
    /// forgotten all of them would never announce their end.
    pub(super) fn ask_for_alarms(&mut self) {
        for index in 0..self.alarms.0.len() {
            self.ask_for_alarm(index);
        }
    }

    fn ask_for_alarm(&mut self, index: usize) {
        let question = self.next_id();
        let Some(known) = self.alarms.0.get_mut(index) else { return };
        known.question = 0;
        if known.is_shown() {
            known.question = question;
            let frame = compose::acknowledge(question, &known.id, true);
            self.send_transient(frame);
        }
    }

    /// Handles the answer to such a question.
    pub(super) fn handle_alarm_answer(&mut self, question: u32, is_known: bool) {
        let Some(index) = self.alarms.find(|known| known.question == question) else { return };
        if let Some(known) = self.alarms.0.get_mut(index) {
            known.question = 0;
            // The end of an alarm that is being acknowledged is known from that answer.
            if !is_known && known.is_shown() {
                self.end_alarm(index);
            }
        }
    }

    pub(super) fn expire_alarms(&mut self, now: Time) {
        while let Some(index) = self.alarms.find(|known| known.is_settled() && known.ends <= now) {
            self.end_alarm(index);
        }
    }

    /// The acknowledgements of the previous user do not count for this one.
    pub(super) fn forget_acknowledged(&mut self) {
        self.alarms.0.retain(KnownAlarm::is_shown);
    }

    fn end_alarm(&mut self, index: usize) {
        let KnownAlarm { id, channel, raised, is_acknowledged, .. } = self.alarms.0.remove(index);
        if !is_acknowledged {
            self.listener.alarm_over(&id, &channel, raised);
        }
    }
}

/// How many alarms are remembered. An alarm beyond them may be shown again, and its end is not announced.
const MAX_TOLD: usize = 1024;
