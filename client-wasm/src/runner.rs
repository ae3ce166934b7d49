//! The runner of a client in a browser: it performs the actions of the client's state machine, and reports events to
//! it.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use js_sys::Array;
use wasm_bindgen::JsValue;
use wirehub_client_core::{Time, Transmit};
use wirehub_common::SUBPROTOCOL_PROTOBUF;
use wirehub_common::code::CloseCode;

use crate::browser::{Timer, now};
use crate::page::PageWatch;
use crate::scope::{Ear, Scope, Signal};
use crate::wire::{Closed, DRAIN_POLL, PROGRESS_POLL, SEND_BUFFER, Wire, WireEvent, to_bytes};

/// The state machine of one client, and its application. The methods are those of
/// [`Core`](wirehub_client_core::Core), with the present time.
pub trait Machine: 'static {
    /// The WebSocket is open.
    fn handle_open(&self, subprotocol: &str);
    /// A binary message arrived.
    fn handle_message(&self, message: Vec<u8>);
    /// A text message arrived.
    fn handle_text(&self);
    /// The WebSocket is closed, or could not be opened.
    fn handle_close(&self, code: CloseCode, reason: &str);
    /// The time of [`poll_timeout`](Self::poll_timeout) has come.
    fn handle_timeout(&self);
    /// The WebSocket has sent some of the bytes it had been given.
    fn handle_drained(&self);
    /// It has not sent the last `bytes` of them.
    fn handle_unsent(&self, bytes: u32);
    /// The page lives in another way.
    fn handle_page(&self, event: PageEvent);
    /// The next action.
    fn poll_transmit(&self, writable: bool) -> Option<Transmit>;
    /// The time until which [`handle_timeout`](Self::handle_timeout) has to be called.
    fn poll_timeout(&self) -> Option<Time>;
    /// Whether the client has ended.
    fn is_closed(&self) -> bool;
    /// Passes on every event to the application; returns `false` if there was none. The application may use the client
    /// meanwhile.
    fn deliver(&self, runner: &Rc<Runner<Self>>) -> bool
    where
        Self: Sized;
}

/// Runs one client: it owns the WebSocket and its events, the timer, and the events of the page's life.
#[derive(Debug)]
pub struct Runner<M> {
    machine: M,
    url: String,
    scope: Scope,
    wire: RefCell<Option<Wire>>,
    /// How many bytes the browser had not sent when it was last asked.
    buffered: Cell<u32>,
    /// Whether [`Self::run`] is running further up the stack: it will handle the new work.
    running: Cell<bool>,
    timer: RefCell<Option<Timer>>,
    /// The time of the timer.
    armed: Cell<Option<Time>>,
    page: RefCell<Option<PageWatch>>,
}

/// An event of a page or a worker that matters to connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageEvent {
    /// It is visible, or runs, again.
    Back,
    /// The network is back, or has changed.
    Online,
    /// The network is gone, as far as the browser knows.
    Offline,
    /// It is kept in memory for when its user goes back to it. An open connection would prevent that.
    PutAside,
}

impl<M: Machine> Runner<M> {
    /// A runner that does nothing before the first [`run`](Self::run).
    pub fn new(machine: M, url: &str, scope: Scope) -> Rc<Self> {
        let runner = Rc::new(Self {
            machine,
            url: url.into(),
            scope,
            wire: RefCell::default(),
            buffered: Cell::default(),
            running: Cell::default(),
            timer: RefCell::default(),
            armed: Cell::default(),
            page: RefCell::default(),
        });
        runner.page.replace(Some(PageWatch::new(&runner.scope, &runner.ear())));
        runner
    }

    /// The state machine. Work that a caller gives it waits for the next [`run`](Self::run).
    pub fn machine(&self) -> &M {
        &self.machine
    }

    /// Performs every pending action, and passes on every event. It is called after the machine was given work, outside
    /// of any borrow.
    pub fn run(self: &Rc<Self>) {
        if self.running.replace(true) {
            return;
        }
        loop {
            // Messages go out before the application is notified.
            self.transmit();
            if !self.machine.deliver(self) {
                break;
            }
        }
        self.running.set(false);
        if self.machine.is_closed() {
            self.page.take();
        }
        self.arm();
    }

