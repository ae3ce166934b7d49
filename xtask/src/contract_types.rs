//! The demo contract's TypeScript, generated from its Rust.

use std::fs;

use anyhow::{Context, Result};

use crate::{console::Log, process::command, project::Project};

/// Where the page imports it from; made here, never committed.
const GENERATED: &str = "www/src/generated/contract.ts";

/// Writes the generated file; leaves it alone when it is the same already.
pub(crate) fn generate(project: &Project, log: &mut Log) -> Result<()> {
    let mut generate = command("cargo");
    generate.current_dir(project.root()).args(["run", "--quiet", "--package", "wirehub-demo-contract"]);
    generate.args(["--features", "typescript", "--example", "typescript"]);
    let source = log.output(&mut generate)? + "\n";
    let path = project.path(GENERATED);
    if fs::read_to_string(&path).is_ok_and(|last| last == source) {
        return Ok(());
    }
    let folder = path.parent().context("the generated file lies in a folder")?;
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&path, source))
        .with_context(|| format!("cannot write {}", path.display()))
}
