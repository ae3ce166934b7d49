//! Answers from the sessions and channels of this node.

use wirehub_common::code::CloseCode;
use wirehub_common::frame::{Push, ServerFrame};

use super::page::ListPage;
use super::question::{Answer, Question};
use crate::SessionId;
use crate::hub::Hub;
use crate::hub::inspect::ConnectedSession;
use crate::hub::sessions::Peer;
use crate::hub::shared_frame::SharedFrame;
use crate::session::mailbox::{Ending, Order};

impl Hub {
    /// The answer of this node to itself. Orders are carried out.
    pub(super) fn answer(&self, question: Question) -> Answer {
        let sessions = self.session_registry();
        match question {
            Question::Disconnect { session, code, reason } => {
                let peer = sessions.find(session);
                peer.iter().for_each(|peer| end(peer, code, reason.clone()));
                Answer::Count(usize::from(peer.is_some()))
            }
            Question::AbortConnection(session) => {
                let peer = sessions.find(session);
                peer.iter().for_each(|peer| peer.mailbox.abort());
                Answer::Count(usize::from(peer.is_some()))
            }
            Question::Subscribe { session, channel } => {
                let is_done =
                    self.has_channel(&channel).is_ok() && self.order(session, Order::Subscribe(channel));
                Answer::Count(usize::from(is_done))
            }
            Question::Unsubscribe { session, channel, error } => {
                Answer::Count(usize::from(self.order(session, Order::Unsubscribe(channel, error))))
            }
            Question::DisconnectUser { user, code, reason } => {
                let peers = sessions.of_user(&user);
                peers.iter().for_each(|peer| end(peer, code, reason.clone()));
                Answer::Count(peers.len())
            }
            Question::UnsubscribeUser { user, channel, error } => {
                let peers = sessions.of_user(&user);
                for peer in &peers {
                    peer.mailbox.order(Order::Unsubscribe(channel.clone(), error.clone()));
                }
                Answer::Count(peers.len())
            }
            Question::Broadcast(publication) => {
                sessions.broadcast(&mut SharedFrame::new(ServerFrame::Push(Push::Publication(publication))));
                Answer::Count(sessions.count())
            }
            Question::Session(session) => {
                let items: Vec<_> = sessions.find(session).iter().map(|peer| self.shown(peer)).collect();
                Answer::Sessions(ListPage { count: items.len(), items, ..ListPage::default() })
            }
            Question::Sessions { user, page } => {
                let peers = match &user {
                    Some(user) => sessions.of_user(user),
                    None => sessions.connected_peers(),
                };
                Answer::Sessions(ListPage::cut(peers, &page, |peer| peer.id).map(|peer| self.shown(&peer)))
            }
            Question::Subscriptions { session, page } => Answer::Subscriptions(
                sessions
                    .find(session)
                    .map(|_| ListPage::cut(self.channel_registry().of_session(session), &page, Clone::clone)),
            ),
            Question::Channels { prefix, page } => {
                let channels = self.channel_registry().those_with_prefix(&prefix);
                let page = ListPage::cut(channels, &page, |channel| channel.name().clone());
                Answer::Channels(page.map(|channel| channel.summary()))
            }
            Question::CountSessions => Answer::Count(self.local_sessions()),
            Question::CountSubscribers(channel) => Answer::Count(self.local_subscribers(&channel)),
            Question::Unknown => Answer::Unknown,
        }
    }

    /// The answer of this node to another one.
    pub(super) fn answer_node(&self, question: Question) -> Answer {
        self.answer(question)
    }

    fn order(&self, session: SessionId, order: Order) -> bool {
        let Some(peer) = self.session_registry().find(session) else { return false };
        peer.mailbox.order(order);
        true
    }

    fn shown(&self, peer: &Peer) -> ConnectedSession {
        ConnectedSession::of(peer, self.inner.own_node())
    }
}

fn end(peer: &Peer, code: CloseCode, reason: String) {
    peer.mailbox.end(Ending {
        code,
        reason: reason.into(),
        disconnect_push: Some(None),
        lets_calls_end: false,
    });
}
