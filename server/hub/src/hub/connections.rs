//! The open connections of a hub, and its phase.

use std::sync::Arc;

use tokio::sync::watch;

use crate::checked_subtraction::subtract;
use crate::traffic::Traffic;

/// The phase of a hub on its way from start to stop. A hub never goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Phase {
    /// The hub takes connections.
    Running,
    /// The hub takes no new connections. Open connections go on.
    Draining,
    /// Sessions are being closed.
    Stopping,
    /// The deadline has passed: open connections are dropped.
    Stopped,
}

/// Counts the WebSocket connections of a hub, and their bytes.
pub(crate) struct Connections {
    phase: watch::Sender<Phase>,
    counts: Arc<ConnectionCounts>,
}

struct ConnectionCounts {
    open: watch::Sender<usize>,
    traffic: Traffic,
}

/// An open connection, until it is dropped.
pub(crate) struct Connection(Arc<ConnectionCounts>);

impl Connections {
    pub(crate) fn new() -> Self {
        let counts = ConnectionCounts { open: watch::Sender::new(0), traffic: Traffic::new() };
        Self { phase: watch::Sender::new(Phase::Running), counts: Arc::new(counts) }
    }

    /// Counts another connection; `None` after the beginning of a stop.
    pub(crate) fn enter(&self) -> Option<Connection> {
        // Waiting tasks are woken only when no connection is open.
        self.counts.open.send_if_modified(|open| {
            *open = open.saturating_add(1);
            false
        });
        let connection = Connection(Arc::clone(&self.counts));
        // Checked after the connection is counted: a stop that begins now waits for it.
        (self.phase() == Phase::Running).then_some(connection)
    }

    pub(crate) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Goes on to a phase, never back.
    pub(crate) fn set_phase(&self, phase: Phase) {
        self.phase.send_if_modified(|current| {
            let later = phase > *current;
            *current = phase.max(*current);
            later
        });
    }

    /// Waits until the hub has reached a phase.
    pub(crate) async fn reached(&self, phase: Phase) {
        // This can't fail, because the sender is in `self`.
        let _ = self.phase.subscribe().wait_for(|current| *current >= phase).await;
    }

    /// The phases from now on. The receiver does not keep the hub alive.
    pub(crate) fn phases(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Waits until sessions are being closed, or the hub is gone. The future does not keep the hub alive.
    pub(crate) fn stopping(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut phase = self.phase.subscribe();
        async move {
            let _ = phase.wait_for(|current| *current >= Phase::Stopping).await;
        }
    }

    /// Waits until no connection is open.
    pub(crate) async fn all_closed(&self) {
        let _ = self.counts.open.subscribe().wait_for(|open| *open == 0).await;
    }

    /// The bytes of all connections since the start.
    pub(crate) fn traffic(&self) -> &Traffic {
        &self.counts.traffic
    }
}

impl Connection {
    pub(crate) fn count_received(&self, bytes: usize) {
        self.0.traffic.add_received(bytes);
    }

    pub(crate) fn count_sent(&self, bytes: usize) {
        self.0.traffic.add_sent(bytes);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.open.send_if_modified(|open| {
            *open = subtract(*open, 1);
            *open == 0
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::Hub;

    #[tokio::test]
    async fn stopping_refuses_new_connections_and_waits_for_open_ones() {
        let connections = Connections::new();
        let connection = connections.enter().unwrap();
        connections.set_phase(Phase::Stopping);
        assert!(connections.enter().is_none());
        {
            let mut waiting = std::pin::pin!(connections.all_closed());
            tokio::select! {
                biased;
                () = &mut waiting => panic!("one is open"),
                () = std::future::ready(()) => {}
            }
            drop(connection);
            waiting.await;
        }
        connections.set_phase(Phase::Running);
        assert_eq!(connections.phase(), Phase::Stopping);
        connections.reached(Phase::Stopping).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_drains_before_its_deadline_begins_and_only_once() {
        let (delay, deadline) = (Duration::from_secs(5), Duration::from_secs(2));
        let hub = Hub::builder().drain_delay(delay).build();
        let connection = hub.connections().enter().unwrap();
        let begun = Instant::now();
        let stops = [(); 2].map(|()| {
            let hub = hub.clone();
            tokio::spawn(async move { hub.shutdown(deadline).await })
        });
        let mut reached = Vec::new();
        for phase in [Phase::Draining, Phase::Stopping, Phase::Stopped] {
            hub.connections().reached(phase).await;
            reached.push((hub.connections().phase(), begun.elapsed().as_secs()));
            assert!(hub.connections().enter().is_none());
        }
        assert_eq!(reached, [(Phase::Draining, 0), (Phase::Stopping, 5), (Phase::Stopped, 7)]);
        drop(connection);
        for stop in stops {
            stop.await.unwrap();
        }
        assert_eq!(begun.elapsed().as_secs(), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_without_connections_takes_the_delay_and_no_longer() {
        for delay in [0, 5] {
            let delay = Duration::from_secs(delay);
            let begun = Instant::now();
            Hub::builder().drain_delay(delay).build().shutdown(Duration::from_secs(2)).await;
            assert!(
                (delay..=delay + Duration::from_millis(1)).contains(&begun.elapsed()),
                "{:?}",
                begun.elapsed()
            );
        }
    }
}
