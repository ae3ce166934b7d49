//! State of few sessions, in one place: other sessions need only a pointer.

use std::ops::Range;

use axum::http::HeaderMap;
use wirehub_common::Assembler;
use wirehub_common::code::CloseCode;

use super::mailbox::{Ending, Order};
use crate::auth::Rights;

/// Present with a token, with certain limits, or if there is more to send than there is room for.
#[derive(Default)]
pub(super) struct OptionalState {
    /// Present until the client is connected.
    pub(super) unconnected: Option<Box<UnconnectedClient>>,
    pub(super) rights: Rights,
    /// The numbers of the earlier alarms that are not sent yet.
    pub(super) alarms: Option<Range<u64>>,
    /// Orders that came before the session was connected.
    pub(super) orders: Vec<Order>,
    /// Commands that come in parts.
    pub(super) parts: Assembler,
    /// Present while a new token is being checked; it contains the newest token that came meanwhile, with its command.
    pub(super) refreshing: Option<Option<(u32, String)>>,
    /// The ending of the session after its calls have ended.
    pub(super) stopping: Option<Ending>,
}

/// A client before its session.
#[derive(Default)]
pub(super) struct UnconnectedClient {
    /// The headers of the handshake.
    pub(super) headers: HeaderMap,
    /// The number of refused `connect` commands.
    pub(super) refused: u8,
    /// The close code for the last refusal.
    pub(super) refusal: Option<CloseCode>,
}

impl OptionalState {
    /// The state of a client with these headers.
    pub(super) fn of_unconnected(headers: HeaderMap) -> Self {
        let client = UnconnectedClient { headers, ..UnconnectedClient::default() };
        Self { unconnected: Some(Box::new(client)), ..Self::default() }
    }

    /// `true` if every field is empty.
    pub(super) fn is_empty(&self) -> bool {
        let Self { unconnected, rights, alarms, orders, parts, refreshing, stopping } = self;
        let is_without_command = orders.is_empty() && parts.is_empty() && refreshing.is_none();
        let is_without_news = alarms.is_none() && stopping.is_none();
        unconnected.is_none() && *rights == Rights::default() && is_without_command && is_without_news
    }

    /// `true` if the session accepts no more work, and ends after its calls.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.is_some()
    }

    /// `true` if a command has come in part.
    pub(super) fn has_parts(&self) -> bool {
        !self.parts.is_empty()
    }
}

// The program's allocator has classes of 224 and 256 bytes.
const _: () = assert!(size_of::<OptionalState>() <= 224);
