//! The handles for applications, and the driver's end beneath them.
//!
//! All handles of one client and its driver share one [`Core`] behind a lock. It is held only while the core works,
//! never while a future waits.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_channel::oneshot;
use futures_util::FutureExt as _;
use futures_util::future;
use futures_util::task::AtomicWaker;
use wirehub_common::code::ErrorCode;
use wirehub_common::{ChannelName, Payload, frame};

use self::by_id::ById;
use self::queue::{QueueSender, Refused};
use self::subscription::FeedId;
use crate::{
    ClientState, CommandId, Core, Error, ErrorKind, Event, Outcome, Recovery, StateChange, SubscriptionId,
    Time, TokenRequest,
};

mod alarm;
mod by_id;
mod client;
mod driver;
mod history;
mod lifetime;
mod members;
mod progress;
mod publications;
mod queue;
mod responses;
mod subscription;
#[cfg(test)]
mod tests;

pub use self::alarm::{Alarm, Alarms};
pub use self::client::{Client, StateChanges};
pub use self::driver::Driver;
pub use self::history::{HistoryPage, Unreadable};
pub use self::members::{MemberChange, MemberChanges, Members, PresenceCounts};
pub use self::progress::Progress;
pub use self::publications::Publications;
pub use self::responses::Responses;
pub use self::subscription::{Offers, Publication, Subscription, Update};

/// The state that the handles and the driver of one client share.
struct Shared {
    inner: Mutex<Inner>,
    /// Wakes the driver when a handle has added work.
    driver: AtomicWaker,
    clock: Box<dyn Fn() -> Time + Send + Sync>,
    /// Ends with the driver. A waiter that is dropped leaves nothing behind.
    ended: future::Shared<oneshot::Receiver<()>>,
}

struct Inner {
    core: Core,
    commands: ById<CommandId, Waiting>,
    /// The readers of each subscription: several if the server began it and the application subscribed by itself.
    subscriptions: ById<SubscriptionId, Vec<subscription::Feed>>,
    last_feed: FeedId,
    watchers: Vec<QueueSender<StateChange>>,
    errors: Vec<QueueSender<Error>>,
    broadcasts: Vec<QueueSender<frame::Publication>>,
    alarms: Vec<QueueSender<frame::Alarm>>,
    /// The reader of the subscriptions that the server begins.
    offers: Option<QueueSender<subscription::Offer>>,
    /// The question that the driver has not passed to the token provider yet.
    token_request: Option<TokenRequest>,
    /// Dropped with the driver.
    end: Option<oneshot::Sender<()>>,
}

