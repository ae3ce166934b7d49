//! The nodes: the servers that share an engine.

#![allow(unused_qualifications, reason = "those that `utoipa::path` makes")]

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use wirehub_hub::unix_time::milliseconds;

use super::problem::Problem;
use super::{Query, limit_of};
use crate::Hub;
use crate::engine::NodeId;

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
    /// The number of living nodes, on all pages.
    count: usize,
    /// Their figures are at most a few seconds old.
    nodes: Vec<Node>,
    /// The `after` for the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListOptions {
    /// The maximum number of nodes, up to 1,000.
    #[param(default = 100, maximum = 1000)]
    limit: Option<usize>,
    /// The `next` of the previous page.
    after: Option<String>,
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
#[utoipa::path(get, path = "/nodes", params(ListOptions), responses(
    (status = OK, body = Nodes),
    (status = SERVICE_UNAVAILABLE, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn list(
    State(hub): State<Hub>,
    Query(ListOptions { limit, after }): Query<ListOptions>,
) -> Result<Json<Nodes>, Problem> {
    let after: Option<NodeId> = after.map(|after| after.parse()).transpose().map_err(Problem::bad_request)?;
    let mut nodes = hub.nodes().await?;
    let (count, limit) = (nodes.len(), limit_of(limit));
    nodes.retain(|node| after.is_none_or(|after| node.id > after));
    let is_cut = nodes.len() > limit;
    nodes.truncate(limit);
    let next = nodes.last().filter(|_| is_cut).map(|last| last.id.to_string());
    let nodes = nodes.into_iter().map(|node| Node {
        node: node.id.to_string(),
        name: node.report.name,
        version: node.report.version,
        started: milliseconds(node.report.started),
        sessions: node.report.sessions,
        channels: node.report.channels,
        state: if node.report.is_stopping { "stopping" } else { "running" },
    });
    Ok(Json(Nodes { count, nodes: nodes.collect(), next }))
}
