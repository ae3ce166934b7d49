//! What the commands do.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use wirehub_common::ChannelName;
use wirehub_common::code::{CloseCode, ErrorCode};
use wirehub_common::frame::{
    Acknowledge, Answer, Call, Command, Connect, Connected, ErrorInfo, History, Presence, PresenceList,
    Publish, Push, Refresh, Reply, Request, ServerFrame, Subscribe, Subscribed, Unsubscribe, Unsubscribed,
};

use super::decisions::Reading;
use super::idle::IdleClock;
use super::outbox::Order;
use super::subscriptions::Subscription;
use super::tasks::{Admitted, Recovering, Restoring, Task};
use super::token::TokenClock;
use super::{End, Session, answer, encode};
use crate::auth::{Action, Authenticated, ChannelPattern, Credentials, Rights};
use crate::call::{Handler, RawCall};
use crate::engine::{ReadHistory, Recover, Recovered};
use crate::events::SessionEvent;
use crate::hub::channels::Entrant;
use crate::hub::sessions::Identity;
use crate::{Hub, PresenceCounts};

impl Session {
    /// Carries out a command. An error ends the session.
    pub(super) fn execute(&mut self, Command { id, request }: Command) -> Result<(), End> {
        self.hub.counters().command(&request);
        // Attempts to connect as well: each may ask somebody else who the client is.
        if self.extras.as_mut().is_some_and(|extras| !extras.take_command()) {
            self.reply(id, Err(ErrorInfo::from_code(ErrorCode::RATE_LIMITED)));
            return Ok(());
        }
        if !self.connected {
            return self.execute_first(id, request);
        }
        let result = match request {
            Request::Connect(_) => return Err(CloseCode::ALREADY_CONNECTED.into()),
            Request::Subscribe(subscribe) => self.subscribe(id, subscribe),
            Request::Unsubscribe(unsubscribe) => self.unsubscribe(id, unsubscribe),
            Request::Publish(publish) => self.publish(id, publish),
            Request::History(read) => self.history(id, read),
            Request::Call(call) => self.call(id, call),
            Request::Cancel(cancel) => Ok(Some(self.cancel(cancel.command))),
            Request::Refresh(refresh) => self.refresh(id, refresh),
            Request::Presence(presence) => self.presence(id, presence),
            Request::Acknowledge(acknowledge) => self.acknowledge(&acknowledge).map(Some),
            Request::Invalid(why) => Err(invalid(why)),
            _ => Err(ErrorInfo::from_code(ErrorCode::UNSUPPORTED)),
        };
        // Without an answer there is one already, or will be.
        if let Some(result) = result.transpose() {
            self.reply(id, result);
        }
        Ok(())
    }

    fn execute_first(&mut self, id: u32, request: Request) -> Result<(), End> {
        match request {
            Request::Connect(connect) => {
                self.authenticate(id, connect);
                Ok(())
            }
            Request::Invalid(why) => {
                answer(&self.peer, Reply { id, result: Err(invalid(why)) });
                Err(CloseCode::CONNECT_EXPECTED.into())
            }
            _ => Err(CloseCode::CONNECT_EXPECTED.into()),
        }
    }

    fn authenticate(&mut self, id: u32, mut connect: Connect) {
        let Some(authenticator) = &self.hub.live().authenticator else {
            return self.connect(id, connect, Authenticated::anonymous());
        };
        let token = std::mem::take(&mut connect.token);
        let credentials =
            Credentials::new(token, connect.client.clone(), connect.version.clone(), self.peer.address);
        let identity = authenticator(credentials);
        self.finish(Task::Authenticate { id, connect, identity });
    }

    fn refresh(&mut self, id: u32, Refresh { token }: Refresh) -> Result<Option<Answer>, ErrorInfo> {
        let Some(authenticator) = &self.hub.live().authenticator else {
            return Err(ErrorInfo::from_code(ErrorCode::NOT_AVAILABLE));
        };
        let identity =
            authenticator(Credentials::new(token, String::new(), String::new(), self.peer.address));
        self.finish(Task::Refresh { id, identity });
        Ok(None)
    }

