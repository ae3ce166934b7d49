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

use crate::engine::{RedisEngine, Shared};
use crate::error::Error;
use crate::keys::{Place, line_of};
use crate::message::{bytes, number};
use crate::partition::Partition;
use crate::publications::decimal;
use crate::queue::{Command, answer_of, strange};
use crate::scripts::ScriptName;

impl Presence for RedisEngine {
    fn enter(&self, entry: PresenceEntry) -> EngineFuture<()> {
        let PresenceEntry { channel, session, member, grace, .. } = entry;
        let place = Place::of(&channel);
        let shared = &self.shared;
        let user = Bytes::from(member.user.clone().into_bytes());
        let grace = grace.map_or_else(Bytes::new, |grace| decimal(&grace.as_millis()));
        let movement = encode(Movement { channel: channel.clone(), member });
        let owner = shared.owner.id();
        let owner_name = owner.to_string().into();
        let mut arguments = vec![id_bytes(session), user, grace, movement, owner_name, name_bytes(&channel)];
        arguments.extend(shared.delivery_arguments(&channel));
        let keys = shared.session_keys(&channel, owner);
        let command = Command::Script { name: ScriptName::Enter, keys, arguments };
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
        let keys = ["o", "u"].map(|kind| self.shared.keys.of_channel(kind, channel)).into();
        let command = Command::Script { name: ScriptName::Counts, keys, arguments: Vec::new() };
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
        let later = shared.count(ScriptName::Count, user, session, shared.owner.id(), Some(decimal(&limit)));
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
        let mut arguments = vec![id_bytes(session), owner.to_string().into(), name_bytes(channel)];
        arguments.extend(self.delivery_arguments(channel));
        let keys = self.session_keys(channel, owner);
        (Command::Script { name: ScriptName::Leave, keys, arguments }, Place::of(channel))
    }

    /// The command that ends the grace of a session.
    pub(crate) fn end_grace_command(&self, channel: &ChannelName, session: SessionId) -> (Command, Place) {
        let mut arguments = vec![id_bytes(session), name_bytes(channel)];
        arguments.extend(self.delivery_arguments(channel));
        let keys = self.member_keys(channel).to_vec();
        (Command::Script { name: ScriptName::EndGrace, keys, arguments }, Place::of(channel))
    }

    fn member_keys(&self, channel: &ChannelName) -> [Bytes; 4] {
        let of_channel = |kind| self.keys.of_channel(kind, channel);
        [of_channel("m"), of_channel("o"), of_channel("u"), self.leaving_key(Place::of(channel).partition)]
    }

    /// The leaving sessions of a partition.
    pub(crate) fn leaving_key(&self, partition: Partition) -> Bytes {
        self.keys.key(partition, "l", &[])
    }

    fn session_keys(&self, channel: &ChannelName, owner: NodeId) -> Vec<Bytes> {
        let partition = Place::of(channel).partition;
        let mut keys = self.member_keys(channel).to_vec();
        keys.extend([self.owner_channels_key(partition, owner), self.owner_sessions_key(channel, owner)]);
        keys
    }

    /// The channels of a partition in which an owner has sessions.
    pub(crate) fn owner_channels_key(&self, partition: Partition, owner: NodeId) -> Bytes {
        self.keys.key(partition, "n", &[owner.to_string().as_bytes()])
    }

    /// The sessions of an owner in a channel.
    pub(crate) fn owner_sessions_key(&self, channel: &ChannelName, owner: NodeId) -> Bytes {
        let partition = Place::of(channel).partition;
        self.keys.key(partition, "q", &[owner.to_string().as_bytes(), b":", channel.as_str().as_bytes()])
    }

    /// The sessions of a partition's users that are counted for an owner.
    pub(crate) fn owner_counted_key(&self, partition: Partition, owner: NodeId) -> Bytes {
        self.keys.key(partition, "x", &[owner.to_string().as_bytes()])
    }

    /// Counts a session of a user, or counts it no longer.
    pub(crate) fn count(
        &self,
        name: ScriptName,
        user: &str,
        session: SessionId,
        owner: NodeId,
        limit: Option<Bytes>,
    ) -> futures_channel::oneshot::Receiver<Result<Value, Error>> {
        let partition = Partition::of(user.as_bytes());
        let sessions = self.keys.key(partition, "w", &[user.as_bytes()]);
        let keys = vec![sessions, self.owner_counted_key(partition, owner)];
        let user_name = Bytes::copy_from_slice(user.as_bytes());
        let mut arguments = vec![id_bytes(session), user_name, owner.to_string().into()];
        arguments.extend(limit);
        self.queues.push(
            partition,
            line_of(user.as_bytes()),
            false,
            Command::Script { name, keys, arguments },
        )
    }

    fn delivery_arguments(&self, channel: &ChannelName) -> [Bytes; 2] {
        [self.delivery_command(), self.keys.of_channel("d", channel)]
    }

    async fn members(
        &self,
        channel: &ChannelName,
        after: Option<SessionId>,
        most: usize,
    ) -> Result<MemberPage, Error> {
        let place = Place::of(channel);
        let mut page = MemberPage::default();
        let mut after = after.map_or_else(Bytes::new, id_bytes);
        while !page.more {
            // One more, to see if there is one.
            let step = most.saturating_sub(page.members.len()).saturating_add(1).min(PAGE);
            let keys = ["m", "o"].map(|kind| self.keys.of_channel(kind, channel)).into();
            let arguments = vec![after.clone(), decimal(&step)];
            let command = Command::Script { name: ScriptName::Page, keys, arguments };
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
                if let Ok(id) = member.session.parse() {
                    after = id_bytes(id);
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

pub(crate) fn id_bytes(session: SessionId) -> Bytes {
    Bytes::copy_from_slice(&session.to_bytes())
}

fn name_bytes(channel: &ChannelName) -> Bytes {
    Bytes::copy_from_slice(channel.as_str().as_bytes())
}

/// The maximum number of members in one answer of Redis.
const PAGE: usize = 1000;

/// The longest grace that is waited for here; the janitor ends longer ones.
pub(crate) const LONGEST_GRACE: Duration = Duration::from_secs(3600);
