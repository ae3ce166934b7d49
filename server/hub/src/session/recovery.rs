//! Reads of histories: the recovery of missed publications, page by page as the client takes them, and the pages that clients
//! request, one at a time. Member lists that a hook has allowed are made here too, because they are as large.
//!
//! New publications do not wait in a queue meanwhile: they are in the history as well. A subscriber that has read everything
//! receives new publications directly from then on. So the memory is bounded, however much was missed, and an interrupted
//! client continues where it was.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use wirehub_common::code::{CloseCode, ErrorCode};
use wirehub_common::frame::{
    ErrorInfo, HistoryPage, Position, Presence, Push, ReplyBody, ServerFrame, Subscribed,
};
use wirehub_common::{ChannelName, Limits};

use super::mailbox::Ending;
use super::subscriptions::Term;
use super::{Session, WorkBudget};
use crate::engine::{EngineError, Locate, Located, ReadHistory, engine_failure};
use crate::hub::segment::{Row, Run};

/// The subscriptions that read their histories, in turn.
#[derive(Default)]
pub(super) struct Recoveries {
    active: VecDeque<Recovery>,
    /// Requests of commands. Their answers are large, and are made when there is room.
    requests: VecDeque<(u32, RequestedRead)>,
    /// `true` while a page is awaited.
    is_reading: bool,
}

/// A request of a command.
pub(super) enum RequestedRead {
    Page(ReadHistory),
    Presence(Presence),
}

/// A subscription that reads its channel's history.
struct Recovery {
    channel: ChannelName,
    term: Term,
    /// The position up to which the history has been read.
    position: Position,
    /// The bytes that have been read.
    bytes: usize,
    /// `true` if the last page was empty.
    is_at_end: bool,
}

impl Recoveries {
    /// Adds a request of a command.
    pub(super) fn request(&mut self, command: u32, request: RequestedRead) {
        self.requests.push_back((command, request));
    }

    /// The number of commands that wait for an answer.
    pub(super) fn unanswered(&self) -> usize {
        self.requests.len()
    }
}

impl Session {
    /// Delivers the publications behind a position to a subscription: at once if there are none, otherwise page by page.
    pub(super) fn recover_from(
        &mut self,
        channel: ChannelName,
        term: Term,
        Located { position, newest, .. }: Located,
    ) {
        let recovery = Recovery { channel, term, position, bytes: 0, is_at_end: false };
        if recovery.position.offset < newest || !self.try_catch_up(&recovery, false) {
            self.recoveries.get_or_insert_default().active.push_back(recovery);
        }
    }

    /// Reads on, while there is room. Breaks if there is none.
    pub(super) fn recover(&mut self, budget: &mut WorkBudget) -> ControlFlow<()> {
        while let Some(recoveries) = &mut self.recoveries {
            if recoveries.is_reading || budget.is_spent() {
                break;
            }
            let (small, all) = self.peer.mailbox.answers();
            if small > ROOM_BYTES || all > ROOM_BYTES && recoveries.active.is_empty() {
                return ControlFlow::Break(());
            }
            budget.spend_on(0);
            // The answers may be large: one at a time, beside the recoveries.
            match recoveries.requests.pop_front_if(|_| all <= ROOM_BYTES) {
                Some((command, RequestedRead::Page(read))) => {
                    recoveries.is_reading = true;
                    let page = self.hub.engine().history(read);
                    self.wait_for(page, move |session, page| session.answer_with_page(command, page));
                    continue;
                }
                Some((command, RequestedRead::Presence(presence))) => {
                    self.answer_with_presence(command, &presence);
                    continue;
                }
                None => {}
            }
            let Some(recovery) = recoveries.active.pop_front() else {
                if recoveries.requests.is_empty() {
                    self.recoveries = None;
                }
                break;
            };
            let namespace = self.hub.settings().namespaces.of(&recovery.channel);
            let Some(history) = namespace.history.filter(|_| self.is_in_force(&recovery)) else { continue };
            self.recoveries.get_or_insert_default().is_reading = true;
            let page = self.hub.engine().history(ReadHistory {
                channel: recovery.channel.clone(),
                history,
                since: Some(recovery.position.clone()),
                limit: PAGE,
                bytes: Limits::BATCH_BYTES,
                reverse: false,
            });
            self.wait_for(page, |session, page| session.read_page(recovery, page));
        }
        ControlFlow::Continue(())
    }

