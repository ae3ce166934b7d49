use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use wirehub_common::frame::{HistoryPage, Idempotency};

use super::*;
use crate::SessionId;
use crate::engine::{EngineError, MemoryFleet, MemoryNode, Node, PresenceEntry, Publications};
use crate::observe::{MemberPage, PresenceCounts};

async fn fleet(count: usize) -> Vec<MemoryNode> {
    let fleet = MemoryFleet::new();
    (0..count).map(|_| fleet.node()).collect()
}

async fn slow(count: usize) -> Vec<MemoryNode> {
    let nodes = fleet(count).await;
    for (node, milliseconds) in nodes.iter().zip(1..) {
        node.set_latency(Duration::from_millis(milliseconds));
    }
    nodes
}

#[tokio::test(start_paused = true)]
async fn a_fleet_in_memory_keeps_its_promises() {
    super::super::check(|| MemoryFleet::new().node()).await;
    check_several(fleet).await;
    check_attachments(fleet).await;
    check_nodes(fleet).await;
    check_presence(fleet).await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_takes_its_time_may_do_so() {
    check_several(slow).await;
    check_attachments(slow).await;
    check_nodes(slow).await;
    check_presence(slow).await;
}

/// The fault of a broken node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    ForgetsKeys,
    DeliversTwice,
    HasItsOwnHistory,
    AttachesLater,
    NeverDetaches,
    LosesProbes,
    LosesAttachmentsInRenewal,
    IgnoresWhatWasSeen,
    SendsTwice,
    SendsToItself,
    ListsTheDead,
    HasNoGrace,
    JoinsTwice,
    JoinsWithinTheCall,
    KnowsItsOwnMembersOnly,
    SaysThatThereIsNoMore,
    EntersLater,
    CountsForgetfully,
    HidesLosses,
}

/// A node with a fault.
#[derive(Debug)]
struct Broken {
    node: MemoryNode,
    /// The store of this node alone.
    alone: MemoryNode,
    fault: Fault,
    /// Every node that was ever listed.
    known: Arc<Mutex<BTreeMap<NodeId, Node>>>,
    delivery: Mutex<Option<Delivery>>,
}

/// Makes nodes with a fault.
fn broken(fault: Fault) -> impl AsyncFn(usize) -> Vec<Broken> {
    async move |count| {
        let nodes = fleet(count).await.into_iter().map(|node| Broken {
            node,
            alone: MemoryFleet::new().node(),
            fault,
            known: Arc::default(),
            delivery: Mutex::default(),
        });
        nodes.collect()
    }
}

impl Broken {
    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn publications(&self) -> &MemoryNode {
        if self.has(Fault::HasItsOwnHistory) { &self.alone } else { &self.node }
    }
}

/// The way to the hub of a broken node.
struct BrokenDelivery {
    delivery: Delivery,
    fault: Fault,
    has_probed: AtomicBool,
}

impl DeliveryRecipient for BrokenDelivery {
    fn deliver(&self, publication: Publication, epoch: &Epoch) {
        if self.fault == Fault::DeliversTwice {
            self.delivery.deliver(publication.clone(), epoch);
        }
        self.delivery.deliver(publication, epoch);
    }

    fn probed(&self, number: u64) {
        if self.fault != Fault::LosesProbes || !self.has_probed.swap(true, Ordering::Relaxed) {
            self.delivery.probed(number);
        }
    }

    fn moved(&self, movement: Movement, is_join: bool) {
        if self.fault == Fault::JoinsTwice && is_join {
            self.delivery.moved(movement.clone(), is_join);
        }
        self.delivery.moved(movement, is_join);
    }

    fn presence_lost(&self) {
        if self.fault != Fault::HidesLosses {
            self.delivery.presence_lost();
        }
    }

    fn node_message(&self, sender: NodeId, message: Bytes) {
        if self.fault == Fault::SendsTwice {
            self.delivery.node_message(sender, message.clone());
        }
        self.delivery.node_message(sender, message);
    }
}

