//! The tables of the figures.

use std::collections::BTreeMap;
use std::fmt;

use super::Figures;
use super::subject::Subject;
use crate::report::{Figure, median};

/// The figures of all runs.
pub(super) struct Table<'a> {
    runs: &'a BTreeMap<Subject, Vec<Figures>>,
}

/// A row: the name of its figure, and its words.
const ROWS: [(&str, &str); 32] = [
    ("publish 1/1 rate", "publishes a second, 1 in flight, 1 channel"),
    ("publish 1/64 rate", "1 in flight, 64 channels"),
    ("publish 256/1 rate", "256 in flight, 1 channel"),
    ("publish 256/64 rate", "256 in flight, 64 channels"),
    ("deliver rate", "the same, each delivered to a subscriber"),
    ("publish 1/1 cpu", "CPU of a publish, µs, 1 in flight, 1 channel"),
    ("publish 1/64 cpu", "1 in flight, 64 channels"),
    ("publish 256/1 cpu", "256 in flight, 1 channel"),
    ("publish 256/64 cpu", "256 in flight, 64 channels"),
    ("deliver cpu", "the same, each delivered to a subscriber"),
    ("publish 1/1 redis cpu", "CPU of Redis, µs, 1 in flight, 1 channel"),
    ("publish 1/64 redis cpu", "1 in flight, 64 channels"),
    ("publish 256/1 redis cpu", "256 in flight, 1 channel"),
    ("publish 256/64 redis cpu", "256 in flight, 64 channels"),
    ("deliver redis cpu", "the same, each delivered to a subscriber"),
    ("fan 1 cpu", "CPU of a publish to 100 sessions, µs, 1 in flight"),
    ("fan 32 cpu", "32 in flight"),
    ("half p50", "answer at half of the limit, ms: p50"),
    ("half p99", "p99"),
    ("half p99.9", "p99.9"),
    ("cross p50", "delivery at another node, ms: p50"),
    ("cross p99", "p99"),
    ("cross p99.9", "p99.9"),
    ("start", "start with messages in the store, ms"),
    ("stored memory", "idle channel with one message, bytes"),
    ("subscribed memory", "its subscriber, bytes more"),
    ("stored redis memory", "idle channel, bytes in Redis"),
    ("subscribed redis memory", "its subscriber, bytes more in Redis"),
    ("publish 256/1 batch", "publishes that share a sync, 256 in flight, 1 channel"),
    ("publish 256/64 batch", "256 in flight, 64 channels"),
    ("publish 256/1 disk", "these syncs without answers, a second, 256 in flight, 1 channel"),
    ("publish 256/64 disk", "256 in flight, 64 channels"),
];

/// The engines with a ratio to another one, and its words.
const RATIOS: [(Subject, Subject, &str); 6] = [
    (Subject::DiskInterval, Subject::Memory, "disk, 100ms / memory"),
    (Subject::DiskAlways, Subject::Appends, "disk, always / appends"),
    (Subject::BareFjall, Subject::Appends, "bare fjall / appends"),
    (Subject::DiskAlways, Subject::BareFjall, "disk, always / bare fjall"),
    (Subject::Redis, Subject::BareRedis, "redis / bare client"),
    (Subject::RedisCluster, Subject::BareRedis, "cluster / bare client"),
];

impl<'a> Table<'a> {
    pub(super) fn new(runs: &'a BTreeMap<Subject, Vec<Figures>>) -> Self {
        Self { runs }
    }

    fn median(&self, subject: Subject, name: &str) -> Option<f64> {
        median(self.runs.get(&subject)?.iter().filter_map(|figures| figures.get(name).copied()).collect())
    }

    /// The median of the ratios in each run.
    fn ratio(&self, subject: Subject, name: &str, floor: Subject) -> Option<f64> {
        let runs = self.runs.get(&subject)?.iter().zip(self.runs.get(&floor)?);
        median(runs.filter_map(|(own, other)| Some(own.get(name)? / other.get(name)?)).collect())
    }
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cell = |figure: Option<f64>| figure.map_or("–".into(), |it| Figure(it).to_string());
        let names: Vec<_> = self.runs.keys().map(ToString::to_string).collect();
        let ratios: Vec<_> = RATIOS
            .into_iter()
            .filter(|(own, floor, _)| self.runs.contains_key(own) && self.runs.contains_key(floor))
            .collect();
        let columns: Vec<_> = names.iter().map(String::as_str).chain(ratios.iter().map(|it| it.2)).collect();
        writeln!(f, "| | {} |\n| --- |{}", columns.join(" | "), " --- |".repeat(columns.len()))?;
        for (name, words) in ROWS {
            let figures = self.runs.keys().map(|subject| self.median(*subject, name));
            let ratios = ratios.iter().map(|(own, floor, _)| self.ratio(*own, name, *floor));
            let cells: Vec<Option<f64>> = figures.chain(ratios).collect();
            if cells.iter().any(Option::is_some) {
                let cells: Vec<String> = cells.into_iter().map(cell).collect();
                writeln!(f, "| {words} | {} |", cells.join(" | "))?;
            }
        }
        Ok(())
    }
}
