#![allow(clippy::arithmetic_side_effects)]

use std::task::{Context, Waker};
use std::time::Duration;

use wirehub_common::code::CloseCode;
use wirehub_common::{ChannelName, Codec};

use super::*;
use crate::SessionId;
use crate::counters::Count;
use crate::hub::channel::{NewSubscriber, Place};
use crate::hub::sessions::Identity;
use crate::namespace::Namespace;
use crate::session::mailbox::{Mailbox, TakenBatch, TurnReason};
use crate::session::queue::Lane;

const GRACE: Duration = Duration::from_secs(5);

fn room(grace: Duration) -> Arc<Channel> {
    let name = ChannelName::new("room:1").unwrap();
    Arc::new(Channel::new(name, &Namespace::default().join_leave(grace), Count::default(), false))
}

fn peer(user: &str, queue_bytes: usize) -> Arc<Peer> {
    let peer = Peer::new(SessionId::random().unwrap(), Codec::Protobuf, None, Mailbox::new(queue_bytes));
    peer.set_identity(Identity::named(user, None));
    Arc::new(peer)
}

fn enter(room: &Arc<Channel>, peer: &Arc<Peer>) -> Place {
    room.enter(NewSubscriber { peer, observes_members: true, is_local: false }, None, false).unwrap()
}

/// The notifications as the client sees them: `+ann`, `-ann`, or the session of an anonymous member.
fn told(peer: &Peer) -> Vec<String> {
    let mut bytes = Vec::new();
    while peer.mailbox.take_batch(Codec::Protobuf, 1 << 20, &mut |piece| bytes.push(piece))
        == TakenBatch::More
    {}
    let name = |Movement { member, .. }: Movement| {
        if member.user.is_empty() { member.session } else { member.user }
    };
    let frames = bytes.iter().flat_map(|bytes| Codec::Protobuf.decode_frames(bytes));
    frames
        .map(|frame| match frame.unwrap() {
            ServerFrame::Push(Push::Join(movement)) => format!("+{}", name(movement)),
            ServerFrame::Push(Push::Leave(movement)) => format!("-{}", name(movement)),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn ending(peer: &Peer) -> Option<CloseCode> {
    match peer.mailbox.begin_turn(&Context::from_waker(Waker::noop())) {
        TurnReason::Everything(mail) => mail.and_then(|mail| mail.ending).map(|ending| ending.code),
        TurnReason::Frames => None,
    }
}

/// Advances the time, and lets all tasks do their work.
async fn pass(time: Duration) {
    sleep(time + Duration::from_millis(1)).await;
    tokio::task::yield_now().await;
}

#[tokio::test(start_paused = true)]
async fn every_delayed_leave_is_sent_and_not_only_the_first() {
    let (room, ann) = (room(GRACE), peer("ann", 1 << 20));
    enter(&room, &ann);
    for round in 0..4 {
        let place = enter(&room, &peer("bob", 1 << 20));
        assert_eq!(told(&ann), ["+bob"], "round {round}");
        room.leave(place, None);
        pass(GRACE / 2).await;
        // Another one leaves during the wait for the first.
        let place = enter(&room, &peer("eve", 1 << 20));
        assert_eq!(told(&ann), ["+eve"], "round {round}");
        room.leave(place, None);
        pass(GRACE / 2).await;
        assert_eq!(told(&ann), ["-bob"], "round {round}");
        pass(GRACE / 2).await;
        assert_eq!(told(&ann), ["-eve"], "round {round}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_that_joins_and_leaves_all_the_time_ends_no_session_and_causes_few_notifications() {
    let room = room(Duration::ZERO);
    let readers: Vec<_> = (0..10).map(|number| peer(&format!("reader{number}"), 20_000)).collect();
    for reader in &readers {
        enter(&room, reader);
    }
    pass(NOTIFY_INTERVAL).await;
    for reader in &readers {
        told(reader);
    }
    let restless = peer("", 20_000);
    for step in 0..50_000 {
        let place = enter(&room, &restless);
        room.leave(place, None);
        if step % 1000 == 0 {
            pass(NOTIFY_INTERVAL).await;
        }
    }
    pass(NOTIFY_INTERVAL).await;
    for reader in &readers {
        assert_eq!(ending(reader), None);
    }
    let mut heard: Vec<_> = readers.iter().map(|reader| told(reader)).collect();
    pass(NOTIFY_INTERVAL).await;
    for (reader, heard) in readers.iter().zip(&mut heard) {
        heard.extend(told(reader));
        assert!(heard.len() < 300, "{} moves are sent", heard.len());
        // The last notification is a leave, or the request for a new list.
        assert!(heard.last().unwrap().starts_with('-'), "{heard:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_without_room_is_notified_later_that_its_list_is_incomplete() {
    let room = room(Duration::ZERO);
    let (slow, fast) = (peer("slow", 10_000), peer("fast", 10_000));
    enter(&room, &slow);
    enter(&room, &fast);
    pass(NOTIFY_INTERVAL).await;
    assert_eq!((told(&slow), told(&fast)), (vec!["+fast".to_owned()], vec![]));
    slow.mailbox.push(Lane::Normal, vec![0; 9000].into());
    let places: Vec<_> = ["ann", "bob", "eve"].map(|name| enter(&room, &peer(name, 1000))).into();
    for _ in 0..10 {
        pass(NOTIFY_INTERVAL).await;
        assert_eq!(ending(&slow), None);
    }
    assert_eq!(told(&fast), ["+ann", "+bob", "+eve"]);
    let mut taken = 0;
    while slow.mailbox.take_batch(Codec::Protobuf, 1 << 20, &mut |piece| taken += piece.len())
        == TakenBatch::More
    {}
    assert_eq!(taken, 9000, "there was no room for more");
    pass(NOTIFY_INTERVAL).await;
    assert_eq!(told(&slow), ["-"], "its list is incomplete");
    room.leave(places[0], None);
    assert_eq!(told(&slow), ["-ann"], "and it is notified again");
}

#[tokio::test(start_paused = true)]
async fn a_session_is_never_notified_of_its_own_join() {
    let room = room(Duration::ZERO);
    let witness = peer("witness", 1 << 20);
    enter(&room, &witness);
    let others: Vec<_> = (0..300).map(|number| peer(&format!("{number:03}"), 1 << 20)).collect();
    for other in &others {
        enter(&room, other);
    }
    pass(Duration::ZERO).await;
    assert_eq!(told(&witness).len(), 99, "its own coming was the first; the others wait");
    others.iter().for_each(|other| drop(told(other)));
    pass(NOTIFY_INTERVAL).await;
    let late = told(&witness);
    assert_eq!(late.last().unwrap(), "+299");
    for other in others.iter().rev().take(50) {
        let own = format!("+{}", other.user());
        let told = told(other);
        assert!(!told.contains(&own) && told.len() == late.len() - 1, "{own}: {told:?}");
    }
}
