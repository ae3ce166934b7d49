//! The commands of clients.

use std::sync::Arc;

use futures_util::future::try_join;
use tokio::time::Instant;
use wirehub_common::code::{CloseCode, ErrorCode};
use wirehub_common::frame::{
    Acknowledge, Call, Command, ErrorInfo, History, Part, Presence, PresenceList, Publish, Reply, ReplyBody,
    Request,
};
use wirehub_common::{Limits, PartError};

use super::decisions::ChannelRead;
use super::identity::check_client;
use super::recovery::RequestedRead;
use super::{Session, SessionEnd, Stage, answer, bad_frame};
use crate::alarm::AlarmProgress;
use crate::auth::Action;
use crate::call::{Answering, Handler, RawCall};
use crate::engine::{self, EngineError, ReadHistory, engine_failure};
use crate::hub::alarms::Acknowledgement;
use crate::hub::call_memory::KeyOwner;
use crate::hub::channel::MemberPage;
use crate::hub::restoring::carry_out;
use crate::hub::{is_reserved, payers};
use crate::observe::PresenceCounts;
use crate::{Hub, SessionId, SessionIdError};

impl Session {
    /// Carries out a command. An error ends the session.
    pub(super) fn execute(&mut self, Command { id, request }: Command) -> Result<(), SessionEnd> {
        if let Request::Part(part) = request {
            return self.take_part(&part);
        }
        self.hub.counters().command(&request);
        self.clock.note_command();
        // Attempts to connect count as well: each may ask a backend for the client's identity.
        if !self.may_send(&request) {
            self.reply(id, Err(ErrorInfo::from_code(ErrorCode::RATE_LIMITED)));
            return Ok(());
        }
        if self.stage != Stage::Connected {
            return self.execute_before_connect(id, request);
        }
        let result = match request {
            Request::Connect(_) => return Err(CloseCode::ALREADY_CONNECTED.into()),
            Request::Cancel(cancel) => Ok(Some(self.cancel(cancel.command))),
            // Commands in flight may end; no new one begins.
            request if self.extras.as_ref().is_some_and(|extras| extras.is_stopping()) => {
                if is_repeated(&request) { Ok(None) } else { Err(stopping()) }
            }
            Request::Subscribe(subscribe) => self.subscribe(id, subscribe),
            Request::Unsubscribe(unsubscribe) => self.unsubscribe(id, unsubscribe),
            Request::Publish(publish) => self.publish(id, publish),
            Request::History(read) => self.history(id, read),
            Request::Call(call) => self.call(id, call),
            Request::Refresh(refresh) => self.refresh(id, refresh),
            Request::Presence(presence) => self.presence(id, presence),
            Request::Acknowledge(acknowledge) => self.acknowledge(id, acknowledge),
            Request::Invalid(why) => Err(invalid(why)),
            _ => Err(ErrorInfo::from_code(ErrorCode::UNSUPPORTED)),
        };
        // `None`: the command has an answer already, or gets one later.
        if let Some(result) = result.transpose() {
            self.reply(id, result);
        }
        Ok(())
    }

    /// Returns `false` if the session, or its user, sends too many commands.
    fn may_send(&mut self, request: &Request) -> bool {
        let now = Instant::now();
        if let Some(per_second) = self.live.commands_per_second {
            // A subscription may notify other members twice. So a session may subscribe to its maximum number of channels once
            // a second.
            let count = match request {
                Request::Subscribe(_) => per_second.checked_div(self.live.limits.channels).unwrap_or(1),
                _ => 1,
            };
            if !self.commands.take(count.max(1), per_second, now) {
                return false;
            }
        }
        match self.live.of_each_user() {
            // The user is known only after `connect`.
            Some(per_second) if self.stage == Stage::Connected => {
                // The number of further commands that are charged already.
                let mut paid_for = self.commands.extra_byte();
                if paid_for == 0 {
                    let commands_per_charge = payers::commands_per_charge(per_second);
                    if !self.hub.payers().charge(&self.peer, commands_per_charge.into(), per_second, now) {
                        return false;
                    }
                    paid_for = commands_per_charge;
                }
                self.commands.set_extra_byte(paid_for.saturating_sub(1));
                true
            }
            _ => true,
        }
    }

