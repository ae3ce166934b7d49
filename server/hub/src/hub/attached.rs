//! The channels that are attached to the engine.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, sleep_until};
use wirehub_common::ChannelName;

use super::channel::{Channel, Place};
use super::sessions::Peer;
use super::watch::watch;
use super::{Hub, Inner};
use crate::engine::{EngineError, EngineFuture};

/// The attached channels of an engine with [`Attachments`](crate::engine::Attachments).
///
/// A channel is attached before its first subscriber is answered, and detached some time after its last one has left. The lock
/// is held while the engine is called, so that its calls for a channel have an order.
#[derive(Default)]
pub(crate) struct AttachedChannels {
    state: Mutex<AttachedState>,
    /// `true` after the watch has been started.
    is_watched: AtomicBool,
}

#[derive(Default)]
struct AttachedState {
    by_name: HashMap<ChannelName, Attachment>,
    /// The channels without subscribers, each with the time at which it is detached.
    leaving: VecDeque<(Instant, ChannelName)>,
    /// `true` while a task waits for them.
    is_scheduled: bool,
}

enum Attachment {
    Attaching(Attaching),
    Attached,
}

/// The answer to everybody who waits for the attachment of a channel.
pub(crate) type Attaching = Shared<BoxFuture<'static, Result<(), EngineError>>>;

impl AttachedChannels {
    /// The names of all attached channels.
    pub(super) fn names(&self) -> Vec<ChannelName> {
        let state = self.state.lock();
        let attached =
            state.by_name.iter().filter(|(_, attachment)| matches!(attachment, Attachment::Attached));
        attached.map(|(name, _)| name.clone()).collect()
    }

    fn ended(&self, name: &ChannelName, result: &Result<(), EngineError>) {
        let mut state = self.state.lock();
        match result {
            Ok(()) => drop(state.by_name.insert(name.clone(), Attachment::Attached)),
            Err(_) => drop(state.by_name.remove(name)),
        }
    }
}

impl Hub {
    /// Attaches a channel that has a subscriber now. `None` if it is attached, or if the engine has no attachments; otherwise
    /// the subscriber is answered after the future.
    pub(crate) fn attach(&self, name: &ChannelName) -> Option<Attaching> {
        let attachments = self.engine().attachments()?;
        self.start_watch();
        let mut state = self.inner.attached.state.lock();
        match state.by_name.get(name) {
            Some(Attachment::Attached) => return None,
            Some(Attachment::Attaching(attaching)) => return Some(attaching.clone()),
            None => {}
        }
        let later = match attachments.attach(name) {
            EngineFuture::Now(Ok(())) => {
                state.by_name.insert(name.clone(), Attachment::Attached);
                return None;
            }
            EngineFuture::Now(Err(error)) => return Some(async { Err(error) }.boxed().shared()),
            later @ EngineFuture::Later(_) => later,
        };
        let (hub, channel) = (self.downgrade(), name.clone());
        let attaching = async move {
            let result = later.await;
            if let Some(hub) = hub.upgrade() {
                hub.attached.ended(&channel, &result);
            }
            result
        };
        let attaching = attaching.boxed().shared();
        state.by_name.insert(name.clone(), Attachment::Attaching(attaching.clone()));
        Some(attaching)
    }

    /// Starts the watch over the engine's deliveries, if they are those of attached channels, and if there is a runtime.
    pub(crate) fn start_watch(&self) {
        if self.engine().attachments().is_some()
            && let Ok(runtime) = Handle::try_current()
            && !self.inner.attached.is_watched.swap(true, Ordering::Relaxed)
        {
            runtime.spawn(watch(self.downgrade()));
        }
    }

    /// Attaches a channel for a subscriber that waits for no answer. If the engine fails, this is repeated until it works or
    /// the channel has no subscriber.
    pub(super) fn keep_attached(&self, name: &ChannelName) {
        if self.engine().attachments().is_none() {
            return;
        }
        let Ok(runtime) = Handle::try_current() else {
            tracing::error!(
                "{name}: a subscription outside of a tokio runtime gets nothing from this engine"
            );
            return;
        };
        let Some(attaching) = self.attach(name) else { return };
        runtime.spawn(attach_again(self.downgrade(), name.clone(), attaching));
    }
}

impl Hub {
    /// Ends the subscription of a session: see [`Channel::leave`].
    pub(crate) fn leave_channel(
        &self,
        channel: &Arc<Channel>,
        place: Place,
        peer: &Peer,
        reply: Option<Bytes>,
    ) {
        self.inner.leave_channel(channel, place, reply);
        self.leave_presence(channel.name(), peer);
    }
}

impl Inner {
    pub(super) fn leave_channel(
        self: &Arc<Self>,
        channel: &Arc<Channel>,
        place: Place,
        reply: Option<Bytes>,
    ) {
        if self.channels.unsubscribe(channel, place, reply) {
            self.detach_later(channel.name());
        }
    }

    /// Detaches a channel without subscribers some time later, if it has none then.
    fn detach_later(self: &Arc<Self>, name: &ChannelName) {
        if self.settings.engine.attachments().is_none() {
            return;
        }
        let mut state = self.attached.state.lock();
        let now = Instant::now();
        state.leaving.push_back((now.checked_add(DETACH_DELAY).unwrap_or(now), name.clone()));
        if !state.is_scheduled
            && let Ok(runtime) = Handle::try_current()
        {
            state.is_scheduled = true;
            runtime.spawn(detach_all(Arc::downgrade(self)));
        }
    }

    /// Detaches the next channel whose time has come. Returns the time of the one after; `None` if there is none.
    fn detach_next(&self, now: Instant) -> Option<Instant> {
        let mut state = self.attached.state.lock();
        while let Some((due, _)) = state.leaving.front() {
            if *due > now {
                return Some(*due);
            }
            let Some((_, name)) = state.leaving.pop_front() else { break };
            // A subscriber enters the channel before it attaches it: it is seen here, or attaches the channel again.
            let is_used = self.channels.find(&name).is_some();
            let is_attached = matches!(state.by_name.get(&name), Some(Attachment::Attached));
            if !is_used
                && is_attached
                && let Some(attachments) = self.settings.engine.attachments()
            {
                state.by_name.remove(&name);
                attachments.detach(&name);
            }
        }
        state.is_scheduled = false;
        None
    }
}

async fn detach_all(hub: Weak<Inner>) {
    let mut due = Instant::now();
    loop {
        sleep_until(due).await;
        let Some(next) = hub.upgrade().and_then(|hub| hub.detach_next(Instant::now())) else { return };
        due = next;
    }
}

async fn attach_again(hub: Weak<Inner>, name: ChannelName, mut attaching: Attaching) {
    while let Err(error) = attaching.await {
        tracing::warn!("{name} can't be attached, and this is tried again: {error}");
        sleep(ATTACH_RETRY).await;
        let Some(inner) = hub.upgrade() else { return };
        if inner.channels.find(&name).is_none() {
            return;
        }
        match (Hub { inner }).attach(&name) {
            Some(next) => attaching = next,
            None => return,
        }
    }
}

/// The pause before a failed attachment is tried again.
const ATTACH_RETRY: Duration = Duration::from_secs(1);

/// The time that a channel without subscribers stays attached: many a subscriber comes back at once.
const DETACH_DELAY: Duration = Duration::from_secs(5);
