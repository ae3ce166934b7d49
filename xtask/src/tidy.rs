//! `cargo xtask tidy`: the rules of this repository that a program can check.

mod arrows;
mod docs;
mod files;
mod manifests;
mod npm_package;
mod plain_words;
mod purity;
mod queues;
mod rust_source;
mod tree;
mod wasm_imports;

use std::fmt;

use anyhow::{Result, bail};

use self::tree::Tree;
pub(crate) use self::tree::{Package, packages_of};
use crate::{
    console::{Console, Log, Step},
    project::Project,
    setup::{self, WasmToolchain},
};

pub(crate) const STEP: Step<'static> =
    Step { name: "tidy", what: "the rules that a program can check", slow: None };

/// A rule and its check.
struct Check {
    rule: &'static str,
    run: fn(&Tree) -> Result<Vec<Finding>>,
}

/// The rules that need only the files. [`wasm_imports`] builds something, and runs after them.
const CHECKS: &[Check] = &[
    Check { rule: "crates depend on each other one way only", run: arrows::check },
    Check { rule: "dependency versions and lints are in the root manifest", run: manifests::check },
    Check { rule: "a published crate has its metadata", run: manifests::check_metadata },
    Check { rule: "common and client-core read no clock, no entropy, no socket", run: purity::check },
    Check { rule: "no channel is unbounded", run: queues::check },
    Check { rule: "the npm package has no driver in TypeScript", run: npm_package::check },
    Check { rule: "source files are short", run: files::check_lengths },
    Check { rule: "marks of unfinished work have a text", run: files::check_leftovers },
    Check { rule: "no binary is committed", run: files::check_binaries },
    Check { rule: "lock files name no registry", run: files::check_lock_files },
    Check { rule: "both licences are there", run: files::check_licences },
    Check { rule: "documents refer to existing things", run: docs::check },
    Check { rule: "comments and documents are in plain words", run: plain_words::check },
];

/// A violation of a rule.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    place: String,
    problem: String,
}

impl Finding {
    fn new(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { place: place.into(), problem: problem.into() }
    }

    fn at_line(file: &str, line: usize, problem: impl Into<String>) -> Self {
        Self::new(format!("{file}:{line}"), problem)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.problem)
    }
}

pub(crate) fn verb(project: &Project, console: &Console) -> Result<()> {
    let wasm = setup::for_wasm(project, console)?;
    let rules = console.step(STEP, |log| run(project, &wasm, log))?;
    console.ready("", &rules);
    Ok(())
}

/// Checks every rule; returns how many there are.
///
/// # Errors
/// The error lists every finding.
pub(crate) fn run(project: &Project, wasm: &WasmToolchain, log: &mut Log) -> Result<String> {
    let tree = Tree::read(project)?;
    let mut findings = Vec::new();
    for check in CHECKS {
        findings.extend(report(check.rule, (check.run)(&tree)?, log)?);
    }
    findings.extend(report(wasm_imports::RULE, wasm_imports::check(project, wasm, log)?, log)?);
    if !findings.is_empty() {
        let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
        bail!("rules are broken:\n  {}", lines.join("\n  "));
    }
    Ok(format!("{} rules", CHECKS.len().saturating_add(1)))
}

/// Logs the result of a rule, and returns the findings.
fn report(rule: &str, findings: Vec<Finding>, log: &mut Log) -> Result<Vec<Finding>> {
    let verdict = if findings.is_empty() { "ok" } else { "BROKEN" };
    log.line(&format!("{rule}: {verdict}"))?;
    Ok(findings)
}
