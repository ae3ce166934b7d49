//! The client that the TypeScript `Client` holds.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use js_sys::Function;
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};
use web_sys::WebSocket;
use wirehub_client_core::{
    CommandId, Config, Core, Error, ErrorKind, Event, Outcome, Recovery, SendOptions, State, StateChange,
    SubscriptionId, Time, TokenRequest, Transmit,
};
use wirehub_common::code::{CloseCode, ErrorCode};
use wirehub_common::contract::ContractHash;
use wirehub_common::frame::{ContractDigest, ContractId, History, Position};
use wirehub_common::{ChannelName, Payload};

use super::batch::Batch;
use super::host::Host;
use crate::browser::{milliseconds, now, seed};
use crate::runner::{Input, Machine, PageEvent, Runner};

/// A client. What its methods bring about is told to its host when [`flush`](Self::flush) is called, or the browser
/// has news.
#[wasm_bindgen(js_name = Client)]
#[allow(missing_debug_implementations, reason = "only JavaScript holds it")]
pub struct JsClient {
    runner: Rc<Runner<JsMachine>>,
}

#[wasm_bindgen(js_class = Client)]
impl JsClient {
    /// A client that does nothing yet. `provides_tokens`: its host is to be asked for tokens. `contract` has name and
    /// hash of the contract and of each of its items, in turn, each in a line; it is empty for none.
    #[wasm_bindgen(constructor)]
    pub fn new(
        host: Host,
        url: String,
        token: String,
        provides_tokens: bool,
        name: String,
        contract: &str,
    ) -> Self {
        let config = Config {
            token,
            provides_tokens,
            client: name,
            version: env!("CARGO_PKG_VERSION").into(),
            contract: contract_digest(contract),
            ..Config::default()
        };
        let machine = JsMachine { core: RefCell::new(Core::new(config, seed())), host };
        Self { runner: Rc::new(Runner::new(url, machine)) }
    }

    /// Begins to connect.
    pub fn connect(&self) {
        self.core(|core| core.connect(now()));
    }

    /// Has what was begun since go out, and tells the host what came of it.
    pub fn flush(&self) {
        self.runner.run();
    }

    /// The time that the host was asked to wait is over.
    pub fn tick(&self) {
        self.runner.tick();
    }

    /// Something happened to the page: it is back (0), online (1), offline (2), put aside (3).
    pub fn page(&self, event: u8) {
        self.runner.page(match event {
            0 => PageEvent::Back,
            1 => PageEvent::Online,
            2 => PageEvent::Offline,
            _ => PageEvent::PutAside,
        });
    }

    /// Subscribes; gives the subscription's number.
    ///
    /// # Errors
    /// The host's error.
    pub fn subscribe(&self, channel: &str) -> Result<u32, JsValue> {
        self.attempt(|core| Ok(core.subscribe(now(), &ChannelName::new(channel)?)?.number()))
    }

    /// Ends a subscription.
    pub fn unsubscribe(&self, subscription: u32) {
        self.core(|core| core.unsubscribe(SubscriptionId::from_number(subscription)));
    }

    /// Publishes; gives the command's number. `timeout` is in milliseconds; `fail_fast`: only where it can go out now.
    ///
    /// # Errors
    /// The host's error.
    pub fn publish(
        &self,
        channel: &str,
        json: bool,
        data: Vec<u8>,
        timeout: f64,
        fail_fast: bool,
    ) -> Result<u32, JsValue> {
        self.attempt(|core| {
            let channel = ChannelName::new(channel)?;
            let options = send_options(timeout, fail_fast);
            Ok(core.publish(now(), channel, payload(json, data), options)?.number())
        })
    }

    /// Publishes now or never; `false` where it was dropped.
    ///
    /// # Errors
    /// The host's error.
    #[wasm_bindgen(js_name = publishVolatile)]
    pub fn publish_volatile(&self, channel: &str, json: bool, data: Vec<u8>) -> Result<bool, JsValue> {
        // What was queued since the last flush is no reason to drop this.
        self.runner.send();
        self.attempt(|core| Ok(core.publish_volatile(ChannelName::new(channel)?, payload(json, data))))
    }