    /// Begins the session of somebody who is let in.
    pub(super) fn connect(&mut self, id: u32, connect: Connect, identity: Authenticated) {
        let hub = self.hub.clone();
        let settings = hub.settings();
        if let Some(limit) = self.live.sessions_per_user
            && !identity.user.is_empty()
            && !hub.session_registry().count_for(self.peer.id, &identity.user, limit)
        {
            // Those of a client that went away without a word end soon.
            let error = ErrorInfo {
                message: "the user has as many sessions as there may be: end another one".into(),
                temporary: true,
                ..ErrorInfo::from_code(ErrorCode::LIMIT_EXCEEDED)
            };
            return self.reply(id, Err(error));
        }
        tracing::debug!(session = %self.peer.id, client = connect.client, version = connect.version, "connected");
        self.connected = true;
        let (user, info) = (Arc::clone(&identity.user), identity.info.clone());
        self.peer.set_identity(Identity { user, info });
        self.notice(|| SessionEvent::Connected {
            client: connect.client.clone(),
            version: connect.version.clone(),
        });
        let channels = identity.channels.clone();
        let token_ttl = self.take_rights(identity);
        self.pulse.connected(self.live.limits.ping_interval);
        if let Some(timeout) = self.live.idle_timeout {
            self.extras.get_or_insert_default().idle = Some(IdleClock::new(timeout));
        }
        let connected = Connected {
            session: self.peer.id.to_string(),
            user: (*self.peer.user()).into(),
            limits: self.live.limits,
            contract: settings.rules.difference(connect.contract.as_ref()),
            subscriptions: Vec::new(),
            idempotency: hub.engine().idempotency(),
            call_idempotency: Some(hub.call_memory().idempotency()),
            token_ttl,
        };
        if hub.live().hooks.decide_on_any(&connect.subscriptions) {
            let asked = self.ask_to_subscribe_all(connect.subscriptions);
            self.finish(Task::MayConnect { id, connected, asked, own: channels });
        } else {
            let admitted = connect.subscriptions.into_iter().map(|subscribe| (subscribe, Ok(()))).collect();
            self.begin_all(id, connected, admitted, channels);
        }
    }

    /// Begins the subscriptions of a session that begins.
    pub(super) fn begin_all(
        &mut self,
        id: u32,
        connected: Connected,
        admitted: Vec<Admitted>,
        own: Vec<ChannelName>,
    ) {
        let restoring = admitted.into_iter().map(|admitted| self.restore(admitted)).collect();
        let own = own.into_iter().filter_map(|channel| self.begin_own(channel)).collect();
        self.finish(Task::Connect { id, connected, restoring, own });
    }

    /// Begins a subscription that the server makes. Nothing of it may come before its push: it is held back.
    fn begin_own(&mut self, channel: ChannelName) -> Option<(Subscribe, Recovering)> {
        let settings = self.hub.settings();
        if self.subscriptions.contains(&channel) {
            return None;
        }
        if settings.rules.check_channel(&channel).is_err()
            || is_reached(self.live.limits.channels, self.subscriptions.len())
        {
            tracing::warn!(session = %self.peer.id, %channel, "the session can't be subscribed to it");
            return None;
        }
        // Lower than every number that the client chooses.
        let subscribe = Subscribe { channel, number: 0, position: None };
        let recovering = self.enter_held(&subscribe);
        Some((subscribe, recovering))
    }

    /// Does what the application or an operator wants of the session.
    pub(super) fn follow_orders(&mut self) {
        // Nothing comes before the reply to `connect`.
        if self.tasks.as_ref().is_some_and(|tasks| tasks.is_connecting()) {
            return;
        }
        for order in self.peer.outbox.take_orders().into_iter().flatten() {
            match order {
                Order::Subscribe(channel) => {
                    let is_new = !self.subscriptions.contains(&channel);
                    self.subscribe_own(channel.clone());
                    if is_new && let Some(subscription) = self.subscriptions.get_mut(&channel) {
                        subscription.is_ordered = true;
                    }
                }
                Order::Unsubscribe(channel, error) => self.unsubscribe_own(&channel, error),
            }
        }
    }

