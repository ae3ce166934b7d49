//! The HTTP API for backends in any language: publish, inspect, disconnect.
//!
//! Every path is below `/api/v1` and requires a key, as `Authorization: Bearer KEY`. Errors are problem documents (RFC
//! 9457). `/api/v1/openapi.json` describes the API; it is generated from this code.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use futures_util::StreamExt as _;
use parking_lot::RwLock;
use subtle::ConstantTimeEq as _;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::problem::{PROBLEM, Problem};
use crate::Hub;
use crate::observe::{ListPage, Phase};

mod alarms;
mod backups;
mod channels;
mod messages;
mod nodes;
mod problem;
mod sessions;
mod stats;

pub use crate::admin::admin_page;

/// A key of the HTTP API. It never appears in output.
#[derive(Clone)]
pub struct ApiKey(Arc<str>);

impl ApiKey {
    /// The minimum length of a key.
    pub const MIN_BYTES: usize = 32;

    /// Creates a key from visible ASCII characters without spaces.
    ///
    /// # Errors
    /// The key is too short to be secret, or it cannot be sent in a header.
    pub fn new(key: impl Into<Arc<str>>) -> Result<Self, ApiKeyError> {
        let key = key.into();
        if key.len() < Self::MIN_BYTES || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ApiKeyError);
        }
        Ok(Self(key))
    }

    fn matches(&self, presented: &str) -> bool {
        // Constant time: the duration does not reveal how much of the key is right.
        self.0.as_bytes().ct_eq(presented.as_bytes()).into()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey")
    }
}

/// The keys of an HTTP API, replaceable while it is served. A handle: clones share the keys.
#[derive(Debug, Clone, Default)]
pub struct ApiKeys(Arc<RwLock<Vec<ApiKey>>>);

impl ApiKeys {
    /// Replaces all keys.
    pub fn replace(&self, keys: impl IntoIterator<Item = ApiKey>) {
        *self.0.write() = keys.into_iter().collect();
    }

    fn contains(&self, presented: &str) -> bool {
        // Every key is compared, so that the duration does not reveal the matching one.
        self.0.read().iter().fold(false, |known, key| known | key.matches(presented))
    }
}

impl FromIterator<ApiKey> for ApiKeys {
    fn from_iter<I: IntoIterator<Item = ApiKey>>(keys: I) -> Self {
        Self(Arc::new(RwLock::new(keys.into_iter().collect())))
    }
}

impl From<Vec<ApiKey>> for ApiKeys {
    fn from(keys: Vec<ApiKey>) -> Self {
        keys.into_iter().collect()
    }
}

impl<const N: usize> From<[ApiKey; N]> for ApiKeys {
    fn from(keys: [ApiKey; N]) -> Self {
        keys.into_iter().collect()
    }
}

/// A text that is not a valid [`ApiKey`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiKeyError;

impl fmt::Display for ApiKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "an API key has at least {} visible characters and no spaces: make one by `openssl rand -hex 32`",
            ApiKey::MIN_BYTES
        )
    }
}

impl std::error::Error for ApiKeyError {}

/// The HTTP API of a hub, for holders of a key. Merge it into a router beside [`router`](crate::router).
///
/// ```
/// use wirehub_server::api::ApiKey;
/// use wirehub_server::{Hub, api, router};
///
/// let hub = Hub::builder().build();
/// let key = ApiKey::new("0123456789abcdef0123456789abcdef")?;
/// let app = router(&hub).merge(api(&hub, [key]));
/// # let _ = app;
/// # Ok::<(), wirehub_server::api::ApiKeyError>(())
/// ```
pub fn api(hub: &Hub, keys: impl Into<ApiKeys>) -> Router {
    let keys: ApiKeys = keys.into();
    let (router, mut document) = operations().split_for_parts();
    describe_answers(&mut document);
    let document = Arc::new(document);
    let describe = move || std::future::ready(Json((*document).clone()));
    let guarded = router
        .fallback(|| {
            std::future::ready(Problem::new(
                StatusCode::NOT_FOUND,
                "unknown operation: see /api/v1/openapi.json",
            ))
        })
        .method_not_allowed_fallback(|| {
            std::future::ready(Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "this path needs another method: see /api/v1/openapi.json",
            ))
        })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn(of_bounded_length))
        .layer(middleware::from_fn(in_time))
        .layer(middleware::from_fn_with_state(hub.clone(), while_running))
        .layer(middleware::from_fn_with_state(keys, authorize));
    Router::new()
        .nest("/api/v1", guarded)
        // The description is public: it contains no secret.
        .route("/api/v1/openapi.json", axum::routing::get(describe))
        .with_state(hub.clone())
}