    /// Calls for one response, or for a stream of them; gives the command's number.
    ///
    /// # Errors
    /// The host's error.
    pub fn call(
        &self,
        name: &str,
        json: bool,
        data: Vec<u8>,
        timeout: f64,
        fail_fast: bool,
        stream: bool,
    ) -> Result<u32, JsValue> {
        self.attempt(|core| {
            let (payload, options) = (payload(json, data), send_options(timeout, fail_fast));
            let command = if stream {
                core.call_stream(now(), name, payload, options)
            } else {
                core.call(now(), name, payload, options)
            };
            Ok(command?.number())
        })
    }

    /// Reads a channel's history, from the offset on where there is an epoch; gives the command's number.
    ///
    /// # Errors
    /// The host's error.
    #[allow(clippy::too_many_arguments, reason = "an object would cost more code on both sides")]
    pub fn history(
        &self,
        channel: &str,
        offset: f64,
        epoch: Option<String>,
        limit: u32,
        reverse: bool,
        timeout: f64,
        fail_fast: bool,
    ) -> Result<u32, JsValue> {
        self.attempt(|core| {
            let since = epoch.map(|epoch| Position { offset: offset as u64, epoch });
            let history = History { channel: ChannelName::new(channel)?, since, limit, reverse };
            Ok(core.history(now(), history, send_options(timeout, fail_fast))?.number())
        })
    }

    /// Asks who is in a channel; gives the command's number.
    ///
    /// # Errors
    /// The host's error.
    pub fn presence(&self, channel: &str, timeout: f64, fail_fast: bool) -> Result<u32, JsValue> {
        self.attempt(|core| {
            let channel = ChannelName::new(channel)?;
            Ok(core.presence(now(), channel, send_options(timeout, fail_fast))?.number())
        })
    }

    /// Replaces the token.
    #[wasm_bindgen(js_name = setToken)]
    pub fn set_token(&self, token: String) {
        self.core(|core| core.set_token(now(), token));
    }

    /// The answer to [`Host::on_token_needed`]: a token, or none for now, or none for good.
    #[wasm_bindgen(js_name = handleToken)]
    pub fn handle_token(&self, request: u32, token: Option<String>, signed_out: bool) {
        let failure = if signed_out { ErrorCode::UNAUTHORIZED } else { ErrorCode::TOKEN_UNAVAILABLE };
        let token = token.ok_or_else(|| Error::from_code(ErrorKind::Usage, failure));
        self.core(|core| core.handle_token(now(), TokenRequest::from_number(request), token));
    }

    /// Gives up on a command.
    pub fn cancel(&self, command: u32) {
        self.core(|core| core.cancel(CommandId::from_number(command)));
    }

    /// Closes the client for good, at once.
    pub fn close(&self, code: u16, reason: &str) {
        self.core(|core| core.close(CloseCode::new(code).unwrap_or(CloseCode::NORMAL), reason));
        self.runner.run();
    }

    fn core<T>(&self, act: impl FnOnce(&mut Core) -> T) -> T {
        act(&mut self.runner.machine().core.borrow_mut())
    }

    fn attempt<T>(&self, act: impl FnOnce(&mut Core) -> Result<T, Error>) -> Result<T, JsValue> {
        let result = self.core(act);
        result.map_err(|error| self.runner.machine().host.error(&error))
    }
}

/// The state machine whose surroundings are TypeScript's.
struct JsMachine {
    core: RefCell<Core>,
    host: Host,
}

impl Machine for JsMachine {
    fn poll_transmit(&self, writable: bool) -> Option<Transmit> {
        self.core.borrow_mut().poll_transmit(writable)
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.core.borrow().poll_timeout()
    }

    fn handle(&self, input: Input<'_>) {
        let mut core = self.core.borrow_mut();
        let now = now();
        match input {
            Input::Open(subprotocol) => core.handle_open(subprotocol),
            Input::Message(message) => core.handle_message(now, &message),
            Input::Text => core.handle_text(now),
            Input::Close(code, reason) => core.handle_close(now, code, reason),
            Input::Timeout => core.handle_timeout(now),
            Input::Page(event) => match event {
                PageEvent::Back => core.reconnect_now(now),
                PageEvent::Offline => core.check_connection(now),
                PageEvent::Online => {
                    core.check_connection(now);
                    core.reconnect_now(now);
                }
                PageEvent::PutAside => core.suspend(now),
            },
        }
    }

