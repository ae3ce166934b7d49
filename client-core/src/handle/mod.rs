//! What applications hold, and what runs beneath it.
//!
//! All handles of one client and its driver share one [`Core`] behind a lock, which is held for as long as the core
//! takes, and never while somebody waits.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_channel::oneshot;
use futures_util::task::AtomicWaker;
use wirehub_common::code::ErrorCode;

use self::queue::QueueSender;
use crate::{
    CommandId, Core, Error, ErrorKind, Event, Outcome, State, StateChange, SubscriptionId, Time, TokenRequest,
};

mod client;
mod driver;
mod queue;
mod subscription;

pub use self::client::{Client, HistoryPage, StateChanges};
pub use self::driver::Driver;
pub use self::subscription::{Publication, Subscription};

/// What the handles and the driver of one client share.
struct Shared {
    inner: Mutex<Inner>,
    /// Wakes the driver when a handle gave the core something to do.
    driver: AtomicWaker,
    clock: Box<dyn Fn() -> Time + Send + Sync>,
}

struct Inner {
    core: Core,
    commands: BTreeMap<CommandId, oneshot::Sender<Result<Outcome, Error>>>,
    subscriptions: BTreeMap<SubscriptionId, subscription::Feed>,
    watchers: Vec<QueueSender<StateChange>>,
    errors: Vec<QueueSender<Error>>,
    /// What the driver has not taken to the token provider yet.
    token_request: Option<TokenRequest>,
    /// Dropped with the driver.
    enders: Option<Vec<oneshot::Sender<()>>>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic in between leaves a core that is whole: its methods do not panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Time {
        (self.clock)()
    }

    /// Has a handle act on the core, hands out what that gave at once, and wakes the driver.
    fn act<T>(&self, act: impl FnOnce(&mut Inner, Time) -> T) -> T {
        let result = {
            let mut inner = self.lock();
            let result = act(&mut inner, self.now());
            inner.dispatch();
            result
        };
        self.driver.wake();
        result
    }
}

impl Inner {
    /// Hands the core's events to those who wait for them.
    fn dispatch(&mut self) {
        while let Some(event) = self.core.poll_event() {
            match event {
                Event::Completed { command, result } => {
                    if let Some(waiting) = self.commands.remove(&command) {
                        // Whoever waited may have gone.
                        let _ = waiting.send(result);
                    }
                }
                Event::Subscribed { subscription, .. } => {
                    if let Some(feed) = self.subscriptions.get_mut(&subscription) {
                        feed.confirm(Ok(()));
                    }
                }
                Event::Publication { subscription, publication } => {
                    let full =
                        self.subscriptions.get_mut(&subscription).is_some_and(|feed| !feed.push(publication));
                    if full {
                        let error = Error::from_code(ErrorKind::Usage, ErrorCode::OVERFLOW);
                        self.core.fail_subscription(subscription, error);
                    }
                }
                Event::Unsubscribed { subscription, error } => {
                    if let Some(feed) = self.subscriptions.remove(&subscription) {
                        feed.end(error);
                    }
                }
                Event::State(mut change) => {
                    if let (true, Some(code)) = (change.reason.is_empty(), change.code) {
                        change.reason = code.message().into();
                    }
                    self.watchers.retain(|watcher| watcher.push(change.clone(), 1).is_ok());
                    if change.state == State::Closed {
                        self.watchers.clear();
                        self.errors.clear();
                    }
                }
                Event::Error(error) => {
                    self.errors.retain(|watcher| watcher.push(error.clone(), 1).is_ok());
                }
                Event::TokenNeeded(request) => self.token_request = Some(request),
                Event::Broadcast(_) => {}
            }
        }
    }
}

/// The two ends of one client; `clock` gives the time.
fn pair(core: Core, clock: Box<dyn Fn() -> Time + Send + Sync>) -> (Client, Driver) {
    let inner = Inner {
        core,
        commands: BTreeMap::new(),
        subscriptions: BTreeMap::new(),
        watchers: Vec::new(),
        errors: Vec::new(),
        token_request: None,
        enders: Some(Vec::new()),
    };
    let shared = Arc::new(Shared { inner: Mutex::new(inner), driver: AtomicWaker::new(), clock });
    (Client::new(Arc::clone(&shared)), Driver::new(shared))
}
