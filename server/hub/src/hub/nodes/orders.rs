//! Orders of the application and of operators to the sessions of all nodes.

use std::fmt;

use wirehub_common::code::CloseCode;
use wirehub_common::frame::ErrorInfo;
use wirehub_common::{ChannelName, Payload, PayloadError};

use super::asking::unanswered;
use super::question::{Answer, Question};
use crate::SessionId;
use crate::auth::{UserNameError, check_user};
use crate::engine::EngineError;
use crate::hub::{Hub, publication, well_formed};

impl Hub {
    /// Ends a session, on any node. Queued frames go out first, then a `disconnect` push, then a close with this code. Returns
    /// `true` if the session existed. The range of the code determines if the client comes back: see [`CloseCode`].
    ///
    /// A session of this node is ended at once, as for every order to a session. The order is carried out even if the future is
    /// dropped after its first poll.
    ///
    /// # Errors
    /// The session is not on this node, and another node did not answer within two seconds, or the engine failed.
    pub async fn disconnect(
        &self,
        session: SessionId,
        code: CloseCode,
        reason: impl Into<String>,
    ) -> Result<bool, EngineError> {
        self.order_session(Question::Disconnect { session, code, reason: reason.into() }).await
    }

    /// Drops the connection of a session, on any node, as a lost line or a killed server would: without the frames in its queue,
    /// without a `disconnect` push and without a close. A browser reports the code 1006. Bytes that the operating system has taken
    /// may still arrive. Returns `true` if the session existed.
    ///
    /// This is for tests of clients and for demonstrations. To make a client leave, use [`Self::disconnect`]: this one comes back,
    /// since it takes the loss for a broken line.
    ///
    /// # Errors
    /// As for [`Self::disconnect`].
    pub async fn abort_connection(&self, session: SessionId) -> Result<bool, EngineError> {
        self.order_session(Question::AbortConnection(session)).await
    }

    /// [Ends](Self::disconnect) every session of a user, on all nodes. Returns their number.
    ///
    /// # Errors
    /// [`OrderError::User`]: no user can have this name. An empty name is an error too, because it would stand for every anonymous
    /// session. [`OrderError::Engine`]: a node did not answer within two seconds, or the engine failed. The sessions of the other
    /// nodes are ended.
    pub async fn disconnect_user(
        &self,
        user: &str,
        code: CloseCode,
        reason: impl Into<String>,
    ) -> Result<usize, OrderError> {
        check_user(user)?;
        let order = Question::DisconnectUser { user: user.into(), code, reason: reason.into() };
        Ok(self.sum_of_all(order).await?)
    }

    /// Subscribes a session of any node to a channel, regardless of its rights, also those of its later tokens. The client is
    /// notified by a `subscribed` push. Returns `true` if the session and the channel exist: the hub's contract has the channel,
    /// and its name is not reserved. Nothing happens if the session is subscribed already, or has the maximum number of channels.
    ///
    /// # Errors
    /// As for [`Self::disconnect`].
    pub async fn subscribe_session(
        &self,
        session: SessionId,
        channel: &ChannelName,
    ) -> Result<bool, EngineError> {
        if self.has_channel(channel).is_err() {
            return Ok(false);
        }
        self.order_session(Question::Subscribe { session, channel: channel.clone() }).await
    }

    /// Ends a session's subscription. The client is notified by an `unsubscribed` push with the error, behind the last
    /// publication. Returns `true` if the session exists, on any node. Nothing happens if it is not subscribed. A client with the
    /// right may subscribe again.
    ///
    /// ```
    /// # extern crate wirehub_hub as wirehub_server;
    /// use wirehub_server::common::code::ErrorCode;
    /// use wirehub_server::common::{ChannelName, frame::ErrorInfo};
    /// use wirehub_server::engine::EngineError;
    /// use wirehub_server::{Hub, SessionId};
    ///
    /// async fn throw_out(hub: &Hub, session: SessionId, room: &ChannelName) -> Result<bool, EngineError> {
    ///     hub.unsubscribe_session(session, room, ErrorInfo::from_code(ErrorCode::PERMISSION_DENIED)).await
    /// }
    /// ```
    ///
    /// # Errors
    /// As for [`Self::disconnect`].
    pub async fn unsubscribe_session(
        &self,
        session: SessionId,
        channel: &ChannelName,
        error: ErrorInfo,
    ) -> Result<bool, EngineError> {
        self.order_session(Question::Unsubscribe { session, channel: channel.clone(), error }).await
    }

