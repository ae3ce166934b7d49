#![allow(clippy::arithmetic_side_effects)]

use wirehub_common::frame::ServerFrame;
use wirehub_common::{Assembler, Limits, frame};

use super::*;

const ROOM: usize = Limits::BATCH_BYTES;

fn frame(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn run(text: &'static str) -> Run {
    Run::of(frame(text))
}

fn taken_within(queue: &mut Queue, room: usize) -> Vec<Bytes> {
    let mut frames = Vec::new();
    queue.take_batch(Codec::Protobuf, room, &mut |frame| frames.push(frame));
    frames
}

fn taken(queue: &mut Queue) -> Vec<Bytes> {
    taken_within(queue, ROOM)
}

fn push(queue: &mut Queue, lane: Lane, frame: impl Into<Bytes>) {
    assert!(queue.push_run(lane, Run::of(frame.into()), 1 << 30, &mut Dropped::default()));
}

/// A publication of this many bytes with its delimiter.
fn large(bytes: usize) -> Bytes {
    let channel = ChannelName::new("a").unwrap();
    let payload = wirehub_common::Payload::bytes(vec![7; bytes]);
    let publication = frame::Publication { channel, payload, time: 1, publisher: None, offset: 0 };
    Codec::Protobuf.encode_frame(&ServerFrame::Push(frame::Push::Publication(publication)))
}

#[test]
fn lanes_go_by_rank_and_keep_their_order() {
    let mut queue = Queue::default();
    push(&mut queue, Lane::Normal, "n1");
    push(&mut queue, Lane::Urgent, "u1");
    push(&mut queue, Lane::Normal, "n2");
    queue.answer(Lane::Control, frame("c1"));
    push(&mut queue, Lane::Urgent, "u2");
    assert_eq!(taken(&mut queue), ["c1", "u1", "u2", "n1", "n2"]);
    assert!(taken(&mut queue).is_empty());
    assert_eq!((queue.bytes, queue.droppable), (0, 0));
}

#[test]
fn a_batch_ends_before_it_would_be_too_large() {
    let mut queue = Queue::default();
    for _ in 0..5 {
        push(&mut queue, Lane::Normal, vec![0; ROOM / 2]);
    }
    let mut lengths = || taken(&mut queue).iter().map(Bytes::len).sum::<usize>();
    assert_eq!([lengths(), lengths(), lengths(), lengths()], [ROOM, ROOM, ROOM / 2, 0]);
    assert_eq!(queue.bytes, 0);
}

#[test]
fn a_large_frame_goes_in_parts_and_others_between_them() {
    for codec in [Codec::Protobuf, Codec::Json] {
        let mut queue = Queue::default();
        let channel = ChannelName::new("a").unwrap();
        let payload = wirehub_common::Payload::bytes(vec![7; 300_000]);
        let publication = frame::Publication { channel, payload, time: 1, publisher: None, offset: 0 };
        let whole = ServerFrame::Push(frame::Push::Publication(publication));
        let due = ServerFrame::Push(frame::Push::RefreshDue);
        push(&mut queue, Lane::Normal, codec.encode_frame(&whole));
        let (mut assembler, mut seen, mut batches) = (Assembler::new(), Vec::new(), 0);
        loop {
            let mut message = Vec::new();
            if !queue.take_batch(codec, ROOM, &mut |piece| message.extend_from_slice(&piece)) {
                break;
            }
            assert!(message.len() <= ROOM, "{}", message.len());
            batches += 1;
            if batches == 1 {
                push(&mut queue, Lane::Urgent, codec.encode_frame(&due));
            }
            for frame in codec.decode_frames(&message.into()).map(Result::unwrap) {
                let ServerFrame::Part(part) = frame else {
                    seen.push((batches, frame));
                    continue;
                };
                assert_eq!(part.stream, Lane::Normal as u32);
                if let Some(frame) = assembler.take(2, &part.data, part.left, 1 << 20).unwrap() {
                    seen.push((batches, codec.decode_frame(&frame).unwrap()));
                }
            }
        }
        assert_eq!(seen, [(2, due), (batches, whole)], "{codec:?}");
        assert_eq!(queue.bytes, 0);
    }
}

#[test]
fn nothing_overtakes_the_first_answer_though_it_goes_in_parts() {
    let mut queue = Queue::default();
    queue.answer_first(large(200_000));
    push(&mut queue, Lane::Urgent, "alarm");
    push(&mut queue, Lane::Normal, "publication");
    let mut batches = 0;
    loop {
        let batch = taken(&mut queue);
        batches += 1;
        if batch.iter().any(|piece| *piece == "alarm") {
            break;
        }
    }
    assert_eq!(batches, 5, "200 kB are four messages");
    assert_eq!(queue.bytes, 0);
}

#[test]
fn answers_put_off_no_alarm_however_many_there_are() {
    for size in [100, 8 * 1024, 20 * 1024] {
        let mut queue = Queue::default();
        for _ in 0..200 {
            queue.answer(Lane::Control, vec![0; size].into());
        }
        push(&mut queue, Lane::Urgent, large(9 * 1024));
        let batch = taken_within(&mut queue, 16_384);
        let bytes = batch.iter().map(Bytes::len).sum::<usize>();
        assert!((8 * 1024..=16_384).contains(&bytes), "{size}: {bytes}");
        let mut batches = 1;
        while queue.many.as_ref().is_some_and(|many| !many.lanes[1].unsent.is_empty()) {
            queue.answer(Lane::Control, vec![0; size].into());
            taken_within(&mut queue, 16_384);
            batches += 1;
        }
        assert!(batches <= 3, "{size}: {batches}");
    }
}

#[test]
fn answers_take_no_room_from_publications() {
    let (mut queue, mut dropped) = (Queue::default(), Dropped::default());
    queue.answer(Lane::Bulk, large(100_000));
    queue.answer(Lane::Control, frame("answer"));
    assert!(queue.push_run(Lane::Normal, run("0123456789"), 200, &mut dropped));
    assert!(queue.push_droppable(Lane::Normal, run("droppable"), None, 200, &mut dropped));
    assert!(dropped.is_empty());
    let slot = Arc::new(LatestSlot::default());
    assert!(queue.push_latest(Lane::Urgent, &slot, run("1"), None, 1000, &mut dropped));
    assert_eq!(queue.bulk_answers(), 1);
    while !taken_within(&mut queue, 16_384).is_empty() {
        assert_eq!(queue.published_bytes(), 0, "they go first");
    }
    assert_eq!((queue.bytes, queue.droppable, queue.all_answers(), queue.bulk_answers()), (0, 0, 0, 0));
}

#[test]
fn frames_under_way_share_the_room() {
    let mut queue = Queue::default();
    for lane in [Lane::Normal, Lane::Bulk] {
        push(&mut queue, lane, large(100_000));
    }
    let first = taken_within(&mut queue, 16_384);
    assert!(first.iter().map(Bytes::len).sum::<usize>() <= 16_384);
    let lengths: Vec<usize> = first.iter().map(Bytes::len).filter(|length| *length > 100).collect();
    assert!(lengths.len() == 2 && lengths.iter().all(|length| *length > 8000), "{lengths:?}");
    for _ in 0..1000 {
        push(&mut queue, Lane::Control, vec![0; 100]);
    }
    let second = taken_within(&mut queue, 16_384);
    assert!(second.iter().filter(|piece| piece.len() > 3000).count() == 2, "small ones leave room for parts");
    assert_eq!(second[0].len(), 100, "and go before them");
}

#[test]
fn publications_over_the_bound_are_refused() {
    let mut queue = Queue::default();
    let dropped = &mut Dropped::default();
    for _ in 0..3 {
        assert!(queue.push_run(Lane::Normal, run("0123456789"), 200, dropped));
    }
    assert!(!queue.push_run(Lane::Normal, run("01234567890123456789012345678901234567890"), 200, dropped));
    assert_eq!(taken(&mut queue).len(), 3);
}

#[test]
fn a_frame_larger_than_the_bound_goes_into_a_queue_that_is_half_empty() {
    let (mut queue, dropped) = (Queue::default(), &mut Dropped::default());
    assert!(queue.push_run(Lane::Normal, run("small"), 200, dropped));
    let long = Run::of(vec![0; 1000].into());
    assert!(queue.push_run(Lane::Normal, long.clone(), 200, dropped));
    assert!(!queue.push_run(Lane::Normal, long, 200, dropped));
}

#[test]
fn droppable_publications_make_room_the_oldest_first() {
    let limit = 10 * cost(&run("0"));
    let (mut queue, mut dropped) = (Queue::default(), Dropped::default());
    let channel = ChannelName::new("a").unwrap();
    assert!(queue.push_run(Lane::Normal, run("k"), limit, &mut dropped));
    for text in ["0", "1", "2", "3", "4", "5", "6", "7", "8"] {
        assert!(queue.push_droppable(Lane::Normal, run(text), Some(&channel), limit, &mut dropped));
    }
    assert!(dropped.is_empty());
    assert!(queue.push_run(Lane::Normal, run("l"), limit, &mut dropped));
    assert_eq!(taken(&mut queue), ["k", "4", "5", "6", "7", "8", "l"], "a quarter, and room for the new one");
    assert_eq!((queue.bytes, queue.droppable), (0, 0));
    assert_eq!(dropped.into_channels(), [channel]);
}

#[test]
fn of_a_row_that_is_too_long_the_newest_are_queued() {
    let mut row = crate::hub::segment::Row::default();
    for text in ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"] {
        row.push(frame(text));
    }
    let run = Run::behind(&row.finish(), 0).unwrap();
    let (mut queue, mut dropped) = (Queue::default(), Dropped::default());
    let channel = ChannelName::new("a").unwrap();
    let limit = 4 * cost(&Run::of(frame("0")));
    assert!(queue.push_droppable(Lane::Normal, run, Some(&channel), limit, &mut dropped));
    let taken = taken(&mut queue).concat();
    assert!(taken.len() <= 4 && b"0123456789".ends_with(&taken), "{taken:?}");
    assert_eq!(dropped.into_channels(), [channel]);
}

