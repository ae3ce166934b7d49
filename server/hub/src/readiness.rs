//! Readiness checks of a hub.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::Hub;
use crate::panic_guard::guarded;

/// A named check of a resource that the hub needs.
#[derive(Clone)]
pub(crate) struct ReadinessCheck {
    name: Arc<str>,
    check: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
}

impl ReadinessCheck {
    pub(crate) fn new(
        name: impl Into<Arc<str>>,
        check: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), check: Arc::new(check) }
    }
}

impl fmt::Debug for ReadinessCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadinessCheck").field(&self.name).finish()
    }
}

impl Hub {
    /// The names of the failing readiness checks, in their order: those of
    /// [`Builder::readiness_check`](crate::Builder::readiness_check), and `engine`. The reasons are logged.
    pub fn missing(&self) -> Vec<Arc<str>> {
        let engine = ReadinessCheck::new("engine", {
            let hub = self.clone();
            move || {
                if !hub.is_restored() {
                    return Err("its stored alarms and calls are not loaded yet".into());
                }
                if hub.probes().is_silent() {
                    return Err("its deliveries do not arrive".into());
                }
                hub.engine().ready().map_err(|error| error.to_string())
            }
        });
        let live = self.live();
        let needs = live.needs.iter().chain([&engine]);
        let missing = needs.filter_map(|need| {
            let checked = guarded("a readiness check", || (need.check)());
            let why = checked.unwrap_or_else(|_| Err("its check panicked".into())).err();
            self.reported_failures().note(&need.name, why.as_deref());
            why.map(|_| Arc::clone(&need.name))
        });
        missing.collect()
    }
}

/// The failures of readiness checks that are in the log already. A load balancer asks often.
#[derive(Debug, Default)]
pub(crate) struct ReportedFailures(Mutex<HashMap<Arc<str>, String>>);

impl ReportedFailures {
    /// Logs a failure with its reason, or its end, unless that is in the log.
    fn note(&self, name: &Arc<str>, why: Option<&str>) {
        match why {
            _ if !self.is_news(name, why) => {}
            Some(why) => tracing::warn!("not ready: {name} fails: {why}"),
            None => tracing::info!("{name} is ready again"),
        }
    }

    fn is_news(&self, name: &Arc<str>, why: Option<&str>) -> bool {
        let mut reported = self.0.lock();
        match why {
            Some(why) => {
                let before = reported.insert(Arc::clone(name), why.to_owned());
                before.is_none_or(|before| before != why)
            }
            None => reported.remove(name).is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_reported_once_until_its_reason_changes_or_it_ends() {
        let (reported, name): (_, Arc<str>) = (ReportedFailures::default(), "engine".into());
        let news: Vec<bool> = [None, Some("a"), Some("a"), Some("b"), None, None, Some("b")]
            .map(|why| reported.is_news(&name, why))
            .into();
        assert_eq!(news, [false, true, false, true, true, false, true]);
    }
}
