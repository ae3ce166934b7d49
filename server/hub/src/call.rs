//! Calls: procedures of the server that clients call by name.

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;

use futures_util::{Stream, StreamExt as _};
use tokio::sync::mpsc;
use tokio::task;
use wirehub_common::code::ErrorCode;
use wirehub_common::contract::{Call, Message, StreamCall};
use wirehub_common::frame::ErrorInfo;
use wirehub_common::{Payload, PayloadError};

use crate::hub::sessions::Peer;
use crate::shared_state::SharedState;
use crate::{Hub, SessionId};

pub use crate::hub::Payer;

/// The context of a call, subscription or publication: its session, user, address and hub. Handlers and hooks get it beside the
/// request.
#[derive(Debug, Clone)]
pub struct CallContext {
    session: SessionId,
    user: Arc<str>,
    address: Option<IpAddr>,
    hub: Hub,
    session_state: Option<SharedState>,
}

impl CallContext {
    /// A context, for instance for a test of a handler.
    pub fn new(session: SessionId, user: Arc<str>, address: Option<IpAddr>, hub: Hub) -> Self {
        Self { session, user, address, hub, session_state: None }
    }

    /// The same context with a [value of the session](Self::session_state), for instance for a test of a handler.
    #[must_use]
    pub fn with_session_state<T: Send + Sync + 'static>(self, value: T) -> Self {
        Self { session_state: Some(SharedState::new(value)), ..self }
    }

    /// The context of a client that is connected or connecting.
    pub(crate) fn of(peer: &Peer, hub: Hub) -> Self {
        let session_state = peer.state();
        Self { session_state, ..Self::new(peer.id, peer.user(), peer.address, hub) }
    }

    /// The session of the request.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// The session's user; empty for an anonymous one.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The client's IP address, taken from trusted proxies' headers if present; `None` if unknown.
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// The party with which the session shares its limits: its user, or the address of an anonymous session. `None` if the
    /// address is unknown.
    pub fn payer(&self) -> Option<Payer> {
        Payer::new(Arc::clone(&self.user), self.address)
    }

    /// The hub, for instance to publish.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Returns the value of this type from [`Builder::state`](crate::Builder::state).
    ///
    /// # Errors
    /// [`INTERNAL`](ErrorCode::INTERNAL): there is no value of this type. The log names the type.
    pub fn state<T: Send + Sync + 'static>(&self) -> Result<Arc<T>, CallError> {
        self.hub.settings().shared().map_err(CallError::internal)
    }

    /// Returns the value of this type from [`Authenticated::with_state`](crate::auth::Authenticated::with_state). `None` if the
    /// session has no value, or one of another type.
    pub fn session_state<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.session_state.as_ref()?.get()
    }
}

/// A call whose name and types are known only at run time. See [`Builder::call_any`](crate::Builder::call_any).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RawCall {
    /// The name of the call.
    pub name: String,
    /// The request. A payload tagged as JSON is valid JSON, or [absent](Payload::is_absent).
    pub payload: Payload,
}

/// The reason for the failure of a call, or for the refusal by a hook, as the client gets it.
///
/// ```
/// # extern crate wirehub_hub as wirehub_server;
/// use wirehub_server::call::CallError;
///
/// let full = CallError::application::<1001>("the room is full: try another one");
/// assert_eq!(full.code().number(), 1001);
/// assert!(CallError::application::<1002>("busy").temporary().is_temporary());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallError(ErrorInfo);

impl CallError {
    /// An error of the application. `CODE` is at least 1000; a smaller one does not compile.
    pub fn application<const CODE: u16>(message: impl Into<String>) -> Self {
        const { assert!(CODE >= 1000, "an application's error codes are 1000 to 65535") };
        // A number of this size is always a valid code.
        let code = ErrorCode::new(CODE).unwrap_or(ErrorCode::INTERNAL);
        Self(ErrorInfo { code, message: message.into(), temporary: false })
    }

    /// An error of Wirehub with its standard message.
    pub fn from_code(code: ErrorCode) -> Self {
        Self(ErrorInfo::from_code(code))
    }

    /// A failure of the server. The error goes to the log. The caller gets a general message.
    pub fn internal(error: impl fmt::Display) -> Self {
        tracing::error!("a call failed: {error}");
        Self::from_code(ErrorCode::INTERNAL)
    }

    /// The same error, marked as temporary: the same call may succeed later.
    #[must_use]
    pub fn temporary(self) -> Self {
        Self(ErrorInfo { temporary: true, ..self.0 })
    }

