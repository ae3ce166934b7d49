//! The client's handles over a WebSocket of the browser's.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};
use std::time::Duration;

use wirehub_client_core::{Client, Config, Driver, Error, Time, Transmit};

use crate::browser::{Timer, now, seed};
use crate::page::PageWatch;
use crate::runner::{Input, Machine, PageEvent, Runner};
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
    let config = Config { provides_tokens: true, ..config };
    spawn(url, config, Some(Box::new(move || Box::pin(provider()))))
}

fn spawn(url: &str, config: Config, provider: Option<Provider>) -> Result<Client, SocketError> {
    check_address(url)?;
    let (client, driver) = Driver::pair(with_name(config), seed(), now);
    let runner = Rc::new_cyclic(|runner| {
        let (timer, task) = Default::default();
        let runner = Weak::clone(runner);
        Runner::new(url.into(), HandleMachine { driver, provider, timer, runner, task })
    });
    let watched = Rc::downgrade(&runner);
    let page = PageWatch::new(move |event| {
        if let Some(runner) = watched.upgrade() {
            runner.page(event);
        }
    });
    wasm_bindgen_futures::spawn_local(async move {
        poll_fn(|context| {
            let machine = runner.machine();
            machine.driver.register(context.waker());
            machine.task.replace(Some(context.waker().clone()));
            runner.run();
            if machine.driver.is_closed() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        drop(page);
    });
    Ok(client)
}

/// What the client calls itself where the caller does not say.
fn with_name(config: Config) -> Config {
    if !config.client.is_empty() {
        return config;
    }
    Config { client: env!("CARGO_PKG_NAME").into(), version: env!("CARGO_PKG_VERSION").into(), ..config }
}

/// What gives tokens.
type Provider = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<String, Error>>>>>;

/// The state machine under the handles, with a timer of the browser's.
struct HandleMachine {
    driver: Driver,
    provider: Option<Provider>,
    timer: RefCell<Option<Timer>>,
    runner: Weak<Runner<Self>>,
    /// Wakes the task, which ends once the client is closed.
    task: RefCell<Option<Waker>>,
}

impl Machine for HandleMachine {
    fn poll_transmit(&self, writable: bool) -> Option<Transmit> {
        self.driver.poll_transmit(writable)
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.driver.poll_timeout()
    }

    fn handle(&self, input: Input<'_>) {
        let driver = &self.driver;
        match input {
            Input::Open(subprotocol) => driver.handle_open(subprotocol),
            Input::Message(message) => driver.handle_message(&message),
            Input::Text => driver.handle_text(),
            Input::Close(code, reason) => driver.handle_close(code, reason),
            Input::Timeout => driver.handle_timeout(),
            Input::Page(PageEvent::Back) => driver.reconnect_now(),
            Input::Page(PageEvent::Offline) => driver.check_connection(),
            Input::Page(PageEvent::Online) => {
                driver.check_connection();
                driver.reconnect_now();
            }
            Input::Page(PageEvent::PutAside) => driver.suspend(),
        }
        if driver.is_closed()
            && let Some(task) = self.task.take()
        {
            task.wake();
        }
    }

    /// The driver hands out by itself; only tokens have to be asked for.
    fn deliver(&self) -> bool {
        let (Some(request), Some(provider)) = (self.driver.poll_token_request(), &self.provider) else {
            return false;
        };
        let (runner, answer) = (Weak::clone(&self.runner), provider());
        wasm_bindgen_futures::spawn_local(async move {
            let token = answer.await;
            if let Some(runner) = runner.upgrade() {
                runner.machine().driver.handle_token(request, token);
                runner.run();
            }
        });
        true
    }

    fn schedule(&self, delay: Option<Duration>) {
        let timer = delay.map(|delay| {
            let runner = Weak::clone(&self.runner);
            Timer::new(delay, move || {
                if let Some(runner) = runner.upgrade() {
                    runner.tick();
                }
            })
        });
        // The old one may be the one that has just fired: it is dropped outside of the borrow.
        let _old = self.timer.replace(timer);
    }
}
