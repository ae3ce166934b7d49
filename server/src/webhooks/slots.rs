//! Limits the requests at once, and orders those that wait.
//!
//! Each session, and each user or address with all its sessions, has a share of the slots. However slowly a backend
//! answers for one of them, others have slots. Requests beyond a share wait in a line of their own, so they do not
//! block the common line.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::SessionId;
use crate::call::{CallContext, Payer};

/// The slots for the requests to one URL.
pub(super) struct Slots {
    all: Semaphore,
    count: usize,
    /// Limits the requests with low priority, which wait for a slot or have one.
    low: Semaphore,
    /// The shares of the sessions and users with requests at the moment.
    shares: Mutex<HashMap<Holder, ShareState>>,
}

/// The priority of a request.
#[derive(Clone, Copy)]
pub(super) enum QueuePriority<'a> {
    /// A client that connects.
    High,
    /// A new token of a connected session. New clients have priority, and only a few of these are in the line before
    /// them.
    Low,
    /// A command of a session.
    Session(&'a CallContext),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Holder {
    Session(SessionId),
    Payer(Payer),
}

struct ShareState {
    share: Arc<Semaphore>,
    /// The number of requests that have, or wait for, a part of the share.
    requests: usize,
}

/// The share of a request. It is removed with the last request.
struct Share<'a> {
    slots: &'a Slots,
    holder: Holder,
    share: Arc<Semaphore>,
}

impl Slots {
    pub(super) fn new(count: usize) -> Self {
        let low = Semaphore::new(count.div_ceil(LOW_PART));
        Self { all: Semaphore::new(count), count, low, shares: Mutex::default() }
    }

    /// Runs the work as soon as it has a slot. The semaphores are never closed.
    pub(super) async fn run<T>(&self, priority: QueuePriority<'_>, work: impl Future<Output = T>) -> T {
        let _low = if matches!(priority, QueuePriority::Low) { self.low.acquire().await.ok() } else { None };
        let QueuePriority::Session(context) = priority else { return self.run_now(work).await };
        let own = self.share(Holder::Session(context.session()), SESSION_PART);
        let _own = own.share.acquire().await.ok();
        let Some(payer) = context.payer() else { return self.run_now(work).await };
        let common = self.share(Holder::Payer(payer), PAYER_PART);
        let _common = common.share.acquire().await.ok();
        self.run_now(work).await
    }

    async fn run_now<T>(&self, work: impl Future<Output = T>) -> T {
        let _slot = self.all.acquire().await.ok();
        work.await
    }

    /// The share of a holder: one in `part` slots, and at least one.
    fn share(&self, holder: Holder, part: usize) -> Share<'_> {
        let mut shares = self.shares.lock();
        let known = shares.entry(holder.clone()).or_insert_with(|| ShareState {
            share: Arc::new(Semaphore::new(self.count.div_ceil(part))),
            requests: 0,
        });
        known.requests = known.requests.saturating_add(1);
        Share { slots: self, holder, share: Arc::clone(&known.share) }
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        let mut shares = self.slots.shares.lock();
        match shares.get_mut(&self.holder) {
            Some(known) if known.requests > 1 => known.requests = known.requests.saturating_sub(1),
            _ => drop(shares.remove(&self.holder)),
        }
    }
}

/// One in this many slots is for requests with low priority.
const LOW_PART: usize = 4;

/// A session has at most one in this many slots. A user with all sessions, or an address with all anonymous ones, has
/// at most one in `PAYER_PART`.
const SESSION_PART: usize = 4;
const PAYER_PART: usize = 2;

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use std::future::pending;
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::FutureExt as _;
    use futures_util::future::BoxFuture;

    use super::*;
    use crate::Hub;

    struct Questions<'a> {
        slots: &'a Slots,
        asked: Vec<BoxFuture<'a, ()>>,
    }

    impl<'a> Questions<'a> {
        /// The number of requests that ten endless ones of this session can have at once.
        fn of(&mut self, context: &'a CallContext) -> usize {
            let before = self.free();
            for _ in 0..10 {
                let mut question = self.slots.run(QueuePriority::Session(context), pending()).boxed();
                assert_eq!((&mut question).now_or_never(), None);
                self.asked.push(question);
            }
            before - self.free()
        }

        fn free(&self) -> usize {
            self.slots.all.available_permits()
        }
    }

    static NEXT: AtomicU32 = AtomicU32::new(0);

    fn session(hub: &Hub, user: &str, address: Option<&str>) -> CallContext {
        let address = address.map(|address| address.parse().unwrap());
        let id = format!("{:0>21}A", NEXT.fetch_add(1, Ordering::Relaxed)).parse().unwrap();
        CallContext::new(id, user.into(), address, hub.clone())
    }

    #[tokio::test]
    async fn a_session_has_a_quarter_of_the_slots_and_a_user_or_an_address_half() {
        let hub = Hub::builder().build();
        let ann = [(); 3].map(|()| session(&hub, "ann", Some("192.0.2.1")));
        let bob = session(&hub, "bob", Some("192.0.2.1"));
        let network = ["2001:db8::1", "2001:db8::2", "2001:db8::3"];
        let anonymous = network.map(|address| session(&hub, "", Some(address)));
        let unknown = session(&hub, "", None);
        let slots = Slots::new(8);
        let mut questions = Questions { slots: &slots, asked: Vec::new() };
        assert_eq!(ann.each_ref().map(|session| questions.of(session)), [2, 2, 0]);
        assert_eq!(questions.of(&bob), 2);
        questions.asked.clear();
        assert_eq!((questions.free(), slots.shares.lock().len()), (8, 0), "nothing is left of them");

        assert_eq!(anonymous.each_ref().map(|session| questions.of(session)), [2, 2, 0]);
        assert_eq!(questions.of(&unknown), 2, "without an address only the session's share applies");
        questions.asked.clear();
        assert_eq!(questions.of(&ann[2]), 2);
    }

    #[tokio::test]
    async fn requests_beyond_a_share_do_not_block_later_ones() {
        let hub = Hub::builder().build();
        let [ann, bob] = ["ann", "bob"].map(|user| session(&hub, user, None));
        let slots = Slots::new(1);
        let mut questions = Questions { slots: &slots, asked: Vec::new() };
        assert_eq!(questions.of(&ann), 1);
        let mut other = slots.run(QueuePriority::Session(&bob), async {}).boxed();
        assert_eq!((&mut other).now_or_never(), None);
        drop(questions.asked.remove(0));
        for question in &mut questions.asked {
            assert_eq!(question.now_or_never(), None);
        }
        assert_eq!(other.now_or_never(), Some(()));
    }
}