    /// The same error with another message. The client gets the message, so it must not contain a secret.
    #[must_use]
    pub fn with_message(self, words: impl Into<String>) -> Self {
        Self(ErrorInfo { message: words.into(), ..self.0 })
    }

    pub(crate) fn into_info(self) -> ErrorInfo {
        self.0
    }

    /// The code.
    pub fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// `true` if the same call may succeed later.
    pub fn is_temporary(&self) -> bool {
        self.0.temporary
    }
}

impl From<ErrorInfo> for CallError {
    fn from(info: ErrorInfo) -> Self {
        Self(info)
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.0.message, self.0.code)
    }
}

impl std::error::Error for CallError {}

/// A call in progress. The payload is absent if the call streams its responses.
pub(crate) type Answering = Pin<Box<dyn Future<Output = Result<Payload, ErrorInfo>> + Send>>;

/// The handler of a call.
#[derive(Clone)]
pub(crate) enum Handler {
    /// For a call with one response.
    Single(Arc<dyn Fn(CallContext, Payload) -> Answering + Send + Sync>),
    /// For every call whose name matches a pattern.
    Raw(Arc<dyn Fn(CallContext, RawCall) -> Answering + Send + Sync>),
    /// For a call with a stream of responses, which go into the channel.
    Streaming(Arc<dyn Fn(CallContext, Payload, Responses) -> Answering + Send + Sync>),
}

/// The channel for the responses of a stream, with the tasks that send them.
pub(crate) type Responses = mpsc::Sender<(task::Id, Payload)>;

/// Adds decoding and encoding to a typed handler.
pub(crate) fn untyped<C, F, A>(handler: F) -> Handler
where
    C: Call,
    C::Request: Send,
    F: Fn(CallContext, C::Request) -> A + Send + Sync + 'static,
    A: Future<Output = Result<C::Response, CallError>> + Send + 'static,
{
    let handler = Arc::new(handler);
    Handler::Single(Arc::new(move |context, payload| {
        let handler = Arc::clone(&handler);
        // Everything runs inside the future, so that a panic ends only the call and not the session.
        Box::pin(async move {
            let request = C::Request::from_payload(&payload).map_err(|error| mismatch(&error))?;
            encode(handler(context, request).await)
        })
    }))
}

/// Adds a check of both payloads to a handler that does not know their types.
pub(crate) fn raw<F, A>(handler: F) -> Handler
where
    F: Fn(CallContext, RawCall) -> A + Send + Sync + 'static,
    A: Future<Output = Result<Payload, CallError>> + Send + 'static,
{
    let handler = Arc::new(handler);
    let fault = |payload: &Payload| if payload.is_absent() { None } else { payload.malformed() };
    Handler::Raw(Arc::new(move |context, call| {
        let handler = Arc::clone(&handler);
        Box::pin(async move {
            if let Some(words) = fault(&call.payload) {
                return Err(CallError::from_code(ErrorCode::BAD_REQUEST).with_message(words).0);
            }
            let response = handler(context, call).await.map_err(|error| error.0)?;
            match fault(&response) {
                None => Ok(response),
                Some(words) => Err(CallError::internal(words).0),
            }
        })
    }))
}

/// Adds decoding and encoding to a handler that returns a stream. The stream is polled at the pace of the session.
pub(crate) fn untyped_stream<C, F, A, S>(handler: F) -> Handler
where
    C: StreamCall,
    C::Request: Send,
    F: Fn(CallContext, C::Request) -> A + Send + Sync + 'static,
    A: Future<Output = Result<S, CallError>> + Send + 'static,
    S: Stream<Item = Result<C::Response, CallError>> + Send + 'static,
{
    let handler = Arc::new(handler);
    Handler::Streaming(Arc::new(move |context, payload, responses| {
        let handler = Arc::clone(&handler);
        Box::pin(async move {
            let request = C::Request::from_payload(&payload).map_err(|error| mismatch(&error))?;
            let stream = handler(context, request).await.map_err(|error| error.0)?;
            let mut stream = pin!(stream.map(encode));
            while let Some(payload) = stream.next().await {
                if responses.send((task::id(), payload?)).await.is_err() {
                    break;
                }
            }
            Ok(Payload::default())
        })
    }))
}

fn encode<R: Message>(response: Result<R, CallError>) -> Result<Payload, ErrorInfo> {
    let response = response.map_err(|error| error.0)?;
    response.to_payload().map_err(|error| CallError::internal(error).0)
}

/// The error for a payload that does not fit the contract.
pub(crate) fn mismatch(error: &PayloadError) -> ErrorInfo {
    ErrorInfo { message: error.to_string(), ..ErrorInfo::from_code(ErrorCode::PAYLOAD_MISMATCH) }
}
