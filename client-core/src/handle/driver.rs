//! The driver's end of a client.

use std::fmt;
use std::sync::Arc;
use std::task::Waker;

use wirehub_common::Bytes;
use wirehub_common::code::CloseCode;

use super::Shared;
use crate::{Client, ClientState, Config, Core, Error, Time, TokenRequest, Transmit};

/// The lower end of a client. Its owner moves the bytes and runs the timer.
///
/// A driver
/// 1. has its task woken by [`register`](Self::register) whenever a handle was used,
/// 2. carries out everything that [`poll_transmit`](Self::poll_transmit) returns,
/// 3. passes the questions from [`poll_token_request`](Self::poll_token_request) to the token provider, if there is
///    one,
/// 4. sets its timer to [`poll_timeout`](Self::poll_timeout), and
/// 5. reports the events of its WebSocket by `handle_*`; then begins again.
///
/// It ends when [`is_closed`](Self::is_closed) is true, after the last [`Transmit::Close`].
#[must_use = "a client whose driver is dropped is closed"]
pub struct Driver {
    shared: Arc<Shared>,
}

impl Driver {
    /// A client and its lower end. `seed` determines the delays between attempts. `clock` returns the time, and is the
    /// clock of every `handle_*`.
    pub fn pair(
        config: Config,
        seed: u64,
        clock: impl Fn() -> Time + Send + Sync + 'static,
    ) -> (Client, Self) {
        super::pair(Core::new(config, seed), Box::new(clock))
    }

    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    #[cfg(test)]
    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Wakes `waker` when a handle has added work.
    pub fn register(&self, waker: &Waker) {
        self.shared.driver.register(waker);
    }

    /// See [`Core::poll_transmit`].
    #[must_use = "the driver has to do it"]
    pub fn poll_transmit(&self, writable: bool) -> Option<Transmit> {
        let mut inner = self.shared.lock();
        let transmit = inner.core.poll_transmit(writable);
        // A command over the size limit ends here, and others have made progress.
        inner.dispatch();
        transmit
    }

    /// See [`Core::poll_timeout`].
    pub fn poll_timeout(&self) -> Option<Time> {
        self.shared.lock().core.poll_timeout()
    }

    /// The new question to the token provider, if there is one. An older one needs no answer any more.
    #[must_use = "the token provider has to be asked"]
    pub fn poll_token_request(&self) -> Option<TokenRequest> {
        self.shared.lock().token_request.take()
    }

    /// See [`Core::handle_token`].
    pub fn handle_token(&self, request: TokenRequest, token: Result<String, Error>) {
        self.handle(|core, now| core.handle_token(now, request, token));
    }

    /// Whether the client has ended.
    pub fn is_closed(&self) -> bool {
        self.shared.lock().core.state() == ClientState::Closed
    }

    /// See [`Core::handle_open`].
    pub fn handle_open(&self, subprotocol: &str) {
        self.handle(|core, _| core.handle_open(subprotocol));
    }

    /// See [`Core::handle_message`].
    pub fn handle_message(&self, message: &Bytes) {
        self.handle(|core, now| core.handle_message(now, message));
    }

    /// See [`Core::handle_drained`].
    pub fn handle_drained(&self) {
        self.handle(Core::handle_drained);
    }

    /// See [`Core::handle_unsent`]. [`Self::poll_transmit`] passes on the progress.
    pub fn handle_unsent(&self, bytes: usize) {
        self.shared.lock().core.handle_unsent(bytes);
    }

    /// See [`Core::handle_text`].
    pub fn handle_text(&self) {
        self.handle(Core::handle_text);
    }

    /// See [`Core::handle_close`].
    pub fn handle_close(&self, code: CloseCode, reason: &str) {
        self.handle(|core, now| core.handle_close(now, code, reason));
    }

    /// See [`Core::handle_timeout`].
    pub fn handle_timeout(&self) {
        self.handle(Core::handle_timeout);
    }

    /// See [`Core::reconnect_now`].
    pub fn reconnect_now(&self) {
        self.handle(Core::reconnect_now);
    }

    /// See [`Core::check_connection`].
    pub fn check_connection(&self) {
        self.handle(Core::check_connection);
    }

    /// See [`Core::suspend`].
    pub fn suspend(&self) {
        self.handle(Core::suspend);
    }

    fn handle(&self, handle: impl FnOnce(&mut Core, Time)) {
        let mut inner = self.shared.lock();
        handle(&mut inner.core, self.shared.now());
        inner.dispatch();
    }
}

impl Drop for Driver {
    /// Without a driver nothing runs the client any more: every waiting future is notified.
    fn drop(&mut self) {
        self.handle(|core, _| core.stop(CloseCode::GOING_AWAY, "the client's driver was stopped"));
        let end = self.shared.lock().end.take();
        drop(end);
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("state", &self.shared.lock().core.state()).finish_non_exhaustive()
    }
}
