//! How many questions are asked at once, and which of those that wait is next.
//!
//! What one session wants, and one user or address wants by many sessions, has a share of the slots: however slowly a backend
//! answers it, there are slots for others. Beyond its share it waits in a line of its own, so it is not before others in the
//! line of all.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::SessionId;
use crate::call::{CallContext, Payer};

/// The slots for the questions at one address.
pub(super) struct Slots {
    all: Semaphore,
    count: usize,
    /// How many of them those may wait for, and have, who let others go first.
    late: Semaphore,
    /// The shares of those who ask, or wait, at the moment.
    shares: Mutex<HashMap<Holder, Known>>,
}

/// Who a question is for.
#[derive(Clone, Copy)]
pub(super) enum Turn<'a> {
    /// A client that connects.
    Connecting,
    /// A session that goes on meanwhile: it lets others go first, and is never before many that do not.
    Late,
    /// A session that wants something.
    Of(&'a CallContext),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Holder {
    Session(SessionId),
    Payer(Payer),
}

struct Known {
    share: Arc<Semaphore>,
    /// How many questions have, or wait for, something of it.
    questions: usize,
}

/// What a question has a slot of. It is forgotten with the last question.
struct Share<'a> {
    slots: &'a Slots,
    holder: Holder,
    share: Arc<Semaphore>,
}

impl Slots {
    pub(super) fn new(count: usize) -> Self {
        let late = Semaphore::new(count.div_ceil(LATE));
        Self { all: Semaphore::new(count), count, late, shares: Mutex::default() }
    }

    /// Does the work as soon as there is a slot for it. None of the semaphores is ever closed.
    pub(super) async fn run<T>(&self, turn: Turn<'_>, work: impl Future<Output = T>) -> T {
        let _late = if matches!(turn, Turn::Late) { self.late.acquire().await.ok() } else { None };
        let Turn::Of(context) = turn else { return self.run_now(work).await };
        let own = self.share(Holder::Session(context.session()), OF_SESSION);
        let _own = own.share.acquire().await.ok();
        let Some(payer) = context.payer() else { return self.run_now(work).await };
        let common = self.share(Holder::Payer(payer), OF_PAYER);
        let _common = common.share.acquire().await.ok();
        self.run_now(work).await
    }

    async fn run_now<T>(&self, work: impl Future<Output = T>) -> T {
        let _slot = self.all.acquire().await.ok();
        work.await
    }

    /// One in so many slots, and at least one.
    fn share(&self, holder: Holder, part: usize) -> Share<'_> {
        let mut shares = self.shares.lock();
        let known = shares.entry(holder.clone()).or_insert_with(|| Known {
            share: Arc::new(Semaphore::new(self.count.div_ceil(part))),
            questions: 0,
        });
        known.questions = known.questions.saturating_add(1);
        Share { slots: self, holder, share: Arc::clone(&known.share) }
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        let mut shares = self.slots.shares.lock();
        match shares.get_mut(&self.holder) {
            Some(known) if known.questions > 1 => known.questions = known.questions.saturating_sub(1),
            _ => drop(shares.remove(&self.holder)),
        }
    }
}

/// One in so many slots is for those that let others go first.
const LATE: usize = 4;

/// One in so many slots a session has at most, and a user with all sessions, or an address with all that are anonymous.
const OF_SESSION: usize = 4;
const OF_PAYER: usize = 2;

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
        /// How many are asked at once of ten of this session, which go on for ever.
        fn of(&mut self, context: &'a CallContext) -> usize {
            let before = self.free();
            for _ in 0..10 {
                let mut question = self.slots.run(Turn::Of(context), pending()).boxed();
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
        assert_eq!(questions.of(&unknown), 2, "no address is nobody's");
        questions.asked.clear();
        assert_eq!(questions.of(&ann[2]), 2);
    }

    #[tokio::test]
    async fn those_beyond_their_share_are_behind_others_who_came_later() {
        let hub = Hub::builder().build();
        let [ann, bob] = ["ann", "bob"].map(|user| session(&hub, user, None));
        let slots = Slots::new(1);
        let mut questions = Questions { slots: &slots, asked: Vec::new() };
        assert_eq!(questions.of(&ann), 1);
        let mut other = slots.run(Turn::Of(&bob), async {}).boxed();
        assert_eq!((&mut other).now_or_never(), None);
        drop(questions.asked.remove(0));
        for question in &mut questions.asked {
            assert_eq!(question.now_or_never(), None);
        }
        assert_eq!(other.now_or_never(), Some(()));
    }
}
