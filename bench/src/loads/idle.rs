//! Connections that are idle.

use std::future::Future;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::runtime;
use crate::server::Server;
use crate::wire::{self, CHANNEL, Dialect, Role};

const CONNECTIONS: u32 = 10_000;

/// A handshake costs both sides a thousand times as much.
const ENCRYPTED: u32 = 2_000;

const LEAVING: u32 = 9_500;

/// The first connections cause one-time costs, which are not counted.
const FIRST: u32 = 100;

/// How many are opened at a time: fewer than the accept queue holds.
const AT_ONCE: usize = 64;

/// The time until memory is read, for work that a server does only after a pause.
const QUIET: Duration = Duration::from_secs(2);

/// The bytes of memory for each connection. With Wirehub they are connected and subscribed.
pub(super) fn run(server: &Server) -> Result<f64> {
    memory_of_each(server, CONNECTIONS, &open)
}

/// The same once each has published a message and received one.
pub(super) fn after_traffic(server: &Server) -> Result<f64> {
    runtime()?.block_on(async {
        let mut publisher = wire::open(server.dialect, server.address, Role::Publisher).await?;
        let mut first = open(server, FIRST).await?;
        talk(server, &mut publisher, &mut first).await?;
        drop(first);
        let before = settled_memory(server)?;
        let mut connections = open(server, CONNECTIONS).await?;
        talk(server, &mut publisher, &mut connections).await?;
        let after = settled_memory(server)?;
        drop(connections);
        Ok(each(before, after, CONNECTIONS))
    })
}

/// The same with TLS.
pub(super) fn encrypted(server: &Server) -> Result<f64> {
    memory_of_each(server, ENCRYPTED, &open_encrypted)
}

/// The percentage of memory that the system has back after all have left.
pub(super) fn given_back(server: &Server) -> Result<f64> {
    runtime()?.block_on(async {
        let descriptors = server.descriptors()?;
        drop(open(server, FIRST).await?);
        server.wait_until_closed(descriptors)?;
        let before = settled_memory(server)?;
        let connections = open(server, LEAVING).await?;
        let with = settled_memory(server)?;
        drop(connections);
        server.wait_until_closed(descriptors)?;
        let after = settled_memory(server)?;
        let taken =
            with.checked_sub(before).filter(|&it| it > 0).context("the connections took no memory")?;
        Ok(with.saturating_sub(after) as f64 / taken as f64 * 100.0)
    })
}

fn memory_of_each<S>(
    server: &Server,
    connections: u32,
    open: &impl AsyncFn(&Server, u32) -> Result<Vec<S>>,
) -> Result<f64> {
    runtime()?.block_on(async {
        drop(open(server, FIRST).await?);
        let before = settled_memory(server)?;
        let opened = open(server, connections).await?;
        let after = settled_memory(server)?;
        drop(opened);
        Ok(each(before, after, connections))
    })
}

fn settled_memory(server: &Server) -> Result<u64> {
    thread::sleep(QUIET);
    server.memory()
}

fn each(before: u64, after: u64, connections: u32) -> f64 {
    after.saturating_sub(before) as f64 / f64::from(connections)
}

async fn open(server: &Server, count: u32) -> Result<Vec<TcpStream>> {
    many(count, || wire::open(server.dialect, server.address, Role::Subscriber)).await
}

async fn open_encrypted(server: &Server, count: u32) -> Result<Vec<TlsStream<TcpStream>>> {
    let certificate = server.certificate.as_ref().context("the server does not speak TLS")?;
    many(count, || async {
        let mut stream = certificate.wrap(wire::connect(server.address).await?).await?;
        wire::begin(&mut stream, server.dialect, Role::Subscriber, CHANNEL).await?;
        Ok(stream)
    })
    .await
}

async fn many<S, F>(count: u32, open: impl Fn() -> F) -> Result<Vec<S>>
where
    F: Future<Output = Result<S>>,
{
    futures_util::stream::iter(0..count).map(|_| open()).buffer_unordered(AT_ONCE).try_collect().await
}

/// Each subscriber publishes in a channel without subscribers, and receives a message of `publisher`. Servers that
/// accept nothing from a subscriber ignore the former.
async fn talk(server: &Server, publisher: &mut TcpStream, subscribers: &mut [TcpStream]) -> Result<()> {
    let unheard = wire::publish_in(server.dialect, "chat:unheard", 3, &[b'x'; 128])?;
    for stream in &mut *subscribers {
        stream.write_all(&unheard).await?;
        if server.dialect == Dialect::Wirehub {
            wire::receive(stream, server.dialect, 1).await.context("no answer to a publish")?;
        }
    }
    publisher.write_all(&wire::publish(server.dialect, &[b'x'; 128])?).await?;
    for stream in subscribers {
        wire::receive(stream, server.dialect, 1).await.context("no publication")?;
    }
    Ok(())
}