impl Engine for Broken {
    fn start(&self, delivery: Delivery) {
        *self.delivery.lock() = Some(delivery.clone());
        let has_probed = AtomicBool::new(false);
        let delivery = Delivery::to(BrokenDelivery { delivery, fault: self.fault, has_probed });
        self.node.start(delivery.clone());
        self.alone.start(delivery);
    }

    fn attachments(&self) -> Option<&dyn Attachments> {
        Some(self)
    }

    fn nodes(&self) -> Option<&dyn Nodes> {
        Some(self)
    }

    fn presence(&self) -> Option<&dyn Presence> {
        Some(self)
    }
}

impl Publications for Broken {
    fn idempotency(&self) -> Option<Idempotency> {
        self.node.idempotency()
    }

    fn publish(&self, publish: EnginePublish) -> EngineFuture<Option<Position>> {
        let key = if self.has(Fault::ForgetsKeys) { String::new() } else { publish.key.clone() };
        self.publications().publish(EnginePublish { key, ..publish })
    }

    fn locate(&self, locate: Locate) -> EngineFuture<Located> {
        self.publications().locate(locate)
    }

    fn history(&self, read: ReadHistory) -> EngineFuture<Option<HistoryPage>> {
        self.publications().history(read)
    }
}

impl Attachments for Broken {
    fn attach(&self, channel: &ChannelName) -> EngineFuture<()> {
        if self.has(Fault::HasItsOwnHistory) {
            drop(self.alone.attach(channel));
        }
        if self.has(Fault::AttachesLater) {
            let (node, channel) = (self.node.clone(), channel.clone());
            tokio::spawn(async move {
                sleep(Duration::from_millis(50)).await;
                node.attach(&channel).await
            });
            return EngineFuture::Now(Ok(()));
        }
        self.node.attach(channel)
    }

    fn detach(&self, channel: &ChannelName) {
        if !self.has(Fault::NeverDetaches) {
            self.node.detach(channel);
        }
    }

    fn probe(&self, number: u64) {
        self.node.probe(number);
    }

    fn renew(&self) -> EngineFuture<()> {
        if self.has(Fault::LosesAttachmentsInRenewal) {
            for channel in self.node.attached() {
                self.node.detach(&channel);
            }
        }
        self.node.renew()
    }

    fn newest(&self, seen: Vec<(ChannelName, Option<Position>)>) -> EngineFuture<Vec<Option<Position>>> {
        let ignores = self.has(Fault::IgnoresWhatWasSeen);
        let seen = seen.into_iter().map(|(channel, seen)| (channel, seen.filter(|_| !ignores)));
        self.node.newest(seen.collect())
    }
}

impl Nodes for Broken {
    fn own(&self) -> NodeId {
        self.node.own()
    }

    fn report(&self, report: NodeReport) -> EngineFuture<()> {
        self.node.report(report)
    }

    fn list(&self) -> EngineFuture<Vec<Node>> {
        let (known, lies) = (Arc::clone(&self.known), self.has(Fault::ListsTheDead));
        self.node.list().map(move |list| {
            if !lies {
                return list;
            }
            let mut known = known.lock();
            known.extend(list.into_iter().map(|node| (node.id, node)));
            known.values().cloned().collect()
        })
    }

    fn send(&self, to: Option<NodeId>, message: Bytes) -> EngineFuture<()> {
        if self.has(Fault::SendsToItself) && to.is_none() {
            drop(self.node.send(Some(self.own()), message.clone()));
        }
        self.node.send(to, message)
    }
}

impl Presence for Broken {
    fn enter(&self, mut entry: PresenceEntry) -> EngineFuture<()> {
        if self.has(Fault::HasNoGrace) {
            entry.grace = entry.grace.map(|_| Duration::ZERO);
        }
        if self.has(Fault::JoinsWithinTheCall)
            && let Some(delivery) = &*self.delivery.lock()
        {
            let movement = Movement { channel: entry.channel.clone(), member: entry.member.clone() };
            delivery.moved(movement, true);
        }
        if self.has(Fault::KnowsItsOwnMembersOnly) {
            return self.alone.enter(entry);
        }
        if self.has(Fault::EntersLater) {
            let node = self.node.clone();
            return EngineFuture::Later(Box::pin(async move {
                sleep(Duration::from_millis(5)).await;
                node.enter(entry).await
            }));
        }
        self.node.enter(entry)
    }

