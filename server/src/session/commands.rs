//! What the commands do.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use tokio::time::Instant;
use wirehub_common::code::{CloseCode, ErrorCode};
use wirehub_common::frame::{
    Acknowledge, Answer, Call, Command, Connect, Connected, ErrorInfo, History, Part, Presence, PresenceList,
    Publish, Push, Reply, Request, ServerFrame, Subscribe, SubscribeOutcome, Subscribed, Unsubscribe,
    Unsubscribed,
};
use wirehub_common::{ChannelName, Limits, PartError};

use super::decisions::Reading;
use super::identity::check_client;
use super::mailbox::Order;
use super::not_subscribed::NotSubscribed;
use super::recovery::Wanted;
use super::subscriptions::{Subscription, Term};
use super::waiting::{MAX_WAITING, asked, failed};
use super::{End, Session, Stage, answer, bad_frame, encode};
use crate::auth::{Action, Authenticated, ChannelPattern, Rights};
use crate::call::{Handler, RawCall};
use crate::engine::{self, Locate, Located, ReadHistory};
use crate::events::SessionEvent;
use crate::hub::alarms::Noted;
use crate::hub::call_memory::{Owner, scope_of};
use crate::hub::channel::{Entrant, MemberPage};
use crate::hub::sessions::Identity;
use crate::hub::{is_reserved, payers};
use crate::{PresenceCounts, SessionId};

/// A subscription, and whether it may be.
pub(super) type Admitted = (Subscribe, Result<(), ErrorInfo>);

/// Where a subscription begins; nothing where its channel keeps no history.
type Locating = Option<engine::Answer<Located>>;

/// A subscription in `connect`: which one it is if it has been entered, and where it begins.
type Restored = (Subscribe, (Option<Term>, Result<Option<Located>, ErrorInfo>));

impl Session {
    /// Carries out a command. An error ends the session.
    pub(super) fn execute(&mut self, Command { id, request }: Command) -> Result<(), End> {
        if let Request::Part(part) = request {
            return self.take_part(&part);
        }
        self.hub.counters().command(&request);
        self.clock.note_command();
        // Attempts to connect as well: each may ask somebody else who the client is.
        if !self.may_send(&request) {
            self.reply(id, Err(ErrorInfo::from_code(ErrorCode::RATE_LIMITED)));
            return Ok(());
        }
        if self.stage != Stage::Connected {
            return self.execute_first(id, request);
        }
        let result = match request {
            Request::Connect(_) => return Err(CloseCode::ALREADY_CONNECTED.into()),
            // What is in flight may end; nothing begins.
            _ if self.extras.as_ref().is_some_and(|extras| extras.is_stopping()) => Err(stopping()),
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

    /// Whether another command is not too many, of the session or of its user.
    fn may_send(&mut self, request: &Request) -> bool {
        let now = Instant::now();
        if let Some(per_second) = self.live.commands_per_second {
            // Others may hear of each, and of its end: a session can subscribe to all that it may once a second.
            let count = match request {
                Request::Subscribe(_) => per_second.checked_div(self.live.limits.channels).unwrap_or(1),
                _ => 1,
            };
            if !self.commands.take(count.max(1), per_second, now) {
                return false;
            }
        }
        match self.live.of_each_user() {
            // Whose it is shows when it is connected.
            Some(per_second) if self.stage == Stage::Connected => {
                // How many more have been paid for.
                let mut paid_for = self.commands.spare();
                if paid_for == 0 {
                    let bundle = payers::bundle(per_second);
                    if !self.hub.payers().pay(&self.peer, bundle.into(), per_second, now) {
                        return false;
                    }
                    paid_for = bundle;
                }
                self.commands.set_spare(paid_for.saturating_sub(1));
                true
            }
            _ => true,
        }
    }

    /// Takes a part of a command that is too large for one message, and carries it out where that was the last one.
    fn take_part(&mut self, Part { stream, data, left }: &Part) -> Result<(), End> {
        if self.stage != Stage::Connected {
            return Err(CloseCode::CONNECT_EXPECTED.into());
        }
        let limit = self.largest_command();
        let parts = &mut self.extras.get_or_insert_default().parts;
        let whole = parts.take(*stream, data, *left, limit).map_err(|error| match error {
            PartError::TooLarge => CloseCode::TOO_LARGE.into(),
            _ => bad_frame(error.to_string()),
        })?;
        let Some(whole) = whole else { return Ok(()) };
        match self.peer.codec.decode_command(&whole) {
            Ok(Command { request: Request::Part(_), .. }) => Err(bad_frame("a part of a part".into())),
            Ok(command) => self.execute(command),
            Err(error) => Err(bad_frame(error.to_string())),
        }
    }

    fn execute_first(&mut self, id: u32, request: Request) -> Result<(), End> {
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
                Err(CloseCode::CONNECT_EXPECTED.into())
            }
            _ => Err(CloseCode::CONNECT_EXPECTED.into()),
        }
    }

