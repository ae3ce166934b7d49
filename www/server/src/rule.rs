//! The rule that raises an alarm when a reading crosses a threshold.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use wirehub_common::contract::Message as _;
use wirehub_demo_contract::{
    AlarmMessage, Alarms, MeterSource, Rule, RuleRequest, Rules, Series, SetRule, Severity, codes,
};
use wirehub_server::alarm::Alarm;
use wirehub_server::call::{CallContext, CallError};
use wirehub_server::namespace::{Access, History, Namespace};
use wirehub_server::{Builder, Hub};

use crate::throttle::Throttle;
use crate::{meters, name, now_whole, out_of_bounds, user};

/// The time between two alarms of the rule.
const PAUSE: Duration = Duration::from_secs(30);

/// How long the rule is kept.
const KEPT: Duration = Duration::from_secs(365 * 24 * 3600);

/// The rule in force. Clones are the same.
#[derive(Clone)]
pub(crate) struct Ruling(Arc<Mutex<InForce>>, Arc<Throttle<()>>);

/// See [`Ruling`].
struct InForce {
    rule: Rule,
    watch: Watch,
}

/// Adds the rule to a hub.
pub(crate) fn add(hub: Builder, ruling: Ruling) -> Builder {
    let rules = Namespace::open().publish(Access::TokenOnly).history(History::new(1, KEPT));
    hub.namespace("rules", rules).state(ruling).call(SetRule, set)
}

async fn set(context: CallContext, request: RuleRequest) -> Result<Rule, CallError> {
    user(&context)?;
    let RuleRequest { on, source, series, above, severity } = request;
    let Some((_, known)) = find(&source, &series) else {
        let words = "there is no such series: `demo.meters` lists them";
        return Err(CallError::application::<{ codes::NO_SUCH_SERIES }>(words));
    };
    let most = known.most.unwrap_or(MOST);
    if !(above > 0.0 && above <= most) {
        return Err(out_of_bounds(format!(
            "the threshold is out of bounds: use more than 0 and at most {most}"
        )));
    }
    let ruling = context.state::<Ruling>()?;
    ruling.1.check(&(), "the rule was changed a moment ago: wait a few seconds")?;
    let rule = Rule { on, source, series, above, below: above * 0.9, severity, name: name(&context) };
    // It is in force when it is stored, so that a restart does not change it.
    let stored = context.hub().publish(&Rules::new(), &rule).map_err(CallError::internal)?;
    stored.await.map_err(CallError::internal)?;
    ruling.put(rule.clone());
    Ok(rule)
}

/// The largest threshold of a series without a largest value.
const MOST: f64 = 1e15;

fn find(source: &str, series: &str) -> Option<(MeterSource, Series)> {
    let source = meters::describe().sources.into_iter().find(|it| it.name == source)?;
    let series = source.series.iter().find(|it| it.name == series)?.clone();
    Some((source, series))
}

impl fmt::Debug for Ruling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ruling").field("rule", &self.0.lock().rule).finish_non_exhaustive()
    }
}

impl Ruling {
    /// The rule of a new server: it is off.
    pub(crate) fn new() -> Self {
        let rule = Rule {
            on: false,
            source: "machine".into(),
            series: "cpu".into(),
            above: 90.0,
            below: 81.0,
            severity: Severity::Warning,
            name: String::new(),
        };
        let in_force = InForce { rule, watch: Watch::default() };
        Self(Arc::new(Mutex::new(in_force)), Arc::new(Throttle::new(Duration::from_secs(1), 5)))
    }

    fn put(&self, rule: Rule) {
        *self.0.lock() = InForce { rule, watch: Watch::default() };
    }

    /// Reads the rule of before the start, and publishes the first one if there is none.
    pub(crate) async fn restore(&self, hub: &Hub) {
        let channel = Rules::new();
        let page = match hub.history(channel.name(), None, 1, true).await {
            Ok(page) => page,
            Err(error) => return tracing::warn!("the rule of before is not known: {error}"),
        };
        let last = page.and_then(|page| page.publications.into_iter().next());
        match last.and_then(|last| Rule::from_payload(&last.payload).ok()) {
            Some(rule) => self.put(rule),
            None => {
                let rule = self.0.lock().rule.clone();
                drop(hub.publish(&channel, &rule));
            }
        }
    }

    /// Compares the newest readings of a source with the rule. Returns the message of an alarm to raise.
    pub(crate) fn judge(&self, source: &MeterSource, values: &[f32], now: Instant) -> Option<AlarmMessage> {
        let mut in_force = self.0.lock();
        let InForce { rule, watch } = &mut *in_force;
        if !rule.on || rule.source != source.name {
            return None;
        }
        let place = source.series.iter().position(|it| it.name == rule.series)?;
        let (series, value) = (source.series.get(place)?, f64::from(*values.get(place)?));
        if !watch.crosses(value, rule.above, rule.below, now) {
            return None;
        }
        let text = format!(
            "{}: {} is above {}",
            series.title,
            amount(value, &series.unit),
            amount(rule.above, &series.unit)
        );
        Some(AlarmMessage {
            severity: rule.severity,
            text,
            from: None,
            name: "rule".into(),
            personal: false,
            raised: now_whole(),
        })
    }
}

