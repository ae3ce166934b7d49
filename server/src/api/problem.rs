//! Errors as problem documents (RFC 9457).

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::OrderError;
use crate::engine::EngineError;

/// The reason for a refused or failed request.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    /// The meaning of the status.
    title: String,
    /// The status.
    status: u16,
    /// The mistake, and what to do.
    detail: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Problem").into();
        Self { title, status: status.as_u16(), detail: detail.into() }
    }

    #[allow(clippy::needless_pass_by_value, reason = "for `map_err`")]
    pub(super) fn bad_request(detail: impl ToString) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail.to_string())
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        // The engine itself reports a temporary state.
        if error.is_temporary() {
            tracing::debug!("{error}");
        } else {
            tracing::error!("{error}");
        }
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the engine failed, or a node did not answer: try again; the server's log has the reason",
        )
    }
}

impl From<OrderError> for Problem {
    fn from(error: OrderError) -> Self {
        match error {
            OrderError::Engine(error) => error.into(),
            error => Self::bad_request(error),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        (status, [(header::CONTENT_TYPE, PROBLEM)], body).into_response()
    }
}

/// The media type of a problem.
pub(super) const PROBLEM: &str = "application/problem+json";
