//! The alarms of a run, and the promises about them: each reaches every recipient, shown once, and comes again only to new sessions
//! of users without an acknowledgement.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

/// The time around a fault in which a store may lose answered writes: those that are not in its file, or not at the replica.
const LOSS: Duration = Duration::from_secs(3);

/// The events of the alarms of a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct AlarmRecord {
    /// The raised alarms with the time of the answer. An alarm without an answer may exist or not.
    pub(crate) raised: BTreeMap<String, Instant>,
    /// By user. Each was connected before the first alarm.
    pub(crate) shown: BTreeMap<String, Vec<Shown>>,
    /// The users with an acknowledgement for each alarm.
    pub(crate) careful: BTreeSet<String>,
    /// The acknowledgements with the time of the answer, by user and alarm.
    pub(crate) acknowledged: BTreeMap<(String, String), Instant>,
    /// The alarms that a new session of each user has got at the end.
    pub(crate) again: BTreeMap<String, BTreeSet<String>>,
    /// The begin and end of the faults with which the store may lose something.
    pub(crate) losses: Vec<(Instant, Instant)>,
}

/// An event of an alarm at a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shown {
    Alarm(String),
    /// It has ended without this client.
    Ended(String),
}

/// The result of a run.
#[derive(Debug, Default)]
pub(crate) struct AlarmVerdict {
    pub(crate) violations: Vec<String>,
    raised: usize,
    shown: usize,
    acknowledged: usize,
    /// The alarms that the store may have lost.
    pub(crate) excused: usize,
}

impl fmt::Display for AlarmVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { violations, raised, shown, acknowledged, excused } = self;
        write!(
            f,
            "{raised} alarms, of which the store may have lost {excused}; shown {shown} times, acknowledged \
             {acknowledged} times, {} violations",
            violations.len()
        )
    }
}

impl AlarmRecord {
    /// Notes a fault with which the store may lose something. If the replicas had no time since the fault before, it may also lose
    /// writes that have outlived that one.
    pub(crate) fn note_loss(&mut self, begin: Instant, end: Instant) {
        let before = self.losses.last().filter(|(_, end)| begin < *end + 2 * LOSS);
        let begin = before.map_or(begin, |(before, _)| *before);
        self.losses.push((begin, end));
    }

    /// Whether the store may have lost a write that it answered at this time.
    fn may_be_lost(&self, at: Instant) -> bool {
        self.losses.iter().any(|(begin, end)| *begin < at + LOSS && at < *end + LOSS)
    }

    /// The alarms, by user, that have to be shown and were not.
    pub(crate) fn missing(&self) -> Vec<(String, &str)> {
        let raised = self.raised.iter().filter(|(_, at)| !self.may_be_lost(**at));
        let expected: Vec<&str> = raised.map(|(alarm, _)| &**alarm).collect();
        let of_user = |(user, shown): (&'_ String, &'_ Vec<Shown>)| {
            let shown: BTreeSet<&str> = shown.iter().filter_map(Shown::alarm).collect();
            let missing = expected.iter().filter(|alarm| !shown.contains(*alarm));
            missing.map(|alarm| (user.clone(), *alarm)).collect::<Vec<_>>()
        };
        self.shown.iter().flat_map(of_user).collect()
    }

    /// The number of acknowledgements without an answer, of alarms that the store has.
    pub(crate) fn unanswered(&self) -> usize {
        let is_open = |user: &String, alarm: &str| {
            let is_kept = self.raised.get(alarm).is_some_and(|at| !self.may_be_lost(*at));
            is_kept && !self.acknowledged.contains_key(&(user.clone(), alarm.to_owned()))
        };
        let careful = self.shown.iter().filter(|(user, _)| self.careful.contains(*user));
        let open = careful.map(|(user, shown)| {
            shown.iter().filter_map(Shown::alarm).filter(|alarm| is_open(user, alarm)).count()
        });
        open.sum()
    }
}

impl Shown {
    fn alarm(&self) -> Option<&str> {
        match self {
            Self::Alarm(alarm) => Some(alarm),
            Self::Ended(_) => None,
        }
    }
}

