//! `cargo xtask test`: every check and test, as named steps.

mod counts;
mod demo_server;
mod features;
mod program;
mod steps;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use clap::builder::PossibleValuesParser;

use self::{counts::Counts, steps::STEPS};
use crate::{
    console::{Console, Log, Step, human, print_error},
    project::Project,
    setup::{self, Browsers, Tools},
};

/// One step: the line that announces it and the work.
pub(crate) struct TestStep {
    step: Step<'static>,
    needs: Needs,
    /// Whether it runs tests. If so, a run without any test is a failure, whatever its runner reports.
    has_tests: bool,
    /// Returns a remark for the summary, which may be empty.
    run: fn(&Context<'_>, &mut Log) -> Result<String>,
}

/// The tools that a step needs. Each includes those above it, except for those that stand alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Needs {
    Toolchain,
    /// Alone: no other step needs it.
    CppCompiler,
    /// Alone as well. Redis too.
    Proxies,
    /// Alone as well.
    Redis,
    Builds,
    /// The proxies and Redis too.
    Fleet,
    Browsers,
}

/// The inputs of the steps.
pub(crate) struct Context<'a> {
    project: &'a Project,
    installed: Installed,
}

enum Installed {
    Nothing,
    Tools(Tools),
    ToolsAndBrowsers(Tools, Browsers),
}

struct Outcome {
    name: &'static str,
    passed: bool,
    took: Duration,
    counts: Counts,
    remark: String,
}

/// Runs the steps called `names`, or all of them. Stops at the first failure unless `keep_going`.
pub(crate) fn verb(
    project: &Project,
    console: &Console,
    names: &[String],
    keep_going: bool,
) -> Result<ExitCode> {
    let chosen: Vec<&TestStep> =
        STEPS.iter().filter(|it| names.is_empty() || names.iter().any(|name| name == it.step.name)).collect();
    let context = Context::prepare(project, console, &chosen)?;
    let mut outcomes = Vec::new();
    for it in &chosen {
        let outcome = it.carry_out(&context, console);
        let failed = !outcome.passed;
        outcomes.push(outcome);
        if failed && !keep_going {
            break;
        }
    }
    Ok(summarise(&outcomes, chosen.len()))
}

/// Prints the steps.
pub(crate) fn list() {
    for it in STEPS {
        println!("{:<13} {}", it.step.name, it.step.what);
    }
}

/// The names that the command line accepts.
pub(crate) fn step_names() -> PossibleValuesParser {
    PossibleValuesParser::new(STEPS.iter().map(|it| it.step.name))
}

impl TestStep {
    fn carry_out(&self, context: &Context<'_>, console: &Console) -> Outcome {
        let started = Instant::now();
        let log_path = console.log_path(self.step.name);
        let result = console.step(self.step, |log| {
            let remark = (self.run)(context, log)?;
            let nothing_ran = self.has_tests && Counts::of_log(&log_path) == Counts::default();
            ensure!(!nothing_ran, "no test ran, although this step has tests");
            Ok(remark)
        });
        let mut counts = Counts::of_log(&log_path);
        let passed = result.is_ok();
        let remark = result.unwrap_or_else(|error| {
            print_error(&error);
            counts.count_failed_step();
            format!("run it alone: cargo xtask test {}", self.step.name)
        });
        Outcome { name: self.step.name, passed, took: started.elapsed(), counts, remark }
    }
}

impl<'a> Context<'a> {
    fn prepare(project: &'a Project, console: &Console, chosen: &[&TestStep]) -> Result<Self> {
        let most = chosen.iter().map(|it| it.needs).max().unwrap_or(Needs::Toolchain);
        let any = |needs: &[Needs]| chosen.iter().any(|it| needs.contains(&it.needs));
        if most < Needs::Browsers && any(&[Needs::CppCompiler]) {
            setup::for_fuzz(console)?;
        }
        if most < Needs::Browsers && any(&[Needs::Proxies, Needs::Fleet]) {
            setup::for_proxies(console)?;
        }
        if most < Needs::Browsers && any(&[Needs::Redis, Needs::Proxies, Needs::Fleet]) {
            setup::for_redis(console)?;
        }
        let installed = match most {
            Needs::Toolchain | Needs::CppCompiler | Needs::Proxies | Needs::Redis => Installed::Nothing,
            Needs::Builds | Needs::Fleet => Installed::Tools(setup::for_demo(project, console)?),
            Needs::Browsers => {
                let (tools, browsers) = setup::for_tests(project, console)?;
                Installed::ToolsAndBrowsers(tools, browsers)
            }
        };
        Ok(Self { project, installed })
    }

    fn tools(&self) -> Result<&Tools> {
        match &self.installed {
            Installed::Tools(tools) | Installed::ToolsAndBrowsers(tools, _) => Ok(tools),
            Installed::Nothing => {
                anyhow::bail!("this step must declare in xtask that it needs the build tools")
            }
        }
    }

    fn browsers(&self) -> Result<&Browsers> {
        match &self.installed {
            Installed::ToolsAndBrowsers(_, browsers) => Ok(browsers),
            _ => anyhow::bail!("this step must declare in xtask that it needs the browsers"),
        }
    }
}

/// Prints the table and the closing line with the counts of passed and failed tests.
fn summarise(outcomes: &[Outcome], chosen: usize) -> ExitCode {
    println!();
    let mut total = Counts::default();
    for outcome in outcomes {
        let verdict = if outcome.passed { "ok" } else { "FAILED" };
        let tests = outcome.counts.to_string();
        println!(
            "{:<13} {verdict:<7} {:>12}  {tests:<24} {}",
            outcome.name,
            human(outcome.took),
            outcome.remark
        );
        total = total.plus(outcome.counts);
    }
    let left = chosen.saturating_sub(outcomes.len());
    if left > 0 {
        println!("steps that were not run: {left} (`--keep-going` runs them nevertheless)");
    }
    let took = outcomes.iter().map(|outcome| outcome.took).sum();
    println!("\n{} steps in {}", outcomes.len(), human(took));
    println!("{} passed, {} failed", total.passed, total.failed);
    if outcomes.iter().all(|outcome| outcome.passed) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
