//! What is read from histories: what subscribers missed, page by page as the client takes it, and the pages that clients ask
//! for, one at a time. The lists of who is there that a hook had to allow are made here too: they are as large.
//!
//! Nothing that is published meanwhile waits in a queue: it is in the history as well. A subscriber that has read everything
//! joins those to whom it is handed as it is published. So the memory that this takes is bounded whatever was missed, and a
//! client that is cut off half way goes on from there.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use wirehub_common::code::{CloseCode, ErrorCode};
use wirehub_common::frame::{
    ErrorInfo, HistoryPage, Position, Presence, Push, ReplyBody, ServerFrame, Subscribed,
};
use wirehub_common::{ChannelName, Limits};

use super::mailbox::Ending;
use super::pending_answers::engine_failure;
use super::subscriptions::Term;
use super::{Session, WorkBudget};
use crate::engine::{EngineError, Locate, Located, ReadHistory};
use crate::hub::segment::{Row, Run};

/// The subscriptions that are reading their histories, in turn.
#[derive(Default)]
pub(super) struct Recoveries {
    open: VecDeque<Recovery>,
    /// What commands ask for. It is large, and made when there is room for it.
    asked: VecDeque<(u32, RequestedRead)>,
    /// Whether a page is being waited for.
    is_reading: bool,
}

/// What a command asks for.
pub(super) enum RequestedRead {
    Page(ReadHistory),
    Presence(Presence),
}

/// A subscription that is reading its channel's history.
struct Recovery {
    channel: ChannelName,
    term: Term,
    /// What has been read.
    position: Position,
    /// How many bytes that were.
    bytes: usize,
    /// Whether the last page had nothing.
    is_at_end: bool,
}

impl Recoveries {
    /// A command asks for something.
    pub(super) fn ask_for(&mut self, command: u32, wanted: RequestedRead) {
        self.asked.push_back((command, wanted));
    }

    /// How many commands wait for what they asked for.
    pub(super) fn unanswered(&self) -> usize {
        self.asked.len()
    }
}

impl Session {
    /// Has a subscription that is in force get what is behind a position: now where there is nothing to read, and else as it
    /// is read.
    pub(super) fn recover_from(
        &mut self,
        channel: ChannelName,
        term: Term,
        Located { position, newest, .. }: Located,
    ) {
        let recovery = Recovery { channel, term, position, bytes: 0, is_at_end: false };
        if recovery.position.offset < newest || !self.try_catch_up(&recovery, false) {
            self.recoveries.get_or_insert_default().open.push_back(recovery);
        }
    }

    /// Reads on, as long as there is room for it. Breaks off where there is none.
    pub(super) fn recover(&mut self, budget: &mut WorkBudget) -> ControlFlow<()> {
        while let Some(recoveries) = &mut self.recoveries {
            if recoveries.is_reading || budget.is_spent() {
                break;
            }
            let (small, all) = self.peer.mailbox.answers();
            if small > ROOM_BYTES || all > ROOM_BYTES && recoveries.open.is_empty() {
                return ControlFlow::Break(());
            }
            budget.spend_on(0);
            // What is asked for may be large: one goes at a time, and recoveries beside it.
            match recoveries.asked.pop_front_if(|_| all <= ROOM_BYTES) {
                Some((command, RequestedRead::Page(read))) => {
                    recoveries.is_reading = true;
                    let page = self.hub.engine().history(read);
                    self.wait_for(page, move |session, page| session.answer_with_page(command, page));
                    continue;
                }
                Some((command, RequestedRead::Presence(presence))) => {
                    self.reply(command, self.read_presence(&presence));
                    continue;
                }
                None => {}
            }
            let Some(recovery) = recoveries.open.pop_front() else {
                if recoveries.asked.is_empty() {
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

    /// Tells the client that something of a channel without offsets was dropped.
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
        // An engine that delivers what its history does not have must not be asked for ever.
        let force = recovery.is_at_end && is_empty;
        recovery.is_at_end = is_empty;
        if !(is_at_end && self.try_catch_up(&recovery, force)) {
            self.recoveries.get_or_insert_default().open.push_back(recovery);
        }
    }

    /// Goes on with the newest, as far as a queue would hold them. The others would have been dropped if the subscriber had been
    /// there: it is told so.
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

    /// The history has lost what comes next: the client is told where it goes on.
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

    /// Tells the client that a subscription goes on elsewhere, and goes on there.
    fn continue_at(&mut self, channel: ChannelName, term: Term, located: Located) {
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

    /// The history can't be read. The client comes back, and goes on from where it has got to.
    fn end_by_failed_read(&self, error: &EngineError) {
        let reason = engine_failure(error).message.into();
        self.peer.mailbox.end(Ending { reason, ..CloseCode::INTERNAL_ERROR.into() });
    }

    fn is_in_force(&self, recovery: &Recovery) -> bool {
        let current = self.subscriptions.get(&recovery.channel);
        current.is_some_and(|current| current.term == recovery.term)
    }

    /// Whether the subscription has read everything, and is handed what is published from now on; also where it is to be so.
    fn try_catch_up(&self, recovery: &Recovery, force: bool) -> bool {
        let subscription = self.subscriptions.get(&recovery.channel);
        subscription.is_none_or(|subscription| {
            subscription.channel.catch_up(subscription.place, recovery.position.offset, force)
        })
    }
}

/// How many bytes of answers may wait in the queue when another page is read: while one message is on its way the next is there.
const ROOM_BYTES: usize = Limits::BATCH_BYTES;

/// How many publications are read at once.
const PAGE: usize = 256;