/// Checks a record.
pub(crate) fn check(record: &AlarmRecord) -> AlarmVerdict {
    let may_be_lost = |alarm: &str| record.raised.get(alarm).is_none_or(|at| record.may_be_lost(*at));
    let mut verdict = AlarmVerdict {
        raised: record.raised.len(),
        acknowledged: record.acknowledged.len(),
        excused: record.raised.keys().filter(|alarm| may_be_lost(alarm)).count(),
        ..AlarmVerdict::default()
    };
    let mut violations: Vec<String> = Vec::new();
    for (user, alarm) in record.missing() {
        violations.push(format!("the alarm {alarm} did not reach {user}"));
    }
    for (user, shown) in &record.shown {
        let mut seen = BTreeSet::new();
        for event in shown {
            match event {
                Shown::Alarm(alarm) => {
                    verdict.shown += 1;
                    if !seen.insert(alarm) {
                        violations.push(format!("the alarm {alarm} was shown to {user} twice"));
                    }
                }
                Shown::Ended(alarm) if !may_be_lost(alarm) => {
                    violations.push(format!("the alarm {alarm} has ended at {user}, and nobody ended it"));
                }
                Shown::Ended(_) => {}
            }
        }
    }
    for ((user, alarm), at) in &record.acknowledged {
        let comes_again = record.again.get(user).is_some_and(|again| again.contains(alarm));
        if comes_again && !record.may_be_lost(*at) {
            violations.push(format!("the alarm {alarm} came again to {user}, who has acknowledged it"));
        }
    }
    for (user, again) in record.again.iter().filter(|(user, _)| !record.careful.contains(*user)) {
        for alarm in record.raised.keys().filter(|alarm| !may_be_lost(alarm) && !again.contains(*alarm)) {
            violations.push(format!("the alarm {alarm} did not reach a new session of {user}"));
        }
    }
    verdict.violations = violations;
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [&str; 2] = ["ann", "bob"];

    /// Ann acknowledges everything, and Bob nothing. Two alarms reach both.
    fn record(start: Instant) -> AlarmRecord {
        let alarms = ["fire", "smoke"];
        let shown: Vec<Shown> = alarms.iter().map(|&it| Shown::Alarm(it.to_owned())).collect();
        AlarmRecord {
            raised: alarms.map(|it| (it.to_owned(), start)).into(),
            shown: ALL.map(|user| (user.to_owned(), shown.clone())).into(),
            careful: ["ann".to_owned()].into(),
            acknowledged: alarms.map(|it| (("ann".to_owned(), it.to_owned()), start)).into(),
            again: [
                ("ann".to_owned(), BTreeSet::new()),
                ("bob".to_owned(), alarms.map(str::to_owned).into()),
            ]
            .into(),
            losses: Vec::new(),
        }
    }

    /// The change of a record is a violation, and none if the store may have lost it.
    #[track_caller]
    fn fails(change: impl FnOnce(&mut AlarmRecord), expected: &str) {
        let start = Instant::now();
        let mut record = record(start);
        change(&mut record);
        let verdict = check(&record);
        let [violation] = &verdict.violations[..] else { panic!("{:?}", verdict.violations) };
        assert!(violation.contains(expected), "{violation}");
        record.note_loss(start, start);
        let verdict = check(&record);
        let is_excused = verdict.violations.is_empty();
        assert_eq!(
            (is_excused, verdict.excused),
            (!expected.contains("twice"), 2),
            "{:?}",
            verdict.violations
        );
    }

    #[test]
    fn alarms_that_reach_everybody_once_hold() {
        let record = record(Instant::now());
        assert_eq!(check(&record).violations, [""; 0]);
        assert_eq!((record.missing(), record.unanswered()), (Vec::new(), 0));
    }

    #[test]
    fn each_broken_promise_is_found() {
        fails(|it| drop(it.shown.get_mut("ann").unwrap().pop()), "smoke did not reach ann");
        fails(|it| it.shown.get_mut("bob").unwrap().push(Shown::Alarm("fire".into())), "to bob twice");
        fails(|it| it.shown.get_mut("bob").unwrap().push(Shown::Ended("fire".into())), "ended at bob");
        fails(|it| _ = it.again.get_mut("ann").unwrap().insert("fire".into()), "again to ann");
        fails(|it| _ = it.again.get_mut("bob").unwrap().remove("fire"), "a new session of bob");
    }

    #[test]
    fn a_fault_excuses_the_writes_shortly_before_it_and_those_around_the_fault_before() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut record = AlarmRecord::default();
        record.note_loss(after(100), after(101));
        assert!(record.may_be_lost(after(98)) && record.may_be_lost(after(103)));
        assert!(!record.may_be_lost(after(96)) && !record.may_be_lost(after(105)));
        record.note_loss(after(106), after(107));
        assert!(record.may_be_lost(after(105)), "the replica may be behind since the first fault");
        record.note_loss(after(120), after(121));
        assert!(!record.may_be_lost(after(115)));
    }
}
