//! A server for each test, and clients of it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test fails by panicking"
)]

use std::panic::Location;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use wirehub_client::{Address, Client, Config, Gap, Publication, Subscription, Update};
use wirehub_server::namespace::Namespace;
use wirehub_server::{Builder, Hub, ListenAddress, Listener, router};

mod proxy;
pub mod scenarios;

pub use self::proxy::Proxy;

/// The time limit of a test for an expected event: long enough for a busy machine, and never used up by a test that
/// passes.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A builder of a hub whose channels are open to every client.
pub fn open_hub() -> Builder {
    Hub::builder().default_namespace(Namespace::open())
}

/// A server of its own, in this process.
#[derive(Debug)]
pub struct Server {
    /// The hub, to publish and to read state on the server's side.
    pub hub: Hub,
    address: ListenAddress,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

impl Server {
    /// The demo's server, on a free port.
    pub async fn demo() -> Self {
        Self::start(wirehub_demo::builder().build(), "127.0.0.1:0").await
    }

    /// A server for `hub` at an address.
    pub async fn start(hub: Hub, address: &str) -> Self {
        let listener = Listener::bind(&address.parse().unwrap()).await.unwrap();
        let address = listener.address().unwrap();
        let (stop, stopped) = oneshot::channel();
        let app = router(&hub).merge(hub.echo());
        let running = tokio::spawn(wirehub_server::run(listener, hub.clone(), app, async {
            // A dropped sender stops it too: the test is over.
            let _ = stopped.await;
        }));
        Self { hub, address, stop, running }
    }

    /// A connection to it that can be broken.
    pub async fn proxy(&self) -> Proxy {
        match &self.address {
            ListenAddress::Tcp(address) => Proxy::start(*address).await,
            other => panic!("{other} is no TCP address"),
        }
    }

    /// The address for a successor of this server.
    pub fn listen_address(&self) -> String {
        self.address.to_string()
    }

    /// The address for clients.
    pub fn address(&self) -> Address {
        match &self.address {
            ListenAddress::Tcp(address) => Address::parse(&format!("ws://{address}/ws")).unwrap(),
            other => Address::parse(&other.to_string()).unwrap(),
        }
    }

    /// A client that is connected.
    pub async fn client(&self) -> Client {
        let client = wirehub_client::client(self.address(), Config::default());
        soon(client.connect()).await.unwrap();
        client
    }

    /// Stops in order, and waits for the end.
    pub async fn stop(self) {
        let _ = self.stop.send(());
        soon(self.running).await.unwrap();
    }
}

/// Waits for an expected event. A failure names the caller.
#[track_caller]
pub fn soon<F: Future>(future: F) -> impl Future<Output = F::Output> {
    soon_at(Location::caller(), future)
}

async fn soon_at<F: Future>(test: &'static Location<'static>, future: F) -> F::Output {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("{test}: nothing happened for {PATIENCE:?}"),
    }
}

/// Waits for the next item of a stream that must not end.
#[track_caller]
pub fn next<S: Stream + Unpin>(stream: &mut S) -> impl Future<Output = S::Item> {
    let test = Location::caller();
    async move {
        match soon_at(test, stream.next()).await {
            Some(item) => item,
            None => panic!("{test}: the stream ended"),
        }
    }
}

/// Waits for the next publication of a subscription, without a gap before it.
#[track_caller]
pub fn publication<M>(subscription: &mut Subscription<M>) -> impl Future<Output = Publication<M>> {
    let (test, update) = (Location::caller(), next(subscription));
    async move {
        match update.await {
            Ok(Update::Publication(publication)) => publication,
            Ok(other) => panic!("{test}: {:?}", other.gap()),
            Err(error) => panic!("{test}: {error}"),
        }
    }
}

/// Waits for the next item of a subscription, which must be a gap.
#[track_caller]
pub fn gap<M>(subscription: &mut Subscription<M>) -> impl Future<Output = Gap> {
    let (test, update) = (Location::caller(), next(subscription));
    async move {
        match update.await {
            Ok(update) => update.gap().unwrap_or_else(|| panic!("{test}: a publication came")),
            Err(error) => panic!("{test}: {error}"),
        }
    }
}