    /// Notifies the client that publications of a channel without offsets were dropped.
    pub(super) fn report_gap(&self, channel: &ChannelName) {
        if let Some(subscription) = self.subscriptions.get(channel) {
            let gap = Push::Subscribed(Subscribed {
                channel: channel.clone(),
                number: subscription.number,
                position: None,
                complete: false,
                recovering: 0,
            });
            let frame = self.peer.codec.encode_frame(&ServerFrame::Push(gap));
            self.peer.mailbox.report_gap(subscription.channel.lane(), channel, frame);
        }
    }

    fn answer_with_page(&mut self, command: u32, page: Result<Option<HistoryPage>, EngineError>) {
        self.set_reading(false);
        let page = page.map_err(|error| engine_failure(&error)).and_then(|page| {
            page.map(ReplyBody::History).ok_or_else(|| ErrorInfo::from_code(ErrorCode::UNRECOVERABLE))
        });
        self.reply(command, page);
    }

    /// Reads the members in the store of several hubs. If no other read is under way this begins at once: the list has the
    /// effects of the commands before, and of none behind.
    pub(super) fn request_presence(&mut self, command: u32, presence: Presence) {
        if let Some(recoveries) = &mut self.recoveries {
            return recoveries.request(command, RequestedRead::Presence(presence));
        }
        self.recoveries = Some(Box::default());
        self.answer_with_presence(command, &presence);
    }

    fn answer_with_presence(&mut self, command: u32, presence: &Presence) {
        let hub = self.hub.clone();
        hub.channel_registry().note_read(&presence.channel);
        let Some(store) = hub.engine().presence() else {
            return self.reply(command, self.read_presence(presence));
        };
        match Self::read_shared_presence(store, presence) {
            Ok(list) => {
                self.set_reading(true);
                self.wait_for(list, move |session, list| {
                    session.set_reading(false);
                    session.reply(command, list.map_err(|error| engine_failure(&error)));
                });
            }
            Err(error) => self.reply(command, Err(error)),
        }
    }

    fn read_page(&mut self, mut recovery: Recovery, page: Result<Option<HistoryPage>, EngineError>) {
        self.set_reading(false);
        let Some(subscription) = self.subscriptions.get(&recovery.channel) else { return };
        if subscription.term != recovery.term {
            return;
        }
        let page = match page {
            Ok(Some(page)) => page,
            Ok(None) => return self.resume_elsewhere(recovery),
            Err(error) => return self.end_by_failed_read(&error),
        };
        let (is_lossy, lane) = (subscription.channel.is_lossy(), subscription.channel.lane());
        let newest = page.position.offset;
        let mut row = Row::default();
        for publication in page.publications {
            recovery.position.offset = publication.offset;
            let frame = self.peer.codec.encode_frame(&ServerFrame::Push(Push::Publication(publication)));
            recovery.bytes = recovery.bytes.saturating_add(frame.len());
            row.push(frame);
        }
        let is_empty = row.bytes() == 0;
        if let Some(run) = Run::behind(&row.finish(), 0).filter(|_| !is_empty) {
            self.peer.mailbox.answer_run(lane, run);
        }
        let is_at_end = recovery.position.offset >= newest;
        if is_lossy && !is_at_end && recovery.bytes > self.peer.mailbox.limit() / 2 {
            return self.skip_ahead(recovery);
        }
        // An engine may deliver publications that its history does not have. It must not be asked forever.
        let force = recovery.is_at_end && is_empty;
        recovery.is_at_end = is_empty;
        if !(is_at_end && self.try_catch_up(&recovery, force)) {
            self.recoveries.get_or_insert_default().active.push_back(recovery);
        }
    }

