//! `cargo xtask mutants`: changes the code in small ways, one at a time, and looks whether a test notices.

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::{console::Console, process, project::Project, setup};

/// The crate that is changed without a word.
pub(crate) const DEFAULT: &str = "wirehub-client-core";

/// How long a crate's tests may take on one of the changed crates: many of these never end. In seconds.
const TIMEOUT: &str = "300";

/// In how many worlds the simulation tries each change: most show in the first few.
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
    // It is one of cargo's own verbs, and expects to be called like that.
    mutants.current_dir(project.root()).arg("mutants").args(["--package", package]);
    mutants.args(["--jobs", "1", "--timeout", TIMEOUT, "--profile", "mutants", "--no-shuffle"]);
    mutants.arg("--output").arg(project.path("target/mutants")).args(arguments);
    mutants.args(["--", "--lib", "--tests"]).env("WIREHUB_SEEDS", SEEDS);
    let status =
        mutants.status().with_context(|| format!("cannot start `{}`", process::describe(&mutants)))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
