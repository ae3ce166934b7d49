//! Rules by namespace.

use std::collections::HashMap;

use wirehub_common::ChannelName;

use crate::engine::History;
use crate::session::outbox::Lane;

/// What holds for the channels of one namespace: those whose names begin with it and a `:`.
///
/// ```
/// use std::time::Duration;
/// use wirehub_server::{History, Hub, Namespace};
///
/// let hub = Hub::builder()
///     .namespace("chat", Namespace::default().history(History::new(100, Duration::from_secs(3600))))
///     .namespace("alarm", Namespace::default().urgent())
///     .build();
/// # assert_eq!(hub.sessions(), 0);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Namespace {
    pub(crate) history: Option<History>,
    pub(crate) urgent: bool,
}

impl Namespace {
    /// Its channels keep history: who comes back gets what was missed, and what was published can be read. Without this
    /// nothing is kept.
    #[must_use]
    pub fn history(self, history: History) -> Self {
        Self { history: Some(history), ..self }
    }

    /// Its publications overtake those of others in every queue: for alarms.
    #[must_use]
    pub fn urgent(self) -> Self {
        Self { urgent: true, ..self }
    }
}

/// The namespaces that have rules of their own, and the rules for all others.
#[derive(Debug, Default)]
pub(crate) struct Namespaces {
    by_name: HashMap<Box<str>, Namespace>,
    others: Namespace,
}

impl Namespaces {
    pub(crate) fn insert(&mut self, name: Box<str>, namespace: Namespace) {
        self.by_name.insert(name, namespace);
    }

    pub(crate) fn set_others(&mut self, namespace: Namespace) {
        self.others = namespace;
    }

    /// What holds for a channel.
    pub(crate) fn of(&self, channel: &ChannelName) -> &Namespace {
        // Most hubs have no rules at all.
        if self.by_name.is_empty() {
            return &self.others;
        }
        self.by_name.get(channel.namespace()).unwrap_or(&self.others)
    }
}

impl Namespace {
    pub(crate) fn lane(&self) -> Lane {
        if self.urgent { Lane::Urgent } else { Lane::Normal }
    }
}
