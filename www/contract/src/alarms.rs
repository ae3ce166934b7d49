//! Alarms that people raise, and the rule that raises one.

use serde::{Deserialize, Serialize};
use wirehub_common::contract::Schema;

use crate::Person;

/// The severity of an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Schema)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub enum Severity {
    /// Good to know.
    Info,
    /// Needs a look.
    Warning,
    /// Needs somebody now.
    Critical,
}

/// The message of an alarm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Schema)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct AlarmMessage {
    /// The severity.
    pub severity: Severity,
    /// The text.
    pub text: String,
    /// The user id of the one who raised it; absent if the rule did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "typescript", ts(optional))]
    pub from: Option<String>,
    /// The name of the one who raised it, or `rule`.
    pub name: String,
    /// `true` if it is for one person.
    pub personal: bool,
    /// The time, in milliseconds since 1970.
    pub raised: u64,
}

/// See [`Raise`](crate::Raise).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct RaiseRequest {
    /// The severity.
    pub severity: Severity,
    /// The text: 1 to 500 characters.
    pub text: String,
    /// The user id of the recipient. Absent: everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "typescript", ts(optional))]
    pub to: Option<String>,
    /// Its time in seconds: 10 to 3,600. Default: 600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "typescript", ts(optional))]
    pub ttl: Option<u32>,
}

/// An alarm by its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct AlarmId {
    /// The id.
    pub id: String,
}

/// See [`WatchAlarm`](crate::WatchAlarm).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct AlarmProgress {
    /// The recipients that were not connected since.
    pub waiting: u32,
    /// The recipients to which it was sent, without a confirmation so far.
    pub sent: u32,
    /// The recipients that have it, without an acknowledgement so far.
    pub received: u32,
    /// The recipients that acknowledged it.
    pub acknowledged: u32,
    /// `true` if it is over: withdrawn, or its time has passed.
    pub over: bool,
    /// The first 50 recipients; those without an acknowledgement come first.
    pub recipients: Vec<AlarmRecipient>,
}

/// A recipient of an alarm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct AlarmRecipient {
    /// The user id; empty for a session without a user.
    pub user: String,
    /// The person; absent if the server has forgotten the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "typescript", ts(optional))]
    pub person: Option<Person>,
    /// The progress.
    pub progress: Progress,
}

/// The progress of an alarm at a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Schema)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub enum Progress {
    /// Not connected since.
    Waiting,
    /// Sent.
    Sent,
    /// Received by a client.
    Received,
    /// Acknowledged.
    Acknowledged,
}

/// The rule that raises an alarm when a reading of this machine or server crosses a threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Schema)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Rule {
    /// `false`: the rule is off.
    pub on: bool,
    /// The source of the reading, as in [`MeterSource`](crate::MeterSource).
    pub source: String,
    /// The name of the series.
    pub series: String,
    /// The alarm is raised at a reading above this.
    pub above: f64,
    /// It is raised again only after a reading below this, and after a pause of thirty seconds.
    pub below: f64,
    /// The severity of the alarm.
    pub severity: Severity,
    /// The name of the one who set the rule.
    pub name: String,
}

/// See [`SetRule`](crate::SetRule). The server chooses [`Rule::below`]: nine tenths of the threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Schema)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct RuleRequest {
    /// As in [`Rule`].
    pub on: bool,
    /// As in [`Rule`].
    pub source: String,
    /// As in [`Rule`].
    pub series: String,
    /// As in [`Rule`].
    pub above: f64,
    /// As in [`Rule`].
    pub severity: Severity,
}
