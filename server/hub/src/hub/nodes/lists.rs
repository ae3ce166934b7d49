//! Lists and counts of the sessions and channels of all nodes.

use wirehub_common::ChannelName;
use wirehub_common::frame::Member;

use super::asking::unanswered;
use super::page::{ListPage, PageRequest};
use super::question::{Answer, Question};
use crate::SessionId;
use crate::auth::check_user;
use crate::engine::EngineError;
use crate::hub::inspect::{ChannelSummary, ConnectedSession};
use crate::hub::{Hub, OrderError};

impl Hub {
    /// A connected session, on any node.
    ///
    /// # Errors
    /// The session is not on this node, and another node did not answer within two seconds, or the engine failed.
    pub async fn session(&self, session: SessionId) -> Result<Option<ConnectedSession>, EngineError> {
        let found = |answer: Answer| match answer {
            Answer::Sessions(page) => page.items.into_iter().next(),
            _ => None,
        };
        let own = found(self.answer(Question::Session(session)));
        if own.is_some() || !self.inner.fleet.is_shared {
            return Ok(own);
        }
        let is_found = |answer: &Answer| matches!(answer, Answer::Sessions(page) if !page.items.is_empty());
        let answers = self.ask_nodes(Question::Session(session), is_found).await?;
        for (node, answer) in answers.given {
            if let Some(session) = found(answer) {
                return Ok(Some(ConnectedSession { node: Some(node), ..session }));
            }
        }
        if answers.missing.is_empty() { Ok(None) } else { Err(unanswered(&answers.missing)) }
    }

