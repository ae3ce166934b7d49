//! What runs a client in a browser: does what its state machine asks for, and tells it what happens.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use wirehub_client_core::{Time, Transmit};
use wirehub_common::SUBPROTOCOL_PROTOBUF;
use wirehub_common::code::CloseCode;

use crate::browser::now;
use crate::socket::Closed;
use crate::wire::{DRAIN_POLL, Data, Happening, SEND_BUFFER, Wire, to_bytes};

/// The state machine, and what surrounds it.
pub(crate) trait Machine {
    /// What is to be done next.
    fn poll_transmit(&self, writable: bool) -> Option<Transmit>;

    /// When [`Input::Timeout`] is due.
    fn poll_timeout(&self) -> Option<Time>;

    /// Takes what happened.
    fn handle(&self, input: Input<'_>);

    /// Hands out what the machine has to tell; `false` where there was nothing.
    fn deliver(&self) -> bool;

    /// Has [`Runner::tick`] called after a while, and forgets the call that was planned before; nothing
    /// is planned after `None`.
    fn schedule(&self, delay: Option<Duration>);
}

/// What happens to a client.
pub(crate) enum Input<'a> {
    /// The WebSocket is open, with this subprotocol.
    Open(&'a str),
    /// A binary message.
    Message(Bytes),
    /// A text message.
    Text,
    /// The WebSocket is closed.
    Close(CloseCode, &'a str),
    /// Time has passed.
    Timeout,
    /// Something that happened to the page.
    Page(PageEvent),
}

/// What happens to a page or a worker that matters to connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PageEvent {
    /// It is shown, or runs, again.
    Back,
    /// There is a network again, or another one.
    Online,
    /// The network is gone, as far as the browser knows.
    Offline,
    /// It is put aside as it is, for when its user goes back to it. An open connection would forbid that.
    PutAside,
}

/// Runs one client.
pub(crate) struct Runner<M> {
    url: String,
    machine: M,
    wire: RefCell<Option<Wire>>,
    /// Whether [`Self::run`] is under way further up the stack: it will do what came up since.
    running: Cell<bool>,
    /// When the timer will fire.
    armed: Cell<Option<Time>>,
}

impl<M: Machine + 'static> Runner<M> {
    pub(crate) fn new(url: String, machine: M) -> Self {
        Self { url, machine, wire: RefCell::new(None), running: Cell::new(false), armed: Cell::new(None) }
    }

    pub(crate) fn machine(&self) -> &M {
        &self.machine
    }

    /// Does all that there is to do. Whoever gave the machine something to do calls this, outside of any borrow.
    pub(crate) fn run(self: &Rc<Self>) {
        if self.running.replace(true) {
            return;
        }
        loop {
            self.send();
            if !self.machine.deliver() {
                break;
            }
        }
        self.running.set(false);
        self.arm();
    }

    /// The outward half of [`Self::run`]: calls nobody back.
    pub(crate) fn send(self: &Rc<Self>) {
        while let Some(transmit) = self.machine.poll_transmit(self.is_writable()) {
            self.transmit(transmit);
        }
    }

    /// The timer fired.
    pub(crate) fn tick(self: &Rc<Self>) {
        self.armed.set(None);
        self.machine.handle(Input::Timeout);
        self.run();
    }

    pub(crate) fn page(self: &Rc<Self>, event: PageEvent) {
        self.machine.handle(Input::Page(event));
        self.run();
    }

    fn is_writable(&self) -> bool {
        self.wire.borrow().as_ref().is_none_or(|wire| wire.socket().buffered_amount() <= SEND_BUFFER)
    }

    fn transmit(self: &Rc<Self>, transmit: Transmit) {
        match transmit {
            Transmit::Open => self.open(),
            Transmit::Send(message) => {
                if let Some(wire) = &*self.wire.borrow() {
                    // It is open, or closed with an event on its way that says so.
                    let _ = wire.send(&message);
                }
            }
            Transmit::Close { code, reason } => {
                if let Some(wire) = self.wire.take() {
                    wire.close(code, &reason);
                }
            }
        }
    }

    fn open(self: &Rc<Self>) {
        let runner = Rc::downgrade(self);
        let on = move |happening| {
            if let Some(runner) = runner.upgrade() {
                runner.on(happening);
            }
        };
        match Wire::open(&self.url, &[SUBPROTOCOL_PROTOBUF], on) {
            Ok(wire) => *self.wire.borrow_mut() = Some(wire),
            // Another attempt would be refused as well.
            Err(_) => self.machine.handle(Input::Close(CloseCode::NOT_WIREHUB, REFUSED)),
        }
    }

    fn on(self: &Rc<Self>, happening: Happening) {
        match happening {
            Happening::Open => {
                let protocol = self.wire.borrow().as_ref().map(|wire| wire.socket().protocol());
                self.machine.handle(Input::Open(&protocol.unwrap_or_default()));
            }
            Happening::Message(Data::Binary(buffer)) => {
                self.machine.handle(Input::Message(to_bytes(&buffer).into()));
            }
            Happening::Message(Data::Text(_)) => self.machine.handle(Input::Text),
            Happening::Error => {}
            Happening::Close(Closed { code, reason, .. }) => {
                self.wire.take();
                self.machine.handle(Input::Close(code, &reason));
            }
        }
        self.run();
    }

    /// Sees to it that the timer fires in time. Where it fires too early it is set again: that is cheaper than
    /// setting it with each message.
    fn arm(&self) {
        let drain = (!self.is_writable()).then(|| now().after(DRAIN_POLL));
        let due = [self.machine.poll_timeout(), drain].into_iter().flatten().min();
        match (due, self.armed.get()) {
            (Some(due), Some(armed)) if armed <= due => {}
            (Some(due), _) => {
                self.armed.set(Some(due));
                self.machine.schedule(Some(due.since(now())));
            }
            (None, Some(_)) => {
                self.armed.set(None);
                self.machine.schedule(None);
            }
            (None, None) => {}
        }
    }
}

/// Why there is no WebSocket at all.
const REFUSED: &str =
    "the browser refuses to open this address: use ws: or wss:, and from an https: page wss:";
