//! The checker finds each kind of violation.

use wirehub_common::frame::Position;

use crate::checker::{Acknowledged, Event, Kept, Message, Promise, Record, Verdict, check};

fn message(number: u64) -> Message {
    Message { publisher: "ann".into(), number }
}

fn at(epoch: &str, offset: u64) -> Position {
    Position { offset, epoch: epoch.into() }
}

fn acknowledged(number: u64, position: Option<Position>) -> Acknowledged {
    Acknowledged { channel: "c".into(), message: message(number), position }
}

fn heard(offset: u64, number: u64) -> Event {
    Event::Heard { offset, message: message(number) }
}

fn gap() -> Event {
    Event::Gap("lost".into())
}

/// A record with these acknowledgements, by number, epoch and offset, and the events of one subscriber.
fn record(acks: &[(u64, &str, u64)], events: Vec<Event>) -> Record {
    let acknowledged =
        acks.iter().map(|(number, epoch, offset)| acknowledged(*number, Some(at(epoch, *offset))));
    let heard = [(("bob".into(), "c".into()), events)].into();
    Record { acknowledged: acknowledged.collect(), heard, history: Vec::new() }
}

fn reported(record: &Record) -> Verdict {
    check(record, Promise::ReportedGaps)
}

#[track_caller]
fn holds(record: &Record) {
    let verdict = reported(record);
    assert!(verdict.violations.is_empty(), "{:?}", verdict.violations);
}

#[track_caller]
fn fails(record: &Record, expected: &str) {
    let verdict = reported(record);
    let [violation] = &verdict.violations[..] else { panic!("{:?}", verdict.violations) };
    assert!(violation.contains(expected), "{violation}");
}

#[test]
fn everything_once_and_in_order_holds() {
    let record = record(&[(1, "e", 1), (2, "e", 2)], vec![heard(1, 1), heard(2, 2)]);
    holds(&record);
    assert!(check(&record, Promise::NoGaps).violations.is_empty());
}

#[test]
fn unacknowledged_messages_may_come_or_not() {
    holds(&record(&[(1, "e", 1), (3, "e", 3)], vec![heard(1, 1), heard(2, 2), heard(3, 3)]));
}

#[test]
fn a_missing_last_message_is_found() {
    fails(&record(&[(1, "e", 1), (2, "e", 2)], vec![heard(1, 1)]), "ann/2 (offset 2 of epoch e)");
}

#[test]
fn a_missing_first_message_is_found() {
    fails(&record(&[(1, "e", 1), (2, "e", 2)], vec![heard(2, 2)]), "ann/1 (offset 1 of epoch e)");
}

#[test]
fn a_subscriber_without_any_message_is_found() {
    fails(&record(&[(1, "e", 1)], vec![]), "ann/1");
}

#[test]
fn a_hole_in_the_offsets_is_found() {
    let record = record(&[(1, "e", 1), (3, "e", 3)], vec![heard(1, 1), heard(3, 3)]);
    fails(&record, "ann/3 has offset 3 after 1, without a gap");
}

#[test]
fn a_wrong_order_is_found() {
    let record = record(&[(1, "e", 1), (2, "e", 2)], vec![heard(2, 2), heard(1, 1)]);
    fails(&record, "ann/1 has offset 1 after 2");
}

#[test]
fn a_gap_excuses_missing_messages_at_its_place() {
    let acks = [(1, "e", 1), (2, "e", 2), (3, "e", 3)];
    for events in [
        vec![gap(), heard(2, 2), heard(3, 3)],
        vec![heard(1, 1), gap(), heard(3, 3)],
        vec![heard(1, 1), heard(2, 2), gap()],
        vec![gap()],
    ] {
        let record = record(&acks, events);
        holds(&record);
        assert_eq!(check(&record, Promise::NoGaps).violations.len(), 1);
    }
}

#[test]
fn a_gap_excuses_nothing_at_another_place() {
    let acks = [(1, "e", 1), (2, "e", 2), (3, "e", 3)];
    fails(&record(&acks, vec![heard(1, 1), gap(), heard(2, 2)]), "ann/3");
    fails(&record(&acks, vec![heard(2, 2), gap(), heard(3, 3)]), "ann/1");
}

#[test]
fn a_lost_history_is_excused_by_a_gap() {
    let acks = [(1, "e", 1), (2, "e", 2), (3, "f", 1), (4, "f", 2)];
    holds(&record(&acks, vec![heard(1, 1), gap(), heard(1, 3), heard(2, 4)]));
    holds(&record(&acks, vec![heard(1, 1), heard(2, 2), gap(), heard(2, 4)]));
    // Not even the gap before it excuses a missing end.
    fails(&record(&acks, vec![heard(1, 1), gap(), heard(1, 3)]), "ann/4");
}

