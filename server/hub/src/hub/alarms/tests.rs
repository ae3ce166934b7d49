#![allow(clippy::arithmetic_side_effects)]

use wirehub_common::Codec;

use super::*;
use crate::SessionId;
use crate::alarm::AlarmState;
use crate::hub::sessions::{Identity, instance_number};
use crate::session::mailbox::Mailbox;

const BOUND: usize = 1024 * 1024;
const TTL: Duration = Duration::from_secs(600);

struct Subject {
    alarms: Alarms,
    sessions: Sessions,
}

/// An answer of the engine has no equal.
impl PartialEq for Acknowledgement {
    fn eq(&self, other: &Self) -> bool {
        matches!(
            (self, other),
            (Self::Recorded, Self::Recorded) | (Self::IsOver, Self::IsOver) | (Self::Unknown, Self::Unknown)
        )
    }
}

impl Subject {
    fn new() -> Self {
        Self { alarms: Alarms::new(false), sessions: Sessions::new() }
    }

    /// One of several nodes.
    fn shared() -> Self {
        Self { alarms: Alarms::new(true), sessions: Sessions::new() }
    }

    fn raise(&self, audience: AlarmAudience, bytes: usize) -> Result<String, AlarmRefusal> {
        let channel = ChannelName::new("alarm:fire").unwrap();
        let payload = Payload::bytes(vec![0; bytes]);
        self.alarms
            .prepare(None, (channel, payload), audience, TTL, BOUND)
            .map(|new| self.alarms.send_new(&self.sessions, new))
    }

    /// Connects a session of a user, or of an anonymous client with this instance name. Returns `true` if it received
    /// something.
    fn connect(&self, user: &str, instance: &str) -> (Arc<Peer>, bool) {
        let mailbox = Mailbox::new(1 << 20);
        let peer = Arc::new(Peer::new(SessionId::random().unwrap(), Codec::Protobuf, None, mailbox));
        let instance = instance_number(instance);
        peer.set_identity(Identity::named(user, instance));
        self.sessions.add(Arc::clone(&peer));
        self.sessions.connected(peer.id);
        assert_eq!(self.alarms.send_active(self.around(), &peer), None);
        let is_sent = peer.mailbox.bytes() > 0;
        (peer, is_sent)
    }

    fn around(&self) -> AlarmSurroundings<'_> {
        AlarmSurroundings { sessions: &self.sessions, store: None }
    }

    fn acknowledge(&self, peer: &Peer, id: &str, received_only: bool) -> Acknowledgement {
        let progress = if received_only { AlarmProgress::Received } else { AlarmProgress::Acknowledged };
        self.alarms.acknowledge(self.around(), peer, id, progress)
    }

    fn withdraw(&self, id: &str) -> bool {
        self.alarms.withdraw(None, id).is_some() && self.alarms.withdrawn(&self.sessions, id)
    }

    /// Waiting, sent, received, acknowledged, and listed.
    fn counts(&self, id: &str) -> [usize; 5] {
        let AlarmReport { waiting, sent, received, acknowledged, recipients, .. } =
            self.alarms.report(id).unwrap();
        [waiting, sent, received, acknowledged, recipients.len()]
    }
}

fn users(names: impl IntoIterator<Item = usize>) -> AlarmAudience {
    AlarmAudience::Users(names.into_iter().map(|name| name.to_string().into()).collect())
}

#[tokio::test(start_paused = true)]
async fn the_reconnect_of_an_anonymous_client_does_not_take_its_acknowledgement_back() {
    let subject = Subject::new();
    let id = subject.raise(AlarmAudience::Everybody, 10).unwrap();
    for round in 0..3 {
        let (peer, _) = subject.connect("", "secret of one");
        assert_eq!(subject.acknowledge(&peer, &id, true), Acknowledgement::Recorded);
        if round == 0 {
            assert_eq!(subject.counts(&id), [0, 0, 1, 0, 1]);
            assert_eq!(subject.acknowledge(&peer, &id, false), Acknowledgement::Recorded);
        }
        assert_eq!(subject.counts(&id), [0, 0, 0, 1, 1], "round {round}");
        subject.sessions.remove(peer.id);
    }
    let (other, is_sent) = subject.connect("", "secret of another");
    assert!(is_sent);
    assert_eq!(subject.counts(&id), [0, 1, 0, 1, 2]);
    // For a user only the name counts, not the instance.
    subject.connect("ann", "secret of one");
    assert_eq!(subject.counts(&id), [0, 2, 0, 1, 3]);
    drop(other);
}

