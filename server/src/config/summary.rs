//! What a server is told, in a few lines of the log.

use super::Config;

impl Config {
    /// Who is let in.
    pub(crate) fn who_is_let_in(&self) -> String {
        let others = if self.anonymous() { ", and those who have none, as anonymous" } else { "" };
        match &self.tokens {
            _ if self.webhooks.know_clients() => {
                "clients are let in by the backend ([webhooks.connect])".into()
            }
            Some(tokens) => format!("clients are let in with a token ({}){others}", tokens.summary()),
            None if self.anonymous() => "everybody is let in, without a token (anonymous)".into(),
            None => "everybody on this machine is let in, without a token: there is no [tokens]".into(),
        }
    }

    /// The limits that are off, as they are called in the configuration.
    pub(crate) fn limits_that_are_off(&self) -> Vec<&'static str> {
        let bounds = self.limits.bounds().into_iter();
        bounds.filter(|(_, bound)| *bound == u64::MAX).map(|(name, _)| name).collect()
    }
}
