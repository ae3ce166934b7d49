//! What the application decides in each single case: whether a session may subscribe, and what becomes of what it
//! publishes.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use wirehub_common::frame::{ErrorInfo, Subscribe};
use wirehub_common::{ChannelName, Payload};

use crate::auth::Action;
use crate::call::{CallContext, CallError};
use crate::hub::live::put_by_pattern;
use crate::pattern::Pattern;

/// What a client wants to publish. See [`Builder::authorize_publish`](crate::Builder::authorize_publish).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PublishRequest {
    /// Where.
    pub channel: ChannelName,
    /// What.
    pub payload: Payload,
    /// The client's idempotency key; empty for none. A publish that is repeated after a lost connection has the same one.
    pub key: String,
}

/// The hooks of a hub. Of several that are for a channel the first one decides.
#[derive(Clone, Default)]
pub(crate) struct Hooks {
    subscribe: Vec<(Pattern, SubscribeHook)>,
    publish: Vec<(Pattern, PublishHook)>,
}

/// A decision to come.
pub(crate) type HookDecision<T> = BoxFuture<'static, Result<T, ErrorInfo>>;

type SubscribeHook = Arc<dyn Fn(CallContext, ChannelName) -> HookDecision<()> + Send + Sync>;
type PublishHook = Arc<dyn Fn(CallContext, PublishRequest) -> HookDecision<Payload> + Send + Sync>;

impl Hooks {
    pub(crate) fn on_subscribe<F, A>(&mut self, pattern: Pattern, hook: F)
    where
        F: Fn(CallContext, ChannelName) -> A + Send + Sync + 'static,
        A: Future<Output = Result<(), CallError>> + Send + 'static,
    {
        let hook = Arc::new(hook);
        let hook = move |context, channel| {
            let hook = Arc::clone(&hook);
            // All of it within the future: a panic in it is the decision's, and not the session's.
            async move { hook(context, channel).await.map_err(CallError::into_info) }.boxed()
        };
        put_by_pattern(&mut self.subscribe, pattern, Arc::new(hook));
    }

    pub(crate) fn on_publish<F, A>(&mut self, pattern: Pattern, hook: F)
    where
        F: Fn(CallContext, PublishRequest) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Payload, CallError>> + Send + 'static,
    {
        let hook = Arc::new(hook);
        let hook = move |context, request| {
            let hook = Arc::clone(&hook);
            async move { hook(context, request).await.map_err(CallError::into_info) }.boxed()
        };
        put_by_pattern(&mut self.publish, pattern, Arc::new(hook));
    }

    /// Who decides about subscriptions to a channel, and about reading its history.
    pub(crate) fn subscribing(&self, channel: &ChannelName) -> Option<&SubscribeHook> {
        first(&self.subscribe, channel)
    }

    /// Whether a hook decides on an action in a channel.
    pub(crate) fn decides(&self, action: Action, channel: &ChannelName) -> bool {
        match action {
            Action::Subscribe => self.subscribing(channel).is_some(),
            Action::Publish => self.publishing(channel).is_some(),
            Action::Presence => false,
        }
    }

    /// Whether there is somebody to ask about one of these.
    pub(crate) fn decide_on_any(&self, subscriptions: &[Subscribe]) -> bool {
        subscriptions.iter().any(|subscribe| self.subscribing(&subscribe.channel).is_some())
    }

    /// Who decides about publications in a channel.
    pub(crate) fn publishing(&self, channel: &ChannelName) -> Option<&PublishHook> {
        first(&self.publish, channel)
    }
}

fn first<'a, H>(hooks: &'a [(Pattern, H)], channel: &ChannelName) -> Option<&'a H> {
    hooks.iter().find(|(pattern, _)| pattern.matches(channel.as_str())).map(|(_, hook)| hook)
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("subscribe", &self.subscribe.len())
            .field("publish", &self.publish.len())
            .finish()
    }
}
