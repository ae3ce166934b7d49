#![doc = include_str!("../README.md")]
//!
//! As a library it is a hub with the demo's contract, for tests and programs:
//!
//! ```no_run
//! use wirehub_server::{Listener, run, router};
//!
//! # async fn demo() -> Result<(), wirehub_server::Error> {
//! let hub = wirehub_demo::builder().build();
//! let listener = Listener::bind(&"127.0.0.1:8080".parse()?).await?;
//! run(listener, hub.clone(), router(&hub), std::future::pending()).await;
//! # Ok(())
//! # }
//! ```

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use futures_util::future::BoxFuture;
use wirehub_demo_contract::{
    Demo as Contract, DescribeMeters, Echo, EchoResponse, Rooms, RoomsResponse, Ticks,
};
use wirehub_server::call::{CallContext, CallError};
use wirehub_server::observe::Phase;
use wirehub_server::serve::Extension;
use wirehub_server::{Builder, Hub, ListenAddress};

mod alarms;
mod clock;
mod direct;
mod identity;
mod lab;
mod meters;
mod page;
mod restart;
mod rooms;
mod rule;
mod throttle;

pub use self::page::{has_page, page};
pub use self::restart::{RestartWish, TOKEN_KEY, arguments_at};

use self::identity::{Name, Names, Tokens};
use self::rule::Ruling;

/// The error code for a period that is not supported.
pub const NO_SUCH_PERIOD: u16 = wirehub_demo_contract::codes::NO_SUCH_PERIOD;

/// A hub with the demo's contract, its rules and its calls. It does not restart itself, and nothing is published in its charts: that
/// is up to a [`Demo`]. Clients with a token of [`Demo`] are users, and others are anonymous.
pub fn builder() -> Builder {
    Demo::new().builder()
}

/// The demo as a part of a server.
///
/// ```no_run
/// use wirehub_demo::Demo;
/// use wirehub_server::serve::Options;
///
/// let demo = Demo::new().restarting();
/// let wish = demo.wish();
/// Options::default().serve_with(demo.builder(), demo)?;
/// assert_eq!(wish.address(), None, "nobody has asked for a restart");
/// # Ok::<(), wirehub_server::Error>(())
/// ```
#[derive(Debug)]
pub struct Demo {
    tokens: Tokens,
    wish: RestartWish,
    restarts: bool,
    ruling: Ruling,
}

impl Default for Demo {
    fn default() -> Self {
        Self::new()
    }
}

impl Demo {
    /// A demo that does not restart. The key of its tokens is the one in the environment variable [`TOKEN_KEY`], or a new one.
    pub fn new() -> Self {
        Self {
            tokens: Tokens::from_environment(),
            wish: RestartWish::default(),
            restarts: false,
            ruling: Ruling::new(),
        }
    }

    /// Allows clients on this machine to ask for a restart, which stops the server. [`Self::wish`] has the rest.
    #[must_use]
    pub fn restarting(self) -> Self {
        Self { restarts: true, ..self }
    }

    /// The wish of a client to restart the server, after it has stopped.
    pub fn wish(&self) -> RestartWish {
        self.wish.clone()
    }

    /// The hub of the demo.
    pub fn builder(&self) -> Builder {
        let hub = Hub::builder()
            .contract::<Contract>()
            .limits(wirehub_common::Limits { message_bytes: MESSAGE_BYTES, ..Default::default() })
            .queue_bytes(QUEUE_BYTES)
            .authenticate(self.tokens.clone().hook())
            .state(self.tokens.names().clone())
            .call(Echo, async |_, request| Ok(EchoResponse { text: request.text }))
            .call(Rooms, async |context, _| Ok(RoomsResponse { rooms: rooms::list(context.hub()).await }))
            .call(DescribeMeters, async |_, _| Ok(meters::describe()))
            .call_stream(Ticks, async |_, request| Ok(clock::ticks(clock::period(&request)?)));
        let hub = rooms::add(hub);
        let hub = direct::add(hub);
        let hub = meters::add(hub);
        let hub = alarms::add(hub);
        let hub = rule::add(hub, self.ruling.clone());
        lab::add(hub, self.restarts.then(|| self.wish.clone()))
    }
}

impl Extension for Demo {
    fn start(&mut self, hub: &Hub) -> Router {
        tokio::spawn(rooms::publish_list(hub.clone()));
        tokio::spawn(meters::measure(hub.clone(), self.ruling.clone()));
        identity::routes(hub, self.tokens.clone()).merge(page())
    }

    fn listening(&mut self, address: &ListenAddress) {
        self.wish.listening(address, &self.tokens);
    }

    fn stopped(&mut self) -> BoxFuture<'static, ()> {
        let wish = self.wish.clone();
        Box::pin(async move { wish.wished().await })
    }
}

/// An image and its description.
const MESSAGE_BYTES: u32 = 4 * 1024 * 1024;

/// Two images.
const QUEUE_BYTES: usize = 8 * 1024 * 1024;

/// The user of a call.
fn user(context: &CallContext) -> Result<Arc<str>, CallError> {
    if context.user().is_empty() {
        const WORDS: &str =
            "this is for people with a name: get a token by POST /demo/session, and connect with it";
        return Err(CallError::application::<{ wirehub_demo_contract::codes::NO_USER }>(WORDS));
    }
    Ok(context.user().into())
}

/// The present name of the session's person; empty for an anonymous session.
fn name(context: &CallContext) -> String {
    let present = context.state::<Names>().ok().and_then(|names| names.of(context.user()));
    let first = || context.session_state::<Name>().map(|name| name.0.clone());
    present.or_else(first).unwrap_or_default()
}

/// Returns an error unless a text has a length within these bounds, in characters.
fn bounded(what: &str, text: &str, least: usize, most: usize) -> Result<(), CallError> {
    let characters = text.chars().count();
    if (least..=most).contains(&characters) {
        return Ok(());
    }
    Err(out_of_bounds(format!("{what} has {characters} characters: use {least} to {most}")))
}

fn out_of_bounds(words: impl Into<String>) -> CallError {
    CallError::application::<{ wirehub_demo_contract::codes::OUT_OF_BOUNDS }>(words)
}

fn too_often(words: &str) -> CallError {
    CallError::application::<{ wirehub_demo_contract::codes::TOO_OFTEN }>(words).temporary()
}

/// `true` until the hub stops: tasks end then.
fn is_running(hub: &Hub) -> bool {
    matches!(hub.phase(), Phase::Running | Phase::Draining)
}

/// The time in milliseconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64() * 1000.0
}

/// The time in whole milliseconds since 1970.
fn now_whole() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// How long messages are kept.
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
