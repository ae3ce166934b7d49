//! Hooks that ask a backend over HTTP, for applications in any language.
//!
//! ```
//! use std::time::Duration;
//! use wirehub_server::Hub;
//! use wirehub_server::webhooks::{EventKind, Webhook, Webhooks};
//!
//! let webhooks = Webhooks::new(b"at least 32 bytes that nobody else knows")?;
//! let at = |path: &str| -> Result<Webhook, Box<dyn std::error::Error>> {
//!     Ok(Webhook::new(format!("https://backend.example/wirehub/{path}").parse()?))
//! };
//! let hub = Hub::builder()
//!     .authenticate(webhooks.connect(at("connect")?))
//!     .authorize_subscribe("room:*".parse()?, webhooks.subscribe(at("subscribe")?))
//!     .authorize_publish("room:*".parse()?, webhooks.publish(at("publish")?))
//!     .call_any("billing.*".parse()?, webhooks.call(at("call")?.timeout(Duration::from_secs(30))))
//!     .observe(webhooks.events(at("events")?, &EventKind::ALL))
//!     .build();
//! # assert_eq!(hub.local_sessions(), 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Each request is a `POST` of a JSON object. `server/WEBHOOKS.md` describes the requests, the answers, and how a
//! backend verifies the signature. Failed requests and invalid answers are in the log and in
//! `wirehub_backend_requests_total`. The client then gets the error
//! [`UNAVAILABLE`](wirehub_common::code::ErrorCode::UNAVAILABLE).

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, HeaderValue, Method, header};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use ring::hmac;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use wirehub_common::code::ErrorCode;
use wirehub_common::frame::ErrorInfo;
use wirehub_common::{ChannelName, Payload};

use self::message::{Body, Empty, Identity, WebhookRequest, parse_answer};
use self::slots::{QueuePriority, Slots};
use crate::auth::{Authenticated, Credentials, PublishRequest, Refusal};
use crate::call::{CallContext, CallError, RawCall};
use crate::json_payload::JsonPayload;
use crate::metrics::BackendRequest;
use crate::outbound::{Fault, Outbound, Response, Trust};
use crate::secret::is_public_material;

mod events;
mod message;
mod slots;

pub use self::events::{EventKind, EventQueue};
pub use crate::outbound::{BackendUrl, BackendUrlError, CertificateError};

/// Sends signed requests to backends.
#[derive(Clone)]
pub struct Webhooks {
    outbound: Outbound,
    key: Arc<hmac::Key>,
}

/// The URL of a webhook, with its time limit, retries and concurrency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    url: BackendUrl,
    timeout: Duration,
    retries: u32,
    concurrency: usize,
}

impl Webhooks {
    /// Signs requests with this secret, of at least 32 bytes.
    ///
    /// # Errors
    /// The secret is shorter, or it is part of a key pair, which others may have seen.
    pub fn new(secret: &[u8]) -> Result<Self, SecretError> {
        if secret.len() < MIN_SECRET_BYTES || is_public_material(secret) {
            return Err(SecretError);
        }
        let key = Arc::new(hmac::Key::new(hmac::HMAC_SHA256, secret));
        Ok(Self { outbound: Outbound::new(Trust::System), key })
    }

    /// Trusts the certificate authorities in this PEM text, in place of those of the operating system.
    ///
    /// # Errors
    /// The text contains no authority.
    pub fn with_root_certificates(self, pem: &[u8]) -> Result<Self, CertificateError> {
        Ok(Self { outbound: Outbound::new(Trust::only(pem)?), ..self })
    }

    /// Authenticates clients: the hook for [`Builder::authenticate`](crate::Builder::authenticate). The backend gets
    /// none of the handshake's headers, so no cookies.
    pub fn connect(
        &self,
        webhook: Webhook,
    ) -> impl Fn(Credentials) -> BoxFuture<'static, Result<Authenticated, Refusal>> + Send + Sync + 'static
    {
        let backend = self.client("connect", webhook);
        move |credentials| {
            let backend = Arc::clone(&backend);
            Box::pin(async move {
                let Credentials { token, client, version, is_refresh, address, .. } = &credentials;
                let body = Body::Connect { token, client, version, address: *address };
                let priority = if *is_refresh { QueuePriority::Low } else { QueuePriority::High };
                let identity = backend.request(priority, body, parse_answer::<Identity>).await;
                identity.and_then(|identity| backend.checked(identity.authenticated())).map_err(Refusal::from)
            })
        }
    }

