//! The example in Yew: a workspace of its own, compiled to a module beside its page.

use std::process::Command;

use anyhow::Result;

use crate::{
    console::{Log, Step},
    process,
    project::Project,
    setup::Tools,
};

pub(crate) const STEP: Step<'static> =
    Step { name: "yew", what: "building the example in Yew", slow: Some("about 1 min the first time") };

/// The example's folder, for the demo server's `--static`: its page is there as it is, the module in `dist`.
pub(crate) const FOLDER: &str = "client-wasm/examples/yew";

/// Builds the example; cargo sees whether anything has changed.
pub(crate) fn build(project: &Project, tools: &Tools, log: &mut Log) -> Result<()> {
    let mut build = tools.wasm_command("wasm-pack");
    build.current_dir(project.root()).args(["build", FOLDER, "--dev", "--target", "web"]);
    // Setup has installed what it needs; it must not fetch anything by itself.
    build.args(["--mode", "no-install", "--no-pack", "--no-typescript"]);
    // Relative to the example.
    build.args(["--out-dir", "dist"]);
    log.run(&mut build)
}

/// What the steps for the workspace do not see, because the example is not of it.
pub(crate) fn lint(project: &Project, log: &mut Log) -> Result<()> {
    log.run(cargo(project, "fmt").args(["--all", "--check"]))?;
    log.run(cargo(project, "clippy").args(["--workspace", "--all-targets", "--", "-D", "warnings"]))
}

fn cargo(project: &Project, verb: &str) -> Command {
    let mut cargo = process::command("cargo");
    cargo.current_dir(project.path(FOLDER)).arg(verb);
    cargo
}
