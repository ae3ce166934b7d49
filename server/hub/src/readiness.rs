//! Readiness checks of a hub.

use std::fmt;
use std::sync::Arc;

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
            let why = checked.unwrap_or_else(|_| Err("its check panicked".into())).err()?;
            tracing::warn!("not ready: {} fails: {why}", need.name);
            Some(Arc::clone(&need.name))
        });
        missing.collect()
    }
}