    /// Subscribes the session without its asking.
    pub(super) fn subscribe_own(&mut self, channel: ChannelName) {
        if let Some((subscribe, recovering)) = self.begin_own(channel) {
            self.finish(Task::SubscribeOwn { subscribe, recovering });
        }
    }

    /// Ends a subscription without the client's asking.
    pub(super) fn unsubscribe_own(&mut self, channel: &ChannelName, error: ErrorInfo) {
        let Some(Subscription { number, .. }) = self.subscriptions.get(channel) else { return };
        let push = Push::Unsubscribed(Unsubscribed { channel: channel.clone(), number: *number, error });
        let frame = self.peer.codec.encode_frame(&ServerFrame::Push(push));
        self.leave(channel, Some(frame));
    }

    /// What the token says of the session holds from now on. Gives for how long; zero for ever.
    pub(super) fn take_rights(&mut self, identity: Authenticated) -> Duration {
        let Authenticated { ttl, mut rights, channels, .. } = identity;
        rights.subscribe.extend(channels.iter().map(ChannelPattern::from));
        let grace = self.live.token_grace;
        // Most sessions have neither.
        if ttl.is_some() || rights != Rights::default() || self.extras.is_some() {
            let extras = self.extras.get_or_insert_default();
            extras.rights = rights;
            extras.token = ttl.map(|ttl| TokenClock::new(ttl, grace));
        }
        // Zero would be for ever.
        ttl.map_or(Duration::ZERO, |ttl| ttl.max(Duration::from_millis(1)))
    }

    /// Whether the session may do that in the channel, if there is such a channel.
    pub(super) fn check(&self, action: Action, channel: &ChannelName) -> Result<(), ErrorInfo> {
        let user = self.peer.user();
        let name = channel.as_str();
        let is_allowed = if name == Hub::BROADCAST {
            false
        } else if let Some(of) = name.strip_prefix('@') {
            // What is for one user alone.
            action != Action::Publish && !user.is_empty() && *of == *user
        } else {
            self.hub.settings().namespaces.of(channel).allows(action, &user)
        };
        if is_allowed || self.extras.as_ref().is_some_and(|extras| extras.rights.allow(action, channel)) {
            return Ok(());
        }
        Err(ErrorInfo::from_code(ErrorCode::PERMISSION_DENIED))
    }

    /// Begins one of the subscriptions in `connect`. Nothing of it may come before the reply: it is held back.
    fn restore(&mut self, (subscribe, verdict): Admitted) -> Restoring {
        match verdict.and_then(|()| self.admit(&subscribe)) {
            Ok(()) => {
                let recovering = self.enter_held(&subscribe);
                Restoring::Begun(subscribe, recovering)
            }
            Err(error) => Restoring::Refused(subscribe, error),
        }
    }

    /// The reply goes the way of the channel's publications: what comes behind it belongs to this subscription.
    fn subscribe(&mut self, id: u32, subscribe: Subscribe) -> Result<Option<Answer>, ErrorInfo> {
        self.admit(&subscribe)?;
        match self.ask_to_subscribe(&subscribe.channel) {
            Some(verdict) => self.decide_on_subscription(id, subscribe, verdict),
            None => self.begin(id, subscribe),
        }
        Ok(None)
    }

    /// Begins a subscription that may be.
    pub(super) fn begin(&mut self, id: u32, subscribe: Subscribe) {
        if self.hub.settings().namespaces.of(&subscribe.channel).history.is_some() {
            let recovering = self.enter_held(&subscribe);
            self.finish(Task::Subscribe { id, subscribe, recovering });
        } else {
            let result = Ok(Answer::Subscribed(subscribed(&subscribe, None)));
            let reply = encode(&self.peer, Reply { id, result });
            self.enter(&subscribe, reply);
        }
    }

