//! The endpoints `/health` and `/ready`, for the state of the server and its readiness for new clients.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde::Serialize;

use crate::Hub;
use crate::observe::Phase;

/// The endpoints of the hub: `/ws` for Wirehub clients, `/health` to check that the hub accepts connections, and `/ready` to
/// check that it should get new clients. `/ready` fails while the hub stops, and while one of its [readiness
/// checks](crate::Builder::readiness_check) fails. Serve the router as it is, or merge it into an application's router.
///
/// ```
/// use wirehub_server::{Hub, router};
///
/// let hub = Hub::builder().build();
/// let app = router(&hub).merge(hub.echo());
/// # let _ = app;
/// ```
pub fn router(hub: &Hub) -> Router {
    let own = Router::new().route("/health", get(health)).route("/ready", get(ready)).with_state(hub.clone());
    hub.websocket().merge(own)
}

async fn health(State(hub): State<Hub>) -> Response {
    let (status, text) = if hub.phase() == Phase::Running {
        (StatusCode::OK, r#"{"status":"ok"}"#)
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"stopping"}"#)
    };
    (status, [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], text)
        .into_response()
}

#[derive(Serialize)]
struct Readiness {
    status: &'static str,
    /// Names only, because the reasons are in the log.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    waiting_for: Vec<Arc<str>>,
}

async fn ready(State(hub): State<Hub>) -> Response {
    let waiting_for = hub.missing();
    let (code, status) = if hub.phase() != Phase::Running {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping")
    } else if waiting_for.is_empty() {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "waiting")
    };
    (code, [(header::CACHE_CONTROL, "no-store")], axum::Json(Readiness { status, waiting_for }))
        .into_response()
}
