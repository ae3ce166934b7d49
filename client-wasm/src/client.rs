//! The client's handles over a WebSocket of the browser's.

use std::future::poll_fn;
use std::rc::Rc;

use wirehub_client_core::{Client, Config, Driver, Error};

use crate::browser::{now, seed};
use crate::page::PageWatch;
use crate::runner::{Provider, Runner};
use crate::socket::SocketError;
use crate::wire::check_address;

/// A client of the server at `url`, which begins with `ws://` or `wss://`. It does nothing before [`Client::connect`],
/// and lives until it is closed, or its last handle and stream are dropped.
///
/// # Errors
/// [`SocketErrorKind::Address`](crate::SocketErrorKind::Address): `url` is not the address of a WebSocket.
pub fn client(url: &str, config: Config) -> Result<Client, SocketError> {
    spawn(url, config, None)
}

/// [`client()`] with a token provider. The provider is asked before the first connect, when the server demands a new
/// token, and when it refuses one that is not fresh.
///
/// The provider returns [`Error::token_unavailable`] if asking again later may help, and [`Error::signed_out`] if it
/// will not. A provider that takes longer than [`Config::connect_timeout`] is asked anew, and its first answer is
/// dropped.
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

/// The client's name, unless the caller sets one.
fn with_name(config: Config) -> Config {
    if !config.client.is_empty() {
        return config;
    }
    config.client(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
}
