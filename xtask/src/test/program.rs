//! The program `wirehub` that steps run as a server: that of the step `unit`, which has compiled it. With the profile of
//! `cargo xtask demo` it would be compiled a second time, which takes minutes.

use std::{path::PathBuf, process::Command};

use anyhow::Result;

use super::{
    Context,
    steps::{OF_UNIT, cargo},
};
use crate::{console::Log, demo::PROGRAM, process, project::Project};

/// Builds it, with the page if it is built, and returns its path.
pub(super) fn build(context: &Context<'_>, log: &mut Log) -> Result<PathBuf> {
    let mut build = cargo(context);
    // As a part of its tests: those enable features of other crates, and without these it would be another program.
    log.run(build.arg("test").args(OF_UNIT).args(["--test", "program", "--no-run"]))?;
    Ok(path(context.project))
}

/// The server of the demo, with its messages in memory.
pub(super) fn demo_in_memory(context: &Context<'_>) -> Command {
    let mut server = demo(context.project);
    server.args(["--engine", "memory"]);
    server
}

fn demo(project: &Project) -> Command {
    let mut server = process::command(path(project));
    server.current_dir(project.root()).args(["serve", "--demo"]);
    server
}

fn path(project: &Project) -> PathBuf {
    project.binary("debug", PROGRAM)
}
