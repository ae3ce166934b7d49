//! The program `wirehub` that steps run as a server: that of the step `unit`, which has compiled nearly all of it. With the profile of
//! `cargo xtask demo` it would be compiled a second time, which takes minutes.

use std::{path::PathBuf, process::Command};

use anyhow::Result;

use super::{Context, steps::cargo};
use crate::{
    console::Log,
    demo::PROGRAM,
    process,
    project::{Project, remove_folder},
};

/// Builds it, with the page if it is built, and returns its path.
pub(super) fn build(context: &Context<'_>, log: &mut Log) -> Result<PathBuf> {
    let mut build = cargo(context);
    log.run(build.args(["build", "--workspace", "--all-features", "--bin", PROGRAM]))?;
    Ok(path(context.project))
}

/// The server of the demo, with its messages in memory.
pub(super) fn demo_in_memory(context: &Context<'_>) -> Command {
    let mut server = demo(context.project);
    server.args(["--engine", "memory"]);
    server
}

/// The server of the demo, with its messages in a new directory.
pub(super) fn demo_on_disk(context: &Context<'_>) -> Result<Command> {
    let data = context.project.scratch_dir().join("demo-data");
    remove_folder(&data)?;
    let mut server = demo(context.project);
    server.args(["--engine", "disk", "--data"]).arg(data);
    Ok(server)
}

fn demo(project: &Project) -> Command {
    let mut server = process::command(path(project));
    server.current_dir(project.root()).args(["serve", "--demo"]);
    server
}

pub(super) fn path(project: &Project) -> PathBuf {
    project.binary("debug", PROGRAM)
}
