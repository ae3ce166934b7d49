//! `/ready`: whether clients should be sent here.

use std::fmt;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

use crate::Hub;
use crate::guard::guarded;
use crate::hub::connections::Phase;

/// Something that a hub needs in order to serve, and who knows whether it is there.
#[derive(Clone)]
pub(crate) struct Need {
    name: Arc<str>,
    check: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
}

impl Need {
    pub(crate) fn new(
        name: impl Into<Arc<str>>,
        check: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), check: Arc::new(check) }
    }
}

impl fmt::Debug for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Need").field(&self.name).finish()
    }
}

#[derive(Serialize)]
struct Readiness {
    status: &'static str,
    /// By name only: what is wrong with them is for the log.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    waiting_for: Vec<Arc<str>>,
}

pub(super) async fn ready(State(hub): State<Hub>) -> Response {
    let waiting_for = missing(&hub);
    let (code, status) = if hub.connections().phase() != Phase::Running {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping")
    } else if waiting_for.is_empty() {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "waiting")
    };
    (code, [(header::CACHE_CONTROL, "no-store")], axum::Json(Readiness { status, waiting_for }))
        .into_response()
}

/// What the hub needs and has not got.
fn missing(hub: &Hub) -> Vec<Arc<str>> {
    let engine = Need::new("engine", {
        let hub = hub.clone();
        move || hub.engine().ready().map_err(|error| error.to_string())
    });
    let live = hub.live();
    let needs = live.needs.iter().chain([&engine]);
    let missing = needs.filter_map(|need| {
        let checked = guarded("what says whether the server is ready", || (need.check)());
        let why = checked.unwrap_or_else(|_| Err("its check panicked".into())).err()?;
        tracing::warn!("not ready, for want of {}: {why}", need.name);
        Some(Arc::clone(&need.name))
    });
    missing.collect()
}