    /// Takes a part of a command that is too large for one message. After the last part the command is carried out.
    fn take_part(&mut self, Part { stream, data, left }: &Part) -> Result<(), SessionEnd> {
        if self.stage != Stage::Connected {
            return Err(self.not_connected().into());
        }
        let limit = self.largest_command();
        let parts = &mut self.extras.get_or_insert_default().parts;
        let whole = parts.take(*stream, data, *left, limit).map_err(|error| match error {
            PartError::TooLarge => CloseCode::TOO_LARGE.into(),
            _ => bad_frame(error.to_string()),
        })?;
        let Some(whole) = whole else { return Ok(()) };
        match self.peer.codec.decode_command(&whole) {
            Ok(Command { request: Request::Part(_), .. }) => {
                Err(bad_frame("a part contains another part".into()))
            }
            Ok(command) => self.execute(command),
            Err(error) => Err(bad_frame(error.to_string())),
        }
    }

    fn execute_before_connect(&mut self, id: u32, request: Request) -> Result<(), SessionEnd> {
        match request {
            Request::Connect(connect) => {
                if let Err(error) = check_client(&connect) {
                    answer(&self.peer, Reply { id, result: Err(error) });
                    return Err(CloseCode::CONNECT_EXPECTED.into());
                }
                self.authenticate(id, connect);
                Ok(())
            }
            Request::Invalid(why) => {
                answer(&self.peer, Reply { id, result: Err(invalid(why)) });
                Err(self.not_connected().into())
            }
            _ => Err(self.not_connected().into()),
        }
    }

    fn publish(&mut self, id: u32, publish: Publish) -> Result<Option<ReplyBody>, ErrorInfo> {
        let channel = &publish.channel;
        check_key(&publish.key)?;
        if is_reserved(channel) {
            return Err(ErrorInfo {
                message: "only the server publishes in this channel: use another one".into(),
                ..ErrorInfo::from_code(ErrorCode::PERMISSION_DENIED)
            });
        }
        self.check(Action::Publish, channel)?;
        let decisions = self.pending_answers.as_ref().and_then(|waiting| waiting.decisions.as_ref());
        let is_decided_on = decisions.is_some_and(|decisions| decisions.are_pending_in(channel));
        if !is_decided_on && self.hub.live().hooks.publishing(channel).is_none() {
            return self.publish_now(id, publish);
        }
        self.hub.settings().rules.check_publication(channel, &publish.payload)?;
        self.decide_on_publication(id, publish);
        Ok(None)
    }

    fn history(&mut self, id: u32, read: History) -> Result<Option<ReplyBody>, ErrorInfo> {
        self.hub.settings().rules.check_channel(&read.channel)?;
        self.check(Action::Subscribe, &read.channel)?;
        // For subscribers the hook has decided already.
        if !self.subscriptions.contains(&read.channel)
            && let Some(verdict) = self.ask_to_subscribe(&read.channel)
        {
            self.decide_on_reading(id, ChannelRead::History(read), verdict);
            return Ok(None);
        }
        self.read_history(id, read).map(|()| None)
    }

    /// Reads a page of history after all checks.
    pub(super) fn read_history(&mut self, id: u32, read: History) -> Result<(), ErrorInfo> {
        let History { channel, since, limit, reverse } = read;
        let settings = self.hub.settings();
        let Some(history) = settings.namespaces.of(&channel).history else {
            return Err(ErrorInfo::from_code(ErrorCode::NOT_AVAILABLE));
        };
        let limit = usize::try_from(limit).unwrap_or(MAX_PAGE).min(MAX_PAGE);
        let read = ReadHistory { channel, history, since, limit, bytes: engine::PAGE_BYTES, reverse };
        self.recoveries.get_or_insert_default().request(id, RequestedRead::Page(read));
        Ok(())
    }

    fn presence(&mut self, id: u32, presence: Presence) -> Result<Option<ReplyBody>, ErrorInfo> {
        let (channel, settings) = (&presence.channel, self.hub.settings());
        settings.rules.check_channel(channel)?;
        if settings.namespaces.of(channel).presence.is_none() {
            return Err(ErrorInfo::from_code(ErrorCode::NOT_AVAILABLE));
        }
        self.check(Action::Presence, channel)?;
        // Presence is visible for sessions that may subscribe.
        if !self.subscriptions.contains(channel)
            && let Some(verdict) = self.ask_to_subscribe(channel)
        {
            self.decide_on_reading(id, ChannelRead::Presence(presence), verdict);
            return Ok(None);
        }
        self.hub.channel_registry().note_read(&presence.channel);
        if self.hub.engine().presence().is_some() {
            self.request_presence(id, presence);
            return Ok(None);
        }
        self.read_presence(&presence).map(Some)
    }