/// Raises the alarm of the rule.
pub(crate) async fn raise(hub: &Hub, message: &AlarmMessage) {
    let raised = match Alarm::new(&Alarms::new(), message) {
        Ok(alarm) => hub.raise(alarm.ttl(Duration::from_secs(300))).await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = raised {
        tracing::warn!("the alarm of the rule is not raised: {error}");
    }
}

/// A value as people read it: `93 %`, `1.4 GB`.
fn amount(value: f64, unit: &str) -> String {
    let Some(rest) = unit.strip_prefix("bytes") else {
        let space = if unit.is_empty() || unit.starts_with('/') { "" } else { " " };
        let text = if value < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") };
        return format!("{}{space}{unit}", text.trim_end_matches(".0"));
    };
    let mut value = value;
    let mut prefix = "";
    for larger in ["k", "M", "G", "T"] {
        if value < 1000.0 {
            break;
        }
        (value, prefix) = (value / 1000.0, larger);
    }
    format!("{value:.1} {prefix}B{rest}")
}

/// A threshold with two sides, so that a value near it raises one alarm and not many.
#[derive(Debug, Default)]
struct Watch {
    is_above: bool,
    last: Option<Instant>,
}

impl Watch {
    fn crosses(&mut self, value: f64, above: f64, below: f64, now: Instant) -> bool {
        if value < below {
            self.is_above = false;
        }
        let is_pausing = self.last.is_some_and(|last| now.saturating_duration_since(last) < PAUSE);
        // NaN is neither above nor below.
        if self.is_above || is_pausing || value <= above || value.is_nan() {
            return false;
        }
        self.is_above = true;
        self.last = Some(now);
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_value_near_the_threshold_raises_one_alarm() {
        let (mut watch, start) = (Watch::default(), Instant::now());
        let mut crosses =
            |value, seconds| watch.crosses(value, 90.0, 81.0, start + Duration::from_secs(seconds));
        assert!(!crosses(90.0, 0), "the threshold itself is not above it");
        assert!(crosses(91.0, 0));
        assert!(!crosses(99.0, 60), "it has stayed above");
        assert!(!crosses(85.0, 61) && !crosses(95.0, 62), "it was not below the other side");
        assert!(!crosses(10.0, 63) && crosses(95.0, 64));
    }

    #[tokio::test(start_paused = true)]
    async fn between_two_alarms_is_a_pause() {
        let (mut watch, start) = (Watch::default(), Instant::now());
        let mut crosses =
            |value, seconds| watch.crosses(value, 90.0, 81.0, start + Duration::from_secs(seconds));
        assert!(crosses(91.0, 0));
        assert!(!crosses(10.0, 1) && !crosses(95.0, 29));
        assert!(crosses(95.0, 30), "it is still above at the end of the pause");
        assert!(!crosses(f64::NAN, 70), "a value that could not be read is not above");
    }

    #[tokio::test(start_paused = true)]
    async fn a_rule_looks_at_one_series_of_one_source() {
        let ruling = Ruling::new();
        let machine = meters::describe().sources.into_iter().find(|it| it.name == "machine").unwrap();
        let place = machine.series.iter().position(|it| it.name == "cpu").unwrap();
        let mut values = vec![0.0; machine.series.len()];
        values[place] = 95.0;
        assert_eq!(ruling.judge(&machine, &values, Instant::now()), None, "it is off");
        let rule = Rule { on: true, ..ruling.0.lock().rule.clone() };
        ruling.put(rule);
        let other = MeterSource { name: "server".into(), ..machine.clone() };
        assert_eq!(ruling.judge(&other, &values, Instant::now()), None);
        assert_eq!(ruling.judge(&machine, &[], Instant::now()), None);
        let alarm = ruling.judge(&machine, &values, Instant::now()).unwrap();
        assert_eq!(alarm.text, "CPU: 95 % is above 90 %");
        assert_eq!(ruling.judge(&machine, &values, Instant::now()), None, "once");
    }

    #[test]
    fn amounts_are_readable() {
        assert_eq!(amount(1_400_000_000.0, "bytes"), "1.4 GB");
        assert_eq!(amount(12.0, "bytes/s"), "12.0 B/s");
        assert_eq!(amount(61.0, "/s"), "61/s");
        assert_eq!(amount(3.0, ""), "3");
        assert_eq!(amount(1.5, "ms"), "1.5 ms");
    }
}