    /// Decides whether a session may subscribe: the hook for
    /// [`Builder::authorize_subscribe`](crate::Builder::authorize_subscribe).
    pub fn subscribe(
        &self,
        webhook: Webhook,
    ) -> impl Fn(CallContext, ChannelName) -> BoxFuture<'static, Result<(), CallError>> + Send + Sync + 'static
    {
        let backend = self.client("subscribe", webhook);
        move |context, channel| {
            let backend = Arc::clone(&backend);
            Box::pin(async move {
                let (session, user) = (context.session().to_string(), context.user());
                let body = Body::Subscribe { session, user, channel: channel.as_str() };
                let Empty {} = backend
                    .request(QueuePriority::Session(&context), body, parse_answer)
                    .await
                    .map_err(CallError::from)?;
                Ok(())
            })
        }
    }

    /// Decides about a client's message: the hook for
    /// [`Builder::authorize_publish`](crate::Builder::authorize_publish).
    pub fn publish(
        &self,
        webhook: Webhook,
    ) -> impl Fn(CallContext, PublishRequest) -> BoxFuture<'static, Result<Payload, CallError>>
    + Send
    + Sync
    + 'static {
        let backend = self.client("publish", webhook);
        move |context, request| {
            let backend = Arc::clone(&backend);
            Box::pin(async move {
                let PublishRequest { channel, payload, key, .. } = &request;
                let (session, user) = (context.session().to_string(), context.user());
                let message = JsonPayload::by_content(payload);
                let body = Body::Publish { session, user, channel: channel.as_str(), key, message };
                let changed = backend.request(QueuePriority::Session(&context), body, parse_answer).await;
                let changed = changed.and_then(|answer| backend.checked(message::payload(answer)));
                Ok(changed.map_err(CallError::from)?.unwrap_or(request.payload))
            })
        }
    }

    /// Forwards calls: for [`Builder::calls`](crate::Builder::call_any). A call is repeated only if it certainly did not
    /// arrive.
    pub fn call(
        &self,
        webhook: Webhook,
    ) -> impl Fn(CallContext, RawCall) -> BoxFuture<'static, Result<Payload, CallError>> + Send + Sync + 'static
    {
        let backend = self.client("call", webhook);
        move |context, call| {
            let backend = Arc::clone(&backend);
            Box::pin(async move {
                let RawCall { name, payload, .. } = &call;
                let (session, user) = (context.session().to_string(), context.user());
                let message = JsonPayload::by_content(payload);
                let body = Body::Call { session, user, call: name, message };
                let response = backend.request(QueuePriority::Session(&context), body, parse_answer).await;
                let response = response.and_then(|answer| backend.checked(message::payload(answer)));
                Ok(response.map_err(CallError::from)?.unwrap_or_default())
            })
        }
    }

    /// Sends events of sessions, in batches: for [`Builder::observe`](crate::Builder::observe). A batch is repeated
    /// until the backend accepts it. Up to 4 MiB of events wait; further events are dropped and counted.
    pub fn events(&self, webhook: Webhook, kinds: &[EventKind]) -> EventQueue {
        EventQueue::new(self.client("events", webhook), kinds)
    }

    fn client(&self, about: &'static str, webhook: Webhook) -> Arc<WebhookClient> {
        if webhook.url.is_exposed() {
            tracing::warn!(
                "others on the network can read and answer requests to {}: use https",
                webhook.url
            );
        }
        let slots = Slots::new(webhook.concurrency);
        Arc::new(WebhookClient { webhooks: self.clone(), about, webhook, slots })
    }
}

impl fmt::Debug for Webhooks {
    /// Omits the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhooks").finish_non_exhaustive()
    }
}

impl Webhook {
    /// A webhook at this URL: 5 s, 2 retries, 64 requests at once.
    pub fn new(url: BackendUrl) -> Self {
        Self { url, timeout: Duration::from_secs(5), retries: 2, concurrency: 64 }
    }

    /// The time limit for an answer, including retries and the wait for a free slot. A hub waits at most 10 s for a
    /// decision; calls may take longer.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// How often a request is repeated that was not sent or got a status of 500 or above.
    #[must_use]
    pub fn retries(self, retries: u32) -> Self {
        Self { retries, ..self }
    }

    /// The most requests at once, at least 1; others wait. One session has at most a quarter of them (rounded up). All
    /// sessions of one user have at most half, and so have all anonymous sessions of one IP address (for IPv6, a
    /// network of 64 bits).
    #[must_use]
    pub fn concurrency(self, concurrency: usize) -> Self {
        Self { concurrency: concurrency.clamp(1, Semaphore::MAX_PERMITS), ..self }
    }
}

