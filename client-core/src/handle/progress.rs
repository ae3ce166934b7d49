//! The progress of large publishes and calls.

use std::sync::Arc;

use futures_core::Stream;

use super::queue;
use crate::{Client, Overflow};

/// The progress of a publish or call that travels in parts: see [`Client::with_progress`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// How many bytes the transport has sent. They increase up to the total. If the connection breaks and the message goes
    /// out again, they start over.
    pub sent: usize,
    /// The size of the encoded message in bytes: a little more than that of its payload.
    pub total: usize,
}

/// Receives the progress of the commands of a handle. It is a function, so that a program without progress has no queue for
/// it.
pub(super) type Watcher = Arc<dyn Fn(Progress) + Send + Sync>;

impl Client {
    /// This handle, and the progress of its publishes and calls. Those that fit into one message of the WebSocket, of up
    /// to 64 KiB, have none, and neither have calls that stream their responses. For a slow reader the newest progress is kept. The stream ends when the handle and its clones
    /// are dropped.
    ///
    /// ```
    /// use futures_util::{StreamExt as _, future};
    /// use wirehub_client_core::{Client, Error};
    /// use wirehub_common::{ChannelName, Payload};
    ///
    /// async fn send(client: &Client, photos: ChannelName, photo: Payload) -> Result<(), Error> {
    ///     let (client, mut progress) = client.clone().with_progress();
    ///     // The handle is dropped at the end, and the stream ends then.
    ///     let sending = async move { client.publish_raw(photos, photo).await };
    ///     let showing = async move {
    ///         while let Some(step) = progress.next().await {
    ///             println!("{} of {} bytes", step.sent, step.total);
    ///         }
    ///     };
    ///     future::join(sending, showing).await.0.map(drop)
    /// }
    /// ```
    pub fn with_progress(mut self) -> (Self, impl Stream<Item = Progress> + Unpin + Send + use<>) {
        let (sender, steps) = queue::new(1, Overflow::Latest);
        self.progress = Some(Arc::new(move |step| {
            // The reader may be gone.
            let _ = sender.push(step, 1);
        }));
        (self, steps)
    }
}
