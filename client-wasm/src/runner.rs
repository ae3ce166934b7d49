//! The runner of a client in a browser: it performs the actions of the state machine, and reports events to it.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use wirehub_client_core::{Driver, Error, Time, Transmit};
use wirehub_common::SUBPROTOCOL_PROTOBUF;
use wirehub_common::code::CloseCode;

use crate::browser::{Timer, now};
use crate::socket::Closed;
use crate::wire::{DRAIN_POLL, Data, PROGRESS_POLL, SEND_BUFFER, Wire, WireEvent, to_bytes};

/// Runs one client.
pub(crate) struct Runner {
    url: String,
    driver: Driver,
    provider: Option<Provider>,
    wire: RefCell<Option<Wire>>,
    /// How many bytes the browser had not sent when it was last asked.
    buffered: Cell<u32>,
    /// Whether [`Self::run`] is running further up the stack: it will handle the new work.
    running: Cell<bool>,
    timer: RefCell<Option<Timer>>,
    /// The time of the timer.
    armed: Cell<Option<Time>>,
    /// Wakes the task that [polls](Self::poll), which ends once the client is closed.
    task: RefCell<Option<Waker>>,
}

/// A function that returns tokens.
pub(crate) type Provider = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<String, Error>>>>>;

/// An event of a page or a worker that matters to connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PageEvent {
    /// It is visible, or runs, again.
    Back,
    /// The network is back, or has changed.
    Online,
    /// The network is gone, as far as the browser knows.
    Offline,
    /// It is kept in memory for when its user goes back to it. An open connection would prevent that.
    PutAside,
}

impl Runner {
    pub(crate) fn new(url: String, driver: Driver, provider: Option<Provider>) -> Self {
        Self {
            url,
            driver,
            provider,
            wire: RefCell::default(),
            buffered: Cell::default(),
            running: Cell::default(),
            timer: RefCell::default(),
            armed: Cell::default(),
            task: RefCell::default(),
        }
    }

    /// Performs every pending action, whenever the client's handles or the connection add work. Ready once the client
    /// is closed.
    pub(crate) fn poll(self: &Rc<Self>, context: &Context<'_>) -> Poll<()> {
        self.driver.register(context.waker());
        self.run();
        if self.driver.is_closed() {
            return Poll::Ready(());
        }
        self.task.replace(Some(context.waker().clone()));
        Poll::Pending
    }

    pub(crate) fn page(self: &Rc<Self>, event: PageEvent) {
        match event {
            PageEvent::Back => self.driver.reconnect_now(),
            PageEvent::Offline => self.driver.check_connection(),
            PageEvent::Online => {
                self.driver.check_connection();
                self.driver.reconnect_now();
            }
            PageEvent::PutAside => self.driver.suspend(),
        }
        self.run();
    }

    /// Performs every pending action. It is called by the code that gave the driver work, outside of any borrow.
    fn run(self: &Rc<Self>) {
        if self.running.replace(true) {
            return;
        }
        let buffered = self.buffered();
        if buffered < self.buffered.get() {
            self.driver.handle_drained();
        }
        loop {
            while let Some(transmit) = self.driver.poll_transmit(self.buffered() <= SEND_BUFFER) {
                self.transmit(transmit);
            }
            if !self.ask_for_token() {
                break;
            }
        }
        self.buffered.set(self.buffered());
        self.running.set(false);
        self.arm();
        if self.driver.is_closed()
            && let Some(task) = self.task.take()
        {
            task.wake();
        }
    }

    /// How many bytes the browser has accepted and not sent.
    fn buffered(&self) -> u32 {
        self.wire.borrow().as_ref().map_or(0, |wire| wire.socket().buffered_amount())
    }

    fn transmit(self: &Rc<Self>, transmit: Transmit) {
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
    }

    fn open(self: &Rc<Self>) {
        let runner = Rc::downgrade(self);
        let on = move |event| {
            if let Some(runner) = runner.upgrade() {
                runner.on(event);
            }
        };
        match Wire::open(&self.url, &[SUBPROTOCOL_PROTOBUF], on) {
            Ok(wire) => *self.wire.borrow_mut() = Some(wire),
            // Another attempt would be refused as well.
            Err(_) => self.driver.handle_close(CloseCode::NOT_WIREHUB, REFUSED),
        }
    }

    fn on(self: &Rc<Self>, event: WireEvent) {
        match event {
            WireEvent::Open => {
                let protocol = self.wire.borrow().as_ref().map(|wire| wire.socket().protocol());
                self.driver.handle_open(&protocol.unwrap_or_default());
            }
            WireEvent::Message(Data::Binary(buffer)) => self.driver.handle_message(&to_bytes(&buffer).into()),
            WireEvent::Message(Data::Text(_)) => self.driver.handle_text(),
            WireEvent::Error => {}
            WireEvent::Close(Closed { code, reason, .. }) => {
                self.wire.take();
                self.driver.handle_close(code, &reason);
            }
        }
        self.run();
    }

    /// Asks the provider for a token, if one is needed; returns `false` if none is.
    fn ask_for_token(self: &Rc<Self>) -> bool {
        let (Some(request), Some(provider)) = (self.driver.poll_token_request(), &self.provider) else {
            return false;
        };
        let (runner, answer) = (Rc::downgrade(self), provider());
        wasm_bindgen_futures::spawn_local(async move {
            let token = answer.await;
            if let Some(runner) = runner.upgrade() {
                runner.driver.handle_token(request, token);
                runner.run();
            }
        });
        true
    }

    /// Sets the timer. If it fires too early it is set again, which is cheaper than setting it with each message.
    fn arm(self: &Rc<Self>) {
        let drain = match self.buffered.get() {
            0 => None,
            1..=SEND_BUFFER => Some(now().after(PROGRESS_POLL)),
            _ => Some(now().after(DRAIN_POLL)),
        };
        let due = [self.driver.poll_timeout(), drain].into_iter().flatten().min();
        let is_early_enough = match (due, self.armed.get()) {
            (Some(due), Some(armed)) => armed <= due,
            (due, armed) => due == armed,
        };
        if is_early_enough {
            return;
        }
        self.armed.set(due);
        let timer = due.map(|due| {
            let runner = Rc::downgrade(self);
            Timer::new(due.since(now()), move || {
                if let Some(runner) = runner.upgrade() {
                    runner.tick();
                }
            })
        });
        // The old timer may be the one that has just fired: it is dropped outside of the borrow.
        let _old = self.timer.replace(timer);
    }

    /// The timer fired.
    fn tick(self: &Rc<Self>) {
        self.armed.set(None);
        self.driver.handle_timeout();
        self.run();
    }
}

/// The reason for which there is no WebSocket at all.
const REFUSED: &str = "the browser refuses this address: use ws: or wss:, and on an https: page wss:";
