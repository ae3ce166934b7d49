//! Hooks that ask a backend over HTTP, for those whose application is not in Rust.
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
//! # assert_eq!(hub.sessions(), 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Each question is a `POST` of a JSON object; `server/WEBHOOKS.md` has all of them, the answers, and how a backend checks
//! who asks. What goes wrong on the way, and an answer that can't be understood, is told in the log and by
//! `wirehub_backend_requests_total`; the client is told [`UNAVAILABLE`](wirehub_common::code::ErrorCode::UNAVAILABLE).

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

use self::message::{Body, Identity, Message, Nothing, Question, understand};
use self::slots::{Slots, Turn};
use crate::auth::{Authenticated, Credentials, PublishRequest, Refusal};
use crate::call::{CallContext, CallError, RawCall};
use crate::metrics::Asked;
use crate::outbound::{Fault, Outbound, Response, Trust};
use crate::secret::is_made_to_be_shown;

mod events;
mod message;
mod slots;

pub use self::events::{EventKind, EventQueue};
pub use crate::outbound::{BackendUrl, BackendUrlError, CertificateError};

/// Asks backends, and signs what it asks.
#[derive(Clone)]
pub struct Webhooks {
    outbound: Outbound,
    key: Arc<hmac::Key>,
}

/// Where to ask, and how long, how often and how much at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    url: BackendUrl,
    timeout: Duration,
    retries: u32,
    concurrency: usize,
}

impl Webhooks {
    /// Signs with this secret, of at least 32 bytes.
    ///
    /// # Errors
    /// It is shorter, or a key of a pair, which others may have seen.
    pub fn new(secret: &[u8]) -> Result<Self, SecretError> {
        if secret.len() < MIN_SECRET_BYTES || is_made_to_be_shown(secret) {
            return Err(SecretError);
        }
        let key = Arc::new(hmac::Key::new(hmac::HMAC_SHA256, secret));
        Ok(Self { outbound: Outbound::new(Trust::System), key })
    }

    /// Believes backends by the authorities in this PEM text, instead of those that the operating system trusts.
    ///
    /// # Errors
    /// There is none in it.
    pub fn with_root_certificates(self, pem: &[u8]) -> Result<Self, CertificateError> {
        Ok(Self { outbound: Outbound::new(Trust::only(pem)?), ..self })
    }

    /// Asks who a client is: for [`Builder::authenticate`](crate::Builder::authenticate).
    pub fn connect(
        &self,
        webhook: Webhook,
    ) -> impl Fn(Credentials) -> BoxFuture<'static, Result<Authenticated, Refusal>> + Send + Sync + 'static
    {
        let asker = self.asker("connect", webhook);
        move |credentials| {
            let asker = Arc::clone(&asker);
            Box::pin(async move {
                let Credentials { token, client, version, is_refresh, address, .. } = &credentials;
                let body = Body::Connect { token, client, version, address: *address };
                let turn = if *is_refresh { Turn::Late } else { Turn::Connecting };
                let identity = asker.ask(turn, body, understand::<Identity>).await;
                identity.and_then(|identity| asker.checked(identity.authenticated())).map_err(Refusal::from)
            })
        }
    }

    /// Asks whether a session may subscribe: for [`Builder::authorize_subscribe`](crate::Builder::authorize_subscribe).
    pub fn subscribe(
        &self,
        webhook: Webhook,
    ) -> impl Fn(CallContext, ChannelName) -> BoxFuture<'static, Result<(), CallError>> + Send + Sync + 'static
    {
        let asker = self.asker("subscribe", webhook);
        move |context, channel| {
            let asker = Arc::clone(&asker);
            Box::pin(async move {
                let (session, user) = (context.session().to_string(), context.user());
                let body = Body::Subscribe { session, user, channel: channel.as_str() };
                let Nothing {} =
                    asker.ask(Turn::Of(&context), body, understand).await.map_err(CallError::from)?;
                Ok(())
            })
        }
    }

