//! `[webhooks]`.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::secret::SecretSection;
use super::units::Span;
use super::{Mistakes, read};
use crate::webhooks::{EventKind, Webhook, Webhooks};
use crate::{LiveSettings, Pattern};

/// The requests to backends, and their URLs.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WebhooksSection {
    secret: Option<SecretSection>,
    authority: Option<PathBuf>,
    timeout: Option<Span>,
    retries: Option<u32>,
    concurrency: Option<usize>,
    connect: Option<ConnectSection>,
    subscribe: Vec<WebhookSection>,
    publish: Vec<WebhookSection>,
    calls: Vec<WebhookSection>,
    events: Option<EventsSection>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConnectSection {
    url: String,
    timeout: Option<Span>,
    retries: Option<u32>,
    concurrency: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WebhookSection {
    pattern: String,
    url: String,
    timeout: Option<Span>,
    retries: Option<u32>,
    concurrency: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventsSection {
    url: String,
    kinds: Option<Vec<EventKind>>,
    timeout: Option<Span>,
}

/// The webhook for events, with the kinds it gets.
pub(super) struct EventsWebhook<'a> {
    pub(super) webhooks: Webhooks,
    pub(super) webhook: Webhook,
    pub(super) kinds: &'a [EventKind],
}

impl WebhooksSection {
    /// Returns whether a backend authenticates clients.
    pub(super) fn know_clients(&self) -> bool {
        self.connect.is_some()
    }

    /// The files in this section.
    pub(super) fn files(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let secret = self.secret.as_mut().and_then(SecretSection::file);
        secret.into_iter().chain(self.authority.as_mut())
    }

    /// Puts the hooks into a hub's settings. Reads the secret.
    pub(super) fn apply_live(&self, live: &mut LiveSettings, mistakes: &mut Mistakes) {
        let is_asked = [&self.subscribe, &self.publish, &self.calls].iter().any(|all| !all.is_empty());
        if self.connect.is_none() && !is_asked {
            return;
        }
        let webhooks = self.webhooks(mistakes);
        if let Some(ConnectSection { url, timeout, retries, concurrency }) = &self.connect {
            let webhook = self.webhook(url, (*timeout, *retries, *concurrency)).and_then(check_decision);
            if let Some((webhooks, webhook)) =
                webhooks.as_ref().zip(mistakes.take("webhooks.connect", webhook))
            {
                live.authenticate(webhooks.connect(webhook));
            }
        }
        let subscribe = self.patterns("subscribe", &self.subscribe, check_decision, mistakes);
        let publish = self.patterns("publish", &self.publish, check_decision, mistakes);
        let calls = self.patterns("calls", &self.calls, |(webhook, _)| Ok(webhook), mistakes);
        let Some(webhooks) = webhooks else { return };
        for (pattern, webhook) in subscribe {
            live.authorize_subscribe(pattern, webhooks.subscribe(webhook));
        }
        for (pattern, webhook) in publish {
            live.authorize_publish(pattern, webhooks.publish(webhook));
        }
        for (pattern, webhook) in calls {
            live.call_any(pattern, webhooks.call(webhook));
        }
    }

    /// The patterns of the channels that a backend decides about, with the names of their sections.
    pub(super) fn decided_patterns(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let subscribe = self.subscribe.iter().map(|section| ("webhooks.subscribe", &*section.pattern));
        subscribe.chain(self.publish.iter().map(|section| ("webhooks.publish", &*section.pattern)))
    }

    /// The webhook for events, if configured. Reads the secret.
    pub(super) fn events(&self, mistakes: &mut Mistakes) -> Option<EventsWebhook<'_>> {
        let EventsSection { url, kinds, timeout } = self.events.as_ref()?;
        let webhook = mistakes.take("webhooks.events", self.webhook(url, (*timeout, None, None)));
        let kinds = kinds.as_deref().unwrap_or(&EventKind::ALL);
        let (webhooks, (webhook, _)) = (self.webhooks(mistakes)?, webhook?);
        Some(EventsWebhook { webhooks, webhook, kinds })
    }

    fn webhooks(&self, mistakes: &mut Mistakes) -> Option<Webhooks> {
        let words = "requests to backends need a signature: write secret = { file = \"webhooks.key\" } or { env = \"WIREHUB_WEBHOOKS_KEY\" }";
        let secret = self.secret.as_ref().and_then(SecretSection::read).unwrap_or_else(|| Err(words.into()));
        let webhooks = secret.and_then(|secret| Webhooks::new(&secret).map_err(|error| error.to_string()));
        let webhooks = mistakes.take("webhooks.secret", webhooks);
        let Some(path) = &self.authority else { return webhooks };
        let pem = mistakes.take("webhooks.authority", read(path))?;
        let trusting = webhooks?.with_root_certificates(&pem);
        mistakes.take("webhooks.authority", trusting.map_err(|error| format!("{}: {error}", path.display())))
    }

    /// The webhooks of the sections called `name`, with their patterns. A section with a mistake is left out.
    fn patterns(
        &self,
        name: &str,
        sections: &[WebhookSection],
        check: fn((Webhook, Duration)) -> Result<Webhook, String>,
        mistakes: &mut Mistakes,
    ) -> Vec<(Pattern, Webhook)> {
        let mut webhooks = Vec::new();
        for (index, section) in sections.iter().enumerate() {
            let key = format!("webhooks.{name}[{index}]");
            let WebhookSection { pattern, url, timeout, retries, concurrency } = section;
            let webhook = self.webhook(url, (*timeout, *retries, *concurrency)).and_then(check);
            let webhook = mistakes.take(&key, webhook);
            let pattern = mistakes.take(key, pattern.parse::<Pattern>());
            webhooks.extend(pattern.zip(webhook));
        }
        webhooks
    }

    /// A webhook with its own values, or the common ones. Also returns its time limit.
    fn webhook(
        &self,
        url: &str,
        (timeout, retries, concurrency): (Option<Span>, Option<u32>, Option<usize>),
    ) -> Result<(Webhook, Duration), String> {
        let url = url.parse().map_err(|error| format!("`url`: {error}"))?;
        let timeout = timeout.or(self.timeout).map_or(DEFAULT_TIMEOUT, Span::duration);
        if timeout.is_zero() {
            return Err("`timeout` must be positive: write for example \"5s\"".into());
        }
        let mut webhook = Webhook::new(url).timeout(timeout);
        if let Some(retries) = retries.or(self.retries) {
            webhook = webhook.retries(retries);
        }
        match concurrency.or(self.concurrency) {
            Some(0) => return Err("`concurrency` must be at least 1: write a larger number".into()),
            Some(concurrency) => webhook = webhook.concurrency(concurrency),
            None => {}
        }
        Ok((webhook, timeout))
    }
}

/// Checks a webhook for decisions, for which a session waits.
fn check_decision((webhook, timeout): (Webhook, Duration)) -> Result<Webhook, String> {
    if timeout > MAX_DECISION {
        return Err(
            "`timeout` is longer than the 10 s that a session waits for a decision: shorten it".into()
        );
    }
    Ok(webhook)
}

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_DECISION: Duration = Duration::from_secs(10);
