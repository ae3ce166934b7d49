//! A summary of the configuration for the log.

use super::{Config, EngineKind};

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

    /// The engine and the place of its data, in words; `own` is the name of the hub's.
    pub(crate) fn engine_summary(&self, own: &str) -> String {
        match (self.engine(), own) {
            (EngineKind::Disk, _) => format!("disk, in {}", self.data_directory().display()),
            #[cfg(feature = "redis")]
            (EngineKind::Redis, _) => format!("redis, {}", self.redis.summary()),
            (_, "MemoryEngine") => "memory; a restart loses histories and alarms".into(),
            (_, own) => own.into(),
        }
    }

    /// The limits that are disabled, by their names in the configuration.
    pub(crate) fn disabled_limits(&self) -> Vec<&'static str> {
        let bounds = self.limits.bounds().into_iter();
        bounds.filter(|(_, bound)| *bound == u64::MAX).map(|(name, _)| name).collect()
    }
}