/// The application's end of a command.
enum Waiting {
    /// A future, and the receiver of the progress.
    Answer(oneshot::Sender<Result<Outcome, Error>>, Option<progress::Watcher>),
    /// The stream of a call's responses.
    Responses(QueueSender<Result<Payload, Error>>),
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic under the lock leaves a valid core, because the core's methods do not panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Time {
        (self.clock)()
    }

    /// Runs `act` on the core, passes on the resulting events at once, and wakes the driver.
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
    /// Passes the core's events to the futures and streams that wait for them.
    fn dispatch(&mut self) {
        while let Some(event) = self.core.poll_event() {
            match event {
                Event::Completed { command, result } => match self.commands.remove(command) {
                    // The waiter may be gone.
                    Some(Waiting::Answer(answer, _)) => drop(answer.send(result)),
                    Some(Waiting::Responses(stream)) => stream.finish(result.err().map(Err)),
                    None => {}
                },
                Event::Progress { command, sent, total } => {
                    if let Some(Waiting::Answer(_, Some(progress))) = self.commands.get_mut(command) {
                        progress(Progress { sent, total });
                    }
                }
                Event::Response { command, payload } => {
                    let bytes = payload.data.len().saturating_add(size_of::<Payload>());
                    let Some(Waiting::Responses(stream)) = self.commands.get_mut(command) else { continue };
                    if stream.push(Ok(payload), bytes) == Err(Refused::Full) {
                        if let Some(Waiting::Responses(stream)) = self.commands.remove(command) {
                            let error = Error::from_code(ErrorKind::Usage, ErrorCode::OVERFLOW);
                            stream.finish(Some(Err(error)));
                        }
                        self.core.cancel(command);
                    }
                }
                Event::Epoch { subscription, epoch } => {
                    self.feed(subscription, &mut |feed, _| {
                        feed.set_epoch(&epoch);
                        Ok(())
                    });
                }
                Event::Subscribed { subscription, recovery } => {
                    self.feed(subscription, &mut |feed, _| {
                        feed.confirm(Ok(()));
                        if recovery != Recovery::First {
                            feed.push_change(&MemberChange::Unknown);
                        }
                        recovery.gap().map_or(Ok(()), |gap| feed.push_gap(gap))
                    });
                }
                Event::Gap { subscription, reason } => {
                    self.feed(subscription, &mut |feed, _| feed.push_gap(reason));
                }
                Event::Publication { subscription, publication } => {
                    let mut publication = Some(publication);
                    self.feed(subscription, &mut |feed, is_last| {
                        let own = if is_last { publication.take() } else { publication.clone() };
                        own.map_or(Ok(()), |publication| feed.push(publication))
                    });
                }
                Event::Unsubscribed { subscription, error } => {
                    for feed in self.subscriptions.remove(subscription).unwrap_or_default() {
                        feed.end(error.clone());
                    }
                }
                Event::State(mut change) => {
                    if let (true, Some(code)) = (change.reason.is_empty(), change.code) {
                        change.reason = code.message().into();
                    }
                    self.watchers.retain(|watcher| watcher.push(change.clone(), 1).is_ok());
                    if change.state == ClientState::Closed {
                        self.watchers.clear();
                        self.errors.clear();
                        self.broadcasts.clear();
                        self.alarms.clear();
                        self.offers = None;
                    }
                }
                Event::Error(error) => {
                    self.errors.retain(|watcher| watcher.push(error.clone(), 1).is_ok());
                }
                Event::TokenNeeded(request) => self.token_request = Some(request),
                Event::Joined { subscription, member } => {
                    self.feed_change(subscription, &MemberChange::Joined(member));
                }
                Event::Left { subscription, member } => {
                    let is_known = !member.session.is_empty();
                    let change = if is_known { MemberChange::Left(member) } else { MemberChange::Unknown };
                    self.feed_change(subscription, &change);
                }
                Event::Members { subscription, error } => {
                    self.feed(subscription, &mut |feed, _| {
                        feed.push_members(error.as_ref());
                        Ok(())
                    });
                }
                Event::Offered { subscription, channel } => self.offer(subscription, channel),
                Event::Alarm(alarm) => {
                    let bytes = alarm.payload.data.len().saturating_add(size_of::<frame::Alarm>());
                    self.alarms.retain(|watcher| watcher.push((*alarm).clone(), bytes).is_ok());
                }
                Event::Broadcast(publication) => {
                    let bytes =
                        publication.payload.data.len().saturating_add(size_of::<frame::Publication>());
                    self.broadcasts.retain(|watcher| watcher.push(publication.clone(), bytes).is_ok());
                }
            }
        }
    }

    /// Passes a subscription that the server began to its reader. Without a reader it ends.
    fn offer(&mut self, subscription: SubscriptionId, channel: ChannelName) {
        let config = self.core.config();
        let (sender, queue) = queue::new(config.receive_queue, config.overflow);
        let (confirm, ready) = oneshot::channel();
        let feed = self.add_feed(subscription, subscription::Feed::new(sender, confirm));
        let offer = subscription::Offer { subscription, feed, channel, queue, ready };
        let is_taken = self.offers.as_ref().is_some_and(|offers| offers.push(offer, 1).is_ok());
        if !is_taken {
            self.offers = None;
            self.end_feed(subscription, feed);
        }
    }

    fn add_feed(&mut self, subscription: SubscriptionId, mut feed: subscription::Feed) -> FeedId {
        self.last_feed = self.last_feed.next();
        feed.id = self.last_feed;
        match self.subscriptions.get_mut(subscription) {
            Some(feeds) => feeds.push(feed),
            None => self.subscriptions.insert(subscription, vec![feed]),
        }
        self.last_feed
    }

    /// A reader is gone. The subscription ends with its last reader.
    fn end_feed(&mut self, subscription: SubscriptionId, feed: FeedId) {
        let Some(feeds) = self.subscriptions.get_mut(subscription) else { return };
        let Some(index) = feeds.iter().position(|one| one.id == feed) else { return };
        if feeds.len() > 1 {
            feeds.remove(index).end(None);
        } else {
            self.core.unsubscribe(subscription);
        }
    }

    fn feed_change(&mut self, subscription: SubscriptionId, change: &MemberChange) {
        self.feed(subscription, &mut |feed, _| {
            feed.push_change(change);
            Ok(())
        });
    }

    /// Passes something to each reader of a subscription; `pass` is notified of the last one. A reader without room for it
    /// ends. It is a reference to a function, so that the code is there once, which is a kilobyte of a page.
    fn feed(
        &mut self,
        subscription: SubscriptionId,
        pass: &mut dyn FnMut(&mut subscription::Feed, bool) -> Result<(), Refused>,
    ) {
        let Some(feeds) = self.subscriptions.get_mut(subscription) else { return };
        let last = feeds.len().saturating_sub(1);
        let mut full = Vec::new();
        for (index, feed) in feeds.iter_mut().enumerate() {
            if pass(feed, index == last) == Err(Refused::Full) {
                full.push(feed.id);
            }
        }
        let overflow = || Error::from_code(ErrorKind::Usage, ErrorCode::OVERFLOW);
        if full.len() == feeds.len() {
            return self.core.fail_subscription(subscription, overflow());
        }
        for slow in feeds.extract_if(.., |feed| full.contains(&feed.id)) {
            slow.end(Some(overflow()));
        }
    }
}

/// The two ends of one client; `clock` returns the time.
fn pair(core: Core, clock: Box<dyn Fn() -> Time + Send + Sync>) -> (Client, Driver) {
    let (end, ended) = oneshot::channel();
    let inner = Inner {
        core,
        commands: ById::new(),
        subscriptions: ById::new(),
        last_feed: FeedId::default(),
        watchers: Vec::new(),
        errors: Vec::new(),
        broadcasts: Vec::new(),
        alarms: Vec::new(),
        offers: None,
        token_request: None,
        end: Some(end),
    };
    let ended = ended.shared();
    let shared = Arc::new(Shared { inner: Mutex::new(inner), driver: AtomicWaker::new(), clock, ended });
    (Client::new(Arc::clone(&shared)), Driver::new(shared))
}