#[test]
fn a_droppable_publication_without_room_is_dropped() {
    let limit = 4 * cost(&run("0"));
    let (mut queue, mut dropped) = (Queue::default(), Dropped::default());
    for text in ["a", "b", "c", "d"] {
        assert!(queue.push_run(Lane::Normal, run(text), limit, &mut dropped));
    }
    assert!(!queue.push_droppable(Lane::Normal, run("e"), None, limit, &mut dropped));
    assert_eq!(taken(&mut queue), ["a", "b", "c", "d"]);
}

#[test]
fn the_latest_takes_the_turn_of_the_one_before() {
    let (mut queue, mut dropped) = (Queue::default(), Dropped::default());
    let slot = Arc::new(LatestSlot::default());
    assert!(queue.push_latest(Lane::Normal, &slot, run("1"), None, 1000, &mut dropped));
    push(&mut queue, Lane::Normal, "other");
    assert!(!queue.push_latest(Lane::Normal, &slot, run("two"), None, 1000, &mut dropped));
    assert_eq!(taken(&mut queue), ["two", "other"]);
    assert_eq!(queue.bytes, 0);
    assert!(queue.push_latest(Lane::Normal, &slot, run("3"), None, 1000, &mut dropped));
    assert_eq!(taken(&mut queue), ["3"]);
}

