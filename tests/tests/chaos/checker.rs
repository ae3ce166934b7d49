//! The proof: the record of a run, and the promises that it has to keep.
//!
//! A subscriber sees offsets without their epoch. Between two gaps it is in one epoch, though. The acknowledged messages there
//! are of this epoch, or of earlier ones of the same family: a history that has outlived a failover has the messages from before it
//! at their old offsets. Such a stretch is a [`Stretch`] here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use wirehub_common::frame::Position;

/// The publisher of the last message of each channel.
pub(crate) const END: &str = "end";

/// A message: its publisher, and its number among the publisher's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Message {
    pub(crate) publisher: String,
    pub(crate) number: u64,
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.publisher, self.number)
    }
}

/// An acknowledged message.
#[derive(Debug, Clone)]
pub(crate) struct Acknowledged {
    pub(crate) channel: String,
    pub(crate) message: Message,
    /// The npm client does not report it.
    pub(crate) position: Option<Position>,
}

/// An event of a subscription.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    Heard { offset: u64, message: Message },
    Gap(String),
    Ended(String),
}

/// A message in the history after the run.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) channel: String,
    pub(crate) position: Position,
    pub(crate) message: Message,
}

/// The events of a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Record {
    /// For each publisher in the order of its publishes, of which it began each after the answer to the last one.
    pub(crate) acknowledged: Vec<Acknowledged>,
    /// By subscriber and channel. Every subscription began before the first publish.
    pub(crate) heard: BTreeMap<(String, String), Vec<Event>>,
    pub(crate) history: Vec<Kept>,
}

/// The promise of a fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Promise {
    /// Every acknowledged message arrives.
    NoGaps,
    /// Every acknowledged message arrives, or a gap is reported at its place.
    ReportedGaps,
    /// The same; and a message may come again behind a gap. If an old master is taken for the master again, no position says
    /// which of its messages a subscriber had before.
    Failovers,
}

/// The result of a run.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) violations: Vec<String>,
    acknowledged: usize,
    deliveries: usize,
    gaps: usize,
    /// Acknowledged messages that a subscriber did not receive, with a gap at their place; for each subscriber.
    missing_in_gaps: usize,
    /// Messages that a subscriber received twice, with a gap in between: the engine has lost the first one and its key.
    pub(crate) doubled_over_gaps: usize,
    /// Messages in stretches without any acknowledged one, so that their epoch is not known.
    without_epoch: usize,
    epochs: usize,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { violations, acknowledged, deliveries, gaps, missing_in_gaps, doubled_over_gaps, .. } =
            self;
        write!(
            f,
            "{acknowledged} acknowledged, {deliveries} deliveries, {gaps} gaps with {missing_in_gaps} deliveries \
             missing, {doubled_over_gaps} doubled over gaps, {} without an epoch, {} epochs, {} violations",
            self.without_epoch,
            self.epochs,
            violations.len()
        )
    }
}

/// Messages that came one after the other without a gap.
#[derive(Debug, Default)]
struct Stretch<'a> {
    first: u64,
    messages: Vec<&'a Message>,
    /// The epochs of its acknowledged messages, each with its first and last offset.
    epochs: BTreeMap<&'a str, (u64, u64)>,
}

impl Stretch<'_> {
    /// The offset behind the last one.
    fn end(&self) -> u64 {
        self.first + self.messages.len() as u64
    }

    /// The epoch of an offset, if it is certain.
    fn epoch_at(&self, offset: u64) -> Option<&str> {
        let mut around = self.epochs.iter().filter(|(_, (first, last))| (*first..=*last).contains(&offset));
        let found = around.next().filter(|_| around.next().is_none());
        found.map(|(epoch, _)| *epoch)
    }
}

/// The part of an epoch that stays over a failover.
fn family(epoch: &str) -> &str {
    epoch.split('.').next().unwrap_or(epoch)
}

/// A subscription, cut at its gaps.
#[derive(Debug)]
struct Subscription<'a> {
    subscriber: &'a str,
    channel: &'a str,
    /// One more than there are gaps. Any of them may be empty.
    stretches: Vec<Stretch<'a>>,
    ended: bool,
}

/// Checks a record.
pub(crate) fn check(record: &Record, promise: Promise) -> Verdict {
    let mut verdict = Verdict { acknowledged: record.acknowledged.len(), ..Verdict::default() };
    let acknowledged = positions_of_acknowledged(record);
    let kept: Places<'_> =
        record.history.iter().map(|it| ((it.channel.as_str(), &it.message), it.position.clone())).collect();
    let subscriptions: Vec<Subscription<'_>> = record
        .heard
        .iter()
        .map(|((subscriber, channel), events)| {
            let mut subscription = verdict.cut(subscriber, channel, events, promise);
            verdict.find_epochs(&mut subscription, &acknowledged, &kept);
            verdict.check_doubles(&subscription, promise);
            subscription
        })
        .collect();
    verdict.check_acknowledgements(record);
    let places = verdict.check_places(record, &subscriptions);
    for subscription in &subscriptions {
        verdict.check_arrivals(record, subscription, &places);
    }
    verdict
}

