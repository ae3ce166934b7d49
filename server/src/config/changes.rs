//! The differences between two configurations.

use std::collections::BTreeMap;

use toml::{Table, Value};

/// The keys that differ in `new` and that a server applies only when it starts.
pub(super) fn needing_restart(old: &Table, new: &Table) -> Vec<String> {
    let (old, new) = (flat(old), flat(new));
    let names = old.keys().chain(new.keys().filter(|name| !old.contains_key(*name)));
    let mut changed: Vec<String> =
        names.filter(|name| old.get(*name) != new.get(*name) && !can_change(name)).cloned().collect();
    // The files may change. Enabling or disabling TLS or the API needs a restart.
    for section in ["tls", "api"] {
        let is_there = |keys: &BTreeMap<String, &Value>| keys.keys().any(|name| is_below(name, section));
        if is_there(&old) != is_there(&new) {
            changed.push(section.into());
        }
    }
    changed.sort_unstable();
    changed
}

/// The settings that a running server applies. Every other changed key is named in the log.
const LIVE: [&str; 10] = [
    "server.allow_origins",
    "server.anonymous",
    "server.drain_delay",
    "server.log",
    "limits",
    "proxy",
    "tls",
    "tokens",
    "api",
    "webhooks",
];

/// Exceptions below them. A change of kept_bytes would lose the kept data, and the receiver of events has to get those
/// of every session from beginning to end.
const NOT_LIVE: [&str; 3] = ["limits.connections", "limits.kept_bytes", "webhooks.events"];

fn can_change(name: &str) -> bool {
    let is_below_any = |sections: &[&str]| sections.iter().any(|section| is_below(name, section));
    is_below_any(&LIVE) && !is_below_any(&NOT_LIVE)
}

fn is_below(name: &str, section: &str) -> bool {
    name.strip_prefix(section).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Every value with its full name.
fn flat(table: &Table) -> BTreeMap<String, &Value> {
    let mut values = BTreeMap::new();
    let mut sections = vec![(String::new(), table)];
    while let Some((above, table)) = sections.pop() {
        for (key, value) in table {
            let name = if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
            match value {
                Value::Table(table) => sections.push((name, table)),
                value => drop(values.insert(name, value)),
            }
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(old: &str, new: &str) -> Vec<String> {
        needing_restart(&old.parse().unwrap(), &new.parse().unwrap())
    }

    #[test]
    fn settings_that_need_a_restart_are_named() {
        let old = "[server]\nlisten = \"127.0.0.1:1\"\nlog = \"info\"\n[namespace.chat]\nhistory_size = 1\n[limits]\ncalls = 1";
        assert_eq!(changes(old, old), [""; 0]);
        let new = "[server]\nlisten = \"127.0.0.1:2\"\ndrain_delay = \"5s\"\nlog = \"debug\"\nlog_format = \"json\"\n[namespace.news]\nurgent = true\n\
                   [limits]\ncalls = 2\n[tokens]\naudience = \"a\"\n\
                   [webhooks.connect]\nurl = \"a\"\n[webhooks.events]\nurl = \"a\"";
        assert_eq!(
            changes(old, new),
            [
                "namespace.chat.history_size",
                "namespace.news.urgent",
                "server.listen",
                "server.log_format",
                "webhooks.events.url"
            ]
        );
    }

    #[test]
    fn tls_files_and_api_keys_may_change_but_not_appear_or_disappear() {
        let some = "[tls]\ncertificate = \"a\"\nkey = \"b\"\n[[api.keys]]\nfile = \"a\"";
        let others =
            "[tls]\ncertificate = \"c\"\nkey = \"d\"\n[[api.keys]]\nfile = \"b\"\n[[api.keys]]\nenv = \"C\"";
        assert_eq!(changes(some, others), [""; 0]);
        assert_eq!(changes(some, ""), ["api", "tls"]);
        assert_eq!(changes("", some), ["api", "tls"]);
    }
}
