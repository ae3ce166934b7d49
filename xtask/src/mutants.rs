//! `cargo xtask mutants`: changes the code in small ways, one at a time, and checks that a test notices.

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::{console::Console, process, project::Project, setup};

/// The crate that is changed by default.
pub(crate) const DEFAULT: &str = "wirehub-client-core";

/// The time limit in seconds for a crate's tests on a changed crate: many of these never end.
const TIMEOUT: &str = "300";

/// The number of worlds in which the simulation tries each change: most changes show in the first few.
const SEEDS: &str = "20";

/// Runs cargo-mutants over a crate with that crate's own tests; `arguments` go to it. Its report is in `target/mutants/`.
pub(crate) fn verb(
    project: &Project,
    console: &Console,
    package: &str,
    arguments: &[String],
) -> Result<ExitCode> {
    let program = setup::for_mutants(project, console)?;
    let mut mutants = process::command(program);
    // It is a verb of cargo, and expects to be called like one.
    mutants.current_dir(project.root()).arg("mutants").args(["--package", package]);
    mutants.args(["--jobs", "1", "--timeout", TIMEOUT, "--profile", "mutants", "--no-shuffle"]);
    mutants.arg("--output").arg(project.path("target/mutants")).args(arguments);
    mutants.args(["--", "--lib", "--tests"]).env("WIREHUB_SEEDS", SEEDS);
    let status =
        mutants.status().with_context(|| format!("cannot start `{}`", process::describe(&mutants)))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
