//! The queue of messages that have not been read.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use web_sys::WebSocket;
use wirehub_common::code::CloseCode;

use super::wire::to_message;
use super::{Message, SocketError, SocketErrorKind};
use crate::wire::{Closed, WireEvent};

/// The receiving side of a [`Socket`](super::Socket), filled by the browser's events.
#[derive(Debug)]
pub(super) struct Inbox {
    messages: VecDeque<Message>,
    bytes: usize,
    bound: usize,
    opened: bool,
    overflowed: bool,
    /// Closed when the queue is full.
    socket: Option<WebSocket>,
    closed: Option<Closed>,
    /// Whether the stream has reported its end.
    told: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// The size of a queued message besides its bytes.
const ENTRY_BYTES: usize = 64;

impl Inbox {
    pub(super) fn new(bound: usize) -> Self {
        Self {
            messages: VecDeque::new(),
            bytes: 0,
            bound,
            opened: false,
            overflowed: false,
            socket: None,
            closed: None,
            told: false,
            reader: None,
            writer: None,
        }
    }

    /// Sets the socket to close when the queue is full.
    pub(super) fn attach(&mut self, socket: WebSocket) {
        self.socket = Some(socket);
    }

    /// Handles an event of the browser's; a waiting task is woken outside of the borrow.
    pub(super) fn handle(inbox: &RefCell<Self>, event: WireEvent) {
        let wakers = inbox.borrow_mut().take(event);
        for waker in wakers.into_iter().flatten() {
            waker.wake();
        }
    }

    fn take(&mut self, event: WireEvent) -> [Option<Waker>; 2] {
        match event {
            WireEvent::Open => self.opened = true,
            WireEvent::Message(data) => self.push(to_message(&data)),
            WireEvent::Error => return [None, None],
            WireEvent::Close(closed) => {
                self.closed = Some(closed);
                return [self.reader.take(), self.writer.take()];
            }
        }
        [self.reader.take(), None]
    }

    fn push(&mut self, message: Message) {
        let cost = message.len().saturating_add(ENTRY_BYTES);
        let bytes = self.bytes.saturating_add(cost);
        if self.overflowed {
            return;
        }
        if bytes > self.bound && !self.messages.is_empty() {
            self.overflowed = true;
            if let Some(socket) = &self.socket {
                // This code may be sent.
                let _ = socket.close_with_code(CloseCode::SLOW_CONSUMER.number());
            }
            return;
        }
        self.bytes = bytes;
        self.messages.push_back(message);
    }

    pub(super) fn poll_open(&mut self, context: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        if let Some(closed) = &self.closed {
            return Poll::Ready(Err(SocketError::closed(SocketErrorKind::Refused, closed.clone())));
        }
        if self.opened {
            return Poll::Ready(Ok(()));
        }
        self.reader = Some(context.waker().clone());
        Poll::Pending
    }

    pub(super) fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Message, SocketError>>> {
        if let Some(message) = self.messages.pop_front() {
            self.bytes = self.bytes.saturating_sub(message.len().saturating_add(ENTRY_BYTES));
            return Poll::Ready(Some(Ok(message)));
        }
        if self.overflowed || self.closed.is_some() {
            let told = std::mem::replace(&mut self.told, true);
            return Poll::Ready(if told { None } else { self.last_word().map(Err) });
        }
        self.reader = Some(context.waker().clone());
        Poll::Pending
    }

    /// The error with which the stream ends; `None` if the socket ended in order.
    fn last_word(&self) -> Option<SocketError> {
        if self.overflowed {
            return Some(SocketError::new(SocketErrorKind::Overflow, ""));
        }
        let closed = self.closed.as_ref().filter(|closed| !closed.clean)?;
        Some(SocketError::closed(SocketErrorKind::Lost, closed.clone()))
    }

    pub(super) fn register_writer(&mut self, waker: &Waker) {
        self.writer = Some(waker.clone());
    }

    pub(super) fn closed(&self) -> Option<&Closed> {
        self.closed.as_ref()
    }
}