    /// Begins the session of somebody who is let in.
    pub(super) fn connect(&mut self, id: u32, connect: Connect, identity: Authenticated) {
        let hub = self.hub.clone();
        let settings = hub.settings();
        if connect.instance.len() > MAX_INSTANCE_BYTES {
            let words =
                format!("`instance` has more than {MAX_INSTANCE_BYTES} bytes: make it of 128 random bits");
            return self.reply(id, Err(invalid(words)));
        }
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
            return self.refuse(id, error);
        }
        tracing::debug!(session = %self.peer.id, client = connect.client, version = connect.version, "connected");
        self.stage = Stage::Connecting;
        let (user, info) = (Arc::clone(&identity.user), identity.info.clone());
        let instance = match user.is_empty() {
            true => hub.ledgers().instance(&connect.instance),
            false => None,
        };
        self.peer.set_identity(Identity { user, info, instance });
        self.notice(|| SessionEvent::Connected {
            client: connect.client.clone(),
            version: connect.version.clone(),
        });
        let channels = identity.channels.clone();
        let token_ttl = self.take_rights(identity);
        self.clock.connected(self.live.limits.ping_interval);
        if let Some(timeout) = self.live.idle_timeout {
            self.clock.set_idle_timeout(timeout);
        }
        let connected = Connected {
            session: self.peer.id.to_string(),
            user: (*self.peer.user()).into(),
            limits: Limits { batch_bytes: BATCH_BYTES, ..self.live.limits },
            contract: settings.rules.difference(connect.contract.as_ref()),
            subscriptions: Vec::new(),
            idempotency: hub.engine().idempotency().map(|memory| scope_of(memory, &self.peer.user())),
            call_idempotency: hub.call_memory().idempotency(&self.peer.user()),
            token_ttl,
        };
        if hub.live().hooks.decide_on_any(&connect.subscriptions) {
            let decisions = self.ask_to_subscribe_all(connect.subscriptions);
            let decide = |(subscribe, verdict)| async { (subscribe, decided(asked(verdict).await)) };
            // Not all at once: each that is being asked about takes memory.
            let decided = stream::iter(decisions.into_iter().map(decide)).buffered(MAX_WAITING);
            self.wait_for(decided.collect(), move |session, admitted: Vec<_>| {
                session.begin_all(id, connected, admitted, channels);
            });
        } else {
            let admitted = connect.subscriptions.into_iter().map(|subscribe| (subscribe, Ok(()))).collect();
            self.begin_all(id, connected, admitted, channels);
        }
    }

    /// Begins the subscriptions of a session that begins.
    fn begin_all(&mut self, id: u32, connected: Connected, admitted: Vec<Admitted>, own: Vec<ChannelName>) {
        let mut restoring = Vec::with_capacity(admitted.len());
        for (subscribe, verdict) in admitted {
            let begun =
                verdict.and_then(|()| self.admit(&subscribe)).map(|()| self.enter_reading(&subscribe));
            restoring.push((subscribe, begun));
        }
        let mut refused = NotSubscribed::default();
        let own: Vec<_> =
            own.into_iter().filter_map(|channel| self.begin_own(channel, &mut refused)).collect();
        let located = async move {
            let restored = restoring.into_iter().map(|(subscribe, begun)| async {
                let located = match begun {
                    Ok((term, locating)) => (Some(term), located(locating).await),
                    Err(error) => (None, Err(error)),
                };
                (subscribe, located)
            });
            let own = own.into_iter().map(|(subscribe, (term, locating))| async move {
                (subscribe, term, located(locating).await)
            });
            (join_all(restored).await, join_all(own).await)
        };
        self.wait_for(located, move |session, (restored, own)| {
            session.connected(id, connected, restored);
            for (subscribe, term, located) in own {
                session.subscribed_own(&subscribe, term, located, &mut refused);
            }
            refused.tell(session.peer.id);
        });
    }

    fn connected(&mut self, id: u32, mut connected: Connected, restored: Vec<Restored>) {
        self.stage = Stage::Connected;
        let mut begun = Vec::with_capacity(restored.len());
        for (subscribe, (term, located)) in restored {
            let result = located.map(|located| self.begin_at(&subscribe, located));
            let Subscribe { channel, number, .. } = subscribe;
            let result = match result {
                Ok((answer, located)) => {
                    begun.extend(term.map(|term| (channel.clone(), term, located)));
                    Ok(answer)
                }
                Err(error) => {
                    // It may not have got so far.
                    if self.subscriptions.get(&channel).is_some_and(|current| Some(current.term) == term) {
                        self.leave(&channel, None);
                    }
                    Err(error)
                }
            };
            connected.subscriptions.push(SubscribeOutcome { channel, number, result });
        }
        if let Some(frame) =
            encode(&self.peer, Reply { id, result: Ok(Answer::Connected(Box::new(connected))) })
        {
            self.peer.mailbox.answer_first(frame);
        }
        // Found by others from here on: what they send comes behind the reply.
        self.hub.session_registry().connected(self.peer.id);
        if let Some(unsent) = self.hub.ledgers().greet(self.hub.session_registry(), &self.peer) {
            self.extras.get_or_insert_default().alarms = Some(unsent);
        }
        for (channel, term, located) in begun {
            if let Some(Subscription { channel, place, .. }) = self.subscriptions.get(&channel) {
                channel.begin(*place, None, located.is_some());
            }
            self.go_on(channel, term, located);
        }
        let orders = self.extras.as_mut().map(|extras| std::mem::take(&mut extras.orders));
        self.follow(orders.unwrap_or_default());
    }

    /// What a subscriber is told about where it begins, and where that is.
    fn begin_at(&self, subscribe: &Subscribe, located: Option<Located>) -> (Subscribed, Option<Located>) {
        let Subscribe { channel, number, .. } = subscribe;
        let located = located.map(|mut located| {
            // Of a channel whose latest publication is all that counts there is no more than that to recover.
            let is_latest =
                self.subscriptions.get(channel).is_some_and(|current| current.channel.keeps_latest());
            if is_latest && located.missed() > 1 {
                located.position.offset = located.newest.saturating_sub(1);
                located.complete = false;
            }
            located
        });
        let answer = Subscribed {
            channel: channel.clone(),
            number: *number,
            position: located.as_ref().map(|located| located.position.clone()),
            complete: located.as_ref().is_some_and(|located| located.complete),
            recovering: located.as_ref().map_or(0, Located::missed),
        };
        (answer, located)
    }

    /// A subscription has been answered: it gets what it missed, and then what is published.
    fn go_on(&mut self, channel: ChannelName, term: Term, located: Option<Located>) {
        if let Some(located) = located {
            self.recover_from(channel, term, located);
        }
    }

    /// Begins a subscription that the server makes. Nothing of it may come before its push: it is held back.
    fn begin_own(
        &mut self,
        channel: ChannelName,
        refused: &mut NotSubscribed,
    ) -> Option<(Subscribe, (Term, Locating))> {
        if self.subscriptions.contains(&channel) {
            return None;
        }
        if let Err(error) = self.hub.has_channel(&channel) {
            refused.note(&channel, error.message);
            return None;
        }
        if is_reached(self.live.limits.channels, self.subscriptions.len()) {
            refused.note(&channel, "it has as many as it may have (limits.channels)");
            return None;
        }
        // Lower than every number that the client chooses.
        let subscribe = Subscribe { channel, number: 0, position: None };
        let begun = self.enter_reading(&subscribe);
        Some((subscribe, begun))
    }

    /// Does what the application or an operator wants of the session.
    pub(super) fn follow(&mut self, orders: Vec<Order>) {
        for order in orders {
            match order {
                // Nothing comes before the reply to `connect`.
                order if self.stage != Stage::Connected => {
                    self.extras.get_or_insert_default().orders.push(order);
                }
                Order::Subscribe(channel) => {
                    let is_new = !self.subscriptions.contains(&channel);
                    self.subscribe_own([channel.clone()]);
                    if is_new && let Some(subscription) = self.subscriptions.get_mut(&channel) {
                        subscription.is_ordered = true;
                    }
                }
                Order::Unsubscribe(channel, error) => self.unsubscribe_own(&channel, error),
            }
        }
    }

    /// Subscribes the session without its asking.
    pub(super) fn subscribe_own(&mut self, channels: impl IntoIterator<Item = ChannelName>) {
        let mut refused = NotSubscribed::default();
        let begun: Vec<_> =
            channels.into_iter().filter_map(|channel| self.begin_own(channel, &mut refused)).collect();
        if begun.is_empty() {
            return refused.tell(self.peer.id);
        }
        let begun = begun
            .into_iter()
            .map(|(subscribe, (term, locating))| async move { (subscribe, term, located(locating).await) });
        self.wait_for(join_all(begun), move |session, begun| {
            for (subscribe, term, located) in begun {
                session.subscribed_own(&subscribe, term, located, &mut refused);
            }
            refused.tell(session.peer.id);
        });
    }

    /// A subscription that the server makes is in force, or can't be.
    fn subscribed_own(
        &mut self,
        subscribe: &Subscribe,
        term: Term,
        located: Result<Option<Located>, ErrorInfo>,
        refused: &mut NotSubscribed,
    ) {
        let Some(current) = self.subscriptions.get(&subscribe.channel) else { return };
        if current.term != term {
            // The client has made one of its own, or the server has made another one since.
            return;
        }
        match located {
            Ok(located) => {
                let (subscribed, located) = self.begin_at(subscribe, located);
                let frame = self.peer.codec.encode_frame(&ServerFrame::Push(Push::Subscribed(subscribed)));
                current.channel.begin(current.place, Some(frame), located.is_some());
                self.go_on(subscribe.channel.clone(), term, located);
            }
            Err(error) => {
                refused.note(&subscribe.channel, &error.message);
                self.leave(&subscribe.channel, None);
            }
        }
    }

    /// Ends a subscription without the client's asking.
    pub(super) fn unsubscribe_own(&mut self, channel: &ChannelName, error: ErrorInfo) {
        self.refuse_undecided(channel, &error);
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
        // Most sessions have none.
        if rights != Rights::default() || self.extras.is_some() {
            self.extras.get_or_insert_default().rights = rights;
        }
        self.clock.set_token(ttl, grace);
        // Zero would be for ever.
        ttl.map_or(Duration::ZERO, |ttl| ttl.max(Duration::from_millis(1)))
    }

    /// Whether the session may do that in the channel, if there is such a channel.
    pub(super) fn check(&self, action: Action, channel: &ChannelName) -> Result<(), ErrorInfo> {
        let user = self.peer.user();
        let name = channel.as_str();
        if is_reserved(channel) {
            return Err(ErrorInfo::from_code(ErrorCode::PERMISSION_DENIED));
        }
        let is_allowed = if let Some(of) = name.strip_prefix('@') {
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
        if self.hub.settings().namespaces.of(&subscribe.channel).history.is_none() {
            let (subscribed, _) = self.begin_at(&subscribe, None);
            let reply = encode(&self.peer, Reply { id, result: Ok(Answer::Subscribed(subscribed)) });
            return self.enter(&subscribe, reply);
        }
        let (term, locating) = self.enter_reading(&subscribe);
        self.wait_for(located(locating), move |session, located| {
            session.subscribed(id, &subscribe, term, located);
        });
    }

    fn subscribed(
        &mut self,
        id: u32,
        subscribe: &Subscribe,
        term: Term,
        located: Result<Option<Located>, ErrorInfo>,
    ) {
        let current = self.subscriptions.get(&subscribe.channel);
        let Some(current) = current.filter(|current| current.term == term) else {
            // A newer command of the client has put an end to it.
            return answer(&self.peer, Reply { id, result: Err(ErrorInfo::from_code(ErrorCode::CANCELLED)) });
        };
        match located {
            Ok(located) => {
                let (subscribed, located) = self.begin_at(subscribe, located);
                let reply = encode(&self.peer, Reply { id, result: Ok(Answer::Subscribed(subscribed)) });
                current.channel.begin(current.place, reply, located.is_some());
                self.go_on(subscribe.channel.clone(), term, located);
            }
            Err(error) => {
                let reply = encode(&self.peer, Reply { id, result: Err(error) });
                self.leave(&subscribe.channel, reply);
            }
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

    /// Subscribes; `reply` goes before what is published from now on.
    fn enter(&mut self, Subscribe { channel: name, number, .. }: &Subscribe, reply: Option<Bytes>) {
        let term = Term::next();
        if let Some(subscription) = self.subscriptions.get_mut(name) {
            (subscription.number, subscription.term, subscription.is_ordered) = (*number, term, false);
            return subscription.channel.answer(subscription.place, reply);
        }
        self.join(name, *number, term, reply.as_ref(), false);
    }

    /// Subscribes, with nothing of what is published from now on until the history has been read; where there is none, until
    /// the subscription has been answered.
    fn enter_reading(
        &mut self,
        Subscribe { channel: name, number, position }: &Subscribe,
    ) -> (Term, Locating) {
        let term = Term::next();
        match self.subscriptions.get_mut(name) {
            Some(subscription) => {
                // What is published goes on to come until the new one is answered.
                (subscription.number, subscription.term, subscription.is_ordered) = (*number, term, false);
            }
            None => self.join(name, *number, term, None, true),
        }
        let locating = self.hub.settings().namespaces.of(name).history.map(|history| {
            let (channel, since) = (name.clone(), position.clone());
            self.hub.engine().locate(Locate { channel, history, since })
        });
        (term, locating)
    }

    fn join(
        &mut self,
        name: &ChannelName,
        number: u32,
        term: Term,
        reply: Option<&Bytes>,
        reads_history: bool,
    ) {
        let namespace = self.hub.settings().namespaces.of(name);
        let entrant = Entrant { peer: &self.peer, is_witness: self.is_witness(name) };
        let registry = self.hub.channel_registry();
        let (channel, place) = registry.subscribe(name, namespace, entrant, reply, reads_history);
        let subscription = Subscription { number, term, is_ordered: false, channel, place };
        self.subscriptions.insert(name.clone(), subscription);
        self.notice(|| SessionEvent::Subscribed(name.clone()));
    }

    /// Whether the session is told who comes and goes.
    pub(super) fn is_witness(&self, channel: &ChannelName) -> bool {
        self.hub.settings().namespaces.of(channel).join_leave.is_some()
            && self.check(Action::Presence, channel).is_ok()
    }

    /// Ends a subscription whose channel could not be read.
    pub(super) fn leave(&mut self, name: &ChannelName, reply: Option<Bytes>) {
        if let Some(Subscription { channel, place, .. }) = self.subscriptions.remove(name) {
            self.hub.channel_registry().unsubscribe(&channel, place, reply);
            self.notice(|| SessionEvent::Unsubscribed(name.clone()));
        }
    }

    fn unsubscribe(&mut self, id: u32, unsubscribe: Unsubscribe) -> Result<Option<Answer>, ErrorInfo> {
        if self.unsubscribe_undecided(&unsubscribe) {
            return Ok(Some(Answer::Unsubscribed(unsubscribe)));
        }
        let Some(Subscription { number, channel, place, .. }) = self.subscriptions.get(&unsubscribe.channel)
        else {
            return Err(ErrorInfo::from_code(ErrorCode::NOT_SUBSCRIBED));
        };
        let is_old = unsubscribe.number < *number;
        let (channel, place) = (Arc::clone(channel), *place);
        if !is_old {
            self.subscriptions.remove(&unsubscribe.channel);
            self.notice(|| SessionEvent::Unsubscribed(unsubscribe.channel.clone()));
        }
        let reply = encode(&self.peer, Reply { id, result: Ok(Answer::Unsubscribed(unsubscribe)) });
        if !is_old {
            self.hub.channel_registry().unsubscribe(&channel, place, reply);
        } else {
            channel.answer(place, reply);
        }
        Ok(None)
    }

    fn publish(&mut self, id: u32, publish: Publish) -> Result<Option<Answer>, ErrorInfo> {
        let channel = &publish.channel;
        check_key(&publish.key)?;
        if is_reserved(channel) {
            return Err(ErrorInfo {
                message: "only the server publishes in this channel: use another one".into(),
                ..ErrorInfo::from_code(ErrorCode::PERMISSION_DENIED)
            });
        }
        self.check(Action::Publish, channel)?;
        let decisions = self.waiting.as_ref().and_then(|waiting| waiting.decisions.as_ref());
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
        let read = ReadHistory { channel, history, since, limit, bytes: engine::PAGE_BYTES, reverse };
        self.recoveries.get_or_insert_default().ask_for(id, Wanted::Page(read));
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
        self.read_presence(&presence).map(Some)
    }

    /// Tells what may be told.
    pub(super) fn read_presence(
        &self,
        Presence { channel, counts_only, after }: &Presence,
    ) -> Result<Answer, ErrorInfo> {
        let after = match after.as_str() {
            "" => None,
            after => Some(after.parse::<SessionId>().map_err(|error| invalid(error.to_string()))?),
        };
        let PresenceCounts { sessions, users } = self.hub.presence_counts(channel);
        let MemberPage { mut members, mut more } = match counts_only {
            true => MemberPage::default(),
            false => self.hub.channel_registry().members(channel, after, MAX_MEMBERS),
        };
        let mut bytes = 0_usize;
        let within = members.iter().position(|member| {
            // One comes whatever its size.
            let is_first = bytes == 0;
            bytes = bytes.saturating_add(member.info.len());
            bytes > MAX_INFOS_BYTES && !is_first
        });
        if let Some(within) = within {
            members.truncate(within);
            more = true;
        }
        let count = |number| u32::try_from(number).unwrap_or(u32::MAX);
        Ok(Answer::Presence(PresenceList { members, sessions: count(sessions), users: count(users), more }))
    }

    fn acknowledge(&self, Acknowledge { alarm, received_only }: &Acknowledge) -> Result<Answer, ErrorInfo> {
        let sessions = self.hub.session_registry();
        let message = match self.hub.ledgers().acknowledge(sessions, &self.peer, alarm, *received_only) {
            Noted::Yes => return Ok(Answer::Acknowledged),
            Noted::IsOver => "the alarm is over: nothing has to be acknowledged",
            Noted::Unknown => {
                "the server knows no such alarm for this session, or not any more: nothing has to be acknowledged"
            }
        };
        Err(ErrorInfo { message: message.into(), ..ErrorInfo::from_code(ErrorCode::UNKNOWN_ALARM) })
    }

    fn call(&mut self, id: u32, Call { name, payload, key }: Call) -> Result<Option<Answer>, ErrorInfo> {
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
        // What streams has no single answer to remember.
        let is_remembered = !key.is_empty() && !matches!(handler, Handler::Streaming(_));
        let begin = || match handler {
            Handler::Raw(handler) => handler(context, RawCall { name, payload }),
            Handler::Single(handler) => handler(context, payload),
            Handler::Streaming(handler) => handler(context, payload, calls.responses()),
        };
        if is_remembered {
            let user = self.peer.user();
            let owner = if user.is_empty() { Owner::Session(self.peer.id) } else { Owner::User(user) };
            let call = self.hub.call_memory().call(owner, &called, &key, begin);
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

/// What a hook decided.
pub(super) fn decided<T>(verdict: Result<Result<T, ErrorInfo>, ErrorInfo>) -> Result<T, ErrorInfo> {
    verdict.and_then(|verdict| verdict)
}

async fn located(locating: Locating) -> Result<Option<Located>, ErrorInfo> {
    match locating {
        Some(answer) => answer.await.map(Some).map_err(|error| failed(&error)),
        None => Ok(None),
    }
}

/// What the socket takes, whatever an application says.
const BATCH_BYTES: u32 = Limits::DEFAULT.batch_bytes;

/// How many sessions the reply to `presence` has at most.
const MAX_MEMBERS: usize = 10_000;
const MAX_INFOS_BYTES: usize = 1024 * 1024;

/// How many publications a page of history has at most.
const MAX_PAGE: usize = 1000;

/// How long what a client calls itself may be.
const MAX_INSTANCE_BYTES: usize = 64;

/// How long an idempotency key may be: many are remembered.
const MAX_KEY_BYTES: usize = 256;

fn check_key(key: &str) -> Result<(), ErrorInfo> {
    if key.len() <= MAX_KEY_BYTES {
        return Ok(());
    }
    Err(invalid(format!("the key has more than {MAX_KEY_BYTES} bytes: make it of 128 random bits")))
}

/// The server stops: what is asked for now has to be asked for again.
fn stopping() -> ErrorInfo {
    ErrorInfo {
        message: "the server is stopping: ask again after the reconnect".into(),
        temporary: true,
        ..ErrorInfo::from_code(ErrorCode::UNAVAILABLE)
    }
}

pub(super) fn invalid(why: String) -> ErrorInfo {
    ErrorInfo { message: why, ..ErrorInfo::from_code(ErrorCode::BAD_REQUEST) }
}

/// Whether there may be no more; a limit of 0 is none.
pub(super) fn is_reached(limit: u32, count: usize) -> bool {
    limit > 0 && usize::try_from(limit).is_ok_and(|limit| count >= limit)
}
