//! The task that runs a client: one state machine, one WebSocket, one timer.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Sink as _, Stream as _};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode as FrameCode;
use wirehub_client_core::{Driver, Time, Transmit};
use wirehub_common::code::CloseCode;

use crate::tokens::Tokens;
use crate::transport::{self, Failure, Socket};
use crate::{Address, CLOSE_TIMEOUT};

/// Runs until the client is closed and its last WebSocket has finished closing.
pub(crate) async fn run(address: Address, driver: Driver, origin: Instant, tokens: Tokens) {
    let mut runner = Runner {
        address,
        driver,
        origin,
        tokens,
        transport: Transport::None,
        unflushed: false,
        waiting: false,
        timer: Box::pin(tokio::time::sleep_until(origin)),
        closing: JoinSet::new(),
    };
    std::future::poll_fn(|context| runner.poll(context)).await;
    while runner.closing.join_next().await.is_some() {}
    // Dropping the driver notifies the futures that wait for the end.
}

struct Runner {
    address: Address,
    driver: Driver,
    origin: Instant,
    tokens: Tokens,
    transport: Transport,
    /// Whether the WebSocket holds bytes that the stream has not taken.
    unflushed: bool,
    /// Whether the stream was not ready.
    waiting: bool,
    timer: Pin<Box<Sleep>>,
    /// The WebSockets that are closing.
    closing: JoinSet<()>,
}

type Opening = dyn Future<Output = Result<(Socket, String), Failure>> + Send;

enum Transport {
    None,
    Opening(Pin<Box<Opening>>),
    Open(Box<Socket>),
}

impl Runner {
    /// Goes on until there is nothing left to do for now. Ready when the client is closed.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.driver.register(context.waker());
        loop {
            let mut progress = self.poll_transport(context).is_ready();
            progress |= self.tokens.poll(&self.driver, context).is_ready();
            progress |= self.transmit(context);
            progress |= self.poll_timer(context).is_ready();
            while let Poll::Ready(Some(_)) = self.closing.poll_join_next(context) {}
            if !progress {
                return if self.driver.is_closed() { Poll::Ready(()) } else { Poll::Pending };
            }
        }
    }

    /// Reads one event of the transport.
    fn poll_transport(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.transport {
            Transport::None => Poll::Pending,
            Transport::Opening(opening) => {
                match ready!(opening.as_mut().poll(context)) {
                    Ok((socket, subprotocol)) => {
                        self.transport = Transport::Open(Box::new(socket));
                        self.unflushed = false;
                        self.waiting = false;
                        self.driver.handle_open(&subprotocol);
                    }
                    Err(failure) => self.lost(&failure),
                }
                Poll::Ready(())
            }
            Transport::Open(socket) => {
                match ready!(Pin::new(socket.as_mut()).poll_next(context)) {
                    Some(Ok(Message::Binary(bytes))) => self.driver.handle_message(&bytes),
                    Some(Ok(Message::Text(_))) => self.driver.handle_text(),
                    Some(Ok(Message::Close(frame))) => {
                        // The answer to the close is sent while the socket is closing.
                        self.let_go(None);
                        self.lost(&closed_by(frame));
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                    Some(Err(error)) => self.lost(&error.into()),
                    None => self.lost(&Failure { code: CloseCode::ABNORMAL, reason: String::new() }),
                }
                Poll::Ready(())
            }
        }
    }

    /// Carries out the next instruction of the state machine; `false` if there is none.
    fn transmit(&mut self, context: &mut Context<'_>) -> bool {
        let mut progress = false;
        loop {
            let writable = self.flush(context);
            let Some(transmit) = self.driver.poll_transmit(writable) else { return progress };
            progress = true;
            match transmit {
                Transmit::Open => {
                    self.transport = Transport::Opening(Box::pin(transport::open(self.address.clone())));
                }
                Transmit::Send(bytes) => self.send(bytes),
                Transmit::Close { code, reason } => {
                    let reason = reason.into();
                    self.let_go(Some(CloseFrame { code: FrameCode::from(code.number()), reason }));
                }
            }
        }
    }

    /// Whether everything was flushed.
    fn flush(&mut self, context: &mut Context<'_>) -> bool {
        let Transport::Open(socket) = &mut self.transport else { return false };
        if self.unflushed {
            // An error appears when the socket is read.
            self.unflushed = Pin::new(socket.as_mut()).poll_flush(context).is_pending();
            let waited = std::mem::replace(&mut self.waiting, self.unflushed);
            if !self.unflushed {
                self.driver.handle_unsent(0);
                if waited {
                    self.driver.handle_drained();
                }
            }
        }
        !self.unflushed
    }

    fn send(&mut self, bytes: Bytes) {
        let Transport::Open(socket) = &mut self.transport else { return };
        // An error appears when the socket is read.
        let _ = Pin::new(socket.as_mut()).start_send(Message::Binary(bytes));
        self.unflushed = true;
    }

    fn poll_timer(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.driver.poll_timeout() else { return Poll::Pending };
        let deadline = self.instant(deadline);
        if self.timer.deadline() != deadline {
            self.timer.as_mut().reset(deadline);
        }
        ready!(self.timer.as_mut().poll(context));
        self.driver.handle_timeout();
        Poll::Ready(())
    }

    fn instant(&self, time: Time) -> Instant {
        // A deadline beyond the range of the clock never comes.
        const NEVER: std::time::Duration = std::time::Duration::from_secs(60 * 60 * 24 * 365);
        self.origin
            .checked_add(time.since(Time::ZERO))
            .unwrap_or_else(|| Instant::now().checked_add(NEVER).unwrap_or(self.origin))
    }

    fn lost(&mut self, failure: &Failure) {
        self.transport = Transport::None;
        self.driver.handle_close(failure.code, &failure.reason);
    }

    /// Passes the transport to a task that closes it in order, within a time limit.
    fn let_go(&mut self, frame: Option<CloseFrame>) {
        let Transport::Open(mut socket) = std::mem::replace(&mut self.transport, Transport::None) else {
            return;
        };
        self.closing.spawn(async move {
            let farewell = async {
                if frame.is_some() {
                    socket.close(frame).await?;
                }
                // Reading to the end sends the rest, and waits for the peer.
                while let Some(message) = futures_util::StreamExt::next(&mut socket).await {
                    message?;
                }
                Ok::<_, tokio_tungstenite::tungstenite::Error>(())
            };
            // If it is late or broken, there is no one left to notify.
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, farewell).await;
        });
    }
}

fn closed_by(frame: Option<CloseFrame>) -> Failure {
    let Some(frame) = frame else { return Failure { code: CloseCode::NO_STATUS, reason: String::new() } };
    let code = CloseCode::new(frame.code.into()).unwrap_or(CloseCode::PROTOCOL_ERROR);
    Failure { code, reason: frame.reason.as_str().into() }
}
