//! Channels of a token, or of the application, that can't be subscribed: one line in the log for all of them.

use std::fmt;

use wirehub_common::ChannelName;

use crate::SessionId;

#[derive(Debug, Default)]
pub(super) struct RefusedSubscriptions {
    first: Option<(ChannelName, String)>,
    more: usize,
}

impl RefusedSubscriptions {
    pub(super) fn note(&mut self, channel: &ChannelName, why: impl fmt::Display) {
        if self.first.is_none() {
            self.first = Some((channel.clone(), why.to_string()));
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    /// Logs the refused channels, if any.
    pub(super) fn log(self, session: SessionId) {
        if self.first.is_some() {
            tracing::warn!(%session, "{self}");
        }
    }
}

impl fmt::Display for RefusedSubscriptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((channel, why)) = &self.first else { return Ok(()) };
        write!(f, "the session can't be subscribed to {channel}: {why}")?;
        if self.more > 0 { write!(f, "; nor to {} more of its channels", self.more) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_channels_are_logged_in_one_line() {
        let mut refused = RefusedSubscriptions::default();
        assert_eq!(refused.to_string(), "");
        for number in 0..10_000 {
            let channel = ChannelName::new(&format!("news:{number}")).unwrap();
            refused.note(&channel, "it has the maximum number of channels (limits.channels)");
        }
        assert_eq!(
            refused.to_string(),
            "the session can't be subscribed to news:0: it has the maximum number of channels (limits.channels); nor to 9999 more of \
             its channels"
        );
    }
}
