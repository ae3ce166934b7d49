//! Many readers, and one counter for all of them.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use anyhow::{Context, Result, ensure};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::PATIENCE;
use crate::wire::{Counter, Dialect};

/// The messages that all subscribers have received.
pub(super) struct Tally {
    subscribers: u64,
    delivered: Cell<u64>,
    /// Notified whenever another message has reached, on average, every subscriber.
    progress: Notify,
    failure: RefCell<Option<io::Error>>,
}

impl Tally {
    pub(super) fn new(subscribers: u64) -> Rc<Self> {
        Rc::new(Self {
            subscribers,
            delivered: Cell::default(),
            progress: Notify::default(),
            failure: RefCell::default(),
        })
    }

    /// Reads and counts messages, in a task of its own.
    pub(super) fn read(self: &Rc<Self>, stream: TcpStream, dialect: Dialect) {
        let tally = Rc::clone(self);
        tokio::task::spawn_local(async move {
            // A lost connection shows as missing messages; a clean close comes after the measurement.
            let Err(error) = read(&stream, dialect, |messages| tally.add(messages)).await;
            *tally.failure.borrow_mut() = Some(error);
            tally.progress.notify_one();
        });
    }

    pub(super) fn delivered(&self) -> u64 {
        self.delivered.get()
    }

    /// How many messages have reached, on average, every subscriber.
    pub(super) fn whole(&self) -> u64 {
        self.delivered.get() / self.subscribers
    }

    fn add(&self, messages: u64) {
        let before = self.whole();
        self.delivered.set(self.delivered.get() + messages);
        if self.whole() > before {
            self.progress.notify_one();
        }
    }

    /// Waits until every delivery of `published` messages has arrived, and checks that none came twice.
    pub(super) async fn settle(&self, published: u64) -> Result<()> {
        while self.whole() < published {
            self.progress(published).await?;
        }
        let (delivered, expected) = (self.delivered.get(), published * self.subscribers);
        ensure!(delivered == expected, "{delivered} deliveries of {expected}");
        Ok(())
    }

    /// Waits until more of `published` has arrived.
    pub(super) async fn progress(&self, published: u64) -> Result<()> {
        timeout(PATIENCE, self.progress.notified()).await.with_context(|| {
            format!("{} deliveries of {}", self.delivered.get(), published * self.subscribers)
        })?;
        if let Some(error) = self.failure.borrow_mut().take() {
            return Err(error).context("a subscriber lost its connection");
        }
        Ok(())
    }
}

/// Calls the function with the number of messages that arrived, until the connection ends.
pub(super) async fn read(
    stream: &TcpStream,
    dialect: Dialect,
    mut came: impl FnMut(u64),
) -> Result<std::convert::Infallible, io::Error> {
    thread_local! {
        // Shared by all of them, because only one reads at a time.
        static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; 64 * 1024]);
    }
    let mut counter = Counter::new(dialect);
    loop {
        stream.readable().await?;
        let messages = BUFFER.with_borrow_mut(|buffer| match stream.try_read(buffer) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => Ok(counter.count(&buffer[..length])),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error),
        })?;
        came(messages);
    }
}
