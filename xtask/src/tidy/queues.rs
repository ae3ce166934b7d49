//! Every queue has a bound: messages that can't be delivered must be refused or dropped by a documented rule, not kept
//! until the memory is full.

use anyhow::Result;

use super::{Finding, rust_source::NamedPath, tree::Tree};

const UNBOUNDED_NAMES: &[&str] = &["unbounded_channel", "UnboundedSender", "UnboundedReceiver"];

pub(super) fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let folders: Vec<&str> = tree.packages.iter().map(|package| package.folder.as_str()).collect();
    let mut findings = Vec::new();
    for (file, source) in tree.product_sources(&folders)? {
        findings.extend(source.paths.iter().filter(|path| is_unbounded(path)).map(|path| {
            let problem = format!("{} has no bound: use a channel with a capacity", path.text());
            Finding::at_line(file, path.line, problem)
        }));
    }
    Ok(findings)
}

fn is_unbounded(path: &NamedPath) -> bool {
    let last = path.segments.last().map(String::as_str).unwrap_or_default();
    UNBOUNDED_NAMES.contains(&last)
        || path.has(&["mpsc", "unbounded"])
        || path.has(&["crossbeam_channel", "unbounded"])
        || path.has(&["flume", "unbounded"])
        // The standard library's channel has no bound; others with this name take a capacity.
        || path.has(&["std", "sync", "mpsc", "channel"])
        || (path.called_without_arguments && path.has(&["mpsc", "channel"]))
}

#[cfg(test)]
mod tests {
    use super::is_unbounded;
    use crate::tidy::rust_source::RustSource;

    fn found(text: &str) -> usize {
        let source = RustSource::parse(&format!("fn f() {{ {text} }}")).unwrap();
        source.paths.iter().filter(|path| is_unbounded(path)).count()
    }

    #[test]
    fn unbounded_channels_are_found_by_any_name() {
        assert_eq!(found("use tokio::sync::mpsc::{self, UnboundedSender};"), 1);
        assert_eq!(found("let (a, b) = mpsc::unbounded_channel();"), 1);
        assert_eq!(found("let (a, b) = futures_channel::mpsc::unbounded::<u8>();"), 1);
        assert_eq!(found("use std::sync::mpsc::channel;"), 1);
        assert_eq!(found("let (a, b) = mpsc::channel::<u8>();"), 1);
    }

    #[test]
    fn bounded_channels_are_fine() {
        assert_eq!(found("let (a, b) = mpsc::channel(8); let c = oneshot::channel();"), 0);
        assert_eq!(found("use std::sync::mpsc::{self, sync_channel, Receiver};"), 0);
        assert_eq!(found("fn channel() {} /* mpsc::unbounded_channel() */"), 0);
    }
}