/// The secret is too short, or part of a key pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretError;

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a secret for webhooks has at least {MIN_SECRET_BYTES} bytes and is not part of a key pair: make one with `openssl rand -base64 {MIN_SECRET_BYTES}`"
        )
    }
}

impl std::error::Error for SecretError {}

/// Sends one kind of request to one URL.
struct WebhookClient {
    webhooks: Webhooks,
    about: &'static str,
    webhook: Webhook,
    slots: Slots,
}

impl WebhookClient {
    /// Returns the backend's answer, or the error for the client.
    async fn request<T>(
        &self,
        priority: QueuePriority<'_>,
        body: Body<'_>,
        parse_answer: impl FnOnce(&Response) -> Result<Result<T, ErrorInfo>, String>,
    ) -> Result<T, ErrorInfo> {
        let request_metrics = BackendRequest::new(self.about);
        let is_decision = !matches!(body, Body::Call { .. });
        let id = self.checked(request_id())?;
        let question = self.checked(WebhookRequest { id: &id, body }.to_json())?;
        let attempts = self.slots.run(priority, self.attempts(&id, question, is_decision));
        let answer = match timeout(self.webhook.timeout, attempts).await {
            Ok(answer) => answer,
            Err(_) => Err("it did not answer in time".into()),
        };
        let result = answer.and_then(|answer| parse_answer(&answer)).map_err(|why| self.failed(&id, &why))?;
        request_metrics.succeeded();
        result
    }

    async fn attempts(&self, id: &str, question: Bytes, is_decision: bool) -> Result<Response, String> {
        let mut attempt = 0_u32;
        loop {
            let headers = self.headers(id, &question)?;
            let url = &self.webhook.url;
            let sent =
                self.webhooks.outbound.send(Method::POST, url, headers, question.clone(), MAX_BYTES).await;
            let (why, is_unsent) = match sent {
                Ok(answer) if !answer.status.is_server_error() => return Ok(answer),
                Ok(answer) => (format!("it answered with status {}", answer.status), false),
                Err(Fault::Answer(why)) => return Err(why),
                Err(fault) => (fault.to_string(), matches!(fault, Fault::Unsent(_))),
            };
            if attempt >= self.webhook.retries || !(is_decision || is_unsent) {
                return Err(why);
            }
            sleep(pause(attempt)).await;
            attempt = attempt.saturating_add(1);
        }
    }

    fn headers(&self, id: &str, question: &[u8]) -> Result<HeaderMap, String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().to_string();
        let mut signing = hmac::Context::with_key(&self.webhooks.key);
        for part in [now.as_bytes(), b".", question] {
            signing.update(part);
        }
        let signature = format!("v1={}", hex(signing.sign().as_ref()));
        let value = |text: &str| HeaderValue::from_str(text).map_err(|error| error.to_string());
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert("wirehub-request-id", value(id)?);
        headers.insert("wirehub-timestamp", value(&now)?);
        headers.insert("wirehub-signature", value(&signature)?);
        Ok(headers)
    }

    fn checked<T, E: fmt::Display>(&self, result: Result<T, E>) -> Result<T, ErrorInfo> {
        result.map_err(|error| self.failed("", &error.to_string()))
    }

    /// The reason goes to the log, which must contain neither tokens nor messages.
    fn failed(&self, id: &str, why: &str) -> ErrorInfo {
        tracing::error!(request = id, "the webhook for {} at {} failed: {why}", self.about, self.webhook.url);
        ErrorInfo::from_code(ErrorCode::UNAVAILABLE)
    }
}

/// The pause before another attempt: random, and longer each time.
fn pause(attempt: u32) -> Duration {
    let longest = FIRST_PAUSE.saturating_mul(1_u32.checked_shl(attempt.min(5)).unwrap_or(u32::MAX));
    // Without entropy nothing else works either.
    let random = getrandom::u32().unwrap_or(u32::MAX);
    longest.mul_f64(0.5 + f64::from(random) / f64::from(u32::MAX) / 2.0)
}

fn request_id() -> Result<String, getrandom::Error> {
    let mut id = [0; 16];
    getrandom::fill(&mut id)?;
    Ok(hex(&id))
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;

    bytes.iter().fold(String::with_capacity(bytes.len().saturating_mul(2)), |mut text, byte| {
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

const MIN_SECRET_BYTES: usize = 32;

/// The largest answer.
const MAX_BYTES: usize = 4 * 1024 * 1024;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
