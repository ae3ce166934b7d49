//! What the commands do.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use wirehub_common::code::{CloseCode, ErrorCode};
use wirehub_common::frame::{
    Answer, Call, Command, Connect, Connected, ErrorInfo, Publish, Published, Reply, Request, Subscribe,
    SubscribeOutcome, Subscribed, Unsubscribe,
};

use super::{End, Session, Subscription, answer, encode};
use crate::Hub;
use crate::call::{CallContext, Handler};

impl Session {
    /// Carries out a command. An error ends the session.
    pub(super) fn execute(&mut self, Command { id, request }: Command) -> Result<(), End> {
        if !self.connected {
            return self.execute_first(id, request);
        }
        let result = match request {
            Request::Connect(_) => return Err(CloseCode::ALREADY_CONNECTED.into()),
            Request::Subscribe(subscribe) => self.subscribe(id, &subscribe),
            Request::Unsubscribe(unsubscribe) => self.unsubscribe(id, unsubscribe),
            Request::Publish(publish) => self.publish(publish).map(Some),
            Request::Call(call) => self.call(id, call),
            Request::Cancel(cancel) => Ok(Some(self.cancel(cancel.command))),
            Request::History(_) | Request::Presence(_) | Request::Refresh(_) => {
                Err(ErrorInfo::from_code(ErrorCode::NOT_AVAILABLE))
            }
            Request::Invalid(why) => Err(invalid(why)),
            _ => Err(ErrorInfo::from_code(ErrorCode::UNSUPPORTED)),
        };
        // Without an answer there is one already, or will be.
        if let Some(result) = result.transpose() {
            answer(&self.peer, Reply { id, result });
        }
        Ok(())
    }

    fn execute_first(&mut self, id: u32, request: Request) -> Result<(), End> {
        match request {
            Request::Connect(connect) => {
                let connected = Box::new(self.connect(connect));
                answer(&self.peer, Reply { id, result: Ok(Answer::Connected(connected)) });
                Ok(())
            }
            Request::Invalid(why) => {
                answer(&self.peer, Reply { id, result: Err(invalid(why)) });
                Err(CloseCode::CONNECT_EXPECTED.into())
            }
            _ => Err(CloseCode::CONNECT_EXPECTED.into()),
        }
    }

    fn connect(&mut self, connect: Connect) -> Connected {
        let hub = self.hub.clone();
        let settings = hub.settings();
        tracing::debug!(session = %self.peer.id, client = connect.client, version = connect.version, "connected");
        self.connected = true;
        self.pulse.connected(settings.limits.ping_interval);
        hub.session_registry().connected(self.peer.id);
        let subscriptions = connect
            .subscriptions
            .into_iter()
            .map(|subscribe| SubscribeOutcome {
                channel: subscribe.channel.clone(),
                number: subscribe.number,
                result: self.admit(&subscribe).map(|()| {
                    self.enter(&subscribe, None);
                    subscribed(&subscribe)
                }),
            })
            .collect();
        Connected {
            session: self.peer.id.to_string(),
            user: (*self.peer.user).into(),
            limits: settings.limits,
            contract: settings.rules.difference(connect.contract.as_ref()),
            subscriptions,
            idempotency: None,
            token_ttl: Duration::ZERO,
        }
    }

    /// The reply goes the way of the channel's publications: what comes behind it belongs to this subscription.
    fn subscribe(&mut self, id: u32, subscribe: &Subscribe) -> Result<Option<Answer>, ErrorInfo> {
        self.admit(subscribe)?;
        let result = Ok(Answer::Subscribed(subscribed(subscribe)));
        let reply = encode(&self.peer, Reply { id, result });
        self.enter(subscribe, reply);
        Ok(None)
    }