    fn leave(&self, entry: PresenceEntry) -> EngineFuture<()> {
        if self.has(Fault::KnowsItsOwnMembersOnly) { self.alone.leave(entry) } else { self.node.leave(entry) }
    }

    fn members(
        &self,
        channel: &ChannelName,
        after: Option<SessionId>,
        most: usize,
    ) -> EngineFuture<MemberPage> {
        if self.has(Fault::KnowsItsOwnMembersOnly) {
            return self.alone.members(channel, after, most);
        }
        let lies = self.has(Fault::SaysThatThereIsNoMore);
        self.node.members(channel, after, most).map(move |mut page| {
            page.more &= !lies;
            page
        })
    }

    fn counts(&self, channel: &ChannelName) -> EngineFuture<PresenceCounts> {
        if self.has(Fault::KnowsItsOwnMembersOnly) {
            return self.alone.counts(channel);
        }
        self.node.counts(channel)
    }

    fn count_session(&self, user: &str, session: SessionId, limit: u32) -> EngineFuture<bool> {
        self.node.count_session(user, session, limit)
    }

    fn uncount_session(&self, user: &str, session: SessionId) -> EngineFuture<()> {
        if self.has(Fault::CountsForgetfully) {
            return EngineFuture::Now(Ok::<(), EngineError>(()));
        }
        self.node.uncount_session(user, session)
    }
}

/// One test for each fault.
macro_rules! caught {
    ($($test:ident: $check:ident, $fault:ident, $words:literal;)*) => {
        $(
            #[tokio::test(start_paused = true)]
            #[should_panic(expected = $words)]
            async fn $test() {
                $check(broken(Fault::$fault)).await;
            }
        )*
    };
}

caught! {
    keys_that_are_forgotten_are_caught: check_several, ForgetsKeys, "the first one's answer";
    doubled_publications_are_caught: check_several, DeliversTwice, "each once";
    a_history_of_each_node_is_caught: check_several, HasItsOwnHistory, "the offsets are those of the store";
    an_early_answer_of_attach_is_caught: check_attachments, AttachesLater, "everything behind the answer of attach";
    a_channel_that_is_never_detached_is_caught: check_attachments, NeverDetaches, "a detached channel";
    lost_probes_are_caught: check_attachments, LosesProbes, "the probes come back";
    a_renewal_without_the_channels_is_caught: check_attachments, LosesAttachmentsInRenewal, "it is still attached";
    an_epoch_that_goes_on_behind_a_loss_is_caught: check_attachments, IgnoresWhatWasSeen, "of the old epoch are lost";
    doubled_messages_are_caught: check_nodes, SendsTwice, "each once";
    a_message_to_its_sender_is_caught: check_nodes, SendsToItself, "or at its sender";
    a_dead_node_in_the_list_is_caught: check_nodes, ListsTheDead, "a dead node is not listed";
    a_leave_without_a_grace_is_caught: check_presence, HasNoGrace, "until the grace has passed";
    doubled_joins_are_caught: check_presence, JoinsTwice, "they join once";
    a_join_within_the_call_is_caught: check_presence, JoinsWithinTheCall, "do not arrive within a call";
    members_of_each_node_are_caught: check_presence, KnowsItsOwnMembersOnly, "in the order of their ids";
    a_page_that_hides_the_next_is_caught: check_presence, SaysThatThereIsNoMore, "the page says if there are more";
    a_late_entry_is_caught: check_presence, EntersLater, "the earlier calls";
    sessions_that_count_for_ever_are_caught: check_presence, CountsForgetfully, "the session has ended";
    a_hidden_loss_of_presence_is_caught: check_presence, HidesLosses, "hears that its presence was lost";
}
