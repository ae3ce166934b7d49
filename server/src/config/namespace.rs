//! `[namespace.NAME]`.

use serde::Deserialize;
use wirehub_common::ChannelName;

use super::units::{Bytes, Span};
use crate::namespace::{Access, History, Namespace, Overflow};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct NamespaceSection {
    history_size: Option<usize>,
    history_ttl: Option<Span>,
    history_bytes: Option<Bytes>,
    pub(super) urgent: bool,
    subscribe: Option<Who>,
    publish: Option<Who>,
    presence: Option<Who>,
    join_leave: Option<Span>,
    overflow: Option<OverflowName>,
}

/// The policy for messages that a session does not take in time.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum OverflowName {
    Disconnect,
    DropOldest,
    Latest,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Who {
    Everybody,
    Users,
    // The name in version 0.1.
    #[serde(alias = "bearers")]
    TokenOnly,
}

impl NamespaceSection {
    pub(super) fn namespace(&self, name: &str) -> Result<Namespace, &'static str> {
        check_name(name)?;
        let mut namespace = Namespace::default();
        match (self.history_size, self.history_ttl) {
            (Some(size @ 1..), Some(ttl)) => {
                let history = History::new(size, ttl.duration());
                let bytes = self.history_bytes.map_or(history.bytes, Bytes::count);
                namespace = namespace.history(history.with_bytes(bytes));
            }
            (None | Some(0), None) if self.history_bytes.is_none() => {}
            _ => {
                return Err(
                    "history takes both `history_size`, at least 1, and `history_ttl`: write for instance 100 and \"1h\"",
                );
            }
        }
        if self.urgent {
            namespace = namespace.urgent();
        }
        if let Some(who) = self.subscribe {
            namespace = namespace.subscribe(who.access());
        }
        if let Some(who) = self.publish {
            namespace = namespace.publish(who.access());
        }
        if let Some(who) = self.presence {
            namespace = namespace.presence(who.access());
        }
        if let Some(grace) = self.join_leave {
            if self.presence.is_none() {
                return Err("`join_leave` notifies clients with access to the members: set `presence`");
            }
            namespace = namespace.join_leave(grace.duration());
        }
        if let Some(overflow) = self.overflow {
            if matches!(overflow, OverflowName::Latest) && self.history_size.is_some() {
                return Err(
                    "with `overflow = \"latest\"` clients would recover the skipped messages from the history: \
                            remove one of the two settings",
                );
            }
            namespace = namespace.overflow(overflow.policy());
        }
        Ok(namespace)
    }
}

/// Rejects names that no channel's namespace can have, because such rules would have no effect.
fn check_name(name: &str) -> Result<(), &'static str> {
    match name {
        // Channels without a namespace, the channels of users, and all channels without rules of their own.
        "" | "@" | Namespace::OTHERS => Ok(()),
        _ if name.starts_with('@') => {
            Err("the channels of users have their rules together: write [namespace.\"@\"]")
        }
        _ if name.contains([':', '*']) => Err(
            "a namespace is the part of a channel's name before the first `:`, without it: write [namespace.chat] for \
             `chat:…`, or [namespace.\"*\"] for all channels that have no rules of their own",
        ),
        _ => ChannelName::new(name).map(drop).map_err(|_| {
            "no channel has such a namespace: it has no white space and no control character, and at most 255 bytes"
        }),
    }
}

impl OverflowName {
    fn policy(self) -> Overflow {
        match self {
            Self::Disconnect => Overflow::Disconnect,
            Self::DropOldest => Overflow::DropOldest,
            Self::Latest => Overflow::Latest,
        }
    }
}

impl Who {
    fn access(self) -> Access {
        match self {
            Self::Everybody => Access::Everybody,
            Self::Users => Access::Users,
            Self::TokenOnly => Access::TokenOnly,
        }
    }
}
