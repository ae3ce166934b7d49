//! Observing a hub: events of sessions, and the views of a running hub that its operators use.

use std::fmt;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};
use wirehub_common::ChannelName;
use wirehub_common::code::CloseCode;

use crate::call::CallContext;
use crate::panic_guard::{guarded, guarded_future};

pub use crate::counters::Counts;
pub use crate::hub::inspect::{ChannelSummary, ConnectedSession, MemberPage, Phase};
pub use crate::hub::local::{LocalPublication, LocalSubscription, LocalUpdate};
pub use crate::hub::{ListPage, PresenceCounts};
pub use crate::refusals::RefusalReason;

/// An event of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionEvent {
    /// The session has begun.
    #[non_exhaustive]
    Connected {
        /// The name of the client's program.
        client: String,
        /// The program's version.
        version: String,
    },
    /// The session has ended, with all of its subscriptions. If a client vanishes without a close, the server notices it by an
    /// unanswered ping.
    #[non_exhaustive]
    Disconnected {
        /// The close code of the server; `None` if the client closed or vanished, or the connection was
        /// [aborted](crate::Hub::abort_connection).
        code: Option<CloseCode>,
    },
    /// It has been subscribed to a channel.
    Subscribed(ChannelName),
    /// It has been unsubscribed from a channel.
    Unsubscribed(ChannelName),
}

/// Receives the events of sessions. See [`Builder::observe`](crate::Builder::observe). A closure is an observer too.
pub trait Observer: Send + Sync + 'static {
    /// Handles an event. The session itself calls this and waits, so it must not block. The events of one session come in their
    /// order. A panic is logged, and has no other effect.
    fn notice(&self, who: &CallContext, event: SessionEvent);

    /// Called when the hub stops, after the last event, to deliver pending notifications. The hub waits for this within the
    /// [deadline](crate::Hub::shutdown).
    fn finish(&self) -> BoxFuture<'_, ()> {
        ready(()).boxed()
    }
}

impl<F: Fn(&CallContext, SessionEvent) + Send + Sync + 'static> Observer for F {
    fn notice(&self, who: &CallContext, event: SessionEvent) {
        self(who, event);
    }
}

/// The observers of a hub.
#[derive(Default)]
pub(crate) struct Observers(Vec<Box<dyn Observer>>);

impl Observers {
    pub(crate) fn add(&mut self, observer: impl Observer) {
        self.0.push(Box::new(observer));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn notice(&self, who: &CallContext, event: &SessionEvent) {
        for observer in &self.0 {
            // The session may end by a panic, and this call is part of the unwinding: a second panic would abort the process.
            let _ = guarded("an observer", || observer.notice(who, event.clone()));
        }
    }

    pub(crate) async fn finish(&self) {
        for observer in &self.0 {
            let _ = guarded_future("an observer", || observer.finish()).await;
        }
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observers").field("count", &self.0.len()).finish()
    }
}