#[derive(OpenApi)]
#[openapi(info(
    title = "Wirehub",
    description = "Realtime messaging over WebSocket: the API for backends.",
    license(name = "MIT OR Apache-2.0")
))]
struct Description;

fn operations() -> OpenApiRouter<Hub> {
    let mut document = Description::openapi();
    let scheme =
        HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("An API key of the server"));
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("key", SecurityScheme::Http(scheme.build()));
    document.security = Some(vec![SecurityRequirement::new("key", [] as [&str; 0])]);
    document.servers = Some(vec![utoipa::openapi::Server::new("/api/v1")]);
    OpenApiRouter::with_openapi(document)
        .routes(routes!(messages::publish))
        .routes(routes!(messages::publish_batch))
        .routes(routes!(messages::broadcast))
        .routes(routes!(messages::send_to_user))
        .routes(routes!(stats::stats))
        .routes(routes!(nodes::list))
        .routes(routes!(channels::list))
        .routes(routes!(channels::presence))
        .routes(routes!(channels::history))
        .routes(routes!(sessions::list))
        .routes(routes!(sessions::show))
        .routes(routes!(sessions::disconnect))
        .routes(routes!(sessions::subscribe))
        .routes(routes!(sessions::unsubscribe))
        .routes(routes!(sessions::disconnect_user))
        .routes(routes!(sessions::unsubscribe_user))
        .routes(routes!(alarms::raise, alarms::list))
        .routes(routes!(alarms::look, alarms::withdraw))
        .routes(routes!(backups::begin, backups::latest))
}

/// Adds the failures that all operations share, and a description of every response.
fn describe_answers(document: &mut utoipa::openapi::OpenApi) {
    let problem = |description: &str| {
        let schema = Ref::from_schema_name("Problem");
        let content = ContentBuilder::new().schema(Some(schema)).build();
        RefOr::T(ResponseBuilder::new().description(description).content(PROBLEM, content).build())
    };
    for item in document.paths.paths.values_mut() {
        for operation in [&mut item.get, &mut item.post, &mut item.delete].into_iter().flatten() {
            let mut failures = vec![
                ("401", "The API key is missing or wrong"),
                ("408", "The request did not arrive in time"),
            ];
            if operation.parameters.is_some() || operation.request_body.is_some() {
                failures.push(("400", "The request is invalid: `detail` has the reason"));
            }
            if operation.request_body.is_some() {
                failures.extend([
                    ("413", "The body is larger than 4 MiB"),
                    ("415", "The body is not application/json"),
                    ("422", "The body lacks a field or has an unknown one"),
                ]);
            }
            for (status, description) in failures {
                operation.responses.responses.insert(status.into(), problem(description));
            }
            for (status, response) in &mut operation.responses.responses {
                if let RefOr::T(response) = response
                    && response.description.is_empty()
                {
                    response.description = meaning(status).into();
                }
            }
        }
    }
}

fn meaning(status: &str) -> &'static str {
    match status {
        "201" => "Created",
        "202" => "Begun",
        "204" => "Done",
        "404" => "Not found, or removed",
        "410" => "Gone",
        "409" => "The maximum number is reached",
        "503" => "The engine failed, or a node did not answer: try again",
        _ => "The result",
    }
}

/// The number of items on a page of a list.
fn limit_of(limit: Option<usize>) -> usize {
    limit.unwrap_or(DEFAULT_ITEMS).clamp(1, MAX_ITEMS)
}

fn missing_nodes<T>(page: &ListPage<T>) -> Vec<String> {
    page.missing.iter().map(ToString::to_string).collect()
}

/// The default and the maximum number of items on a page of a list.
const DEFAULT_ITEMS: usize = 100;
const MAX_ITEMS: usize = 1000;

/// The largest body of a request.
const MAX_BODY: usize = 4 * 1024 * 1024;

/// The largest body that is read only to be refused.
const MAX_DISCARDED: u64 = 16 * MAX_BODY as u64;

/// The time limit for a request.
const TIMEOUT: Duration = Duration::from_secs(30);

async fn authorize(State(keys): State<ApiKeys>, request: Request, next: Next) -> Response {
    let presented = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let presented = presented.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    if keys.contains(presented) {
        return next.run(request).await;
    }
    let words = "this needs one of the server's API keys: send it as `Authorization: Bearer KEY`";
    let mut response = Problem::new(StatusCode::UNAUTHORIZED, words).into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
    response
}

/// Refuses operations with an effect once the sessions are being closed: a publication would no longer reach anybody.
async fn while_running(State(hub): State<Hub>, request: Request, next: Next) -> Response {
    if hub.phase() >= Phase::Stopping && request.method() != Method::GET {
        let detail = "the server is stopping: try again when another server runs";
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).into_response();
    }
    next.run(request).await
}