#[tokio::test(start_paused = true)]
async fn an_alarm_for_everybody_does_not_grow_with_anonymous_reconnects() {
    let subject = Subject::new();
    let id = subject.raise(AlarmAudience::Everybody, 10).unwrap();
    let (steady, _) = subject.connect("", "steady");
    assert_eq!(subject.acknowledge(&steady, &id, false), Acknowledgement::Recorded);
    subject.sessions.remove(steady.id);
    for round in 0..1000 {
        let (peer, is_sent) = subject.connect("", "");
        assert!(is_sent);
        if round % 10 == 0 {
            assert_eq!(subject.acknowledge(&peer, &id, false), Acknowledgement::Recorded);
        }
        subject.sessions.remove(peer.id);
        assert!(subject.counts(&id)[4] <= 130, "{round}: {:?}", subject.counts(&id));
    }
    let [_, sent, _, acknowledged, _] = subject.counts(&id);
    assert_eq!(acknowledged, 101, "what was acknowledged counts on");
    assert!(sent <= 130, "a recipient that is gone is not waited for: {sent}");
    assert!(!subject.alarms.report(&id).unwrap().recipients.is_empty());
    let (steady, _) = subject.connect("", "steady");
    assert_eq!(subject.acknowledge(&steady, &id, true), Acknowledgement::Recorded);
    assert_eq!(subject.counts(&id)[3], 101, "it is known again");
    subject.alarms.bytes();
}