    /// Whether the session may subscribe.
    fn admit(&self, subscribe: &Subscribe) -> Result<(), ErrorInfo> {
        self.hub.settings().rules.check_channel(&subscribe.channel)?;
        match self.subscriptions.get(&subscribe.channel) {
            Some(current) if subscribe.number <= current.number => {
                Err(ErrorInfo::from_code(ErrorCode::ALREADY_SUBSCRIBED))
            }
            Some(_) => Ok(()),
            None if is_reached(self.hub.settings().limits.channels, self.subscriptions.len()) => {
                Err(ErrorInfo::from_code(ErrorCode::LIMIT_EXCEEDED))
            }
            None => Ok(()),
        }
    }

    fn enter(&mut self, Subscribe { channel: name, number, .. }: &Subscribe, reply: Option<Bytes>) {
        if let Some(subscription) = self.subscriptions.get_mut(name) {
            subscription.number = *number;
            if let Some(reply) = reply {
                subscription.channel.answer(&self.peer, reply);
            }
            return;
        }
        let lane = self.hub.lane(name);
        let channel = self.hub.channel_registry().subscribe(name, lane, &self.peer, reply);
        self.subscriptions.insert(name.clone(), Subscription { number: *number, channel });
    }

    fn unsubscribe(&mut self, id: u32, unsubscribe: Unsubscribe) -> Result<Option<Answer>, ErrorInfo> {
        let Some(Subscription { number, channel }) = self.subscriptions.get(&unsubscribe.channel) else {
            return Err(ErrorInfo::from_code(ErrorCode::NOT_SUBSCRIBED));
        };
        let is_old = unsubscribe.number < *number;
        let channel = Arc::clone(channel);
        if !is_old {
            self.subscriptions.remove(&unsubscribe.channel);
        }
        let reply = encode(&self.peer, Reply { id, result: Ok(Answer::Unsubscribed(unsubscribe)) });
        if !is_old {
            self.hub.channel_registry().unsubscribe(&channel, &self.peer, reply);
        } else if let Some(reply) = reply {
            channel.answer(&self.peer, reply);
        }
        Ok(None)
    }

    fn publish(&self, Publish { channel, payload, .. }: Publish) -> Result<Answer, ErrorInfo> {
        if channel.as_str() == Hub::BROADCAST {
            return Err(ErrorInfo {
                message: "only the server publishes in this channel: use another one".into(),
                ..ErrorInfo::from_code(ErrorCode::PERMISSION_DENIED)
            });
        }
        self.hub.settings().rules.check_publication(&channel, &payload)?;
        self.hub.deliver(&channel, payload, Some(self.peer.member()));
        Ok(Answer::Published(Published { position: None }))
    }

    fn call(&mut self, id: u32, Call { name, payload }: Call) -> Result<Option<Answer>, ErrorInfo> {
        let settings = self.hub.settings();
        let Some(handler) = settings.calls.get(&*name) else {
            return Err(ErrorInfo::from_code(ErrorCode::UNKNOWN_CALL));
        };
        let calls = self.calls.get_or_insert_default();
        if is_reached(settings.limits.calls, calls.len()) {
            return Err(ErrorInfo::from_code(ErrorCode::LIMIT_EXCEEDED));
        }
        let context = CallContext::new(self.peer.id, Arc::clone(&self.peer.user), self.hub.clone());
        match handler {
            Handler::Single(handler) => calls.start(id, handler(context, payload)),
            Handler::Streaming(handler) => {
                let responses = calls.responses();
                calls.start(id, handler(context, payload, responses));
            }
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

/// No history is kept: there is nothing to recover, and that is said where a client asks for it.
fn subscribed(subscribe: &Subscribe) -> Subscribed {
    Subscribed {
        channel: subscribe.channel.clone(),
        number: subscribe.number,
        position: None,
        complete: false,
        recovered: Vec::new(),
    }
}

fn invalid(why: String) -> ErrorInfo {
    ErrorInfo { message: why, ..ErrorInfo::from_code(ErrorCode::BAD_REQUEST) }
}

/// Whether there may be no more; a limit of 0 is none.
fn is_reached(limit: u32, count: usize) -> bool {
    limit > 0 && usize::try_from(limit).is_ok_and(|limit| count >= limit)
}
