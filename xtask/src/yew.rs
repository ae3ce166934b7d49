//! The example in Yew: a workspace of its own, compiled to a module next to its page.

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

/// The example's folder, for the demo server's `--static`: it contains the page, and the module in `dist`.
pub(crate) const FOLDER: &str = "client-wasm/examples/yew";

/// Builds the example; cargo detects changes.
pub(crate) fn build(project: &Project, tools: &Tools, log: &mut Log) -> Result<()> {
    let mut build = tools.wasm_command("wasm-pack");
    build.current_dir(project.root()).args(["build", FOLDER, "--dev", "--target", "web"]);
    // Setup has installed the tools; wasm-pack must not download anything itself.
    build.args(["--mode", "no-install", "--no-pack", "--no-typescript"]);
    // Relative to the example.
    build.args(["--out-dir", "dist"]);
    log.run(&mut build)
}

/// The lints that the steps for the workspace miss, because the example is not part of it.
pub(crate) fn lint(project: &Project, log: &mut Log) -> Result<()> {
    log.run(cargo(project, "fmt").args(["--all", "--check"]))?;
    log.run(cargo(project, "clippy").args(["--workspace", "--all-targets", "--", "-D", "warnings"]))
}

fn cargo(project: &Project, verb: &str) -> Command {
    let mut cargo = process::command("cargo");
    cargo.current_dir(project.path(FOLDER)).arg(verb);
    cargo
}
