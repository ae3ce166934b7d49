//! Figures of engines for `/metrics`.

/// A figure of an engine. `/metrics` shows it as `wirehub_engine_NAME`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct EngineMetric {
    /// The name, in small letters, digits and underscores. A unit is its end, as in `sync_seconds`. Counters get the ending
    /// `_total` by themselves. A figure with another name, or with one that was there before, is left out.
    pub name: &'static str,
    /// The meaning, in a few words.
    pub help: &'static str,
    /// Its kind, with the present value.
    pub value: EngineMetricValue,
}

/// The value of an [`EngineMetric`].
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum EngineMetricValue {
    /// A number of events since the start. It only grows.
    Counter(u64),
    /// The same for a sum with fractions, such as seconds.
    CounterOf(f64),
    /// A state.
    Gauge(u64),
    /// The same for a state with fractions.
    GaugeOf(f64),
}

impl EngineMetric {
    /// A number of events since the start.
    pub const fn counter(name: &'static str, help: &'static str, count: u64) -> Self {
        Self { name, help, value: EngineMetricValue::Counter(count) }
    }

    /// The seconds of something since the start.
    pub const fn seconds(name: &'static str, help: &'static str, seconds: f64) -> Self {
        Self { name, help, value: EngineMetricValue::CounterOf(seconds) }
    }

    /// A state.
    pub const fn gauge(name: &'static str, help: &'static str, state: u64) -> Self {
        Self { name, help, value: EngineMetricValue::Gauge(state) }
    }

    /// A state with fractions, such as an age in seconds.
    pub const fn gauge_of(name: &'static str, help: &'static str, state: f64) -> Self {
        Self { name, help, value: EngineMetricValue::GaugeOf(state) }
    }

    /// `true` if the name can be shown.
    pub fn has_valid_name(&self) -> bool {
        self.name.starts_with(|first: char| first.is_ascii_lowercase())
            && self.name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
    }
}
