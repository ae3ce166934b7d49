//! The members of channels on all nodes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use redis::Value;
use wirehub_common::ChannelName;
use wirehub_common::Codec;
use wirehub_common::frame::{Movement, Push, ServerFrame};
use wirehub_hub::SessionId;
use wirehub_hub::engine::{EngineFuture, NodeId, Presence, PresenceEntry};
use wirehub_hub::observe::{MemberPage, PresenceCounts};

use crate::command::{Argument, Command};
use crate::engine::{RedisEngine, Shared};
use crate::error::Error;
use crate::keys::{Key, Place, line_of};
use crate::message::{bytes, number};
use crate::partition::Partition;
use crate::queue::{answer_of, strange};
use crate::scripts::ScriptName;

impl Presence for RedisEngine {
    fn enter(&self, entry: PresenceEntry) -> EngineFuture<()> {
        let PresenceEntry { channel, session, member, grace, .. } = entry;
        let place = Place::of(&channel);
        let shared = &self.shared;
        let owner = shared.owner.id();
        let command = shared.session_command(ScriptName::Enter, &channel, owner).arg(&session.to_bytes());
        let command = command.arg(&member.user);
        let command = match grace {
            Some(grace) => command.arg(grace.as_millis()),
            None => command.arg(""),
        };
        let movement = encode(Movement { channel: channel.clone(), member });
        let command = command.arg(movement).arg(owner).arg(&channel);
        let command = shared.with_delivery(command, &channel);
        answer_of(shared.queues.push(place.partition, place.line, false, command), |_| Some(()))
    }

    fn leave(&self, entry: PresenceEntry) -> EngineFuture<()> {
        let shared = &self.shared;
        let (command, place) = shared.leave_command(&entry.channel, shared.owner.id(), entry.session);
        if let Some(grace) = entry.grace.filter(|grace| !grace.is_zero() && !entry.member.user.is_empty()) {
            shared.graces.add(grace, entry.channel, entry.session);
        }
        answer_of(shared.queues.push(place.partition, place.line, false, command), |_| Some(()))
    }

    fn members(
        &self,
        channel: &ChannelName,
        after: Option<SessionId>,
        most: usize,
    ) -> EngineFuture<MemberPage> {
        let (shared, channel) = (Arc::clone(&self.shared), channel.clone());
        EngineFuture::Later(Box::pin(async move { Ok(shared.members(&channel, after, most).await?) }))
    }

    fn counts(&self, channel: &ChannelName) -> EngineFuture<PresenceCounts> {
        let place = Place::of(channel);
        let key = |kind| self.shared.keys.of_channel(kind, channel);
        let command = Command::script(ScriptName::Counts).key(key("o:")).key(key("u:"));
        answer_of(self.shared.queues.push(place.partition, place.line, false, command), |answer| {
            let Value::Array(counts) = answer else { return None };
            let [sessions, users] = &counts[..] else { return None };
            let sessions = usize::try_from(number(sessions)?).ok()?;
            let counts = PresenceCounts { sessions, users: usize::try_from(number(users)?).ok()? };
            Some(counts)
        })
    }

    fn count_session(&self, user: &str, session: SessionId, limit: u32) -> EngineFuture<bool> {
        let shared = &self.shared;
        let later = shared.count(ScriptName::Count, user, session, shared.owner.id(), Some(limit));
        answer_of(later, |answer| Some(number(&answer)? == 1))
    }

    fn uncount_session(&self, user: &str, session: SessionId) -> EngineFuture<()> {
        let shared = &self.shared;
        let later = shared.count(ScriptName::Uncount, user, session, shared.owner.id(), None);
        answer_of(later, |_| Some(()))
    }
}

impl Shared {
    /// The command with which a session of an owner leaves a channel.
    pub(crate) fn leave_command(
        &self,
        channel: &ChannelName,
        owner: NodeId,
        session: SessionId,
    ) -> (Command, Place) {
        let command = self.session_command(ScriptName::Leave, channel, owner);
        let command = command.arg(&session.to_bytes()).arg(owner).arg(channel);
        (self.with_delivery(command, channel), Place::of(channel))
    }

    /// The command that ends the grace of a session.
    pub(crate) fn end_grace_command(&self, channel: &ChannelName, session: SessionId) -> (Command, Place) {
        let command = self.member_command(ScriptName::EndGrace, channel);
        let command = command.arg(&session.to_bytes()).arg(channel);
        (self.with_delivery(command, channel), Place::of(channel))
    }