/// The places of messages, by channel: an epoch and an offset.
type Places<'a> = BTreeMap<(&'a str, &'a Message), Position>;

fn positions_of_acknowledged(record: &Record) -> Places<'_> {
    let of = |it: &'_ Acknowledged| it.position.clone();
    record.acknowledged.iter().filter_map(|it| Some(((it.channel.as_str(), &it.message), of(it)?))).collect()
}

impl Verdict {
    fn violation(&mut self, text: impl Into<String>) {
        self.violations.push(text.into());
    }

    /// Cuts a subscription at its gaps. Within a stretch every offset follows the last one.
    fn cut<'a>(
        &mut self,
        subscriber: &'a str,
        channel: &'a str,
        events: &'a [Event],
        promise: Promise,
    ) -> Subscription<'a> {
        let mut stretches = vec![Stretch::default()];
        let mut ended = false;
        for event in events {
            let Some(stretch) = stretches.last_mut() else { continue };
            match event {
                Event::Heard { offset, message } => {
                    self.deliveries += 1;
                    if stretch.messages.is_empty() {
                        stretch.first = *offset;
                    }
                    if *offset == stretch.end() {
                        stretch.messages.push(message);
                    } else {
                        self.violation(format!(
                            "{subscriber} in {channel}: {message} has offset {offset} after {}, without a gap",
                            stretch.end() - 1
                        ));
                        stretches.push(Stretch {
                            first: *offset,
                            messages: vec![message],
                            epochs: BTreeMap::new(),
                        });
                    }
                }
                Event::Gap(reason) => {
                    self.gaps += 1;
                    if promise == Promise::NoGaps {
                        self.violation(format!(
                            "{subscriber} in {channel}: a gap after {}: {reason}",
                            stretch.end().saturating_sub(1)
                        ));
                    }
                    stretches.push(Stretch::default());
                }
                Event::Ended(reason) => {
                    ended = true;
                    self.violation(format!(
                        "{subscriber} in {channel}: the subscription has ended: {reason}"
                    ));
                }
            }
        }
        Subscription { subscriber, channel, stretches, ended }
    }

    /// A stretch is in the epoch of its acknowledged messages, and in one only. Its last messages may be of a later epoch without
    /// an acknowledged one: then the history has them.
    fn find_epochs<'a>(
        &mut self,
        subscription: &mut Subscription<'a>,
        acknowledged: &'a Places<'a>,
        kept: &'a Places<'a>,
    ) {
        let (subscriber, channel) = (subscription.subscriber, subscription.channel);
        for stretch in &mut subscription.stretches {
            let mut votes: BTreeMap<&str, Vec<(u64, &Message)>> = BTreeMap::new();
            for (offset, message) in (stretch.first..).zip(&stretch.messages) {
                // At another offset, it is an attempt that was lost with its epoch, and the repeat is acknowledged.
                match acknowledged.get(&(channel, *message)) {
                    Some(position) if position.offset == offset => {
                        votes.entry(&position.epoch).or_default().push((offset, message));
                    }
                    _ => {}
                }
            }
            let last = votes.values().flatten().map(|(offset, _)| *offset).max();
            let most = votes.iter().max_by_key(|(_, votes)| votes.len()).map(|(epoch, _)| *epoch);
            for (epoch, votes) in votes {
                // A lost attempt and its repeat may have the same offset by chance.
                let is_chance = Some(epoch) != most && votes.len() < 2;
                let is_family = most.is_some_and(|most| family(most) == family(epoch));
                match votes[..] {
                    [(offset, message), ..] if !is_chance && !is_family => self.violation(format!(
                        "{subscriber} in {channel}: {message} at {offset} is of epoch {epoch}, without a gap after \
                         messages of epoch {}",
                        most.unwrap_or_default()
                    )),
                    [(first, _), .., (last, _)] => drop(stretch.epochs.insert(epoch, (first, last))),
                    [(only, _)] if !is_chance => drop(stretch.epochs.insert(epoch, (only, only))),
                    _ => {}
                }
            }
            for (offset, message) in (stretch.first..).zip(&stretch.messages) {
                let position = kept.get(&(channel, *message)).filter(|position| position.offset == offset);
                if let Some(Position { epoch, .. }) = position
                    && last.is_some_and(|last| last < offset)
                    && most.is_some_and(|most| family(most) == family(epoch))
                {
                    stretch.epochs.entry(epoch).or_insert((offset, offset)).1 = offset;
                }
            }
            let end = stretch.end().saturating_sub(1);
            if let Some((from, _)) = stretch.epochs.values_mut().min_by_key(|(from, _)| *from) {
                *from = stretch.first;
            }
            if let Some((_, to)) = stretch.epochs.values_mut().max_by_key(|(_, to)| *to) {
                *to = end;
            }
            if most.is_none() {
                self.without_epoch += stretch.messages.len();
            }
        }
    }

    /// No message comes twice, except where an engine has lost the first one with its epoch.
    fn check_doubles(&mut self, subscription: &Subscription<'_>, promise: Promise) {
        let mut seen: BTreeMap<&Message, usize> = BTreeMap::new();
        for (index, stretch) in subscription.stretches.iter().enumerate() {
            let may_come_again = |before: usize| {
                let epochs = &subscription.stretches[before].epochs;
                before != index && (promise == Promise::Failovers || !epochs.keys().eq(stretch.epochs.keys()))
            };
            for message in &stretch.messages {
                match seen.insert(message, index) {
                    None => {}
                    Some(last) if may_come_again(last) => self.doubled_over_gaps += 1,
                    Some(_) => self.violation(format!(
                        "{} in {}: {message} came twice",
                        subscription.subscriber, subscription.channel
                    )),
                }
            }
        }
    }

    /// The messages of a publisher have the order of their publishes.
    fn check_acknowledgements(&mut self, record: &Record) {
        let mut last: BTreeMap<(&str, &str, &str), (u64, &Message)> = BTreeMap::new();
        for it in &record.acknowledged {
            let Some(position) = &it.position else { continue };
            let key = (it.channel.as_str(), it.message.publisher.as_str(), position.epoch.as_str());
            let before = last.insert(key, (position.offset, &it.message));
            if let Some((offset, message)) = before.filter(|(offset, _)| *offset >= position.offset) {
                self.violation(format!(
                    "{}: {} is at offset {}, and {message} before it at {offset}",
                    it.channel, it.message, position.offset
                ));
            }
        }
    }

    /// No place has two messages. Returns the places of messages.
    fn check_places<'a>(&mut self, record: &'a Record, subscriptions: &[Subscription<'a>]) -> Places<'a> {
        let mut messages: BTreeMap<(&str, String, u64), (&Message, String)> = BTreeMap::new();
        let mut places = Places::new();
        let mut epochs = BTreeSet::new();
        let mut put = |channel: &'a str, position: Position, message: &'a Message, source: String| {
            epochs.insert((channel, position.epoch.clone()));
            places.entry((channel, message)).or_insert_with(|| position.clone());
            let Position { epoch, offset, .. } = position;
            let (there, by) =
                messages.entry((channel, epoch.clone(), offset)).or_insert_with(|| (message, source.clone()));
            if *there != message {
                self.violations.push(format!(
                    "{channel}: {there} ({by}) and {message} ({source}) are both at offset {offset} of epoch {epoch}"
                ));
            }
        };
        for it in &record.acknowledged {
            if let Some(position) = it.position.clone() {
                put(&it.channel, position, &it.message, "acknowledged".into());
            }
        }
        for it in &record.history {
            put(&it.channel, it.position.clone(), &it.message, "history".into());
        }
        for subscription in subscriptions {
            for stretch in &subscription.stretches {
                for (offset, message) in (stretch.first..).zip(&stretch.messages) {
                    let Some(epoch) = stretch.epoch_at(offset) else { continue };
                    let position = Position { offset, epoch: epoch.to_owned() };
                    put(
                        subscription.channel,
                        position,
                        message,
                        format!("heard by {}", subscription.subscriber),
                    );
                }
            }
        }
        self.epochs = epochs.len();
        places
    }

    /// Each acknowledged message has arrived, or there is a gap at its place.
    fn check_arrivals(&mut self, record: &Record, subscription: &Subscription<'_>, places: &Places<'_>) {
        let (subscriber, channel) = (subscription.subscriber, subscription.channel);
        let arrived: BTreeSet<&Message> =
            subscription.stretches.iter().flat_map(|stretch| stretch.messages.iter().copied()).collect();
        if subscription.ended {
            return;
        }
        for it in record.acknowledged.iter().filter(|it| it.channel == channel) {
            if arrived.contains(&it.message) {
                continue;
            }
            let place = places.get(&(channel, &it.message));
            if subscription.has_gap_at(place) {
                self.missing_in_gaps += 1;
            } else {
                let place = place.map(|it| format!("offset {} of epoch {}", it.offset, it.epoch));
                self.violation(format!(
                    "{subscriber} in {channel}: {} ({}) is acknowledged and did not come, without a gap",
                    it.message,
                    place.as_deref().unwrap_or("its place is not known")
                ));
            }
        }
    }
}

impl Subscription<'_> {
    /// Whether messages may be missing at a place.
    fn has_gap_at(&self, place: Option<&Position>) -> bool {
        let last = self.stretches.len() - 1;
        let any = last > 0;
        let Some(place) = place else { return any };
        let in_epoch = || {
            let all = self.stretches.iter().enumerate();
            all.filter_map(|(index, it)| Some((index, *it.epochs.get(place.epoch.as_str())?)))
        };
        if in_epoch().any(|(_, (first, end))| first <= place.offset && place.offset <= end) {
            return false;
        }
        // A gap lies between two stretches, so there is one behind each but the last, and before each but the first.
        match in_epoch().rfind(|(_, (_, end))| *end < place.offset) {
            // A stretch that goes on with a later epoch has the messages of both from the history, behind the gap before it.
            Some((index, (_, end))) => index < last || (end + 1 < self.stretches[index].end() && index > 0),
            None => match in_epoch().next() {
                Some((index, _)) => index > 0,
                None => any,
            },
        }
    }
}
