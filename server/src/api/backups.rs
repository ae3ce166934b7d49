//! Backups of the engine's data.

#![allow(unused_qualifications, reason = "those that `utoipa::path` makes")]

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Body;
use super::problem::Problem;
use crate::Hub;
use crate::engine::{BackupError, BackupState, Backups};

/// A backup to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewBackup {
    /// The name of its folder, below the folder of all backups: up to 100 letters, digits, `-`, `_` and `.`.
    name: String,
}

/// A backup.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Backup {
    /// The name of its folder.
    name: String,
    /// `running`, `done` or `failed`.
    state: &'static str,
    /// The reason of a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Begin a backup. It has everything that was acknowledged before. It goes on after the answer: ask for its state.
#[utoipa::path(post, path = "/backup", request_body = NewBackup, responses(
    (status = ACCEPTED, description = "The backup has begun", body = Backup),
    (status = NOT_FOUND, description = "This server makes no backups", body = Problem, content_type = "application/problem+json"),
    (status = CONFLICT, description = "Another backup is at work", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn begin(
    State(hub): State<Hub>,
    Body(NewBackup { name }): Body<NewBackup>,
) -> Result<(StatusCode, Json<Backup>), Problem> {
    backups(&hub)?.begin(&name).map_err(|error| {
        let status = match error {
            BackupError::Name => StatusCode::BAD_REQUEST,
            BackupError::Busy => StatusCode::CONFLICT,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Problem::new(status, error.to_string())
    })?;
    Ok((StatusCode::ACCEPTED, Json(Backup { name, state: "running", error: None })))
}

/// Show the newest backup since the start of the server.
#[utoipa::path(get, path = "/backup", responses(
    (status = OK, body = Backup),
    (status = NOT_FOUND, description = "There is none", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn latest(State(hub): State<Hub>) -> Result<Json<Backup>, Problem> {
    let latest = backups(&hub)?.latest();
    let latest =
        latest.ok_or_else(|| Problem::not_found("no backup was made since the start of the server"))?;
    let (state, error) = match latest.state {
        BackupState::Running => ("running", None),
        BackupState::Done => ("done", None),
        BackupState::Failed(reason) => ("failed", Some(reason)),
    };
    Ok(Json(Backup { name: latest.name, state, error }))
}

fn backups(hub: &Hub) -> Result<&dyn Backups, Problem> {
    hub.engine().backups().ok_or_else(|| {
        Problem::not_found(
            "this server makes no backups: they need the engine on disk, and `backups = \"/a/folder\"` in [disk]",
        )
    })
}
