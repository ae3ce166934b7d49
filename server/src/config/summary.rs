//! A summary of the configuration for the log.

use super::Config;

impl Config {
    /// The authentication of clients, in words.
    pub(crate) fn authentication_summary(&self) -> String {
        let others =
            if self.anonymous() { "; clients without a token are admitted as anonymous" } else { "" };
        match &self.tokens {
            _ if self.webhooks.know_clients() => {
                "clients are authenticated by the backend ([webhooks.connect])".into()
            }
            Some(tokens) => format!("clients are authenticated by tokens ({}){others}", tokens.summary()),
            None if self.anonymous() => "everybody is admitted without a token (anonymous)".into(),
            None => "every client on this machine is admitted without a token: there is no [tokens] section"
                .into(),
        }
    }

    /// The limits that are disabled, by their names in the configuration.
    pub(crate) fn disabled_limits(&self) -> Vec<&'static str> {
        let bounds = self.limits.bounds().into_iter();
        bounds.filter(|(_, bound)| *bound == u64::MAX).map(|(name, _)| name).collect()
    }
}
