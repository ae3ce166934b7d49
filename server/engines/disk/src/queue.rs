//! The queue of requests for the writer, bounded in number and bytes. It fixes the order of publishes.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_channel::oneshot;
use parking_lot::{Condvar, Mutex};
use wirehub_common::ChannelName;
use wirehub_common::Payload;
use wirehub_common::frame::{Member, Position};
use wirehub_hub::namespace::History;

use crate::error::{DiskError, DiskErrorKind};
use crate::record::ChannelState;

pub(crate) type Answer<T> = oneshot::Sender<Result<T, DiskError>>;

/// A publish, as the hub requests it.
#[derive(Debug)]
pub(crate) struct Publish {
    pub(crate) channel: ChannelName,
    pub(crate) payload: Payload,
    pub(crate) publisher: Option<Member>,
    pub(crate) key: String,
    pub(crate) history: Option<History>,
}

/// A request for the writer.
pub(crate) enum Request {
    Publish(Publish, Answer<Option<Position>>),
    /// Creates a channel's state if there is none, and makes it remember its offset until that time.
    Touch {
        channel: ChannelName,
        needed_until: u64,
        then: Option<Then>,
    },
    Put {
        kind: u8,
        key: Bytes,
        value: Bytes,
        expires: u64,
        answer: Answer<()>,
    },
    Remove {
        kind: u8,
        key: Bytes,
        answer: Answer<()>,
    },
}

/// The continuation of a request that needs a channel's state.
pub(crate) type Then = Box<dyn FnOnce(Result<ChannelState, DiskError>) + Send>;

impl Request {
    fn bytes(&self) -> usize {
        let content = match self {
            Self::Publish(publish, _) => publish.payload.data.len().saturating_add(publish.key.len()),
            Self::Put { key, value, .. } => key.len().saturating_add(value.len()),
            Self::Remove { key, .. } => key.len(),
            Self::Touch { .. } => 0,
        };
        content.saturating_add(REQUEST_BYTES)
    }

    /// Answers with a failure.
    pub(crate) fn fail(self, error: &DiskError) {
        match self {
            Self::Publish(_, answer) => drop(answer.send(Err(error.clone()))),
            Self::Put { answer, .. } | Self::Remove { answer, .. } => drop(answer.send(Err(error.clone()))),
            Self::Touch { then, .. } => {
                if let Some(then) = then {
                    then(Err(error.clone()));
                }
            }
        }
    }
}

/// The queue.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
    /// The number of requests that were refused because too many waited, and how many of them the writer has seen.
    refused: AtomicU64,
    seen_refused: AtomicU64,
    max_bytes: usize,
    max_requests: usize,
}

#[derive(Default)]
struct State {
    requests: VecDeque<Request>,
    bytes: usize,
    /// The number of publishes of each channel that have been queued and not delivered yet.
    pending: HashMap<ChannelName, usize>,
    is_closed: bool,
    /// The writer has something else to look at.
    is_woken: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("requests", &self.requests.len()).finish_non_exhaustive()
    }
}

impl Queue {
    pub(crate) fn new(max_bytes: usize, max_requests: usize) -> Self {
        Self {
            state: Mutex::default(),
            arrived: Condvar::new(),
            refused: AtomicU64::new(0),
            seen_refused: AtomicU64::new(0),
            max_bytes,
            max_requests,
        }
    }

    /// Adds a request, or answers it with a failure.
    pub(crate) fn push(&self, request: Request) {
        let bytes = request.bytes();
        let mut state = self.state.lock();
        let refusal = if state.is_closed {
            stopped()
        } else if state.requests.len() >= self.max_requests
            || (state.bytes.saturating_add(bytes) > self.max_bytes && !state.requests.is_empty())
        {
            self.count_refused();
            DiskError::new(
                DiskErrorKind::Overloaded,
                "too many requests wait for the disk: send more slowly, or use a faster disk",
            )
        } else {
            if let Request::Publish(publish, _) = &request {
                let pending = state.pending.entry(publish.channel.clone()).or_default();
                *pending = pending.saturating_add(1);
            }
            state.bytes = state.bytes.saturating_add(bytes);
            state.requests.push_back(request);
            drop(state);
            self.arrived.notify_one();
            return;
        };
        drop(state);
        request.fail(&refusal);
    }

    /// Counts a request that was refused because too many waited.
    pub(crate) fn count_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// The number of these requests so far.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Their number since the last call.
    pub(crate) fn take_refused(&self) -> u64 {
        let refused = self.refused();
        refused.saturating_sub(self.seen_refused.swap(refused, Ordering::Relaxed))
    }

    /// The number of waiting requests, and their bytes.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.requests.len(), state.bytes)
    }

    /// `true` if no publish of a channel waits for its delivery.
    pub(crate) fn is_idle(&self, channel: &ChannelName) -> bool {
        !self.state.lock().pending.contains_key(channel)
    }

    /// The next requests in their order; none if nothing arrives in that time.
    pub(crate) fn take(&self, timeout: Duration) -> Taken {
        let mut state = self.state.lock();
        if state.requests.is_empty() && !state.is_closed && !state.is_woken {
            self.arrived.wait_for(&mut state, timeout);
        }
        state.is_woken = false;
        let (mut requests, mut bytes) = (Vec::new(), 0_usize);
        while requests.len() < BATCH_REQUESTS && bytes < BATCH_BYTES {
            let Some(request) = state.requests.pop_front() else { break };
            bytes = bytes.saturating_add(request.bytes());
            requests.push(request);
        }
        state.bytes = state.bytes.saturating_sub(bytes);
        let is_last = state.is_closed && requests.is_empty();
        Taken { requests, is_last }
    }

    /// Makes the writer look, also if no request arrives.
    pub(crate) fn wake(&self) {
        self.state.lock().is_woken = true;
        self.arrived.notify_one();
    }

    /// Counts publishes that have been delivered, or have failed.
    pub(crate) fn settle<'a>(&self, channels: impl Iterator<Item = &'a ChannelName>) {
        let mut state = self.state.lock();
        for channel in channels {
            let Some(pending) = state.pending.get_mut(channel) else { continue };
            *pending = pending.saturating_sub(1);
            if *pending == 0 {
                state.pending.remove(channel);
            }
        }
    }

    /// Refuses further requests. Those in the queue are still carried out.
    pub(crate) fn close(&self) {
        self.state.lock().is_closed = true;
        self.arrived.notify_all();
    }
}

#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) requests: Vec<Request>,
    /// The queue is closed and empty.
    pub(crate) is_last: bool,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Publish(..) => "Publish",
            Self::Touch { .. } => "Touch",
            Self::Put { .. } => "Put",
            Self::Remove { .. } => "Remove",
        })
    }
}

pub(crate) fn stopped() -> DiskError {
    DiskError::new(DiskErrorKind::Unavailable, "the engine has stopped: restart the server")
}

/// The maximum size of a batch. The last request may exceed it.
const BATCH_REQUESTS: usize = 1024;
const BATCH_BYTES: usize = 2 * 1024 * 1024;

/// The approximate cost of a request without its content.
const REQUEST_BYTES: usize = 256;
