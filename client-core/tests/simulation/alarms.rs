//! The server's alarms.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use wirehub_client_core::Time;
use wirehub_common::code::ErrorCode;
use wirehub_common::frame::{Acknowledge, Alarm, ErrorInfo, Push, ReplyBody, ServerFrame};
use wirehub_common::{ChannelName, Payload};

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    alarms: BTreeMap<u64, Raised>,
    /// How many alarms have been raised.
    raised: u64,
    /// The alarms that a client acknowledged, over all restarts.
    acknowledged: BTreeSet<u64>,
}

#[derive(Debug)]
struct Raised {
    user: String,
    ends: Time,
}

/// The id of an alarm.
pub(crate) fn name_of(alarm: u64) -> String {
    alarm.to_string()
}

/// The alarm with this id.
pub(crate) fn number_of(alarm: &str) -> u64 {
    alarm.parse().unwrap()
}

impl Ledger {
    /// The server forgets everything.
    pub(crate) fn clear(&mut self) {
        self.alarms.clear();
    }

    /// Raises an alarm for a user; returns the frames for the user's sessions.
    pub(crate) fn raise(&mut self, now: Time, user: &str, ttl: Duration) -> ServerFrame {
        self.raised += 1;
        self.alarms.insert(self.raised, Raised { user: user.into(), ends: now.after(ttl) });
        push(self.raised, Some(ttl))
    }

    /// The frames for a new session of the user.
    pub(crate) fn greet(&self, now: Time, user: &str) -> Vec<ServerFrame> {
        let active = self.alarms.iter().filter(|(_, alarm)| alarm.user == user && now < alarm.ends);
        let frame = |(&number, alarm): (&u64, &Raised)| {
            push(number, (!self.acknowledged.contains(&number)).then(|| alarm.ends.since(now)))
        };
        active.map(frame).collect()
    }

    pub(crate) fn acknowledge(
        &mut self,
        now: Time,
        user: &str,
        Acknowledge { alarm, received_only }: &Acknowledge,
    ) -> Result<ReplyBody, ErrorInfo> {
        let number = number_of(alarm);
        if !self.is_active(now, user, number) {
            return Err(ErrorInfo::from_code(ErrorCode::UNKNOWN_ALARM));
        }
        if !received_only {
            self.acknowledged.insert(number);
        }
        Ok(ReplyBody::Acknowledged)
    }

    /// Whether the user has this alarm and it has not expired.
    pub(crate) fn is_active(&self, now: Time, user: &str, number: u64) -> bool {
        self.alarms.get(&number).is_some_and(|alarm| alarm.user == user && now < alarm.ends)
    }

    pub(crate) fn is_acknowledged(&self, number: u64) -> bool {
        self.acknowledged.contains(&number)
    }
}

/// Without a time it is withdrawn.
fn push(number: u64, ttl: Option<Duration>) -> ServerFrame {
    ServerFrame::Push(Push::Alarm(Box::new(Alarm {
        id: name_of(number),
        channel: ChannelName::new("alarm").unwrap(),
        payload: if ttl.is_some() { Payload::json("1") } else { Payload::default() },
        time: number,
        ttl: ttl.unwrap_or_default(),
        withdrawn: ttl.is_none(),
    })))
}
