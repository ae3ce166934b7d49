//! Connections that are there and do nothing.

use anyhow::Result;
use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::net::TcpStream;

use super::runtime;
use crate::server::Server;
use crate::wire::{self, Role};

const CONNECTIONS: u32 = 10_000;

/// How many are opened at a time: fewer than wait to be accepted without a loss.
const AT_ONCE: usize = 64;

/// The bytes of memory for each. With Wirehub they are connected and subscribed.
pub(super) fn run(server: &Server) -> Result<f64> {
    runtime()?.block_on(async {
        // What the first ones cost once is not the others'.
        drop(open(server, 100).await?);
        let before = server.memory()?;
        let connections = open(server, CONNECTIONS).await?;
        let after = server.memory()?;
        drop(connections);
        Ok((after.saturating_sub(before)) as f64 / f64::from(CONNECTIONS))
    })
}

async fn open(server: &Server, count: u32) -> Result<Vec<TcpStream>> {
    futures_util::stream::iter(0..count)
        .map(|_| wire::open(server.kind.dialect(), server.address, Role::Subscriber))
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}