    /// Performs every pending action.
    pub fn transmit(self: &Rc<Self>) {
        let before = self.buffered.get();
        // If everything was sent, and nothing was added since, there is nothing to ask the browser for.
        if before > 0 {
            self.look();
            if self.buffered.get() < before {
                self.machine.handle_drained();
            }
        }
        while let Some(transmit) = self.machine.poll_transmit(self.buffered.get() <= SEND_BUFFER) {
            match transmit {
                Transmit::Open => self.open(),
                Transmit::Send(message) => {
                    if let Some(wire) = &*self.wire.borrow() {
                        // It is open, or it is closed and the event for that is about to come.
                        let _ = wire.send(&message);
                    }
                }
                Transmit::Close { code, reason } => {
                    if let Some(wire) = self.wire.take() {
                        wire.close(code, &reason);
                    }
                }
            }
            self.look();
        }
    }

    /// Asks the browser how many bytes it has accepted and not sent.
    fn look(&self) {
        let unsent = self.wire.borrow().as_ref().map_or(0, |wire| wire.socket().buffered_amount());
        self.buffered.set(unsent);
        self.machine.handle_unsent(unsent);
    }

    fn open(self: &Rc<Self>) {
        let protocols = Array::of1(&SUBPROTOCOL_PROTOBUF.into());
        match Wire::open(&self.scope, &self.url, &protocols, &self.ear()) {
            Ok(wire) => *self.wire.borrow_mut() = Some(wire),
            // Another attempt would be refused as well.
            Err(_) => self.machine.handle_close(CloseCode::NOT_WIREHUB, REFUSED),
        }
    }

    /// An ear that hears nothing more once the runner is dropped.
    fn ear(self: &Rc<Self>) -> Ear {
        let runner = Rc::downgrade(self);
        Rc::new(move |signal, event| {
            if let Some(runner) = runner.upgrade() {
                runner.hear(signal, event);
            }
        })
    }

    fn hear(self: &Rc<Self>, signal: Signal, event: JsValue) {
        if let Signal::Time = signal {
            self.armed.set(None);
            self.machine.handle_timeout();
        } else if let Some(event) = PageEvent::of(signal, &event) {
            self.machine.handle_page(event);
        } else {
            match WireEvent::of(signal, event) {
                Some(WireEvent::Open) => {
                    let protocol = self.wire.borrow().as_ref().map(|wire| wire.socket().protocol());
                    self.machine.handle_open(&protocol.unwrap_or_default());
                }
                Some(WireEvent::Message(data)) => self.receive(&data),
                Some(WireEvent::Close(Closed { code, reason, .. })) => {
                    self.wire.take();
                    self.machine.handle_close(code, &reason);
                }
                Some(WireEvent::Error) | None => return,
            }
        }
        self.run();
    }

    fn receive(&self, data: &JsValue) {
        match to_bytes(data) {
            Some(message) => self.machine.handle_message(message),
            None => self.machine.handle_text(),
        }
    }

    /// Sets the timer. If it fires too early it is set again, which is cheaper than setting it with each message.
    fn arm(self: &Rc<Self>) {
        let drain = match self.buffered.get() {
            0 => None,
            1..=SEND_BUFFER => Some(now().after(PROGRESS_POLL)),
            _ => Some(now().after(DRAIN_POLL)),
        };
        let due = [self.machine.poll_timeout(), drain].into_iter().flatten().min();
        let is_early_enough = match (due, self.armed.get()) {
            (Some(due), Some(armed)) => armed <= due,
            (due, armed) => due == armed,
        };
        if is_early_enough {
            return;
        }
        self.armed.set(due);
        let timer = due.map(|due| Timer::new(&self.scope, due.since(now()), &self.ear()));
        // The old timer may be the one that has just fired: it is dropped outside of the borrow.
        let _old = self.timer.replace(timer);
    }
}

/// The reason for which there is no WebSocket at all.
const REFUSED: &str = "the browser refuses this address: use ws: or wss:, and on an https: page wss:";