    /// [Ends](Self::unsubscribe_session) the subscription of every session of a user, on all nodes. Returns the number of the
    /// user's sessions.
    ///
    /// # Errors
    /// As for [`Self::disconnect_user`].
    pub async fn unsubscribe_user(
        &self,
        user: &str,
        channel: &ChannelName,
        error: &ErrorInfo,
    ) -> Result<usize, OrderError> {
        check_user(user)?;
        let (user, channel, error) = (user.into(), channel.clone(), error.clone());
        Ok(self.sum_of_all(Question::UnsubscribeUser { user, channel, error }).await?)
    }

    /// Sends a message to every connected session of all nodes, regardless of subscriptions, as a publication in the channel
    /// [`Hub::BROADCAST`]. The sessions of this node have it in their queues after the first poll of the future.
    ///
    /// # Errors
    /// [`OrderError::Payload`]: the payload does not have the form of its content, or it is larger than
    /// [a session's queue](crate::Builder::queue_bytes). [`OrderError::Engine`]: a node did not answer within two seconds, or the
    /// engine failed. The sessions of the other nodes have got the message, and get it again if it is repeated.
    pub async fn broadcast(&self, payload: Payload) -> Result<(), OrderError> {
        well_formed(&payload)?;
        let payload = self.check_size(payload)?;
        if let Ok(channel) = ChannelName::new(Self::BROADCAST) {
            self.sum_of_all(Question::Broadcast(publication(&channel, payload))).await?;
        }
        Ok(())
    }

    /// Carries out an order to a session: here, or at the node that has the session.
    async fn order_session(&self, order: Question) -> Result<bool, EngineError> {
        if !self.inner.fleet.is_shared {
            return Ok(has_reached(&self.answer(order)));
        }
        if has_reached(&self.answer(order.clone())) {
            return Ok(true);
        }
        let answers = self.ask_nodes(order, has_reached).await?;
        if answers.given.iter().any(|(_, answer)| has_reached(answer)) {
            return Ok(true);
        }
        if answers.missing.is_empty() { Ok(false) } else { Err(unanswered(&answers.missing)) }
    }

    /// Asks this node and every other one, and returns the sum of the answers.
    pub(super) async fn sum_of_all(&self, question: Question) -> Result<usize, EngineError> {
        if !self.inner.fleet.is_shared {
            return Ok(count(&self.answer(question)));
        }
        let asked = self.ask_nodes(question.clone(), |_| false);
        let own = count(&self.answer(question));
        let answers = asked.await?.complete()?;
        Ok(answers.iter().fold(own, |sum, (_, answer)| sum.saturating_add(count(answer))))
    }
}

fn count(answer: &Answer) -> usize {
    if let Answer::Count(count) = answer { *count } else { 0 }
}

fn has_reached(answer: &Answer) -> bool {
    count(answer) > 0
}

/// The reason for which an order is not carried out, or not on every node.
#[derive(Debug)]
#[non_exhaustive]
pub enum OrderError {
    /// No user can have this name.
    User(UserNameError),
    /// The payload can't be sent.
    Payload(PayloadError),
    /// The engine failed, or a node did not answer.
    Engine(EngineError),
}

impl fmt::Display for OrderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(error) => fmt::Display::fmt(error, f),
            Self::Payload(error) => fmt::Display::fmt(error, f),
            Self::Engine(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl std::error::Error for OrderError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(match self {
            Self::User(error) => error,
            Self::Payload(error) => error,
            Self::Engine(error) => error,
        })
    }
}

impl From<UserNameError> for OrderError {
    fn from(error: UserNameError) -> Self {
        Self::User(error)
    }
}

impl From<PayloadError> for OrderError {
    fn from(error: PayloadError) -> Self {
        Self::Payload(error)
    }
}

impl From<EngineError> for OrderError {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}
