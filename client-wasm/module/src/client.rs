//! The client that TypeScript holds.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::mem;
use core::time::Duration;

use js_sys::{Function, Uint8Array};
use wasm_bindgen::prelude::{JsCast as _, JsValue, wasm_bindgen};
use wirehub_client_core::{ClientState, Core, Error, SendOptions, Time, Transmit};
use wirehub_client_wasm::driver::{Guard, Machine, PageEvent, Runner, Scope, now, seed};
use wirehub_common::attachment;
use wirehub_common::code::CloseCode;
use wirehub_common::contract::ContractHash;
use wirehub_common::frame::{ContractDigest, ContractId};

use crate::numbers::PUBLISH_VOLATILE;
use crate::output::Output;
use crate::requests::{Input, act};

#[wasm_bindgen]
extern "C" {
    /// The application's half of a client, in TypeScript. It is a [`Guard`] too.
    #[derive(Debug, Clone)]
    pub type Host;

    /// Receives rows of numbers, and the texts and data that belong to them: see [`Output`]. They stay as they are until
    /// this returns. It may call the client.
    #[wasm_bindgen(method)]
    fn deliver(this: &Host, rows: *const f64, count: usize, texts: *const u8, size: usize, data: *const u8);
}

/// A client of one server.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Client {
    runner: Rc<Runner<Module>>,
}

#[wasm_bindgen]
impl Client {
    /// A client of the server at `url`, an absolute address, which does nothing yet. `web_socket` takes the place of the
    /// browser's class. An empty contract name stands for no contract; the contract's items are known to TypeScript.
    /// Times are in milliseconds.
    #[wasm_bindgen(constructor)]
    #[allow(clippy::too_many_arguments, reason = "an object would cost more code on both sides")]
    pub fn new(
        host: Host,
        url: &str,
        web_socket: Option<Function>,
        token: &str,
        provides_tokens: bool,
        name: &str,
        contract: &str,
        hash: u64,
        send_queue: f64,
        connect_timeout: f64,
        min_delay: f64,
        max_delay: f64,
    ) -> Self {
        // A constant is data, which takes less than code that makes it.
        let mut core = const { Core::idle(Output::new()) };
        core.start(seed(), |config| {
            config.token = token.into();
            config.provides_tokens = provides_tokens;
            config.send_queue = send_queue as usize;
            config.connect_timeout = milliseconds(connect_timeout);
            config.min_delay = milliseconds(min_delay);
            config.max_delay = milliseconds(max_delay);
            config.client = name.into();
            config.version = env!("CARGO_PKG_VERSION").into();
            let id = ContractId { name: contract.into(), hash: ContractHash(hash) };
            config.contract = (!contract.is_empty()).then_some(ContractDigest { id, items: Vec::new() });
        });
        let guard: Guard = JsValue::from(host.clone()).unchecked_into();
        let module = Module { core: RefCell::new(core), host, spare: RefCell::default() };
        Self { runner: Runner::new(module, url, Scope::new(web_socket, Some(guard))) }
    }

