//! State of few sessions, in one place: other sessions need only a pointer.

use std::ops::Range;

use wirehub_common::Assembler;
use wirehub_common::code::CloseCode;

use super::mailbox::{Ending, Order};
use crate::auth::Rights;

/// Present with a token, with certain limits, or if there is more to send than there is room for.
#[derive(Default)]
pub(super) struct OptionalState {
    pub(super) rights: Rights,
    /// The numbers of the earlier alarms that are not sent yet.
    pub(super) alarms: Option<Range<u64>>,
    /// Orders that came before the session was connected.
    pub(super) orders: Vec<Order>,
    /// Commands that come in parts.
    pub(super) parts: Assembler,
    /// The number of refused `connect` commands.
    pub(super) refused: u8,
    /// The close code for the last refusal.
    pub(super) refusal: Option<CloseCode>,
    /// Present while a new token is being checked; it contains the newest token that came meanwhile, with its command.
    pub(super) refreshing: Option<Option<(u32, String)>>,
    /// The ending of the session after its calls have ended.
    pub(super) stopping: Option<Ending>,
}

impl OptionalState {
    /// `true` if the session accepts no more work, and ends after its calls.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.is_some()
    }

    /// `true` if a command has come in part.
    pub(super) fn has_parts(&self) -> bool {
        !self.parts.is_empty()
    }
}
