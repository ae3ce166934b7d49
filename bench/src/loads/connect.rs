//! Connections that open, subscribe and close.

use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{per_million, runtime};
use crate::server::Server;
use crate::wire::{self, Dialect, Role};

const FIRST: u32 = 500;

const VISITS: u32 = 10_000;

const AT_ONCE: usize = 16;

/// The server's processor time for each connection, in microseconds. With Wirehub each connection makes the handshake,
/// is authenticated by `connect`, subscribes, and closes. With the other servers two echoes replace the two answers.
pub(super) fn run(server: &Server) -> Result<f64> {
    let runtime = runtime()?;
    let descriptors = server.descriptors()?;
    let all = |count: u32| -> Result<()> {
        let visits = futures_util::stream::iter(0..count).map(|_| visit(server));
        runtime.block_on(visits.buffer_unordered(AT_ONCE).try_collect::<()>())?;
        server.wait_until_closed(descriptors)
    };
    all(FIRST)?;
    let before = server.cpu_time()?;
    all(VISITS)?;
    per_million(server.cpu_time()? - before, VISITS.into())
}

async fn visit(server: &Server) -> Result<()> {
    let mut stream = wire::open(server.dialect, server.address, Role::Visitor).await?;
    if server.dialect != Dialect::Wirehub {
        let (question, expected) = wire::echo(server.dialect, &[b'x'; 32]);
        let mut answer = vec![0; expected.len()];
        for _ in 0..2 {
            stream.write_all(&question).await?;
            stream.read_exact(&mut answer).await.context("no echo")?;
            ensure!(answer == expected, "the echo differs from the message");
        }
    }
    Ok(())
}
