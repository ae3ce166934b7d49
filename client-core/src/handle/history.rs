//! A part of a channel's history, as messages of a contract.

use std::sync::Arc;
use std::time::Duration;

use wirehub_common::frame::{self, Member, Position};
use wirehub_common::{Payload, PayloadError};

use super::subscription::Publication;
use crate::Error;

/// A part of a channel's history. See [`Client::history`](crate::Client::history).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HistoryPage<M> {
    /// The channel's newest position.
    pub position: Position,
    /// The requested messages, oldest first.
    pub publications: Vec<Publication<M>>,
    /// The messages among them that do not fit the contract, oldest first.
    pub unreadable: Vec<Unreadable>,
    /// Whether there are more behind the last of these.
    pub more: bool,
    /// The position of the last message, readable or not: pass it as `since` for the next page.
    pub last: Option<Position>,
}

/// A message of a history that does not fit the contract.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Unreadable {
    /// Its offset in the history.
    pub offset: u64,
    /// The time at which the server accepted it: the time since the Unix epoch by the server's clock.
    pub time: Duration,
    /// The session that published it; absent if the server itself published.
    pub publisher: Option<Member>,
    /// The payload.
    pub payload: Payload,
    /// The reason for which it can't be read.
    pub error: Error,
}

impl<M> HistoryPage<M> {
    pub(super) fn decode(
        page: frame::HistoryPage,
        decode: impl Fn(&Payload) -> Result<M, PayloadError>,
    ) -> Self {
        let frame::HistoryPage { position, publications: all, more } = page;
        let last = all.last().map(|last| Position { offset: last.offset, epoch: position.epoch.clone() });
        let epoch: Arc<str> = position.epoch.as_str().into();
        let (mut publications, mut unreadable) = (Vec::with_capacity(all.len()), Vec::new());
        for publication in all {
            match decode(&publication.payload) {
                Ok(message) => {
                    publications.push(Publication::with(publication, Some(Arc::clone(&epoch)), message));
                }
                Err(error) => {
                    let frame::Publication { payload, time, publisher, offset, .. } = publication;
                    let (time, error) = (Duration::from_millis(time), error.into());
                    unreadable.push(Unreadable { offset, time, publisher, payload, error });
                }
            }
        }
        Self { position, publications, unreadable, more, last }
    }
}