    /// Whether the session may subscribe.
    pub(super) fn admit(&self, subscribe: &Subscribe) -> Result<(), ErrorInfo> {
        self.hub.settings().rules.check_channel(&subscribe.channel)?;
        self.check(Action::Subscribe, &subscribe.channel)?;
        let current = self.subscriptions.get(&subscribe.channel).map(|current| current.number);
        let channels = || self.subscriptions.len().saturating_add(self.subscribing_count());
        match current.max(self.subscribing(&subscribe.channel)) {
            Some(current) if subscribe.number <= current => {
                Err(ErrorInfo::from_code(ErrorCode::ALREADY_SUBSCRIBED))
            }
            Some(_) => Ok(()),
            None if is_reached(self.live.limits.channels, channels()) => {
                Err(ErrorInfo::from_code(ErrorCode::LIMIT_EXCEEDED))
            }
            None => Ok(()),
        }
    }

    fn enter(&mut self, Subscribe { channel: name, number, .. }: &Subscribe, reply: Option<Bytes>) {
        if let Some(subscription) = self.subscriptions.get_mut(name) {
            (subscription.number, subscription.is_ordered) = (*number, false);
            if let Some(reply) = reply {
                subscription.channel.answer(&self.peer, reply);
            }
            return;
        }
        let namespace = self.hub.settings().namespaces.of(name);
        let entrant = Entrant { peer: &self.peer, is_witness: self.is_witness(name) };
        let channel = self.hub.channel_registry().subscribe(name, namespace, entrant, reply);
        let subscription = Subscription { number: *number, is_ordered: false, channel };
        self.subscriptions.insert(name.clone(), subscription);
        self.notice(|| SessionEvent::Subscribed(name.clone()));
    }

    /// Subscribes, with what is published from now on held back until the history has been read.
    fn enter_held(&mut self, subscribe: &Subscribe) -> Recovering {
        let Subscribe { channel: name, number, position } = subscribe;
        let namespace = self.hub.settings().namespaces.of(name);
        let entrant = Entrant { peer: &self.peer, is_witness: self.is_witness(name) };
        let channel = self.hub.channel_registry().subscribe_held(name, namespace, entrant);
        let is_new = !self.subscriptions.contains(name);
        let subscription = Subscription { number: *number, is_ordered: false, channel };
        self.subscriptions.insert(name.clone(), subscription);
        if is_new {
            self.notice(|| SessionEvent::Subscribed(name.clone()));
        }
        namespace.history.map(|history| {
            self.hub.engine().recover(Recover {
                channel: name.clone(),
                history,
                since: position.clone(),
                limit: MAX_RECOVERED,
                bytes: MAX_RECOVERED_BYTES,
            })
        })
    }

    /// Whether the session is told who comes and goes.
    pub(super) fn is_witness(&self, channel: &ChannelName) -> bool {
        self.hub.settings().namespaces.of(channel).join_leave.is_some()
            && self.check(Action::Presence, channel).is_ok()
    }

    /// Ends a subscription whose channel could not be read.
    pub(super) fn leave(&mut self, name: &ChannelName, reply: Option<Bytes>) {
        if let Some(Subscription { channel, .. }) = self.subscriptions.remove(name) {
            self.hub.channel_registry().unsubscribe(&channel, &self.peer, reply);
            self.notice(|| SessionEvent::Unsubscribed(name.clone()));
        }
    }

    fn unsubscribe(&mut self, id: u32, unsubscribe: Unsubscribe) -> Result<Option<Answer>, ErrorInfo> {
        if self.unsubscribe_undecided(&unsubscribe) {
            return Ok(Some(Answer::Unsubscribed(unsubscribe)));
        }
        let Some(Subscription { number, channel, .. }) = self.subscriptions.get(&unsubscribe.channel) else {
            return Err(ErrorInfo::from_code(ErrorCode::NOT_SUBSCRIBED));
        };
        let is_old = unsubscribe.number < *number;
        let channel = Arc::clone(channel);
        if !is_old {
            self.subscriptions.remove(&unsubscribe.channel);
            self.notice(|| SessionEvent::Unsubscribed(unsubscribe.channel.clone()));
        }
        let reply = encode(&self.peer, Reply { id, result: Ok(Answer::Unsubscribed(unsubscribe)) });
        if !is_old {
            self.hub.channel_registry().unsubscribe(&channel, &self.peer, reply);
        } else if let Some(reply) = reply {
            channel.answer(&self.peer, reply);
        }
        Ok(None)
    }

