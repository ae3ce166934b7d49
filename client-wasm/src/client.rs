//! The client's handles over a WebSocket of the browser's.

use std::future::poll_fn;
use std::rc::Rc;

use wirehub_client_core::{Client, Config, Driver, Error};

use crate::browser::{now, seed};
use crate::page::PageWatch;
use crate::runner::{Provider, Runner};
use crate::socket::SocketError;
use crate::wire::check_address;

/// A client of the server at `url`, which begins with `ws://` or `wss://`. It does nothing before
/// [`Client::connect`], and lives until it is closed, or all that hold it are dropped.
///
/// # Errors
/// [`SocketErrorKind::Address`](crate::SocketErrorKind::Address): `url` is no address of a WebSocket.
pub fn client(url: &str, config: Config) -> Result<Client, SocketError> {
    spawn(url, config, None)
}

/// [`client()`] with a provider that is asked for a token: before the first connect, when the server says that a new one
/// is due, and when it refuses one that is not fresh.
///
/// The provider gives [`Error::token_unavailable`] where asking again later may help, [`Error::signed_out`] where it
/// will not. One that takes longer than [`Config::connect_timeout`] is asked anew, and its answer dropped.
///
/// ```no_run
/// # use wirehub_client_wasm::{Config, Error};
/// # async fn fetch_token() -> Result<String, std::io::Error> { unimplemented!() }
/// # fn example() -> Result<(), wirehub_client_wasm::SocketError> {
/// let client = wirehub_client_wasm::client_with_tokens("wss://example.org/ws", Config::default(), || async {
///     fetch_token().await.map_err(Error::token_unavailable)
/// })?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As for [`client()`].
pub fn client_with_tokens<F>(
    url: &str,
    config: Config,
    provider: impl Fn() -> F + 'static,
) -> Result<Client, SocketError>
where
    F: Future<Output = Result<String, Error>> + 'static,
{
    let config = config.provides_tokens(true);
    spawn(url, config, Some(Box::new(move || Box::pin(provider()))))
}

fn spawn(url: &str, config: Config, provider: Option<Provider>) -> Result<Client, SocketError> {
    check_address(url)?;
    let (client, driver) = Driver::pair(with_name(config), seed(), now);
    let runner = Rc::new(Runner::new(url.into(), driver, provider));
    let watched = Rc::downgrade(&runner);
    let page = PageWatch::new(move |event| {
        if let Some(runner) = watched.upgrade() {
            runner.page(event);
        }
    });
    wasm_bindgen_futures::spawn_local(async move {
        poll_fn(|context| runner.poll(context)).await;
        drop(page);
    });
    Ok(client)
}

/// What the client calls itself where the caller does not say.
fn with_name(config: Config) -> Config {
    if !config.client.is_empty() {
        return config;
    }
    config.client(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
}
