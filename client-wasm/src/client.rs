//! The client's handles over a WebSocket of the browser's.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use wirehub_client_core::{Client, Config, Driver, Error, Time, Transmit};
use wirehub_common::code::CloseCode;

use crate::browser::{now, seed};
use crate::runner::{Machine, PageEvent, Runner};
use crate::scope::Scope;
use crate::socket::SocketError;
use crate::url::check_address;

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
    let machine = Handles { driver, provider, task: RefCell::default() };
    let runner = Runner::new(machine, url, Scope::default());
    // The task owns the runner: it ends once the client is closed.
    wasm_bindgen_futures::spawn_local(poll_fn(move |context| {
        runner.machine().driver.register(context.waker());
        runner.run();
        if runner.machine().is_closed() {
            return Poll::Ready(());
        }
        runner.machine().task.replace(Some(context.waker().clone()));
        Poll::Pending
    }));
    Ok(client)
}

/// A function that returns tokens.
type Provider = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<String, Error>>>>>;

/// A state machine whose application has handles.
struct Handles {
    driver: Driver,
    provider: Option<Provider>,
    /// Wakes the task of the runner.
    task: RefCell<Option<Waker>>,
}

impl Machine for Handles {
    fn handle_open(&self, subprotocol: &str) {
        self.driver.handle_open(subprotocol);
    }

    fn handle_message(&self, message: Vec<u8>) {
        self.driver.handle_message(&message.into());
    }

    fn handle_text(&self) {
        self.driver.handle_text();
    }

    fn handle_close(&self, code: CloseCode, reason: &str) {
        self.driver.handle_close(code, reason);
    }

    fn handle_timeout(&self) {
        self.driver.handle_timeout();
    }

    fn handle_drained(&self) {
        self.driver.handle_drained();
    }

    fn handle_unsent(&self, bytes: u32) {
        self.driver.handle_unsent(bytes as usize);
    }

    fn handle_page(&self, event: PageEvent) {
        match event {
            PageEvent::Back => self.driver.reconnect_now(),
            PageEvent::Offline => self.driver.check_connection(),
            PageEvent::Online => {
                self.driver.check_connection();
                self.driver.reconnect_now();
            }
            PageEvent::PutAside => self.driver.suspend(),
        }
    }

    fn poll_transmit(&self, writable: bool) -> Option<Transmit> {
        self.driver.poll_transmit(writable)
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.driver.poll_timeout()
    }

    fn is_closed(&self) -> bool {
        self.driver.is_closed()
    }

    /// The handles have their events already. The question to the token provider is left.
    fn deliver(&self, runner: &Rc<Runner<Self>>) -> bool {
        if self.is_closed()
            && let Some(task) = self.task.take()
        {
            task.wake();
        }
        let (Some(request), Some(provider)) = (self.driver.poll_token_request(), &self.provider) else {
            return false;
        };
        let (runner, answer) = (Rc::downgrade(runner), provider());
        wasm_bindgen_futures::spawn_local(async move {
            let token = answer.await;
            if let Some(runner) = runner.upgrade() {
                runner.machine().driver.handle_token(request, token);
                runner.run();
            }
        });
        true
    }
}

/// The client's name, unless the caller sets one.
fn with_name(config: Config) -> Config {
    if !config.client.is_empty() {
        return config;
    }
    config.client(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
}
