//! `cargo xtask bench`: what the server costs.

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::{
    console::{Console, Step},
    process,
    project::Project,
};

const BUILD: Step<'static> = Step {
    name: "bench build",
    what: "optimising servers and load",
    slow: Some("1 to 3 min the first time"),
};

/// Builds what is measured and what measures it, and hands `arguments` to that.
pub(crate) fn verb(project: &Project, console: &Console, arguments: &[String]) -> Result<ExitCode> {
    console.step(BUILD, |log| {
        let mut build = process::command("cargo");
        build.current_dir(project.root()).args(["build", "--release"]);
        log.run(build.args(["--package", "wirehub-bench", "--package", "wirehub-server"]))
    })?;
    let mut bench = process::command(project.binary("release", "wirehub-bench"));
    bench.arg("run").arg("--wirehub").arg(project.binary("release", "wirehub")).args(arguments);
    let status = bench.status().with_context(|| format!("cannot start `{}`", process::describe(&bench)))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