    /// Asks what becomes of a message: for [`Builder::authorize_publish`](crate::Builder::authorize_publish).
    pub fn publish(
        &self,
        webhook: Webhook,
    ) -> impl Fn(CallContext, PublishRequest) -> BoxFuture<'static, Result<Payload, CallError>>
    + Send
    + Sync
    + 'static {
        let asker = self.asker("publish", webhook);
        move |context, request| {
            let asker = Arc::clone(&asker);
            Box::pin(async move {
                let PublishRequest { channel, payload, key, .. } = &request;
                let (session, user) = (context.session().to_string(), context.user());
                let message = Message::from(payload);
                let body = Body::Publish { session, user, channel: channel.as_str(), key, message };
                let changed = asker.ask(Turn::Of(&context), body, understand::<Message>).await;
                let changed = changed.and_then(|message| asker.checked(message.payload()));
                Ok(changed.map_err(CallError::from)?.unwrap_or(request.payload))
            })
        }
    }

    /// Passes calls on: for [`Builder::call_any`](crate::Builder::call_any). A call is repeated only if it surely has not arrived.
    pub fn call(
        &self,
        webhook: Webhook,
    ) -> impl Fn(CallContext, RawCall) -> BoxFuture<'static, Result<Payload, CallError>> + Send + Sync + 'static
    {
        let asker = self.asker("call", webhook);
        move |context, call| {
            let asker = Arc::clone(&asker);
            Box::pin(async move {
                let RawCall { name, payload, .. } = &call;
                let (session, user) = (context.session().to_string(), context.user());
                let message = Message::from(payload);
                let body = Body::Call { session, user, call: name, message };
                let response = asker.ask(Turn::Of(&context), body, understand::<Message>).await;
                let response = response.and_then(|message| asker.checked(message.payload()));
                Ok(response.map_err(CallError::from)?.unwrap_or_default())
            })
        }
    }

    /// Tells what happens to sessions, in batches: for [`Builder::observe`](crate::Builder::observe). What the backend does not
    /// take is told again until it does; up to 4 MiB wait, and what does not fit is counted and lost.
    pub fn events(&self, webhook: Webhook, kinds: &[EventKind]) -> EventQueue {
        EventQueue::new(self.asker("events", webhook), kinds)
    }

    fn asker(&self, about: &'static str, webhook: Webhook) -> Arc<Asker> {
        if webhook.url.is_exposed() {
            tracing::warn!(
                "what is sent to {} can be read and answered by others on the way: use https",
                webhook.url
            );
        }
        let slots = Slots::new(webhook.concurrency);
        Arc::new(Asker { webhooks: self.clone(), about, webhook, slots })
    }
}

impl fmt::Debug for Webhooks {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhooks").finish_non_exhaustive()
    }
}

impl Webhook {
    /// Asks at this address: 5 s, 2 repeats, 64 questions at once.
    pub fn new(url: BackendUrl) -> Self {
        Self { url, timeout: Duration::from_secs(5), retries: 2, concurrency: 64 }
    }

    /// How long an answer may take, with all repeats, and the time until there is room for the question. A hub gives up
    /// hooks that decide after 10 s anyway; calls may take longer.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// How often a question is repeated that could not be asked, or was answered with a status of 500 and above.
    #[must_use]
    pub fn retries(self, retries: u32) -> Self {
        Self { retries, ..self }
    }

    /// How many questions are asked at once; others wait. At least 1. What one session wants has at most a quarter of them
    /// (rounded up), and what one user's sessions want, or the anonymous ones of one IP address (in IPv6 a network of 64 bits), half.
    #[must_use]
    pub fn concurrency(self, concurrency: usize) -> Self {
        Self { concurrency: concurrency.clamp(1, Semaphore::MAX_PERMITS), ..self }
    }
}

/// A secret that is too short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretError;

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a secret for webhooks has at least {MIN_SECRET_BYTES} bytes, and is no key of a pair: make one by `openssl rand -base64 {MIN_SECRET_BYTES}`"
        )
    }
}

impl std::error::Error for SecretError {}

/// Asks one kind of question at one address.
struct Asker {
    webhooks: Webhooks,
    about: &'static str,
    webhook: Webhook,
    slots: Slots,
}

impl Asker {
    /// The backend's answer, or what the client is told instead.
    async fn ask<T>(
        &self,
        turn: Turn<'_>,
        body: Body<'_>,
        understand: impl FnOnce(&Response) -> Result<Result<T, ErrorInfo>, String>,
    ) -> Result<T, ErrorInfo> {
        let asked = Asked::new(self.about);
        let is_decision = !matches!(body, Body::Call { .. });
        let id = self.checked(request_id())?;
        let question = self.checked(Question { id: &id, body }.to_json())?;
        let attempts = self.slots.run(turn, self.attempts(&id, question, is_decision));
        let answer = match timeout(self.webhook.timeout, attempts).await {
            Ok(answer) => answer,
            Err(_) => Err("it did not answer in time".into()),
        };
        let result = answer.and_then(|answer| understand(&answer)).map_err(|why| self.failed(&id, &why))?;
        asked.succeeded();
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
                Ok(answer) => (format!("it answers with status {}", answer.status), false),
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

    /// What happened goes to the log, where neither tokens nor messages belong.
    fn failed(&self, id: &str, why: &str) -> ErrorInfo {
        tracing::error!(request = id, "the webhook for {} at {} failed: {why}", self.about, self.webhook.url);
        ErrorInfo::from_code(ErrorCode::UNAVAILABLE)
    }
}

/// How long to wait before another attempt: longer each time, and never together with others.
fn pause(attempt: u32) -> Duration {
    let longest = FIRST_PAUSE.saturating_mul(1_u32.checked_shl(attempt.min(5)).unwrap_or(u32::MAX));
    // Without entropy there are other worries.
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
        // Into a string it does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

const MIN_SECRET_BYTES: usize = 32;

/// How large an answer may be.
const MAX_BYTES: usize = 4 * 1024 * 1024;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
