//! The end of a client without handles, and of a command that nobody waits for.

use std::fmt;
use std::sync::Arc;

use wirehub_common::code::CloseCode;

use super::Shared;
use crate::CommandId;

/// Closes the client when its last handle and its last stream are dropped.
pub(super) struct Lifetime(pub(super) Arc<Shared>);

impl Lifetime {
    pub(super) fn shared(&self) -> &Shared {
        &self.0
    }
}

impl Drop for Lifetime {
    fn drop(&mut self) {
        self.0.act(|inner, _| inner.core.close(CloseCode::NORMAL, ""));
    }
}

impl fmt::Debug for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lifetime").finish_non_exhaustive()
    }
}

/// Takes a command back when its future is dropped. Does nothing after the command has ended.
pub(super) struct CancelOnDrop<'a> {
    pub(super) shared: &'a Shared,
    pub(super) command: CommandId,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        self.shared.act(|inner, _| {
            inner.commands.remove(self.command);
            inner.core.cancel(self.command);
        });
    }
}
