//! The nodes: the servers that share an engine.

#![allow(unused_qualifications, reason = "those that `utoipa::path` makes")]

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use wirehub_hub::unix_time::milliseconds;

use super::problem::Problem;
use crate::Hub;

/// A living node.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Node {
    /// Its id, which no other node has ever had.
    #[schema(example = "00f067aa0ba902b7")]
    node: String,
    /// The name of its machine or container.
    name: String,
    /// The server's version.
    version: String,
    /// The time of its start, in milliseconds since 1970-01-01 UTC.
    started: u64,
    /// Connected sessions.
    sessions: u64,
    /// Channels with subscribers on this node.
    channels: u64,
    #[schema(value_type = NodeState)]
    state: &'static str,
}

/// The living nodes, sorted by id.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Nodes {
    /// Their figures are at most a few seconds old.
    nodes: Vec<Node>,
}

/// The state of a node.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[allow(dead_code, reason = "describes the names of the states")]
enum NodeState {
    Running,
    /// It takes no new connections.
    Stopping,
}

/// List the living nodes: the servers that share an engine. A server that is alone is the only one.
#[utoipa::path(get, path = "/nodes", responses(
    (status = OK, body = Nodes),
    (status = SERVICE_UNAVAILABLE, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn list(State(hub): State<Hub>) -> Result<Json<Nodes>, Problem> {
    let nodes = hub.nodes().await?.into_iter().map(|node| Node {
        node: node.id.to_string(),
        name: node.report.name,
        version: node.report.version,
        started: milliseconds(node.report.started),
        sessions: node.report.sessions,
        channels: node.report.channels,
        state: if node.report.is_stopping { "stopping" } else { "running" },
    });
    Ok(Json(Nodes { nodes: nodes.collect() }))
}
