//! `cargo xtask`: everything that is done with this repository, as one command.
//!
//! Each verb prints one line per step; what a step's commands print goes to `target/xtask/logs/` and is shown
//! when the step fails. Running a verb again redoes only what changed.
#![allow(clippy::print_stdout, reason = "progress lines are what this program is for")]
#![allow(clippy::print_stderr, reason = "errors are told on standard error")]

mod api_docs;
mod bench;
mod build_client;
mod console;
mod demo;
mod fingerprint;
mod fuzz;
mod generated;
mod mutants;
mod page;
mod process;
mod project;
#[cfg(test)]
mod scratch;
mod setup;
mod size;
mod test;
mod tidy;
mod yew;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{console::Console, project::Project};

/// Wirehub's build, test and demo commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
pub(crate) struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Install what the demo needs: wasm target, wasm-pack, wasm-bindgen, Node's packages.
    Setup {
        /// Also what the tests need: Chromium, Firefox, their drivers, rustfmt and clippy.
        #[arg(long)]
        tests: bool,
    },
    /// Build the npm package @wirehub/client into target/npm/.
    BuildClient,
    /// Make the API reference of @wirehub/client, in target/npm/docs/.
    Docs,
    /// Build everything and serve the demo page; Ctrl-C stops it.
    Demo {
        /// Address to listen on.
        #[arg(long, value_name = "ADDR", default_value = demo::DEFAULT_ADDRESS)]
        listen: std::net::SocketAddr,
        /// Serve the example in Yew (client-wasm/examples/yew) in place of the demo page.
        #[arg(long)]
        yew: bool,
    },
    /// Run every check and test, or the named steps only.
    Test {
        /// Steps to run, in the order of `--list`; none means all.
        #[arg(value_name = "STEP", value_parser = test::step_names())]
        steps: Vec<String>,
        /// Go on after a step that failed.
        #[arg(long)]
        keep_going: bool,
        /// Only list the steps.
        #[arg(long)]
        list: bool,
    },
    /// Check the rules of this repository that a program can check.
    Tidy,
    /// Measure what the server costs, beside the least that can be had. About 4 min.
    Bench {
        /// Which loads (`fan-out`, `echo`, `idle` …), and the options of the program that makes them; `--help` lists
        /// both. `browser` measures the npm package in Chromium instead.
        #[arg(value_name = "LOAD", trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Change a crate's code in small ways, one at a time, and see whether its tests notice. Hours for a whole crate.
    Mutants {
        /// Which crate.
        #[arg(value_name = "CRATE", default_value = mutants::DEFAULT)]
        package: String,
        /// What else cargo-mutants is told, such as `--shard 0/8` or `--file client-core/src/core/token.rs`.
        #[arg(value_name = "OPTION", last = true)]
        arguments: Vec<String>,
    },
    /// Print the npm package's size beside its rivals', and fail above the budget.
    Size,
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(status) => status,
        Err(error) => {
            console::print_error(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let project = Project::locate()?;
    let console = Console::new(project.logs_dir())?;
    match cli.verb {
        Verb::Setup { tests: false } => setup::for_demo(&project, &console).map(|_| ())?,
        Verb::Setup { tests: true } => setup::for_tests(&project, &console).map(|_| ())?,
        Verb::BuildClient => build_client::verb(&project, &console)?,
        Verb::Docs => api_docs::verb(&project, &console)?,
        Verb::Demo { listen, yew } => demo::verb(&project, &console, listen, yew)?,
        Verb::Test { list: true, .. } => test::list(),
        Verb::Test { steps, keep_going, list: false } => {
            return test::verb(&project, &console, &steps, keep_going);
        }
        Verb::Tidy => tidy::verb(&project, &console)?,
        Verb::Bench { arguments } => return bench::verb(&project, &console, &arguments),
        Verb::Mutants { package, arguments } => {
            return mutants::verb(&project, &console, &package, &arguments);
        }
        Verb::Size => size::verb(&project, &console)?,
    }
    Ok(ExitCode::SUCCESS)
}