    fn publish(&mut self, id: u32, publish: Publish) -> Result<Option<Answer>, ErrorInfo> {
        let channel = &publish.channel;
        check_key(&publish.key)?;
        if channel.as_str() == Hub::BROADCAST {
            return Err(ErrorInfo {
                message: "only the server publishes in this channel: use another one".into(),
                ..ErrorInfo::from_code(ErrorCode::PERMISSION_DENIED)
            });
        }
        self.check(Action::Publish, channel)?;
        let decisions = self.tasks.as_ref().and_then(|tasks| tasks.decisions.as_ref());
        let is_decided_on = decisions.is_some_and(|decisions| decisions.are_pending_in(channel));
        if !is_decided_on && self.hub.live().hooks.publishing(channel).is_none() {
            return self.publish_now(id, publish);
        }
        self.hub.settings().rules.check_publication(channel, &publish.payload)?;
        self.decide_on_publication(id, publish);
        Ok(None)
    }

    fn history(&mut self, id: u32, read: History) -> Result<Option<Answer>, ErrorInfo> {
        self.hub.settings().rules.check_channel(&read.channel)?;
        self.check(Action::Subscribe, &read.channel)?;
        // Who is subscribed has been decided on.
        if !self.subscriptions.contains(&read.channel)
            && let Some(verdict) = self.ask_to_subscribe(&read.channel)
        {
            self.decide_on_reading(id, Reading::History(read), verdict);
            return Ok(None);
        }
        self.read_history(id, read).map(|()| None)
    }

    /// Reads what may be read.
    pub(super) fn read_history(&mut self, id: u32, read: History) -> Result<(), ErrorInfo> {
        let History { channel, since, limit, reverse } = read;
        let settings = self.hub.settings();
        let Some(history) = settings.namespaces.of(&channel).history else {
            return Err(ErrorInfo::from_code(ErrorCode::NOT_AVAILABLE));
        };
        let limit = usize::try_from(limit).unwrap_or(MAX_PAGE).min(MAX_PAGE);
        let page = self.hub.engine().history(ReadHistory { channel, history, since, limit, reverse });
        self.finish(Task::History { id, page });
        Ok(())
    }

    fn presence(&mut self, id: u32, presence: Presence) -> Result<Option<Answer>, ErrorInfo> {
        let (channel, settings) = (&presence.channel, self.hub.settings());
        settings.rules.check_channel(channel)?;
        if settings.namespaces.of(channel).presence.is_none() {
            return Err(ErrorInfo::from_code(ErrorCode::NOT_AVAILABLE));
        }
        self.check(Action::Presence, channel)?;
        // Who is in a channel is for those who may be in it.
        if !self.subscriptions.contains(channel)
            && let Some(verdict) = self.ask_to_subscribe(channel)
        {
            self.decide_on_reading(id, Reading::Presence(presence), verdict);
            return Ok(None);
        }
        Ok(Some(self.read_presence(&presence)))
    }

    /// Tells what may be told.
    pub(super) fn read_presence(&self, Presence { channel, counts_only }: &Presence) -> Answer {
        let PresenceCounts { sessions, users } = self.hub.presence_counts(channel);
        let most = if *counts_only { 0 } else { MAX_MEMBERS };
        let mut members = self.hub.channel_registry().members(channel, most);
        let mut bytes = 0_usize;
        let within = members.iter().position(|member| {
            bytes = bytes.saturating_add(member.info.len());
            bytes > MAX_INFOS_BYTES
        });
        members.truncate(within.unwrap_or(MAX_MEMBERS));
        let count = |number| u32::try_from(number).unwrap_or(u32::MAX);
        Answer::Presence(PresenceList { members, sessions: count(sessions), users: count(users) })
    }

