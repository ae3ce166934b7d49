//! What only some sessions have, in one place: the others need room for no more than a pointer.

use std::ops::Range;

use wirehub_common::Assembler;
use wirehub_common::code::CloseCode;

use super::mailbox::{Ending, Order};
use crate::auth::Rights;

/// By a token, by a bound on what sessions may do, or because there is more to say than there is room for.
#[derive(Default)]
pub(super) struct OptionalState {
    pub(super) rights: Rights,
    /// The alarms of before that are still to be sent, by their numbers.
    pub(super) alarms: Option<Range<u64>>,
    /// What was wanted of the session before it was connected.
    pub(super) orders: Vec<Order>,
    /// The commands that come in parts.
    pub(super) parts: Assembler,
    /// How often `connect` was refused.
    pub(super) refused: u8,
    /// The close code for the last of these refusals.
    pub(super) refusal: Option<CloseCode>,
    /// Whether somebody is asked about a new token; and the newest one behind it, with the command that has shown it.
    pub(super) refreshing: Option<Option<(u32, String)>>,
    /// How the session ends once its calls have.
    pub(super) stopping: Option<Ending>,
}

impl OptionalState {
    /// Whether the session takes nothing on any more, and ends once its calls have.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.is_some()
    }

    /// Whether a command has come in part.
    pub(super) fn has_parts(&self) -> bool {
        !self.parts.is_empty()
    }
}
