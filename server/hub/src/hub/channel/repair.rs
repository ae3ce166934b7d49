//! The repair of a channel whose engine has left out deliveries, or has lost its history.

use std::sync::{Arc, Weak};
use std::time::Duration;

use wirehub_common::ChannelName;
use wirehub_common::frame::{Position, Push, ServerFrame};

use super::Channel;
use crate::engine::{EngineError, Epoch, Locate, PAGE_BYTES, ReadHistory};
use crate::hub::Inner;
use crate::hub::shared_frame::SharedFrame;
use crate::namespace::History;

/// Reads the missing publications from the history, once for all subscribers, and delivers them. If they are lost, the channel
/// goes on from the engine's position, and its subscribers are notified.
///
/// The task ends when the channel is whole, is closed, or when the hub is gone.
pub(crate) async fn repair(hub: Weak<Inner>, channel: Arc<Channel>) {
    let mut delay = FIRST_DELAY;
    let mut fruitless = 0_u32;
    loop {
        let Some(seen) = channel.seen() else { return };
        let Some(inner) = hub.upgrade() else { return };
        let Some(history) = inner.settings.namespaces.of(channel.name()).history else { return };
        match read_missing(&inner, &channel, history, &seen).await {
            Ok(()) if channel.end_repair() => return,
            // The engine delivered publications that its history does not have yet, or never had.
            Ok(()) if channel.seen().as_ref() == Some(&seen) => fruitless = fruitless.saturating_add(1),
            Ok(()) => (delay, fruitless) = (FIRST_DELAY, 0),
            Err(error) => {
                tracing::warn!("the missing publications of {} are read later: {error}", channel.name());
            }
        }
        if fruitless >= MAX_FRUITLESS {
            return channel.give_up_repair();
        }
        drop(inner);
        tokio::time::sleep(delay).await;
        delay = delay.saturating_mul(2).min(MAX_DELAY);
    }
}

/// Delivers the publications behind `seen`, or resets the channel.
async fn read_missing(
    hub: &Arc<Inner>,
    channel: &Arc<Channel>,
    history: History,
    seen: &Position,
) -> Result<(), EngineError> {
    let engine = &hub.settings.engine;
    let name: &ChannelName = channel.name();
    let since = Some(seen.clone());
    let located = engine.locate(Locate { channel: name.clone(), history, since }).await?;
    if !located.complete {
        channel.reset(&located);
        return Ok(());
    }
    let epoch: Epoch = located.position.epoch.as_str().into();
    let mut position = located.position;
    loop {
        let read = ReadHistory {
            channel: name.clone(),
            history,
            since: Some(position.clone()),
            limit: PAGE,
            bytes: PAGE_BYTES,
            reverse: false,
        };
        // Some were removed meanwhile: the next round finds out where the history begins now.
        let Some(page) = engine.history(read).await? else { return Ok(()) };
        if page.publications.is_empty() {
            return Ok(());
        }
        for publication in page.publications {
            position.offset = publication.offset;
            let offset = publication.offset;
            let mut frame = SharedFrame::new(ServerFrame::Push(Push::Publication(publication)));
            channel.deliver(&epoch, offset, &mut frame);
        }
        // Other channels' tasks run between two pages.
        tokio::task::yield_now().await;
    }
}

/// The number of publications in one read.
const PAGE: usize = 256;

/// The pause before another attempt, at first and at most.
const FIRST_DELAY: Duration = Duration::from_millis(100);
const MAX_DELAY: Duration = Duration::from_secs(10);

/// The number of attempts that found nothing new. Then what was delivered is taken as it came.
const MAX_FRUITLESS: u32 = 5;