    fn acknowledge(&self, Acknowledge { alarm, received_only }: &Acknowledge) -> Result<Answer, ErrorInfo> {
        let sessions = self.hub.session_registry();
        if self.hub.ledgers().acknowledge(sessions, &self.peer, alarm, *received_only) {
            Ok(Answer::Acknowledged)
        } else {
            Err(ErrorInfo::from_code(ErrorCode::UNKNOWN_ALARM))
        }
    }

    fn call(&mut self, id: u32, Call { name, payload, key }: Call) -> Result<Option<Answer>, ErrorInfo> {
        check_key(&key)?;
        let Some(handler) = self.hub.handler(&name) else {
            return Err(ErrorInfo::from_code(ErrorCode::UNKNOWN_CALL));
        };
        let context = self.context();
        let calls = self.calls.get_or_insert_default();
        if is_reached(self.live.limits.calls, calls.len()) {
            return Err(ErrorInfo::from_code(ErrorCode::LIMIT_EXCEEDED));
        }
        // What streams has no single answer to remember.
        let is_remembered = !key.is_empty() && !matches!(handler, Handler::Streaming(_));
        let begin = || match handler {
            Handler::Raw(handler) => handler(context, RawCall { name, payload }),
            Handler::Single(handler) => handler(context, payload),
            Handler::Streaming(handler) => handler(context, payload, calls.responses()),
        };
        if is_remembered {
            let call = self.hub.call_memory().call(self.peer.user(), &key, begin);
            calls.wait_for(id, call);
        } else {
            let answering = begin();
            calls.start(id, answering);
        }
        Ok(None)
    }

    fn cancel(&mut self, command: u32) -> Answer {
        if self.calls.as_mut().is_some_and(|calls| calls.cancel(command)) {
            answer(
                &self.peer,
                Reply { id: command, result: Err(ErrorInfo::from_code(ErrorCode::CANCELLED)) },
            );
        }
        Answer::Cancelled
    }
}

/// The answer to `subscribe`; `recovered` is there where the channel keeps history.
pub(super) fn subscribed(subscribe: &Subscribe, recovered: Option<Recovered>) -> Subscribed {
    let (position, recovered, complete) = match recovered {
        Some(Recovered { position, publications, complete }) => (Some(position), publications, complete),
        None => (None, Vec::new(), false),
    };
    let Subscribe { channel, number, .. } = subscribe;
    Subscribed { channel: channel.clone(), number: *number, position, complete, recovered }
}

/// How many publications of a channel a reply has at most, and how many bytes of payload of all its channels: who has missed
/// more is told so, and can read the history page by page. A browser sees nothing of a message before its end, and takes
/// a server for lost that it hears nothing of: over a line of a megabit in a second this takes half a minute.
const MAX_RECOVERED: usize = 10_000;
pub(super) const MAX_RECOVERED_BYTES: usize = 4 * 1024 * 1024;

/// How many sessions the reply to `presence` has at most.
const MAX_MEMBERS: usize = 10_000;
const MAX_INFOS_BYTES: usize = 1024 * 1024;

/// How many publications a page of history has at most.
const MAX_PAGE: usize = 1000;

/// How long an idempotency key may be: many are remembered.
const MAX_KEY_BYTES: usize = 256;

fn check_key(key: &str) -> Result<(), ErrorInfo> {
    if key.len() <= MAX_KEY_BYTES {
        return Ok(());
    }
    Err(invalid(format!("the key has more than {MAX_KEY_BYTES} bytes: make it of 128 random bits")))
}

fn invalid(why: String) -> ErrorInfo {
    ErrorInfo { message: why, ..ErrorInfo::from_code(ErrorCode::BAD_REQUEST) }
}

/// Whether there may be no more; a limit of 0 is none.
pub(super) fn is_reached(limit: u32, count: usize) -> bool {
    limit > 0 && usize::try_from(limit).is_ok_and(|limit| count >= limit)
}
