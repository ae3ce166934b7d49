//! `cargo xtask bench`: the cost of the server, and the cost of the client in a browser.

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::{
    build_client,
    console::{Console, Step},
    process,
    project::Project,
    setup,
};

const BUILD: Step<'static> = Step {
    name: "bench build",
    what: "optimising servers and load",
    slow: Some("1 to 3 min the first time"),
};

/// Builds the servers and the load, and passes `arguments` to the load. With `engines` or `sockets`
/// first, it measures these. The arguments behind `browser` go to the measurement in the browser.
pub(crate) fn verb(project: &Project, console: &Console, arguments: &[String]) -> Result<ExitCode> {
    if let Some((BROWSER, rounds)) = arguments.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return in_browser(project, console, rounds);
    }
    console.step(BUILD, |log| {
        let mut build = process::command("cargo");
        build.current_dir(project.root()).args(["build", "--release"]);
        log.run(build.args(["--package", "wirehub-bench", "--package", "wirehub-cli"]))
    })?;
    let mut bench = process::command(project.binary("release", "wirehub-bench"));
    if !arguments.first().is_some_and(|first| OTHER_VERBS.contains(&first.as_str())) {
        bench.arg("run").arg("--wirehub").arg(project.binary("release", "wirehub"));
    }
    bench.args(arguments);
    let status = bench.status().with_context(|| format!("cannot start `{}`", process::describe(&bench)))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The first argument of a measurement in a browser.
const BROWSER: &str = "browser";

/// Measurements of the load program without the program `wirehub`.
const OTHER_VERBS: [&str; 2] = ["engines", "sockets"];

fn in_browser(project: &Project, console: &Console, rounds: &[String]) -> Result<ExitCode> {
    let (tools, browsers) = setup::for_tests(project, console)?;
    console.step(build_client::STEP, |log| build_client::ensure_built(project, &tools, log))?;
    let mut bench = tools.command("node");
    bench.arg(project.path("bench/browser/receive.mjs")).args(rounds).env("CHROMIUM", &browsers.chromium);
    let status = bench.status().with_context(|| format!("cannot start `{}`", process::describe(&bench)))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