    /// Continues with the newest publications that fit into a queue. The older ones would have been dropped for a present
    /// subscriber as well; the client is notified.
    fn skip_ahead(&mut self, Recovery { channel, term, .. }: Recovery) {
        let Some(history) = self.hub.settings().namespaces.of(&channel).history else { return };
        let bytes = self.peer.mailbox.limit() / 4;
        let read = ReadHistory {
            channel: channel.clone(),
            history,
            since: None,
            limit: usize::MAX,
            bytes,
            reverse: true,
        };
        let page = self.hub.engine().history(read);
        self.set_reading(true);
        self.wait_for(page, move |session, page| {
            session.set_reading(false);
            let page = match page {
                Ok(page) => page.unwrap_or_default(),
                Err(error) => return session.end_by_failed_read(&error),
            };
            let newest = page.position.offset;
            let oldest = page.publications.last().map_or(newest, |oldest| oldest.offset.saturating_sub(1));
            let position = Position { offset: oldest, ..page.position };
            session.continue_at(channel, term, Located { position, newest, complete: false });
        });
    }

    /// The next publications are lost: notifies the client of the position at which it continues.
    fn resume_elsewhere(&mut self, Recovery { channel, term, position, .. }: Recovery) {
        let Some(history) = self.hub.settings().namespaces.of(&channel).history else { return };
        let since = Some(position);
        let located = self.hub.engine().locate(Locate { channel: channel.clone(), history, since });
        self.set_reading(true);
        self.wait_for(located, move |session, located| {
            session.set_reading(false);
            let located = match located {
                Ok(located) => located,
                Err(error) => return session.end_by_failed_read(&error),
            };
            session.continue_at(channel, term, located);
        });
    }

    /// Notifies the client that a subscription continues at another position, and continues there.
    pub(super) fn continue_at(&mut self, channel: ChannelName, term: Term, located: Located) {
        let Some(subscription) = self.subscriptions.get(&channel) else { return };
        if subscription.term != term {
            return;
        }
        let push = Push::Subscribed(Subscribed {
            channel: channel.clone(),
            number: subscription.number,
            position: Some(located.position.clone()),
            complete: located.complete,
            recovering: located.missed(),
        });
        let frame = self.peer.codec.encode_frame(&ServerFrame::Push(push));
        subscription.channel.answer(subscription.place, Some(frame));
        self.recover_from(channel, term, located);
    }

    fn set_reading(&mut self, is_reading: bool) {
        if let Some(recoveries) = &mut self.recoveries {
            recoveries.is_reading = is_reading;
        }
    }

    /// Ends the session because the history can't be read. The client comes back, and continues from its position.
    fn end_by_failed_read(&self, error: &EngineError) {
        let reason = engine_failure(error).message.into();
        self.peer.mailbox.end(Ending { reason, ..CloseCode::INTERNAL_ERROR.into() });
    }

    fn is_in_force(&self, recovery: &Recovery) -> bool {
        let current = self.subscriptions.get(&recovery.channel);
        current.is_some_and(|current| current.term == recovery.term)
    }

    /// Returns `true` if the subscription has read everything, and receives new publications from now on. `force` skips the
    /// check.
    fn try_catch_up(&self, recovery: &Recovery, force: bool) -> bool {
        let Some(subscription) = self.subscriptions.get(&recovery.channel) else { return true };
        let (channel, position) = (&subscription.channel, &recovery.position);
        let is_there = channel.catch_up(subscription.place, position, force);
        if !is_there && channel.compare(position) {
            self.hub.start_repair(channel);
        }
        is_there
    }
}

/// The bytes of answers that may wait in the queue when another page is read. So the next page is ready while a message is
/// being sent.
const ROOM_BYTES: usize = Limits::BATCH_BYTES;

/// The number of publications in one read.
const PAGE: usize = 256;
