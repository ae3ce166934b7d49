//! Looking at sessions, and ending them.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use wirehub_common::code::CloseCode;
use wirehub_common::frame::Member;

use super::problem::Problem;
use super::{Body, Path};
use crate::{Hub, SessionId};

/// A connected client.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Session {
    /// The session's id.
    session: String,
    /// The session's user; absent for an anonymous one.
    #[serde(skip_serializing_if = "String::is_empty")]
    user: String,
}

/// Connected clients.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Sessions {
    /// How many there are in all.
    count: usize,
    /// At most 10,000 of them.
    sessions: Vec<Session>,
}

/// How a session ends.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct Disconnect {
    /// 3000 to 4999; whether the client comes back is in it: from 3500, and from 4500, it does not.
    #[serde(default = "disconnected")]
    #[schema(default = 3506, minimum = 3000, maximum = 4999)]
    code: u16,
    /// For people; at most 123 bytes.
    #[serde(default)]
    reason: String,
}

/// List the connected sessions.
#[utoipa::path(get, path = "/sessions", responses((status = OK, body = Sessions)))]
pub(super) async fn list(State(hub): State<Hub>) -> Json<Sessions> {
    let mut members = hub.session_members();
    let count = members.len();
    members.truncate(MAX_SESSIONS);
    Json(Sessions { count, sessions: members.into_iter().map(Into::into).collect() })
}

/// End a session.
#[utoipa::path(post, path = "/sessions/{session}/disconnect", params(("session" = String, Path)), responses(
    (status = NO_CONTENT),
    (status = BAD_REQUEST, body = Problem, content_type = "application/problem+json"),
    (status = NOT_FOUND, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn disconnect(
    State(hub): State<Hub>,
    Path(session): Path<String>,
    Body(Disconnect { code, reason }): Body<Disconnect>,
) -> Result<StatusCode, Problem> {
    let session: SessionId = session.parse().map_err(Problem::bad_request)?;
    let code = CloseCode::new(code).filter(|code| (3000..5000).contains(&code.number()));
    let code = code
        .ok_or_else(|| Problem::bad_request("`code` is 3000 to 4999: see the close codes of the protocol"))?;
    if reason.len() > 123 {
        return Err(Problem::bad_request("`reason` has at most 123 bytes: shorten it"));
    }
    if !hub.disconnect(session, code, reason) {
        return Err(Problem::not_found("there is no such session: it has ended, perhaps"));
    }
    Ok(StatusCode::NO_CONTENT)
}

impl From<Member> for Session {
    fn from(Member { session, user, .. }: Member) -> Self {
        Self { session, user }
    }
}

fn disconnected() -> u16 {
    CloseCode::DISCONNECTED.number()
}

/// How many sessions the list has at most.
const MAX_SESSIONS: usize = 10_000;
