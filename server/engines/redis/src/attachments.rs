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
use crate::command::{Argument, Command};
use crate::engine::{RedisEngine, Shared};
use crate::error::ErrorKind;
use crate::keys::Place;
use crate::message::{bytes, position};
use crate::publications::fresh;
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
            let message = format!("b{number}");
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
            let keys = &self.shared.keys;
            let mut command = Command::script(ScriptName::Newest).key(keys.generation(partition));
            for (_, channel, _) in &channels {
                command = command.key(keys.of_channel("c:", channel)).key(keys.of_channel("s:", channel));
            }
            command = command.arg(fresh());
            for (_, _, Position { offset, epoch }) in &channels {
                command = command.arg(*offset).arg(epoch);
            }
            let indices: Vec<_> = channels.into_iter().map(|(index, ..)| index).collect();
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
    pub(crate) fn publish_command(&self, inbox: Bytes, message: impl Argument) -> Command {
        Command::plain(self.delivery_command()).arg(inbox).arg(message)
    }

    /// The name of the command that delivers.
    pub(crate) fn delivery_command(&self) -> &'static str {
        if self.queues.servers().is_sharded() { "SPUBLISH" } else { "PUBLISH" }
    }
}

fn confirmed(later: oneshot::Receiver<Result<(), Error>>) -> EngineFuture<()> {
    EngineFuture::Later(Box::pin(async move { Ok(later.await.unwrap_or_else(|_| Err(gone()))?) }))
}

fn gone() -> Error {
    Error::new(ErrorKind::Unavailable, "the engine has been stopped: connect to another node")
}
