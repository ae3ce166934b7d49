//! How many connections are open, and whether there may be more.

use std::sync::Arc;

use tokio::sync::watch;

/// Where a hub is on its way from start to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Running,
    /// No new connections; those that are open say good-bye.
    Stopping,
    /// The deadline has passed: what is still open is dropped.
    Stopped,
}

/// Counts the WebSocket connections of a hub.
pub(crate) struct Connections {
    phase: watch::Sender<Phase>,
    open: Arc<watch::Sender<usize>>,
}

/// An open connection, as long as it lives.
pub(crate) struct Connection(Arc<watch::Sender<usize>>);

impl Connections {
    pub(crate) fn new() -> Self {
        Self { phase: watch::Sender::new(Phase::Running), open: Arc::new(watch::Sender::new(0)) }
    }

    /// One more; none while the hub stops.
    pub(crate) fn enter(&self) -> Option<Connection> {
        self.open.send_modify(|open| *open = open.saturating_add(1));
        let connection = Connection(Arc::clone(&self.open));
        // Looked at when it is counted already: who begins to stop now waits for it.
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

    /// Waits until the hub has come to a phase.
    pub(crate) async fn reached(&self, phase: Phase) {
        // The sender is in `self`, so that waiting does not fail.
        let _ = self.phase.subscribe().wait_for(|current| *current >= phase).await;
    }

    /// Waits until none is open.
    pub(crate) async fn all_closed(&self) {
        let _ = self.open.subscribe().wait_for(|open| *open == 0).await;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open = open.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn stopping_refuses_newcomers_and_waits_for_those_who_are_there() {
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
}