#[test]
fn an_epoch_that_changes_without_a_gap_is_found() {
    let acks = [(1, "e", 1), (2, "e", 2), (3, "e", 3), (4, "f", 4), (5, "f", 5)];
    let events = (1..=5).map(|number| heard(number, number)).collect();
    fails(&record(&acks, events), "of epoch f, without a gap");
}

#[test]
fn an_epoch_that_nobody_reported_is_found() {
    let acks = [(1, "e", 1), (2, "f", 1)];
    fails(&record(&acks, vec![heard(1, 1)]), "ann/2 (offset 1 of epoch f)");
}

#[test]
fn a_doubled_message_is_found() {
    let acks = [(1, "e", 1), (2, "e", 3)];
    fails(&record(&acks, vec![heard(1, 1), heard(2, 1), heard(3, 2)]), "ann/1 came twice");
    fails(
        &record(&acks, vec![heard(1, 1), gap(), heard(1, 1), heard(2, 9), heard(3, 2)]),
        "ann/1 came twice",
    );
}

#[test]
fn a_message_that_was_lost_with_its_epoch_may_come_again() {
    let record = record(
        &[(1, "e", 1), (2, "f", 1), (3, "f", 2)],
        vec![heard(1, 1), heard(2, 2), gap(), heard(1, 2), heard(2, 3)],
    );
    holds(&record);
    assert_eq!(reported(&record).doubled_over_gaps, 1);
}

#[test]
fn two_messages_at_one_place_are_found() {
    let both = "are both at offset 1 of epoch e";
    // Of two publishers.
    let mut two = record(&[(1, "e", 1)], vec![heard(1, 1)]);
    two.acknowledged.push(Acknowledged {
        message: Message { publisher: "cid".into(), number: 1 },
        ..acknowledged(0, Some(at("e", 1)))
    });
    let verdict = reported(&two);
    assert!(verdict.violations.iter().any(|it| it.contains(both)), "{:?}", verdict.violations);

    // Two subscribers heard different ones, of which neither is acknowledged.
    let mut two = record(&[(2, "e", 2)], vec![heard(1, 1), heard(2, 2)]);
    two.heard.insert(("cid".into(), "c".into()), vec![heard(1, 7), heard(2, 2)]);
    fails(&two, both);

    // The history has another one.
    let mut two = record(&[(1, "e", 1)], vec![heard(1, 1)]);
    two.history.push(Kept { channel: "c".into(), position: at("e", 1), message: message(7) });
    fails(&two, both);
}

#[test]
fn the_order_of_a_publisher_is_checked() {
    let record = record(&[(1, "e", 2), (2, "e", 1)], vec![heard(1, 2), heard(2, 1)]);
    fails(&record, "ann/2 is at offset 1, and ann/1 before it at 2");
}

#[test]
fn an_acknowledgement_without_a_position_is_checked_by_the_place_in_the_history() {
    let mut one = record(&[(1, "e", 1)], vec![heard(1, 1), gap(), heard(3, 3)]);
    one.acknowledged.extend([acknowledged(2, None), acknowledged(3, Some(at("e", 3)))]);
    holds(&one);
    one.acknowledged.push(acknowledged(4, None));
    one.history.push(Kept { channel: "c".into(), position: at("e", 4), message: message(4) });
    fails(&one, "ann/4 (offset 4 of epoch e)");
}

#[test]
fn the_end_of_a_subscription_is_found() {
    let record = record(&[(1, "e", 1)], vec![Event::Ended("refused".into())]);
    fails(&record, "has ended: refused");
}

#[test]
fn a_message_may_come_again_behind_a_gap_only_after_a_failover() {
    let acks = [(1, "e", 1), (2, "e", 2)];
    let twice = record(&acks, vec![heard(1, 1), heard(2, 2), gap(), heard(2, 2)]);
    fails(&twice, "ann/2 came twice");
    let verdict = check(&twice, Promise::Failovers);
    assert!(verdict.violations.is_empty(), "{:?}", verdict.violations);
    assert_eq!(verdict.doubled_over_gaps, 1);
}

#[test]
fn a_gap_while_the_history_is_read_excuses_the_end_of_an_epoch_that_the_history_has_without_it() {
    let kept = Kept { channel: "c".into(), position: at("f.7", 4), message: message(104) };
    // The last message is lost with its epoch, and the one in its place has no answer.
    let acks = [(1, "f.6", 1), (2, "f.6", 2), (3, "f.6", 3), (4, "f.6", 4)];
    let told = vec![heard(1, 1), gap(), heard(2, 2), heard(3, 3), heard(4, 104)];
    holds(&Record { history: vec![kept.clone()], ..record(&acks, told) });
    let untold = vec![heard(1, 1), heard(2, 2), heard(3, 3), heard(4, 104)];
    fails(&Record { history: vec![kept], ..record(&acks, untold) }, "did not come, without a gap");
}
