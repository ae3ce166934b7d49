//! The watch over an engine's deliveries: silence is proven, not assumed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::Inner;
use crate::engine::Attachments;

/// The probes of this hub to itself, by way of the engine.
#[derive(Default)]
pub(crate) struct Probes {
    /// The highest number that came back.
    returned: AtomicU64,
    is_silent: AtomicBool,
    /// `true` after the engine has reported an interruption, until the channels are compared.
    is_interrupted: AtomicBool,
    interrupted: Arc<Notify>,
}

impl Probes {
    pub(crate) fn returned(&self, number: u64) {
        self.returned.fetch_max(number, Ordering::Relaxed);
    }

    /// Makes the watch compare all channels now.
    pub(crate) fn set_interrupted(&self) {
        self.is_interrupted.store(true, Ordering::Release);
        self.interrupted.notify_one();
    }

    /// `true` if the engine's deliveries do not arrive.
    pub(crate) fn is_silent(&self) -> bool {
        self.is_silent.load(Ordering::Relaxed)
    }
}

/// Probes the deliveries of an engine with [`Attachments`], and compares the positions of its channels with the engine's, until
/// the hub is gone.
pub(super) async fn watch(hub: Weak<Inner>) {
    let mut ticks = interval(PROBE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut number, mut last_return, mut last_comparison) = (0_u64, Instant::now(), Instant::now());
    loop {
        // The hub may go while it waits, so the signal is held instead of the hub.
        let Some(interrupted) = hub.upgrade().map(|hub| Arc::clone(&hub.probes.interrupted)) else { return };
        tokio::select! {
            _ = ticks.tick() => {}
            () = interrupted.notified() => {}
        }
        let Some(hub) = hub.upgrade() else { return };
        let Some(attachments) = hub.settings.engine.attachments() else { return };
        if hub.probes.returned.load(Ordering::Relaxed) >= number {
            last_return = Instant::now();
            if hub.probes.is_silent.swap(false, Ordering::Relaxed) {
                tracing::info!("the engine's deliveries arrive again");
                note_missed_moves(&hub);
                compare_all(&hub, attachments).await;
                last_comparison = Instant::now();
                hub.missed_messages();
            }
        }
        if last_return.elapsed() >= SILENCE {
            if !hub.probes.is_silent.swap(true, Ordering::Relaxed) {
                tracing::error!("the engine's deliveries do not arrive: the connection is made anew");
            }
            last_return = Instant::now();
            match timeout(SILENCE, attachments.renew()).await {
                Ok(Ok(())) => {
                    note_missed_moves(&hub);
                    compare_all(&hub, attachments).await;
                    hub.missed_messages();
                }
                Ok(Err(error)) => tracing::warn!("the engine's deliveries still do not arrive: {error}"),
                Err(_) => tracing::warn!("the engine's deliveries still do not arrive: no answer"),
            }
        }
        if hub.probes.is_interrupted.swap(false, Ordering::AcqRel) {
            report_interruption(&hub);
            note_missed_moves(&hub);
            compare_all(&hub, attachments).await;
            last_comparison = Instant::now();
        }
        if last_comparison.elapsed() >= COMPARE_INTERVAL {
            compare_all(&hub, attachments).await;
            last_comparison = Instant::now();
        }
        number = number.saturating_add(1);
        attachments.probe(number);
    }
}

/// Notifies the subscribers of channels without history, whose missing publications can't be read.
fn report_interruption(hub: &Inner) {
    for name in hub.attached.names() {
        if hub.settings.namespaces.of(&name).history.is_none()
            && let Some(channel) = hub.channels.find(&name)
        {
            channel.report_interruption();
        }
    }
}

/// Joins and leaves may have been lost: the clients that observe them read the members again.
fn note_missed_moves(hub: &Inner) {
    if hub.settings.engine.presence().is_some() {
        for channel in hub.channels.every() {
            channel.note_missed_moves();
        }
    }
}

/// Compares the positions of the attached channels with the engine's, and repairs those that are behind.
async fn compare_all(hub: &Arc<Inner>, attachments: &dyn Attachments) {
    let namespaces = &hub.settings.namespaces;
    let mut names = hub.attached.names();
    names.retain(|name| namespaces.of(name).history.is_some());
    for names in names.chunks(COMPARED_AT_ONCE) {
        let seen = names.iter().map(|name| {
            let seen = hub.channels.find(name).and_then(|channel| channel.seen());
            (name.clone(), seen)
        });
        let newest = match timeout(SILENCE, attachments.newest(seen.collect())).await {
            Ok(Ok(newest)) => newest,
            Ok(Err(error)) => return tracing::warn!("the channels are compared later: {error}"),
            Err(_) => return tracing::warn!("the channels are compared later: the engine did not answer"),
        };
        for (name, newest) in names.iter().zip(newest) {
            if let (Some(channel), Some(newest)) = (hub.channels.find(name), newest)
                && channel.compare(&newest)
            {
                channel.start_repair(hub);
            }
        }
    }
}

/// The time between two probes.
const PROBE_INTERVAL: Duration = Duration::from_secs(2);

/// The time without a returned probe after which the connection is made anew.
const SILENCE: Duration = Duration::from_secs(6);

/// The time between two comparisons of the channels' positions.
const COMPARE_INTERVAL: Duration = Duration::from_secs(10);

/// The number of channels in one request to the engine.
const COMPARED_AT_ONCE: usize = 256;