    /// Takes a request: `kind`, and arguments whose meaning depends on it. It is carried out by the next
    /// [`run`](Self::run). Returns the number of the request; -1 if it is refused, with the reason in a row that is
    /// delivered before this returns. `data` is copied once, behind its `head` if there is one.
    #[allow(clippy::too_many_arguments, reason = "an object would cost more code on both sides")]
    pub fn input(
        &self,
        kind: u8,
        number: u32,
        text: &str,
        second: &str,
        head: &str,
        data: &Uint8Array,
        flag: bool,
        fail_fast: bool,
        timeout: f64,
        offset: f64,
    ) -> f64 {
        // Commands that were queued before are no reason to drop this one.
        if kind == PUBLISH_VOLATILE {
            self.runner.transmit();
        }
        let module = self.runner.machine();
        let is_attachment = !head.is_empty();
        let whole = move || {
            let size = data.length() as usize;
            // Refused before it is copied, if it is too large. A volatile message is dropped then.
            if size > 0 && kind != PUBLISH_VOLATILE {
                module.with(|core| core.check_size(size))?;
            }
            let mut whole = if is_attachment { attachment::begin(head.as_bytes(), size) } else { Vec::new() };
            let begun = whole.len();
            whole.resize(begun.saturating_add(size), 0);
            data.copy_to(whole.get_mut(begun..).unwrap_or_default());
            Ok::<_, Error>(whole)
        };
        let result = whole().and_then(|data| {
            let input = Input {
                number,
                text,
                second,
                data: &data,
                is_attachment,
                flag,
                since: (offset >= 0.0).then_some(offset as u64),
                options: SendOptions::new(Some(milliseconds(timeout)), fail_fast),
            };
            module.with(|core| act(core, kind, now(), &input))
        });
        match result {
            Ok(number) => number.into(),
            Err(error) => {
                let mut output = Output::default();
                output.refused(&error);
                module.show(&output);
                -1.0
            }
        }
    }

    /// Performs everything that is pending.
    pub fn run(&self) {
        self.runner.run();
    }
}

/// The state machine, whose application is in TypeScript.
#[derive(Debug)]
pub(crate) struct Module {
    core: RefCell<Core<Output>>,
    host: Host,
    /// An output that was read, whose memory is used again.
    spare: RefCell<Output>,
}

impl Module {
    fn with<T>(&self, call: impl FnOnce(&mut Core<Output>) -> T) -> T {
        call(&mut self.core.borrow_mut())
    }

    fn show(&self, output: &Output) {
        let (rows, texts, data) = output.parts();
        self.host.deliver(rows.as_ptr(), rows.len(), texts.as_ptr(), texts.len(), data.as_ptr());
    }
}

impl Machine for Module {
    fn handle_open(&self, subprotocol: &str) {
        self.with(|core| core.handle_open(subprotocol));
    }

    fn handle_message(&self, message: Vec<u8>) {
        self.with(|core| core.handle_message(now(), &message[..]));
    }

    fn handle_text(&self) {
        self.with(|core| core.handle_text(now()));
    }

    fn handle_close(&self, code: CloseCode, reason: &str) {
        self.with(|core| core.handle_close(now(), code, reason));
    }

    fn handle_timeout(&self) {
        self.with(|core| core.handle_timeout(now()));
    }

    fn handle_drained(&self) {
        self.with(|core| core.handle_drained(now()));
    }

    fn handle_unsent(&self, bytes: u32) {
        self.with(|core| core.handle_unsent(bytes as usize));
    }

    fn handle_page(&self, event: PageEvent) {
        self.with(|core| match event {
            PageEvent::Back => core.reconnect_now(now()),
            PageEvent::Offline => core.check_connection(now()),
            PageEvent::Online => {
                core.check_connection(now());
                core.reconnect_now(now());
            }
            PageEvent::PutAside => core.suspend(now()),
        });
    }

    fn poll_transmit(&self, writable: bool) -> Option<Transmit> {
        self.with(|core| core.poll_transmit(writable))
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.with(|core| core.poll_timeout())
    }

    fn is_closed(&self) -> bool {
        self.with(|core| core.state() == ClientState::Closed)
    }

    fn deliver(&self, _: &Rc<Runner<Self>>) -> bool {
        // The rows stay where they are while they are read, and later ones go into another output.
        let spare = mem::take(&mut *self.spare.borrow_mut());
        let mut output = self.with(|core| mem::replace(core.listener_mut(), spare));
        let is_empty = output.is_empty();
        if !is_empty {
            self.show(&output);
            output.clear();
        }
        self.spare.replace(output);
        !is_empty
    }
}

/// Whole microseconds, because browsers are not more precise. The cast turns negative numbers and NaN into 0.
fn milliseconds(time: f64) -> Duration {
    Duration::from_micros((time * 1000.0) as u64)
}
