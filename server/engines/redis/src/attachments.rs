//! The attached channels of this node.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_channel::oneshot;
use futures_util::future::join_all;
use redis::Value;
use wirehub_common::ChannelName;
use wirehub_common::frame::Position;
use wirehub_hub::engine::{Attachments, EngineFuture};

use crate::Error;
use crate::engine::{RedisEngine, Shared};
use crate::error::ErrorKind;
use crate::keys::Place;
use crate::message::{bytes, position};
use crate::publications::{decimal, fresh};
use crate::queue::Command;
use crate::scripts::ScriptName;

impl Attachments for RedisEngine {
    fn attach(&self, channel: &ChannelName) -> EngineFuture<()> {
        confirmed(self.shared.subscriptions.attach(channel))
    }

    fn detach(&self, channel: &ChannelName) {
        self.shared.subscriptions.detach(channel);
    }

    fn probe(&self, number: u64) {
        for partition in self.shared.subscriptions.begin_probe(number) {
            let inbox = self.shared.keys.inbox(partition, Some(self.shared.subscriptions.own));
            let message = format!("b{number}").into();
            // The probe comes back as a delivery, or not at all.
            drop(self.shared.queues.push(partition, 0, false, self.shared.publish_command(inbox, message)));
        }
    }

    fn renew(&self) -> EngineFuture<()> {
        confirmed(self.shared.subscriptions.renew())
    }

    fn newest(&self, seen: Vec<(ChannelName, Option<Position>)>) -> EngineFuture<Vec<Option<Position>>> {
        let count = seen.len();
        let mut by_partition: BTreeMap<_, Vec<(usize, ChannelName, Position)>> = BTreeMap::new();
        for (index, (channel, position)) in seen.into_iter().enumerate() {
            let partition = Place::of(&channel).partition;
            by_partition.entry(partition).or_default().push((index, channel, position.unwrap_or_default()));
        }
        let requests = by_partition.into_iter().map(|(partition, channels)| {
            let mut keys = vec![self.shared.keys.generation(partition)];
            let mut arguments = vec![fresh()];
            let mut indices = Vec::with_capacity(channels.len());
            for (index, channel, Position { offset, epoch }) in channels {
                keys.extend(["c", "s"].map(|kind| self.shared.keys.of_channel(kind, &channel)));
                arguments.extend([decimal(&offset), Bytes::from(epoch.into_bytes())]);
                indices.push(index);
            }
            let command = Command::Script { name: ScriptName::Newest, keys, arguments };
            let later = self.shared.queues.push(partition, 0, false, command);
            async move { (indices, later.await.unwrap_or_else(|_| Err(gone()))) }
        });
        let requests: Vec<_> = requests.collect();
        EngineFuture::Later(Box::pin(async move {
            let mut newest = vec![None; count];
            let answers = join_all(requests).await;
            // One server that fails must not hide the channels of the others.
            if let Some(error) = answers.iter().find_map(|(_, answer)| answer.as_ref().err())
                && answers.iter().all(|(_, answer)| answer.is_err())
            {
                return Err(error.clone().into());
            }
            for (indices, answer) in answers {
                let Ok(Value::Array(answers)) = answer else { continue };
                for (index, answer) in indices.into_iter().zip(&answers) {
                    if let (Some(slot), Some(position)) =
                        (newest.get_mut(index), bytes(answer).and_then(position))
                    {
                        *slot = Some(position);
                    }
                }
            }
            Ok(newest)
        }))
    }
}

impl Shared {
    /// A message for an inbox.
    pub(crate) fn publish_command(&self, inbox: Bytes, message: Bytes) -> Command {
        Command::Plain(vec![self.delivery_command(), inbox, message])
    }

    /// The name of the command that delivers.
    pub(crate) fn delivery_command(&self) -> Bytes {
        Bytes::from_static(if self.queues.servers().is_sharded() { b"SPUBLISH" } else { b"PUBLISH" })
    }
}

fn confirmed(later: oneshot::Receiver<Result<(), Error>>) -> EngineFuture<()> {
    EngineFuture::Later(Box::pin(async move { Ok(later.await.unwrap_or_else(|_| Err(gone()))?) }))
}

fn gone() -> Error {
    Error::new(ErrorKind::Unavailable, "the engine has been stopped: connect to another node")
}