#[tokio::test(start_paused = true)]
async fn all_ledgers_together_are_bounded_in_bytes() {
    let subject = Subject::new();
    let mut raised = Vec::new();
    let refused = loop {
        match subject.raise(users(raised.len() * 500..(raised.len() + 1) * 500), 1000) {
            Ok(id) => raised.push(id),
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused, AlarmRefusal::NoRoom);
    let bytes = subject.alarms.bytes();
    assert!((BOUND - 110_000..=BOUND).contains(&bytes), "{bytes}");
    // Ended alarms make room, the oldest first.
    assert!(subject.withdraw(&raised[1]));
    assert!(subject.raise(users(0..500), 1000).is_ok());
    assert!(subject.alarms.report(&raised[1]).is_none() && subject.alarms.report(&raised[0]).is_some());
    assert_eq!(subject.raise(users(0..10), BOUND), Err(AlarmRefusal::NoRoom));
    subject.alarms.bytes();
}

#[tokio::test(start_paused = true)]
async fn a_recipient_without_room_in_the_ledger_receives_the_alarm_and_is_not_listed() {
    let subject = Subject::new();
    let id = subject.raise(AlarmAudience::Everybody, BOUND - 2000).unwrap();
    let mut here = Vec::new();
    for number in 0..50 {
        let (peer, is_sent) = subject.connect(&format!("user {number}"), "");
        assert!(is_sent, "{number}");
        assert_eq!(subject.acknowledge(&peer, &id, false), Acknowledgement::Recorded);
        here.push(peer);
    }
    let report = subject.alarms.report(&id).unwrap();
    assert!((1..20).contains(&report.recipients.len()), "{}", report.recipients.len());
    assert_eq!(report.recipients.len() + report.unlisted, 50);
    assert!(subject.alarms.bytes() <= BOUND);
}

#[tokio::test(start_paused = true)]
async fn a_ledger_takes_so_many_users_and_no_more() {
    let subject = Subject::new();
    let raise = |audience| {
        let channel = ChannelName::new("alarm:fire").unwrap();
        let payload = (channel, Payload::default());
        let prepared = subject.alarms.prepare(None, payload, audience, TTL, usize::MAX);
        prepared.map(|new| subject.alarms.send_new(&subject.sessions, new))
    };
    assert_eq!(raise(users(0..=MAX_RECIPIENTS)), Err(AlarmRefusal::TooManyRecipients));
    let id = raise(users(0..MAX_RECIPIENTS)).unwrap();
    assert_eq!(subject.counts(&id), [MAX_RECIPIENTS, 0, 0, 0, MAX_RECIPIENTS]);
    let id = raise(users(std::iter::repeat_n(1, 2 * MAX_RECIPIENTS))).unwrap();
    assert_eq!(subject.counts(&id), [1, 0, 0, 0, 1], "each name counts once");
}

#[tokio::test(start_paused = true)]
async fn recipients_are_forgotten_some_time_after_the_end_and_their_numbers_are_known() {
    let subject = Subject::new();
    let id = subject.raise(users(0..100), 10).unwrap();
    let (peer, _) = subject.connect("7", "");
    assert_eq!(subject.acknowledge(&peer, &id, false), Acknowledgement::Recorded);
    let before = subject.alarms.bytes();
    tokio::time::advance(TTL + KEPT - Duration::from_secs(1)).await;
    assert!(subject.alarms.forget_recipients(None, Instant::now()).is_some());
    assert_eq!(subject.counts(&id), [99, 0, 0, 1, 100]);
    assert_eq!(subject.acknowledge(&peer, &id, false), Acknowledgement::Recorded, "it was in time");
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(subject.alarms.forget_recipients(None, Instant::now()), None, "no recipients are left");
    assert_eq!(subject.counts(&id), [99, 0, 0, 1, 0]);
    let report = subject.alarms.report(&id).unwrap();
    assert_eq!((report.departed, report.state), (100, AlarmState::Expired));
    assert!(subject.alarms.bytes() < before / 10);
    assert!(subject.alarms.claim_cleanup(), "the next cleanup has to be scheduled");
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_is_answered_if_it_is_too_late_or_unknown() {
    let subject = Subject::new();
    let (ann, _) = subject.connect("1", "");
    let (eve, _) = subject.connect("eve", "");
    let (ours, all) =
        (subject.raise(users([1]), 1).unwrap(), subject.raise(AlarmAudience::Everybody, 1).unwrap());
    assert_eq!(subject.acknowledge(&eve, &ours, false), Acknowledgement::Unknown, "it is not hers");
    assert_eq!(subject.acknowledge(&ann, "nothing", false), Acknowledgement::Unknown);
    assert_eq!(subject.acknowledge(&eve, &all, false), Acknowledgement::Recorded);
    assert_eq!(subject.acknowledge(&ann, &all, true), Acknowledgement::Recorded);
    tokio::time::advance(TTL).await;
    for (id, peer, expected) in [
        (&ours, &ann, Acknowledgement::IsOver),
        (&ours, &eve, Acknowledgement::Unknown),
        (&all, &ann, Acknowledgement::IsOver),
        (&all, &eve, Acknowledgement::Recorded),
    ] {
        assert_eq!(subject.acknowledge(peer, id, false), expected);
    }
    let (newcomer, _) = subject.connect("new", "");
    assert_eq!(subject.acknowledge(&newcomer, &all, false), Acknowledgement::IsOver, "it was for everybody");
}

#[tokio::test(start_paused = true)]
async fn recipients_are_read_page_by_page_the_unacknowledged_first() {
    let subject = Subject::new();
    let id = subject.raise(users(0..10), 1).unwrap();
    for name in ["3", "5"] {
        let (peer, _) = subject.connect(name, "");
        assert_eq!(subject.acknowledge(&peer, &id, name == "5"), Acknowledgement::Recorded);
    }
    let (mut names, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = subject.alarms.recipient_page(&id, after, 4).unwrap();
        names.extend(page.recipients.iter().map(|recipient| recipient.user.to_string()));
        pages += 1;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((names.join(" ").as_str(), pages), ("0 1 2 4 6 7 8 9 5 3", 3));
    assert!(subject.alarms.recipient_page(&id, None, 10).unwrap().next.is_none(), "they are all of them");
    assert!(subject.alarms.recipient_page("nothing", None, 10).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_restored_alarm_ends_by_the_wall_clock() {
    let subject = Subject::new();
    let raise = |ttl| {
        let content = (ChannelName::new("alarm:fire").unwrap(), Payload::json("1"));
        subject.alarms.prepare(None, content, users([1]), Duration::from_secs(ttl), BOUND).unwrap().record()
    };
    let records = vec![raise(60), raise(600)];
    let read = |wall| {
        let after = Subject::new();
        assert_eq!(after.alarms.restore(after.around(), records.clone(), wall, BOUND), 0);
        assert_eq!(after.alarms.bytes(), after.alarms.ledgers.lock().bytes);
        let states: Vec<_> = after.alarms.reports().iter().rev().map(|report| report.state).collect();
        (states, after.connect("1", "").0.mailbox.bytes() > 0)
    };
    let (active, expired) = (AlarmState::Active, AlarmState::Expired);
    let now = SystemTime::now();
    assert_eq!(read(now), (vec![active, active], true));
    assert_eq!(read(now + Duration::from_secs(300)), (vec![expired, active], true));
    assert_eq!(read(now + Duration::from_secs(3000)), (vec![expired, expired], false));
    assert_eq!(read(now - Duration::from_secs(3000)), (vec![active, active], true), "no longer than its ttl");
}

#[tokio::test(start_paused = true)]
async fn restored_alarms_have_the_bounds_of_others() {
    let subject = Subject::new();
    let raise = |bytes| {
        let content = (ChannelName::new("alarm:fire").unwrap(), Payload::bytes(vec![0; bytes]));
        subject.alarms.prepare(None, content, AlarmAudience::Everybody, TTL, usize::MAX).unwrap().record()
    };
    let later = SystemTime::now() + 2 * TTL;
    let after = Subject::new();
    after.alarms.restore(after.around(), (0..20).map(|_| raise(100_000)).collect(), later, BOUND);
    assert_eq!(after.alarms.reports().len(), 10);
    assert!(after.alarms.bytes() <= BOUND);
    let after = Subject::new();
    let records: Vec<_> = (0..MAX_ALARMS + 10).map(|_| raise(1)).collect();
    let newest: Vec<_> = records[10..].iter().rev().map(|record| record.key.clone()).collect();
    after.alarms.restore(after.around(), records, later - 2 * TTL, 10 * BOUND);
    let kept: Vec<Bytes> = after.alarms.reports().into_iter().map(|report| report.id.into()).collect();
    assert_eq!(kept, newest);
}

/// Everything in the report on an alarm.
fn seen(alarms: &Alarms, id: &str) -> String {
    let page = alarms.recipient_page(id, None, 1000).unwrap();
    let AlarmReport { waiting, sent, received, acknowledged, departed, unlisted, state, .. } = page.report;
    format!(
        "{state:?} {:?} {:?}",
        [waiting, sent, received, acknowledged, departed, unlisted],
        page.recipients
    )
}

/// A step on one of the nodes: four numbers decide its kind, node, alarm and time.
type Step = (u8, usize, usize, usize);

/// Carries the steps out on three nodes whose news come late, in any order, twice or not at all.
fn play(steps: Vec<Step>) {
    const NODES: usize = 3;
    let nodes: [Subject; NODES] = std::array::from_fn(|_| Subject::shared());
    let mut inboxes: [Vec<AlarmNews>; NODES] = Default::default();
    let (mut raised, mut peers) = (Vec::new(), Vec::new());
    let hear = |node: &Subject, news: AlarmNews| {
        node.alarms.hear(node.around(), news, BOUND);
        node.alarms.bytes();
    };
    for (kind, one, other, third) in steps {
        let node = &nodes[one % NODES];
        match kind {
            0 => {
                let audience = if other % 2 == 0 { AlarmAudience::Everybody } else { users(0..4) };
                raised.extend(node.raise(audience, 1));
            }
            1 => peers.push((one % NODES, node.connect(["", "0", "1", "2", "3", "4"][other % 6], "").0)),
            2 if !peers.is_empty() && !raised.is_empty() => {
                let (node, peer) = &peers[one % peers.len()];
                nodes[*node].acknowledge(peer, &raised[other % raised.len()], third % 2 == 0);
            }
            3 if !raised.is_empty() => drop(node.withdraw(&raised[other % raised.len()])),
            4.. if !inboxes[one % NODES].is_empty() => {
                let inbox = &mut inboxes[one % NODES];
                let place = other % inbox.len();
                let news = if third % 4 == 0 { inbox[place].clone() } else { inbox.swap_remove(place) };
                if third % 4 != 1 {
                    hear(node, news);
                }
            }
            _ => {}
        }
        for (number, node) in nodes.iter().enumerate() {
            for news in node.alarms.take_news() {
                inboxes.iter_mut().enumerate().filter(|(other, _)| *other != number).for_each(
                    |(_, inbox)| {
                        inbox.push(news.clone());
                    },
                );
            }
        }
    }
    // Some were lost, so the nodes ask each other for everything.
    for _ in 0..2 {
        for number in 0..NODES {
            let all = nodes[number].alarms.all_news(false);
            nodes.iter().enumerate().filter(|(other, _)| *other != number).for_each(|(_, node)| {
                all.iter().for_each(|news| hear(node, news.clone()));
            });
        }
    }
    for id in &raised {
        let first = seen(&nodes[0].alarms, id);
        for node in &nodes[1..] {
            assert_eq!(seen(&node.alarms, id), first, "{id}");
        }
    }
    let ids = |node: &Subject| node.alarms.reports().into_iter().map(|report| report.id).collect::<Vec<_>>();
    assert!(nodes.iter().all(|node| ids(node) == ids(&nodes[0])));
}

proptest::proptest! {
    #[test]
    fn nodes_agree_after_any_news(
        steps in proptest::collection::vec((0..8_u8, 0..1000_usize, 0..1000_usize, 0..1000_usize), 0..120),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(async { play(steps) });
    }
}
