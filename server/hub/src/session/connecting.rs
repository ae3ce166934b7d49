//! The beginning of an admitted client's session, with its restored subscriptions and those made by the server.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use wirehub_common::code::ErrorCode;
use wirehub_common::frame::{Connect, Connected, ErrorInfo, Reply, ReplyBody, Subscribe, SubscribeOutcome};
use wirehub_common::{ChannelName, Limits};

use super::commands::{flatten_decision, invalid};
use super::pending_answers::{MAX_WAITING, await_hook};
use super::refused_subscriptions::RefusedSubscriptions;
use super::subscribing::located;
use super::subscriptions::{Subscription, Term};
use super::{Session, Stage, encode};
use crate::Pattern;
use crate::auth::{Action, Authenticated, Rights};
use crate::engine::{Located, engine_failure};
use crate::hub::call_memory::scope_of;
use crate::hub::is_reserved;
use crate::hub::sessions::{Identity, Name, instance_number};
use crate::observe::SessionEvent;

/// A subscription, and the decision on it.
pub(super) type Admitted = (Subscribe, Result<(), ErrorInfo>);

/// A subscription in `connect`, with its term if it has been entered, and its position in the history.
type Restored = (Subscribe, (Option<Term>, Result<Option<Located>, ErrorInfo>));

impl Session {
    /// Begins the session of an admitted client.
    pub(super) fn connect(&mut self, id: u32, connect: Connect, identity: Authenticated) {
        let hub = self.hub.clone();
        if connect.instance.len() > MAX_INSTANCE_BYTES {
            let words =
                format!("`instance` has more than {MAX_INSTANCE_BYTES} bytes: make it of 128 random bits");
            return self.reply(id, Err(invalid(words)));
        }
        let Some(limit) = self.live.sessions_per_user.filter(|_| !identity.user.is_empty()) else {
            return self.begin_session(id, connect, identity);
        };
        let Some(store) = hub.engine().presence() else {
            return match hub.session_registry().count_for(self.peer.id, &identity.user, limit) {
                true => self.begin_session(id, connect, identity),
                false => self.refuse(id, too_many_sessions()),
            };
        };
        let counted = hub.count_session(store, &identity.user, self.peer.id, limit);
        self.stage = Stage::Connecting;
        self.wait_for(counted, move |session, counted| {
            session.stage = Stage::New;
            match counted {
                Ok(Some(counted)) => {
                    session.begin_session(id, connect, identity);
                    counted.begin();
                }
                Ok(None) => session.refuse(id, too_many_sessions()),
                // Another try may succeed, whatever the engine's failure.
                Err(error) => session.refuse(id, ErrorInfo { temporary: true, ..engine_failure(&error) }),
            }
        });
    }