    /// Makes the list of members of a hub that is alone, after all checks.
    pub(super) fn read_presence(&self, presence: &Presence) -> Result<ReplyBody, ErrorInfo> {
        let (after, channels) = (after_of(presence)?, self.hub.channel_registry());
        let page = match presence.counts_only {
            true => MemberPage::default(),
            false => channels.members(&presence.channel, after, MAX_MEMBERS),
        };
        Ok(Self::presence_list(channels.counts(&presence.channel), page))
    }

    /// Reads the members in the store of several hubs, after all checks.
    pub(super) fn read_shared_presence(
        store: &dyn engine::Presence,
        presence: &Presence,
    ) -> Result<impl Future<Output = Result<ReplyBody, EngineError>> + Send + use<>, ErrorInfo> {
        let (after, channel) = (after_of(presence)?, &presence.channel);
        let counts = store.counts(channel);
        let page = (!presence.counts_only).then(|| store.members(channel, after, MAX_MEMBERS));
        Ok(async move {
            let page = async {
                match page {
                    Some(page) => page.await,
                    None => Ok(MemberPage::default()),
                }
            };
            let (counts, page) = try_join(counts, page).await?;
            Ok(Self::presence_list(counts, page))
        })
    }

    fn presence_list(
        PresenceCounts { sessions, users }: PresenceCounts,
        MemberPage { mut members, mut more }: MemberPage,
    ) -> ReplyBody {
        let mut bytes = 0_usize;
        let within = members.iter().position(|member| {
            // One member is returned whatever its size.
            let is_first = bytes == 0;
            bytes = bytes.saturating_add(member.info.len());
            bytes > MAX_INFOS_BYTES && !is_first
        });
        if let Some(within) = within {
            members.truncate(within);
            more = true;
        }
        let count = |number| u32::try_from(number).unwrap_or(u32::MAX);
        ReplyBody::Presence(PresenceList { members, sessions: count(sessions), users: count(users), more })
    }

    fn acknowledge(&mut self, id: u32, acknowledge: Acknowledge) -> Result<Option<ReplyBody>, ErrorInfo> {
        if self.hub.is_restored() {
            return self.acknowledge_now(id, acknowledge);
        }
        // The alarm may be one of an earlier process.
        self.wait_for(self.hub.restored(), move |session, restored| {
            let restored = restored.map_err(|error| engine_failure(&error));
            let result = restored.and_then(|()| session.acknowledge_now(id, acknowledge));
            if let Some(result) = result.transpose() {
                session.reply(id, result);
            }
        });
        Ok(None)
    }

    fn acknowledge_now(
        &mut self,
        id: u32,
        Acknowledge { alarm, received_only }: Acknowledge,
    ) -> Result<Option<ReplyBody>, ErrorInfo> {
        let progress = if received_only { AlarmProgress::Received } else { AlarmProgress::Acknowledged };
        let around = self.hub.around_alarms();
        let message = match self.hub.ledgers().acknowledge(around, &self.peer, &alarm, progress) {
            Acknowledgement::Recorded => return Ok(Some(ReplyBody::Acknowledged)),
            Acknowledgement::Storing(stored, since) => {
                let (hub, peer) = (self.hub.clone(), Arc::clone(&self.peer));
                let stored = carry_out(async move {
                    stored.await?;
                    hub.ledgers().acknowledged(hub.session_registry(), &peer, &alarm, progress, since);
                    Ok(())
                });
                self.wait_for(stored, move |session, stored| {
                    let result = stored.map_err(|error| engine_failure(&error));
                    session.reply(id, result.map(|()| ReplyBody::Acknowledged));
                });
                return Ok(None);
            }
            Acknowledgement::IsOver => "the alarm is over: nothing has to be acknowledged",
            Acknowledgement::Unknown => {
                "the alarm is unknown for this session, or forgotten: nothing has to be acknowledged"
            }
        };
        Err(ErrorInfo { message: message.into(), ..ErrorInfo::from_code(ErrorCode::UNKNOWN_ALARM) })
    }