    /// A script with the keys of a channel's members.
    fn member_command(&self, name: ScriptName, channel: &ChannelName) -> Command {
        let key = |kind| self.keys.of_channel(kind, channel);
        let command = Command::script(name).key(key("m:")).key(key("o:")).key(key("u:"));
        command.key(self.leaving_key(Place::of(channel).partition))
    }

    /// A script with the keys of a channel's members and of an owner.
    fn session_command(&self, name: ScriptName, channel: &ChannelName, owner: NodeId) -> Command {
        let command = self.member_command(name, channel);
        let channels = self.owner_channels_key(Place::of(channel).partition, owner);
        command.key(channels).key(self.owner_sessions_key(channel, owner))
    }

    /// Adds the command and the channel of the delivery.
    fn with_delivery(&self, command: Command, channel: &ChannelName) -> Command {
        command.arg(self.delivery_command()).arg(self.keys.of_channel("d:", channel))
    }

    /// The leaving sessions of a partition.
    pub(crate) fn leaving_key(&self, partition: Partition) -> Key<'_, ()> {
        self.keys.key(partition, "l", ())
    }

    /// The channels of a partition in which an owner has sessions.
    pub(crate) fn owner_channels_key(&self, partition: Partition, owner: NodeId) -> Key<'_, NodeId> {
        self.keys.key(partition, "n:", owner)
    }

    /// The sessions of an owner in a channel.
    pub(crate) fn owner_sessions_key<'a>(
        &'a self,
        channel: &'a ChannelName,
        owner: NodeId,
    ) -> impl Argument + use<'a> {
        self.keys.key(Place::of(channel).partition, "q:", (owner, ":", channel))
    }

    /// The sessions of a partition's users that are counted for an owner.
    pub(crate) fn owner_counted_key(&self, partition: Partition, owner: NodeId) -> Key<'_, NodeId> {
        self.keys.key(partition, "x:", owner)
    }

    /// Counts a session of a user, or counts it no longer.
    pub(crate) fn count(
        &self,
        name: ScriptName,
        user: &str,
        session: SessionId,
        owner: NodeId,
        limit: Option<u32>,
    ) -> futures_channel::oneshot::Receiver<Result<Value, Error>> {
        let partition = Partition::of(user.as_bytes());
        let command = Command::script(name)
            .key(self.keys.key(partition, "w:", user))
            .key(self.owner_counted_key(partition, owner))
            .arg(&session.to_bytes())
            .arg(user)
            .arg(owner)
            .args(limit);
        self.queues.push(partition, line_of(user.as_bytes()), false, command)
    }

    async fn members(
        &self,
        channel: &ChannelName,
        after: Option<SessionId>,
        most: usize,
    ) -> Result<MemberPage, Error> {
        let place = Place::of(channel);
        let mut page = MemberPage::default();
        let mut after = after.map(|after| after.to_bytes().to_vec()).unwrap_or_default();
        while !page.more {
            // One more, to see if there is one.
            let step = most.saturating_sub(page.members.len()).saturating_add(1).min(PAGE);
            let key = |kind| self.keys.of_channel(kind, channel);
            let command = Command::script(ScriptName::Page).key(key("m:")).key(key("o:"));
            let command = command.arg(&after[..]).arg(step);
            let later = self.queues.push(place.partition, place.line, false, command);
            let answer = later.await.unwrap_or_else(|_| Err(strange()))?;
            let Value::Array(movements) = answer else { return Err(strange()) };
            let is_last = movements.len() < step;
            for movement in &movements {
                let movement = bytes(movement).ok_or_else(strange)?;
                // A member that is lost in between has no value.
                let Some(Movement { member, .. }) = decode(&Bytes::copy_from_slice(movement)) else {
                    continue;
                };
                if page.members.len() >= most {
                    page.more = true;
                    break;
                }
                if let Ok(id) = member.session.parse::<SessionId>() {
                    after = id.to_bytes().to_vec();
                }
                page.members.push(member);
            }
            if is_last {
                break;
            }
        }
        Ok(page)
    }
}

/// A movement as it is stored and delivered.
pub(crate) fn encode(movement: Movement) -> Bytes {
    Codec::Protobuf.encode_frame(&ServerFrame::Push(Push::Join(movement)))
}

/// `None` if it is damaged.
pub(crate) fn decode(stored: &Bytes) -> Option<Movement> {
    match Codec::Protobuf.decode_frames(stored).next()?.ok()? {
        ServerFrame::Push(Push::Join(movement)) => Some(movement),
        _ => None,
    }
}

/// The maximum number of members in one answer of Redis.
const PAGE: usize = 1000;

/// The longest grace that is waited for here; the janitor ends longer ones.
pub(crate) const LONGEST_GRACE: Duration = Duration::from_secs(3600);