    /// Begins the session after all checks.
    fn begin_session(&mut self, id: u32, connect: Connect, identity: Authenticated) {
        let hub = self.hub.clone();
        let settings = hub.settings();
        tracing::debug!(session = %self.peer.id, client = connect.client, version = connect.version, "connected");
        self.stage = Stage::Connecting;
        self.forget_unconnected();
        let name = match identity.user.is_empty() {
            true => Name::Anonymous(instance_number(&connect.instance)),
            false => Name::User(Arc::clone(&identity.user)),
        };
        let (info, state) = (identity.info.clone(), identity.state.clone().map(Box::new));
        self.peer.set_identity(Identity { name, info, state });
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
            idempotency: (!self.peer.user().is_empty() || self.peer.instance().is_some())
                .then(|| hub.engine().idempotency())
                .flatten()
                .map(|memory| scope_of(memory, &self.peer.user())),
            // Before the calls are restored, the scope is unknown.
            call_idempotency: hub
                .is_restored()
                .then(|| hub.call_memory().idempotency(&self.peer.user()))
                .flatten(),
            token_ttl,
        };
        if hub.live().hooks.decide_on_any(&connect.subscriptions) {
            let decisions = self.ask_to_subscribe_all(connect.subscriptions);
            let decide =
                |(subscribe, verdict)| async { (subscribe, flatten_decision(await_hook(verdict).await)) };
            // Not all at once, because each open question to a hook takes memory.
            let decided = stream::iter(decisions.into_iter().map(decide)).buffered(MAX_WAITING);
            self.wait_for(decided.collect(), move |session, admitted: Vec<_>| {
                session.begin_all(id, connected, admitted, channels);
            });
        } else {
            let admitted = connect.subscriptions.into_iter().map(|subscribe| (subscribe, Ok(()))).collect();
            self.begin_all(id, connected, admitted, channels);
        }
    }

    /// Begins the subscriptions of a new session.
    fn begin_all(&mut self, id: u32, connected: Connected, admitted: Vec<Admitted>, own: Vec<ChannelName>) {
        let mut restoring = Vec::with_capacity(admitted.len());
        for (subscribe, verdict) in admitted {
            let begun =
                verdict.and_then(|()| self.admit(&subscribe)).map(|()| self.enter_and_locate(&subscribe));
            restoring.push((subscribe, begun));
        }
        let mut refused = RefusedSubscriptions::default();
        let own: Vec<_> = own
            .into_iter()
            .filter_map(|channel| self.begin_server_subscription(channel, &mut refused))
            .collect();
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
                session.server_subscription_located(&subscribe, term, located, &mut refused);
            }
            refused.log(session.peer.id);
        });
    }

    fn connected(&mut self, id: u32, mut connected: Connected, restored: Vec<Restored>) {
        self.stage = Stage::Connected;
        let mut begun = Vec::with_capacity(restored.len());
        for (subscribe, (term, located)) in restored {
            let result = located.map(|located| self.subscribed_reply(&subscribe, located));
            let Subscribe { channel, number, .. } = subscribe;
            let result = match result {
                Ok((answer, located)) => {
                    begun.extend(term.map(|term| (channel.clone(), term, located)));
                    Ok(answer)
                }
                Err(error) => {
                    // The subscription may not have been entered.
                    if self.subscriptions.get(&channel).is_some_and(|current| Some(current.term) == term) {
                        self.leave(&channel, None);
                    }
                    Err(error)
                }
            };
            connected.subscriptions.push(SubscribeOutcome { channel, number, result });
        }
        if let Some(frame) =
            encode(&self.peer, Reply { id, result: Ok(ReplyBody::Connected(Box::new(connected))) })
        {
            self.peer.mailbox.answer_first(frame);
        }
        // From here on others find the session, and their messages come after the reply.
        self.hub.session_registry().connected(self.peer.id);
        if !self.hub.is_restored() {
            self.hub.continue_restoring();
        }
        self.hub.start_nodes();
        if let Some(unsent) = self.hub.ledgers().send_active(self.hub.around_alarms(), &self.peer) {
            self.extras.get_or_insert_default().alarms = Some(unsent);
        }
        for (channel, term, located) in begun {
            if let Some(Subscription { channel, place, .. }) = self.subscriptions.get(&channel) {
                channel.begin(*place, None, located.is_some());
            }
            self.deliver_missed(channel, term, located);
        }
        let orders = self.extras.as_mut().map(|extras| std::mem::take(&mut extras.orders));
        self.follow_orders(orders.unwrap_or_default());
    }

    /// Applies the rights and the lifetime of the token to the session. Returns the remaining time; zero for no limit.
    pub(super) fn take_rights(&mut self, identity: Authenticated) -> Duration {
        let Authenticated { ttl, mut rights, channels, .. } = identity;
        rights.subscribe.extend(channels.iter().map(Pattern::from));
        let grace = self.live.token_grace;
        // Most sessions have no rights of their own.
        if rights != Rights::default() || self.extras.is_some() {
            self.extras.get_or_insert_default().rights = rights;
        }
        self.clock.set_token(ttl, grace);
        // Zero would mean no limit.
        ttl.map_or(Duration::ZERO, |ttl| ttl.max(Duration::from_millis(1)))
    }

    /// Checks the right of the session to an action in a channel. The channel need not exist.
    pub(super) fn check(&self, action: Action, channel: &ChannelName) -> Result<(), ErrorInfo> {
        let user = self.peer.user();
        let name = channel.as_str();
        if is_reserved(channel) {
            return Err(ErrorInfo::from_code(ErrorCode::PERMISSION_DENIED));
        }
        let is_allowed = if let Some(of) = name.strip_prefix('@') {
            // The channel of a single user.
            action != Action::Publish && !user.is_empty() && *of == *user
        } else {
            self.hub.settings().namespaces.of(channel).allows(action, &user)
        };
        if is_allowed || self.extras.as_ref().is_some_and(|extras| extras.rights.allow(action, channel)) {
            return Ok(());
        }
        let denied = ErrorInfo::from_code(ErrorCode::PERMISSION_DENIED);
        if !self.hub.settings().namespaces.is_unruled(channel) {
            return Err(denied);
        }
        if self.hub.live().hooks.decides(action, channel) {
            return Ok(());
        }
        let message = "the server has no rule that opens this channel: its program needs a contract, a namespace or a hook";
        Err(ErrorInfo { message: message.into(), ..denied })
    }
}

/// The sessions of a client that vanished end soon, so the refusal is temporary.
fn too_many_sessions() -> ErrorInfo {
    ErrorInfo {
        message: "the user has the maximum number of sessions: end another one".into(),
        temporary: true,
        ..ErrorInfo::from_code(ErrorCode::LIMIT_EXCEEDED)
    }
}

/// The limit of the socket. Applications can't change it.
const BATCH_BYTES: u32 = Limits::DEFAULT.batch_bytes;

/// The maximum length of a client's `instance` in bytes.
const MAX_INSTANCE_BYTES: usize = 64;
