//! The scripts. Each is one atomic step, on keys of one partition. The first argument of each is the id of the process to which
//! the command is sent.

use std::sync::LazyLock;

/// A script with its SHA-1.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) text: &'static str,
    pub(crate) sha: String,
}

/// The names of the scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScriptName {
    Publish,
    Locate,
    History,
    Newest,
    Enter,
    Leave,
    EndGrace,
    Due,
    Page,
    Counts,
    Count,
    Uncount,
    Report,
    Nodes,
    Adopt,
    Check,
}

impl ScriptName {
    pub(crate) fn sha(self) -> &'static str {
        SCRIPTS.get(self as usize).map_or("", |script| &script.sha)
    }
}

/// The scripts, in the order of their names.
pub(crate) static SCRIPTS: LazyLock<Vec<Script>> = LazyLock::new(|| {
    let texts = [
        concat!(include_str!("log.lua"), include_str!("publish.lua")),
        concat!(include_str!("log.lua"), include_str!("locate.lua")),
        concat!(include_str!("log.lua"), include_str!("history.lua")),
        concat!(include_str!("log.lua"), include_str!("newest.lua")),
        concat!(include_str!("members.lua"), include_str!("enter.lua")),
        concat!(include_str!("members.lua"), include_str!("leave.lua")),
        concat!(include_str!("members.lua"), include_str!("end_grace.lua")),
        concat!(include_str!("members.lua"), include_str!("due.lua")),
        concat!(include_str!("members.lua"), include_str!("page.lua")),
        include_str!("counts.lua"),
        include_str!("count.lua"),
        include_str!("uncount.lua"),
        concat!(include_str!("members.lua"), include_str!("report.lua")),
        concat!(include_str!("members.lua"), include_str!("nodes.lua")),
        include_str!("adopt.lua"),
        include_str!("check.lua"),
    ];
    texts.map(|text| Script { text, sha: redis::Script::new(text).get_hash().to_owned() }).into()
});
