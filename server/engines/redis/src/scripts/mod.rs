//! The scripts. Each is one atomic step, on keys of one partition. The first argument of each is the id of the process to which
//! the command is sent.

use std::sync::LazyLock;

/// A script with its SHA-1.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) text: &'static str,
    pub(crate) sha: String,
}

/// Declares the scripts: each name, and the files of which its script consists.
macro_rules! scripts {
    ($($name:ident: $($file:literal)+;)+) => {
        /// The names of the scripts.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum ScriptName {
            $($name,)+
        }

        /// The scripts, in the order of their names.
        pub(crate) static SCRIPTS: LazyLock<Vec<Script>> =
            LazyLock::new(|| vec![$(Script::new(concat!($(include_str!($file)),+)),)+]);
    };
}

scripts! {
    Publish: "log.lua" "publish.lua";
    Locate: "log.lua" "locate.lua";
    History: "log.lua" "history.lua";
    Newest: "log.lua" "newest.lua";
    Enter: "members.lua" "enter.lua";
    Leave: "members.lua" "leave.lua";
    EndGrace: "members.lua" "end_grace.lua";
    Due: "members.lua" "due.lua";
    Page: "members.lua" "page.lua";
    Counts: "counts.lua";
    Count: "count.lua";
    Uncount: "uncount.lua";
    Report: "members.lua" "report.lua";
    Nodes: "members.lua" "nodes.lua";
    Adopt: "adopt.lua";
    Check: "check.lua";
}

impl ScriptName {
    pub(crate) fn sha(self) -> &'static str {
        SCRIPTS.get(self as usize).map_or("", |script| &script.sha)
    }
}

impl Script {
    fn new(text: &'static str) -> Self {
        Self { text, sha: redis::Script::new(text).get_hash().to_owned() }
    }
}
