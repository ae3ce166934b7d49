//! Observing a hub: events of sessions, and the views of a running hub that its operators use.

use std::fmt;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};
use wirehub_common::ChannelName;
use wirehub_common::code::CloseCode;

use crate::call::CallContext;
use crate::guard::{guarded, guarded_future};

pub use crate::counters::Counts;
pub use crate::hub::PresenceCounts;
pub use crate::hub::inspect::{ChannelSummary, ConnectedSession, MemberPage, Phase};
pub use crate::refusals::RefusalReason;

/// What has happened to a session.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionEvent {
    /// It has begun.
    #[non_exhaustive]
    Connected {
        /// What the client's program calls itself.
        client: String,
        /// The program's version.
        version: String,
    },
    /// It has ended, and so have its subscriptions. The server hears of a client that is gone without a word when it does
    /// not answer a ping.
    #[non_exhaustive]
    Disconnected {
        /// What the server closed with; nothing where the client closed, or is gone.
        code: Option<CloseCode>,
    },
    /// It has been subscribed to a channel.
    Subscribed(ChannelName),
    /// It is not any more.
    Unsubscribed(ChannelName),
}

/// Is told what happens to sessions. See [`Builder::observe`](crate::Builder::observe); a closure is one.
pub trait Observer: Send + Sync + 'static {
    /// Something has happened. Called by the session itself, which waits: this must not block. What happens to one session
    /// is told in its order. A panic is told in the log, and harms nothing else.
    fn notice(&self, who: &CallContext, event: SessionEvent);

    /// The hub stops, and nothing happens any more: what waits to be told to others can be. The hub waits for this within
    /// the [deadline](crate::Hub::shutdown).
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
            // It may be a session that ends by a panic which tells this: another one would end the process.
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