    fn deliver(&self) -> bool {
        // All at once: what JavaScript does meanwhile comes behind these.
        let events: Vec<Event> = {
            let mut core = self.core.borrow_mut();
            std::iter::from_fn(|| core.poll_event()).collect()
        };
        let any = !events.is_empty();
        let mut batch = Batch::default();
        for event in events {
            match event {
                Event::Publication { subscription, publication } => {
                    batch.push_publication(subscription.number(), &publication);
                }
                Event::Broadcast(publication) => batch.push_publication(NO_SUBSCRIPTION, &publication),
                event => {
                    batch.flush(&self.host);
                    self.tell(event);
                }
            }
        }
        batch.flush(&self.host);
        any
    }

    fn open(&self, url: &str, protocols: &JsValue, handler: &Function) -> Result<WebSocket, JsValue> {
        self.host.open(url, protocols, handler)
    }

    fn schedule(&self, delay: Option<Duration>) {
        self.host.schedule(delay.map(milliseconds));
    }
}

impl JsMachine {
    fn tell(&self, event: Event) {
        let host = &self.host;
        match event {
            Event::State(change) => self.tell_state(&change),
            Event::Subscribed { subscription, recovery } => {
                let recovery = match recovery {
                    Recovery::First => 0,
                    Recovery::Complete => 1,
                    Recovery::NoHistory => 2,
                    _ => 3,
                };
                host.on_subscribed(subscription.number(), recovery);
            }
            Event::Unsubscribed { subscription, error } => {
                host.on_unsubscribed(subscription.number(), error.map(|error| host.error(&error)));
            }
            Event::Response { command, payload } => {
                Batch::of_payload(&payload).answer(host, command, true, &Position::default());
            }
            Event::Completed { command, result } => self.tell_result(command, result),
            Event::TokenNeeded(request) => host.on_token_needed(request.number()),
            Event::Error(error) => host.on_error(host.error(&error)),
            _ => {}
        }
    }

    fn tell_result(&self, command: CommandId, result: Result<Outcome, Error>) {
        let host = &self.host;
        let mut batch = Batch::default();
        let mut position = Position::default();
        match result {
            Ok(Outcome::Called(payload)) => batch = Batch::of_payload(&payload),
            Ok(Outcome::History(page)) => {
                for publication in &page.publications {
                    batch.push_publication(NO_SUBSCRIPTION, publication);
                }
                position = page.position;
            }
            Ok(Outcome::Presence(list)) => {
                for member in &list.members {
                    batch.push_member(member);
                }
            }
            Ok(_) => {}
            Err(error) => return host.on_failed(command.number(), host.error(&error)),
        }
        batch.answer(host, command, false, &position);
    }

    fn tell_state(&self, change: &StateChange) {
        let (session, user, failure) = {
            let core = self.core.borrow();
            // For a connection that was closed the host has better words.
            let failure = core.failure().filter(|failure| failure.code() != ErrorCode::CLOSED);
            (String::from(core.session()), String::from(core.user()), failure.cloned())
        };
        let host = &self.host;
        let state = match change.state {
            State::Disconnected => 0,
            State::Connecting => 1,
            State::Connected => 2,
            State::Reconnecting => 3,
            State::Closed => 4,
        };
        let retry_in = change.retry_in.map(|delay| delay.as_secs_f64() * 1000.0);
        let code = change.code.map_or(0, CloseCode::number);
        let failure = failure.map(|failure| host.error(&failure));
        host.on_state(state, &session, &user, code, &change.reason, retry_in, failure);
    }
}

/// Where a batch needs no subscription's number, or has none: a message to everybody. No subscription has it.
const NO_SUBSCRIPTION: u32 = 0;

fn payload(json: bool, data: Vec<u8>) -> Payload {
    if json { Payload::json(data) } else { Payload::bytes(data) }
}

/// `timeout` is in milliseconds.
fn send_options(timeout: f64, fail_fast: bool) -> SendOptions {
    let timeout = (timeout >= 0.0).then(|| Duration::from_micros((timeout * 1000.0) as u64));
    SendOptions { timeout, fail_fast }
}

/// Reads pairs of a name and a hash; the first is the contract's own.
fn contract_digest(text: &str) -> Option<ContractDigest> {
    // Not `lines`: that is ten times the code.
    let mut lines = text.as_bytes().split(|&byte| byte == b'\n').map(std::str::from_utf8);
    let mut next = || {
        let (name, hash) = (lines.next()?.ok()?, lines.next()?.ok()?);
        // No contract has this one: what can't be read differs from everything.
        Some(ContractId { name: name.into(), hash: ContractHash::from_hex(hash).unwrap_or_default() })
    };
    let id = next()?;
    Some(ContractDigest { id, items: std::iter::from_fn(next).collect() })
}
