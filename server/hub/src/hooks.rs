//! Decisions of the application on single commands: subscriptions and publications.

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

/// A client's request to publish. See [`Builder::authorize_publish`](crate::Builder::authorize_publish).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PublishRequest {
    /// The channel.
    pub channel: ChannelName,
    /// The message.
    pub payload: Payload,
    /// The client's idempotency key; empty for none. A repeat after a lost connection has the same key.
    pub key: String,
}

/// The hooks of a hub. For each channel the first matching hook decides.
#[derive(Clone, Default)]
pub(crate) struct Hooks {
    subscribe: Vec<(Pattern, SubscribeHook)>,
    publish: Vec<(Pattern, PublishHook)>,
}

/// A pending decision.
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
            // The whole call is inside the future, so that a panic in it fails the decision and not the session.
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

    /// The hook for subscriptions to a channel, and for reads of its history.
    pub(crate) fn subscribing(&self, channel: &ChannelName) -> Option<&SubscribeHook> {
        first(&self.subscribe, channel)
    }

    /// `true` if a hook decides on an action in a channel.
    pub(crate) fn decides(&self, action: Action, channel: &ChannelName) -> bool {
        match action {
            Action::Subscribe => self.subscribing(channel).is_some(),
            Action::Publish => self.publishing(channel).is_some(),
            Action::Presence => false,
        }
    }

    /// `true` if one of these subscriptions has a hook.
    pub(crate) fn decide_on_any(&self, subscriptions: &[Subscribe]) -> bool {
        subscriptions.iter().any(|subscribe| self.subscribing(&subscribe.channel).is_some())
    }

    /// The hook for publications in a channel.
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
