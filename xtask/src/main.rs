//! `cargo xtask`: every task of this repository, as one command.
//!
//! Each verb prints one line per step. The output of a step's commands goes to `target/xtask/logs/` and is shown if the
//! step fails. A second run of a verb repeats only the work for changes.
#![allow(clippy::print_stdout, reason = "progress lines are the output of this program")]
#![allow(clippy::print_stderr, reason = "errors go to standard error")]

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
mod picture;
mod process;
mod program;
mod project;
mod rust_client;
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
    /// Install the tools for the demo: wasm target, wasm-pack, wasm-bindgen, Node's packages.
    Setup {
        /// Also install the tools for the tests: Chromium, Firefox, their drivers, proxies, Redis, rustfmt and
        /// clippy.
        #[arg(long)]
        tests: bool,
    },
    /// Build the npm package @wirehub/client into target/npm/.
    BuildClient,
    /// Generate the API reference of @wirehub/client, in target/npm/docs/.
    Docs,
    /// Build everything and serve the demo page; Ctrl-C stops it.
    Demo {
        /// Address to listen on.
        #[arg(long, value_name = "ADDR", default_value = demo::DEFAULT_ADDRESS)]
        listen: std::net::SocketAddr,
        /// Serve the example in Yew (client-wasm/examples/yew) instead of the demo page.
        #[arg(long)]
        yew: bool,
    },
    /// Take the picture of the demo page in the README anew, as an SVG.
    Picture,
    /// Build the program wirehub as it is released: optimised, with the demo's page in it.
    Program,
    /// Run every check and test, or the named steps only.
    Test {
        /// Steps to run, in the order of `--list`; none means all.
        #[arg(value_name = "STEP", value_parser = test::step_names())]
        steps: Vec<String>,
        /// Continue after a failed step.
        #[arg(long)]
        keep_going: bool,
        /// Only list the steps.
        #[arg(long)]
        list: bool,
    },
    /// Check the rules of this repository that a program can check.
    Tidy,
    /// Measure the cost of the server, together with the lowest possible cost. About 4 min.
    Bench {
        /// The loads (`fan-out`, `echo`, `idle` …), and the options of the load program; `--help` lists both. `browser`
        /// measures the npm package in Chromium instead, `engines` the engines, and `sockets` the kernel's memory for one.
        #[arg(value_name = "LOAD", trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Change a crate's code in small ways, one at a time, and check that its tests notice. Takes hours for a whole
    /// crate.
    Mutants {
        /// The crate.
        #[arg(value_name = "CRATE", default_value = mutants::DEFAULT)]
        package: String,
        /// Further arguments for cargo-mutants, such as `--shard 0/8` or `--file client-core/src/core/token.rs`.
        #[arg(value_name = "OPTION", last = true)]
        arguments: Vec<String>,
    },
    /// Print the size of the npm package and of its rivals, and fail above the budget.
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
        Verb::Picture => picture::verb(&project, &console)?,
        Verb::Program => program::verb(&project, &console)?,
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