    /// A page of the connected sessions of all nodes, in the order of their ids: the first `limit` behind
    /// `after`, 10,000 at most. The other lists have pages of the same kind.
    ///
    /// # Errors
    /// The engine failed. Nodes without an answer are in [`ListPage::missing`].
    pub async fn connected_sessions(
        &self,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<ListPage<ConnectedSession>, EngineError> {
        self.list_sessions(None, PageRequest::new(after, limit)).await
    }

    /// A page of the sessions of a user on all nodes, in the order of their ids; also those whose `connect` has no answer yet.
    ///
    /// # Errors
    /// [`OrderError::User`]: no user can have this name. [`OrderError::Engine`]: the engine failed. Nodes without an answer are in
    /// [`ListPage::missing`].
    pub async fn sessions_of(
        &self,
        user: &str,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<ListPage<ConnectedSession>, OrderError> {
        check_user(user)?;
        Ok(self.list_sessions(Some(user.into()), PageRequest::new(after, limit)).await?)
    }

    /// A page of the [connected sessions](Self::connected_sessions), as other clients see them.
    ///
    /// # Errors
    /// As for [`Self::connected_sessions`].
    pub async fn session_members(
        &self,
        after: Option<SessionId>,
        limit: usize,
    ) -> Result<ListPage<Member>, EngineError> {
        Ok(self.connected_sessions(after, limit).await?.map(|session| session.member))
    }

    async fn list_sessions(
        &self,
        user: Option<String>,
        page: PageRequest<SessionId>,
    ) -> Result<ListPage<ConnectedSession>, EngineError> {
        let request = page.clone();
        let pages = self.list_all(Question::Sessions { user, page }, |node, answer| match answer {
            Answer::Sessions(page) => Some(match node {
                Some(node) => page.map(|session| ConnectedSession { node: Some(node), ..session }),
                None => page,
            }),
            _ => None,
        });
        let keep_first = |_: &mut ConnectedSession, _| {};
        Ok(merged(pages.await?, &request, |session| session.id, keep_first))
    }

    /// A page of the channels to which a session of any node is subscribed, in the order of their names. `None` if there is no
    /// such session. Its node goes through all of its channels.
    ///
    /// # Errors
    /// As for [`Self::session`].
    pub async fn subscriptions_of(
        &self,
        session: SessionId,
        after: Option<&ChannelName>,
        limit: usize,
    ) -> Result<Option<ListPage<ChannelName>>, EngineError> {
        let question = Question::Subscriptions { session, page: PageRequest::new(after.cloned(), limit) };
        let own = self.answer(question.clone());
        if let Answer::Subscriptions(Some(page)) = own {
            return Ok(Some(page));
        }
        if !self.inner.fleet.is_shared {
            return Ok(None);
        }
        let answers =
            self.ask_nodes(question, |answer| matches!(answer, Answer::Subscriptions(Some(_)))).await?;
        for (_, answer) in answers.given {
            if let Answer::Subscriptions(Some(page)) = answer {
                return Ok(Some(page));
            }
        }
        if answers.missing.is_empty() { Ok(None) } else { Err(unanswered(&answers.missing)) }
    }

    /// A page of the channels with subscribers whose names begin with `prefix`, in the order of their names. If the page is not
    /// the whole list, [`ListPage::count`] has a channel once for each node with subscribers.
    ///
    /// # Errors
    /// As for [`Self::connected_sessions`].
    pub async fn channels(
        &self,
        prefix: &str,
        after: Option<&ChannelName>,
        limit: usize,
    ) -> Result<ListPage<ChannelSummary>, EngineError> {
        let page = PageRequest::new(after.cloned(), limit);
        let request = page.clone();
        let pages =
            self.list_all(Question::Channels { prefix: prefix.into(), page }, |_, answer| match answer {
                Answer::Channels(page) => Some(page),
                _ => None,
            });
        let add = |sum: &mut ChannelSummary, other: ChannelSummary| {
            sum.subscribers = sum.subscribers.saturating_add(other.subscribers);
            // Every node gets every publication.
            sum.publications = sum.publications.max(other.publications);
        };
        Ok(merged(pages.await?, &request, |summary| summary.name.clone(), add))
    }

    /// The number of connected sessions on all nodes.
    ///
    /// # Errors
    /// A node did not answer within two seconds, or the engine failed.
    pub async fn sessions(&self) -> Result<usize, EngineError> {
        self.sum_of_all(Question::CountSessions).await
    }

    /// The number of sessions that are subscribed to a channel, on all nodes.
    ///
    /// # Errors
    /// As for [`Self::sessions`].
    pub async fn subscribers(&self, channel: &ChannelName) -> Result<usize, EngineError> {
        self.sum_of_all(Question::CountSubscribers(channel.clone())).await
    }

    /// The number of connected sessions on this node.
    pub fn local_sessions(&self) -> usize {
        self.session_registry().count()
    }

    /// The number of sessions on this node that are subscribed to a channel.
    pub fn local_subscribers(&self, channel: &ChannelName) -> usize {
        self.channel_registry().subscribers(channel)
    }

    /// The channels with subscribed sessions on this node, each with their number, in no order: a snapshot.
    pub fn local_channels(&self) -> Vec<(ChannelName, usize)> {
        self.channel_registry().all()
    }

    /// The pages of this node (without its id) and of all others, and the nodes without an answer.
    async fn list_all<T>(
        &self,
        question: Question,
        page_in: impl Fn(Option<crate::engine::NodeId>, Answer) -> Option<ListPage<T>> + Send,
    ) -> Result<Vec<ListPage<T>>, EngineError> {
        if !self.inner.fleet.is_shared {
            return Ok(page_in(None, self.answer(question)).into_iter().collect());
        }
        let asked = self.ask_nodes(question.clone(), |_| false);
        let own = page_in(None, self.answer(question));
        let answers = asked.await?;
        let mut pages: Vec<_> = own.into_iter().collect();
        pages.extend(answers.given.into_iter().filter_map(|(node, answer)| page_in(Some(node), answer)));
        let missing = answers.missing;
        pages.push(ListPage { missing, ..ListPage::default() });
        Ok(pages)
    }
}

/// The pages as one.
fn merged<T, K: Ord>(
    pages: Vec<ListPage<T>>,
    PageRequest { after, limit }: &PageRequest<K>,
    key: impl Fn(&T) -> K,
    merge: impl Fn(&mut T, T),
) -> ListPage<T> {
    let mut pages = pages.into_iter();
    let mut all = pages.next().unwrap_or_default();
    for mut page in pages {
        all.missing.append(&mut page.missing);
        all.add(page, *limit, &key, &merge);
    }
    if after.is_none() && !all.more {
        all.count = all.items.len();
    }
    all
}