#[test]
fn the_latest_that_is_too_large_for_the_queue_is_dropped_and_the_next_one_is_not() {
    let limit = 400;
    let (mut queue, mut dropped) = (Queue::default(), Dropped::default());
    let (slot, other) = (Arc::new(LatestSlot::default()), Arc::new(LatestSlot::default()));
    let channel = ChannelName::new("a").unwrap();
    let long = || Run::of(vec![0; 180].into());
    assert!(queue.push_latest(Lane::Normal, &slot, run("1"), Some(&channel), limit, &mut dropped));
    assert!(queue.push_latest(Lane::Normal, &other, long(), None, limit, &mut dropped));
    assert!(!queue.push_latest(Lane::Normal, &slot, long(), Some(&channel), limit, &mut dropped));
    assert_eq!(std::mem::take(&mut dropped).into_channels().len(), 1);
    assert!(queue.bytes() <= limit, "{}", queue.bytes());
    assert!(queue.push_latest(Lane::Normal, &slot, run("3"), Some(&channel), limit, &mut dropped));
    assert!(dropped.is_empty());
    assert_eq!(taken(&mut queue)[0], "3", "in the place of the first");
    assert_eq!(queue.bytes(), 0);
}

#[test]
fn the_bytes_of_a_slot_are_those_of_its_present_publication() {
    let (mut queue, mut dropped) = (Queue::default(), Dropped::default());
    let slots = [(); 2].map(|()| Arc::new(LatestSlot::default()));
    let frames: [&'static str; 5] = ["12345", "1", "1234567890", "12", "123"];
    for (step, text) in frames.into_iter().enumerate() {
        for slot in &slots {
            let is_new = queue.push_latest(Lane::Normal, slot, run(text), None, 1000, &mut dropped);
            assert_eq!(is_new, step == 0, "{text:?}");
        }
        assert_eq!((queue.bytes(), queue.undroppable_bytes()), (2 * cost(&run(text)), 2 * cost(&run(text))));
    }
    let mut one = || taken_within(&mut queue, 3).iter().map(Bytes::len).sum::<usize>();
    assert_eq!(one(), 3);
    assert_eq!(queue.bytes(), cost(&run("123")), "the other one waits");
    assert!(queue.push_latest(Lane::Normal, &slots[0], run("1"), None, 1000, &mut dropped));
    assert_eq!(queue.bytes(), cost(&run("123")) + cost(&run("1")));
    assert_eq!(taken(&mut queue), ["123", "1"]);
    assert_eq!(queue.bytes(), 0);
}

#[test]
fn a_gap_is_reported_once_behind_a_partly_sent_frame_and_before_the_next_ones() {
    let (mut queue, mut dropped) = (Queue::default(), Dropped::default());
    let (a, b) = (ChannelName::new("a").unwrap(), ChannelName::new("b").unwrap());
    let slot = Arc::new(LatestSlot::default());
    push(&mut queue, Lane::Normal, large(40_000));
    taken_within(&mut queue, 16_384);
    assert!(queue.push_latest(Lane::Normal, &slot, run("newest"), Some(&a), 1 << 20, &mut dropped));
    for _ in 0..2 {
        queue.report_gap(Lane::Normal, &a, frame("gap"));
        queue.report_gap(Lane::Normal, &b, frame("other"));
    }
    let mut whole = Vec::new();
    loop {
        let batch = taken_within(&mut queue, 16_384);
        if batch.is_empty() {
            break;
        }
        whole.extend(batch.into_iter().filter(|piece| piece.len() < 10));
        if whole.is_empty() {
            assert!(queue.many.is_some(), "the large frame comes first");
        }
    }
    assert_eq!(whole.concat(), *b"gapothernewest");
    assert_eq!((queue.bytes, queue.all_answers()), (0, 0));
    queue.report_gap(Lane::Normal, &a, frame("gap"));
    assert_eq!(taken(&mut queue), ["gap"]);
    assert_eq!(queue.bytes, 0);
}
