//! TypeScript that is printed by Rust. It is written to the place where its package expects it, and never committed.

use std::fs;

use anyhow::{Context, Result};

use crate::{console::Log, process::command, project::Project};

/// A TypeScript module that an example of a crate prints.
#[derive(Debug)]
pub(crate) struct Generated {
    path: &'static str,
    example: &'static str,
}

/// Error and close codes, for the npm package.
pub(crate) const CODES: Generated =
    Generated { path: "client-wasm/npm/src/generated/codes.ts", example: "codes" };

/// The numbers of the module's inputs and rows, for the npm package.
pub(crate) const NUMBERS: Generated =
    Generated { path: "client-wasm/npm/src/generated/numbers.ts", example: "numbers" };

/// The types of the demo's contract, for the page.
pub(crate) const CONTRACT: Generated =
    Generated { path: "www/src/generated/contract.ts", example: "typescript" };

const ALL: &[&Generated] = &[&CODES, &NUMBERS, &CONTRACT];

impl Generated {
    /// Writes the module, unless its text is unchanged.
    pub(crate) fn write(&self, project: &Project, log: &mut Log) -> Result<()> {
        // All together, with the packages and features of the tests: each crate is compiled once, and for the tests too.
        let mut build = command("cargo");
        build.current_dir(project.root()).args(["build", "--quiet", "--workspace", "--all-features"]);
        log.run(build.args(ALL.iter().flat_map(|it| ["--example", it.example])))?;
        let source = log.output(&mut command(project.binary("debug/examples", self.example)))? + "\n";
        let path = project.path(self.path);
        if fs::read_to_string(&path).is_ok_and(|last| last == source) {
            return Ok(());
        }
        let folder = path.parent().context("a generated module is in a folder")?;
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&path, source))
            .with_context(|| format!("cannot write {}", path.display()))
    }
}
