//! The client that the TypeScript `Client` holds.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use js_sys::Function;
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};
use web_sys::WebSocket;
use wirehub_client_core::{CommandId, Config, Core, Error, Event, Outcome, SubscriptionId, Time, Transmit};
use wirehub_client_core::{State, StateChange};
use wirehub_common::code::CloseCode;
use wirehub_common::contract::ContractHash;
use wirehub_common::frame::{ContractDigest, ContractId};
use wirehub_common::{ChannelName, Content, Payload};

use super::batch::{Batch, as_json, not_json};
use super::host::Host;
use crate::browser::{milliseconds, now, seed};
use crate::runner::{Input, Machine, Runner};

/// A client. What its methods bring about is told to its host when [`flush`](Self::flush) is called, or the browser
/// has news.
#[wasm_bindgen(js_name = Client)]
#[allow(missing_debug_implementations, reason = "only JavaScript holds it")]
pub struct JsClient {
    runner: Rc<Runner<JsMachine>>,
}

#[wasm_bindgen(js_class = Client)]
impl JsClient {
    /// A client that does nothing yet. `contract` has name and hash of the contract and of each of its items, in
    /// turn, each in a line; it is empty for none.
    #[wasm_bindgen(constructor)]
    pub fn new(host: Host, url: String, token: String, name: String, contract: &str) -> Self {
        let config = Config {
            token,
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

    /// There may be a network again.
    #[wasm_bindgen(js_name = reconnectNow)]
    pub fn reconnect_now(&self) {
        self.runner.reconnect_now();
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

    /// Publishes; gives the command's number. `timeout` is in milliseconds.
    ///
    /// # Errors
    /// The host's error.
    pub fn publish(&self, channel: &str, json: bool, data: Vec<u8>, timeout: f64) -> Result<u32, JsValue> {
        self.attempt(|core| {
            let channel = ChannelName::new(channel)?;
            Ok(core.publish(now(), channel, payload(json, data), duration(timeout))?.number())
        })
    }

    /// Calls; gives the command's number.
    ///
    /// # Errors
    /// The host's error.
    pub fn call(&self, name: &str, json: bool, data: Vec<u8>, timeout: f64) -> Result<u32, JsValue> {
        self.attempt(|core| Ok(core.call(now(), name, payload(json, data), duration(timeout))?.number()))
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

    fn attempt(&self, act: impl FnOnce(&mut Core) -> Result<u32, Error>) -> Result<u32, JsValue> {
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
            Input::ReconnectNow => core.reconnect_now(now),
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
            if let Event::Publication { subscription, publication } = event {
                batch.push(subscription, &publication);
            } else {
                batch.flush(&self.host);
                self.tell(event);
            }
        }
        batch.flush(&self.host);
        any
    }

    fn listen(&self, socket: &WebSocket, handler: &Function) {
        self.host.listen(socket, handler);
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
            Event::Subscribed { subscription, .. } => host.on_subscribed(subscription.number()),
            Event::Unsubscribed { subscription, error } => {
                host.on_unsubscribed(subscription.number(), error.map(|error| host.error(&error)));
            }
            Event::Completed { command, result } => match result {
                Ok(Outcome::Called(payload)) => {
                    let text = as_json(payload.content, &payload.data);
                    let (content, text, bytes) = match text {
                        Some(text) => (Content::Json, text, &[][..]),
                        None => (not_json(payload.content), "", &*payload.data),
                    };
                    host.on_called(command.number(), content as u8, text, bytes);
                }
                Ok(_) => host.on_published(command.number()),
                Err(error) => host.on_failed(command.number(), host.error(&error)),
            },
            Event::Error(error) => host.on_error(host.error(&error)),
            _ => {}
        }
    }

    fn tell_state(&self, change: &StateChange) {
        let (session, user) = {
            let core = self.core.borrow();
            (String::from(core.session()), String::from(core.user()))
        };
        let state = match change.state {
            State::Disconnected => 0,
            State::Connecting => 1,
            State::Connected => 2,
            State::Reconnecting => 3,
            State::Closed => 4,
        };
        let retry_in = change.retry_in.map(|delay| delay.as_secs_f64() * 1000.0);
        let code = change.code.map_or(0, CloseCode::number);
        self.host.on_state(state, &session, &user, code, &change.reason, retry_in);
    }
}

fn payload(json: bool, data: Vec<u8>) -> Payload {
    if json { Payload::json(data) } else { Payload::bytes(data) }
}

/// A duration of JavaScript's; what is no number of milliseconds stands for the default.
fn duration(number: f64) -> Option<Duration> {
    (number >= 0.0).then(|| Duration::from_micros((number * 1000.0) as u64))
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