/// Refuses a body by its declared length.
///
/// A client that waits for `100 Continue` gets the answer alone, and sends nothing. Any other client is sending
/// already. Its body is read and discarded first: a connection that is closed with unread data is reset, and a client
/// whose connection is reset does not see the answer.
async fn of_bounded_length(request: Request, next: Next) -> Response {
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let length: u64 = length.and_then(|value| value.parse().ok()).unwrap_or_default();
    if length <= MAX_BODY as u64 {
        return next.run(request).await;
    }
    if length <= MAX_DISCARDED && !request.headers().contains_key(header::EXPECT) {
        let mut body = request.into_body().into_data_stream();
        while let Some(Ok(_)) = body.next().await {}
    }
    let detail = format!("the body is larger than {} MiB: send several requests", MAX_BODY >> 20);
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail).into_response()
}

async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            Problem::new(StatusCode::REQUEST_TIMEOUT, "the request did not arrive in time").into_response()
        }
    }
}

/// The JSON body of a request. An invalid body becomes a problem document.
struct Body<T>(T);

impl<T: serde::de::DeserializeOwned> axum::extract::FromRequest<Hub> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, hub: &Hub) -> Result<Self, Problem> {
        match Json::<T>::from_request(request, hub).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(rejection) => Err(Problem::new(rejection.status(), rejection.body_text())),
        }
    }
}

/// The parameters in the path of a request. Invalid ones become a problem document.
struct Path<T>(T);

impl<T: serde::de::DeserializeOwned + Send> FromRequestParts<Hub> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, hub: &Hub) -> Result<Self, Problem> {
        match axum::extract::Path::<T>::from_request_parts(parts, hub).await {
            Ok(axum::extract::Path(path)) => Ok(Self(path)),
            Err(rejection) => Err(Problem::new(rejection.status(), rejection.body_text())),
        }
    }
}

/// The query parameters of a request. Invalid ones become a problem document.
struct Query<T>(T);

impl<T: serde::de::DeserializeOwned> FromRequestParts<Hub> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, hub: &Hub) -> Result<Self, Problem> {
        match axum::extract::Query::<T>::from_request_parts(parts, hub).await {
            Ok(axum::extract::Query(query)) => Ok(Self(query)),
            Err(rejection) => Err(Problem::new(rejection.status(), rejection.body_text())),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use axum::body::Body as Bytes;
    use tower::ServiceExt as _;

    use super::*;

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    fn app() -> Router {
        api(&Hub::builder().build(), [ApiKey::new(KEY).unwrap()])
    }

    fn publish() -> axum::http::request::Builder {
        Request::post("/api/v1/publish")
            .header(header::AUTHORIZATION, format!("Bearer {KEY}"))
            .header(header::CONTENT_TYPE, "application/json")
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_never_ends_gets_a_timeout() {
        let endless = Bytes::from_stream(futures_util::stream::pending::<Result<&[u8], std::io::Error>>());
        let response = app().oneshot(publish().body(endless).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
        assert_eq!(response.headers()[header::CONTENT_TYPE], PROBLEM);
    }

    /// Sends a body of `length` bytes in two parts. Returns the status and the number of parts that were read.
    async fn parts_read(length: u64, expect: Option<&str>) -> (StatusCode, usize) {
        let read = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&read);
        let parts = futures_util::stream::iter([length / 2, length.div_ceil(2)]).map(move |part| {
            counter.fetch_add(1, Relaxed);
            Ok::<_, std::io::Error>(vec![b' '; usize::try_from(part).unwrap()])
        });
        let mut request = publish().header(header::CONTENT_LENGTH, length);
        if let Some(expect) = expect {
            request = request.header(header::EXPECT, expect);
        }
        let response = app().oneshot(request.body(Bytes::from_stream(parts)).unwrap()).await.unwrap();
        (response.status(), read.load(Relaxed))
    }

    #[tokio::test]
    async fn a_body_that_is_too_large_is_not_asked_for() {
        let too_large = MAX_BODY as u64 + 1;
        assert_eq!(parts_read(too_large, Some("100-continue")).await, (StatusCode::PAYLOAD_TOO_LARGE, 0));
    }

    #[tokio::test]
    async fn a_body_that_is_too_large_and_on_its_way_is_read_so_that_the_answer_arrives() {
        let largest = MAX_BODY as u64;
        assert_eq!(parts_read(largest, None).await, (StatusCode::BAD_REQUEST, 2));
        assert_eq!(parts_read(largest + 1, None).await, (StatusCode::PAYLOAD_TOO_LARGE, 2));
        assert_eq!(parts_read(MAX_DISCARDED + 1, None).await, (StatusCode::PAYLOAD_TOO_LARGE, 0));
    }
}