    fn call(&mut self, id: u32, Call { name, payload, key }: Call) -> Result<Option<ReplyBody>, ErrorInfo> {
        check_key(&key)?;
        let Some(handler) = self.hub.handler(&name) else {
            return Err(ErrorInfo::from_code(ErrorCode::UNKNOWN_CALL));
        };
        if matches!(handler, Handler::Raw(_)) {
            self.hub.settings().rules.check_call(&name, &payload)?;
        }
        let context = self.context();
        let calls = self.calls.get_or_insert_default();
        if is_reached(self.live.limits.calls, calls.len()) {
            return Err(ErrorInfo::from_code(ErrorCode::LIMIT_EXCEEDED));
        }
        let called = name.clone();
        let is_stream = matches!(handler, Handler::Streaming(_));
        // A stream has no single answer that could be remembered.
        let is_remembered = !key.is_empty() && !is_stream;
        let begin = || match handler {
            Handler::Raw(handler) => handler(context, RawCall { name, payload }),
            Handler::Single(handler) => handler(context, payload),
            Handler::Streaming(handler) => handler(context, payload, calls.responses()),
        };
        if is_remembered {
            let user = self.peer.user();
            let owner = if user.is_empty() { KeyOwner::Session(self.peer.id) } else { KeyOwner::User(user) };
            if !self.hub.is_restored() {
                // It may be the repeat of a call that an earlier process has begun.
                let (hub, answering) = (self.hub.clone(), begin());
                calls.start(id, is_stream, restored_call(hub, owner, called, key, answering));
                return Ok(None);
            }
            let call = self.hub.call_memory().call(owner, &called, &key, begin);
            calls.wait_for(id, call);
        } else {
            let answering = begin();
            calls.start(id, is_stream, answering);
        }
        Ok(None)
    }

    /// Ends the streams of responses before a stop. Many have no end of their own, and the stop would wait for its deadline.
    pub(super) fn stop_streams(&mut self) {
        for id in self.calls.as_mut().map(|calls| calls.stop_streams()).unwrap_or_default() {
            answer(&self.peer, Reply { id, result: Err(stopping()) });
        }
    }

    fn cancel(&mut self, command: u32) -> ReplyBody {
        if self.calls.as_mut().is_some_and(|calls| calls.cancel(command)) {
            answer(
                &self.peer,
                Reply { id: command, result: Err(ErrorInfo::from_code(ErrorCode::CANCELLED)) },
            );
        }
        ReplyBody::Cancelled
    }
}

/// A call with a key at a hub whose records are not restored yet.
fn restored_call(hub: Hub, owner: KeyOwner, name: String, key: String, answering: Answering) -> Answering {
    Box::pin(async move {
        if hub.restored().await.is_err() {
            // An earlier process may have carried it out.
            return Err(ErrorInfo::from_code(ErrorCode::CONNECTION_LOST));
        }
        let (call, _) = hub.call_memory().call(owner, &name, &key, || answering);
        call.await
    })
}

/// The session behind which the requested page begins.
fn after_of(Presence { after, .. }: &Presence) -> Result<Option<SessionId>, ErrorInfo> {
    match after.as_str() {
        "" => Ok(None),
        after => after.parse().map(Some).map_err(|error: SessionIdError| invalid(error.to_string())),
    }
}

/// The decision of a hook, or the failure of the hook.
pub(super) fn flatten_decision<T>(verdict: Result<Result<T, ErrorInfo>, ErrorInfo>) -> Result<T, ErrorInfo> {
    verdict.and_then(|verdict| verdict)
}

/// The maximum number of sessions in the reply to `presence`.
const MAX_MEMBERS: usize = 10_000;
const MAX_INFOS_BYTES: usize = 1024 * 1024;

/// The maximum number of publications in a page of history.
const MAX_PAGE: usize = 1000;

fn check_key(key: &str) -> Result<(), ErrorInfo> {
    // Many keys are remembered.
    const MAX: usize = Limits::KEY_BYTES;
    if key.len() <= MAX {
        return Ok(());
    }
    Err(invalid(format!("the key has more than {MAX} bytes: make it of 128 random bits")))
}

/// Whether a client sends this command again over its next connection, if it has no answer. With an error, its application would have
/// to.
fn is_repeated(request: &Request) -> bool {
    match request {
        Request::Publish(publish) => !publish.key.is_empty(),
        Request::Call(call) => !call.key.is_empty(),
        Request::History(_) | Request::Presence(_) => false,
        _ => true,
    }
}

/// The end of a stream by a stop, and the answer to a command during a stop that no client repeats by itself.
fn stopping() -> ErrorInfo {
    ErrorInfo {
        message: "the server is stopping: try again after the reconnect".into(),
        temporary: true,
        ..ErrorInfo::from_code(ErrorCode::UNAVAILABLE)
    }
}

pub(super) fn invalid(why: String) -> ErrorInfo {
    ErrorInfo { message: why, ..ErrorInfo::from_code(ErrorCode::BAD_REQUEST) }
}

/// `true` if the limit is reached. A limit of 0 means no limit.
pub(super) fn is_reached(limit: u32, count: usize) -> bool {
    limit > 0 && usize::try_from(limit).is_ok_and(|limit| count >= limit)
}
